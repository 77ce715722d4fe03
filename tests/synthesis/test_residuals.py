"""Residuals against their formula."""

import numpy as np
import pytest

from sklearn_vae.input._spec import read_spec
from sklearn_vae.synthesis import Draws, _residuals
from sklearn_vae.synthesis._residuals import Residuals


def halves(shape):
    """Return a decoder that gives back half of each row, its codes being its values."""
    return lambda Z: Z.reshape(-1, *shape) / 2


@pytest.mark.parametrize("block", [1, 2**22])
def test_each_row_gets_its_parents_losses_in_their_shares(block, rng, monkeypatch):
    monkeypatch.setattr(_residuals, "BLOCK_BYTES", block)
    X = rng.normal(size=(6, 3))
    residuals = Residuals(X, X, read_spec(X, None))
    parents, weights = np.array([[4, 1], [4, 5], [0, 0]]), np.array([[0.25, 0.75], [1, 0], [0, 1]])
    new = rng.normal(size=(3, 3))
    found = residuals.added_to(new, Draws(X[:3], parents, weights), halves((3,)))
    np.testing.assert_allclose(found, new + (weights[:, :, None] * X[parents] / 2).sum(1))


@pytest.mark.parametrize(
    "dtype, given, expected", [("uint8", [200, 101, 3], [250, 151, 53]), ("float32", [0.9] * 3, 1)]
)
def test_images_stay_in_their_range_and_dtype(dtype, given, expected):
    X = np.full((2, 8, 8), 100 if dtype == "uint8" else 0.4, dtype)
    residuals = Residuals(X, X.reshape(2, -1), read_spec(X, None))
    draws = Draws(np.zeros((3, 64)), np.zeros((3, 1), int), np.ones((3, 1)))
    new = np.broadcast_to(np.array(given, dtype)[:, None, None], (3, 8, 8))
    found = residuals.added_to(new, draws, halves((8, 8)))
    assert found.dtype == dtype
    np.testing.assert_array_equal(found[:, 0, 0], expected)

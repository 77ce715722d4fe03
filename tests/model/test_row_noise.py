"""The noise of score_samples: standard normal, and a function of the row alone."""

import numpy as np
import pytest
import torch
from helpers import synthetic_images
from scipy import stats

from sklearn_vae.model._row_noise import row_noise

CPU = torch.device("cpu")

DATA = {
    "float": lambda: synthetic_images(400, 8, 8),
    "uint8": lambda: synthetic_images(400, 8, 8, dtype="uint8"),
    "double": lambda: np.random.default_rng(1).normal(size=(400, 5)),
    # Rows that hardly differ: a hash must tell them apart all the same.
    "one pixel": lambda: np.eye(400, dtype=np.uint8),
    "constant": lambda: np.repeat(np.arange(400, dtype=np.float32)[:, None] / 400, 64, axis=1),
    "bool": lambda: np.random.default_rng(1).random((400, 8, 8)) > 0.5,
}


def noise(X, n_draws, z_dim):
    return torch.stack(list(row_noise(X, n_draws, z_dim, CPU))).numpy()


@pytest.mark.parametrize("name", DATA)
def test_is_standard_normal_over_rows_and_over_draws(name):
    e = noise(DATA[name](), 6, 4)
    assert e.shape == (6, 400, 4)
    wide = noise(DATA[name](), 1, 500)
    assert stats.kstest(wide.ravel(), "norm").pvalue > 1e-4  # 200,000 draws
    for k in range(6):
        for j in range(4):
            assert stats.kstest(e[k, :, j], "norm").pvalue > 1e-4
    many = noise(DATA[name]()[:3], 3000, 2)
    for i in range(3):
        for j in range(2):
            assert stats.kstest(many[:, i, j], "norm").pvalue > 1e-4


@pytest.mark.parametrize("name", DATA)
def test_rows_and_dimensions_are_nearly_uncorrelated(name):
    # Over many latent dimensions, pairs of rows: |r| of 4950 pairs stays below 5 / sqrt(n).
    e = noise(DATA[name]()[:100], 1, 3000)[0]
    r = np.corrcoef(e)[np.triu_indices(100, 1)]
    assert np.abs(r).max() < 5 / np.sqrt(3000)
    # Over rows, pairs of dimensions.
    e = noise(DATA[name](), 1, 20)[0]
    r = np.corrcoef(e.T)[np.triu_indices(20, 1)]
    assert np.abs(r).max() < 5 / np.sqrt(400)


@pytest.mark.parametrize("name", DATA)
def test_depends_on_the_row_alone(name):
    X = DATA[name]()
    e = noise(X, 3, 4)
    order = np.random.default_rng(0).permutation(len(X))
    np.testing.assert_array_equal(noise(X[order], 3, 4), e[:, order])
    np.testing.assert_array_equal(noise(X[7:8], 3, 4), e[:, 7:8])
    np.testing.assert_array_equal(noise(X, 5, 4)[:3], noise(X, 5, 4)[:3])


def test_more_draws_or_dimensions_keep_each_row_distinct():
    e = noise(DATA["float"](), 2, 4)
    assert len(np.unique(e[0], axis=0)) == 400
    assert not np.isclose(e[0], e[1]).any(1).all()

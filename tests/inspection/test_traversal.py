"""TraversalDisplay: which dimensions, from where, how far."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_vae.inspection import TraversalDisplay


def test_the_middle_column_is_the_decoded_mean(tile, fitted, images):
    display = TraversalDisplay.from_estimator(fitted, images, n_steps=5)
    mean = fitted.transform(images).mean(0, keepdims=True)
    expected = fitted.inverse_transform(mean)[0]
    for row in range(3):
        assert_allclose(tile(display.im_, row, 2, 8, 8), expected, atol=1e-5)


def test_the_middle_column_is_the_reconstruction_of_the_start(tile, fitted, images):
    display = TraversalDisplay.from_estimator(fitted, images, start=4)
    expected = fitted.reconstruct(images)[4]
    for row in range(3):
        assert_allclose(tile(display.im_, row, 3, 8, 8), expected, atol=1e-5)


def test_each_row_walks_along_one_dimension_in_standard_deviations(tile, fitted, images):
    display = TraversalDisplay.from_estimator(
        fitted, images, dimensions=[2, 0], start=7, n_steps=4, span=2
    )
    Z = fitted.transform(images)
    for row, d in enumerate([2, 0]):
        for column, step in enumerate([-2, -2 / 3, 2 / 3, 2]):
            z = Z[7].copy()
            z[d] += step * np.std(Z[:, d])
            expected = fitted.inverse_transform(z[None])[0]
            assert_allclose(tile(display.im_, row, column, 8, 8), expected, atol=1e-5)
    assert [t.get_text() for t in display.ax_.get_yticklabels()] == ["$z_{2}$", "$z_{0}$"]


def test_the_most_varied_dimensions_come_first(fitted, images):
    by_variance = np.argsort(fitted.transform(images).var(0))[::-1]
    for asked in (2, 8):
        display = TraversalDisplay.from_estimator(fitted, images, dimensions=asked)
        assert_array_equal(display.dimensions, by_variance[:asked])


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"dimensions": [0, 3]}, "z_dim=3: use 0 to 2"),
        ({"dimensions": [-1]}, "z_dim=3: use 0 to 2"),
        ({"dimensions": 0}, "dimensions=0"),
        ({"dimensions": [0.5]}, "list of ints"),
        ({"dimensions": []}, "list of ints"),
        ({"n_steps": 1}, "n_steps=1"),
        ({"start": 200}, "start=200, but X has 200 images"),
        ({"start": 1.5}, "start=1.5, but X has 200 images: use 0 to 199"),
    ],
)
def test_refusals(fitted, images, wrong, message):
    with pytest.raises(ValueError, match=message):
        TraversalDisplay.from_estimator(fitted, images, **wrong)


def test_arrays_of_another_size_are_refused(images):
    with pytest.raises(ValueError, match=r"\(2, 5, \.\.\.\) is needed"):
        TraversalDisplay(images[:10], dimensions=[0, 1], steps=range(5)).plot()

"""SampleDisplay: draws from the prior, and rows of one class each."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.frozen import FrozenEstimator

from sklearn_vae import VAEAugmenter
from sklearn_vae.inspection import SampleDisplay


def test_the_grid_is_filled_row_by_row(tile, fitted):
    display = SampleDisplay.from_estimator(fitted, n_samples=11, n_cols=4, random_state=3)
    expected = fitted.sample(11, random_state=3)
    for i, image in enumerate(expected):
        assert_allclose(tile(display.im_, i // 4, i % 4, 8, 8), image, atol=1e-6)
    assert tile(display.im_, 2, 3, 8, 8) is None
    assert display.classes_ is None
    assert not display.ax_.get_yticklabels()


def test_rows_are_classes_in_sorted_order(tile, images, labels):
    names = np.array([f"digit {k}" for k in labels])
    order = np.random.default_rng(0).permutation(200)
    display = SampleDisplay.from_arrays(images[order], names[order], n_cols=5)
    assert_array_equal(display.classes_, [f"digit {k}" for k in range(10)])
    assert [t.get_text() for t in display.ax_.get_yticklabels()] == list(display.classes_)
    for row in range(10):
        of_class = [i for i in order if labels[i] == row]
        for column in range(5):
            drawn = tile(display.im_, row, column, 8, 8)
            assert_allclose(drawn, images[of_class[column]], atol=1e-6)


def test_names_beside_minus_one(images):
    y = np.array(["cat", -1, "dog", "cat"], object)
    display = SampleDisplay.from_arrays(images[:4], y)
    assert_array_equal(display.classes_, ["-1", "cat", "dog"])


def test_a_class_of_few_images_leaves_places_empty(tile, images):
    display = SampleDisplay.from_arrays(images[:4], [1, 0, 1, 1])
    assert_allclose(tile(display.im_, 0, 0, 8, 8), images[1], atol=1e-6)
    assert tile(display.im_, 0, 1, 8, 8) is None
    assert_allclose(tile(display.im_, 1, 2, 8, 8), images[3], atol=1e-6)


def test_an_augmenters_rows(tile, fitted, images, labels):
    augmenter = VAEAugmenter(vae=FrozenEstimator(fitted), n_new={7: 3, 2: 2}, random_state=0)
    X, y = augmenter.fit_resample(images, labels)
    new = augmenter.is_synthetic_
    display = SampleDisplay.from_arrays(X[new], y[new])
    assert_array_equal(display.classes_, [2, 7])
    assert_allclose(tile(display.im_, 1, 2, 8, 8), X[new][y[new] == 7][2], atol=1e-6)


def test_refusals(fitted, images):
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        SampleDisplay.from_arrays(images[:4], [1, 0])
    with pytest.raises(ValueError, match="n_cols=0"):
        SampleDisplay.from_arrays(images[:4], n_cols=0)
    with pytest.raises(ValueError, match="n_samples=-1"):
        SampleDisplay.from_estimator(fitted, n_samples=-1)

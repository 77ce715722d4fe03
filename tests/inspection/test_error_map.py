"""ErrorMapDisplay: images, reconstructions and the detector's errors, one below the other."""

import numpy as np
import pytest
from helpers import synthetic_images, tiny
from matplotlib.colors import LogNorm
from numpy.testing import assert_allclose
from sklearn.frozen import FrozenEstimator

from sklearn_vae import VAEDetector
from sklearn_vae.inspection import ErrorMapDisplay


@pytest.mark.parametrize("shape", [(9, 12), (9, 12, 3)], ids=str)
def test_three_rows_on_two_scales(tile, shape):
    X = synthetic_images(30, *shape)
    vae = tiny().fit(synthetic_images(30, *shape, seed=1))
    detector = VAEDetector(FrozenEstimator(vae)).fit(X)
    display = ErrorMapDisplay.from_estimator(detector, X, n_images=6)
    X_hat = vae.reconstruct(X)
    errors = ((X - X_hat) ** 2).reshape(30, 9, 12, -1).mean(3)
    for column in range(6):
        assert_allclose(tile(display.im_, 0, column, 9, 12), X[column], atol=1e-6)
        assert_allclose(tile(display.im_, 1, column, 9, 12), X_hat[column], atol=1e-6)
        assert tile(display.im_, 2, column, 9, 12) is None
        assert_allclose(tile(display.heat_, 2, column, 9, 12), errors[column], atol=1e-5)
    assert_allclose(display.heat_.get_clim(), (0, errors[:6].max()), rtol=1e-4)
    assert display.ax_.get_xlim() == (-0.5, 5.5)
    assert display.ax_.get_ylim() == (2.5, -0.5)
    assert display.colorbar_.mappable is display.heat_


def test_two_displays_on_one_scale(images):
    errors = np.full((4, 8, 8), 0.25)
    display = ErrorMapDisplay.from_arrays(images[:4], images[:4], errors, heat_kw={"vmax": 0.5})
    assert display.heat_.get_clim() == (0, 0.5)
    assert display.im_.get_clim() == (0, 1)


def test_no_error_at_all_is_drawn(images):
    display = ErrorMapDisplay.from_arrays(images[:4], images[:4], np.zeros((4, 8, 8)))
    display.figure_.canvas.draw()


def test_errors_of_another_size_are_refused(images):
    with pytest.raises(ValueError, match=r"errors have shape \(3, 8, 8\); \(4, 8, 8\)"):
        ErrorMapDisplay.from_arrays(images[:4], images[:4], np.zeros((3, 8, 8)))


def test_a_norm_brings_its_own_range(images):
    detector = VAEDetector(tiny()).fit(images)
    norm = LogNorm(vmin=1e-3, vmax=10)
    display = ErrorMapDisplay.from_estimator(detector, images[:4], heat_kw={"norm": norm})
    assert display.heat_.norm is norm


def test_a_detector_of_places_points_to_its_own_map():
    X = synthetic_images(12, 12, 12)
    detector = VAEDetector(tiny(), patches=8, random_state=0).fit(X)
    with pytest.raises(ValueError, match="use score_map"):
        ErrorMapDisplay.from_estimator(detector, X)

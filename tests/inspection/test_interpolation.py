"""InterpolationDisplay: straight lines between codes, with the images at both ends."""

import pytest
from numpy.testing import assert_allclose

from sklearn_vae.inspection import InterpolationDisplay


def test_each_row_leads_from_one_image_to_its_partner(tile, fitted, images):
    display = InterpolationDisplay.from_estimator(fitted, images[:3], images[3:6], n_steps=5)
    Z, X_hat = fitted.transform(images), fitted.reconstruct(images)
    for row in range(3):
        a, b = row, row + 3
        half = fitted.inverse_transform((Z[a] + Z[b])[None] / 2)[0]
        quarter = fitted.inverse_transform((3 * Z[a] + Z[b])[None] / 4)[0]
        expected = [images[a], X_hat[a], quarter, half, None, X_hat[b], images[b]]
        for column, image in enumerate(expected):
            if image is not None:
                assert_allclose(tile(display.im_, row, column, 8, 8), image, atol=1e-5)


def test_refusals(fitted, images):
    with pytest.raises(ValueError, match="X_start has 3 images and X_end 2"):
        InterpolationDisplay.from_estimator(fitted, images[:3], images[:2])
    with pytest.raises(ValueError, match="n_steps=1"):
        InterpolationDisplay.from_estimator(fitted, images[:3], images[:3], n_steps=1)
    with pytest.raises(ValueError, match="differ in number or size"):
        InterpolationDisplay(images[:2], images[:3], images[:4].reshape(2, 2, 8, 8)).plot()

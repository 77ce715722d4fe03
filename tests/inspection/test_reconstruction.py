"""ReconstructionDisplay: originals above what the VAE returns for them."""

import numpy as np
import pytest
from helpers import synthetic_images, tiny
from numpy.testing import assert_allclose

from sklearn_vae.inspection import ReconstructionDisplay


@pytest.mark.parametrize(
    "shape, dtype", [((8, 8), "float32"), ((9, 12, 3), "uint8"), ((3, 9, 12), "float64")], ids=str
)
def test_every_image_is_above_its_reconstruction(tile, shape, dtype):
    X = synthetic_images(30, *shape, dtype=dtype)
    vae = tiny().fit(X)
    display = ReconstructionDisplay.from_estimator(vae, X, n_images=7)
    h, w = sorted(shape)[-2:] if 3 in shape else shape
    for row, expected in enumerate((X, vae.reconstruct(X))):
        expected = expected / (255 if dtype == "uint8" else 1)
        expected = np.moveaxis(expected, 1, 3) if shape[0] == 3 else expected
        for column in range(7):
            drawn = tile(display.im_, row, column, h, w)
            assert_allclose(drawn, expected[column], atol=1e-6)
    assert tile(display.im_, 0, 7, h, w) is None
    labels = [t.get_text() for t in display.ax_.get_yticklabels()]
    assert labels == ["image", "reconstruction"]


def test_fewer_images_than_asked_for(fitted, images):
    display = ReconstructionDisplay.from_estimator(fitted, images[:3])
    assert len(display.images) == len(display.reconstructions) == 3


def test_from_arrays_takes_what_another_model_made(tile, images):
    display = ReconstructionDisplay.from_arrays(images[:4], 1 - images[:4])
    assert_allclose(tile(display.im_, 1, 2, 8, 8), 1 - images[2], atol=1e-6)
    flat = images[:4].reshape(4, -1)
    display = ReconstructionDisplay.from_arrays(flat, 1 - flat, image_shape=(8, 8))
    assert_allclose(tile(display.im_, 1, 2, 8, 8), 1 - images[2], atol=1e-6)


def test_refusals(fitted, images):
    with pytest.raises(ValueError, match=r"\(4, 8, 8\) and reconstructions \(3, 8, 8\)"):
        ReconstructionDisplay.from_arrays(images[:4], images[:3])
    with pytest.raises(ValueError, match="n_images=0"):
        ReconstructionDisplay.from_estimator(fitted, images, n_images=0)
    with pytest.raises(ValueError, match="fitted on values in"):
        ReconstructionDisplay.from_estimator(fitted, images * 16)

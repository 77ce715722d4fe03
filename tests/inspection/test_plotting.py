"""Arrays of any layout to images, and images to one picture."""

import numpy as np
import pytest
from helpers import synthetic_images
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_vae.inspection._plotting import as_images, in_rows, mosaic


@pytest.mark.parametrize(
    "shape, to_standard",
    [
        ((9, 12), lambda X: X),
        ((9, 12, 1), lambda X: X[..., 0]),
        ((1, 9, 12), lambda X: X[:, 0]),
        ((9, 12, 3), lambda X: X),
        ((3, 9, 12), lambda X: np.moveaxis(X, 1, 3)),
        ((4, 9, 12), lambda X: np.moveaxis(X, 1, 3)),
    ],
)
@pytest.mark.parametrize("dtype", ["uint8", "float64", "bool"])
def test_every_layout_becomes_the_same_images(shape, to_standard, dtype):
    X = synthetic_images(5, *shape, dtype=dtype)
    expected = to_standard(X) / (255 if dtype == "uint8" else 1)
    assert_allclose(as_images(X), expected, rtol=1e-6)
    assert_array_equal(as_images(X.reshape(5, -1), shape), as_images(X))


def test_what_is_no_image_in_range_is_refused_with_a_remedy():
    X = synthetic_images(5, 9, 9)
    for values in (X * 255, X - 0.5, (X - X.mean(0)) / X.std(0)):
        with pytest.raises(ValueError, match=r"values from.*uint8.*\[0, 1\]") as caught:
            as_images(values)
        remedy = str(caught.value).split(": ")[-1].removesuffix(".")
        mended = as_images(eval(remedy, {"np": np, "images": values})).ravel()
        assert np.corrcoef(mended, values.ravel())[0, 1] > 0.999
    with pytest.raises(ValueError, match=r"rows of 81 values.*set image_shape"):
        as_images(X.reshape(5, -1))
    with pytest.raises(ValueError, match="NaN"):
        as_images(np.where(X > 0.5, np.nan, X))
    with pytest.raises(ValueError, match="2 channels"):
        as_images(synthetic_images(5, 9, 9, 2))


@pytest.mark.parametrize("side", [8, 28, 32, 100])
def test_gaps_are_thin_and_transparent(side):
    picture = mosaic(np.ones((2, 3, side, side), np.float32))
    gaps = np.isnan(picture)
    assert 0.02 < gaps.mean() < 0.08
    assert gaps[[0, -1]].all()
    assert gaps[:, [0, -1]].all()
    colour = mosaic(np.ones((2, 3, side, side, 3), np.float32))
    assert_array_equal(colour[..., 3] == 0, gaps)
    assert np.isfinite(colour).all()


def test_rows_are_filled_from_the_left_and_empty_places_stay_empty(rng):
    images = rng.random((5, 8, 8), dtype=np.float32)
    tiles = in_rows(images, 3)
    assert_array_equal(tiles.reshape(6, 8, 8)[:5], images)
    assert np.isnan(tiles[1, 2]).all()
    colour = mosaic(in_rows(rng.random((5, 8, 8, 3), dtype=np.float32), 3))
    height, width = colour.shape[0] // 2, colour.shape[1] // 3
    assert not colour[height:, 2 * width :, 3].any()

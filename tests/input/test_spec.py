"""Layouts, ranges and dtypes of arrays, and what is refused."""

import numpy as np
import pytest
from helpers import Trained, tiny
from sklearn.preprocessing import MinMaxScaler

from sklearn_vae import VAEAugmenter
from sklearn_vae.input._spec import check_same, check_values, read_spec, rows_at_once


@pytest.mark.parametrize(
    ("X_shape", "image_shape", "shape", "channels_last"),
    [
        ((8, 8), None, (1, 8, 8), False),
        ((9, 13), None, (1, 9, 13), False),
        ((9, 13, 1), None, (1, 9, 13), True),
        ((9, 13, 2), None, (2, 9, 13), True),
        ((17, 8, 3), None, (3, 17, 8), True),
        ((17, 8, 4), None, (4, 17, 8), True),
        ((3, 17, 8), None, (3, 17, 8), False),
        ((4, 9, 13), None, (4, 9, 13), False),
        ((117,), (9, 13), (1, 9, 13), False),
        ((117,), (9, 13, 1), (1, 9, 13), True),
        ((117,), (1, 9, 13), (1, 9, 13), False),
        ((351,), (9, 13, 3), (3, 9, 13), True),
        ((351,), [3, 9, 13], (3, 9, 13), False),
        ((9, 13), (9, 13), (1, 9, 13), False),
        ((351,), None, (351,), False),
    ],
)
def test_layouts(X_shape, image_shape, shape, channels_last):
    spec = read_spec(np.zeros((5, *X_shape), np.float32), image_shape)
    assert spec.shape == shape
    assert spec.raw_shape == X_shape
    assert spec.channels_last == channels_last
    assert spec.is_image == (len(shape) == 3)
    assert spec.n_features == np.prod(X_shape)


@pytest.mark.parametrize(
    ("X_shape", "image_shape", "message"),
    [
        ((3, 16, 3), None, r"\(n, 3, 16, 3\) is ambiguous.*channels.*image_shape"),
        ((5, 16, 16), None, r"ambiguous: neither end has 1 to 4 channels"),
        ((144,), (3, 16, 3), r"image_shape=\(3, 16, 3\) is ambiguous"),
        ((7, 8), None, r"7x8 pixels; at least 8x8 is needed.*network='mlp'"),
        ((8, 7, 3), None, r"8x7 pixels; at least 8x8"),
        ((28,), (4, 7), r"4x7 pixels; at least 8x8"),
        ((2, 8, 8, 3), None, r"\(n, 2, 8, 8, 3\) is not a set of images: use \(n, height, width"),
        ((64,), (64,), r"image_shape=\(64,\) is not a set of images"),
        ((64,), (8, 9), r"image_shape=\(8, 9\) has 72 values.*rows of X have 64.*Set image_shape"),
        ((8, 8), (16, 4), r"image_shape=\(16, 4\) does not match.*\(8, 8\).*image_shape=None"),
    ],
)
def test_layouts_that_are_refused(X_shape, image_shape, message):
    with pytest.raises(ValueError, match=message):
        read_spec(np.zeros((5, *X_shape)), image_shape)


@pytest.mark.parametrize("dtype", ["int64", "int8", "uint16", "complex64"])
def test_images_of_other_dtypes_are_refused(dtype):
    with pytest.raises(ValueError, match=rf"dtype {dtype}.*; images are uint8 \(0 to 255\), bool"):
        read_spec(np.zeros((5, 8, 8), dtype), None)
    assert read_spec(np.zeros((5, 64), dtype), None).dtype == dtype  # vectors may be


@pytest.mark.parametrize("value", [-0.01, 1.01, 255.0])
def test_values_outside_the_unit_interval_are_refused_where_bounded(value):
    X = np.array([[0.5, value]])
    with pytest.raises(ValueError, match=rf"{value:g}.*Divide X"):
        check_values(X, bounded=True, remedy=lambda X: "Divide X.")
    check_values(X, bounded=False, remedy=lambda X: "")
    check_values(np.array([[0.0, 1.0]]), bounded=True, remedy=lambda X: "")
    check_values(np.array([[0, 255]], np.uint8), bounded=True, remedy=lambda X: "")


def test_float_dtypes_may_differ_between_fit_and_transform_but_not_ranges():
    spec = read_spec(np.zeros((5, 8, 8), np.float32), None)
    for dtype in ("float16", "float64"):
        check_same(np.zeros((2, 8, 8), dtype), spec, bounded=True)
    for dtype in ("uint8", "bool", "int64"):
        with pytest.raises(ValueError, match=rf"{dtype}.*fitted on float32.*convert X"):
            check_same(np.zeros((2, 8, 8), dtype), spec, bounded=True)
    with pytest.raises(ValueError, match=r"\(9, 8\).*fitted on samples of shape \(8, 8\)"):
        check_same(np.zeros((2, 9, 8), np.float32), spec, bounded=True)
    with pytest.raises(ValueError, match=r"from 3 to 3.*Scale X as the fitted data were"):
        check_same(np.full((2, 8, 8), 3.0), spec, bounded=True)


@pytest.mark.parametrize("dtype", ["uint8", "bool", "float16", "float32", "float64"])
def test_decoded_values_come_back_in_the_fitted_dtype(dtype):
    spec = read_spec(np.zeros((5, 8, 8), dtype), None)
    decoded = np.full((2, 8, 8), 200, np.uint8) if dtype == "uint8" else np.full((2, 8, 8), 0.75)
    restored = spec.restore(decoded)
    assert restored.dtype == dtype
    assert (restored == decoded.astype(dtype)).all()


def test_chunks_are_bounded_in_rows_and_bytes():
    for side in (8, 28, 224, 2000):
        spec = read_spec(np.zeros((1, side, side, 3), np.uint8), None)
        rows = rows_at_once(spec.shape)
        assert 16 <= rows <= 4096
        assert rows == 16 or rows * spec.n_features * 8 <= 2**25


def test_a_rounding_error_beyond_one_is_no_other_range():
    X = MinMaxScaler().fit_transform(np.random.default_rng(0).normal(50, 20, (200, 64)))
    assert X.max() > 1
    Z = tiny(image_shape=(8, 8)).fit(X).transform(X)
    np.testing.assert_array_equal(Z, tiny(image_shape=(8, 8)).fit(X.clip(0, 1)).transform(X))
    with pytest.raises(ValueError, match=r"1\.00001"):
        tiny(image_shape=(8, 8)).fit(np.where(X >= 1, 1.00001, X))


# -- out of the model ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dtype", "out"),
    [("float16", "float16"), ("float32", "float32"), ("float64", "float64"), ("int64", "float64")],
)
def test_what_a_type_does_not_hold_becomes_its_largest_value(dtype, out):
    spec = read_spec(np.zeros((5, 2), dtype), None)
    x = np.array([[1e300, -1e300], [0.5, -2.0]])
    restored = spec.restore(x)
    assert restored.dtype == out
    largest = float(np.finfo(out).max)
    np.testing.assert_array_equal(restored, [[min(1e300, largest), -min(1e300, largest)], x[1]])


def test_rows_of_half_precision_come_back_finite(rng):
    X = (3e4 * rng.normal(size=(60, 5))).clip(-65000, 65000).astype(np.float16)
    vae = tiny().fit(X)
    far = vae.inverse_transform(np.array([[40.0, 40.0, 40.0], [-40.0, 40.0, 0.0]]))
    assert far.dtype == np.float16
    assert np.isfinite(far).all()
    assert np.abs(far).max() == np.finfo(np.float16).max
    full = tiny().fit(X.astype(np.float32))
    for half, single in (
        (vae.reconstruct(X), full.reconstruct(X.astype(np.float32))),
        (vae.sample(500), full.sample(500)),
    ):
        assert half.dtype == np.float16
        limited = single.clip(-65504, 65504).astype(np.float16)
        # A value between two of half precision may be rounded to either.
        np.testing.assert_array_max_ulp(half, limited, maxulp=1)


@pytest.mark.parametrize("method", ["posterior", "interpolation", "density", "conditional"])
def test_new_rows_of_half_precision_are_finite_and_within_the_old(rng, method):
    X = (3e4 * rng.normal(size=(60, 5))).clip(-65000, 65000).astype(np.float16)
    sampler = VAEAugmenter(vae=tiny(), method=method, n_new=50, random_state=0)
    new, _ = sampler.fit_resample(X, np.arange(60) % 2)
    assert new.dtype == np.float16
    assert (new.min(0) == X.min(0)).all()
    assert (new.max(0) == X.max(0)).all()


@pytest.mark.parametrize("factor", [1e-60, 1e60])
def test_columns_that_float32_cannot_hold_are_refused_before_training(rng, factor):
    X = rng.normal(size=(60, 5))
    X[:, 3] *= factor
    trained = Trained.trainings
    with pytest.raises(ValueError, match=r"Column 3 of X has mean .* StandardScaler"):
        tiny(callbacks=[Trained()]).fit(X)
    assert Trained.trainings == trained

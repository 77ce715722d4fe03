"""Remedies for values of another range: followed as they stand they are accepted, and right."""

import re
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import synthetic_images, tiny
from torch.utils.data import TensorDataset

from sklearn_vae import VAEAugmenter, VAEDetector
from sklearn_vae.input._ranges import darkness, full_scale

UNIT = synthetic_images(40, 8, 8, dtype="float64")
UNIT[0, 0, 0], UNIT[0, 0, 1] = 0, 1
LEVELS = (UNIT * 255).round()
MASKS = UNIT > 0.5
BEFORE = re.compile(r": |for example (?:by )?|pass ")


def bicubic(X):
    """Two pixels beyond the range, as resampling leaves them."""
    X = X.copy()
    X[0, 3, 3], X[1, 2, 2] = 1.2, -0.1
    return X


# name: (X, what it should come to)
RANGES = {
    "int64 0 and 1": (MASKS.astype(int), MASKS),
    "uint16 0 to 16": ((UNIT * 16).round().astype(np.uint16), (UNIT * 16).round() / 16),
    "int64 0 to 100": ((UNIT * 100).round().astype(int), (UNIT * 100).round() / 100),
    "int64 0 to 255": (LEVELS.astype(int), LEVELS.astype(np.uint8)),
    "int16 0 to 4095": ((UNIT * 4095).astype(np.int16), (UNIT * 4095).astype(int) / 4095),
    "int16 up to 3000": ((UNIT * 3000).astype(np.int16), (UNIT * 3000).astype(int) / 4095),
    "uint16 0 to 65535": ((UNIT * 65535).astype(np.uint16), (UNIT * 65535).astype(int) / 65535),
    "uint32 beyond 16 bits": ((UNIT * 1e6).astype(np.uint32), UNIT),
    "int8 -128 to 127": ((UNIT * 255 - 128).astype(np.int8), UNIT),
    "int16 -32768 to 32767": ((UNIT * 65535 - 32768).astype(np.int16), UNIT),
    "Hounsfield": ((UNIT * 4095 - 1024).astype(np.int16), np.clip((UNIT * 4095 - 864) / 400, 0, 1)),
    "Hounsfield as float": (UNIT * 4095 - 1024, np.clip((UNIT * 4095 - 864) / 400, 0, 1)),
    "float 0 to 255": (UNIT * 255, UNIT),
    "float32 0 to 16": ((UNIT * 16).astype(np.float32), UNIT),
    "float16 0 to 255": (LEVELS.astype(np.float16), LEVELS / 255),
    "float 0 to 65535": (UNIT * 65535, UNIT),
    "-1 to 1": (UNIT * 2 - 1, UNIT),
    "-0.5 to 0.5": (UNIT - 0.5, UNIT / 2 + 0.25),
    "standardised": ((UNIT - 0.45) / 0.225, UNIT),
    "standardised in float32": (((UNIT - 0.45) / 0.225).astype(np.float32), UNIT),
    "overshoot": (bicubic(UNIT), bicubic(UNIT).clip(0, 1)),
    "overshoot of 255": (bicubic(UNIT) * 255, bicubic(UNIT).clip(0, 1)),
    "far below zero": (UNIT * 1e6 - 1e9, UNIT),
}


def follow(message, X):
    """Return what the expression that a message ends with makes of X."""
    expression = BEFORE.split(message)[-1].removesuffix(".")
    return eval(expression, {"np": np, "torch": torch, "X": X, "x": X, "pd": pd})


def accepted(X, **parameters):
    """Return the values that an estimator reads, which are refused or warned of otherwise."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data, spec, _ = tiny(**parameters).read_training(X)
        return data.X / spec.maximum


def refusal(X, **parameters):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the tests look into it)
        tiny(**parameters).fit(X)
    return str(caught.value)


FORMS = {
    "array": lambda X: X,
    "tensor": torch.tensor,
    "list": list,
    "Series": lambda X: pd.Series(list(X)),
    "flat frame": lambda X: pd.DataFrame(X.reshape(len(X), -1)),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", RANGES)
def test_remedies_can_be_followed_and_are_right(name, form):
    X, expected = RANGES[name]
    flat = {"image_shape": (8, 8)} if form == "flat frame" else {}
    X = FORMS[form](X)
    found = accepted(follow(refusal(X, **flat), X), **flat).reshape(UNIT.shape)
    expected = expected / 255 if expected.dtype == np.uint8 else expected
    np.testing.assert_allclose(found, expected, rtol=0, atol=5e-3)


@pytest.mark.parametrize("name", [name for name in RANGES if not name.startswith("standard")])
def test_remedies_for_a_dataset_are_those_for_its_items(name):
    X, expected = RANGES[name]
    X = torch.tensor(X)
    of_batch = follow(refusal(TensorDataset(X)), X)
    expected = expected / 255 if expected.dtype == np.uint8 else expected
    np.testing.assert_allclose(accepted(of_batch), expected, rtol=0, atol=5e-3)


@pytest.mark.parametrize("form", ["array", "tensor", "list"])
def test_remedies_of_the_augmenter_name_the_users_x(form):
    X = FORMS[form]((UNIT * 4095).astype(np.int16))
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        VAEAugmenter(vae=tiny(), n_new=2).fit(X, np.arange(40) % 2)
    np.testing.assert_allclose(accepted(follow(str(caught.value), X)), UNIT, atol=5e-3)


STANDARDISED = "leave that step out (Normalize, StandardScaler)"


def test_a_remedy_speaks_of_normalisation_only_where_values_look_like_it():
    assert STANDARDISED in refusal((UNIT - 0.45) / 0.225)
    assert STANDARDISED in refusal(TensorDataset(torch.tensor((UNIT - 0.45) / 0.225)))
    for name in ("-1 to 1", "Hounsfield", "int8 -128 to 127", "far below zero", "overshoot"):
        assert STANDARDISED not in refusal(RANGES[name][0])


FITTED = {
    "float32": UNIT.astype(np.float32),
    "uint8": LEVELS.astype(np.uint8),
    "bool": MASKS,
    "masks of uint8": MASKS.astype(np.uint8),
}


@pytest.fixture(scope="module")
def fitted():
    with pytest.warns(UserWarning, match="masks"):
        return {name: tiny().fit(X) for name, X in FITTED.items()}


@pytest.mark.parametrize("name", RANGES)
@pytest.mark.parametrize("kind", FITTED)
def test_remedies_after_fit_lead_to_the_fitted_dtype_and_range(fitted, name, kind):
    X, _ = RANGES[name]
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        fitted[kind].transform(X)
    assert fitted[kind].transform(follow(str(caught.value), X)).shape == (40, 3)


@pytest.mark.parametrize("form", ["array", "tensor"])
@pytest.mark.parametrize("given", FITTED)
@pytest.mark.parametrize("kind", FITTED)
def test_the_same_images_in_another_dtype_are_the_same_after_the_remedy(fitted, kind, given, form):
    vae, X = fitted[kind], FORMS[form](FITTED[given])
    if kind == given or (kind, given) == ("uint8", "masks of uint8"):  # may be dark images
        vae.transform(X)
        return
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        vae.transform(X)
    Z = vae.transform(follow(str(caught.value), X))
    of_masks = "bool" in kind + given or "masks" in kind + given
    same = {
        "float32": MASKS.astype(np.float32),
        "uint8": MASKS * np.uint8(255),
        "bool": MASKS,
        "masks of uint8": MASKS.astype(np.uint8),
    }
    np.testing.assert_allclose(Z, vae.transform((same if of_masks else FITTED)[kind]), atol=0.02)


# -- almost black ------------------------------------------------------------------------------

DIGITS = (UNIT * 16).round()
DARK = {
    "uint8 0 to 16": (DIGITS.astype(np.uint8), DIGITS / 16),
    "uint8 0 to 7": ((UNIT * 7).round().astype(np.uint8), (UNIT * 7).round() / 7),
    "divided by 255 twice": (LEVELS / 255 / 255, LEVELS / 255),
    "divided twice in float32": ((LEVELS / 255 / 255).astype(np.float32), LEVELS / 255),
    "0 to 16 divided by 255": (DIGITS / 255, DIGITS / 16),
    "0 and 1 divided by 255": (MASKS / 255, MASKS),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", DARK)
def test_almost_black_images_are_warned_of_once_with_the_remedy(name, form):
    X, expected = DARK[name]
    flat = {"image_shape": (8, 8)} if form == "flat frame" else {}
    X = FORMS[form](X)
    with pytest.warns(UserWarning, match="almost black") as caught:
        tiny(max_epochs=1, **flat).fit(X)
    assert len(caught) == 1
    found = accepted(follow(str(caught[0].message), X), **flat).reshape(UNIT.shape)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_a_detector_warns_once_for_both_its_vaes():
    with pytest.warns(UserWarning, match="taken for masks") as caught:
        VAEDetector(tiny(), contamination=0.2).fit(MASKS.astype(np.uint8))
    assert len(caught) == 1


def test_partial_fit_warns_with_the_first_chunk_alone():
    X = DIGITS.astype(np.uint8)
    vae = tiny()
    with pytest.warns(UserWarning, match="If 16 is white, pass X / 16"):
        vae.partial_fit(X)
    vae.partial_fit(X).transform(X)


def test_rows_of_levels_are_warned_of_and_rows_of_numbers_are_not():
    with pytest.warns(UserWarning, match="If 16 is white"):
        tiny(max_epochs=1).fit(DIGITS.astype(np.uint8).reshape(40, -1))
    tiny(max_epochs=1).fit(UNIT.reshape(40, -1) / 255)
    tiny(max_epochs=1).fit(DIGITS.astype(int).reshape(40, -1))


def test_ordinary_images_are_not_warned_of():
    for X in (LEVELS.astype(np.uint8), UNIT, MASKS, (UNIT * 17).astype(np.uint8) + 10, UNIT * 0.1):
        accepted(X)
    for X in (np.zeros((40, 8, 8)), np.zeros((40, 8, 8), np.uint8)):  # black in any range
        accepted(X)


def test_a_bright_row_beside_the_spread_ones_is_seen():
    X = np.zeros((5000, 8, 8), np.uint8)
    X[::2] = 7
    assert darkness(X) == 7
    X[1] = 255  # every third row is looked at
    assert darkness(X) is None


def test_masks_of_uint8_are_read_and_returned_as_masks():
    X = MASKS.astype(np.uint8)
    vae = tiny()
    with pytest.warns(UserWarning, match=r"masks.*X\.astype\(bool\), or X \* 255\.$"):
        vae.fit(X)
    same = tiny().fit(MASKS)
    np.testing.assert_array_equal(vae.transform(X), same.transform(MASKS))
    np.testing.assert_array_equal(vae.reconstruct(X), same.reconstruct(MASKS).astype(np.uint8))
    assert vae.reconstruct(X).dtype == np.uint8
    np.testing.assert_array_equal(vae.sample(9), same.sample(9).astype(np.uint8))
    vae.transform(X * 0)
    for method in (vae.transform, vae.score_samples, vae.partial_fit):
        with pytest.raises(ValueError, match="up to 255, but the estimator was fitted on masks"):
            method(X * 255)
    with pytest.raises(ValueError, match="up to 255"):
        vae.transform(TensorDataset(torch.tensor(X * 255)))


def test_masks_of_uint8_keep_0_and_1_in_synthetic_rows():
    X, y = MASKS.astype(np.uint8), np.arange(40) % 2
    for method in ("posterior", "interpolation", "conditional", "density", "deformation"):
        augmenter = VAEAugmenter(vae=tiny(), method=method, n_new=5, random_state=0)
        with pytest.warns(UserWarning, match="masks"):
            new = augmenter.fit_resample(X, y)[0][40:]
        assert new.dtype == np.uint8
        assert set(np.unique(new)) == {0, 1}


def test_full_scales():
    whites = {1: 1, 16: 16, 100: 100, 200: 255, 256: 511, 4000: 4095, 65535: 65535, 1e6: 1e6}
    assert {high: full_scale(high) for high in whites} == whites

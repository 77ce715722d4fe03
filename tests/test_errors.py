"""What is refused: before any training, with the value, the remedy, and nothing changed."""

import copy

import numpy as np
import pytest
import torch
from helpers import Trained, synthetic_images, tiny, weights
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted
from torch import nn
from torch.utils.data import TensorDataset

from sklearn_vae.model import Gaussian
from sklearn_vae.nn import Conv

IMAGES = synthetic_images(40, 8, 8)
ROWS = IMAGES.reshape(40, -1)


def with_value(X, value, at=(3, 2)):
    X = X.copy()
    X[at] = value
    return X


def modules(encoder_out=8, decoder_out=64, decoder_in=3):
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(64, encoder_out))
    decoder = nn.Sequential(nn.Linear(decoder_in, decoder_out), nn.Unflatten(1, (1, 8, -1)))
    return encoder, decoder


NAN, INF = float("nan"), float("inf")
CUDA = torch.cuda.is_available()

# (parameters, X, y, words that the message holds)
BAD_DATA = {
    "NaN": ({}, with_value(IMAGES, NAN), None, ["NaN"]),
    "inf": ({}, with_value(IMAGES, INF), None, ["infinity"]),
    "NaN in rows": ({}, with_value(ROWS, NAN), None, ["NaN"]),
    "NaN in a dataset": (
        {},
        TensorDataset(torch.from_numpy(with_value(IMAGES, NAN))),
        None,
        ["NaN"],
    ),
    "inf in a dataset of rows": (
        {},
        TensorDataset(torch.from_numpy(with_value(ROWS, INF))),
        None,
        ["inf"],
    ),
    "0 to 255 as float": ({}, IMAGES * 255, None, ["0 to 255", "[0, 1]", "255"]),
    "digits": ({}, IMAGES * 16, None, ["[0, 1]", "16"]),
    "below zero": ({}, IMAGES - 0.5, None, ["-0.5", "[0, 1]", "(X + 1) / 2"]),
    "bernoulli rows": (
        {"likelihood": "bernoulli"},
        ROWS * 3,
        None,
        ["'bernoulli'", "[0, 1]", "MinMaxScaler", "gaussian"],
    ),
    "bce+mse rows": ({"likelihood": "bce+mse"}, ROWS - 1, None, ["'bce+mse'", "[0, 1]"]),
    "rows for a convolution": (
        {"network": "conv"},
        ROWS,
        None,
        ["'conv'", "64", "image_shape", "'mlp'"],
    ),
    "rows for Conv": ({"network": Conv()}, ROWS, None, ["Conv", "image_shape"]),
    "ambiguous layout": ({}, np.zeros((40, 3, 16, 3)), None, ["(n, 3, 16, 3)", "image_shape"]),
    "no channels": ({}, np.zeros((40, 16, 16, 16)), None, ["1 to 4 channels"]),
    "wrong image_shape": (
        {"image_shape": (9, 8)},
        ROWS,
        None,
        ["(9, 8)", "72", "64", "(height, width)"],
    ),
    "image_shape of other images": (
        {"image_shape": (4, 16)},
        IMAGES,
        None,
        ["(4, 16)", "(8, 8)", "None"],
    ),
    "one image as rows": (
        {"image_shape": (8, 8)},
        IMAGES[0],
        None,
        ["(8, 8)", "one image", "X[None]", "two or more"],
    ),
    "one colour image": ({"image_shape": (8, 8, 3)}, np.zeros((8, 8, 3)), None, ["X[None]"]),
    "image_shape of one number": ({"image_shape": (64,)}, ROWS, None, ["(64,)", "(n, height"]),
    "5-D": ({}, np.zeros((40, 2, 8, 8, 3)), None, ["(n, 2, 8, 8, 3)", "(n, height, width)"]),
    "too small": ({}, np.zeros((40, 7, 8)), None, ["7x8", "8x8", "mlp"]),
    "too small for the network": (
        {"network": Conv(channels=(4, 4, 4, 4))},
        IMAGES,
        None,
        ["16 pixels", "8x8", "fewer channels"],
    ),
    "int64 images": ({}, np.zeros((40, 8, 8), int), None, ["int64", "uint8", "astype"]),
    "text": ({}, np.full((40, 8, 8), "a"), None, []),
    "one sample": ({}, IMAGES[:1], None, ["1", "2"]),
    "one item": ({}, TensorDataset(torch.from_numpy(IMAGES[:1])), None, ["1 sample", "2"]),
    "no sample": ({}, IMAGES[:0], None, ["0 sample"]),
    "one dimension": ({}, ROWS[0], None, ["2D", "1D"]),
    "y too short": ({}, IMAGES, np.zeros(39), ["40", "39"]),
    "y too short for a split": (
        {"validation_fraction": 0.2},
        IMAGES,
        np.zeros(39),
        ["40", "39"],
    ),
    "too few to train on": (
        {"validation_fraction": 0.6},
        IMAGES[:3],
        None,
        ["0.6", "3", "validation_fraction"],
    ),
}

BAD_PARAMETERS = {
    "z_dim": (0, ["'z_dim'", "0", "[1, inf)"]),
    "network": ("resnet50", ["'network'", "'resnet50'", "'conv-bn'", "'mlp'"]),
    "likelihood": ("poisson", ["'likelihood'", "'poisson'", "'bernoulli'"]),
    "optimizer": ("lion", ["'optimizer'", "'lion'", "'adam'"]),
    "features": ("logits", ["'features'", "'logits'", "'hidden'"]),
    "augment": ("randaugment", ["'augment'", "'randaugment'", "'geometric'"]),
    "lr_schedule": ("step", ["'lr_schedule'", "'step'", "'cosine'"]),
    "precision": ("float16", ["'precision'", "'float16'", "'bfloat16'"]),
    "device": ("tpu", ["'tpu'", "'auto'", "'cpu'"]),
    "max_epochs": (0, ["'max_epochs'", "0", "'auto'"]),
    "batch_size": (0, ["'batch_size'", "0"]),
    "lr": (0.0, ["'lr'", "0.0"]),
    "beta": (-1.0, ["'beta'", "-1.0"]),
    "kl_warmup": (-1, ["'kl_warmup'", "-1"]),
    "free_bits": (-0.1, ["'free_bits'", "-0.1"]),
    "importance_samples": (0, ["'importance_samples'", "0"]),
    "validation_fraction": (1.0, ["'validation_fraction'", "1.0"]),
    "patience": (0, ["'patience'", "0"]),
    "image_shape": (64, ["'image_shape'", "64", "tuple"]),
    "callbacks": ("early", ["'callbacks'", "'early'", "list"]),
}

BAD_COMBINATIONS = {
    "patience without validation": (
        {"patience": 2, "validation_fraction": 0},
        IMAGES,
        ["patience=2", "validation_fraction=0"],
    ),
    "importance weights without a KL term to weigh": (
        {"importance_samples": 2, "beta": 0.5},
        IMAGES,
        ["importance_samples=2", "beta=0.5", "Leave them at 1, 0 and 0"],
    ),
    "augmentation of rows": ({"augment": "geometric"}, ROWS, ["'geometric'", "64", "image_shape"]),
    "strength for uint8 rows": (
        {"augment": 0.5},
        (255 * ROWS).astype("uint8"),
        ["0.5", "image_shape"],
    ),
    "decoder of the wrong size": (
        {"network": modules(decoder_out=72)},
        IMAGES,
        ["(2, 1, 8, 9)", "(2, 1, 8, 8)"],
    ),
    "decoder without the likelihood's second parameter": (
        {"network": modules(), "likelihood": "discretized-logistic"},
        IMAGES,
        ["(2, 1, 8, 8)", "(2, 2, 8, 8)", "2 per value"],
    ),
    "decoder for another z_dim": (
        {"network": modules(decoder_in=5)},
        IMAGES,
        ["z_dim=3", "(1, 8, 8)"],
    ),
    "batches of one with BatchNorm": (
        {"batch_size": 1, "network": "conv-bn"},
        IMAGES,
        ["batch_size=1", "BatchNorm", ">= 2"],
    ),
    "one module": ({"network": (nn.Linear(2, 2),)}, IMAGES, ["(encoder, decoder)"]),
    "classes, not modules": (
        {"network": (nn.Linear, nn.Linear)},
        IMAGES,
        ["two torch modules", "(encoder, decoder)"],
    ),
    **({} if CUDA else {"no cuda": ({"device": "cuda"}, IMAGES, ["'cuda'", "'auto'", "'cpu'"])}),
}

CASES = {
    **BAD_DATA,
    **{name: ({name: bad}, IMAGES, None, words) for name, (bad, words) in BAD_PARAMETERS.items()},
    **{name: (p, X, None, words) for name, (p, X, words) in BAD_COMBINATIONS.items()},
}


def refuse(call, words):
    """Check that the call is refused before any training, with the words in its message."""
    trainings = Trained.trainings
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the words are checked below)
        call()
    for word in words:
        assert word in str(caught.value)
    assert Trained.trainings == trainings
    assert not isinstance(caught.value, FloatingPointError)


@pytest.mark.parametrize("name", CASES)
def test_refused_by_fit_before_training(name):
    parameters, X, y, words = CASES[name]
    estimator = tiny(callbacks=[Trained()]).set_params(**parameters)
    before = set(vars(estimator))
    refuse(lambda: estimator.fit(X, y), words)
    assert set(vars(estimator)) == before
    with pytest.raises(NotFittedError):
        check_is_fitted(estimator)


@pytest.fixture(scope="module")
def trained():
    return tiny().fit(IMAGES)


# A warm start reads no image_shape: the model is there.
REFITS = [(name, False) for name in CASES] + [
    (name, True) for name in CASES if name != "image_shape of other images"
]


@pytest.mark.parametrize(("name", "warm_start"), REFITS)
def test_a_refused_fit_leaves_the_fitted_model_as_it_was(trained, name, warm_start):
    parameters, X, y, words = CASES[name]
    estimator = copy.deepcopy(trained)
    before = {k: v for k, v in vars(estimator).items() if k.endswith("_")}
    kept = weights(estimator)
    Z = estimator.transform(IMAGES)
    estimator.set_params(warm_start=warm_start, **{"callbacks": [Trained()], **parameters})
    # A warm start may have another reason to refuse: that X or the model is not what it was.
    refuse(lambda: estimator.fit(X, y), [] if warm_start else words)
    after = {k: v for k, v in vars(estimator).items() if k.endswith("_")}
    assert after == before
    estimator.set_params(**tiny().get_params(deep=False))
    np.testing.assert_array_equal(estimator.transform(IMAGES), Z)
    assert all(torch.equal(kept[k], v) for k, v in weights(estimator).items())
    assert estimator.partial_fit(IMAGES).n_iter_ == 3


OTHER_DATA = {
    "another size": (synthetic_images(5, 9, 9), ["(9, 9)", "(8, 8)"]),
    "channels": (synthetic_images(5, 8, 8, 3), ["(8, 8, 3)", "(8, 8)"]),
    "flat rows": (ROWS[:5], ["(64,)", "(8, 8)"]),
    "other rows": (np.zeros((5, 7)), ["7", "64"]),
    "0 to 255": (IMAGES[:5] * 255, ["[0, 1]", "Scale X"]),
    "uint8": (synthetic_images(5, 8, 8, dtype="uint8"), ["uint8", "float32", "convert X"]),
    "int64": (np.zeros((5, 8, 8), int), ["int64", "float32"]),
    "NaN": (with_value(IMAGES[:5], NAN), ["NaN"]),
    "inf": (with_value(IMAGES[:5], INF), ["infinity"]),
    "NaN in a dataset": (TensorDataset(torch.from_numpy(with_value(IMAGES, NAN))), ["NaN"]),
    "no sample": (IMAGES[:0], ["0 sample"]),
    "another size in a dataset": (TensorDataset(torch.zeros(5, 9, 9)), ["(9, 9)", "(8, 8)"]),
}


@pytest.mark.parametrize("name", OTHER_DATA)
@pytest.mark.parametrize("method", ["transform", "reconstruct", "score_samples", "score"])
def test_other_data_than_fitted_are_refused(trained, name, method):
    X, words = OTHER_DATA[name]
    refuse(lambda: getattr(trained, method)(X), words)


@pytest.mark.parametrize("name", OTHER_DATA)
def test_other_data_are_refused_by_partial_fit(trained, name):
    X, words = OTHER_DATA[name]
    estimator = copy.deepcopy(trained).set_params(callbacks=[Trained()])
    Z = estimator.transform(IMAGES)
    refuse(lambda: estimator.partial_fit(X), words)
    np.testing.assert_array_equal(estimator.transform(IMAGES), Z)
    assert estimator.n_iter_ == 2


def test_float_data_are_refused_where_uint8_were_fitted():
    estimator = tiny().fit(synthetic_images(20, 8, 8, dtype="uint8"))
    for X in (IMAGES[:5], IMAGES[:5] > 0.5):
        refuse(lambda X=X: estimator.transform(X), [X.dtype.name, "uint8", "convert X"])


@pytest.mark.parametrize("shape", [(4, 2), (4, 6), (3,), (2, 3, 3)])
def test_codes_of_another_shape_are_refused(trained, shape):
    words = ["z_dim=3", "features='mean'"] if len(shape) == 2 else []
    refuse(lambda: trained.inverse_transform(np.zeros(shape)), words)


def test_codes_that_are_no_numbers_are_refused(trained):
    refuse(lambda: trained.inverse_transform([[0.0, NAN, 1.0]]), ["NaN"])


@pytest.mark.parametrize("n_samples", [0, -1, 1.5, None, "3"])
def test_impossible_numbers_of_samples_are_refused(trained, n_samples):
    refuse(lambda: trained.sample(n_samples), [f"n_samples={n_samples!r}", ">= 1"])
    words = [f"n_draws={n_samples!r}", ">= 1"]
    refuse(lambda: trained.score_samples(IMAGES, n_draws=n_samples), words)


@pytest.mark.parametrize("n_samples", [np.int64(2), np.uint8(2)])
def test_numpys_integers_are_integers(trained, n_samples):
    assert trained.sample(n_samples).shape == (2, 8, 8)
    assert trained.score_samples(IMAGES, n_draws=n_samples).shape == (40,)


def test_unknown_features_are_refused_after_fit_too(trained):
    estimator = copy.deepcopy(trained).set_params(features="logits")
    refuse(lambda: estimator.transform(IMAGES), ["'logits'", "mean+std", "hidden"])


def test_symmetry_is_for_images(trained):
    words = ["symmetry='both'", "image_shape", "symmetry=None"]
    rows = IMAGES.reshape(len(IMAGES), -1)
    estimator = tiny(symmetry="both", callbacks=[Trained()])
    trainings = Trained.trainings
    refuse(lambda: estimator.fit(rows), words)
    assert Trained.trainings == trainings
    refuse(lambda: tiny().fit(rows).set_params(symmetry="both").transform(rows), words)
    estimator = copy.deepcopy(trained).set_params(symmetry="vertical")
    refuse(lambda: estimator.transform(IMAGES), ["'vertical'", "None, 'horizontal', 'both'"])


@pytest.mark.parametrize(
    ("method", "argument"),
    [
        ("transform", IMAGES),
        ("inverse_transform", np.zeros((2, 3))),
        ("reconstruct", IMAGES),
        ("sample", 2),
        ("score_samples", IMAGES),
        ("score", IMAGES),
        ("get_feature_names_out", None),
    ],
)
def test_nothing_but_fit_before_fit(method, argument):
    with pytest.raises(NotFittedError, match="VAETransformer"):
        getattr(tiny(), method)(argument)


def test_an_impossible_scale_is_refused_where_it_is_written():
    with pytest.raises(ValueError, match=r"scale=-0\.1"):
        tiny(likelihood=Gaussian(scale=-0.1))


BAD_ITEMS = {"NaN": (NAN, "NaN"), "inf": (INF, "inf"), "out of range": (99.0, r"\[0, 1\]")}


def with_a_bad_last_item(value):
    X = np.tile(IMAGES, (5, 1, 1))
    X[-1] = value
    return TensorDataset(torch.from_numpy(X))


@pytest.mark.parametrize("name", BAD_ITEMS)
@pytest.mark.parametrize("method", ["transform", "reconstruct", "score_samples"])
def test_bad_items_far_into_a_dataset_are_refused_when_they_are_read(trained, name, method):
    value, word = BAD_ITEMS[name]
    with pytest.raises(ValueError, match=word):
        getattr(trained, method)(with_a_bad_last_item(value))


@pytest.mark.parametrize("name", BAD_ITEMS)
def test_bad_items_far_into_a_dataset_end_the_training_with_their_name(name):
    value, word = BAD_ITEMS[name]
    estimator = tiny()
    with pytest.raises(ValueError, match=word):
        estimator.fit(with_a_bad_last_item(value))
    assert not hasattr(estimator, "module_")

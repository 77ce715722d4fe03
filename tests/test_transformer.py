"""VAETransformer: input in every form, output in the form of the input, repeatable results."""

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import same_weights, synthetic_images, tiny, weights
from scipy import stats
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted
from torch import nn
from torch.utils.data import TensorDataset

from sklearn_vae import VAETransformer
from sklearn_vae.input._spec import rows_at_once
from sklearn_vae.model import Gaussian
from sklearn_vae.nn import MLP, Conv, ConvBN, LinearBase, Patches

# -- chance -------------------------------------------------------------------------------------

SEEDED = {
    "mlp": {},
    "conv": {"network": Conv(channels=(4, 8)), "augment": "geometric", "validation_fraction": 0.2},
    "batch norm": {"network": Conv(channels=(4,), batch_norm=True), "patience": 1},
    "partial": {"augment": 0.5},
}


def set_global_seeds(number):
    torch.manual_seed(number)
    np.random.seed(number)  # noqa: NPY002 (the caller's global state is the point)


def global_states():
    return torch.get_rng_state(), np.random.get_state()[1].tobytes()  # noqa: NPY002


@pytest.fixture
def global_seeds():
    """Let a test set the global generators, and put them back."""
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()  # noqa: NPY002
    yield set_global_seeds
    torch.set_rng_state(torch_state)
    np.random.set_state(numpy_state)  # noqa: NPY002


@pytest.mark.parametrize("name", SEEDED)
def test_same_random_state_same_weights_whatever_the_global_seeds(images, global_seeds, name):
    def fit(**changes):
        estimator = tiny(**SEEDED[name], **changes)
        return estimator.partial_fit(images) if name == "partial" else estimator.fit(images)

    first = fit()
    global_seeds(1)
    second = fit()
    global_seeds(2)
    third = fit()
    assert same_weights(first, second)
    assert same_weights(first, third)
    np.testing.assert_array_equal(first.transform(images), third.transform(images))
    assert not same_weights(first, fit(random_state=1))


def test_random_state_instances_move_on(images):
    state = np.random.RandomState(0)
    first, second = tiny(random_state=state).fit(images), tiny(random_state=state).fit(images)
    assert not same_weights(first, second)
    assert same_weights(first, tiny(random_state=np.random.RandomState(0)).fit(images))


def test_without_random_state_numpys_global_seed_decides(images, global_seeds):
    global_seeds(5)
    torch.manual_seed(1)
    torch_state = torch.get_rng_state()
    first = tiny(random_state=None).fit(images)
    assert torch.equal(torch.get_rng_state(), torch_state)
    second = tiny(random_state=None).fit(images)
    global_seeds(5)
    assert same_weights(first, tiny(random_state=None).fit(images))
    assert not same_weights(first, second)


def test_global_generators_stay_as_they_were(images, labels):
    torch_before, numpy_before = global_states()
    estimator = tiny(
        network=Conv(channels=(4,)), augment="geometric", validation_fraction=0.2, warm_start=True
    )
    estimator.fit(images, labels)
    estimator.fit(images, labels)
    estimator.partial_fit(images)
    estimator.inverse_transform(estimator.transform(images))
    estimator.reconstruct(images)
    estimator.sample(3)
    estimator.sample(3, random_state=1)
    estimator.score_samples(images, importance_weighted=True)
    estimator.score(images)
    torch_after, numpy_after = global_states()
    assert torch.equal(torch_before, torch_after)
    assert numpy_before == numpy_after


def test_samples_repeat_by_random_state(fitted):
    first = fitted.sample(5, random_state=1)
    np.testing.assert_array_equal(fitted.sample(5, random_state=1), first)
    assert not np.array_equal(fitted.sample(5, random_state=2), first)
    np.testing.assert_array_equal(fitted.sample(5), fitted.sample(5, random_state=0))
    assert fitted.sample().shape == (1, 8, 8)


def test_results_are_in_host_memory_whatever_torchs_default_device_is(fitted, images):
    expected = fitted.transform(images), fitted.inverse_transform(fitted.transform(images))
    with torch.device("meta"):
        Z = fitted.transform(images)
        X = fitted.inverse_transform(Z)
    np.testing.assert_array_equal(Z, expected[0])
    np.testing.assert_array_equal(X, expected[1])
    assert Z.flags.writeable
    assert X.flags.writeable


def test_samples_are_decoded_draws_from_the_prior(fitted):
    codes = fitted.module_.draw(5, np.random.RandomState(1))
    assert codes.dtype == np.float32
    np.testing.assert_allclose(
        fitted.sample(5, random_state=1), fitted.inverse_transform(codes), atol=1e-6
    )
    many = fitted.module_.draw(5000, np.random.RandomState(2))
    for column in many.T:
        assert stats.kstest(column, "norm").pvalue > 0.001
    np.testing.assert_allclose(np.corrcoef(many.T), np.eye(3), atol=0.06)


# -- layouts ------------------------------------------------------------------------------------


def all_layouts(X):
    """Return colour or grey images (n, h, w, c) in all forms, each with its image_shape."""
    n, h, w, c = X.shape
    first = np.ascontiguousarray(X.transpose(0, 3, 1, 2))
    forms = [
        (X, None, "last"),
        (first, None, "first"),
        (X.reshape(n, -1), (h, w, c), "last"),
        (first.reshape(n, -1), (c, h, w), "first"),
    ]
    if c == 1:
        forms += [(X[..., 0], None, "last"), (X.reshape(n, -1), (h, w), "last")]
    return forms


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("network", [MLP(hidden=(16,)), Conv(channels=(4, 8))])
def test_every_layout_of_the_same_images_gives_the_same_model(channels, network):
    X = synthetic_images(40, 9, 13, channels)
    reference, scores = None, {}
    for form, image_shape, order in all_layouts(X):
        estimator = tiny(network=network, image_shape=image_shape, likelihood="bernoulli")
        estimator.fit(form)
        Z = estimator.transform(form)
        images = estimator.reconstruct(form)
        assert images.shape == form.shape
        if order == "first" and form.ndim == 4:
            images = images.transpose(0, 2, 3, 1)
        elif order == "first":
            images = images.reshape(40, channels, 9, 13).transpose(0, 2, 3, 1)
        images = images.reshape(X.shape)
        if reference is None:
            reference = Z, images
        np.testing.assert_allclose(Z, reference[0], atol=1e-3)
        np.testing.assert_allclose(images, reference[1], atol=1e-3)
        # The noise of the scores is a function of the row's bytes, and so of the channels' order.
        np.testing.assert_allclose(
            estimator.score_samples(form),
            scores.setdefault(order, estimator.score_samples(form)),
            rtol=1e-4,
        )
    if channels == 3:
        assert scores["first"].mean() == pytest.approx(scores["last"].mean(), rel=0.01)


def test_the_order_of_the_channels_matters_when_rows_are_flat():
    X = synthetic_images(40, 9, 13, 3).reshape(40, -1)
    conv = Conv(channels=(4, 8))
    first = tiny(network=conv, image_shape=(3, 9, 13)).fit_transform(X)
    last = tiny(network=conv, image_shape=(9, 13, 3)).fit_transform(X)
    assert np.abs(first - last).max() > 1e-3


# -- kinds of input -----------------------------------------------------------------------------

CONTAINERS = {
    "list": lambda X, path: X.tolist(),
    "tensor": lambda X, path: torch.tensor(X),
    "dataset": lambda X, path: TensorDataset(torch.tensor(X)),
    "labelled dataset": lambda X, path: TensorDataset(torch.tensor(X), torch.zeros(len(X))),
    "read-only": lambda X, path: np.frombuffer(X.tobytes(), X.dtype).reshape(X.shape),
    "fortran": lambda X, path: np.asfortranarray(X),
    "negative strides": lambda X, path: np.ascontiguousarray(X[::-1, ::-1])[::-1, ::-1],
    "big-endian": lambda X, path: X.astype(X.dtype.newbyteorder(">")),
    "memmap r": lambda X, path: mapped(X, path, "r"),
    "memmap r+": lambda X, path: mapped(X, path, "r+"),
    "memmap c": lambda X, path: mapped(X, path, "c"),
}


def mapped(X, path, mode):
    X.tofile(path / "X")
    return np.memmap(path / "X", X.dtype, mode, shape=X.shape)


@pytest.mark.parametrize(
    ("name", "dtype"),
    [(n, d) for n in CONTAINERS for d in ("uint8", "float64") if (n, d) != ("list", "uint8")],
)
def test_every_container_gives_the_same_model(tmp_path, name, dtype):
    X = synthetic_images(50, 9, 8, dtype=dtype)
    reference = tiny().fit(X)
    held = CONTAINERS[name](X, tmp_path)
    estimator = tiny().fit(held)
    assert same_weights(estimator, reference)
    np.testing.assert_array_equal(estimator.transform(held), reference.transform(X))
    np.testing.assert_array_equal(estimator.score_samples(held), reference.score_samples(X))
    np.testing.assert_array_equal(estimator.reconstruct(held), reference.reconstruct(X))
    assert estimator.n_features_in_ == 72


def test_bfloat16_items_and_tensors_are_read_as_float(images):
    X = torch.tensor(images).bfloat16()
    reference = tiny().fit(X.float())
    assert same_weights(tiny().fit(X), reference)
    estimator = tiny().fit(TensorDataset(X))
    np.testing.assert_allclose(estimator.transform(X), reference.transform(X), atol=1e-3)


@pytest.mark.parametrize("mode", ["r", "r+", "c"])
def test_a_memory_mapped_array_is_never_read_as_a_whole(tmp_path, mode):
    X = mapped(np.zeros((40, 8, 8), np.uint8), tmp_path, mode)
    data, *_ = tiny().read_training(X)
    assert data.tensor is None
    assert np.shares_memory(data.X, X)


def test_images_in_memory_are_not_copied():
    X = synthetic_images(40, 8, 8, dtype="uint8")
    data, *_ = tiny().read_training(X)
    tensor = data.tensor
    assert tensor.dtype == torch.uint8
    assert tensor.data_ptr() == X.ctypes.data


@pytest.mark.parametrize("dtype", ["uint8", "bool", "float16", "float64"])
def test_no_method_changes_x(dtype):
    X = synthetic_images(30, 8, 8, dtype=dtype)
    before = X.tobytes()
    estimator = tiny(augment="geometric").fit(X)
    estimator.partial_fit(X)
    for method in (estimator.transform, estimator.reconstruct, estimator.score_samples):
        method(X)
    assert X.tobytes() == before


def test_uint8_and_the_same_images_as_float_give_the_same_latents():
    X = synthetic_images(60, 8, 8, dtype="uint8")
    a, b = tiny().fit(X), tiny().fit(X / 255)
    np.testing.assert_allclose(a.transform(X), b.transform(X / 255), atol=1e-4)
    np.testing.assert_allclose(a.reconstruct(X), 255 * b.reconstruct(X / 255), atol=0.51)


# -- output in the form of the input ------------------------------------------------------------


def check_forms(estimator, X):
    """Check shapes, dtypes and ranges of all that comes back."""
    Z = estimator.fit_transform(X)
    assert Z.shape == (len(X), 3)
    assert Z.dtype == np.float32
    assert np.isfinite(Z).all()
    high = {"uint8": 255, "bool": 1}.get(X.dtype.name, 1)
    for images in (estimator.reconstruct(X), estimator.inverse_transform(Z), estimator.sample(2)):
        assert images.shape[1:] == X.shape[1:]
        assert images.dtype == X.dtype
        assert images.min() >= 0
        assert images.max() <= high
    np.testing.assert_allclose(
        estimator.reconstruct(X).astype(float),
        estimator.inverse_transform(Z).astype(float),
        atol=1e-3 if X.dtype.kind == "f" else 1,
    )
    assert np.isfinite(estimator.score_samples(X)).all()


@pytest.mark.parametrize("network", ["mlp", "conv"])
@pytest.mark.parametrize("size", [(8, 8), (9, 13), (17, 8)])
@pytest.mark.parametrize("channels", [None, 1, 2, 3, 4])
def test_any_size_and_channels(network, size, channels):
    shape = size if channels is None else (*size, channels)
    check_forms(tiny(network=network, max_epochs=1), synthetic_images(6, *shape))
    if channels:
        check_forms(
            tiny(network=network, max_epochs=1), synthetic_images(6, channels, *size, dtype="uint8")
        )


@pytest.mark.parametrize("shape", [(8, 8), (9, 13, 3), (2, 17, 8)])
def test_any_size_and_channels_of_the_large_network(shape):
    estimator = tiny(network="conv-bn", likelihood="bce+mse", max_epochs=1)
    check_forms(estimator, synthetic_images(5, *shape))
    assert isinstance(estimator.network_, ConvBN)


@pytest.mark.parametrize("dtype", ["uint8", "bool", "float16", "float32", "float64"])
@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian", "bce+mse", "discretized-logistic"])
def test_any_dtype_and_likelihood(dtype, likelihood):
    X = synthetic_images(20, 8, 9, dtype=dtype)
    check_forms(tiny(likelihood=likelihood), X)
    check_forms(tiny(likelihood=likelihood, image_shape=(8, 9)), X.reshape(20, -1))


def test_uint8_results_are_rounded_to_the_nearest_level(rng):
    estimator = tiny(max_epochs=1).fit(synthetic_images(20, 8, 8, dtype="uint8"))
    Z = rng.normal(size=(30, 3)).astype(np.float32) * 5
    mean = estimator.module_.conditional(torch.from_numpy(Z)).mean.detach().numpy()
    off = estimator.inverse_transform(Z).astype(float) - 255 * mean[:, 0]
    assert np.abs(off).max() < 0.501
    assert np.abs(off.mean()) < 0.05


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian", "discretized-logistic"])
def test_constant_images_give_finite_results(value, likelihood):
    X = np.full((20, 8, 8), value)
    estimator = tiny(likelihood=likelihood, features="hidden", max_epochs=5, lr=0.05).fit(X)
    assert np.isfinite(estimator.transform(X)).all()
    assert np.isfinite(estimator.score_samples(X)).all()
    assert np.isfinite(estimator.reconstruct(X)).all()
    assert np.isfinite([row["train_loss"] for row in estimator.history_]).all()


# -- vectors ------------------------------------------------------------------------------------


@pytest.fixture
def vectors(rng):
    return rng.normal(size=(150, 4)) @ rng.normal(size=(4, 4))


@pytest.mark.parametrize("offset", [1.0, 1e4, 1e6])
def test_vectors_with_an_offset_give_the_same_model(vectors, offset):
    shifted = vectors + offset * np.array([1.3, -1.7, 0.9, 1.1])
    a, b = tiny().fit(vectors), tiny().fit(shifted)
    np.testing.assert_allclose(b.transform(shifted), a.transform(vectors), atol=1e-3)
    moved_back = b.reconstruct(shifted) - (shifted - vectors)
    np.testing.assert_allclose(moved_back, a.reconstruct(vectors), atol=1e-3)
    assert b.reconstruct(shifted).dtype == np.float64


@pytest.mark.parametrize("factor", [1e-15, 1e-6, 1e3, 1e12])
def test_vectors_in_other_units_give_the_same_model_and_shifted_scores(vectors, factor):
    a, b = tiny().fit(vectors), tiny().fit(vectors * factor)
    np.testing.assert_allclose(b.transform(vectors * factor), a.transform(vectors), atol=1e-3)
    np.testing.assert_allclose(
        b.reconstruct(vectors * factor) / factor, a.reconstruct(vectors), atol=1e-3
    )
    # log-densities change by -d log(factor); the draws differ, so in the mean only.
    shift = b.score_samples(vectors * factor, n_draws=64).mean() + 4 * np.log(factor)
    assert shift == pytest.approx(a.score_samples(vectors, n_draws=64).mean(), abs=0.1)


@pytest.mark.parametrize("value", [0.0, 0.1, -7.3, 1e6 + 0.1, 123456789.123])
def test_constant_columns_do_no_harm(vectors, value):
    X = np.column_stack([vectors, np.full(len(vectors), value)])
    estimator = tiny(max_epochs=5).fit(X)
    np.testing.assert_allclose(
        estimator.reconstruct(X)[:, 4], value, atol=1.0, rtol=0
    )  # a constant is standardised to 0 with scale 1; the decoder is off by its noise
    assert np.isfinite(estimator.transform(X)).all()
    standardised = estimator.module_.scaling(torch.from_numpy(X))
    np.testing.assert_allclose(standardised[:, 4], 0, atol=1e-3)
    plain = tiny(max_epochs=5).fit(vectors)
    # The column's own term is about log N(0; 0, 1) = -0.9.
    difference = estimator.score(X) - plain.score(vectors)
    assert -2.5 < difference < 0.5


@pytest.mark.parametrize("dtype", ["int32", "int64", "float16", "float32", ">f8"])
def test_vectors_of_any_dtype(dtype, rng):
    X = rng.integers(-5, 300, (100, 6))
    reference = tiny().fit(X.astype(np.float64))
    estimator = tiny().fit(X.astype(dtype))
    np.testing.assert_allclose(
        estimator.transform(X.astype(dtype)), reference.transform(X.astype(float)), atol=1e-3
    )


@pytest.mark.parametrize("dtype", ["uint8", "bool"])
def test_uint8_and_bool_rows_are_intensities(dtype):
    X = synthetic_images(50, 8, 8, dtype=dtype).reshape(50, -1)
    estimator = VAETransformer(3, max_epochs=1, device="cpu").fit(X)
    assert repr(estimator.likelihood_) == "Bernoulli()"
    assert isinstance(estimator.network_, MLP)
    assert estimator.reconstruct(X).dtype == dtype


@pytest.mark.parametrize(
    ("shape", "dtype", "network", "likelihood", "augment"),
    [
        ((16, 17), "float32", Conv(batch_norm=True), "bernoulli", "geometric"),
        ((16, 16, 3), "uint8", Conv(batch_norm=True), "gaussian", "natural"),
        ((8, 8), "float32", Conv((64, 128), batch_norm=True), "gaussian", "geometric"),
        ((3, 15, 40), "uint8", Conv((64, 128), batch_norm=True), "gaussian", "natural"),
        ((64,), "uint8", MLP(), "bernoulli", None),
        ((64,), "float32", LinearBase(MLP((128,))), "gaussian", "auto"),
    ],
)
def test_auto_by_kind_of_data(shape, dtype, network, likelihood, augment):
    X = synthetic_images(20, *shape, dtype=dtype)
    small = {"max_epochs": 1, "device": "cpu", "random_state": 0}
    auto = VAETransformer(3, **small).fit(X)
    named = {"network": network, "likelihood": likelihood, "augment": augment}
    assert same_weights(auto, VAETransformer(3, **named, **small).fit(X))
    other = VAETransformer(3, **{**named, "likelihood": Gaussian(scale=0.31)}, **small)
    assert not same_weights(auto, other.fit(X))


def test_data_frames(rows):
    frame = pd.DataFrame(rows, columns=[f"p{i}" for i in range(64)], index=range(7, 207))
    estimator = tiny().fit(frame)
    assert list(estimator.feature_names_in_) == list(frame.columns)
    np.testing.assert_array_equal(estimator.transform(frame), tiny().fit(rows).transform(rows))
    with pytest.raises(ValueError, match="feature names"):
        estimator.transform(frame.rename(columns={"p0": "q0"}))
    out = estimator.set_output(transform="pandas").transform(frame)
    assert list(out.columns) == ["vaetransformer0", "vaetransformer1", "vaetransformer2"]
    assert list(out.index) == list(frame.index)


@pytest.mark.parametrize("kind", ["images", "dataset", "rows"])
def test_column_names_are_forgotten_when_the_next_fit_has_none(rows, images, kind):
    estimator = tiny().fit(pd.DataFrame(rows, columns=[f"p{i}" for i in range(64)]))
    estimator.fit(
        {"images": images, "dataset": TensorDataset(torch.tensor(rows)), "rows": rows}[kind]
    )
    assert not hasattr(estimator, "feature_names_in_")


# -- features -----------------------------------------------------------------------------------


def test_features_can_be_changed_after_fit(images):
    estimator = tiny().fit(images)
    mean = estimator.transform(images)
    both = estimator.set_params(features="mean+std").transform(images)
    np.testing.assert_array_equal(both[:, :3], mean)
    q = estimator.module_.posterior(torch.tensor(images[:, None], dtype=torch.float32))
    np.testing.assert_allclose(both[:, 3:], q.scale.detach().numpy(), rtol=1e-4)
    hidden = estimator.set_params(features="hidden").transform(images)
    assert hidden.shape == (200, 16)
    assert len(estimator.get_feature_names_out()) == 16


@pytest.mark.parametrize(
    ("network", "sizes"),
    [(MLP(hidden=(16, 7)), [7]), (Conv((4,)), [4 * 16]), (Conv((4, 8)), [4 * 16, 8 * 4])],
)
def test_hidden_features_by_hand(images, network, sizes):
    n_hidden = sum(sizes)
    estimator = tiny(network=network, features="hidden").fit(images)
    hidden = estimator.transform(images)
    x = torch.tensor(images[:, None], dtype=torch.float32)
    raw = estimator.module_.raw_hidden(x).detach().double().numpy()
    assert raw.shape == (200, n_hidden)
    # Centred, divided by the root of the standard deviation, each row of length sqrt(n_hidden),
    # to which each stage contributes as much.
    std = raw.std(0)
    std = np.maximum(std, 0.01 * std.mean())
    expected = (raw - raw.mean(0)) / np.sqrt(std)
    for part in np.split(expected, np.cumsum(sizes)[:-1], axis=1):
        part *= np.sqrt(n_hidden / len(sizes)) / np.linalg.norm(part, axis=1, keepdims=True)
    np.testing.assert_allclose(hidden, expected, atol=1e-3)


LAYOUTS = {  # shape of a sample, its axes of width and height, settings
    "grey": ((8, 9), 2, 1, {}),
    "channels last": ((9, 8, 3), 2, 1, {}),
    "channels first": ((3, 8, 8), 3, 2, {}),
    "patches": ((8, 9, 3), 2, 1, {"network": Patches(MLP((5,)), n_filters=4, size=3)}),
}


@pytest.mark.parametrize("features", ["mean", "mean+std", "hidden"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_symmetric_features_do_not_change_with_the_flips(layout, features):
    shape, width, height, changes = LAYOUTS[layout]
    X = synthetic_images(30, *shape, dtype="uint8")
    estimator = tiny(features=features, **changes).fit(X)
    plain = estimator.transform(X)
    mirrored = np.flip(X, width)
    assert not np.allclose(estimator.transform(mirrored), plain, atol=1e-2)
    for symmetry, flips in {
        "horizontal": [mirrored],
        "both": [mirrored, np.flip(X, height), np.flip(X, (width, height))],
    }.items():
        estimator.set_params(symmetry=symmetry)
        expected = estimator.transform(X)
        assert expected.shape == plain.shape
        assert not np.allclose(expected, plain, atol=1e-2)
        for flipped in flips:
            np.testing.assert_allclose(estimator.transform(flipped), expected, atol=1e-4)


def test_symmetric_features_by_hand(images):
    estimator = tiny(network=Conv((4, 8)), features="hidden", symmetry="horizontal").fit(images)
    model = estimator.module_
    x = torch.tensor(images[:, None], dtype=torch.float32)
    raw = (model.raw_hidden(x) + model.raw_hidden(x.flip(3))) / 2
    expected = model.scaled_hidden(raw).detach().numpy()
    np.testing.assert_allclose(estimator.transform(images), expected, atol=1e-4)
    mean = estimator.set_params(features="mean", symmetry=None)
    expected = (mean.transform(images) + mean.transform(images[:, :, ::-1])) / 2
    both = estimator.set_params(features="mean+std", symmetry="horizontal").transform(images)
    np.testing.assert_allclose(both[:, :3], expected, atol=1e-5)


def test_symmetric_features_of_flattened_images(images):
    symmetric = tiny(symmetry="both").fit(images)
    flat = tiny(symmetry="both", image_shape=images.shape[1:]).fit(images.reshape(200, -1))
    np.testing.assert_array_equal(
        flat.transform(images.reshape(200, -1)), symmetric.transform(images)
    )


def test_training_and_scores_know_nothing_of_symmetry(images):
    symmetric, plain = tiny(symmetry="both").fit(images), tiny().fit(images)
    assert same_weights(symmetric, plain)
    for method in ("reconstruct", "score_samples"):
        np.testing.assert_array_equal(*(getattr(e, method)(images) for e in (symmetric, plain)))


# -- rows are independent of each other ---------------------------------------------------------


@pytest.mark.parametrize("features", ["mean", "hidden"])
@pytest.mark.parametrize("network", [MLP(hidden=(16,)), Conv(channels=(4,), batch_norm=True)])
def test_a_row_alone_gives_the_row_of_the_whole(images, network, features):
    estimator = tiny(network=network, features=features).fit(images)
    whole = estimator.transform(images)
    for rows in ([5], [199], [3, 3, 7], list(range(17, 40))):
        np.testing.assert_allclose(estimator.transform(images[rows]), whole[rows], atol=1e-6)
        np.testing.assert_allclose(
            estimator.reconstruct(images[rows]), estimator.reconstruct(images)[rows], atol=1e-6
        )


@pytest.mark.parametrize("importance_weighted", [False, True])
def test_scores_do_not_depend_on_order_subset_or_repetition(fitted, images, importance_weighted):
    def scores(X):
        return fitted.score_samples(X, n_draws=4, importance_weighted=importance_weighted)

    whole = scores(images)
    order = np.random.default_rng(0).permutation(len(images))
    np.testing.assert_array_equal(scores(images), whole)
    np.testing.assert_array_equal(scores(images[order]), whole[order])
    for rows in ([11], list(range(40, 99))):
        np.testing.assert_array_equal(scores(images[rows]), whole[rows])
    assert fitted.score(images) == pytest.approx(fitted.score_samples(images).mean(), rel=1e-5)


def test_more_rows_than_one_chunk(fitted, images):
    many = np.concatenate([images] * 25)
    assert len(many) > rows_at_once(fitted.spec_.shape)
    for method in (fitted.transform, fitted.reconstruct, fitted.score_samples):
        out = method(many).reshape(25, 200, -1)
        np.testing.assert_allclose(out, np.broadcast_to(out[:1], out.shape), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(out[0], method(images).reshape(200, -1), rtol=1e-4, atol=1e-6)


def test_importance_weighted_scores_are_above_the_elbo_and_rise(fitted, images):
    bounds = [
        fitted.score_samples(images, n_draws=k, importance_weighted=True).mean() for k in (1, 8, 64)
    ]
    assert bounds[0] < bounds[1] < bounds[2]
    assert bounds[2] > fitted.score_samples(images, n_draws=64).mean()


def test_transform_is_the_posterior_mean_and_keeps_the_estimator(fitted, images):
    before = {name: id(value) for name, value in vars(fitted).items()}
    kept = weights(fitted)
    Z = fitted.transform(images)
    q = fitted.module_.posterior(torch.tensor(images[:, None], dtype=torch.float32))
    np.testing.assert_allclose(Z, q.loc.detach().numpy(), atol=1e-5)
    fitted.reconstruct(images)
    fitted.score_samples(images)
    assert {name: id(value) for name, value in vars(fitted).items()} == before
    assert same_weights(fitted, kept)


# -- parameters ---------------------------------------------------------------------------------

KNOBS = {
    "z_dim": 4,
    "network": MLP(hidden=(15,)),
    "likelihood": Gaussian(scale=0.3),
    "beta": 4.0,
    "kl_warmup": 2,
    "free_bits": 3.0,
    "importance_samples": 2,
    "augment": "geometric",
    "max_epochs": 3,
    "batch_size": 50,
    "lr": 1e-2,
    "lr_schedule": "constant",
    "optimizer": "adamw",
    "validation_fraction": 0.2,
    "precision": "bfloat16",
    "random_state": 1,
}


@pytest.mark.parametrize("name", KNOBS)
def test_every_parameter_of_the_training_changes_the_model(images, fitted, name):
    changed = tiny(**{name: KNOBS[name]}).fit(images)
    assert not same_weights(changed, fitted)


@pytest.mark.parametrize(
    ("name", "value"),
    [("augment", 0), ("network", MLP(hidden=(16,))), ("verbose", 0)],
)
def test_equivalent_settings_give_the_same_model(images, fitted, name, value):
    assert same_weights(tiny(**{name: value}).fit(images), fitted)


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_named_optimizers_are_torchs(images, optimizer):
    classes = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}
    named = tiny(optimizer=optimizer).fit(images)
    assert isinstance(named.net_.optimizer_, classes[optimizer])
    by_class = tiny(optimizer=classes[optimizer]).fit(images)
    for name, value in weights(named).items():  # fused kernels may round differently
        torch.testing.assert_close(value, weights(by_class)[name], rtol=1e-3, atol=1e-5)


def test_a_pair_of_modules_is_trained_as_copies(images):
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU())
    decoder = nn.Sequential(nn.LazyLinear(64), nn.Unflatten(1, (1, 8, 8)))
    before = encoder[1].weight.detach().clone()
    estimator = tiny(network=(encoder, decoder)).fit(images)
    check_is_fitted(estimator)
    assert torch.equal(encoder[1].weight, before)
    assert isinstance(decoder[0], nn.LazyLinear)
    assert not torch.equal(estimator.module_.encoder[1].weight, before)
    for z_dim in (2, 5):
        Z = clone(estimator).set_params(z_dim=z_dim).fit_transform(images)
        assert Z.shape == (200, z_dim)


def test_pretrained_modules_start_from_their_weights(images):
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU())
    decoder = nn.Sequential(nn.Linear(3, 64), nn.Unflatten(1, (1, 8, 8)))
    estimator = tiny(network=(encoder, decoder), lr=1e-12).fit(images)
    torch.testing.assert_close(estimator.module_.encoder[1].weight, encoder[1].weight)
    torch.testing.assert_close(estimator.module_.decoder[0].weight, decoder[0].weight)

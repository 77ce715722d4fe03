"""Checks on the simulated device, run by ``tests/test_simulated_device.py`` in a new process."""

from __future__ import annotations

import contextlib
import pickle
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from device import DEVICE, SimulatedDevice, register
from helpers import some_labels, synthetic_images, tiny
from sklearn.frozen import FrozenEstimator
from torch import nn
from torch.utils.data import IterableDataset, TensorDataset

import sklearn_vae.input._batches
import sklearn_vae.input._chunks
import sklearn_vae.model._codec
import sklearn_vae.nn._mps
import sklearn_vae.training._trainer
from sklearn_vae import VAEAugmenter, VAEDetector
from sklearn_vae.detection._statistics import STATISTICS
from sklearn_vae.nn import Conv, Patches, ResNet
from sklearn_vae.nn._scaling import Scaling
from sklearn_vae.synthesis import DeformationViews, PosteriorViews
from sklearn_vae.utils._generators import Generators

CPU = torch.device("cpu")
SETTINGS = {
    "mlp": {},
    "conv": {"network": Conv((4, 8))},
    "batch norm": {"network": ResNet((4, 8)), "validation_fraction": 0.2},
    "patches": {"network": Patches(Conv((4, 8)), n_filters=5, size=4), "features": "hidden"},
    "geometric": {"augment": "geometric"},
    "natural": {"augment": "natural"},
    "strong": {"augment": "strong"},
    "labels": {"label_weight": 1.0},
    "views": {"contrastive_weight": 1.0, "augment": "geometric"},
    "importance": {"importance_samples": 3},
    "vamp": {"prior": "vamp"},
    "mixture": {"prior": "mixture"},
    "iaf": {"posterior": "iaf"},
    "gaussian": {"likelihood": "gaussian"},
    "logistic": {"likelihood": "discretized-logistic"},
    "patience": {"validation_fraction": 0.2, "patience": 1},
}
"""Trainings that take different ways."""


@pytest.fixture(scope="session", autouse=True)
def _registered():
    register()


@pytest.fixture
def simulation(monkeypatch, request):
    """The device, on which estimators run that ask for ``device="auto"``; limited where asked."""
    limited = getattr(request, "param", False)

    def resolve(device, **how):
        return torch.device(DEVICE.type) if device == "auto" else CPU  # no index, as "cuda"

    for module in (sklearn_vae.model._codec, sklearn_vae.training._trainer):
        monkeypatch.setattr(module, "resolve_device", resolve)
    # It computes on the CPU, with its generator.
    on = Generators.on
    monkeypatch.setattr(Generators, "on", lambda self, device: on(self, CPU))
    # torch's Python tensors cannot be views in inference mode.
    no_grad = {True: torch.no_grad, False: contextlib.nullcontext}
    monkeypatch.setattr(torch, "inference_mode", lambda mode=True: no_grad[mode]())
    if limited:
        monkeypatch.setattr(sklearn_vae.nn._mps, "LIMITED", {DEVICE.type})
    with SimulatedDevice(limited=limited) as simulated:
        yield simulated


# Where the estimator is, torch's default device, and whether the simulated one is limited. An
# estimator on the CPU has to say so wherever it makes a tensor, once that is not the default.
everywhere = pytest.mark.parametrize(
    ("device", "default", "simulation"),
    [("auto", CPU, False), ("auto", CPU, True), ("auto", DEVICE, False), ("cpu", DEVICE, False)],
    ids=["there", "there, limited", "there by default", "here, there by default"],
    indirect=["simulation"],
)


@pytest.fixture(scope="session")
def images(images):
    """A few, as each operation passes through Python."""
    return images[:60]


@pytest.fixture(scope="session")
def labels(labels):
    """Their classes, less than ten."""
    return labels[:60] % 3


@pytest.fixture
def resident(monkeypatch):
    """Images live on the device, as they do where a GPU has the memory."""
    monkeypatch.setattr(sklearn_vae.input._batches, "free_memory", lambda device: 10**9)


def everything(estimator, X, y):
    """Return what all methods of a new estimator make of X."""
    estimator.fit(X, y).partial_fit(X, y)
    Z = estimator.set_params(features="mean").transform(X)
    return {
        "features": estimator.set_params(features="hidden").transform(X),
        "codes": Z,
        "decoded": estimator.inverse_transform(Z),
        "scores": estimator.score_samples(X),
        "samples": estimator.sample(3, random_state=0),
    }


def assert_same(results, expected):
    """Compare what several calls came to, but for rounding."""
    for name, result in results.items():
        np.testing.assert_allclose(result, expected[name], rtol=2e-3, atol=2e-4, err_msg=name)


@pytest.fixture(scope="session")
def on_the_cpu(images):
    """Return what a training comes to where all is on the CPU; each is computed once."""
    return cache(lambda name: everything(tiny(**SETTINGS[name]), images, some_labels(images)))


@everywhere
@pytest.mark.parametrize("name", SETTINGS)
def test_trainings(simulation, images, on_the_cpu, name, device, default):
    estimator = tiny(device=device, **SETTINGS[name])
    with default:
        results = everything(estimator, images, some_labels(images))
    home = DEVICE if device == "auto" else CPU
    assert {p.device for p in estimator.module_.parameters()} == {home}
    assert_same(results, on_the_cpu(name))


@everywhere
@pytest.mark.parametrize("dtype", ["float64", "bool"])
def test_rows(simulation, rows, dtype, device, default):
    X = (100 * rows[:60]).astype(dtype)
    y = some_labels(X)
    with default:
        results = everything(tiny(device=device), X, y)
    assert_same(results, everything(tiny(), X, y))


@everywhere
@pytest.mark.parametrize(
    "method", ["posterior", "interpolation", "density", "conditional", "deformation"]
)
def test_synthetic_images(simulation, images, labels, method, device, default):
    def synthetic(device):
        augmenter = VAEAugmenter(vae=tiny(device=device), method=method, n_new=3, random_state=0)
        return augmenter.fit_resample(images, labels)[0][len(images) :]

    with default:
        found = synthetic(device)
    np.testing.assert_allclose(found, synthetic("cpu"), atol=1e-3)


@pytest.mark.parametrize("default", [CPU, DEVICE])
def test_fresh_images_in_a_training_loop(simulation, images, labels, default):
    x = torch.tensor(images[:, None]).float().to(DEVICE)
    with default:
        vae = tiny(device="auto")
        augmenter = VAEAugmenter(vae=vae, method="deformation", n_new=1, random_state=0)
        augmenter.fit_resample(images, labels)
        for views in (PosteriorViews(vae.fit(images)), DeformationViews(augmenter)):
            assert views(x).device == DEVICE


@everywhere
def test_anomaly_scores(simulation, images, device, default):
    def scores(device):
        return VAEDetector(vae=tiny(device=device)).fit(images).score_samples(images)

    with default:
        found = scores(device)
    np.testing.assert_allclose(found, scores("cpu"), rtol=1e-3, atol=1e-3)


class Stream(IterableDataset):
    def __init__(self, X):
        self.X = X

    def __iter__(self):
        return iter(self.X)


@pytest.mark.parametrize("default", [CPU, DEVICE])
@pytest.mark.parametrize("device", ["auto", "cpu"])
@pytest.mark.parametrize("home", [CPU, DEVICE])
def test_users_tensors_and_modules_may_be_on_either_device(
    simulation, images, device, home, default
):
    y = some_labels(images)
    expected = everything(tiny(device="cpu", label_weight=1.0), images, y)
    X = torch.tensor(images).float().to(home)
    with default:
        estimator = tiny(device=device, label_weight=1.0)
        assert_same(everything(estimator, X, torch.from_numpy(y).to(home)), expected)
        codes = torch.from_numpy(expected["codes"]).to(home)
        assert estimator.inverse_transform(codes).shape == images.shape
        items = TensorDataset(X)
        assert tiny(device=device).fit(items).transform(items).shape == (len(images), 3)
        stream = Stream(X)
        Z = tiny(device=device, validation_fraction=0.1).fit(stream).transform(stream)
        assert Z.shape == (len(images), 3)
        encoder = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU()).to(home)
        decoder = nn.Sequential(nn.Linear(3, 64), nn.Unflatten(1, (1, 8, 8))).to(home)
        tiny(device=device, network=(encoder, decoder)).fit(images)
    assert {p.device for p in (*encoder.parameters(), *decoder.parameters())} == {home}


@pytest.mark.parametrize("default", [CPU, DEVICE])
@pytest.mark.parametrize("there", ["auto", "cpu"])
@pytest.mark.parametrize("here", ["auto", "cpu"])
def test_models_move_between_devices(simulation, images, here, there, default):
    estimator = tiny(device=there).fit(images)
    expected = estimator.transform(images)
    with default:
        loaded = pickle.loads(pickle.dumps(estimator.set_params(device=here)))
        np.testing.assert_allclose(loaded.transform(images), expected, rtol=1e-4, atol=1e-5)
        loaded.partial_fit(images)


# -- what passes between host and device ---------------------------------------------------------


def traffic(simulation, X, epochs, batch_size, **settings):
    """Return what passes in a training."""
    simulation.traffic.clear()
    tiny(device="auto", max_epochs=epochs, batch_size=batch_size, **settings).fit(X, some_labels(X))
    return dict(simulation.traffic)


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_no_step_waits_for_the_device(simulation, resident, images, settings):
    few, many = (traffic(simulation, images, 2, size, **settings) for size in (30, 10))
    assert few == many


def test_an_epoch_reads_its_losses_and_no_more(simulation, resident, images):
    two, five = (traffic(simulation, images, epochs, 30) for epochs in (2, 5))
    two["to host"] += 3  # an epoch's loss and its two terms, together
    assert five == two


def test_images_that_do_not_fit_travel_by_the_batch(simulation, images):
    few, many = (traffic(simulation, images, 2, size) for size in (30, 10))
    few["from host"] += 2 * (6 - 2)
    assert many == few


def test_uint8_travels_as_uint8(simulation, resident, monkeypatch):
    seen = set()
    forward = Scaling.forward

    def spy(self, raw):
        seen.add((raw.dtype, raw.device))
        return forward(self, raw)

    monkeypatch.setattr(Scaling, "forward", spy)
    tiny(device="auto").fit(synthetic_images(50, 8, 8, dtype="uint8"))
    assert seen == {(torch.uint8, CPU), (torch.uint8, DEVICE)}  # it is built on the CPU


@pytest.fixture
def asynchronous(simulation, monkeypatch):
    """The device copies from and to pinned memory while the host goes on."""
    monkeypatch.setattr(sklearn_vae.input._chunks, "ASYNCHRONOUS", {DEVICE.type})
    monkeypatch.setattr(sklearn_vae.nn._device, "ASYNCHRONOUS", {DEVICE.type})
    monkeypatch.setattr(sklearn_vae.input._chunks, "rows_at_once", lambda shape: 13)
    monkeypatch.setattr(sklearn_vae.input._chunks, "GPU_CHUNKS", 1)

    def pinned(self):
        assert self.device == CPU, "only host memory can be pinned"
        return self.clone()

    monkeypatch.setattr(torch.Tensor, "pin_memory", pinned)
    stream = SimpleNamespace(record_event=lambda: SimpleNamespace(synchronize=simulation.event()))
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: stream)


@pytest.mark.parametrize("memory", [0, 10**9])
@pytest.mark.parametrize("n", [5, 13, 60])
def test_results_are_waited_for(asynchronous, simulation, images, n, memory, monkeypatch):
    monkeypatch.setattr(sklearn_vae.input._batches, "free_memory", lambda device: memory)
    y = some_labels(images[:n])
    how = {"max_epochs": 2, "batch_size": 10, "label_weight": 1.0}
    results = everything(tiny(device="auto", **how), images[:n], y)
    assert simulation.arrived == len(simulation.begun) > 0
    assert_same(results, everything(tiny(**how), images[:n], y))


def test_the_host_is_one_chunk_behind_the_device(asynchronous, simulation, images):
    vae = tiny(device="auto").fit(images)
    under_way = []
    vae.module_.encoder.register_forward_pre_hook(
        lambda *args: under_way.append(len(simulation.begun) - simulation.arrived)
    )
    vae.transform(images)
    assert under_way == [0, 1, 1, 1, 1]


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.bfloat16])
def test_images_on_the_device_stay_there(asynchronous, simulation, images, dtype):
    X = torch.tensor(images * (255 if dtype == torch.uint8 else 1)).to(dtype)
    vae = tiny(device="auto").fit(X)
    expected = vae.transform(X)
    there = X.to(DEVICE)
    simulation.traffic.clear()
    begun = len(simulation.begun)
    found = vae.transform(there)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert simulation.traffic["from host"] == 0
    assert simulation.traffic["to host"] <= 2  # the first row, to know its form; the range
    assert len(simulation.begun) - begun == 5  # the codes of each chunk


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float16, torch.bfloat16, torch.float64])
def test_scores_on_the_device_are_those_elsewhere(simulation, images, dtype):
    X = torch.tensor(images * (255 if dtype == torch.uint8 else 1)).to(dtype)
    vae = tiny(device="auto").fit(X)
    results = []
    for x in (X.to(DEVICE), X):
        detector = VAEDetector(FrozenEstimator(vae), contamination=0.2)
        with pytest.warns(UserWarning, match="trained on rows of X"):  # it knows them again
            detector.fit(x)
        scores = {
            method: detector.set_params(method=method).score_samples(x) for method in STATISTICS
        }
        results.append({**scores, "ELBO": vae.score_samples(x), "map": detector.error_map(x)})
    assert_same(*results)


def test_bad_values_on_the_device_are_refused_as_elsewhere(simulation, images):
    vae = tiny(device="auto").fit(images)
    for bad in (np.nan, np.inf, -0.5, 1.5):
        X = torch.tensor(images)
        X[17, 3, 3] = bad
        messages = []
        for place in (X, X.to(DEVICE)):
            with pytest.raises(ValueError, match=r"Input contains|X has values") as error:
                vae.transform(place)
            messages.append(str(error.value))
        assert messages[0] == messages[1]
    with pytest.raises(ValueError, match="samples of shape"):
        vae.transform(X.to(DEVICE)[:, :7])

"""Saving and loading: what is kept, what is not, and on which machine it works."""

import copy
import io
import os
import pickle
import subprocess
import sys

import joblib
import numpy as np
import pytest
import skops.io
import torch
from helpers import CountBatches, same_weights, tiny, weights
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC
from torch import nn

from sklearn_vae.model import Gaussian
from sklearn_vae.nn import MLP, Conv, Patches, ResNet


def by_pickle(estimator):
    return pickle.loads(pickle.dumps(estimator))


def by_joblib(estimator):
    buffer = io.BytesIO()
    joblib.dump(estimator, buffer)
    buffer.seek(0)
    return joblib.load(buffer)


COPIES = {"pickle": by_pickle, "joblib": by_joblib, "deepcopy": copy.deepcopy, "copy": copy.copy}

MODELS = {
    "mlp": {},
    "conv": {"network": Conv(channels=(4, 8)), "features": "hidden"},
    "batch norm": {"network": Conv(channels=(4,), batch_norm=True), "features": "mean+std"},
    "residual": {"network": ResNet(channels=(4,), blocks=2), "features": "hidden"},
    "patches": {"network": Patches(Conv((4,)), n_filters=3), "features": "hidden"},
    "learnt scale": {"likelihood": Gaussian()},
    "discretized": {"likelihood": "discretized-logistic"},
    "callbacks": {"callbacks": [CountBatches()], "patience": 1},
    "modules": {
        "network": (
            nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU()),
            nn.Sequential(nn.LazyLinear(64), nn.Unflatten(1, (1, 8, 8))),
        )
    },
}


def check_same(loaded, estimator, X):
    assert same_weights(loaded, estimator)
    np.testing.assert_array_equal(loaded.transform(X), estimator.transform(X))
    np.testing.assert_array_equal(loaded.reconstruct(X), estimator.reconstruct(X))
    np.testing.assert_array_equal(loaded.score_samples(X), estimator.score_samples(X))
    np.testing.assert_array_equal(
        loaded.sample(3, random_state=1), estimator.sample(3, random_state=1)
    )
    assert loaded.history_ == estimator.history_
    assert loaded.n_iter_ == estimator.n_iter_
    assert loaded.n_features_in_ == estimator.n_features_in_
    assert loaded.spec_ == estimator.spec_
    assert list(loaded.get_feature_names_out()) == list(estimator.get_feature_names_out())


@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize("name", MODELS)
def test_a_copy_does_the_same(images, name, how):
    estimator = tiny(**MODELS[name]).fit(images)
    loaded = COPIES[how](estimator)
    check_same(loaded, estimator, images)
    assert not loaded.module_.training
    # They share nothing: training one leaves the other alone.
    Z = estimator.transform(images)
    loaded.partial_fit(images)
    np.testing.assert_array_equal(estimator.transform(images), Z)


def test_standardisation_of_vectors_is_kept(rng):
    X = rng.normal(size=(50, 4)) * [1, 10, 100, 1e-3] + [0, 5, -1e4, 1]
    estimator = tiny().fit(X)
    check_same(by_pickle(estimator), estimator, X)


@pytest.mark.parametrize("how", COPIES)
def test_unfitted_estimators_can_be_copied(images, fitted, how):
    loaded = COPIES[how](tiny())
    assert not hasattr(loaded, "module_")
    assert same_weights(loaded.fit(images), fitted)


@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli"])
def test_skops_saves_pipelines_of_named_types(images, labels, likelihood):
    pipeline = make_pipeline(tiny(likelihood=likelihood), SVC()).fit(images, labels)
    data = skops.io.dumps(pipeline)
    types = skops.io.get_untrusted_types(data=data)
    assert {name.partition(".")[0] for name in types} == {"sklearn_vae"}
    loaded = skops.io.loads(data, trusted=types)
    check_same(loaded[0], pipeline[0], images)
    np.testing.assert_array_equal(loaded.predict(images), pipeline.predict(images))


LOAD = """
import sys, joblib, numpy as np, pickle
folder = sys.argv[1]
X = np.load(folder + "/X.npy")
for i in range(3):
    by_joblib = joblib.load(f"{folder}/{i}.joblib")
    mapped = joblib.load(f"{folder}/{i}.joblib", mmap_mode="r")
    with open(f"{folder}/{i}.pickle", "rb") as file:
        by_pickle = pickle.load(file)
    out = [est[:-1].transform(X) for est in (by_joblib, mapped, by_pickle)]
    np.save(f"{folder}/{i}.npy", np.stack(out))
"""


def test_a_fresh_process_transforms_alike(images, labels, tmp_path):
    pipelines = [
        make_pipeline(tiny(**MODELS[name]), SVC()).fit(images, labels)
        for name in ("mlp", "batch norm", "modules")
    ]
    np.save(tmp_path / "X.npy", images)
    for i, pipeline in enumerate(pipelines):
        joblib.dump(pipeline, tmp_path / f"{i}.joblib")
        (tmp_path / f"{i}.pickle").write_bytes(pickle.dumps(pipeline))
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "error", "-c", LOAD, tmp_path]
    subprocess.run(command, check=True, env=environment)
    for i, pipeline in enumerate(pipelines):
        for Z in np.load(tmp_path / f"{i}.npy"):
            np.testing.assert_allclose(Z, pipeline[0].transform(images), atol=1e-6)


def test_a_memory_mapped_file_can_be_trained_further(images, tmp_path):
    estimator = tiny(warm_start=True).fit(images)
    joblib.dump(estimator, tmp_path / "vae.joblib")
    before = (tmp_path / "vae.joblib").read_bytes()
    mapped = joblib.load(tmp_path / "vae.joblib", mmap_mode="r")
    assert same_weights(mapped.fit(images), estimator.fit(images))
    assert (tmp_path / "vae.joblib").read_bytes() == before


@pytest.mark.parametrize("epochs", [1, 50])
@pytest.mark.parametrize("network", [MLP(hidden=(256,)), Conv(channels=(32, 64, 128))])
def test_a_file_is_hardly_larger_than_the_weights(images, network, epochs):
    estimator = tiny(network=network, max_epochs=epochs, validation_fraction=0.2).fit(images[:20])
    size = sum(v.numel() * v.element_size() for v in estimator.module_.state_dict().values())
    assert size > 100_000
    assert len(pickle.dumps(estimator)) <= 1.2 * size + 50_000
    buffer = io.BytesIO()
    joblib.dump(estimator, buffer)
    assert buffer.tell() <= 1.2 * size + 50_000


@pytest.mark.parametrize("warm_start", [False, True])
def test_no_net_and_no_training_data_in_the_file(images, warm_start):
    estimator = tiny(warm_start=warm_start, validation_fraction=0.2).fit(images)
    data = pickle.dumps(estimator)
    assert b"skorch" not in data
    assert len(data) < images.nbytes
    assert not hasattr(pickle.loads(data), "net_")
    assert hasattr(estimator, "net_")  # saving takes nothing from the one that is saved


def test_the_net_holds_no_training_data(images):
    estimator = tiny(validation_fraction=0.2).fit(images)
    reachable = pickle.dumps(estimator.net_.get_params())
    assert len(reachable) < images.nbytes


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
@pytest.mark.parametrize("device", ["cuda", "cuda:3", torch.device("cuda")])
def test_a_model_set_to_an_absent_device_lands_on_the_cpu_with_a_warning(images, device):
    estimator = tiny().fit(images)
    Z = estimator.transform(images)
    estimator.set_params(device=device)
    data = pickle.dumps(estimator)
    with pytest.warns(UserWarning, match=r"device='cuda.*on the CPU"):
        loaded = pickle.loads(data)
    assert loaded.device_ == torch.device("cpu")
    assert {v.device.type for v in loaded.module_.state_dict().values()} == {"cpu"}
    np.testing.assert_allclose(loaded.transform(images), Z, atol=1e-6)
    with pytest.raises(ValueError, match="not available on this machine"):
        loaded.fit(images)
    assert same_weights(loaded.set_params(device="cpu").fit(images), estimator)


def test_the_device_is_resolved_where_the_model_is_loaded(images):
    estimator = tiny(device="auto").fit(images)
    assert by_pickle(estimator).device_ == estimator.device_


OPTIMIZERS = ["adam", "adamw", "sgd", torch.optim.RMSprop]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize("times", [1, 2])
def test_training_goes_on_after_loading_as_it_would_have_without(images, optimizer, method, times):
    estimator = tiny(warm_start=method == "fit", optimizer=optimizer)
    getattr(estimator, method)(images)
    loaded = estimator
    for _ in range(times):
        loaded = by_pickle(loaded)
    for _ in range(2):
        getattr(estimator, method)(images)
        getattr(loaded, method)(images)
        assert loaded.n_iter_ == estimator.n_iter_
        assert same_weights(loaded, estimator)


def test_copies_that_go_on_do_not_disturb_each_other(images):
    estimator = tiny(warm_start=True).fit(images)
    undisturbed = tiny(warm_start=True).fit(images).fit(images)
    copied = copy.copy(estimator)
    copied.set_params(lr=0.1).fit(images)
    assert same_weights(estimator.fit(images), undisturbed)


@pytest.mark.parametrize("change", [{"z_dim": 5}, {"network": "conv"}, {"likelihood": "gaussian"}])
def test_parameters_changed_after_fit_wait_for_the_next_fit(images, change):
    estimator = tiny().fit(images)
    Z, scores = estimator.transform(images), estimator.score_samples(images)
    estimator.set_params(**change)
    for same in (estimator, by_pickle(estimator)):
        np.testing.assert_array_equal(same.transform(images), Z)
        np.testing.assert_array_equal(same.score_samples(images), scores)
        assert same.sample(2).shape == (2, 8, 8)
        assert len(same.get_feature_names_out()) == 3
    reference = tiny(**change).fit(images)
    assert same_weights(by_pickle(estimator).fit(images), reference)


def test_loading_leaves_the_global_generators_alone(images):
    estimator = tiny().fit(images)
    data = pickle.dumps(estimator)
    before = torch.get_rng_state()
    pickle.loads(data)
    copy.deepcopy(estimator)
    clone(estimator)
    assert torch.equal(torch.get_rng_state(), before)


def test_saving_changes_nothing(images):
    estimator = tiny(warm_start=True).fit(images)
    before = {name: id(value) for name, value in vars(estimator).items()}
    pickle.dumps(estimator)
    assert {name: id(value) for name, value in vars(estimator).items()} == before
    reference = tiny(warm_start=True).fit(images)
    assert same_weights(estimator.fit(images), reference.fit(images))


def test_a_loaded_model_does_not_depend_on_how_fresh_modules_begin(images):
    estimator = tiny().fit(images)
    data = pickle.dumps(estimator)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        first = pickle.loads(data)
        torch.manual_seed(2)
        second = pickle.loads(data)
    assert same_weights(first, second)


def test_what_was_loaded_in_inference_mode_trains_on(images):
    stored = pickle.dumps(tiny(warm_start=True).fit(images))
    with torch.inference_mode():
        loaded = pickle.loads(stored)
    before = weights(loaded)
    loaded.partial_fit(images)
    assert not same_weights(before, weights(loaded))

"""A model as a safetensors file: the same one back, no code, and nothing believed unchecked."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from math import prod

import numpy as np
import pandas as pd
import pytest
import safetensors.numpy
import torch
from helpers import (
    CountBatches,
    read_saved,
    rewrite_saved,
    same_weights,
    synthetic_images,
    tiny,
    weights,
)
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from torch import nn

from sklearn_vae import VAETransformer
from sklearn_vae.augmentation import Augment
from sklearn_vae.input._spec import InputSpec
from sklearn_vae.model import (
    IAF,
    Bernoulli,
    DiagonalNormal,
    Gaussian,
    Mixture,
    StandardNormal,
    VAERecipe,
    Vamp,
)
from sklearn_vae.nn import MLP, Conv, ConvBN, Custom, Network
from sklearn_vae.persistence import _config

SMALL = Conv((4, 8), batch_norm=True)

# What is saved, in pairs: each network, likelihood, prior, layout and dtype occurs.
CASES = {
    "grey": ((8, 8), "float64", {}),
    "uint8": ((8, 9), "uint8", {"network": SMALL, "features": "hidden", "symmetry": "both"}),
    "channels last": ((9, 8, 3), "uint8", {"network": "conv", "prior": Mixture(np.int64(4))}),
    "channels first": ((3, 8, 8), "float32", {"network": ConvBN(), "likelihood": "bce+mse"}),
    "flattened": ((64,), "float16", {"image_shape": [8, 8], "features": "mean+std"}),
    "flattened colour": ((192,), "uint8", {"image_shape": (8, 8, 3), "network": SMALL}),
    "bool": ((8, 8), "bool", {"likelihood": Bernoulli(), "prior": Vamp(5)}),
    "vectors": ((6,), "float32", {"network": MLP([5, 4]), "likelihood": Gaussian(0.5)}),
    "bounded rows": ((6,), "float64", {"likelihood": "bernoulli", "prior": Vamp(4)}),
    "counts": ((6,), "uint8", {"likelihood": "discretized-logistic", "z_dim": np.int32(2)}),
    "augmented": ((8, 8), "float32", {"augment": Augment(rotate=5, flip=True), "patience": 3}),
    "flow": ((8, 8), "float32", {"posterior": IAF(np.int64(3), 9), "prior": Vamp(3)}),
    "large": ((40, 66), "uint8", {"network": "auto", "batch_size": "auto", "augment": "auto"}),
    "device": ((8, 8), "float32", {"device": torch.device("cpu"), "random_state": 3}),
}


def fit(name):
    shape, dtype, changes = CASES[name]
    X = synthetic_images(20, *shape, dtype=dtype)
    return tiny(**changes).fit(X), X


@pytest.fixture
def folder(fitted, tmp_path):
    """A folder that holds the fitted model of 8 x 8 images."""
    fitted.save_pretrained(tmp_path)
    return tmp_path


def load(folder):
    return VAETransformer.from_pretrained(folder)


def check_same(loaded, vae, X):
    assert same_weights(loaded, vae)
    np.testing.assert_array_equal(loaded.transform(X), vae.transform(X))
    Z = vae.sample(3, random_state=1), loaded.sample(3, random_state=1)
    np.testing.assert_array_equal(*Z)
    np.testing.assert_array_equal(loaded.reconstruct(X), vae.reconstruct(X))
    np.testing.assert_array_equal(loaded.score_samples(X), vae.score_samples(X))
    codes = np.random.default_rng(0).normal(size=(3, vae.module_.z_dim))
    np.testing.assert_array_equal(loaded.inverse_transform(codes), vae.inverse_transform(codes))
    assert set(vars(vae)) - set(vars(loaded)) <= {"net_", "_loaded_optimizer", "_passes"}
    for name in ("history_", "n_iter_", "n_samples_seen_", "n_features_in_", "spec_", "network_"):
        assert getattr(loaded, name) == getattr(vae, name), name
    for name in ("likelihood_", "prior_", "posterior_"):
        assert getattr(loaded, name) == getattr(vae, name)
    assert loaded.likelihood_.bounded == vae.likelihood_.bounded
    assert not list(loaded.likelihood_.parameters())  # settings only, as after fit
    assert list(loaded.get_feature_names_out()) == list(vae.get_feature_names_out())
    assert not any(module.training for module in loaded.module_.modules())


@pytest.mark.parametrize("name", CASES)
def test_the_same_model_comes_back(name, tmp_path):
    vae, X = fit(name)
    vae.save_pretrained(str(tmp_path))
    generator = torch.get_rng_state()
    loaded = load(str(tmp_path))
    assert torch.equal(torch.get_rng_state(), generator)
    check_same(loaded, vae, X)
    assert loaded.get_params() == vae.get_params()
    assert not hasattr(clone(loaded), "module_")
    assert same_weights(clone(loaded).fit(X), vae)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
@pytest.mark.parametrize("name", ["grey", "uint8", "flow", "vectors"])
def test_the_same_model_comes_back_under_another_default_dtype(name, dtype, tmp_path):
    vae, X = fit(name)
    torch.set_default_dtype(dtype)
    try:
        vae.save_pretrained(tmp_path)
        loaded = load(tmp_path)
        check_same(loaded, vae, X)
        assert torch.get_default_dtype() == dtype
    finally:
        torch.set_default_dtype(torch.float32)
    assert {t.dtype for t in weights(loaded).values()} <= {torch.float32, torch.int64, torch.bool}


def test_the_files_are_what_the_format_says(folder, fitted):
    assert sorted(os.listdir(folder)) == ["README.md", "config.json", "model.safetensors"]
    arrays = safetensors.numpy.load_file(folder / "model.safetensors")
    state = fitted.module_.state_dict()
    assert arrays.keys() == state.keys()
    assert all(np.array_equal(arrays[name], state[name].numpy()) for name in state)
    with safetensors.safe_open(folder / "model.safetensors", "numpy") as file:
        metadata = file.metadata()
    assert metadata["format"] == "pt"
    assert metadata["sklearn_vae"] == (folder / "config.json").read_text()
    config = json.loads(metadata["sklearn_vae"])
    assert config["format_version"] == 3
    assert config["versions"]["torch"] == torch.__version__.partition("+")[0]
    assert config["spec_"]["params"]["raw_shape"] == [8, 8]
    assert config["history_"] == fitted.history_
    assert (config["n_samples_seen_"], config["n_unlabelled_"]) == (400, None)
    assert config["likelihood_"] == {"class": "Gaussian", "params": {"scale": "learned"}}


def test_one_file_is_the_model(folder, fitted, images, tmp_path):
    (folder / "config.json").write_text("not even JSON")
    (folder / "README.md").unlink()
    check_same(load(folder), fitted, images)
    (folder / "config.json").unlink()
    check_same(load(folder), fitted, images)


def test_files_have_the_permissions_that_new_files_have(folder):
    (folder / "other").touch()
    modes = {path.stat().st_mode for path in folder.iterdir()}
    assert len(modes) == 1


def test_weights_in_channels_last_memory_are_written_in_order(tmp_path):
    X = synthetic_images(20, 8, 8, 3)
    vae = tiny(network=SMALL).fit(X)
    vae.module_.to(memory_format=torch.channels_last)
    assert not vae.module_.encoder[1][0].weight.is_contiguous()
    vae.save_pretrained(tmp_path)
    assert same_weights(load(tmp_path), vae)


def test_the_card_tells_the_measured_elbo(folder, fitted):
    card = (folder / "README.md").read_text()
    last = fitted.history_[-1]
    elbo = last["train_log_likelihood"] - last["train_kl"]
    assert elbo == pytest.approx(-last["train_loss"], rel=1e-4)  # beta=1
    assert f"| train | {elbo:.2f} |" in card
    assert "(n, 8, 8)`, float64, in [0, 1]" in card
    front = card.split("---\n")[1].splitlines()
    assert "library_name: sklearn-vae" in front
    assert "pipeline_tag: image-feature-extraction" in front


def test_samples_seen_count_what_training_showed(images):
    vae = tiny(validation_fraction=0.25, warm_start=True).fit(images)
    assert vae.n_samples_seen_ == 2 * 150
    vae.fit(images[:100])
    assert vae.n_samples_seen_ == 2 * 150 + 2 * 75
    vae.partial_fit(images[:30])
    assert vae.n_samples_seen_ == 2 * 150 + 2 * 75 + 30
    assert vae.set_params(warm_start=False).fit(images).n_samples_seen_ == 2 * 150


SAFE = """
import sys, builtins, pickle
import numpy as np, torch, torchvision
late = {"torch._dynamo", "sympy"} - set(sys.modules)  # of old versions
from sklearn_vae import VAETransformer
folder = sys.argv[1]
VAETransformer.from_pretrained(folder)  # what is imported late, is now
assert not late & set(sys.modules)  # 150 MB and a second, or more
def refuse(event, args):
    if event in ("exec", "compile", "import", "pickle.find_class", "marshal.loads",
                 "os.system", "subprocess.Popen"):
        raise RuntimeError(f"{event} {args}")
active = []
sys.addaudithook(lambda event, args: refuse(event, args) if active else None)
pickle.load = pickle.loads = pickle.Unpickler = torch.load = None
active.append(1)
vae = VAETransformer.from_pretrained(folder)
active.clear()
np.save(folder + "/Z.npy", vae.transform(np.load(folder + "/X.npy")))
"""


def test_a_fresh_process_loads_it_without_executing_code(folder, fitted, images):
    np.save(folder / "X.npy", images)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "error", "-c", SAFE, str(folder)]
    subprocess.run(command, check=True, env=environment)
    np.testing.assert_array_equal(np.load(folder / "Z.npy"), fitted.transform(images))


def test_column_names_come_back(rng, tmp_path):
    X = pd.DataFrame(rng.normal(size=(30, 3)), columns=["b", "a", "é"])
    vae = tiny().fit(X)
    vae.save_pretrained(tmp_path)
    loaded = load(tmp_path)
    assert list(loaded.feature_names_in_) == ["b", "a", "é"]
    np.testing.assert_array_equal(loaded.transform(X), vae.transform(X))
    with pytest.raises(ValueError, match="feature names"):
        loaded.transform(X[["a", "b", "é"]])


def test_training_goes_on(images, tmp_path):
    vae = tiny(optimizer="sgd", lr_schedule="constant", lr=1e-3, warm_start=True).fit(images)
    vae.save_pretrained(tmp_path)
    loaded, before = load(tmp_path), weights(vae)
    loaded.fit(images)
    assert same_weights(vae, before)  # they share nothing
    assert same_weights(loaded, vae.fit(images))  # plain SGD has no state to lose
    assert loaded.n_iter_ == 4
    assert loaded.partial_fit(images).n_iter_ == 5
    loaded.save_pretrained(tmp_path)  # its own files are replaced
    check_same(load(tmp_path), loaded, images)


def test_a_loaded_model_can_be_pickled_and_saved_again(folder, fitted, images, tmp_path):
    loaded = load(folder)
    loaded.save_pretrained(tmp_path / "a" / "b")
    check_same(load(tmp_path / "a" / "b"), fitted, images)
    for name in ("config.json", "model.safetensors", "README.md"):
        assert (tmp_path / "a" / "b" / name).read_bytes() == (folder / name).read_bytes()


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_the_device_is_resolved_where_the_model_is_loaded(images, tmp_path):
    vae = tiny(device="auto").fit(images).set_params(device="cuda")
    vae.save_pretrained(tmp_path)
    with pytest.warns(UserWarning, match="on the CPU"):
        loaded = load(tmp_path)
    assert loaded.device == "cuda"
    np.testing.assert_array_equal(loaded.transform(images), vae.transform(images))


# -- what is not saved ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Linear(Network):
    takes_vectors = True

    def encoder(self, shape):
        return nn.Sequential(nn.Flatten(), nn.Linear(prod(shape), 4))

    def decoder(self, z_dim, shape):
        return nn.Sequential(nn.Linear(z_dim, prod(shape)), nn.Unflatten(1, shape))


class OwnGaussian(Gaussian):
    pass


@dataclass(frozen=True)
class OwnPrior(StandardNormal):
    pass


PAIR = (
    nn.Sequential(nn.Flatten(), nn.Linear(64, 4)),
    nn.Sequential(nn.LazyLinear(64), nn.Unflatten(1, (1, 8, 8))),
)


@pytest.mark.parametrize(
    "change",
    [
        {"network": PAIR},
        {"network": Custom(*PAIR)},
        {"network": Linear()},
        {"likelihood": OwnGaussian()},
        {"prior": OwnPrior()},
    ],
    ids=["pair", "Custom", "network", "likelihood", "prior"],
)
def test_models_that_need_code_are_refused(images, tmp_path, change):
    vae = tiny(**change).fit(images)
    name = next(iter(change))
    with pytest.raises(TypeError, match=rf"(?s){name}=.*joblib"):
        vae.save_pretrained(tmp_path / "new")
    assert not (tmp_path / "new").exists()
    # The model counts, too, not only the parameter as it is now.
    vae.set_params(**{name: clone(tiny()).get_params()[name]})
    with pytest.raises(TypeError, match=rf"(?s){name}_=.*joblib"):
        vae.save_pretrained(tmp_path / "new")


def test_code_that_only_training_needs_is_left_out_and_named(images, tmp_path):
    changes = {
        "callbacks": [CountBatches()],
        "augment": torch.square,
        "optimizer": torch.optim.RMSprop,
        "random_state": np.random.RandomState(0),
    }
    vae = tiny(**changes).fit(images)
    vae.history_[-1]["note"] = object()  # as a callback may leave
    with pytest.warns(UserWarning, match="No code") as caught:
        vae.save_pretrained(tmp_path)
    assert caught[0].filename == __file__
    assert all(name in str(caught[0].message) for name in [*changes, "history_'s note"])
    loaded = load(tmp_path)
    np.testing.assert_array_equal(loaded.transform(images), vae.transform(images))
    np.testing.assert_array_equal(loaded.score_samples(images), vae.score_samples(images))
    defaults = VAETransformer().get_params()
    kept = vae.get_params(deep=False)
    assert loaded.get_params(deep=False) == {**kept, **{k: defaults[k] for k in changes}}
    assert json.loads((tmp_path / "config.json").read_text())["not_saved"] == sorted(
        [*changes, "history_'s note"]
    )


def test_every_class_that_a_config_can_name_has_checked_settings():
    recipes = {cls.__name__: cls for cls in _config.RECIPES}
    assert {"MLP", "Conv", "ConvBN", "Gaussian", "Bernoulli", "Vamp", "Augment"} <= recipes.keys()
    for cls in recipes.values():
        assert cls.__module__.startswith("sklearn_vae.")
        written = _config.write("", cls())
        assert _config.read(cls, written) == cls()
        for name in written["params"]:
            for unfit in (None, [[]], {"a": 1}, 10**400, -1):
                other = {"class": cls.__name__, "params": {**written["params"], name: unfit}}
                with pytest.raises(ValueError, match=name):
                    _config.read(cls, other)


def test_unfitted_estimators_are_refused(tmp_path):
    with pytest.raises(NotFittedError):
        tiny().save_pretrained(tmp_path)
    assert os.listdir(tmp_path) == []


# -- folders -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
@pytest.mark.parametrize("content", [b'{"model_type": "bert"}', b"[1]", b"\xff", b"[" * 100_000])
def test_files_of_another_origin_are_not_overwritten(fitted, tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FileExistsError, match=rf"holds {name} that"):
        fitted.save_pretrained(tmp_path)
    assert os.listdir(tmp_path) == [name]
    assert (tmp_path / name).read_bytes() == content


def test_weights_of_another_origin_are_not_overwritten(fitted, tmp_path):
    safetensors.numpy.save_file({"a": np.zeros(3)}, tmp_path / "model.safetensors")
    with pytest.raises(FileExistsError, match=r"model\.safetensors"):
        fitted.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="without the config"):
        load(tmp_path)


def test_a_config_of_another_origin_beside_our_weights_is_not_overwritten(folder, fitted):
    (folder / "config.json").write_text("{}")
    with pytest.raises(FileExistsError, match=r"holds config\.json that"):
        fitted.save_pretrained(folder)
    assert (folder / "config.json").read_text() == "{}"


def test_a_file_that_may_not_be_read_is_not_called_anothers(folder, fitted, monkeypatch):
    def refuse(path):
        raise PermissionError(f"Permission denied: {path}")

    monkeypatch.setattr("sklearn_vae.persistence._folder._open_regular", refuse)
    with pytest.raises(PermissionError, match=r"config\.json"):
        fitted.save_pretrained(folder)


def test_other_files_and_an_edited_card_are_kept(folder, fitted):
    (folder / "LICENSE").write_text("mine")
    card = (folder / "README.md").read_text()
    (folder / "README.md").write_text("old\n" + card)
    fitted.save_pretrained(folder)
    assert (folder / "README.md").read_text() == card
    (folder / "README.md").write_bytes("my own words, é".encode("latin1"))
    fitted.save_pretrained(folder)
    assert (folder / "README.md").read_bytes() == "my own words, é".encode("latin1")
    assert (folder / "LICENSE").read_text() == "mine"


@pytest.mark.parametrize("written", [0, 1, 2])
def test_a_full_disk_leaves_the_old_files(folder, fitted, monkeypatch, written):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    calls = iter(range(3))

    def fail(descriptor):
        if next(calls) == written:
            raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="no space"):
        fitted.save_pretrained(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


# -- what is read is not believed ----------------------------------------------------------------

MISSING = object()
HUGE = 10**9
MLP_16 = {"class": "MLP", "params": {"hidden": [16]}}
PATCHES = {"network": MLP_16, "n_filters": 2, "size": 3, "grid": 2}


def edited(config, path, value):
    *parents, last = path.split("/")
    for key in parents:
        config = config[int(key) if isinstance(config, list) else key]
    if value is MISSING:
        del config[last]
    else:
        config[last] = value


TAMPERED = {
    "format_version": [1, 2, 4, "3", 3.0, None, True, MISSING],
    "format": ["diffusers", MISSING],
    "surprise": [1],
    "params": [[], None],
    "params/z_dim": [0, "3", 1.5, None, 10**4000, "z" * 100_000, MISSING],
    "params/surprise": [1],
    "params/lr": [-1, "fast"],
    "params/symmetry": ["vertical", 2, MISSING],
    "params/network": ["vit", 3, {"class": "MLP"}, MISSING],
    "params/augment": [{"class": "os.system", "params": {"command": "true"}}],
    "params/likelihood": [
        {"class": "Gaussian", "params": {"scale": -1.0}},
        {"class": "Gaussian", "params": {"scale": 10**400}},
    ],
    "params/callbacks": [{"class": "tuple", "params": {"items": 3}}],
    "params/device": [
        {"class": "device", "params": {"name": "abacus"}},
        *("abacus", "meta", "cpu" * 100_000),
    ],
    "network_": [
        "mlp",
        None,
        {"class": "Custom", "params": {}},
        {"class": ["MLP"], "params": {}},
        {"class": "MLP", "params": {"hidden": [16], "depth": 2}},
        {"class": "MLP", "params": {"hidden": []}},
        {"class": "MLP", "params": {"hidden": [16.0]}},
        {"class": "MLP", "params": {"hidden": [True]}},
        {"class": "MLP", "params": {"hidden": ["16"]}},
        {"class": "MLP", "params": {"hidden": [17]}},
        {"class": "MLP", "params": {"hidden": [HUGE]}},
        {"class": "MLP", "params": {"hidden": [10**40]}},
        {"class": "MLP", "params": {"hidden": [16] * 100_000}},
        {"class": "Conv", "params": {"channels": [4], "batch_norm": 1}},
        {"class": "ResNet", "params": {"channels": [4], "blocks": 10**9}},
        {"class": "StandardNormal", "params": {}},
        {"class": "Patches", "params": {**PATCHES, "network": "mlp"}},
        {"class": "Patches", "params": {**PATCHES, "n_filters": 10**9}},
        {"class": "Patches", "params": {**PATCHES, "grid": 10**9}},
    ],
    "likelihood_": [MLP_16, {"class": "Gaussian", "params": {"scale": 1.0}}],
    "prior_": [
        {"class": "Vamp", "params": {"n_components": HUGE}},
        {"class": "Mixture", "params": {"n_components": 0}},
    ],
    "posterior_": [
        MLP_16,
        {"class": "IAF", "params": {"n_steps": 2, "n_hidden": 320}},
        {"class": "IAF", "params": {"n_steps": 2, "n_hidden": HUGE}},
        {"class": "IAF", "params": {"n_steps": 10**9, "n_hidden": 1}},
        {"class": "IAF", "params": {"n_steps": 0, "n_hidden": 1}},
    ],
    "params/memory": ["a"],
    "params/checkpoint": ["a", "/etc"],
    "spec_": [3],
    "spec_/params/shape": [[1, 8, 9], [64], [], "x", [1, HUGE, HUGE], MISSING],
    "spec_/params/raw_shape": [[8], [8, -8], [8.5, 8], [1, 8, 8, 1], [10**40, 8], [1] * 100],
    "spec_/params/dtype": ["f8", "object", "complex64", "int32", "", 3, "float64,float64", "uint8"],
    "spec_/params/dtype ": [["f4"], "<U400000000", "V1000000000", "f4," * 100_000],
    "spec_/params/channels_last": [True, 0],
    "feature_names_in_": [
        "ab",
        *(
            {"class": "ndarray", "params": {"dtype": "object", "values": names}}
            for names in ([1] * 64, ["a"], ["a"] * 64, ["a"] * 100_000)
        ),
    ],
    "n_unlabelled_": [-1, "9", True, 1.0],
    "n_samples_seen_": [-1, "9", True, 10**4000],
    "history_": [
        *([], None, [1], [[]]),
        *([{"epoch": value}] for value in ("one", None, [], {}, 10**400, [1.0], "1", "Infinity")),
        [{"epoch": {"class": "tuple", "params": {"items": []}}}],
        [{"epoch": {"class": "Conv", "params": {"channels": [1], "batch_norm": True}}}],
        [{"epoch" * 100_000: "one"}],
    ],
}


@pytest.mark.parametrize(
    ("path", "value"), [(path, value) for path, values in TAMPERED.items() for value in values]
)
def test_a_tampered_config_is_refused(folder, path, value):
    config, arrays = read_saved(folder)
    edited(config, path.strip(), value)
    rewrite_saved(folder, config, arrays)
    if path == "spec_/params/dtype" and value == "uint8":
        assert load(folder).spec_.dtype == "uint8"  # a legal description of the same weights
        return
    with pytest.raises(ValueError, match=r"model\.safetensors") as caught:
        load(folder)
    check_short(caught, folder)
    word = path.strip().rpartition("/")[2]
    of_the_model = (
        "spec_",
        "network_",
        "likelihood_",
        "prior_",
        "posterior_",
    )  # told by its weights
    assert word in str(caught.value) or path.startswith(of_the_model)


def check_short(caught, folder):
    assert len(str(caught.value).replace(str(folder), "")) < 500


def raw(folder, text):
    """Put any text in the place of the config."""
    rewrite_saved(folder, text, read_saved(folder)[1])


@pytest.mark.parametrize(
    "text",
    {
        "empty": "",
        "cut": "{",
        "list": "[]",
        "string": '"x"',
        "null": "null",
        "nan": '{"a": NaN}',
        "inf": '{"a": 1e999}',
        "twice": '{"a": 1, "a": 1}',
        "deep": "[" * 200_000,
        "deep objects": '{"a": ' * 100_000,
        "long number": "9" * 5000,
        "long key": '{"' + "a" * 100_000 + '": 1}',
    }.values(),
)
def test_a_config_that_is_no_object_is_refused(folder, text):
    raw(folder, text)
    with pytest.raises(ValueError, match=r"model\.safetensors") as caught:
        load(folder)
    check_short(caught, folder)


def test_keys_by_the_thousand_are_counted(folder):
    config, arrays = read_saved(folder)
    config["params"] |= {f"{i}": i for i in range(5000)}
    rewrite_saved(folder, config, arrays)
    with pytest.raises(
        ValueError, match=r"5000 unknown keys \['0', '1', '10', '100', '1000', "
    ) as e:
        load(folder)
    check_short(e, folder)


def renamed(arrays):
    arrays["encoder.1.weigth"] = arrays.pop("encoder.1.weight")


def test_deeply_nested_values_are_refused(folder):
    text = (folder / "config.json").read_text()
    value = "[" * 2000 + "]" * 2000
    raw(folder, text.replace('"z_dim": 3', f'"z_dim": {value}'))
    with pytest.raises(ValueError, match=r"model\.safetensors.*recursion"):
        load(folder)


WEIGHTS = {
    "missing": (lambda a: a.pop("feature_scale"), 'Missing key.*: "feature_scale"'),
    "extra": (lambda a: a.update(more=np.zeros(1, "f")), 'Unexpected key.*: "more"'),
    "renamed": (
        renamed,
        r'Missing key.*encoder\.1\.weight"\..*Unexpected key.*encoder\.1\.weigth"',
    ),
    "shape": (lambda a: a.update(feature_loc=np.zeros(15, "f")), r"feature_loc: .*\[15\].*\[16\]"),
    "transposed": (
        lambda a: a.update({"encoder.1.weight": a["encoder.1.weight"].T.copy()}),
        r"encoder\.1\.weight: .*\[64, 16\].*\[16, 64\]",
    ),
    "dtype": (lambda a: a.update(feature_loc=np.zeros(16)), r"feature_loc is .*float64.*float32"),
    "other dtype": (
        lambda a: a.update(feature_loc=np.zeros(16, np.int64)),
        r"feature_loc is .*int64.*float32",
    ),
    "negative": (lambda a: a["feature_scale"].fill(-1), "feature_scale.*below zero"),
    "nan": (lambda a: a["feature_loc"].fill(np.nan), "feature_loc.*not finite"),
    "inf": (lambda a: a["posterior_head.bias"].fill(np.inf), r"posterior_head\.bias.*not finite"),
    "no head": (lambda a: a.pop("posterior_head.weight"), r"posterior_head\.weight"),
    "empty head": (
        lambda a: a.update({"posterior_head.weight": np.zeros((2 * 10**12, 0), "f")}),
        r"posterior_head\.weight: .* or none",
    ),
    "half a head": (
        lambda a: a.update({"posterior_head.weight": a["posterior_head.weight"][:1]}),
        r"size mismatch for latent_scale",
    ),
    "nothing": (  # safetensors 0.4 writes no JSON
        lambda a: a.clear(),
        r"posterior_head\.weight|no safetensors",
    ),
}


@pytest.mark.parametrize("name", WEIGHTS)
def test_tampered_weights_are_refused(folder, name):
    change, match = WEIGHTS[name]
    config, arrays = read_saved(folder)
    change(arrays)
    rewrite_saved(folder, config, arrays)
    with pytest.raises(ValueError, match=rf"(?s)model\.safetensors.*{match}") as caught:
        load(folder)
    check_short(caught, folder)


def test_names_of_weights_by_the_thousand_are_counted(folder):
    config, arrays = read_saved(folder)
    rewrite_saved(folder, config, arrays | {f"{i}": np.zeros(1, "f") for i in range(5000)})
    with pytest.raises(ValueError, match="Unexpected key") as caught:
        load(folder)
    check_short(caught, folder)


def test_masks_that_are_no_bools_are_refused(images, tmp_path):
    tiny(posterior=IAF(1, 4)).fit(images).save_pretrained(tmp_path)
    config, arrays = read_saved(tmp_path)
    name = "posterior_head.steps.0.first.mask"
    arrays[name] = np.full(arrays[name].shape, 2, np.uint8).view(bool)
    rewrite_saved(tmp_path, config, arrays)
    with pytest.raises(ValueError, match=f"{name}: values that are no bools"):
        load(tmp_path)


@pytest.mark.parametrize("content", [b"", b"\x80\x04pickle", b"\xff" * 100])
def test_what_is_no_safetensors_file_is_refused(folder, content):
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match=r"model\.safetensors: no safetensors file"):
        load(folder)


def test_weights_without_a_config_say_since_when_there_is_one(folder):
    """As of the format's first version, in which config.json was read."""
    arrays = read_saved(folder)[1]
    safetensors.numpy.save_file(arrays, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match=r"since format_version=3\. Save the model again"):
        load(folder)


def test_a_changed_bit_is_found(folder):
    """Also of weights, where it would pass for another model."""
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[-3] ^= 1
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match=r"model\.safetensors: it is damaged"):
        load(folder)


def test_a_missing_file_is_named(folder):
    (folder / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors does not exist"):
        load(folder)


def test_a_missing_folder_is_named():
    with pytest.raises(FileNotFoundError, match=r"nowhere.model\.safetensors"):
        load("nowhere")


def test_sizes_that_belong_together_take_no_memory_either(folder):
    """Weights of a few bytes, made for images of 2^40 pixels that a model could try to decode."""
    network, side = Conv((1,) * 20), 2**20
    spec = InputSpec((1, side, side), (side, side), False, "float64")
    with torch.device("meta"):
        recipe = VAERecipe(3, network, Gaussian(), StandardNormal(), DiagonalNormal())
        model = recipe.build(spec)
    arrays = {name: np.zeros(t.shape, "f") for name, t in model.state_dict().items()}
    config = read_saved(folder)[0]
    config["spec_"]["params"].update(shape=[1, side, side], raw_shape=[side, side])
    config["network_"] = {
        "class": "Conv",
        "params": {"channels": [1] * 20, "batch_norm": False},
    }
    rewrite_saved(folder, config, arrays)
    assert load(folder).n_features_in_ == 2**40


@pytest.mark.parametrize(
    "classes",
    [
        np.array([3, 7]),
        np.array(["no", "yes"]),
        np.array(["no", "yes"], object),
        np.array([0.0, 2.0]),
        np.array([2, 3], np.uint8),
        np.array([0.0, 2.0], np.float32),
        np.array([False, True]),
    ],
    ids=["int", "str", "object", "float", "uint8", "float32", "bool"],
)
def test_a_class_head_and_its_classes_come_back(classes, tmp_path):
    X = synthetic_images(40, 8, 8)
    vae = tiny(label_weight=0.5).fit(X, classes[np.arange(40) % 2])
    vae.save_pretrained(tmp_path)
    loaded = load(tmp_path)
    check_same(loaded, vae, X)
    assert loaded.classes_.dtype == vae.classes_.dtype
    assert loaded.classes_.tolist() == vae.classes_.tolist()
    loaded.partial_fit(X, classes[np.arange(40) % 2])


@pytest.mark.filterwarnings("ignore:NumPy will stop allowing conversion:DeprecationWarning")
@pytest.mark.parametrize(
    "classes, message",
    [
        ({"dtype": "int64", "values": [0, 1, 2]}, "size mismatch for class_head.weight"),
        ({"dtype": "int64", "values": [0]}, "not two or more, sorted"),
        ({"dtype": "int64", "values": [1, 1]}, "not two or more, sorted"),
        ({"dtype": "int64", "values": [1, 0]}, "not two or more, sorted"),
        ({"dtype": "int64", "values": [0.5, 1]}, "not of dtype int64"),
        ({"dtype": "str", "values": [0, 1]}, "not of dtype str"),
        ({"dtype": "object", "values": [0, "1"]}, "its config: .*'<' not supported"),
        ({"dtype": "int8", "values": [0, 300]}, "classes_: "),
        ({"dtype": "int64", "values": [[0], [1]]}, "classes_: ndarray: values: .* is no float"),
        ({"dtype": "int64", "values": [0, 10**400]}, "classes_: ndarray: values: .* is no float"),
        ({"dtype": "i,i", "values": [0, 1]}, "dtype='i,i' is none of"),
        ({"dtype": "<U400000000", "values": ["a", "b"]}, "dtype='<U400000000' is none of"),
        ({"dtype": ["str"], "values": ["a", "b"]}, r"dtype: \['str'\] is no str"),
        ({"dtype": "str", "values": ["a" * 10**6, *map(str, range(10**4))]}, "Shorten the names"),
        ({"values": [0, 1]}, r"missing keys \['dtype'\]"),
        (None, 'Unexpected key.*"class_head'),
    ],
)
def test_tampered_classes_are_refused(classes, message, tmp_path):
    X = synthetic_images(40, 8, 8)
    tiny(label_weight=0.5, max_epochs=1).fit(X, np.arange(40) % 2).save_pretrained(tmp_path)
    config, arrays = read_saved(tmp_path)
    config["classes_"] = classes and {"class": "ndarray", "params": classes}
    rewrite_saved(tmp_path, config, arrays)
    with pytest.raises(ValueError, match=message) as caught:
        load(tmp_path)
    check_short(caught, tmp_path)


def test_classes_that_json_cannot_hold_are_refused(tmp_path):
    vae = tiny(label_weight=0.5, max_epochs=1).fit(synthetic_images(40, 8, 8), np.arange(40) % 2)
    vae.classes_ = vae.classes_.astype(np.longdouble)
    if vae.classes_.dtype != np.float64:  # as on some machines
        with pytest.raises(TypeError, match=r"classes_=.*joblib"):
            vae.save_pretrained(tmp_path)
    vae.classes_ = np.array(["a" * 200_000, *map(str, range(100))])
    with pytest.raises(ValueError, match="Shorten the names"):
        vae.save_pretrained(tmp_path)
    assert os.listdir(tmp_path) == []


# -- what is measured ------------------------------------------------------------------------------


def test_a_history_comes_back_with_what_is_not_finite(images, tmp_path):
    vae = tiny().fit(images)
    vae.history_[0] |= {"a": np.inf, "b": -np.inf, "c": np.float32(np.nan), "d": True, "e": 1e305}
    vae.history_[1] |= {"d": np.bool_(False), "f": np.int64(3), "train_kl": np.inf}
    vae.save_pretrained(tmp_path)
    loaded = load(tmp_path)
    np.testing.assert_equal(loaded.history_, vae.history_)
    loaded.save_pretrained(tmp_path)
    np.testing.assert_equal(load(tmp_path).history_, vae.history_)


def test_what_is_no_measurement_stays_behind(images, tmp_path):
    vae = tiny().fit(images)
    vae.history_[-1] |= {"words": "good", "list": [1.0], "huge": 10**400, 3: 1.0, "None": None}
    vae.history_[-1].pop("train_log_likelihood")
    with pytest.warns(UserWarning, match="history_'s 3, history_'s None, history_'s huge"):
        vae.save_pretrained(tmp_path)
    assert load(tmp_path).history_[-1].keys() == {"epoch", "train_loss", "train_kl", "lr", "dur"}


def test_a_history_too_long_to_be_read_is_not_written(images, tmp_path, monkeypatch):
    monkeypatch.setattr("sklearn_vae.persistence._weights.MAX_HEADER", 2000)
    with pytest.raises(ValueError, match="of which 2000 can be read"):
        tiny().fit(images).save_pretrained(tmp_path)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("change", [{"lr": "fast"}, {"z_dim": 0}, {"image_shape": 8}])
def test_parameters_that_could_not_be_read_again_are_not_written(images, tmp_path, change):
    vae = tiny().fit(images).set_params(**change)
    with pytest.raises(ValueError, match=f"params: The '{next(iter(change))}' parameter"):
        vae.save_pretrained(tmp_path)
    assert os.listdir(tmp_path) == []


def test_parameters_for_another_fit_do_not_hinder(rng, tmp_path):
    vae = tiny().fit(rng.normal(size=(30, 3))).set_params(augment=0.5)
    vae.save_pretrained(tmp_path)
    assert load(tmp_path).augment == 0.5


def test_parameters_that_are_no_numbers_of_json_are_named(images, tmp_path):
    vae = tiny().fit(images).set_params(beta=np.inf)
    with pytest.raises(TypeError, match="beta=inf cannot be written"):
        vae.save_pretrained(tmp_path)
    vae.set_params(beta=1.0, network=(nn.Sequential(*[nn.ReLU()] * 5000), nn.ReLU()))
    with pytest.raises(TypeError, match=r"(?s)network=.*cannot be written") as caught:
        vae.save_pretrained(tmp_path)
    check_short(caught, tmp_path)

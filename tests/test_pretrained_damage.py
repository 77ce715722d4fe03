"""Saved models that were damaged, or made to do damage: an error, or a model that is sound."""

import copy
import os
import random
import sys
import warnings

import numpy as np
import pytest
import torch
from helpers import (
    budget,
    read_saved,
    rewrite_saved,
    same_weights,
    synthetic_images,
    tiny,
)

from sklearn_vae import VAETransformer
from sklearn_vae.augmentation import Augment
from sklearn_vae.model import IAF, Vamp
from sklearn_vae.nn import Conv, Patches

MODELS = {
    "rows": ((6,), {"label_weight": 1.0}),
    "images": (
        (8, 8),
        {
            "network": Patches(Conv((4,), batch_norm=True), 3, 3),
            "prior": Vamp(3),
            "posterior": IAF(1, 5),
            "augment": Augment(rotate=5, fill="reflection"),
        },
    ),
}


@pytest.fixture(scope="module", params=MODELS)
def saved(request, tmp_path_factory):
    """A model, its samples, and the folder that holds it."""
    shape, changes = MODELS[request.param]
    X = synthetic_images(40, *shape)
    vae = tiny(**changes).fit(X, np.array(["cat", "dog"] * 20))
    folder = tmp_path_factory.mktemp("saved")
    vae.save_pretrained(folder)
    return vae, X, folder


def load(folder):
    """Return the model; None where the folder is refused in the way that is documented."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*it is on the CPU", category=UserWarning)
        try:
            return VAETransformer.from_pretrained(folder)
        except ValueError as error:
            message = str(error).replace(str(folder), "")
    assert "model.safetensors" in message
    assert len(message) < 500
    return None


def changed_bits(content, rnd):
    content = bytearray(content)
    # Half of them in the header, of which there is little.
    end = rnd.choice([8, 8 + int.from_bytes(content[:8], "little"), len(content)])
    for _ in range(rnd.choice([1, 1, 1, 5])):
        content[rnd.randrange(end)] ^= 1 << rnd.randrange(8)
    return bytes(content)


def cut(content, rnd):
    return content[: rnd.randrange(len(content))]


def swapped(content, rnd):
    a, b, n = rnd.randrange(len(content)), rnd.randrange(len(content)), rnd.randrange(1, 200)
    return content[:a] + content[b : b + n] + content[a + n :]


def grown(content, rnd):
    at = rnd.choice([0, 8, rnd.randrange(len(content)), len(content)])
    return content[:at] + rnd.randbytes(rnd.randrange(1, 20)) + content[at:]


def test_a_damaged_file_is_refused_or_is_the_same_model(saved, tmp_path):
    vae, _, folder = saved
    content, rnd = (folder / "model.safetensors").read_bytes(), random.Random(0)
    n_refused = 0
    for _ in range(n := budget(80)):
        damaged = rnd.choice([changed_bits, changed_bits, cut, swapped, grown])(content, rnd)
        (tmp_path / "model.safetensors").write_bytes(damaged)
        loaded = load(tmp_path)
        n_refused += loaded is None
        # Nothing but the "pt" that is for others, and blanks, can have changed.
        assert loaded is None or same_weights(loaded, vae)
    assert n_refused > 0.9 * n


ANYTHING = [
    *(None, True, False, 0, 1, -1, 2, 3, 10**9, 2**63, 10**30, 10**400, 0.0, -0.5, 1e-300, 1e300),
    *(1e305, "", "a", "inf", "nan", "auto", "mlp", "conv", "gaussian", "cuda:7", "meta", "\ud800"),
    *("cat", "dog", "a\0", "é" * 1000, "float64", "<U400000000", "object", "uint8", "str"),
    *([], [[]], {}, [1, 2], [10**9], [1] * 1000, [0.5] * 6, ["a"] * 6, list("abcdef"), [{}]),
    *([{"train_kl": 1.0}], [{"epoch": "one"}], {"class": "tuple", "params": {"items": [1]}}),
    {"class": "device", "params": {"name": "cuda"}},
    {"class": "MLP", "params": {"hidden": [16]}},
    {"class": "MLP", "params": {"hidden": [10**9, 10**9]}},
    {"class": "Conv", "params": {"channels": [4], "batch_norm": True}},
    {"class": "Conv", "params": {"channels": [8000, 8000], "batch_norm": True}},
    {"class": "Vamp", "params": {"n_components": 10**9}},
    {"class": "Mixture", "params": {"n_components": 3}},
    {"class": "IAF", "params": {"n_steps": 1, "n_hidden": 10**9}},
    {"class": "Gaussian", "params": {"scale": 0.5}},
    {"class": "Bernoulli", "params": {}},
]


def places(value):
    """Yield each place of a JSON value: the container, and the key or the number in it."""
    keys = value if isinstance(value, dict) else range(len(value) if isinstance(value, list) else 0)
    for key in keys:
        yield value, key
        yield from places(value[key])


def mutated(config, rnd):
    config = copy.deepcopy(config)
    for _ in range(rnd.choice([1, 1, 2])):
        container, key = rnd.choice(list(places(config)))
        what = rnd.randrange(8)
        if what == 0:
            del container[key]
        elif what == 1:
            other, its = rnd.choice(list(places(config)))
            container[key] = copy.deepcopy(other[its])
        elif what == 2 and isinstance(container, dict):
            container[rnd.choice(["class", "params", "a", "\ud800", "é" * 1000])] = copy.deepcopy(
                container[key]
            )
        else:
            container[key] = copy.deepcopy(rnd.choice(ANYTHING))
    return config


def test_any_config_is_refused_or_gives_a_model_that_can_be_saved(saved, tmp_path):
    """Signed anew, as whoever wants to do damage would."""
    _, X, folder = saved
    config, arrays = read_saved(folder)
    rnd, n_loaded = random.Random(0), 0
    for i in range(budget(100)):
        rewrite_saved(tmp_path, mutated(config, rnd), arrays)
        loaded = load(tmp_path)
        if loaded is None:
            continue
        n_loaded += 1
        again = tmp_path / f"{i}"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            loaded.save_pretrained(again)
            second = VAETransformer.from_pretrained(again)
            assert repr(second.get_params()) == repr(loaded.get_params())
            if loaded.spec_.raw_shape == X.shape[1:] and loaded.spec_.dtype == str(X.dtype):
                Z = loaded.set_params(features="mean").transform(X)
                assert np.isfinite(Z).all()
        assert same_weights(loaded, second)
        np.testing.assert_equal(second.history_, loaded.history_)
    assert n_loaded > 0


def changed_bit(array, rng):
    flat = np.atleast_1d(array).view(np.uint8).reshape(-1)
    flat[rng.integers(len(flat))] ^= 1 << rng.integers(8)
    return array


CHANGES = [
    *[changed_bit] * 4,
    lambda array, rng: array[None],
    lambda array, rng: array.ravel(),
    lambda array, rng: array.astype("f4") - 1,
    lambda array, rng: array * 0,
    lambda array, rng: array.astype("i8"),
]


def test_any_weights_are_refused_or_finite(saved, tmp_path):
    vae, _, folder = saved
    config, arrays = read_saved(folder)
    rnd, rng = random.Random(0), np.random.default_rng(0)
    for _ in range(budget(30)):
        found = {name: array.copy() for name, array in arrays.items()}
        for name in rnd.sample(sorted(found), 2):
            found[name] = np.asarray(rnd.choice(CHANGES)(found[name], rng), order="C")
        rewrite_saved(tmp_path, config, found)
        loaded = load(tmp_path)
        if loaded is not None:
            state = loaded.module_.state_dict()
            assert {n: (t.shape, t.dtype) for n, t in state.items()} == {
                n: (t.shape, t.dtype) for n, t in vae.module_.state_dict().items()
            }
            assert all(torch.isfinite(t).all() for t in state.values())


# -- what would take more memory than there is -----------------------------------------------------

MANY = 100_000
SPEC = {
    **{"shape": [1, 2**20, 2**20], "raw_shape": [2**20, 2**20], "channels_last": False},
    **{"dtype": "float32", "white": 255},
}
BOMBS = {
    "classes_/params/dtype": ["<U400000000", "S2000000000", "V2000000000", "object", "f4," * MANY],
    "classes_/params/values": [["a" * 10**6, *map(str, range(10**5))], [0] * MANY, ["a"] * MANY],
    "spec_/params/dtype": ["<U400000000", "V2000000000", "(1000,1000,1000)f8", "f4," * MANY],
    "spec_/params/shape": [[2**62], [2**31, 2**31], [1] * MANY, [10**9]],
    "spec_/params/raw_shape": [[2**62], [2**31, 2**31], [1] * MANY, [10**9]],
    "spec_": [{"class": "InputSpec", "params": SPEC}],
    "feature_names_in_": [
        {"class": "ndarray", "params": {"dtype": dtype, "values": [f"{i}" for i in range(MANY)]}}
        for dtype in ("object", "str")
    ],
    "params/z_dim": [10**300, [0] * MANY],
    "params/image_shape": [[10**9] * 3],
    "network_": [
        {"class": "MLP", "params": {"hidden": hidden}}
        for hidden in ([10**9], [10**9] * 2, [2**62] * 2, [1] * MANY, [50_000] * 2)
    ]
    + [
        {"class": "Conv", "params": {"channels": channels, "batch_norm": False}}
        for channels in ([8000] * 2, [10**6] * 2, [2**40], [1] * MANY, [8000] * 3)
    ]
    + [{"class": "ResNet", "params": {"channels": [8000], "blocks": b}} for b in (1, 2, 10**6)]
    + [
        {
            "class": "Patches",
            "params": {"network": network, "n_filters": n, "size": size, "grid": grid},
        }
        for network in (
            {"class": "MLP", "params": {"hidden": [16]}},
            {"class": "Conv", "params": {"channels": [4], "batch_norm": True}},
        )
        for n, size, grid in ((10**9, 3, 2), (3, 10**5, 1), (3, 3, 10**5), (10**6, 6, 4))
    ],
    "prior_": [
        {"class": name, "params": {"n_components": n}}
        for name in ("Vamp", "Mixture")
        for n in (10**9, 2**62)
    ],
    "posterior_": [
        {"class": "IAF", "params": {"n_steps": steps, "n_hidden": n}}
        for steps, n in ((1, 10**9), (10**9, 1), (3, 10**8), (1, 2**62))
    ],
    "history_": [[[]] * MANY, "a" * MANY, [{"a": "b"}] * MANY],
}


def in_little_memory(act):
    """Call in a process that may take 400 MB more than it has; return whether it came to an end."""
    resource = pytest.importorskip("resource")
    child = os.fork()
    if child == 0:
        try:
            with open("/proc/self/statm") as file:
                size = int(file.read().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (size + 400 * 2**20,) * 2)
            act()
            os._exit(0)
        except BaseException as error:
            sys.__stderr__.write(f"{error!r:.500}\n")
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def set_in(config, path, value):
    *parents, last = path.split("/")
    for key in parents:
        config = config[key]
    config[last] = value


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs Linux")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
class TestBombs:
    def test_configs(self, saved, tmp_path):
        config, arrays = read_saved(saved[2])

        def load_all():
            for path, values in BOMBS.items():
                for value in values:
                    bomb = copy.deepcopy(config)
                    if path.startswith("classes_") and bomb["classes_"] is None:
                        continue
                    set_in(bomb, path, value)
                    rewrite_saved(tmp_path, bomb, arrays)
                    loaded = load(tmp_path)
                    assert loaded is None or path.startswith(("params", "classes_")), path

        assert in_little_memory(load_all)

    @pytest.mark.parametrize("saved", ["rows"], indirect=True)
    def test_headers(self, saved, tmp_path):
        content = (saved[2] / "model.safetensors").read_bytes()
        path = tmp_path / "model.safetensors"
        length = int.from_bytes(content[:8], "little")
        rest = content[8 + length :]
        header = content[8 : 8 + length]
        shape = b'"shape":[' + b"9223372036854775807," * 10_000 + b"1]"
        tensor = b'{"a":{"dtype":"F32","data_offsets":[0,%d],' % 2**62

        def load_all():
            for claimed in (2**64 - 1, 2**63, 2**40, 10**9, 10**8, len(content), 0, 1):
                path.write_bytes(claimed.to_bytes(8, "little") + content[8:])
                assert load(tmp_path) is None
                os.truncate(path, 2**33)  # 8 GB that no disk holds
                assert load(tmp_path) is None
            path.write_bytes(content)
            os.truncate(path, 2**33)
            assert load(tmp_path) is None
            for text in (
                tensor + shape + b"}}",
                tensor + b'"shape":[' + b"%d]}}" % 2**60,
                b"[" * 10**6,
                b'{"a":' * 10**6,
                b"{" + b",".join(b'"%d":[]' % i for i in range(MANY)) + b"}",
                header.replace(b'"shape"', b'"shape":[1],"shape"', 1),
                header.replace(b'"shape": [', b'"shape": [4000000000, ', 1),
            ):
                path.write_bytes(len(text).to_bytes(8, "little") + text + rest)
                assert load(tmp_path) is None

        assert in_little_memory(load_all)

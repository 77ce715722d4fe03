"""JSON read by annotations: what is asked for, or an error that says where."""

from typing import Any, Literal

import numpy as np
import pytest
import torch

from sklearn_vae.model import Gaussian, Likelihood, Prior
from sklearn_vae.nn import MLP, Conv, Network, Patches
from sklearn_vae.persistence._config import call, read, write


@pytest.mark.parametrize(
    "kind, value",
    [
        (bool, True),
        (int, -3),
        (float, 3),
        (float, 0.5),
        (str, "a"),
        (int | None, None),
        (float | str, "learned"),
        (float | Literal["learned"], 0.5),
        (float | Literal["learned"], "learned"),
        (list[int], [1, 2]),
        (tuple[int, ...], (1, 2)),
        (dict[str, int], {"a": 1}),
        (list[dict[str, bool | float]], [{"a": True, "b": 1.5}]),
        (Any, [1, "a", None, [True]]),
        (Any, (1, (2.5,))),
        (Any, torch.device("cuda:1")),
        (Network, Patches(Conv((4, 8), batch_norm=True), 3)),
        (Likelihood, Gaussian(0.5)),
    ],
)
def test_what_is_written_is_read_as_what_it_was(kind, value):
    written = value if "dict" in str(kind) else write("x", value)
    found = read(kind, written)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("number", ["inf", "-inf", "nan"])
def test_numbers_that_json_has_not(number):
    np.testing.assert_equal(read(float, number), float(number))


@pytest.mark.parametrize("dtype", ["<U3", "object", "int64", "uint8", "bool", "float32"])
def test_arrays_keep_their_dtype(dtype):
    array = np.array(["inf", "b"] if dtype in ("<U3", "object") else [0, 1]).astype(dtype)
    found = read(np.ndarray, write("x", array))
    assert found.dtype == array.dtype
    assert found.tolist() == array.tolist()


@pytest.mark.parametrize(
    "kind, value",
    [
        (bool, 1),
        (int, True),
        (int, 1.0),
        (int, 10**400),
        (float, True),
        (float, "1"),
        (float, 10**400),
        (float, float("nan")),
        (str, None),
        (int | None, "a"),
        (Literal["a", 1], True),
        (Literal["a", 1], "b"),
        (list[int], [1, "a"]),
        (list[int], {"a": 1}),
        (list[int], 1),
        (tuple[int, ...], "ab"),
        (dict[str, int], [1]),
        (dict[str, int], {"a": "b"}),
        (Any, 10**400),
        (Any, {"a": 1}),
        (Any, {"class": "os.system", "params": {}}),
        (Any, {"class": ["MLP"], "params": {}}),
        (Network, "mlp"),
        (Network, write("x", Gaussian())),
        (Prior, None),
        (np.ndarray, [1, 2]),
    ],
)
def test_what_is_not_asked_for_is_refused(kind, value):
    with pytest.raises((ValueError, TypeError)):
        read(kind, value)


def test_an_error_says_where():
    written = write("x", Patches(MLP((4,)), 3))
    written["params"]["network"]["params"]["hidden"] = [4, "5"]
    with pytest.raises(ValueError, match=r"Patches: network: MLP: hidden: '5' is no int\."):
        read(Network, written)


def test_arguments_are_those_of_the_call():
    def make(a: int, b: float | str) -> tuple:
        return a, b

    assert call(make, {"a": 1, "b": "c"}) == (1, "c")
    with pytest.raises(ValueError, match=r"1 missing keys \['b'\] and 1 unknown keys \['c'\]"):
        call(make, {"a": 1, "c": 2})


@pytest.mark.parametrize("value", [object(), {1}, {"a": 1}, np.inf, 10**400, (1, len)])
def test_what_would_need_code_is_named(value):
    with pytest.raises(TypeError, match=r"^lr=.* cannot be written"):
        write("lr", value)

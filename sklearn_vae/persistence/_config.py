"""What a saved model says of itself beside its weights: JSON, read by annotations.

A value is written by what it is, and read by what an annotation asks for. That is the one of a
field of :class:`Config`, or of an argument of a class that JSON names. What JSON has not is an
object of a class, from a closed list, and of the arguments that make it.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields, replace
from functools import cache
from importlib.metadata import version
from inspect import signature
from sys import float_info
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import numpy as np
import torch

from ..augmentation import Augment
from ..input._spec import InputSpec, check_spec
from ..model import LIKELIHOODS, POSTERIORS, PRIORS, Likelihood, PosteriorFamily, Prior, VAERecipe
from ..nn import NETWORKS, LinearBase, Network, Patches
from ..utils._recipes import VARIADIC

FORMAT, FORMAT_VERSION = "sklearn_vae", 3
"""Versions 1 and 2 were never released."""
TRAINING_ONLY = ("augment", "optimizer", "callbacks", "random_state")
"""Parameters that a fitted model works without: code in them is left out, with a warning."""
OF_THE_MACHINE = "memory", "checkpoint", "parallel"
"""Parameters of one machine: a folder from elsewhere must not say where to write, nor on how many
processes to train."""
NUMBERS = {np.dtype(code).name for code in "?efd" + np.typecodes["AllInteger"]}
DTYPES = sorted(NUMBERS | {"str", "object"})
"""Names of the dtypes whose values JSON holds to the last digit."""
MAX_NAMES = 2**26
"""Bytes of an array of strings, in which NumPy makes each as long as the longest."""
UNFIT = ArithmeticError, LookupError, RuntimeError, TypeError, ValueError
"""What a value that does not fit can end in."""
NON_FINITE = ("inf", "-inf", "nan")
"""The numbers that JSON has not, as a history has them."""


@contextmanager
def named(where: str, *kinds: type[Exception]) -> Iterator[None]:
    """Let a ValueError say where, and shortly, for any way in which a value can be unfit."""
    try:
        yield
    except UNFIT + kinds as error:
        raise ValueError(f"{where}: {error!s:.400}") from error


def check_keys(value: Any, keys: Iterable[str]) -> None:
    """Refuse what is no JSON object, and one of other keys."""
    if not isinstance(value, dict):
        raise ValueError(f"{value!r:.100} is no JSON object.")
    missing, unknown = sorted({*keys} - {*value}), sorted({*value} - {*keys})
    if missing or unknown:
        raise ValueError(
            f"{len(missing)} missing keys {missing!r:.100} and {len(unknown)} unknown keys "
            f"{unknown!r:.100}. It was changed, or written by another version."
        )


# -- values --------------------------------------------------------------------------------------


def _tuple(items: list[Any]) -> tuple[Any, ...]:
    return tuple(items)


def _device(name: str) -> torch.device:
    return torch.device(name)


def _dtype(array: np.ndarray) -> str:
    return "str" if array.dtype.kind == "U" else array.dtype.name


def _array(dtype: str, values: list[float | str | bool]) -> np.ndarray:
    """Return an array of n values; nothing is allocated that is much larger than they are."""
    width = max((len(value) for value in values if isinstance(value, str)), default=0)
    if dtype == "str" and 4 * width * len(values) > MAX_NAMES:
        raise ValueError(f"as an array they take more than {MAX_NAMES} bytes. Shorten the names.")
    if dtype not in DTYPES:
        raise ValueError(f"dtype={dtype!r:.40} is none of {', '.join(DTYPES)}.")
    array = np.array(values, dtype)
    if array.tolist() != values:
        raise ValueError(f"{values!r:.100} are not of dtype {dtype}.")
    return array


KINDS = NETWORKS, LIKELIHOODS, PRIORS, POSTERIORS, {"": Augment}, {"": Patches}, {"": LinearBase}
RECIPES = [cls for kinds in KINDS for cls in kinds.values()]
OBJECTS: dict[type, tuple[Callable[..., Any], Callable[[Any], dict[str, Any]]]] = {
    tuple: (_tuple, lambda v: {"items": [*v]}),
    torch.device: (_device, lambda v: {"name": str(v)}),
    np.ndarray: (_array, lambda v: {"dtype": _dtype(v), "values": v.tolist()}),
    InputSpec: (InputSpec, vars),
    **{cls: (cls, lambda v: v.get_params(deep=False)) for cls in RECIPES},
}
"""All that JSON can name: what makes an object of each class, and of which arguments."""
MAKERS = {cls.__name__: make for cls, (make, _) in OBJECTS.items()}


def is_number(value: Any) -> bool:
    """Return whether a value is a number that others' JSON has, too: finite, as a double."""
    return type(value) in (int, float) and abs(value) <= float_info.max


def write(name: str, value: Any) -> Any:
    """Return a value as JSON; TypeError, with its name, if code would be needed to read it back."""
    value = value.item() if isinstance(value, np.generic) else value
    if value is None or isinstance(value, (bool, str)) or is_number(value):
        return value
    if isinstance(value, list):
        return [write(name, item) for item in value]
    if type(value) not in OBJECTS:
        raise TypeError(
            f"{name}={value!r:.100} cannot be written: save_pretrained writes finite numbers, "
            f"strings, lists and {', '.join(MAKERS)}, and no code. Use joblib.dump."
        )
    params = OBJECTS[type(value)][1](value)
    # What wants a tuple says so where it is read.
    plain = {k: [*v] if isinstance(v, tuple) else v for k, v in params.items()}
    return {"class": type(value).__name__, "params": {k: write(name, v) for k, v in plain.items()}}


def read(kind: Any, value: Any) -> Any:
    """Return a JSON value as what an annotation asks for; ValueError for any other."""
    origin, args = get_origin(kind) or kind, get_args(kind)
    if origin in (Union, UnionType):
        for each in args[1:]:
            with suppress(ValueError):
                return read(each, value)
        return read(args[0], value)
    if isinstance(value, dict):
        if origin is dict:
            return _read_each(dict.fromkeys(value, args[1]), value)
        check_keys(value, ("class", "params"))
        if value["class"] not in MAKERS:
            raise ValueError(f"{value['class']!r:.40} is none of {', '.join(MAKERS)}.")
        with named(value["class"]):
            value = call(MAKERS[value["class"]], value["params"])
    if isinstance(value, list) and kind is Any:
        return [read(Any, item) for item in value]
    if isinstance(value, (list, tuple)) and origin in (list, tuple):
        return origin(read(args[0], item) for item in value)
    if not _is_a(origin, args, value):
        raise ValueError(f"{value!r:.100} is no {getattr(kind, '__name__', kind)}.")
    return float(value) if kind is float and isinstance(value, str) else value


def _is_a(kind: Any, args: tuple[Any, ...], value: Any) -> bool:
    if kind is Literal:
        return any(type(value) is type(each) and value == each for each in args)
    if type(value) in (int, float):
        return is_number(value) and (kind in (float, Any) or type(value) is kind)
    if kind is float:
        return isinstance(value, str) and value in NON_FINITE
    return kind is Any or (kind is not int and isinstance(value, kind))  # a bool is an int, too


def call(make: Callable[..., Any], given: Any) -> Any:
    """Return what a call returns, its arguments given as JSON and read by their annotations."""
    kinds = _arguments(make)
    check_keys(given, kinds)
    return make(**_read_each(kinds, given))


@cache  # annotations are text until they are evaluated
def _arguments(make: Callable[..., Any]) -> dict[str, Any]:
    parameters = signature(make, eval_str=True).parameters.values()
    return {p.name: p.annotation for p in parameters if p.kind not in VARIADIC}


def _read_each(kinds: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    found = {}
    for name, kind in kinds.items():
        with named(f"{name:.40}"):
            found[name] = read(kind, given[name])
    return found


# -- a fitted estimator --------------------------------------------------------------------------


PARTS = "network", "likelihood", "prior", "posterior"
BESIDE = "feature_names_in_", "classes_", "n_unlabelled_", "n_samples_seen_", "history_", "n_iter_"
"""The attributes of a fitted estimator beside its model."""


@dataclass(frozen=True)
class Config:
    """All that is saved beside the weights.

    What ends in an underscore is an attribute of the fitted estimator; None where it has none.
    """

    format: str
    format_version: int
    versions: dict[str, str]
    params: dict[str, Any]
    not_saved: list[str]
    spec_: InputSpec
    network_: Network
    likelihood_: Likelihood
    prior_: Prior
    posterior_: PosteriorFamily
    feature_names_in_: np.ndarray | None
    classes_: np.ndarray | None
    n_unlabelled_: int | None
    n_samples_seen_: int
    history_: list[dict[str, bool | float]]
    n_iter_: int | None = None

    def __post_init__(self) -> None:
        with named("spec_"):
            check_spec(self.spec_)
        names, classes = self.feature_names_in_, self.classes_
        if names is not None and (
            self.spec_.raw_shape != names.shape or {*map(type, names)} != {str}
        ):
            raise ValueError(
                f"feature_names_in_ are no strings for {self.spec_.raw_shape} columns."
            )
        if classes is not None and (len(classes) < 2 or [*np.unique(classes)] != [*classes]):
            raise ValueError(f"classes_={classes!r:.100} are not two or more, sorted.")
        counts = self.n_samples_seen_, self.n_iter_ or 1
        if min(counts) < 1 or (self.n_unlabelled_ or 0) < 0 or not self.history_:
            raise ValueError(
                "n_samples_seen_ >= 1, n_iter_ >= 1, n_unlabelled_ >= 0 and a history_ are needed."
            )

    def recipe(self, z_dim: int) -> VAERecipe:
        """Return what the model is made of."""
        parts = {name: getattr(self, f"{name}_") for name in PARTS}
        n_labels = 0 if self.classes_ is None else len(self.classes_)
        return replace(VAERecipe.resolve({"z_dim": z_dim, **parts}, self.spec_), n_labels=n_labels)

    def state(self) -> dict[str, Any]:
        """Return the attributes beside the model, and those that follow from them."""
        follow = {"n_features_in_": self.spec_.n_features, "_resumable": False}
        kept = {name: getattr(self, name) for name in BESIDE}
        kept["n_iter_"] = self.n_iter_ or len(self.history_)
        return {**{k: v for k, v in kept.items() if v is not None}, **follow}


def from_text(text: str) -> Config:
    """Return what a config says, checked."""
    with named("its config"):
        given = json.loads(text)
        if (found := (given["format"], given["format_version"])) != (FORMAT, FORMAT_VERSION):
            raise ValueError(
                f"(format, format_version) is {found!s:.80}, but {FORMAT, FORMAT_VERSION} is read. "
                "Upgrade sklearn-vae, or save the model again."
            )
        return call(Config, given)


def to_dict(vae: Any) -> dict[str, Any]:
    """Return a fitted estimator as a config."""
    params, lost = {}, set()
    for name, value in {**vae.get_params(deep=False), **dict.fromkeys(OF_THE_MACHINE)}.items():
        try:
            params[name] = write(name, value)
        except TypeError:
            if name not in TRAINING_ONLY:
                raise
            params[name] = signature(type(vae)).parameters[name].default
            lost.add(name)
    history = []
    for row in vae.history_:
        kept = {k: told for k, v in row.items() if (told := _measured(k, v)) is not None}
        lost |= {f"history_'s {k}" for k in row.keys() - kept.keys()}
        history.append(kept)
    if lost:
        warnings.warn(
            f"No code is saved: {', '.join(sorted(lost)):.300} will be at the default, or "
            "absent, after from_pretrained. Features and scores stay the same. joblib keeps all.",
            stacklevel=4,
        )
    names = [f.name for f in fields(Config) if f.name.endswith("_") and f.name != "history_"]
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "versions": {name: version(name) for name in ("sklearn-vae", "scikit-learn", "torch")},
        "params": params,
        "not_saved": sorted(lost),
        **{name: write(name, getattr(vae, name, None)) for name in names},
        "history_": history,
    }


def _measured(name: Any, value: Any) -> bool | float | str | None:
    """Return a number of a history as JSON; None for what is none."""
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, float) and not is_number(value):
        value = str(value)
    elif not isinstance(value, bool) and not is_number(value):
        return None
    return value if isinstance(name, str) else None

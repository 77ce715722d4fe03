"""A fitted VAETransformer as one safetensors file: read without executing code.

``model.safetensors`` holds the state dict of the module and, in its metadata, the rest of the
estimator as JSON. It alone is read, and moving it to its place is the save: a reader sees the old
model or the new one. ``config.json``, the same JSON, and ``README.md``, a card, are copies for
people and model hubs.

Networks, likelihoods, priors and posteriors are written as their class and settings, and rebuilt
from a closed list of classes. What a file asks for is compared with its own header before anything
is allocated.
"""

from __future__ import annotations

import json
import os
import secrets
import warnings
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from dataclasses import asdict, fields, replace
from hashlib import sha256
from importlib.metadata import version
from inspect import Parameter, signature
from itertools import pairwise
from math import isfinite, prod
from pathlib import Path
from stat import S_ISREG
from typing import Any, BinaryIO

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted

from ._images import WHITE, InputSpec, read_spec
from ._persistence import build_model
from .model import LIKELIHOODS, POSTERIORS, PRIORS, Likelihood, PosteriorFamily, Prior
from .nn import NETWORKS, Network, Patches
from .training import Augment, usual_dtype

try:
    import fcntl
except ImportError:  # Windows, which removes no file that a program has open
    fcntl = None  # type: ignore[assignment]

FORMAT, FORMAT_VERSION = "sklearn_vae", 2
"""The config is in the metadata under the format's name. Version 1 was never released."""
CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"
KEYS = {
    "format",
    "format_version",
    "versions",
    "params",
    "not_saved",
    "input",
    "feature_names",
    "classes",
    "model",
    "training",
}
MAX_HEADER = 2**24
"""Bytes of what comes before the weights, the config included: some 40,000 epochs of history."""
MAX_CLASSES = 2**26
"""Bytes of the array of class names, in which NumPy makes each as long as the longest."""
MAX_CARD = 2**20
"""Bytes of a card in which its mark is looked for."""
TRAINING_ONLY = ("augment", "optimizer", "callbacks", "random_state")
"""Parameters that a fitted model works without: code in them is left out, with a warning."""
CLASSES: dict[str, type] = {
    cls.__name__: cls
    for cls in (
        *NETWORKS.values(),
        *LIKELIHOODS.values(),
        *PRIORS.values(),
        *POSTERIORS.values(),
        Augment,
        Patches,
    )
}
"""All that a config can name."""
PARTS = {
    "network": Network,
    "likelihood": Likelihood,
    "prior": Prior,
    "posterior": PosteriorFamily,
}
"""What a model is made of, by the parameter that asks for it."""
DTYPES: dict[str, np.dtype[Any]] = {
    "F32": np.dtype("<f4"),
    "I64": np.dtype("<i8"),
    "BOOL": np.dtype("?"),
}
"""What weights and buffers can be, by safetensors' names."""
NUMBERS = {np.dtype(code).name for code in "?" + np.typecodes["AllInteger"] + np.typecodes["Float"]}
"""Names of the dtypes that X can have."""
CLASS_DTYPES = NUMBERS - {np.dtype(np.longdouble).name} | {"float64", "str", "object"}
"""Those that classes can have: what JSON holds to the last digit."""
Found = dict[str, tuple[tuple[int, ...], str]]
"""Shape and dtype of each of a file's tensors."""
POSITIVE = ("feature_scale", "scaling.scale", "running_var")
"""What the names of scales and variances end in; of them no root can be taken below zero."""
NON_FINITE = {"inf", "-inf", "nan"}
"""What a history has in place of numbers that JSON has not."""
MARK = "<!-- Written by save_pretrained, which keeps this file once this line is gone. -->"


def _is_number(value: Any) -> bool:
    # Bounds rather than isfinite, which fails for the long integers that JSON can hold.
    is_real = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_real and -1e300 < value < 1e300


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value < 2**63


FITS: dict[str, Callable[[Any], bool]] = {
    "bool": lambda value: isinstance(value, bool),
    "int": _is_count,
    "float": _is_number,
    "str": lambda value: isinstance(value, str),
    "Network": lambda value: isinstance(value, Network),
    "float | str": lambda value: isinstance(value, str) or _is_number(value),
    "tuple[int, ...]": lambda v: (
        isinstance(v, (tuple, list)) and len(v) > 0 and all(map(_is_count, v))
    ),
}
"""Whether a value fits a setting of the classes above, by the setting's annotation."""


# -- messages ------------------------------------------------------------------------------------


def _cut(text: object, length: int = 100) -> str:
    """Return text of a file or a user, as much as a message should hold of it."""
    text = str(text)
    return text if len(text) <= length else text[: length - 3] + "..."


def _named(names: Iterable[object], most: int = 5) -> str:
    """Return a list of names, of many the first few."""
    names = list(names)
    more = [f"{len(names) - most} more"] if len(names) > most else []
    return ", ".join([*(_cut(name, 40) for name in names[:most]), *more])


def _attempt(make: Callable[..., Any], where: str, *args: Any, **kwargs: Any) -> Any:
    """Return ``make(...)``; a ValueError that says where for any way in which values misfit."""
    try:
        return make(*args, **kwargs)
    except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(f"{where}: {_cut(error, 250)}") from error


def _object(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{where} must be a JSON object; got {_cut(repr(value))}.")
    return value


def _check_keys(value: Any, keys: set[str], where: str) -> None:
    found = set(_object(value, where))
    if found != keys:
        missing, unknown = sorted(keys - found), sorted(found - keys)
        raise ValueError(
            f"{where} has missing keys [{_named(map(repr, missing))}] and unknown keys "
            f"[{_named(map(repr, unknown))}]. It was changed, or written by another version; get "
            "it again."
        )


# -- values as JSON ------------------------------------------------------------------------------


def _encode(value: Any) -> Any:
    """Return a value as JSON; TypeError for what could not be read back without code."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, str)) or _is_number(value):
        return value
    if isinstance(value, list):
        return [_encode(item) for item in value]
    if isinstance(value, tuple):
        return {"class": "tuple", "params": {"items": [_encode(item) for item in value]}}
    if isinstance(value, torch.device):
        return {"class": "torch.device", "params": {"name": str(value)}}
    if type(value) in CLASSES.values():
        settings = {name: _encode(getattr(value, name)) for name in _settings(type(value))}
        return {"class": type(value).__name__, "params": settings}
    raise TypeError(type(value).__name__)


def _decode(value: Any, where: str) -> Any:
    """Return what :func:`_encode` was given; ValueError, with ``where``, for anything else."""
    if isinstance(value, list):
        return [_decode(item, where) for item in value]
    if not isinstance(value, dict):
        if value is None or isinstance(value, (bool, str)) or _is_number(value):
            return value
        raise ValueError(f"{where}={_cut(repr(value))} is out of range.")
    _check_keys(value, {"class", "params"}, where)
    name, where = value["class"], f"{where}.params"
    given = _object(value["params"], where)
    if name == "tuple":
        _check_keys(given, {"items"}, where)
        if isinstance(given["items"], list):
            return tuple(_decode(given["items"], where))
    elif name == "torch.device":
        _check_keys(given, {"name"}, where)
        return _attempt(torch.device, where, given["name"])
    elif isinstance(name, str) and name in CLASSES:
        settings = _settings(CLASSES[name])
        _check_keys(given, set(settings), where)
        params = {key: _decode(item, f"{where}.{key}") for key, item in given.items()}
        for key, item in params.items():
            if not FITS[settings[key]](item):
                raise ValueError(f"{where}.{key}={_cut(repr(item))} is no valid setting of {name}.")
        return _attempt(CLASSES[name], where, **params)
    raise ValueError(
        f"{where}: class {_cut(repr(name))} with {_cut(repr(given))} cannot be read; known are "
        f"tuple, torch.device, {', '.join(CLASSES)}."
    )


def _settings(cls: type) -> dict[str, str]:
    """Return the settings that the constructor takes, with their annotations."""
    variadic = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)  # of torch's own Module
    parameters = signature(cls).parameters.values()
    return {p.name: p.annotation for p in parameters if p.kind not in variadic}


def _parse(text: bytes | str) -> Any:
    """Return what JSON says; ValueError also for numbers that are infinite and keys given twice."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, value in pairs:
            if name in found:
                raise ValueError(f"the key {_cut(repr(name), 40)} is there twice")
            found[name] = value
        return found

    def finite(number: str) -> float:
        if not isfinite(float(number)):
            raise ValueError(f"{_cut(number, 40)} is no JSON number")
        return float(number)

    return json.loads(text, object_pairs_hook=once, parse_constant=finite, parse_float=finite)


# -- writing -------------------------------------------------------------------------------------


def save(vae: Any, folder: str | os.PathLike[str]) -> None:
    """Write what :meth:`VAETransformer.save_pretrained` documents."""
    check_is_fitted(vae)
    folder = Path(folder)
    _refuse_foreign(folder)
    state = vae.__getstate__()
    config = _config(vae, state)
    _read_params(type(vae), config["params"], "params")  # what was set since may not be allowed
    text = json.dumps(config, indent=2, allow_nan=False) + "\n"
    files: dict[str, list[bytes | memoryview]]
    files = {WEIGHTS: _model_file(state["_weights"], text), CONFIG: [text.encode()]}
    if _may_replace_card(folder / CARD):
        files[CARD] = [_card(vae, config).encode()]
    folder.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(folder)
    _write(folder, files)


def _model_file(weights: dict[str, np.ndarray], config: str) -> list[bytes | memoryview]:
    """Return a safetensors file in parts. Its header is our own: theirs has no settled order."""
    from safetensors.numpy import save as as_bytes

    # In C order: safetensors writes memory as it lies, and NumPy keeps torch's channels-last.
    arrays = {name: np.array(array, order="C") for name, array in weights.items()}
    content = memoryview(as_bytes(arrays))
    begin = 8 + _length(content[:8])
    metadata = {"format": "pt", FORMAT: config, "sha256": _checksum(config, arrays)}
    header = {"__metadata__": metadata, **json.loads(bytes(content[8:begin]))}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # as the format has it: weights begin at a multiple of 8
    if len(text) > MAX_HEADER:
        raise ValueError(
            f"The folder's config would take {len(text)} bytes, of which {MAX_HEADER} can be read: "
            "history_, feature_names_in_ or classes_ are too long. joblib.dump keeps them."
        )
    return [len(text).to_bytes(8, "little"), text, content[begin:]]


def _checksum(config: str, arrays: dict[str, np.ndarray]) -> str:
    """Return a digest of all that a file says; its header says how long each part is."""
    digest = sha256(config.encode("utf-8", "surrogatepass"))
    for name in sorted(arrays):
        digest.update(np.atleast_1d(arrays[name]).view(np.uint8).data)
    return digest.hexdigest()


def _config(vae: Any, state: dict[str, Any]) -> dict[str, Any]:
    not_saved: list[str] = []
    params = {}
    for name, value in vae.get_params(deep=False).items():
        try:
            params[name] = _encode(value)
        except TypeError:
            if name not in TRAINING_ONLY:
                raise _cannot_be_saved(name, value) from None
            params[name] = _encode(signature(type(vae)).parameters[name].default)
            not_saved.append(name)
    model = {}
    for name in PARTS:
        try:
            model[name] = _encode(state[name + "_"])
        except TypeError:
            raise _cannot_be_saved(name, state[name + "_"]) from None
    history: list[dict[str, Any]] = []
    for row in state["history_"]:
        history.append({})
        for name, value in row.items():
            if isinstance(name, str) and _is_measured(value):
                history[-1][name] = _encode_measured(value)
            else:
                not_saved.append(f"history_'s {name}")
    if not_saved:
        not_saved = sorted(set(not_saved))
        warnings.warn(
            f"The folder holds no code: {_named(not_saved, 10)} will be at the default, or absent, "
            "after from_pretrained. Features, scores and images stay the same. joblib keeps all.",
            UserWarning,
            stacklevel=4,
        )
    names = state.get("feature_names_in_")
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "versions": {name: version(name) for name in ("sklearn-vae", "scikit-learn", "torch")},
        "params": params,
        "not_saved": not_saved,
        "input": asdict(state["spec_"]),
        "feature_names": None if names is None else list(names),
        "classes": _encode_classes(state.get("classes_")),
        "model": model,
        "training": {
            "samples_seen": state["n_samples_seen_"],
            "unlabelled": state.get("n_unlabelled_"),
            "history": history,
        },
    }


def _is_measured(value: Any) -> bool:
    """Return whether a value is what a history has of an epoch: a number, or yes or no."""
    if isinstance(value, np.generic):
        value = value.item()
    return isinstance(value, (bool, float)) or _is_number(value)


def _encode_measured(value: Any) -> Any:
    value = value.item() if isinstance(value, np.generic) else value
    return str(value) if isinstance(value, float) and not isfinite(value) else value


def _encode_classes(classes: np.ndarray | None) -> dict[str, Any] | None:
    """Return the classes of a model with a class head as JSON."""
    if classes is None:
        return None
    dtype = "str" if classes.dtype.kind == "U" else classes.dtype.name
    values = classes.tolist()
    if dtype not in CLASS_DTYPES or not all(map(_is_class, values)):
        raise _cannot_be_saved("classes_", classes)
    _check_width(values, dtype, "classes_")
    return {"dtype": dtype, "values": values}


def _is_class(value: Any) -> bool:
    return isinstance(value, (bool, str)) or _is_number(value)


def _check_width(values: list[Any], dtype: str, where: str) -> None:
    longest = max((len(v) for v in values if isinstance(v, str)), default=0)
    if dtype == "str" and 4 * longest * len(values) > MAX_CLASSES:
        raise ValueError(
            f"{where}: {len(values)} names of up to {longest} characters take more than "
            f"{MAX_CLASSES} bytes. Shorten the names of the classes."
        )


def _cannot_be_saved(name: str, value: Any) -> TypeError:
    return TypeError(
        f"{name}={_cut(repr(value))} cannot be written: save_pretrained writes finite numbers, "
        "strings, lists and the package's own classes, and no code, without which the model could "
        f"not be rebuilt. Use joblib.dump, or one of {', '.join(CLASSES)}."
    )


def _refuse_foreign(folder: Path) -> None:
    """Refuse a folder whose files of these names are not of this format."""
    theirs = [
        name
        for name, is_ours in ((CONFIG, _is_our_config), (WEIGHTS, _is_our_model))
        if os.path.lexists(folder / name) and not is_ours(folder / name)
    ]
    if theirs:
        raise FileExistsError(
            f"{folder} holds {' and '.join(theirs)} that this version of save_pretrained did not "
            "write, or that changed since. Choose another folder, or remove them."
        )


FOREIGN = (FileNotFoundError, ValueError, RecursionError, LookupError, TypeError)
"""What reading a file that is not ours may end in; a link may lead nowhere."""


def _is_our_config(path: Path) -> bool:
    try:
        with _open(path) as file:
            return _parse(file.read(MAX_HEADER))["format"] == FORMAT
    except FOREIGN:
        return False


def _is_our_model(path: Path) -> bool:
    try:
        with _open(path) as file:
            return FORMAT in _read_header(path, file)[0]
    except FOREIGN:
        return False


def _may_replace_card(path: Path) -> bool:
    if not os.path.lexists(path):
        return True
    try:
        with _open(path) as file:
            return MARK.encode() in file.read(MAX_CARD)
    except (OSError, ValueError):  # no file of ours
        return False


def _write(folder: Path, files: dict[str, list[bytes | memoryview]]) -> None:
    """Write all files beside their places, then move them there: first the one that is read."""
    with ExitStack() as stack:
        parts = {}
        for name, content in files.items():
            part = parts[name] = _new_part(folder, name)
            stack.callback(Path(part.name).unlink, missing_ok=True)
            stack.enter_context(part)
            part.writelines(content)
            part.flush()
            os.fsync(part.fileno())  # or a power cut could leave a name without contents
        for name, part in parts.items():
            if fcntl is None:
                part.close()  # Windows moves no open file
            os.replace(part.name, folder / name)  # a link, not what it points to


def _new_part(folder: Path, name: str) -> BinaryIO:
    """Return a new file to write to, locked until it is closed: a live save's."""
    while True:
        # Mode "x" follows no link, and nobody can have guessed the name.
        part = open(folder / f".{name}.{secrets.token_hex(8)}.part", "xb")  # noqa: SIM115
        try:
            if _lock(part) and os.path.exists(part.name):
                return part
        except OSError:  # a file system without locks: leftovers stay there
            return part
        part.close()  # taken for a leftover before it was locked


def _remove_leftovers(folder: Path) -> None:
    """Remove what killed saves left, and nothing of one that is under way."""
    for name in (WEIGHTS, CONFIG, CARD):
        for part in folder.glob(f".{name}.*.part"):
            with suppress(OSError, ValueError):
                if fcntl is None:
                    part.unlink()
                    continue
                with _open(part, os.O_NOFOLLOW | os.O_RDWR) as file:
                    if _lock(file):
                        part.unlink()


def _lock(file: BinaryIO) -> bool:
    """Return whether nobody else has the file locked; then it is, until it is closed."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _card(vae: Any, config: dict[str, Any]) -> str:
    spec, last = vae.spec_, vae.history_[-1]
    if spec.is_image:
        c, h, w = spec.shape
        kind, task = f"images of {c} x {h} x {w} values", "image-feature-extraction"
    else:
        kind, task = f"rows of {spec.n_features} values", "feature-extraction"
    free = "in [0, 1]" if vae.likelihood_.bounded else "standardised inside"
    values = {"uint8": f"0 to {spec.white}", "bool": "False or True"}.get(spec.dtype, free)
    bound = "ELBO" if vae.importance_samples == 1 else "importance-weighted bound"
    terms = [
        (part, last[f"{part}_log_likelihood"], last[f"{part}_kl"])
        for part in ("train", "valid")
        if {f"{part}_log_likelihood", f"{part}_kl"} <= last.keys()
    ]
    rows = [f"| {part} | {fit - kl:.2f} | {fit:.2f} | {kl:.2f} |" for part, fit, kl in terms]
    augmented = callable(vae.augment) or (spec.is_image and vae.augment not in (None, 0))
    lines = [
        "---",
        "library_name: sklearn-vae",
        f"pipeline_tag: {task}",
        "tags:",
        "- variational-autoencoder",
        "- scikit-learn",
        "---",
        MARK,
        "",
        f"# Variational autoencoder for {kind}",
        "",
        "A fitted `sklearn_vae.VAETransformer`, a scikit-learn transformer:",
        "",
        f"- **Input**: `(n, {', '.join(map(str, spec.raw_shape))})`, {spec.dtype}, {values}.",
        f"- **Latent dimensions**: {vae.module_.z_dim}",
        f"- **Network**: `{vae.network_!r}`",
        f"- **Likelihood**: `{vae.likelihood_!r}`",
        f"- **Prior**: `{vae.prior_!r}`",
        f"- **Posterior**: `{vae.posterior_!r}`",
        "",
        "```python",
        "from sklearn_vae import VAETransformer",
        "",
        'vae = VAETransformer.from_pretrained("this folder")',
        "Z = vae.transform(X)",
        "```",
        "",
        f"`{WEIGHTS}` is the whole model; `{CONFIG}` is a copy of the settings in it, to be read.",
        "",
        "## Training",
        "",
        f"{vae.n_iter_} epochs, {vae.n_samples_seen_} samples shown. Means over the last epoch, in "
        "nats per sample" + ("; the encoder saw augmented training images:" if augmented else ":"),
        "",
        f"| rows | {bound} | log-likelihood | KL |",
        "| --- | --- | --- | --- |",
        *rows,
        "",
        "Made with " + ", ".join(f"{name} {v}" for name, v in config["versions"].items()) + ".",
        "",
        "What the data were and what the model is for is not known to the program that wrote this.",
        "",
    ]
    return "\n".join(lines)


# -- reading -------------------------------------------------------------------------------------


def load(cls: type[Any], folder: str | os.PathLike[str]) -> Any:
    """Read what :func:`save` wrote; see :meth:`VAETransformer.from_pretrained`."""
    path = Path(folder) / WEIGHTS
    try:
        with _open(path) as file:  # once: the next moment it may be another model's
            return _rebuild(cls, path, file)
    except RecursionError as error:
        raise ValueError(f"{path} is nested too deeply. Get the file again.") from error


def _open(path: Path, flags: int = 0) -> BinaryIO:
    """Open a file for reading; ValueError for what is none, such as a pipe, without waiting."""
    if not os.path.exists(path):
        raise FileNotFoundError(
            f"{path} does not exist; a folder that save_pretrained wrote holds {WEIGHTS}."
        )
    if path.is_file():
        flags |= getattr(os, "O_NONBLOCK", 0)  # should it have become a pipe by now
        file = open(path, "rb", opener=lambda name, mode: os.open(name, mode | flags))  # noqa: SIM115
        if S_ISREG(os.fstat(file.fileno()).st_mode):
            return file
        file.close()
    raise ValueError(f"{path} is no regular file.")


def _rebuild(cls: type[Any], path: Path, file: BinaryIO) -> Any:
    metadata, found, places = _read_header(path, file)
    config = _read_config(path, metadata)
    vae = _read_params(cls, config["params"], f"{path}: params")
    _check_keys(config["model"], set(PARTS), f"{path}: model")
    parts = {name: _read_part(config, name, kind, path) for name, kind in PARTS.items()}
    network, likelihood = parts["network"], parts["likelihood"]
    spec = _read_spec(config["input"], f"{path}: input")
    if not spec.is_image and not network.takes_vectors:
        raise ValueError(
            f"{path}: model.network={_cut(repr(network))} cannot take vectors {spec.shape}."
        )
    likelihood.bounded = spec.is_intensity or likelihood.needs_bounded
    state = {
        "spec_": spec,
        **{f"{name}_": part for name, part in parts.items()},
        "n_features_in_": spec.n_features,
        "_resumable": False,
        **_read_training(config["training"], f"{path}: training"),
        **_read_names(config["feature_names"], spec, f"{path}: feature_names"),
    }
    classes = _read_classes(config["classes"], f"{path}: classes")
    if classes is not None:
        state["classes_"] = classes
    _check_model(path, found, spec, parts, 0 if classes is None else len(classes))
    state["_weights"] = _read_weights(path, file, found, places, metadata)
    state["_z_dim"] = len(state["_weights"]["posterior_head.weight"]) // 2
    try:
        with torch.device("meta"):  # modules to be filled: no memory of their own
            vae.__setstate__(state)
    except ValueError as error:  # of a device of no kind that there is
        raise ValueError(f"{path}: {_cut(error, 250)}") from error
    return vae


def _read_header(path: Path, file: BinaryIO) -> tuple[dict[str, Any], Found, dict[str, int]]:
    """Return the metadata, what the tensors are, and where each begins.

    Of safetensors' own readers one takes the whole file to begin with, the other maps it into
    memory, where a program that cuts it short ends this one.
    """
    size, length = os.fstat(file.fileno()).st_size, _length(file.read(8))
    if not 2 <= length <= min(size - 8, MAX_HEADER):
        raise ValueError(
            f"{path} is no safetensors file of a model: it has {size} bytes, the first of which "
            f"announce a header of {length} ({MAX_HEADER} at most). Get it again."
        )
    try:
        header = _object(_parse(file.read(length)), "its header")
        metadata = _object(header.pop("__metadata__", {}), "its metadata")
        found, places, end = {}, {}, 0
        for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
            _check_keys(entry, {"dtype", "shape", "data_offsets"}, _cut(repr(name), 40))
            kind, shape = entry["dtype"], entry["shape"]
            sizes = isinstance(shape, list) and len(shape) <= 8 and all(map(_is_size, shape))
            if kind not in DTYPES or not sizes:
                raise ValueError(
                    f"{_cut(repr(name), 40)} has dtype {_cut(kind, 40)} and shape {_cut(shape, 40)}"
                )
            begin, end = end, end + DTYPES[kind].itemsize * prod(shape)
            if entry["data_offsets"] != [begin, end]:
                raise ValueError(f"{_cut(repr(name), 40)} is not where its neighbour ends")
            found[name], places[name] = (tuple(shape), kind), 8 + length + begin
        if 8 + length + end != size:
            raise ValueError(f"its header describes {8 + length + end} bytes, but it has {size}")
    except (LookupError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} is no safetensors file of a model: {_cut(error, 200)}. Get it again."
        ) from error
    return metadata, found, places


def _is_size(value: Any) -> bool:
    return value == 0 or _is_count(value)


def _length(first: bytes | memoryview) -> int:
    """Return the length of the header, with which the file begins."""
    return int.from_bytes(first, "little")


def _read_config(path: Path, metadata: dict[str, Any]) -> dict[str, Any]:
    text = metadata.get(FORMAT)
    if not isinstance(text, str):
        raise ValueError(
            f"{path} holds weights without the config that save_pretrained writes into it since "
            f"format_version={FORMAT_VERSION}. Save the model again."
        )
    try:
        config = _parse(text)
    except ValueError as error:
        raise ValueError(
            f"{path}: its config is not valid JSON: {_cut(error, 200)}. Get the file again."
        ) from error
    config = _object(config, f"{path}: its config")
    given = config.get("format"), config.get("format_version")
    if given != (FORMAT, FORMAT_VERSION) or not isinstance(given[1], int):
        raise ValueError(
            f"{path}: format={_cut(repr(given[0]))}, format_version={_cut(repr(given[1]))}; this "
            f"version of sklearn-vae reads format={FORMAT!r}, format_version={FORMAT_VERSION}. "
            "Upgrade sklearn-vae, or save the model again."
        )
    _check_keys(config, KEYS, f"{path}: its config")
    return config


def _read_params(cls: type[Any], given: Any, where: str) -> Any:
    """Return the unfitted estimator, its parameters having passed scikit-learn's validation."""
    _check_keys(given, set(cls._get_param_names()), where)
    vae = cls(**{name: _decode(value, f"{where}.{name}") for name, value in given.items()})
    _attempt(vae._validate_params, where)
    return vae


def _read_part(config: dict[str, Any], name: str, kind: type, path: Path) -> Any:
    where = f"{path}: model.{name}"
    part = _decode(config["model"][name], where)
    if not isinstance(part, kind):
        raise ValueError(f"{where}={_cut(repr(part))} is no {kind.__name__}.")
    return part


def _read_spec(given: Any, where: str) -> InputSpec:
    _check_keys(given, {field.name for field in fields(InputSpec)}, where)
    shape, raw_shape = given["shape"], given["raw_shape"]
    for name, sizes in (("shape", shape), ("raw_shape", raw_shape)):
        if (
            not isinstance(sizes, list)
            or not 1 <= len(sizes) <= 3
            or not all(map(_is_count, sizes))
        ):
            raise ValueError(
                f"{where}.{name}={_cut(repr(sizes))} is no list of 1 to 3 positive ints."
            )
    if given["dtype"] not in tuple(NUMBERS) or not isinstance(given["channels_last"], bool):
        raise ValueError(
            f"{where}: dtype={_cut(repr(given['dtype']))} must be one of "
            f"{', '.join(sorted(NUMBERS))}, and channels_last={_cut(repr(given['channels_last']))} "
            "true or false."
        )
    if type(given["white"]) is not int or given["white"] not in (1, WHITE):
        raise ValueError(f"{where}.white={_cut(repr(given['white']))} is neither 1 nor {WHITE}.")
    image_shape = None
    if len(raw_shape) == 1 and len(shape) == 3:
        c, h, w = shape
        image_shape = (h, w, c) if given["channels_last"] else (c, h, w)
    # A view of one value: nothing is allocated, whatever the shape.
    X = _attempt(np.broadcast_to, where, np.zeros((), given["dtype"]), (0, *raw_shape))
    spec = replace(_attempt(read_spec, where, X, image_shape), white=given["white"])
    wanted = InputSpec(**{**given, "shape": tuple(shape), "raw_shape": tuple(raw_shape)})
    if spec != wanted:
        raise ValueError(f"{where} contradicts itself: {wanted} would be {spec}.")
    return spec


def _read_training(given: Any, where: str) -> dict[str, Any]:
    _check_keys(given, {"samples_seen", "unlabelled", "history"}, where)
    seen, history, unlabelled = given["samples_seen"], given["history"], given["unlabelled"]
    if not _is_count(seen):
        raise ValueError(f"{where}.samples_seen={_cut(repr(seen))} is no positive int.")
    if not isinstance(history, list) or not history:
        raise ValueError(f"{where}.history={_cut(repr(history))} is no list of epochs.")
    rows = [
        {
            name: _read_measured(value, f"{where}.history: {_cut(name)}")
            for name, value in row.items()
        }
        for row in (_object(row, f"{where}.history") for row in history)
    ]
    state = {"history_": rows, "n_iter_": len(rows), "n_samples_seen_": seen}
    if unlabelled is None:
        return state
    if type(unlabelled) is not int or unlabelled < 0:
        raise ValueError(f"{where}.unlabelled={_cut(repr(unlabelled))} is no int >= 0.")
    return {**state, "n_unlabelled_": unlabelled}


def _read_measured(value: Any, where: str) -> bool | float:
    if isinstance(value, (bool, float)) or _is_number(value):
        return value
    if isinstance(value, str) and value in NON_FINITE:
        return float(value)
    raise ValueError(f"{where}={_cut(repr(value))} is no number of an epoch.")


def _read_names(names: Any, spec: InputSpec, where: str) -> dict[str, np.ndarray]:
    if names is None:
        return {}
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"{where}={_cut(repr(names))} is no list of strings.")
    if spec.raw_shape != (len(names),):
        raise ValueError(f"{where} has {len(names)} names for columns of shape {spec.raw_shape}.")
    return {"feature_names_in_": np.array(names, dtype=object)}


def _read_classes(given: Any, where: str) -> np.ndarray | None:
    if given is None:
        return None
    _check_keys(given, {"dtype", "values"}, where)
    dtype, values = given["dtype"], given["values"]
    if not isinstance(values, list) or not all(map(_is_class, values)):
        raise ValueError(f"{where}.values={_cut(repr(values))} is no list of strings or numbers.")
    if dtype not in tuple(CLASS_DTYPES):
        raise ValueError(
            f"{where}.dtype={_cut(repr(dtype))} is none of {', '.join(sorted(CLASS_DTYPES))}."
        )
    _check_width(values, dtype, where)
    classes: np.ndarray = _attempt(np.array, where, values, dtype)
    rising = _attempt(lambda: all(a < b for a, b in pairwise(values)), where)
    if len(values) < 2 or not rising or classes.tolist() != values:
        raise ValueError(
            f"{where}: {_cut(repr(values))} are no two or more sorted classes of dtype {dtype}."
        )
    return classes


def _check_model(
    path: Path, found: Found, spec: InputSpec, parts: dict[str, Any], n_labels: int
) -> None:
    """Check that the file has the names, shapes and dtypes of the model that its config describes.

    Nothing is allocated but what is in the file: layers are on torch's meta device, encoder and
    decoder are compared before anything runs through them.
    """
    network, likelihood = parts["network"], parts["likelihood"]
    head = found.get("posterior_head.weight", ((), ""))[0]
    settings = vars(network.network if isinstance(network, Patches) else network).values()
    repeats = [len(v) if isinstance(v, (tuple, list)) else int(v) for v in settings]
    layers = prod(max(1, n) for n in repeats)  # at the least: stages times the blocks of each
    layers += getattr(parts["posterior"], "n_steps", 0)
    if len(head) != 2 or min(head) < 1 or layers > len(found):
        raise ValueError(f"{path} holds no weights for {_cut(repr(network))}: {_cut(found, 200)}.")
    z_dim, where = head[0] // 2, f"{path}: model"
    decoded = (likelihood.n_params * spec.shape[0], *spec.shape[1:])
    with torch.device("meta"), usual_dtype():
        for part, make, *sizes in (
            ("encoder", network.encoder, spec.shape),
            ("decoder", network.decoder, z_dim, decoded),
        ):
            wanted = _described(_attempt(make, where, *sizes), f"{part}.")
            _compare(path, {n: v for n, v in found.items() if n.startswith(f"{part}.")}, wanted)
        model = _attempt(build_model, where, spec, z_dim=z_dim, n_labels=n_labels, **parts)
    _compare(path, found, _described(model))


def _described(module: torch.nn.Module, prefix: str = "") -> Found:
    names = {torch.float32: "F32", torch.int64: "I64", torch.bool: "BOOL"}
    return {prefix + n: (tuple(t.shape), names[t.dtype]) for n, t in module.state_dict().items()}


def _compare(path: Path, found: Found, wanted: Found) -> None:
    _check_keys(found, set(wanted), str(path))
    for name, what in wanted.items():
        if found[name] != what:
            raise ValueError(
                f"{path}: {name} has (shape, dtype) {_cut(found[name])}, but its config describes "
                f"a model where it has {_cut(what)}. They do not belong together."
            )


def _read_weights(
    path: Path, file: BinaryIO, found: Found, places: dict[str, int], metadata: dict[str, Any]
) -> dict[str, np.ndarray]:
    """Return the arrays, all of them finite and as they were written."""
    arrays = {}
    for name, (shape, kind) in found.items():
        file.seek(places[name])
        size = DTYPES[kind].itemsize * prod(shape)
        content = file.read(size)
        if len(content) < size:
            raise ValueError(f"{path} was cut short while it was read. Load it again.")
        arrays[name] = np.frombuffer(content, DTYPES[kind]).reshape(shape)
    if metadata.get("sha256") != _checksum(metadata[FORMAT], arrays):
        raise ValueError(
            f"{path} is damaged: its checksum is that of other contents. Get it again."
        )
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise ValueError(f"{path}: {name} holds values that are not finite. Get it again.")
        if name.endswith(POSITIVE) and array.min() < 0:
            raise ValueError(f"{path}: {name} holds values below zero. Get it again.")
        if array.dtype == bool and array.view(np.uint8).max() > 1:
            raise ValueError(f"{path}: {name} holds values that are no bools. Get it again.")
    return arrays

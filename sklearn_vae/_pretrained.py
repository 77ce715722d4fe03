"""A fitted VAETransformer as a folder of safetensors and JSON: read without executing code.

``model.safetensors`` is the state dict of the module, ``config.json`` the rest of the estimator,
``README.md`` a card for people and model hubs. Networks, likelihoods, priors and posteriors are
written as their class and settings, and rebuilt from a closed list of classes. What a file asks for
is compared with the header of the weights on torch's meta device, which holds no memory, before
anything is allocated.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable
from dataclasses import asdict, fields
from importlib.metadata import version
from inspect import Parameter, signature
from math import isfinite, prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted

from ._images import InputSpec, read_spec
from ._persistence import build_model
from .model import LIKELIHOODS, POSTERIORS, PRIORS, Likelihood, PosteriorFamily, Prior
from .nn import NETWORKS, Network, Patches
from .training import Augment, resolve_augment

FORMAT, FORMAT_VERSION = "sklearn_vae", 1
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
DTYPES = {torch.float32: "F32", torch.int64: "I64", torch.bool: "BOOL"}
MARK = "<!-- Written by save_pretrained, which keeps this file once this line is gone. -->"


def _is_number(value: Any) -> bool:
    # Bounds rather than isfinite, which fails for the long integers that JSON can hold.
    is_real = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_real and -1e300 < value < 1e300


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


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


# -- values as JSON ------------------------------------------------------------------------------


def _encode(value: Any) -> Any:
    """Return a value as JSON; TypeError for what could not be read back without code."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float) and isfinite(value):
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
        return value
    _check_keys(value, {"class", "params"}, where)
    name, where = value["class"], f"{where}.params"
    given = _object(value["params"], where)
    params = {key: _decode(item, f"{where}.{key}") for key, item in given.items()}
    if name == "tuple":
        _check_keys(params, {"items"}, where)
        if isinstance(params["items"], list):
            return tuple(params["items"])
    elif name == "torch.device":
        _check_keys(params, {"name"}, where)
        return _attempt(torch.device, where, params["name"])
    elif isinstance(name, str) and name in CLASSES:
        settings = _settings(CLASSES[name])
        _check_keys(params, set(settings), where)
        for key, item in params.items():
            if not FITS[settings[key]](item):
                raise ValueError(f"{where}.{key}={item!r} is no valid setting of {name}.")
        return _attempt(CLASSES[name], where, **params)
    raise ValueError(
        f"{where}: class {name!r:.100} with {given!r:.100} cannot be read; known are tuple, "
        f"torch.device, {', '.join(CLASSES)}."
    )


def _settings(cls: type) -> dict[str, str]:
    """Return the settings that the constructor takes, with their annotations."""
    variadic = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)  # of torch's own Module
    parameters = signature(cls).parameters.values()
    return {p.name: p.annotation for p in parameters if p.kind not in variadic}


def _attempt(make: Callable[..., Any], where: str, *args: Any, **kwargs: Any) -> Any:
    """Return ``make(...)``; a ValueError that says where for any way in which values misfit."""
    try:
        return make(*args, **kwargs)
    except (ArithmeticError, IndexError, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(f"{where}: {error}") from error


def _object(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{where} must be a JSON object; got {value!r:.100}.")
    return value


def _check_keys(value: Any, keys: set[str], where: str) -> None:
    found = set(_object(value, where))
    if found != keys:
        raise ValueError(
            f"{where} has missing keys {sorted(keys - found)} and unknown keys "
            f"{sorted(found - keys)}. It was changed, or written by another version; get it again."
        )


# -- writing -------------------------------------------------------------------------------------


def save(vae: Any, folder: str | os.PathLike[str]) -> None:
    """Write what :meth:`VAETransformer.save_pretrained` documents."""
    from safetensors.numpy import save as as_bytes

    check_is_fitted(vae)
    folder = Path(folder)
    _refuse_foreign(folder)
    state = vae.__getstate__()
    config = _config(vae, state)
    # In C order: safetensors writes memory as it lies, and NumPy keeps torch's channels-last.
    arrays = {name: np.array(array, order="C") for name, array in state["_weights"].items()}
    files = {
        WEIGHTS: as_bytes(arrays, metadata={"format": "pt"}),
        CONFIG: (json.dumps(config, indent=2, allow_nan=False) + "\n").encode(),
    }
    card = folder / CARD
    if not card.exists() or MARK.encode() in card.read_bytes():
        files[CARD] = _card(vae, config).encode()
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder, files)


def _config(vae: Any, state: dict[str, Any]) -> dict[str, Any]:
    not_saved: list[str] = []
    params = {}
    for name, value in vae.get_params(deep=False).items():
        try:
            params[name] = _encode(value)
        except TypeError:
            if name not in TRAINING_ONLY:
                raise _needs_code(name, value) from None
            params[name] = _encode(signature(type(vae)).parameters[name].default)
            not_saved.append(name)
    model = {}
    for name in PARTS:
        try:
            model[name] = _encode(state[name + "_"])
        except TypeError:
            raise _needs_code(name, state[name + "_"]) from None
    history: list[dict[str, Any]] = []
    for row in state["history_"]:
        history.append({})
        for name, value in row.items():
            try:
                history[-1][name] = _encode(value)
            except TypeError:
                not_saved.append(f"history_'s {name}")
    if not_saved:
        not_saved = sorted(set(not_saved))
        warnings.warn(
            f"The folder holds no code: {', '.join(not_saved)} will be at the default, or absent, "
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
        "training": {"samples_seen": state["n_samples_seen_"], "history": history},
    }


def _needs_code(name: str, value: Any) -> TypeError:
    return TypeError(
        f"{name}={value!r} is code of your own, without which the model cannot be rebuilt, and "
        "save_pretrained writes none. Use joblib.dump, or one of the package's own classes: "
        f"{', '.join(CLASSES)}."
    )


def _refuse_foreign(folder: Path) -> None:
    """Refuse a folder whose files of these names are not of this format."""
    theirs = [name for name in (CONFIG, WEIGHTS) if (folder / name).exists()]
    if not theirs:
        return
    try:
        ours = json.loads((folder / CONFIG).read_bytes())["format"] == FORMAT
    except (OSError, ValueError, RecursionError, LookupError, TypeError):
        ours = False
    if not ours:
        raise FileExistsError(
            f"{folder} holds {' and '.join(theirs)} that save_pretrained did not write. Choose "
            "another folder, or remove them."
        )


def _write(folder: Path, files: dict[str, bytes]) -> None:
    """Write all files beside their places, then move them there."""
    parts = {name: folder / f".{name}.{os.getpid()}.part" for name in files}
    try:
        for name, content in files.items():
            parts[name].write_bytes(content)
        for name, part in parts.items():
            part.replace(folder / name)
    finally:
        for part in parts.values():
            part.unlink(missing_ok=True)


def _card(vae: Any, config: dict[str, Any]) -> str:
    spec, last = vae.spec_, vae.history_[-1]
    if spec.is_image:
        c, h, w = spec.shape
        kind, task = f"images of {c} x {h} x {w} values", "image-feature-extraction"
    else:
        kind, task = f"rows of {spec.n_features} values", "feature-extraction"
    free = "in [0, 1]" if vae.likelihood_.bounded else "standardised inside"
    values = {"uint8": "0 to 255", "bool": "False or True"}.get(spec.dtype, free)
    bound = "ELBO" if vae.importance_samples == 1 else "importance-weighted bound"
    terms = [
        (part, last[f"{part}_log_likelihood"], last[f"{part}_kl"])
        for part in ("train", "valid")
        if f"{part}_kl" in last
    ]
    rows = [f"| {part} | {fit - kl:.2f} | {fit:.2f} | {kl:.2f} |" for part, fit, kl in terms]
    augmented = resolve_augment(vae.augment, spec.shape) is not None
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
    path, weights = Path(folder) / CONFIG, Path(folder) / WEIGHTS
    for file in (path, weights):
        if not file.is_file():
            raise FileNotFoundError(
                f"{file} does not exist; a folder that save_pretrained wrote holds {CONFIG} and "
                f"{WEIGHTS}."
            )
    try:
        return _rebuild(cls, path, weights)
    except RecursionError as error:
        raise ValueError(f"{path} is nested too deeply. Get the file again.") from error


def _rebuild(cls: type[Any], path: Path, weights: Path) -> Any:
    config = _read_config(path)
    vae = _read_params(cls, config["params"], f"{path}: params")
    _check_keys(config["model"], set(PARTS), f"{path}: model")
    parts = {name: _read_part(config, name, kind, path) for name, kind in PARTS.items()}
    network, likelihood = parts["network"], parts["likelihood"]
    spec = _read_spec(config["input"], f"{path}: input")
    if not spec.is_image and not network.takes_vectors:
        raise ValueError(f"{path}: model.network={network!r} cannot take vectors {spec.shape}.")
    likelihood.bounded = spec.is_intensity or likelihood.needs_bounded
    state = {
        "spec_": spec,
        **{f"{name}_": part for name, part in parts.items()},
        "n_features_in_": spec.n_features,
        "_resumable": False,
        **_read_training(config["training"], f"{path}: training"),
    }
    classes = _read_classes(config["classes"], f"{path}: classes")
    if classes is not None:
        state["classes_"] = classes
    n_labels = 0 if classes is None else len(classes)
    state["_weights"] = _read_weights(weights, spec, parts, n_labels)
    names = config["feature_names"]
    if names is not None:
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ValueError(f"{path}: feature_names={names!r:.100} is no list of strings.")
        if len(names) != spec.n_features:
            raise ValueError(
                f"{path}: feature_names has {len(names)} names for {spec.n_features} columns."
            )
        state["feature_names_in_"] = np.array(names, dtype=object)
    with torch.device("meta"):  # modules to be filled: no memory of their own
        vae.__setstate__(state)
    return vae


def _read_config(path: Path) -> dict[str, Any]:
    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is no JSON number")

    try:
        config = json.loads(path.read_bytes(), parse_constant=refuse)
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON: {error}. Get the file again.") from error
    config = _object(config, str(path))
    given = config.get("format"), config.get("format_version")
    if given != (FORMAT, FORMAT_VERSION) or isinstance(given[1], bool):
        raise ValueError(
            f"{path}: format={given[0]!r:.100}, format_version={given[1]!r:.100}; this version of "
            f"sklearn-vae reads format={FORMAT!r}, format_version={FORMAT_VERSION}. Upgrade "
            "sklearn-vae, or save the model again."
        )
    _check_keys(config, KEYS, str(path))
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
        raise ValueError(f"{where}={part!r:.100} is no {kind.__name__}.")
    return part


def _read_spec(given: Any, where: str) -> InputSpec:
    """Return the input spec: the one that an array of that shape would have had."""
    _check_keys(given, {field.name for field in fields(InputSpec)}, where)
    shape, raw_shape = given["shape"], given["raw_shape"]
    for name in ("shape", "raw_shape"):
        if not FITS["tuple[int, ...]"](given[name]):
            raise ValueError(f"{where}.{name}={given[name]!r:.100} is no list of positive ints.")
    if not isinstance(given["dtype"], str) or not isinstance(given["channels_last"], bool):
        raise ValueError(
            f"{where}: dtype={given['dtype']!r:.100} must be a string and "
            f"channels_last={given['channels_last']!r:.100} true or false."
        )
    dtype = _attempt(np.dtype, f"{where}.dtype", given["dtype"])
    if dtype.kind not in "biuf":
        raise ValueError(f"{where}.dtype={given['dtype']!r} holds no numbers.")
    image_shape = None
    if len(raw_shape) == 1 and len(shape) == 3:
        c, h, w = shape
        image_shape = (h, w, c) if given["channels_last"] else (c, h, w)
    # A view of one value: nothing is allocated, whatever the shape.
    X = _attempt(np.broadcast_to, where, np.zeros((), dtype), (1, *raw_shape))
    spec = _attempt(read_spec, where, X, image_shape)
    wanted = InputSpec(tuple(shape), tuple(raw_shape), given["channels_last"], given["dtype"])
    if spec != wanted:
        raise ValueError(f"{where} contradicts itself: {wanted} would be {spec}.")
    return spec


def _read_training(given: Any, where: str) -> dict[str, Any]:
    _check_keys(given, {"samples_seen", "history"}, where)
    seen, history = given["samples_seen"], given["history"]
    if not _is_count(seen):
        raise ValueError(f"{where}.samples_seen={seen!r:.100} is no positive int.")
    if not isinstance(history, list) or not history:
        raise ValueError(f"{where}.history={history!r:.100} is no list of epochs.")
    rows = [
        {name: _decode(value, f"{where}.history.{name}") for name, value in row.items()}
        for row in (_object(row, f"{where}.history") for row in history)
    ]
    return {"history_": rows, "n_iter_": len(rows), "n_samples_seen_": seen}


def _encode_classes(classes: np.ndarray | None) -> dict[str, Any] | None:
    """Return the classes of a model with a class head as JSON."""
    if classes is None:
        return None
    return {"dtype": classes.dtype.str, "values": _encode(classes.tolist())}


def _read_classes(given: Any, where: str) -> np.ndarray | None:
    if given is None:
        return None
    _check_keys(given, {"dtype", "values"}, where)
    values = given["values"]
    if not isinstance(values, list) or not all(
        isinstance(v, str) or _is_number(v) or isinstance(v, bool) for v in values
    ):
        raise ValueError(f"{where}.values={values!r:.100} is no list of strings or numbers.")
    dtype = _attempt(np.dtype, f"{where}.dtype", given["dtype"])
    classes = _attempt(np.array, where, values, dtype)
    if dtype.kind not in "biufUO" or classes.tolist() != values or len(set(values)) < 2:
        raise ValueError(f"{where}: {values!r:.100} are no two or more classes of dtype {dtype}.")
    return classes


def _read_weights(
    path: Path, spec: InputSpec, parts: dict[str, Any], n_labels: int
) -> dict[str, np.ndarray]:
    """Return the arrays, once names, shapes and dtypes are those of the model described."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            found = {n: (tuple(s.get_shape()), s.get_dtype()) for n, s in slices.items()}
            _check_header(path, found, spec, parts, n_labels)
            arrays = {name: file.get_tensor(name) for name in found}
    except SafetensorError as error:
        raise ValueError(f"{path} is no safetensors file: {error}. Get it again.") from error
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise ValueError(f"{path}: {name} holds values that are not finite. Get it again.")
    return arrays


def _check_header(
    path: Path,
    found: dict[str, tuple[tuple[int, ...], str]],
    spec: InputSpec,
    parts: dict[str, Any],
    n_labels: int,
) -> None:
    network = parts["network"]
    head = found.get("posterior_head.weight", ((), ""))[0]
    settings = vars(network.network if isinstance(network, Patches) else network).values()
    repeats = [len(v) if isinstance(v, (tuple, list)) else int(v) for v in settings]
    layers = prod(max(1, n) for n in repeats)  # at the least: stages times the blocks of each
    layers += getattr(parts["posterior"], "n_steps", 0)
    if len(head) != 2 or min(head) < 1 or layers > len(found):
        raise ValueError(f"{path} holds no weights for {network!r:.100}: {found!r:.200}.")
    with torch.device("meta"):
        model = _attempt(
            build_model,
            f"{path.with_name(CONFIG)}: model",
            spec,
            z_dim=head[0] // 2,
            n_labels=n_labels,
            **parts,
        )
    wanted = {n: (tuple(t.shape), DTYPES[t.dtype]) for n, t in model.state_dict().items()}
    _check_keys(found, set(wanted), str(path))
    for name, what in wanted.items():
        if found[name] != what:
            raise ValueError(
                f"{path}: {name} has (shape, dtype) {found[name]}, but {CONFIG} describes a model "
                f"where it has {what}. The two files do not belong together."
            )

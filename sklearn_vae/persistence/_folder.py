"""A fitted VAETransformer as a folder, of which one file is read, without executing code.

``model.safetensors`` holds the state dict of the module and, in its metadata, the rest of the
estimator as JSON. It alone is read, and moving it to its place is the save: a reader sees the old
model or the new one. ``config.json``, the same JSON, and ``README.md``, a card, are copies for
people and model hubs.
"""

from __future__ import annotations

import json
import os
import secrets
from contextlib import ExitStack, suppress
from pathlib import Path
from stat import S_ISREG
from typing import Any, BinaryIO

import torch
from sklearn.utils.validation import check_is_fitted

from ..model._codec import arrays_of, restored
from ..utils._recipes import param_names
from ..utils._sklearn_compat import check_params
from ._config import OF_THE_MACHINE, Config, check_keys, from_text, named, to_dict
from ._weights import from_file, no_larger_than, to_parts

try:
    import fcntl
except ImportError:  # Windows, which removes no file that a program has open
    fcntl = None  # type: ignore[assignment]

WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"
MARKS = {
    WEIGHTS: b'"sklearn_vae":',
    CONFIG: b'"format": "sklearn_vae"',
    CARD: b"<!-- Written by save_pretrained, which keeps this file once this line is gone. -->",
}
"""What files of these names hold if they were written here."""
MARKED = 2**20
"""Bytes of a file in which its mark is looked for."""


Files = dict[str, list[bytes | memoryview]]


def to_files(vae: Any, source: str) -> Files:
    """Return the files of a fitted model, which its card says to load from a source."""
    check_is_fitted(vae)
    config = to_dict(vae)
    text = json.dumps(config, indent=2, allow_nan=False) + "\n"
    _unfitted(type(vae), from_text(text))  # what could not be read again is not written
    card = _card(vae, config["versions"], source)
    weights = to_parts(text, arrays_of(vae.module_))
    return {WEIGHTS: weights, CONFIG: [text.encode()], CARD: [card.encode()]}


def save(files: Files, folder: str | os.PathLike[str]) -> None:
    """Write the files as :meth:`VAETransformer.save_pretrained` documents."""
    folder = Path(folder)
    _refuse_foreign(folder)
    if not may_replace(folder / CARD):
        files = {name: parts for name, parts in files.items() if name != CARD}
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise FileExistsError(
            f"{folder} cannot be made a folder ({error.strerror}). Choose another."
        ) from error
    _remove_leftovers(folder)
    _write(folder, files)


def load(cls: type[Any], folder: str | os.PathLike[str]) -> Any:
    """Read what :func:`save` wrote; see :meth:`VAETransformer.from_pretrained`."""
    path = Path(folder) / WEIGHTS
    if not os.path.exists(path):
        raise FileNotFoundError(f"{path} does not exist. save_pretrained writes {WEIGHTS}.")
    with named(str(path)):
        with _open_regular(path) as file:  # once: the next moment it may be another model's
            text, arrays = from_file(file)
        config = from_text(text)
        vae = _unfitted(cls, config)
        z_dim = max(1, len(arrays["posterior_head.weight"]) // 2)  # means and scales
        with torch.device("meta"), no_larger_than(arrays):  # a model without memory, to be filled
            codec = restored(config.recipe(z_dim), config.spec_, arrays, vae.device)
        vae.__setstate__({**config.state(), "codec_": codec})
    return vae


def may_replace(path: Path) -> bool:
    """Return whether there is nothing, or a file that was written here."""
    if not os.path.lexists(path):
        return True
    try:
        with _open_regular(path) as file:
            return MARKS[path.name] in file.read(MARKED)
    except (FileNotFoundError, ValueError):  # a link may lead nowhere
        return False


def _unfitted(cls: type[Any], config: Config) -> Any:
    with named("params"):
        check_keys(config.params, param_names(cls))
        for name in OF_THE_MACHINE:
            if (place := config.params[name]) is not None:
                raise ValueError(f"{name}={place!r:.100} must be null: set it after loading.")
        vae = cls(**config.params)
        check_params(vae)
    return vae


def _open_regular(path: Path, flags: int = 0) -> BinaryIO:
    """Open a file for reading; ValueError for what is none, such as a pipe, without waiting."""
    if os.path.isfile(path) or not os.path.exists(path):
        flags |= getattr(os, "O_NONBLOCK", 0)  # should it have become a pipe by now
        file = open(path, "rb", opener=lambda name, mode: os.open(name, mode | flags))  # noqa: SIM115
        if S_ISREG(os.fstat(file.fileno()).st_mode):
            return file
        file.close()
    raise ValueError(f"{path.name} is no regular file.")


def _refuse_foreign(folder: Path) -> None:
    """Refuse a folder whose weights or config are not of this format."""
    theirs = [name for name in (CONFIG, WEIGHTS) if not may_replace(folder / name)]
    if theirs:
        raise FileExistsError(
            f"{folder} holds {' and '.join(theirs)} that this version of save_pretrained did not "
            "write, or that changed since. Choose another folder, or remove them."
        )


def _write(folder: Path, files: Files) -> None:
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
    for part in [part for name in MARKS for part in folder.glob(f".{name}.*.part")]:
        with suppress(OSError, ValueError):
            if fcntl is None:
                part.unlink()
                continue
            with _open_regular(part, os.O_NOFOLLOW | os.O_RDWR) as file:
                if _lock(file):
                    part.unlink()


def _lock(file: BinaryIO) -> bool:
    """Return whether nobody else has the file locked; then it is, until it is closed."""
    with suppress(BlockingIOError):
        if fcntl is not None:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


def _card(vae: Any, versions: dict[str, str], source: str) -> str:
    """Return a model card in the form of model hubs."""
    spec, last, rows = vae.spec_, vae.history_[-1], ""
    for part in ("train", "valid"):
        fit, kl = (last.get(f"{part}_{name}") for name in ("log_likelihood", "kl"))
        if fit is not None and kl is not None:
            rows += f"| {part} | {fit - kl:.2f} | {fit:.2f} | {kl:.2f} |\n"
    free = "in [0, 1]" if vae.likelihood_.bounded else "standardised inside"
    augmented = callable(vae.augment) or (spec.is_image and vae.augment not in (None, 0))
    template = Path(__file__).with_name("card.md").read_text("utf-8")
    return template.format(
        vae=vae,
        source=source,
        task="image-feature-extraction" if spec.is_image else "feature-extraction",
        raw_sizes=", ".join(map(str, spec.raw_shape)),
        values={"uint8": f"0 to {spec.white}", "bool": "False or True"}.get(spec.dtype, free),
        augmented="; the encoder saw augmented training images" if augmented else "",
        bound="ELBO" if vae.importance_samples == 1 else "importance-weighted bound",
        rows=rows,
        versions=", ".join(f"{name} {number}" for name, number in versions.items()),
    )

"""What a fit is, as text: what its checkpoint is found by, and what processes have in common."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable, Mapping
from hashlib import blake2b
from typing import Any

import torch
from skorch import callbacks as of_skorch
from skorch.callbacks import Callback

from ...input._rows import ReadLater, Rows
from ...utils._generators import generators_restored

AT_ONCE = 256
"""Rows of X that are read at a time."""
SOME_ITEMS = 32
"""Items of a Dataset by which processes that train together know it."""
ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
PARTS = "lr_scheduler", "regularization", "training"
STEERING = tuple(f"skorch.callbacks.{part}" for part in PARTS)
"""Modules of skorch's callbacks that training may depend on."""
KEEPING = of_skorch.Checkpoint, of_skorch.TrainEndCheckpoint, of_skorch.LoadInitState
"""Those of them that read and write files."""


def described(value: Any) -> str:
    """Return a text for a parameter that is the same in another process."""
    text = repr(value)
    if not ADDRESS.search(text):
        return text
    with contextlib.suppress(TypeError):  # without a repr of its own: by its attributes
        text += f" {sorted((k, ADDRESS.sub('', repr(v))) for k, v in vars(value).items())}"
    return ADDRESS.sub("", text)


def digest(value: Any) -> str:
    """Return a hash of nested containers of tensors and arrays."""
    return _hashed(lambda add: _walk(value, add))


def digest_of_rows(data: Rows, device: torch.device) -> str:
    """Return a hash of all samples, which are read once; what they draw is given back."""

    def walk(add: Callable[[Any], None]) -> None:
        for x in data.read_through(AT_ONCE):
            _walk(x, add)

    with generators_restored(device):
        return _hashed(walk)


def digest_of_data(data: Rows, device: torch.device, *, whole: bool) -> str:
    """Return a text for all samples, or for some of what need not be read ``whole``.

    Items that differ when they are read again tell nothing.
    """
    if whole or not isinstance(data, ReadLater):
        return f"hash {digest_of_rows(data, device)}"
    found = set()
    for _ in range(2):
        with generators_restored(device):
            found.add(digest(data.sample(SOME_ITEMS)))
    return "items drawn anew" if len(found) > 1 else f"hash of some items {found.pop()}"


def _hashed(walk: Callable[[Callable[[Any], None]], None]) -> str:
    hashed = blake2b(digest_size=16)
    walk(hashed.update)
    return hashed.hexdigest()


def _walk(value: Any, add: Callable[[Any], None]) -> None:
    if isinstance(value, torch.Tensor):
        flat = value.detach().cpu().flatten().contiguous()
        add(f"{value.dtype} {tuple(value.shape)} ".encode())
        add(flat.view(torch.uint8).numpy().data)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            add(f"{key!r}: ".encode())
            _walk(item, add)
    elif isinstance(value, (list, tuple)):
        add(f"{len(value)} of ".encode())
        for item in value:
            _walk(item, add)
    else:
        add(described(value).encode())


def steering(callbacks: Iterable[tuple[str, Callback]]) -> str:
    """Return a text for the callbacks of skorch's that training depends on, and their parameters.

    What a user's own do nobody knows.
    """
    settings = [
        (name, {k: described(v) for k, v in vars(cb).items() if k != "sink" and k[-1] != "_"})
        for name, cb in callbacks
        if type(cb).__module__.startswith(STEERING) and not isinstance(cb, KEEPING)
    ]
    return repr(settings)

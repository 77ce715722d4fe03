"""The state of a training between two epochs: what a checkpoint of it holds."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from skorch.callbacks import Callback

from .._progress import Progress


def state_of_net(net: Any) -> dict[str, Any]:
    """Return all that the rest of a net's training depends on; no images.

    All processes that train together call it: each has a generator of its own.
    """
    return {
        "step": net.step,
        "n_steps": net.n_steps,
        "module": plain(net.module_.state_dict()),
        "optimizer": plain(net.optimizer_.state_dict()),
        "history": [plain_items(row) for row in net.history],
        "callbacks": {name: state_of(callback) for name, callback in net.callbacks_},
        "generators": net.ranks.gather(net.generators.state(net.device)),
        "common": net.generators.common.state(net.device),
    }


def restore_net(net: Any, state: dict[str, Any]) -> None:
    """Let a net's training go on from such a state."""
    net.module_.load_state_dict(state["module"])
    net.optimizer_.load_state_dict(state["optimizer"])
    net.history[:] = state["history"]
    for name, callback in net.callbacks_:
        if name in state["callbacks"]:
            restore_state(callback, state["callbacks"][name])
    own = state["generators"][net.ranks.rank]  # last: nothing draws after it
    net.generators.common.set_state(state["common"], net.device)
    net.generators.set_state(own, net.device)


def state_of(callback: Callback) -> dict[str, Any]:
    """Return what a callback has learnt in training: attributes that end in an underscore."""
    clocks = isinstance(callback, Progress)  # of this process
    learnt = {k: v for k, v in vars(callback).items() if k.endswith("_") and not clocks}
    inner = {k: v.state_dict() for k, v in learnt.items() if _has_state(v)}
    values = {k: v for k, v in learnt.items() if k not in inner}
    kept = {k: plain_items(v) for k, v in inner.items()}
    return {"values": plain_items(values), "inner": kept}


def restore_state(callback: Callback, state: dict[str, Any]) -> None:
    """Set what :func:`state_of` returned."""
    for name, value in state["values"].items():
        setattr(callback, name, value)
    for name, inner in state["inner"].items():
        if _has_state(getattr(callback, name, None)):
            getattr(callback, name).load_state_dict(inner)


def _has_state(value: Any) -> bool:
    """Return whether a value is an object, not a class, with a state of its own."""
    return hasattr(value, "load_state_dict") and not isinstance(value, type)


def plain(value: Any) -> Any:
    """Return a value of numbers, strings, tensors and their containers; TypeError for others."""
    if isinstance(value, torch.Tensor):
        return value.detach()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {plain(key): plain(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(plain, value))
    if value is None or type(value) in (bool, int, float, str):
        return value
    raise TypeError(f"{value!r:.100} is no number, string or tensor.")


def plain_items(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of the values that are plain."""
    kept = {}
    for name, value in values.items():
        with contextlib.suppress(TypeError):
            kept[name] = plain(value)
    return kept

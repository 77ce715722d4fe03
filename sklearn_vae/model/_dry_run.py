"""Runs on zeros, which say what sizes a network of unknown making has inside."""

from __future__ import annotations

import copy
from collections.abc import Callable
from math import inf
from typing import Any

import torch
from torch import Tensor, nn


def zeros(model: nn.Module, *shape: int) -> Tensor:
    """Return two samples of zeros in the dtype of the model's weights, on their device.

    For a model on the meta device none, in host memory: see :func:`runnable`.
    """
    like = next(model.parameters(), torch.zeros(()))
    n, device = (0, torch.device("cpu")) if like.is_meta else (2, like.device)
    return torch.zeros(n, *shape, dtype=like.dtype, device=device)


def runnable(module: nn.Module) -> nn.Module:
    """Return the module; of one on the meta device a copy in host memory that takes no samples.

    A run of no samples tells the same sizes, and no weights but one value for all of a tensor are
    needed. A run on the meta device imports torch's compiler: 150 MB, and a second or more.
    """
    weights = module.state_dict()
    if not any(tensor.is_meta for tensor in weights.values()):
        return module
    one = {
        n: torch.zeros((), dtype=t.dtype, device="cpu").expand(t.shape) for n, t in weights.items()
    }
    module = copy.deepcopy(module)
    module.load_state_dict(one, assign=True)
    return module


def narrowest_map(model: nn.Module, run: Callable[[], Any]) -> float:
    """Return the width of the narrowest map that a convolution of the model sees in a run."""
    widths = [inf]

    def note(_: nn.Module, args: tuple[Tensor, ...], out: Tensor) -> None:
        widths.extend((args[0].shape[-1], out.shape[-1]))

    kinds = (nn.Conv2d, nn.ConvTranspose2d)
    hooks = [m.register_forward_hook(note) for m in model.modules() if isinstance(m, kinds)]
    try:
        run()
    finally:
        for hook in hooks:
            hook.remove()
    return min(widths)

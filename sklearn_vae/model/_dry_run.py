"""Runs on zeros, which say what sizes a network of unknown making has inside."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any

import torch
from torch import Tensor, nn


def zeros(model: nn.Module, *shape: int) -> Tensor:
    """Return two samples of zeros in the dtype of the model's weights, on their device."""
    like = next(model.parameters(), torch.zeros(()))
    return torch.zeros(2, *shape, dtype=like.dtype, device=like.device)


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

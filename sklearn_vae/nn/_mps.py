"""What torch lacks on Apple's GPUs, by other means; its latest releases have most of it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

LIMITED = {"mps"}
"""Kinds of devices that it concerns."""


def is_limited(device: torch.device) -> bool:
    """Whether a device has no float64 and lacks operations."""
    return device.type in LIMITED


def fastest_layout(maps: Tensor) -> Tensor:
    """Return maps (n, c, h, w) in the layout in which convolutions are fastest.

    Channels-last, but not on Apple's GPUs: gradients of common layers in that layout were found
    wrong there (https://github.com/pytorch/pytorch/issues/107214).
    """
    last = not is_limited(maps.device)
    return maps.contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)


def adaptive_avg_pool2d(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Return averages of maps (n, c, h, w) over cells that need not be of one size."""
    even = all(side % cells == 0 for side, cells in zip(x.shape[2:], size, strict=True))
    if is_limited(x.device) and not even:
        return F.adaptive_avg_pool2d(x.cpu(), size).to(x.device)
    return F.adaptive_avg_pool2d(x, size)


def grid_sample(x: Tensor, grid: Tensor, padding_mode: str) -> Tensor:
    """Return images (n, c, h, w) read at the points (n, h, w, 2) in [-1, 1], bilinearly."""
    if is_limited(x.device) and padding_mode != "zeros":
        grid, padding_mode = _inside(grid, x, mirror=padding_mode == "reflection"), "zeros"
    return F.grid_sample(x, grid, padding_mode=padding_mode, align_corners=False)


def _inside(grid: Tensor, x: Tensor, *, mirror: bool) -> Tensor:
    """Return the points inside the outermost pixels' centres that padding takes for each point."""
    if mirror:  # at the image's edges, -1 and 1, again and again
        grid = 1 - ((grid + 1) % 4 - 2).abs()
    sides = zip(grid.unbind(-1), (x.shape[3], x.shape[2]), strict=True)
    return torch.stack([g.clamp(1 / side - 1, 1 - 1 / side) for g, side in sides], -1)


def ndtri(u: Tensor) -> Tensor:
    """Return the quantiles of the standard normal."""
    if is_limited(u.device):
        return torch.special.ndtri(u.cpu()).to(u.device)
    return torch.special.ndtri(u)

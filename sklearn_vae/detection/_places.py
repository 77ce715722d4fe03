"""What an image is cut into: windows of pixels, or the cells of a backbone's grid."""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.base import clone
from torch import Tensor

from ..input._rows import Rows
from ..input._spec import MIN_SIDE, InputSpec
from ..nn._device import exact_inference, to_device

STEPS = 2
"""Windows that a pixel lies in, each way."""


class Layout(NamedTuple):
    """Where the places of an image are: their centres, in pixels from the first pixel's centre."""

    down: np.ndarray
    across: np.ndarray

    @property
    def grid(self) -> tuple[int, int]:
        """How many an image has, down and across."""
        return len(self.down), len(self.across)


class Places(Rows):
    """The rows that some images of one size are cut into, image by image and row by row."""

    def __init__(self, n_images: int, layout: Layout) -> None:
        self.n_images, self.layout = n_images, layout

    def __len__(self) -> int:
        return self.n_images * prod(self.layout.grid)


def patches_of(patches: Any, *, frozen: bool = False) -> list[Any]:
    """Return ``VAEDetector(patches=...)`` as a list; refuse what no image can be cut into."""
    if patches is None:
        return []
    found = [*patches] if isinstance(patches, list | tuple) else [patches]
    for one in found:
        is_side = isinstance(one, int | np.integer) and not isinstance(one, bool)
        if (is_side and one < MIN_SIDE) or not (is_side or hasattr(one, "grids")):
            raise ValueError(
                f"patches={patches!r:.200}: give ints of {MIN_SIDE} pixels or more, or "
                "BackboneTransformer(pool=None), one or a list of them, or None."
            )
        if not is_side and one.pool is not None:
            raise ValueError(
                "patches takes the cells of a backbone's grid, but the backbone has "
                f"pool={one.pool!r}. Set pool=None."
            )
    if not found:
        raise ValueError("patches is empty. Give one or more, or None.")
    if len(found) > 1 and frozen:
        raise ValueError(
            f"patches has {len(found)} entries, but a frozen VAE takes one kind of sample. Give "
            "one, or the VAE unfrozen."
        )
    return found


def cutter_of(patches: Any, first: Tensor) -> Cutter:
    """Return what cuts images in one of these ways, tried on the first, (channels, h, w)."""
    images = first[None]
    if isinstance(patches, int | np.integer):
        cutter: Cutter = Windows(int(patches))
    else:
        cutter = Cells(clone(patches).fit(images))
        cutter.check_edges(images)
    cutter(images)
    return cutter


class Windows:
    """Overlapping squares of pixels; those at the edges touch them.

    Parameters
    ----------
    size : int
        Pixels a side; steps are half of it. A VAE that is trained here sees a window as cells'
        averages, 8 x 8: defects show in them, and grain, which no VAE can rebuild, does not.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.side = MIN_SIDE
        self.raw_shape: tuple[int, ...] | None = None
        self.channels_last = True

    def __call__(self, images: Tensor) -> Places:
        """Return the windows of images (n, c, h, w)."""
        return _WindowPlaces(images, self)

    def overlap(self, height: int, width: int) -> float:
        """Return how many windows of an image show a pixel, on average."""
        n = len(self.offsets(height)) * len(self.offsets(width))
        return n * self.size**2 / (height * width)

    def use(self, spec: InputSpec) -> None:
        """Give rows as a frozen VAE takes them; refuse one that takes others."""
        if spec.shape[1:] != (self.size, self.size):
            raise ValueError(
                f"patches={self.size} cuts squares of {self.size} x {self.size} pixels, but the "
                f"frozen VAE takes samples of shape {spec.raw_shape}. Set patches to the side of "
                "the squares that it was fitted on."
            )
        self.side = self.size
        self.raw_shape, self.channels_last = spec.raw_shape, spec.channels_last

    def offsets(self, side: int) -> np.ndarray:
        """Return where windows begin along a side of the image."""
        if side < self.size:
            raise ValueError(
                f"X has an image of {side} pixels a side, less than patches={self.size}. Set "
                "smaller patches, or enlarge it."
            )
        step = max(1, self.size // STEPS)
        offsets = np.arange(0, side - self.size + 1, step)
        last = side - self.size
        return offsets if offsets[-1] == last else np.append(offsets, last)


class _WindowPlaces(Places):
    """Windows, cut when they are asked for: all at once take many times the image's memory."""

    def __init__(self, images: Tensor, cutter: Windows) -> None:
        n, _, h, w = images.shape
        self.images, self.cutter = images, cutter
        self.offsets = cutter.offsets(h), cutter.offsets(w)
        middle = (cutter.size - 1) / 2
        super().__init__(n, Layout(*(offsets + middle for offsets in self.offsets)))

    def take(self, index: Tensor) -> Tensor:
        """Return the windows at ``index``."""
        i, y, x = np.unravel_index(index.numpy(), (self.n_images, *self.layout.grid))
        cutter = self.cutter
        size = cutter.size, cutter.size
        windows = np.lib.stride_tricks.sliding_window_view(self.images.numpy(), size, axis=(2, 3))
        cut = windows[i, :, self.offsets[0][y], self.offsets[1][x]]  # (k, c, size, size)
        rows = torch.from_numpy(cut)
        if cutter.side != cutter.size:
            unit = rows / 255 if rows.dtype == torch.uint8 else rows.float()
            rows = F.adaptive_avg_pool2d(unit, cutter.side)
        rows = rows.movedim(1, -1) if cutter.channels_last else rows
        if cutter.raw_shape is None:  # of a VAE to be trained
            return (rows[..., 0] if rows.shape[-1] == 1 else rows).contiguous()
        return rows.reshape(-1, *cutter.raw_shape)


class Cells:
    """The cells of a backbone's grid, a row of features each.

    Parameters
    ----------
    backbone : BackboneTransformer
        Fitted to images in the form (n, c, h, w), with ``pool=None``.
    """

    def __init__(self, backbone: Any) -> None:
        self.backbone = backbone

    def __call__(self, images: Tensor) -> Places:
        """Return the cells of images (n, c, h, w), of any size."""
        return _CellPlaces(images, self.backbone.grids(images))

    def overlap(self, height: int, width: int) -> float:
        """Return how many cells show a pixel: each stands for its own."""
        return 1.0

    def use(self, spec: InputSpec) -> None:
        """Give rows as a frozen VAE takes them; refuse one that takes others."""
        width = self.backbone.module_.settings.output_shape[-1]
        if spec.raw_shape != (width,):
            raise ValueError(
                f"The backbone's cells have {width} features, but the frozen VAE takes samples of "
                f"shape {spec.raw_shape}. Fit it on rows of cells: grid.reshape(-1, {width})."
            )

    def check_edges(self, images: Tensor) -> None:
        """Refuse preprocessing that cuts the images' edges off."""
        module, device = self.backbone.module_, self.backbone.device_
        framed = images.clone()
        white = 255 if images.dtype == torch.uint8 else 1
        for edge in (framed[..., 0], framed[..., -1], framed[..., 0, :], framed[..., -1, :]):
            edge.copy_((edge < white / 2) * white)
        with exact_inference():
            scaling = self.backbone.scaling_of(images)
            seen, changed = (
                module.prepared(to_device(x, device), scaling) for x in (images, framed)
            )
        if torch.allclose(seen, changed, atol=1e-3):
            raise ValueError(
                "The backbone's preprocessing cuts off the edges of images, where defects would be "
                "missed. Set its preprocessing, of a model of torchvision's for example to "
                "weights.transforms(resize_size=224, crop_size=224) for square images."
            )


class _CellPlaces(Places):
    def __init__(self, images: Tensor, grids: Tensor) -> None:
        n, down, across, width = grids.shape
        self.cells = grids.reshape(-1, width)
        sides = zip((down, across), images.shape[2:], strict=True)
        super().__init__(n, Layout(*((np.arange(k) + 0.5) * side / k - 0.5 for k, side in sides)))

    def take(self, index: Tensor) -> Tensor:
        """Return the cells at ``index``."""
        return self.cells.index_select(0, index)


Cutter = Windows | Cells
"""A way to cut images."""

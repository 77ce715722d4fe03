"""Convolutional networks for images of any size from 8 x 8 up, square or not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import log2, prod
from typing import Literal

from torch import nn

from ..utils._counts import take_counts
from ._network import Network, Reshape, Shape, Stages

Size = tuple[int, int]
Activation = type[nn.ReLU] | type[nn.LeakyReLU]
LAST_SIDE, LEAST_CHANNELS = 4, 8
"""What networks of any size aim at: the side of the last map, and the channels of the largest."""


@dataclass(frozen=True)
class Conv(Network):
    """Stride-2 convolutions, kernel 4, padding 1; the decoder mirrors them.

    Every layer halves the image (odd sizes round down); the decoder's transposed convolutions
    carry the output padding that gives each size back exactly.

    Parameters
    ----------
    channels : tuple of int or "auto", default="auto"
        Output channels, each 1 or more, of the encoder's convolutions, at least one. ``"auto"`` is
        (32, 64, 128) for images of up to 45 pixels a side. Larger ones get as many more stages
        before these as leave a last map of about 4 x 4. Each has half the channels of the next, 8
        or more: (16, 32, 64, 128) at 64 pixels, (8, 16, 32, 64, 128) at 128.
    batch_norm : bool, default=False
        Put BatchNorm between each convolution and its ReLU, in encoder and decoder.

    Raises
    ------
    ValueError
        For ``channels`` that are no such tuple; when it is built, for images of fewer than
        ``2 ** len(channels)`` pixels a side.

    Examples
    --------
    >>> from sklearn_vae.nn import Conv
    >>> Conv(channels=(64, 128, 256), batch_norm=True)
    Conv(channels=(64, 128, 256), batch_norm=True)
    """

    channels: tuple[int, ...] | Literal["auto"] = "auto"
    batch_norm: bool = False

    def __post_init__(self) -> None:
        take_counts(self, "channels", "auto")

    def encoder(self, shape: Shape) -> Stages:
        """Return one block per entry of ``channels``: ``(n, channels[-1], h', w')``."""
        channels = self._channels(shape)
        stages = []
        for c_in, c_out in pairwise((shape[0], *channels)):
            convolution = nn.Conv2d(c_in, c_out, 4, 2, 1, bias=not self.batch_norm)
            stages.append(_activated(convolution, nn.ReLU, batch_norm=self.batch_norm))
        return Stages(*stages)

    def decoder(self, z_dim: int, shape: Shape) -> nn.Module:
        """Return Linear + ReLU to the encoder's last map, then transposed convolutions."""
        channels, (h, w) = self._channels(shape), shape[1:]
        widths = (*reversed(channels), shape[0])
        sizes = [(h >> i, w >> i) for i in reversed(range(len(widths)))]
        return _decoder(z_dim, widths, sizes, 4, nn.ReLU, batch_norm=self.batch_norm)

    def _channels(self, shape: Shape) -> tuple[int, ...]:
        """Return the channels of each layer for such images, which must not be too small."""
        if self.channels == "auto":
            return channels_for(shape, last=128)
        h, w = shape[1:]
        if min(h, w) >> len(self.channels) < 1:
            raise ValueError(
                f"{self!r} halves the image {len(self.channels)} times, which needs at least "
                f"{2 ** len(self.channels)} pixels a side; got {h}x{w}. "
                "Use fewer channels or larger images."
            )
        return self.channels


def channels_for(shape: Shape, last: int) -> tuple[int, ...]:
    """Return the channels of as many stages as leave a map of about 4 x 4, three at least.

    They double from map to map, so that a stage costs about as much as the one before; the largest
    maps, which cost most, have the fewest.
    """
    n = max(3, _halvings(shape))
    return tuple(max(LEAST_CHANNELS, last >> i) for i in reversed(range(n)))


def _halvings(shape: Shape) -> int:
    """Return how often an image is halved until it is nearest to 4 pixels a side."""
    return round(log2(min(shape[1:]) / LAST_SIDE))


@dataclass(frozen=True)
class ConvBN(Network):
    """Six blocks of convolution (kernel 3), BatchNorm [1]_, LeakyReLU; five transposed ones back.

    The encoder's channels are 32, 64, 128, 256, 512, 1024, the decoder's 512, 256, 128, 64, 32
    and the image's. The first blocks have stride 2, as many (at most five) as leave a map of at
    least 2 x 2; the others have stride 1. The decoder mirrors the strides. Images of more than 181
    pixels a side get more blocks of stride 2, of 16 and 8 channels, before these, until the last
    map is about 4 x 4.

    References
    ----------
    .. [1] Ioffe, Szegedy, "Batch Normalization: Accelerating Deep Network Training by Reducing
       Internal Covariate Shift", ICML 2015, https://arxiv.org/abs/1502.03167
    """

    def encoder(self, shape: Shape) -> nn.Module:
        """Return six blocks: ``(n, 1024, h', w')``."""
        halvings = len(_halved_up(shape)) - 1
        channels = (shape[0], *_before_32(shape), 32, 64, 128, 256, 512, 1024)
        stages = []
        for i, (c_in, c_out) in enumerate(pairwise(channels)):
            convolution = nn.Conv2d(c_in, c_out, 3, 2 if i < halvings else 1, 1, bias=False)
            stages.append(_activated(convolution, nn.LeakyReLU, batch_norm=True))
        return Stages(*stages)

    def decoder(self, z_dim: int, shape: Shape) -> nn.Module:
        """Return Linear to a 512-channel map, then five transposed convolutions."""
        widths = (512, 256, 128, 64, 32, *reversed(_before_32(shape)), shape[0])
        sizes = _halved_up(shape)[::-1]
        # Layers of stride 1 come first, where the map is smallest.
        sizes = [sizes[0]] * (len(widths) - len(sizes)) + sizes
        return _decoder(z_dim, widths, sizes, 3, nn.LeakyReLU, batch_norm=True)


def _before_32(shape: Shape) -> list[int]:
    """Return the channels of the blocks that large images get before the first of 32."""
    n = max(0, _halvings(shape) - 5)
    return [max(LEAST_CHANNELS, 32 >> i) for i in range(n, 0, -1)]


def _halved_up(shape: Shape) -> list[Size]:
    """Return the sizes of a stride-2 cascade (odd sizes round up) down to at least 2 x 2."""
    sizes = [(shape[1], shape[2])]
    while len(sizes) <= 5 + len(_before_32(shape)) and min(sizes[-1]) >= 3:
        h, w = sizes[-1]
        sizes.append(((h + 1) // 2, (w + 1) // 2))
    return sizes


def _activated(
    convolution: nn.Conv2d | nn.ConvTranspose2d, act: Activation, *, batch_norm: bool
) -> nn.Sequential:
    """Return a convolution with what follows it."""
    norm = [nn.BatchNorm2d(convolution.out_channels)] if batch_norm else []
    # In place: new memory for large maps costs page faults.
    return nn.Sequential(convolution, *norm, act(inplace=True))


def _decoder(
    z_dim: int,
    widths: Sequence[int],
    sizes: Sequence[Size],
    kernel: int,
    act: Activation,
    *,
    batch_norm: bool,
) -> nn.Sequential:
    """Return Linear to the first of the maps, then transposed convolutions from map to map."""
    start = (widths[0], *sizes[0])
    layers: list[nn.Module] = [nn.Linear(z_dim, prod(start)), Reshape(start), act()]
    for i, (c_in, c_out) in enumerate(pairwise(widths)):
        last, (h, w), (to_h, to_w) = i == len(widths) - 2, sizes[i], sizes[i + 1]
        stride = 1 if h == to_h else 2
        # What the output lacks of its size, 0 or 1 a side.
        padding = to_h - stride * (h - 1) + 2 - kernel, to_w - stride * (w - 1) + 2 - kernel
        bias = last or not batch_norm
        up = nn.ConvTranspose2d(c_in, c_out, kernel, stride, 1, padding, bias=bias)
        layers += [up] if last else _activated(up, act, batch_norm=batch_norm)
    return nn.Sequential(*layers)

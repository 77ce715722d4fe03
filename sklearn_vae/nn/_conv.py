"""Convolutional networks for images of any size from 8 x 8 up, square or not."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import prod

from torch import nn

from ..utils._counts import are_counts, as_tuple
from ._network import Network, Reshape, Shape, Stages

Size = tuple[int, int]


@dataclass(frozen=True)
class Conv(Network):
    """Stride-2 convolutions, kernel 4, padding 1; the decoder mirrors them.

    Every layer halves the image (odd sizes round down); the decoder's transposed convolutions
    carry the output padding that gives each size back exactly.

    Parameters
    ----------
    channels : tuple of int, default=(32, 64, 128)
        Output channels, each 1 or more, of the encoder's convolutions, at least one.
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

    channels: tuple[int, ...] = (32, 64, 128)
    batch_norm: bool = False

    def __post_init__(self) -> None:
        if not are_counts(self.channels):
            raise ValueError(
                f"Conv(channels={self.channels!r}): give a tuple of at least one int, each of 1 or "
                "more, such as (32, 64, 128)."
            )
        as_tuple(self, "channels")

    def encoder(self, shape: Shape) -> Stages:
        """Return one block per entry of ``channels``: ``(n, channels[-1], h', w')``."""
        self._sizes(shape)
        widths = (shape[0], *self.channels)
        return Stages(
            *(
                nn.Sequential(
                    nn.Conv2d(c_in, c_out, 4, 2, 1, bias=not self.batch_norm), *self._act(c_out)
                )
                for c_in, c_out in pairwise(widths)
            )
        )

    def decoder(self, z_dim: int, shape: Shape) -> nn.Module:
        """Return Linear + ReLU to the encoder's last map, then transposed convolutions."""
        sizes = self._sizes(shape)[::-1]
        widths = (*reversed(self.channels), shape[0])
        start = (widths[0], *sizes[0])
        layers: list[nn.Module] = [nn.Linear(z_dim, prod(start)), Reshape(start), nn.ReLU()]
        for i, (c_in, c_out) in enumerate(pairwise(widths)):
            last = i == len(self.channels) - 1
            padding = _output_padding(sizes[i], sizes[i + 1], lost=0)
            bias = last or not self.batch_norm
            layers.append(
                nn.ConvTranspose2d(c_in, c_out, 4, 2, 1, output_padding=padding, bias=bias)
            )
            if not last:
                layers += self._act(c_out)
        return nn.Sequential(*layers)

    def _act(self, channels: int) -> list[nn.Module]:
        norm: list[nn.Module] = [nn.BatchNorm2d(channels)] if self.batch_norm else []
        return [*norm, nn.ReLU(inplace=True)]  # new memory for large maps costs page faults

    def _sizes(self, shape: Shape) -> list[Size]:
        """Return the image's size before the first layer and after each."""
        sizes = [(shape[1], shape[2])]
        for _ in self.channels:
            h, w = sizes[-1]
            sizes.append((h // 2, w // 2))
        if min(sizes[-1]) < 1:
            raise ValueError(
                f"{self!r} halves the image {len(self.channels)} times, which needs at least "
                f"{2 ** len(self.channels)} pixels a side; got {shape[1]}x{shape[2]}. "
                "Use fewer channels or larger images."
            )
        return sizes


@dataclass(frozen=True)
class ConvBN(Network):
    """Six blocks of convolution (kernel 3), BatchNorm [1]_, LeakyReLU; five transposed ones back.

    The encoder's channels are 32, 64, 128, 256, 512, 1024, the decoder's 512, 256, 128, 64, 32
    and the image's. The first blocks have stride 2, as many (at most five) as leave a map of at
    least 2 x 2; the others have stride 1. The decoder mirrors the strides.

    References
    ----------
    .. [1] Ioffe, Szegedy, "Batch Normalization: Accelerating Deep Network Training by Reducing
       Internal Covariate Shift", ICML 2015, https://arxiv.org/abs/1502.03167
    """

    def encoder(self, shape: Shape) -> nn.Module:
        """Return six blocks: ``(n, 1024, h', w')``."""
        widths = (shape[0], 32, 64, 128, 256, 512, 1024)
        halvings = len(_halved_up(shape)) - 1
        return Stages(
            *(
                nn.Sequential(
                    nn.Conv2d(c_in, c_out, 3, 2 if i < halvings else 1, 1, bias=False),
                    nn.BatchNorm2d(c_out),
                    nn.LeakyReLU(inplace=True),
                )
                for i, (c_in, c_out) in enumerate(pairwise(widths))
            )
        )

    def decoder(self, z_dim: int, shape: Shape) -> nn.Module:
        """Return Linear to a 512-channel map, then five transposed convolutions."""
        sizes = _halved_up(shape)[::-1]
        widths = (512, 256, 128, 64, 32, shape[0])
        start = (512, *sizes[0])
        layers: list[nn.Module] = [nn.Linear(z_dim, prod(start)), Reshape(start), nn.LeakyReLU()]
        flat = 5 - (len(sizes) - 1)  # stride-1 layers come first, where the map is smallest
        for i, (c_in, c_out) in enumerate(pairwise(widths)):
            last = i == 4
            if i < flat:
                layers.append(nn.ConvTranspose2d(c_in, c_out, 3, 1, 1, bias=False))
            else:
                padding = _output_padding(sizes[i - flat], sizes[i - flat + 1], lost=1)
                layers.append(nn.ConvTranspose2d(c_in, c_out, 3, 2, 1, padding, bias=last))
            if not last:
                layers += [nn.BatchNorm2d(c_out), nn.LeakyReLU(inplace=True)]
        return nn.Sequential(*layers)


def _halved_up(shape: Shape) -> list[Size]:
    """Return the sizes of a stride-2 cascade (odd sizes round up) down to at least 2 x 2."""
    sizes = [(shape[1], shape[2])]
    while len(sizes) <= 5 and min(sizes[-1]) >= 3:
        h, w = sizes[-1]
        sizes.append(((h + 1) // 2, (w + 1) // 2))
    return sizes


def _output_padding(size: Size, target: Size, *, lost: int) -> Size:
    """Return what a stride-2 transposed convolution lacks of ``target``: 0 or 1 a side."""
    return target[0] - 2 * size[0] + lost, target[1] - 2 * size[1] + lost

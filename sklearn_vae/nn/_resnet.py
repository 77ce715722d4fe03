"""Residual networks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from ..utils._counts import is_count, take_counts
from ._conv import Conv, channels_for
from ._network import Network, Shape


@dataclass(frozen=True)
class ResNet(Network):
    """The convolutions of :class:`Conv`, each followed by residual blocks [1]_, with BatchNorm.

    A convolution at the image's own size, with half the channels of the first stage, goes before
    them. The decoder is that of :class:`Conv`: it is the encoder that features come from.

    Parameters
    ----------
    channels : tuple of int or "auto", default="auto"
        Output channels, each 1 or more, of the stages, at least one; each halves the image (odd
        sizes round down). ``"auto"`` is (64, 128, 256) for images of up to 45 pixels a side, with
        more stages before these for larger ones, as of :class:`Conv`.
    blocks : int, default=1
        Residual blocks of two convolutions in each stage, 1 or more.

    Raises
    ------
    ValueError
        For ``channels`` and ``blocks`` that are none, and, when it is built, for images that
        ``channels`` would halve away.

    References
    ----------
    .. [1] He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", CVPR 2016,
       https://arxiv.org/abs/1512.03385

    Examples
    --------
    >>> from sklearn_vae.nn import ResNet
    >>> ResNet(blocks=2)
    ResNet(channels='auto', blocks=2)
    """

    channels: tuple[int, ...] | Literal["auto"] = "auto"
    blocks: int = 1

    def __post_init__(self) -> None:
        take_counts(self, "channels", "auto")
        if not is_count(self.blocks):
            raise ValueError(f"{self!r}: give blocks >= 1 (without blocks it is Conv).")

    def encoder(self, shape: Shape) -> nn.Module:
        """Return one stage per entry of ``channels``: ``(n, channels[-1], h', w')``."""
        plain, channels = self._plain(shape)
        first = max(1, channels[0] // 2)
        stages = plain.encoder((first, *shape[1:]))
        for i, width in enumerate(channels):
            stages[i] = nn.Sequential(stages[i], *(_Residual(width) for _ in range(self.blocks)))
        normed = _normed(shape[0], first)
        stages[0] = nn.Sequential(*normed, nn.ReLU(inplace=True), stages[0])
        return stages

    def decoder(self, z_dim: int, shape: Shape) -> nn.Module:
        """Return the decoder of ``Conv(channels, batch_norm=True)``."""
        plain, _ = self._plain(shape)
        return plain.decoder(z_dim, shape)

    def _plain(self, shape: Shape) -> tuple[Conv, tuple[int, ...]]:
        """Return the network without residual blocks, and its channels."""
        channels = channels_for(shape, last=256) if self.channels == "auto" else self.channels
        return Conv(channels, batch_norm=True), channels


class _Residual(nn.Module):
    """Two convolutions around which the input passes; the identity at first."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        convolution, norm = _normed(channels, channels)
        nn.init.zeros_(norm.weight)  # training starts from the plain network
        normed = _normed(channels, channels)
        self.change = nn.Sequential(*normed, nn.ReLU(inplace=True), convolution, norm)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(n, c, h, w)`` to the same shape."""
        return (x + self.change(x)).relu_()


def _normed(c_in: int, c_out: int) -> tuple[nn.Conv2d, nn.BatchNorm2d]:
    return nn.Conv2d(c_in, c_out, 3, 1, 1, bias=False), nn.BatchNorm2d(c_out)

"""Between the user's values and the network's: layout, range and standardisation."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ._mps import fastest_layout, is_limited

ROUNDING = 1e-6
"""How far beyond [0, 1] values may lie that were scaled or resized to it."""
FARTHEST = 1e30
"""Standard deviations: what lies farther off, which float32 may not hold, counts as this."""


class Scaling(nn.Module):
    """The first and last step of a model: raw batches to network input and back.

    Runs on the device, so that images travel there as uint8. It is part of the model, so that a
    saved model holds all it needs.

    Parameters
    ----------
    shape : tuple of int
        What the network sees, ``(c, h, w)`` or ``(d,)``.
    raw_shape : tuple of int
        The shape of one row of the user's array, for example ``(h, w, c)``.
    channels_last : bool
        Whether the row's channels, if any, come last.
    maximum : float
        The raw value that becomes 1: 255 for uint8, else 1.
    loc, scale : Tensor of shape (d,) or None
        Vectors of any range are standardised to ``(x - loc) / scale``.
    """

    loc: Tensor
    loc_rest: Tensor
    scale: Tensor

    def __init__(
        self,
        shape: tuple[int, ...],
        raw_shape: tuple[int, ...],
        *,
        channels_last: bool = False,
        maximum: float = 1.0,
        loc: Tensor | None = None,
        scale: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.shape = shape
        self.raw_shape = raw_shape
        self.channels_last = channels_last
        self.maximum = maximum
        self.standardised = loc is not None and scale is not None
        if loc is not None and scale is not None:
            self.register_buffer("loc", loc.float())
            # What float32 loses of the mean; double-precision buffers cannot move to MPS.
            self.register_buffer("loc_rest", (loc - loc.float()).float())
            self.register_buffer("scale", scale.float())

    def forward(self, raw: Tensor) -> Tensor:
        """Map ``(n, *raw_shape)`` of any dtype to ``(n, *shape)`` float32.

        Images come out in the layout in which convolutions are fastest.
        """
        if self.standardised:
            # Before the cast: float64 columns with a large offset keep their small differences.
            # Integers that float32 would round are made double; MPS has none.
            if not raw.is_floating_point() and raw.itemsize > 2 and not is_limited(raw.device):
                raw = raw.double()
            centred = raw.reshape(-1, *self.shape) - self.loc - self.loc_rest
            x = (centred / self.scale).clamp(-FARTHEST, FARTHEST).to(torch.float32)
        else:
            x = self.arranged(raw).to(torch.float32)
        # One layout whatever the array's own (a pandas column is a stretch of memory): products
        # with a transposed matrix round differently.
        x = fastest_layout(x) if x.dim() == 4 else x.contiguous()
        if self.maximum == 1.0:
            return x
        if torch.compiler.is_compiling():  # torch 2.6 cannot export what works in place
            return x * (1.0 / self.maximum)
        return x.mul_(1.0 / self.maximum)  # only uint8 has a maximum, so that x is a new tensor

    def arranged(self, raw: Tensor) -> Tensor:
        """Map ``(n, *raw_shape)`` to ``(n, *shape)``, values as they are."""
        if self.channels_last or (len(self.shape) == 3 and self.shape[0] == 1):
            c, h, w = self.shape
            # The permuted view keeps the memory as it is.
            return raw.reshape(-1, h, w, c).permute(0, 3, 1, 2)
        return raw.reshape(-1, *self.shape)

    def inverse(self, x: Tensor) -> Tensor:
        """Map ``(n, *shape)`` back to ``(n, *raw_shape)``, floats in the raw range."""
        if self.channels_last:
            x = x.permute(0, 2, 3, 1)
        x = x.reshape(-1, *self.raw_shape)
        if self.standardised:
            wide = x if is_limited(x.device) else x.double()
            return wide * self.scale + self.loc_rest + self.loc
        if torch.compiler.is_compiling() or not x.is_inference():  # may be a parameter's memory
            return x * self.maximum
        return x.mul_(self.maximum)

    def log_abs_det(self) -> Tensor | float:
        """Return what turns a log-density of standardised vectors into one of the raw ones.

        Images have none: their densities are, as is the field's custom, on the [0, 1] scale.
        """
        return -self.scale.log().sum() if self.standardised else 0.0

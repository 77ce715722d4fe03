"""How long to train and in which steps: pure functions of the number and the form of samples."""

from __future__ import annotations

from math import log2, prod, sqrt

import numpy as np

from ..input._spec import SMALL_SIDE, is_large

PASSES, EPOCHS = 600_000, (10, 200)
"""``max_epochs="auto"``: so many samples are shown, within these bounds of epochs."""
FALL, PASSES_BY_SIDE, LEAST_EPOCHS = log2(5), 7_680_000, 2
"""The same of large images, in so many epochs at least. They are fewer by this power of the side.
From 64 pixels on they are the second, divided by the side."""
STEPS, BATCHES = 2000, (16, 256)
"""``batch_size="auto"``: so many steps in all these passes, within these bounds of samples."""


def resolve_epochs(
    max_epochs: int | str,
    n: int,
    shape: tuple[int, ...],
    *,
    based: bool = False,
    overlap: float = 1.0,
) -> int:
    """Return the number of epochs that ``max_epochs`` stands for.

    Parameters
    ----------
    max_epochs : int or "auto"
    n : int
        Number of samples.
    shape : tuple of int
        Of one, (c, h, w) or (d,).
    based : bool, default=False
        Whether the model starts from a linear base: of vectors a quarter is then enough.
    overlap : float, default=1.0
        How many samples show a pixel, as windows do; the most epochs are divided by it.
    """
    if not isinstance(max_epochs, str):
        return max_epochs
    epochs = min(_auto_epochs(n, shape), round(EPOCHS[1] / overlap))
    return max(EPOCHS[0], epochs // 4) if based and len(shape) == 1 else epochs


def resolve_batch_size(batch_size: int | str, n: int, shape: tuple[int, ...]) -> int:
    """Return the number of samples in a step that ``batch_size`` stands for.

    ``"auto"`` is a power of two, whatever the number of epochs is: what makes 2,000 steps or a few
    more of all passes that ``max_epochs="auto"`` stands for.
    """
    if not isinstance(batch_size, str):
        return batch_size
    passes = n * _auto_epochs(n, shape)
    power = int(np.log2(max(1, passes / STEPS)))
    return int(np.clip(2**power, *BATCHES))


def _auto_epochs(n: int, shape: tuple[int, ...]) -> int:
    least, most = EPOCHS
    if not is_large(shape):
        return int(np.clip(round(PASSES / n), least, most))
    side = sqrt(prod(shape[1:]))
    passes = max(PASSES * (SMALL_SIDE / side) ** FALL, PASSES_BY_SIDE / side)
    return int(np.clip(round(passes / n), LEAST_EPOCHS, most))

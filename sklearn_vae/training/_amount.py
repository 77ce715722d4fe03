"""How long to train and in which steps: pure functions of the number and the form of samples."""

from __future__ import annotations

from math import prod, sqrt

import numpy as np

PASSES, EPOCHS = 600_000, (10, 200)
"""``max_epochs="auto"``: so many samples are shown, within these bounds of epochs."""
SIDE, PASSES_BY_SIDE, LEAST_EPOCHS = 32, 7_680_000, 2
"""Pictures of more pixels a side than the first: the second by their side, and epochs at least."""
STEPS, BATCHES = 2000, (16, 256)
"""``batch_size="auto"``: so many steps in all these passes, within these bounds of samples."""


def resolve_epochs(max_epochs: int | str, n: int, shape: tuple[int, ...]) -> int:
    """Return the number of epochs that ``max_epochs`` stands for.

    Parameters
    ----------
    max_epochs : int or "auto"
    n : int
        Number of samples.
    shape : tuple of int
        Of one, (c, h, w) or (d,).
    """
    return _auto_epochs(n, shape) if isinstance(max_epochs, str) else max_epochs


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
    side = sqrt(prod(shape[1:])) if len(shape) == 3 else 0
    least, most = EPOCHS
    if side <= SIDE:
        return int(np.clip(round(PASSES / n), least, most))
    return int(np.clip(round(PASSES_BY_SIDE / side / n), LEAST_EPOCHS, most))

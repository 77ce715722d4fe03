"""Schedules of training: pure functions of its progress."""

from __future__ import annotations

from math import cos, pi
from typing import Literal, get_args

LRSchedule = Literal["constant", "cosine"]
LR_SCHEDULES: tuple[str, ...] = get_args(LRSchedule)
WARM_UP = 0.05
"""Share of the steps over which the cosine schedule rises to the full rate."""


def learning_rate_factor(schedule: str, progress: float) -> float:
    """Return what multiplies ``lr`` at ``progress`` in [0, 1] of all steps.

    ``"cosine"`` rises linearly over the first 5 % and falls to 0 along half a cosine
    (Loshchilov and Hutter, "SGDR", ICLR 2017, without restarts).

    >>> [round(learning_rate_factor("cosine", p), 3) for p in (0.0, 0.05, 0.525, 1.0)]
    [0.01, 1.0, 0.5, 0.0]
    """
    if schedule == "constant":
        return 1.0
    if progress < WARM_UP:
        return max(progress / WARM_UP, 0.01)
    return 0.5 * (1 + cos(pi * (progress - WARM_UP) / (1 - WARM_UP)))


def kl_weight(epoch: float, warmup: float) -> float:
    """Return the KL term's weight in [0, 1], rising linearly over ``warmup`` epochs.

    Bowman et al., "Generating Sentences from a Continuous Space", CoNLL 2016.

    >>> [kl_weight(epoch, warmup=4) for epoch in (0, 1, 4, 9)]
    [0.0, 0.25, 1.0, 1.0]
    """
    return 1.0 if warmup <= 0 else min(1.0, epoch / warmup)

"""BatchNorm's running statistics, taken anew once the weights are settled."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from ..input._batches import Batch
from ..utils._ranks import Ranks

NORM_ROWS = 1000
"""Rows that statistics are taken from, at most. A mean's standard error is 3 % of the spread, or
less where an image's pixels differ."""


@torch.no_grad()
def refresh_batch_norm(
    model: Any,
    batches: Callable[[], Iterable[Batch]],
    noise: Callable[[Batch], Tensor],
    ranks: Ranks | None = None,
) -> None:
    """Take BatchNorm's running statistics anew, from clean samples and the present weights.

    Training leaves those of augmented views and of earlier weights, which is not what the
    network meets afterwards (Wu and Johnson, "Rethinking Batch in BatchNorm", 2021).

    Parameters
    ----------
    model : VAE
        In evaluation mode.
    batches : callable
        Returns the batches of the samples to take them from; not called without BatchNorm.
    noise : callable
        Returns the values that a batch's posteriors are drawn by, (1, n, z_dim).
    ranks : Ranks, default=None
        Processes that have their parts of the batches each, and get the same statistics.
    """
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm)]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.train()
        norm.reset_running_stats()
    for k, batch in enumerate(batches()):
        for norm in norms:  # the plain average; None would sync in every layer
            norm.momentum = 1 / (k + 1)
        x = model.scaling(batch.x)
        model(x, x, batch.y, 1, noise(batch))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        norm.eval()
        for value in norm.buffers():
            if value.is_floating_point() and ranks is not None and ranks.size > 1:
                ranks.add(value).div_(ranks.size)

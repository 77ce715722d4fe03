"""A new model at the solution of probabilistic PCA."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from ._posteriors import PosteriorHead
from ._vae import VAE

MAX_ROWS, MAX_VALUES = 10_000, 2**25
"""Samples that the components are taken from, at most, and values in them."""
MIN_NOISE = 1e-9
"""Variance of a value's noise, at least."""
MAX_SHARE = 0.99
"""Of a component's variance, what counts as noise, at most: no dimension starts without use."""


@torch.no_grad()
def start_at_ppca(model: VAE, batches: Callable[[int], Iterable[Tensor]]) -> None:
    """Start a model with a linear base where it is probabilistic PCA; its networks start at zero.

    The noise has variance s, component j has v_j. Its posterior mean is sqrt(1 - s / v_j) times its
    score at unit variance, and its posterior variance s / v_j (Tipping, Bishop, 1999). Dimensions
    without a component start as in a model without base.

    Parameters
    ----------
    model : VAE
        With a base.
    batches : callable
        Returns as many training samples as asked for at most, scaled, in batches.
    """
    base, shape = model.base, model.scaling.shape
    assert base is not None
    n_rows = min(MAX_ROWS, max(2, MAX_VALUES // prod(base.small)))
    variance = base.fit(batches(n_rows), n_rows)
    k = len(variance)
    if not k:  # all samples are the same
        return
    base.mix.weight[:k, :k] = torch.eye(k)
    rest = total = 0.0
    for x in batches(n_rows):
        found = base.decode(F.pad(base(x), (0, model.n_classes)), lambda mean: mean)
        rest += float((x - found).double().square().sum())
        total += len(x)
    free = prod(shape) - k
    # A model of all components has no noise; with half of the smallest none is lost.
    noise = rest / total / free if free else 0.5 * float(variance[-1])
    noise = model.likelihood.start_at(max(noise, MIN_NOISE))
    # A cell's average of many values has as much less noise.
    share = (noise * prod(base.small) / prod(shape) / variance).clamp(max=MAX_SHARE)
    weight = (1 - share).sqrt()
    base.mix.weight[:k, :k] = weight.diag()
    if isinstance(model.posterior_head, PosteriorHead):
        model.posterior_head.start_at(weight, share)
    _silence(model.decoder)


def _silence(decoder: nn.Module) -> None:
    """Let a decoder start at zero: its last layer, in the order in which they are defined."""
    layers = [m for m in decoder.modules() if isinstance(m, (nn.Linear, _ConvNd))]
    for parameter in layers[-1].parameters() if layers else ():
        parameter.zero_()

"""What a VAE makes of a sample, as numbers that a score is made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F

from ..model import VAE
from ..model._codec import Codec
from ._density import AnyDensity, ExpectedError, StandardisedDensity

DetectorMethod = Literal["path", "elbo", "reconstruction", "latent"]
TINY = 1e-8
"""Keeps the logarithm of what vanishes finite: a hundredth of a grey level, squared."""
DARK_LEVEL, PLAIN_CONTRAST = 0.02, 0.003
"""Mean and standard deviation of intensities below which a window counts as black and plain."""
DRAWS = 8
"""Posterior draws of the ELBO: the default of ``VAETransformer.score_samples``."""


def _lost(model: VAE, x: torch.Tensor) -> torch.Tensor:
    """Return x minus its reconstruction from the posterior mean."""
    return x - model.rebuilt(x)


def _path(model: VAE, x: torch.Tensor) -> torch.Tensor:
    q = model.posterior(x)
    x_hat = model.conditional(q.loc).mean
    code = [q.loc, q.scale.log(), _log_rms(x - x_hat)]
    return torch.cat(code + _sizes(x, x_hat, q.loc, q.scale), 1)


def _path_of_place(model: VAE, x: torch.Tensor) -> torch.Tensor:
    loc = model.posterior(x).loc
    return torch.cat([loc, _log_rms(x - model.conditional(loc).mean)], 1)


def _error_of_place(model: VAE, x: torch.Tensor) -> torch.Tensor:
    """Return the error and, of windows, level and contrast, as logarithms."""
    error = _log_rms(_lost(model, x))
    if x.dim() == 2:
        return error
    contrast, level = torch.std_mean(x, (1, 2, 3), correction=0)
    beside = (level + DARK_LEVEL).log(), (contrast + PLAIN_CONTRAST).log()
    return torch.cat([error, torch.stack(beside, 1)], 1)


def _sizes(
    x: torch.Tensor, x_hat: torch.Tensor, mu: torch.Tensor, sigma: torch.Tensor
) -> list[torch.Tensor]:
    """Return how much there is of each part of the path and, of images, at which scale."""
    lost = x - x_hat
    sizes = [_log_rms(lost), _log_rms(mu), _log_rms(sigma)]
    if x.dim() == 2:
        return [*sizes, _log_rms(x)]
    level = x.mean((1, 2, 3), keepdim=True)
    fine = x - F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
    parts = (F.avg_pool2d(lost, 4), _gradient(x), _gradient(x_hat), fine, x - level)
    return [*sizes, *map(_log_rms, parts), level.flatten(1)]


def _gradient(x: torch.Tensor) -> torch.Tensor:
    """Return the differences of neighbouring pixels, across and down."""
    return torch.cat([x.diff(dim=2).flatten(1), x.diff(dim=3).flatten(1)], 1)


def _log_rms(x: torch.Tensor) -> torch.Tensor:
    """Return the logarithm of the root mean square of each sample, shape (n, 1)."""
    return x.flatten(1).square().mean(1, keepdim=True).add(TINY).log() / 2


def _elbo(codec: Codec, raw: torch.Tensor) -> torch.Tensor:
    """Return what ``VAETransformer.score_samples`` does, shape (n, 1)."""
    return codec.scorer(DRAWS)(raw)[:, None]


def _elbo_of_place(codec: Codec, raw: torch.Tensor) -> torch.Tensor:
    """Return the ELBO by two opposite draws, the same for all samples, shape (n, 1)."""
    model = codec.module
    generator = torch.Generator().manual_seed(0)
    draw = torch.randn(model.z_dim, generator=generator).to(codec.device)
    noise = (sign * draw.expand(len(raw), -1) for sign in (1, -1))
    elbo: torch.Tensor = model.elbo(codec.scaled(raw), noise)
    return elbo[:, None]


def _reconstruction(codec: Codec, raw: torch.Tensor) -> torch.Tensor:
    lost = _lost(codec.module, codec.scaled(raw))
    return -lost.flatten(1).square().mean(1, keepdim=True)


def squared_errors(codec: Codec, raw: torch.Tensor) -> torch.Tensor:
    """Return where images differ from their reconstructions, (n, h, w): the mean over channels."""
    return _lost(codec.module, codec.scaled(raw)).square().mean(1)


class Statistics(NamedTuple):
    """What a method's score of a sample is made of.

    Attributes
    ----------
    measure : callable
        Takes a codec and raw samples, and returns (n, k).
    columns : callable
        Takes the number of latent dimensions, and returns the slices of the k columns that have a
        density each; none where k is 1 and the column is the score.
    density : callable
        Makes such a density.
    """

    measure: Callable[[Codec, torch.Tensor], torch.Tensor]
    columns: Callable[[int], list[slice]] = lambda z_dim: []
    density: Callable[[], AnyDensity] = StandardisedDensity


STATISTICS: dict[str, Statistics] = {
    "path": Statistics(
        lambda codec, raw: _path(codec.module, codec.scaled(raw)),
        lambda z_dim: [slice(2 * z_dim + 1), slice(2 * z_dim + 1, None)],
    ),
    "elbo": Statistics(_elbo),
    "reconstruction": Statistics(_reconstruction),
    "latent": Statistics(
        lambda codec, raw: codec.module.posterior(codec.scaled(raw)).loc,
        lambda z_dim: [slice(None)],
    ),
}
"""By the name that ``VAEDetector(method=...)`` takes."""

LOCAL: dict[str, Statistics] = {
    **STATISTICS,
    "path": Statistics(
        lambda codec, raw: _path_of_place(codec.module, codec.scaled(raw)),
        lambda z_dim: [slice(None)],
    ),
    "elbo": Statistics(_elbo_of_place),
    "reconstruction": Statistics(
        lambda codec, raw: _error_of_place(codec.module, codec.scaled(raw)),
        lambda z_dim: [slice(None)],
        ExpectedError,
    ),
}
"""The same for places of an image: cheaper, as there are many, and without the sizes, as a place is
no picture that could be too simple."""

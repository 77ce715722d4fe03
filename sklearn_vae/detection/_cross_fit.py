"""Scores of rows that nothing was fitted to, and those of several models as one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from ..input._row_keys import row_keys
from ..input._rows import Rows, rows_of
from ..model._codec import Codec
from ._density import AnyDensity, StandardisedDensity
from ._statistics import STATISTICS, Statistics

N_FOLDS = 4
"""Densities, which cost little, are fitted without one fold of four each."""
MOST_WAYS, ENOUGH_ROWS = 8, 2000
"""Ways to part few rows into folds, at most, and rows for which one way is enough."""
LEAST = -1e200
"""Score of what no number can tell: it is no normal sample."""


def draw_folds(n: int, random_state: np.random.RandomState) -> np.ndarray:
    """Return the fold of each of n rows; their sizes differ by one at most."""
    return (random_state.permutation(n) % N_FOLDS).astype(np.uint8)


def part_again(folds: np.ndarray) -> np.ndarray:
    """Return each row's folds in several ways to part them, (n, ways): the more, the fewer rows.

    Densities of few rows differ much by which they are. A row's held-out score is the mean over
    the ways, as a new row's is the mean over all densities: the scores of both vary alike. Folds of
    way w are numbered from ``w * N_FOLDS``. Each is of rows that the same VAE has not seen.
    """
    rng = np.random.RandomState(0)
    ways = [folds]
    for w in range(1, int(np.clip(ENOUGH_ROWS // len(folds), 1, MOST_WAYS))):
        again = np.empty_like(folds)
        for unseen in (folds % 2 == 0, folds % 2 == 1):
            again[unseen] = rng.permutation(folds[unseen])
        ways.append(again + w * N_FOLDS)
    return np.stack(ways, 1)


class Score:
    """One model's score of a sample.

    Parameters
    ----------
    columns : sequence of slice
        The parts of the statistics that have a density each; the lowest counts. Where there is
        none, the statistics are one column, and the score.
    fitted : ndarray of shape (n, k) or None
        Statistics of rows that densities are fitted to.
    density : callable
        Makes one.
    """

    def __init__(
        self,
        columns: Sequence[slice] = (),
        fitted: np.ndarray | None = None,
        density: Callable[[], AnyDensity] = StandardisedDensity,
    ) -> None:
        self.densities: list[tuple[slice, AnyDensity]] = []
        if fitted is not None:
            fitted = fitted[_finite(fitted)]
            self.densities = [(c, density().fit(fitted[:, c])) for c in columns]

    def __call__(self, statistics: np.ndarray) -> np.ndarray:
        """Return the scores of samples, shape (n,)."""
        scores = np.full(len(statistics), LEAST)
        told = _finite(statistics)
        rows = statistics[told].astype(np.float64)
        if not self.densities:
            scores[told] = rows[:, 0]
        elif len(rows):
            found = [density.score_samples(rows[:, c]) for c, density in self.densities]
            scores[told] = np.min(found, axis=0)
        return scores


class Calibrated:
    """Where a score stands among those of the fitted samples, each by what has not seen it."""

    def __init__(self, calibration: np.ndarray) -> None:
        self.calibration = np.sort(calibration)

    def threshold(self, rate: float) -> float:
        """Return the score that a share of new rows falls below: ``rate``, in expectation."""
        return float(np.quantile(self.calibration, rate, method="weibull"))

    def p_values(self, scores: np.ndarray) -> np.ndarray:
        """Return the rank of each score among those of the fitted rows, as a share."""
        below = np.searchsorted(self.calibration, scores, side="right")
        return (1 + below) / (1 + len(self.calibration))


class CrossFitted(Calibrated):
    """The mean of several models' scores, and what each of the fitted rows has.

    Each model was fitted without one fold. A fitted row has the mean score of the models that do
    not know it. A new row has the mean over all, which are moved so that the medians of their
    held-out rows agree. This is cross-conformal prediction [1]_ with a mean of scores for the mean
    of ranks, which would not tell far outliers apart. Several ways to part the rows are those of
    the jackknife+-after-bootstrap [2]_.

    Parameters
    ----------
    scores : sequence of Score
        One per fold.
    outs : sequence of ndarray of bool, shape (n,)
        Which rows each fold has.
    held_out : sequence of ndarray of shape (m, k)
        The statistics of these rows, as its model has them.

    References
    ----------
    .. [1] Vovk, "Cross-conformal predictors", Annals of Mathematics and Artificial Intelligence
       74, 2015.
    .. [2] Kim, Xu, Barber, "Predictive inference is free with the jackknife+-after-bootstrap",
       NeurIPS 2020.
    """

    def __init__(
        self, scores: Sequence[Score], outs: Sequence[np.ndarray], held_out: Sequence[np.ndarray]
    ) -> None:
        self.scores = scores
        found = [score(rows) for score, rows in zip(scores, held_out, strict=True)]
        medians = [float(np.median(each)) for each in found]
        self.shifts = [float(np.mean(medians)) - median for median in medians]
        total = np.zeros(len(outs[0]))
        for out, each, shift in zip(outs, found, self.shifts, strict=True):
            total[out] += each + shift
        super().__init__(total / np.sum(outs, axis=0))

    def __call__(self, statistics: Sequence[np.ndarray], folds: np.ndarray) -> np.ndarray:
        """Return the scores of samples.

        Parameters
        ----------
        statistics : sequence of ndarray of shape (n, k)
            From each VAE; that of score k is number k modulo their number, as for folds.
        folds : ndarray of shape (n, ways)
            The folds of a sample that was fitted to, else -1.
        """
        each = self.by_model(statistics)
        scores: np.ndarray = each.mean(0)
        known = np.flatnonzero(folds[:, 0] >= 0)
        scores[known] = each[folds[known].T % len(each), known].mean(0)
        return scores

    def by_model(self, statistics: Sequence[np.ndarray]) -> np.ndarray:
        """Return the scores that each model gives, shape (models, n)."""
        return np.stack(
            [
                score(statistics[k % len(statistics)]) + shift
                for k, (score, shift) in enumerate(zip(self.scores, self.shifts, strict=True))
            ]
        )


class RowFolds:
    """Which fold, or folds, each fitted row was in, found again by its key."""

    def __init__(self, keys: np.ndarray, folds: np.ndarray) -> None:
        self.keys, first = np.unique(keys, return_index=True)
        self.folds = folds[first]

    def __call__(self, keys: np.ndarray) -> np.ndarray:
        """Return the fold or folds of each row, -1 for one that was not fitted to."""
        at = np.searchsorted(self.keys, keys).clip(max=len(self.keys) - 1)
        folds = self.folds[at].astype(int)
        folds[self.keys[at] != keys] = -1
        return folds


def _finite(statistics: np.ndarray) -> np.ndarray:
    return np.isfinite(statistics).all(1)


def cross_fit(
    codecs: Sequence[Codec],
    data: Rows,
    folds: np.ndarray,
    of: Mapping[str, Statistics] = STATISTICS,
) -> tuple[dict[str, CrossFitted], np.ndarray]:
    """Return the scores of each method, a density's by fold, others by VAE; and keys of the rows.

    ``folds`` are (n, ways). VAE k has not seen those whose number is k modulo the number of VAEs.
    """
    n, fitted = len(codecs), {}
    plain = [m for m, statistics in of.items() if not statistics.columns(1)]
    unseen = [folds[:, 0] % n == k for k in range(n)]
    own = []
    for codec, out in zip(codecs, unseen, strict=True):
        part = data if n == 1 else codec.read(rows_of(data, out), names_of=None)
        own.append(measure(part, [(codec, of[m]) for m in plain]))
    for m, held_out in zip(plain, zip(*own, strict=True), strict=True):
        fitted[m] = CrossFitted([Score() for _ in held_out], unseen, held_out)
    dense = [m for m in of if m not in plain]
    keys: list[np.ndarray] = []
    found = iter(measure(data, [(codec, of[m]) for m in dense for codec in codecs], keys))
    for m in dense:
        everywhere = [next(found) for _ in codecs]
        columns = of[m].columns(codecs[0].module.z_dim)
        outs = [(folds == k).any(1) for k in range(folds.max() + 1)]
        fitted[m] = CrossFitted(
            [Score(columns, everywhere[k % n][~out], of[m].density) for k, out in enumerate(outs)],
            outs,
            [everywhere[k % n][out] for k, out in enumerate(outs)],
        )
    return fitted, np.concatenate(keys)


def measure(
    data: Any, parts: Sequence[tuple[Codec, Statistics]], keys: list[np.ndarray] | None = None
) -> list[np.ndarray]:
    """Return what each VAE has for its method's score of all samples; their keys go into a list."""
    widths: list[int] = []

    def measured(raw: torch.Tensor) -> torch.Tensor:
        if keys is not None:
            keys.append(row_keys(raw)[: len(data) - sum(map(len, keys))])  # chunks are filled up
        found = [of.measure(codec, raw) for codec, of in parts]
        widths[:] = [each.shape[1] for each in found]
        return torch.cat(found, 1)

    statistics = parts[0][0].apply(data, measured)
    return np.split(statistics, np.cumsum(widths)[:-1], axis=1)

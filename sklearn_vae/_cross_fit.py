"""Scores of rows that nothing was fitted to, and those of several models as one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ._density import Density, median_and_spread

LEAST = -1e200
"""Score of what no number can tell: it is no normal sample."""


def draw_folds(n: int, n_folds: int, random_state: np.random.RandomState) -> np.ndarray:
    """Return the fold of each of n rows; their sizes differ by one at most."""
    return (random_state.permutation(n) % n_folds).astype(np.uint8)


class Score:
    """One model's score of a sample, in units of rows that the model was not fitted to.

    Parameters
    ----------
    columns : sequence of slice
        The parts of the statistics that have a density each; the lowest counts. Where there is
        none, the statistics are one column, and the score.
    fitted : ndarray of shape (n, k) or None
        Statistics of rows that densities are fitted to.
    held_out : ndarray of shape (m, k)
        Statistics of rows that the units are taken from.
    """

    def __init__(
        self, columns: Sequence[slice], fitted: np.ndarray | None, held_out: np.ndarray
    ) -> None:
        told = held_out[_finite(held_out)]
        self.densities: list[tuple[slice, Density]] = []
        if columns and fitted is not None:
            fitted = fitted[_finite(fitted)]
            self.densities = [(c, Density().fit(fitted[:, c], told[:, c])) for c in columns]
        self.median, self.spread = median_and_spread(self.raw(told))

    def raw(self, statistics: np.ndarray) -> np.ndarray:
        """Return the score before it is set beside other models' scores."""
        scores = np.full(len(statistics), LEAST)
        told = _finite(statistics)
        rows = statistics[told].astype(np.float64)
        if not self.densities:
            scores[told] = rows[:, 0]
        elif len(rows):
            found = [density.score_samples(rows[:, c]) for c, density in self.densities]
            scores[told] = np.min(found, axis=0)
        return scores


class CrossFitted:
    """The mean of several models' scores, and what each of the fitted rows has.

    Each model was fitted without one fold. A fitted row has the score of the one model that does
    not know it; a new row the mean over all, each in units of its own held-out rows, so that the
    two compare. This is cross-conformal prediction [1]_ with a mean of scores for the mean of
    ranks, which would not tell far outliers apart.

    Parameters
    ----------
    scores : sequence of Score
        One per fold.
    held_out : sequence of ndarray of shape (m, k)
        The statistics of each fold, as its model has them.

    References
    ----------
    .. [1] Vovk, "Cross-conformal predictors", Annals of Mathematics and Artificial Intelligence
       74, 2015.
    """

    def __init__(self, scores: Sequence[Score], held_out: Sequence[np.ndarray]) -> None:
        self.scores = scores
        median = float(np.mean([score.median for score in scores]))
        spread = float(np.mean([score.spread for score in scores]))
        scales = [spread / score.spread for score in scores]
        self.units = [
            (scale, median - scale * score.median)
            for score, scale in zip(scores, scales, strict=True)
        ]
        found = [self._of_model(k, rows) for k, rows in enumerate(held_out)]
        self.calibration = np.sort(np.concatenate(found))

    def __call__(self, statistics: Sequence[np.ndarray], folds: np.ndarray) -> np.ndarray:
        """Return the scores of samples.

        Parameters
        ----------
        statistics : sequence of ndarray of shape (n, k)
            From each VAE; that of score k is number k modulo their number, as for folds.
        folds : ndarray of shape (n,)
            The fold of a sample that was fitted to, else -1.
        """
        each = np.stack(
            [self._of_model(k, statistics[k % len(statistics)]) for k in range(len(self.scores))]
        )
        scores: np.ndarray = each.mean(0)
        known = np.flatnonzero(folds >= 0)
        scores[known] = each[folds[known] % len(each), known]
        return scores

    def threshold(self, rate: float) -> float:
        """Return the score that a share of new rows falls below: ``rate``, in expectation."""
        return float(np.quantile(self.calibration, rate, method="weibull"))

    def p_values(self, scores: np.ndarray) -> np.ndarray:
        """Return the rank of each score among those of the fitted rows, as a share."""
        below = np.searchsorted(self.calibration, scores, side="right")
        return (1 + below) / (1 + len(self.calibration))

    def _of_model(self, k: int, statistics: np.ndarray) -> np.ndarray:
        scale, shift = self.units[k]
        return scale * self.scores[k].raw(statistics) + shift


class RowFolds:
    """Which fold each fitted row was in, found again by its key."""

    def __init__(self, keys: np.ndarray, folds: np.ndarray) -> None:
        self.keys, first = np.unique(keys, return_index=True)
        self.folds = folds[first]

    def __call__(self, keys: np.ndarray) -> np.ndarray:
        """Return the fold of each row, -1 for one that was not fitted to."""
        at = np.searchsorted(self.keys, keys).clip(max=len(self.keys) - 1)
        return np.where(self.keys[at] == keys, self.folds[at].astype(int), -1)


def _finite(statistics: np.ndarray) -> np.ndarray:
    finite: np.ndarray = np.isfinite(statistics).all(1)
    return finite

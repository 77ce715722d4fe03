"""Densities of codes and of what else a VAE makes of each sample."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ._compat import as_arrays
from .training import spread_rows

if TYPE_CHECKING:
    from sklearn.mixture import GaussianMixture

DENSITY_ROWS, N_COMPONENTS, REG_COVAR = 20_000, 10, 1e-3
"""Rows that a density is fitted to, at most, its components likewise, and its least variance."""
MAD_OF_NORMAL = 0.67449
"""Median absolute deviation of the standard normal."""


@as_arrays
def fit_mixture(
    X: np.ndarray, n_components: int, reg_covar: float, *, full_from: int = 2
) -> GaussianMixture:
    """Return a mixture of as many Gaussians as X, n rows of d columns, carries; fitted to it.

    One for every ``2 * d`` rows, ``n_components`` at most, and no more than there are different
    rows; with diagonal covariances where there
    are fewer than ``full_from * d`` rows.
    """
    from sklearn.mixture import GaussianMixture  # slow to import

    n, d = X.shape
    k = int(np.clip(n // (2 * d), 1, n_components))
    return GaussianMixture(
        n_components=min(k, _count_different(X, k)),
        covariance_type="full" if n >= full_from * d else "diag",
        reg_covar=reg_covar,
        tol=0.01,  # nats per row
        random_state=0,
    ).fit(X)


def _count_different(X: np.ndarray, enough: int) -> int:
    """Return how many different rows X has, or that there are enough."""
    if len(np.unique(X[:, 0])) >= enough:  # as nearly always, and in a fraction of the time
        return enough
    return len(np.unique(X, axis=0))


class Density:
    """Log-density under a mixture of Gaussians, in units of its spread over the fitted rows.

    So that the densities of different columns compare: 0 is the median of the fitted rows, -1 lies
    a standard deviation (of a normal with the same median absolute deviation) below it.
    """

    @as_arrays
    def fit(self, X: np.ndarray) -> Density:
        """Fit the mixture to standardised columns."""
        from sklearn.preprocessing import StandardScaler

        rows = spread(X, DENSITY_ROWS)
        self.scaler_ = StandardScaler().fit(rows)
        # What tells unusual codes is how columns go together, even where there are few rows.
        self.mixture_ = fit_mixture(
            self.scaler_.transform(rows), N_COMPONENTS, REG_COVAR, full_from=1
        )
        found = self._log_density(rows)
        self.median_ = float(np.median(found))
        self.spread_ = float(np.median(np.abs(found - self.median_))) / MAD_OF_NORMAL or 1.0
        return self

    def score_samples(self, X: np.ndarray) -> np.ndarray:
        """Return the scores, shape (n,)."""
        scores: np.ndarray = (self._log_density(X) - self.median_) / self.spread_
        return scores

    @as_arrays
    def _log_density(self, X: np.ndarray) -> np.ndarray:
        return np.asarray(self.mixture_.score_samples(self.scaler_.transform(X)))


def spread(X: np.ndarray, most: int) -> np.ndarray:
    """Return at most so many rows, spread over X, as float64, which covariances need."""
    return X[spread_rows(len(X), most).numpy()].astype(np.float64)

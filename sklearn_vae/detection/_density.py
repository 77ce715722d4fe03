"""Densities of codes and of what else a VAE makes of each sample."""

from __future__ import annotations

import numpy as np

from ..utils._gaussians import fit_mixture
from ..utils._sklearn_compat import as_arrays
from ..utils._spread import spread

DENSITY_ROWS, N_COMPONENTS, REG_COVAR = 20_000, 10, 1e-3
"""Rows that a density is fitted to, at most, its components likewise, and its least variance."""
MAD_OF_NORMAL = 0.67449
"""Median absolute deviation of the standard normal."""


class StandardisedDensity:
    """Log-density under a mixture of Gaussians, in units of its spread over the fitted rows.

    So the densities of different columns compare. 0 is the median of the fitted rows. -1 lies a
    standard deviation (of a normal with the same median absolute deviation) below it.
    """

    @as_arrays
    def fit(self, X: np.ndarray) -> StandardisedDensity:
        """Fit the mixture to standardised columns."""
        from sklearn.preprocessing import StandardScaler

        rows = spread(X, DENSITY_ROWS)
        self.scaler_ = StandardScaler().fit(rows)
        # What tells unusual codes is how columns go together, even where there are few rows.
        self.mixture_ = fit_mixture(
            self.scaler_.transform(rows), N_COMPONENTS, REG_COVAR, full_from=1
        )
        self.median_, self.spread_ = _median_and_spread(self._log_density(rows))
        return self

    def score_samples(self, X: np.ndarray) -> np.ndarray:
        """Return the scores, shape (n,)."""
        return (self._log_density(X) - self.median_) / self.spread_

    @as_arrays
    def _log_density(self, X: np.ndarray) -> np.ndarray:
        return np.asarray(self.mixture_.score_samples(self.scaler_.transform(X)))


class ExpectedError:
    """Minus the error beside what the other columns lead to expect, in its spread.

    Bright windows and those of much contrast have larger errors than dark and plain ones, which
    says nothing of defects: a line takes that off. All columns are logarithms, the error's first.
    """

    def fit(self, X: np.ndarray) -> ExpectedError:
        """Fit the line by least squares."""
        rows = spread(X, DENSITY_ROWS)
        self.line_ = np.linalg.lstsq(self._others(rows), rows[:, 0], rcond=None)[0]
        self.median_, self.spread_ = _median_and_spread(self._beyond(rows))
        return self

    def score_samples(self, X: np.ndarray) -> np.ndarray:
        """Return the scores, shape (n,)."""
        return (self.median_ - self._beyond(X)) / self.spread_

    @staticmethod
    def _others(X: np.ndarray) -> np.ndarray:
        return np.column_stack([np.ones(len(X)), X[:, 1:]])

    def _beyond(self, X: np.ndarray) -> np.ndarray:
        return X[:, 0] - self._others(X) @ self.line_


def _median_and_spread(values: np.ndarray) -> tuple[float, float]:
    """Return the median, and the standard deviation of a normal that strays from it as much."""
    median = float(np.median(values))
    return median, float(np.median(np.abs(values - median))) / MAD_OF_NORMAL or 1.0


AnyDensity = StandardisedDensity | ExpectedError

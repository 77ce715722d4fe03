"""Densities of codes and of what else a VAE makes of each sample."""

from __future__ import annotations

import numpy as np

from ..utils._mixture import fit_mixture
from ..utils._sklearn_compat import as_arrays
from ..utils._spread import spread

DENSITY_ROWS, N_COMPONENTS, REG_COVAR = 20_000, 10, 1e-3
"""Rows that a density is fitted to, at most, its components likewise, and its least variance."""
MAD_OF_NORMAL = 0.67449
"""Median absolute deviation of the standard normal."""


class StandardisedDensity:
    """Log-density under a mixture of Gaussians, in units of its spread over the fitted rows.

    So that the densities of different columns compare: 0 is the median of the fitted rows, -1 lies
    a standard deviation (of a normal with the same median absolute deviation) below it.
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

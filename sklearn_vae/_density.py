"""Densities of codes and of what else a VAE makes of each sample."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from sklearn.mixture import GaussianMixture


def fit_mixture(X: np.ndarray, n_components: int, reg_covar: float) -> GaussianMixture:
    """Return a mixture of as many Gaussians as X, n rows of d columns, carries; fitted to it.

    One for every ``2 * d`` rows, ``n_components`` at most; with diagonal covariances where there
    are fewer rows than that.
    """
    from sklearn.mixture import GaussianMixture  # slow to import

    n, d = X.shape
    per_component = 2 * d
    return GaussianMixture(
        n_components=int(np.clip(n // per_component, 1, n_components)),
        covariance_type="full" if n >= per_component else "diag",
        reg_covar=reg_covar,
        random_state=0,
    ).fit(X)


def spread(X: np.ndarray, most: int) -> np.ndarray:
    """Return at most so many rows, spread over X, as float64, which covariances need."""
    return X[:: -(-len(X) // most)].astype(np.float64)

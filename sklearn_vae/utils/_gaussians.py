"""Mixtures of Gaussians of as many components as the rows carry."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ._sklearn_compat import as_arrays

if TYPE_CHECKING:
    from sklearn.mixture import GaussianMixture


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
        n_components=min(k, len(np.unique(X, axis=0))),
        covariance_type="full" if n >= full_from * d else "diag",
        reg_covar=reg_covar,
        tol=0.01,  # nats per row
        random_state=0,
    ).fit(X)

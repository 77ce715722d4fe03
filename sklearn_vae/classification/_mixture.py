"""Classes as the components of a mixture: labelled rows are clamped, the others inferred."""

from __future__ import annotations

import numpy as np
from scipy.special import softmax

from ._pool import Linear

ROUNDS = 7
"""Few: the further EM goes from where the labels put it, the less it knows of classes."""
SHRINKAGE = 0.02
"""Of the covariance towards a sphere."""
PRIOR_ROWS = 0.1
"""Rows of no class in the classes' shares, as a share of all."""
MOST_DIMENSIONS = 128
TINY = 1e-6


def class_mixture(X: np.ndarray, shares: np.ndarray, targets: np.ndarray) -> Linear:
    """Return the classes' log-densities, with shares, under Gaussians of one covariance.

    Such densities are linear in X, but for a term that all classes share.

    Parameters
    ----------
    X : ndarray of shape (n, d)
    shares : ndarray of shape (n, k)
        Where EM starts: the class probabilities of each row.
    targets : ndarray of shape (n, k)
        One-hot rows where there is a label, which stay as they are; else zeros.
    """
    axes = principal_axes(X)
    X = X @ axes
    known = targets.max(1) > 0
    squares = X.T @ X
    shares = np.where(known[:, None], targets, shares)
    for _ in range(ROUNDS):
        coef, intercept = maximised(X, squares, shares)
        shares = softmax(X @ coef + intercept, axis=1)
        shares[known] = targets[known]
    return Linear((axes @ coef).astype(np.float32), intercept.astype(np.float32))


def maximised(
    X: np.ndarray, squares: np.ndarray, shares: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the coefficients and intercepts that one M-step comes to; ``squares`` is X.T @ X."""
    n, d = X.shape
    k = shares.shape[1]
    counts = shares.sum(0) + TINY
    means = (shares.T @ X) / counts[:, None]
    covariance = (1 - SHRINKAGE) * (squares - (means.T * counts) @ means) / n
    covariance.flat[:: d + 1] += SHRINKAGE / (1 - SHRINKAGE) * np.trace(covariance) / d + TINY
    coef = np.linalg.solve(covariance, means.T)
    weights = (counts / n + PRIOR_ROWS / k) / (1 + PRIOR_ROWS)
    return coef, np.log(weights) - (means.T * coef).sum(0) / 2


def principal_axes(X: np.ndarray) -> np.ndarray:
    """Return the axes of largest variance, (d, MOST_DIMENSIONS); the unit vectors of narrow X."""
    d = X.shape[1]
    if d <= MOST_DIMENSIONS:
        return np.eye(d)
    _, axes = np.linalg.eigh(np.cov(X, rowvar=False))
    return np.ascontiguousarray(axes[:, -MOST_DIMENSIONS:])

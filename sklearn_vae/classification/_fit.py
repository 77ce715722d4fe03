"""The fit of both views, and of how much either counts."""

from __future__ import annotations

import numpy as np
import torch
from scipy.optimize import minimize
from scipy.special import log_softmax, logsumexp, softmax

from ..utils._sklearn_compat import as_arrays
from ._graph import neighbour_graph, spread_labels
from ._mixture import class_mixture
from ._pool import Linear, Pool, Space

C = 0.1
"""Of the plain head, scikit-learn's LogisticRegression."""
USUAL_WEIGHTS = np.array([0.5, 0.1])
"""Of plain head and mixture; what is known before any label was held out. A mixture over many
dimensions is much too sure."""
PULL = 3.0
"""Towards the usual weights: rows that lose a nat each where a weight is wrong by its usual
value."""
N_FOLDS = 5


def fit_pool(
    rows: np.ndarray,
    codes: np.ndarray,
    numbers: np.ndarray,
    n_classes: int,
    rng: np.random.RandomState,
    *,
    held_out: bool = True,
) -> Pool:
    """Return both views of the classes and their weights.

    Parameters
    ----------
    rows : ndarray of shape (n, d)
        What the plain head sees.
    codes : ndarray of shape (n, z_dim)
        What the mixture sees.
    numbers : ndarray of shape (n,)
        The classes' numbers, -1 where there is no label.
    n_classes : int
    rng : RandomState
        Draws the folds.
    held_out : bool, default=True
        Whether weights are learnt from labels that are held out: not where the codes already know
        them.
    """
    spaces = Space.of(rows), Space.of(codes)
    x, z = (_scaled(space, X) for space, X in zip(spaces, (rows, codes), strict=True))
    graph = neighbour_graph(z)

    def views(numbers: np.ndarray) -> tuple[Linear, Linear]:
        targets = np.eye(n_classes)[numbers] * (numbers >= 0)[:, None]
        plain = plain_head(x, numbers, n_classes)
        said = log_softmax(_scores(plain, x), axis=1) + np.log(spread_labels(graph, targets))
        return plain, class_mixture(z, softmax(said / 2, axis=1), targets)

    weights = USUAL_WEIGHTS
    folds = label_folds(numbers, rng) if held_out else np.full(len(numbers), -1)
    if (folds >= 0).any():
        said = np.empty((len(numbers), n_classes, 2))
        for fold in np.unique(folds[folds >= 0]):
            test = folds == fold
            plain, mixture = views(np.where(test, -1, numbers))
            said[test] = np.stack([_scores(plain, x[test]), _scores(mixture, z[test])], 2)
        weights = pool_weights(said[folds >= 0], numbers[folds >= 0])
    return Pool(*views(numbers), *spaces, weights)


@as_arrays
def plain_head(X: np.ndarray, numbers: np.ndarray, n_classes: int) -> Linear:
    """Return LogisticRegression fitted to the labelled rows."""
    from sklearn.linear_model import LogisticRegression

    known = numbers >= 0
    head = LogisticRegression(C=C, max_iter=1000).fit(X[known], numbers[known])
    coef, intercept = head.coef_.T, head.intercept_
    if n_classes == 2:
        coef, intercept = coef * [-0.5, 0.5], intercept * [-0.5, 0.5]
    return Linear(coef.astype(np.float32), intercept.astype(np.float32))


def label_folds(numbers: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
    """Return each labelled row's fold, -1 for others and where it is the only one of its class.

    The rows of a class lie in different folds, so that every class stays in every fit.
    """
    folds = np.full(len(numbers), -1)
    for number in range(numbers.max() + 1):
        own = rng.permutation(np.flatnonzero(numbers == number))
        if len(own) > 1:
            n = min(len(own), N_FOLDS)
            folds[own] = (np.arange(len(own)) % n + rng.randint(N_FOLDS)) % N_FOLDS
    return folds


def pool_weights(said: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Return the weights of the views under which held-out labels are likely.

    0 or more, and drawn towards the usual ones, the more so the fewer labels there are.

    Parameters
    ----------
    said : ndarray of shape (n, k, 2)
        Log-probabilities of the classes, but for a constant of each row, by either view.
    numbers : ndarray of shape (n,)
        The classes' numbers.
    """
    right = said[np.arange(len(said)), numbers]

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        scores = said @ weights
        off = (weights - USUAL_WEIGHTS) / USUAL_WEIGHTS
        expected = np.einsum("nk,nkv->nv", softmax(scores, axis=1), said)
        value = (logsumexp(scores, axis=1) - right @ weights).sum() + PULL * (off**2).sum()
        return value, (expected - right).sum(0) + 2 * PULL * off / USUAL_WEIGHTS

    found = minimize(loss, USUAL_WEIGHTS, jac=True, method="L-BFGS-B", bounds=[(0, None)] * 2)
    return np.asarray(found.x)


def _scaled(space: Space, X: np.ndarray) -> np.ndarray:
    scaled: np.ndarray = space.scaled(torch.from_numpy(X.astype(np.float32, copy=False))).numpy()
    return scaled.astype(np.float64)


def _scores(view: Linear, X: np.ndarray) -> np.ndarray:
    return np.asarray(X @ view.coef + view.intercept)

"""The class mixture: one M-step by hand, clamped rows, and classes that are clusters."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import softmax
from scipy.stats import multivariate_normal
from sklearn.datasets import make_blobs
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from sklearn_vae.classification._mixture import (
    MOST_DIMENSIONS,
    PRIOR_ROWS,
    SHRINKAGE,
    class_mixture,
    maximised,
    principal_axes,
)


@pytest.fixture(scope="module")
def blobs():
    centres = 6 * np.eye(3, 4)
    return make_blobs(300, centers=centres, random_state=0)


def one_of_each(y, n_classes):
    """Return one-hot rows for the first row of each class, else zeros."""
    targets = np.zeros((len(y), n_classes))
    for c in range(n_classes):
        targets[np.flatnonzero(y == c)[0], c] = 1
    return targets


def test_one_m_step_is_bayes_rule_with_gaussians_of_one_covariance():
    rng = np.random.default_rng(0)
    X, shares = rng.normal(size=(40, 3)), rng.dirichlet(np.ones(2), 40)
    coef, intercept = maximised(X, X.T @ X, shares)
    n = shares.sum(0)
    means = [np.average(X, axis=0, weights=s) for s in shares.T]
    within = sum((X - m).T @ ((X - m) * s[:, None]) for m, s in zip(means, shares.T, strict=True))
    covariance = (1 - SHRINKAGE) * within / 40 + SHRINKAGE * np.trace(within / 40) / 3 * np.eye(3)
    weights = (n / 40 + PRIOR_ROWS / 2) / (1 + PRIOR_ROWS)
    densities = [
        w * multivariate_normal(m, covariance).pdf(X) for w, m in zip(weights, means, strict=True)
    ]
    expected = np.transpose(densities) / np.sum(densities, 0)[:, None]
    assert_allclose(softmax(X @ coef + intercept, axis=1), expected, atol=1e-4)


def test_one_labelled_row_of_each_class_finds_clusters(blobs):
    X, y = blobs
    targets = one_of_each(y, 3)
    near = np.stack([-((X - X[t > 0]) ** 2).sum(1) for t in targets.T], 1)
    mixture = class_mixture(X, softmax(near / 10, axis=1), targets)
    assert ((X @ mixture.coef + mixture.intercept).argmax(1) == y).mean() > 0.98


def test_labelled_rows_stay_whatever_their_place(blobs):
    """A label in the midst of another cluster moves that component towards it."""
    X, y = blobs
    targets = one_of_each(y, 3)
    other = np.flatnonzero(y == 1)[5:45]
    moved = targets.copy()
    moved[other, 0] = 1
    start = np.eye(3)[y]
    free, clamped = (class_mixture(X, start, t) for t in (targets, moved))
    at = X[other[0]][None]

    def share(mixture):
        return softmax(at @ mixture.coef + mixture.intercept, axis=1)[0, 0]

    assert share(clamped) > 10 * share(free)


def test_with_all_labels_it_is_linear_discriminant_analysis(blobs):
    X, y = blobs
    X = X[:, :2] / 3  # classes that overlap
    mixture = class_mixture(X, np.eye(3)[y], np.eye(3)[y])
    found = softmax(X @ mixture.coef + mixture.intercept, axis=1)
    expected = LinearDiscriminantAnalysis().fit(X, y).predict_proba(X)
    assert np.abs(found - expected).max() < 0.02


def test_wide_rows_are_seen_along_their_principal_axes():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, MOST_DIMENSIONS + 30)) * np.r_[np.full(30, 0.1), np.ones(128)]
    axes = principal_axes(X)
    assert_allclose(axes.T @ axes, np.eye(MOST_DIMENSIONS), atol=1e-8)
    assert np.square(axes[:30]).sum() < 1  # of 128
    y = (X[:, -1] > 0).astype(int)
    mixture = class_mixture(X, np.eye(2)[y], np.eye(2)[y])
    assert ((X @ mixture.coef + mixture.intercept).argmax(1) == y).mean() > 0.9


def test_codes_that_say_nothing_leave_the_classes_shares():
    targets = np.zeros((20, 2))
    targets[:4, 0] = targets[4, 1] = 1
    mixture = class_mixture(np.zeros((20, 3)), np.full((20, 2), 0.5), targets)
    assert_allclose(mixture.coef, 0)
    assert mixture.intercept[0] > mixture.intercept[1]

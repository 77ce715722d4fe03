"""Rows by their scale, and what either view counts."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import log_softmax, softmax

from sklearn_vae.classification import fit_pool
from sklearn_vae.classification._fit import (
    USUAL_WEIGHTS,
    C,
    label_folds,
    plain_head,
    pool_weights,
)
from sklearn_vae.classification._pool import DEGREES, Space


def clusters(n=400, d=40, seed=0):
    """Return rows in four clusters, and their numbers."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 4, n)
    return (3 * rng.normal(size=(4, d))[y] + 2 * rng.normal(size=(n, d))).astype(np.float32), y


def scaled(space, X):
    return space.scaled(torch.from_numpy(X)).numpy()


def few(y, per_class):
    """Return y with -1 but for the first rows of each class."""
    labels = np.full(len(y), -1)
    for c in np.unique(y):
        labels[np.flatnonzero(y == c)[:per_class]] = c
    return labels


def scores(pool, X):
    x = torch.from_numpy(X)
    return pool.scores(x, x).numpy()


def test_rows_are_scaled_by_the_mean_precision_of_a_student_distribution():
    X = np.random.default_rng(0).normal(3, 2, size=(50, 6)).astype(np.float32)
    standard = (X - X.mean(0)) / np.sqrt(np.square(X - X.mean(0)).mean())
    precision = (DEGREES + 6) / (DEGREES + np.square(standard).sum(1))
    expected = standard * np.sqrt(precision)[:, None]
    assert_allclose(scaled(Space.of(X), X), expected, rtol=1e-4, atol=1e-5)


def test_in_many_dimensions_rows_come_to_lie_on_a_sphere_in_few_they_stay():
    rng = np.random.default_rng(0)
    wide = (rng.normal(size=(50, 1000)) * rng.uniform(0.5, 2, (50, 1))).astype(np.float32)
    lengths = np.linalg.norm(scaled(Space.of(wide), wide), axis=1)
    assert lengths.std() / lengths.mean() < 0.02
    narrow = rng.normal(size=(50, 1)).astype(np.float32)
    found = scaled(Space.of(narrow), narrow)[:, 0]
    assert_array_equal(found.argsort(), narrow[:, 0].argsort())


def test_rows_without_any_spread_are_left_at_zero():
    X = np.full((5, 3), 7, np.float32)
    assert_array_equal(scaled(Space.of(X), X), np.zeros((5, 3)))


@pytest.mark.parametrize("n_classes", [2, 4])
def test_the_plain_head_is_logistic_regression_on_the_labelled_rows(n_classes):
    from sklearn.linear_model import LogisticRegression

    X, y = clusters(100)
    numbers = few(y % n_classes, 5)
    found = plain_head(X, numbers, n_classes)
    known = numbers >= 0
    peer = LogisticRegression(C=C, max_iter=1000).fit(X[known], numbers[known])
    assert_allclose(
        softmax(X @ found.coef + found.intercept, axis=1), peer.predict_proba(X), atol=1e-5
    )


def test_folds_leave_every_class_in_every_fit():
    numbers = np.array([0, 0, 1, -1, 2, 2, 2, 2, 2, 2, 2, -1])
    folds = label_folds(numbers, np.random.RandomState(0))
    assert_array_equal(folds[[2, 3, 11]], -1)  # one row, and no label
    assert (folds[[0, 1, 4, 5, 6, 7, 8, 9, 10]] >= 0).all()
    for fold in range(5):
        assert set(numbers[folds != fold]) == {-1, 0, 1, 2}


def test_weights_are_where_the_gradient_vanishes_and_follow_the_better_view():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 500)
    good = 2 * np.eye(3)[y] + rng.normal(size=(500, 3))
    bad = 5 * rng.normal(size=(500, 3))
    said = np.stack([log_softmax(good, axis=1), log_softmax(bad, axis=1)], 2)
    a, b = pool_weights(said, y)
    assert 1 < a < 3
    assert b < 0.02
    a, b = pool_weights(said[:, :, ::-1], y)
    assert a < 0.1
    assert b > 0.5


def test_no_label_and_few_labels_leave_the_usual_weights():
    X, y = clusters()
    pool = fit_pool(X, X, few(y, 1), 4, np.random.RandomState(0))
    assert_array_equal(pool.weights, USUAL_WEIGHTS)
    pool = fit_pool(X, X, few(y, 5), 4, np.random.RandomState(0), held_out=False)
    assert_array_equal(pool.weights, USUAL_WEIGHTS)
    said = np.zeros((4, 4, 2))
    assert_allclose(pool_weights(said, np.arange(4)), USUAL_WEIGHTS)


def test_clusters_make_up_for_labels():
    X, y = clusters()
    labels = few(y, 1)
    pool = fit_pool(X, X, labels, 4, np.random.RandomState(0))
    assert (scores(pool, X).argmax(1) == y).mean() > 0.97


def test_where_labels_run_across_the_clusters_the_plain_head_decides():
    """The class is a direction that no cluster shows: probabilities are the plain head's own."""
    X, _ = clusters(600)
    rng = np.random.default_rng(1)
    codes = X
    rows = rng.normal(size=(600, 5)).astype(np.float32)
    y = (rows[:, 0] > 0).astype(int)
    pool = fit_pool(rows, codes, few(y, 60), 2, np.random.RandomState(0))
    x, z = torch.from_numpy(rows), torch.from_numpy(codes)
    plain = pool.weights[0] * pool.plain.scores(pool.rows.scaled(x)).numpy()
    found = pool.scores(x, z).numpy()
    assert np.abs(softmax(found, axis=1) - softmax(plain, axis=1)).max() < 0.1
    assert (found.argmax(1) == y).mean() > 0.9

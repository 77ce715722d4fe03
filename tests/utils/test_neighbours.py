"""Nearest rows: exact where that is promised, among some rows where there are many."""

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from sklearn_vae.utils import _neighbours
from sklearn_vae.utils._neighbours import NearRows, nearest_others, searched


def test_others_are_those_of_scikit_learn(rng):
    X = rng.normal(size=(200, 5))
    expected = NearestNeighbors(n_neighbors=3).fit(X).kneighbors(return_distance=False)
    assert (nearest_others(X, 3) == expected).all()
    assert (nearest_others(X, 3, 20) == expected[:20]).all()


def test_equal_rows_are_neighbours_but_never_of_themselves():
    found = nearest_others(np.zeros((6, 2)), 2)
    assert found.shape == (6, 2)
    assert (found != np.arange(6)[:, None]).all()


def test_of_many_rows_neighbours_are_of_those_that_were_drawn(rng, monkeypatch):
    monkeypatch.setattr(_neighbours, "MOST", 50)
    X = rng.normal(size=(300, 4))
    among = searched(300)
    assert len(among) == 50
    found = nearest_others(X, 2)
    assert np.isin(found, among).all()
    for i in (0, among[0], 299):
        others = among[among != i]
        nearest = np.linalg.norm(X[others] - X[i], axis=1).argsort()[:2]
        assert (found[i] == others[nearest]).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("d", [1, 3, 40])
def test_near_rows_are_those_of_all_distances(rng, d, dtype, monkeypatch):
    monkeypatch.setattr(_neighbours, "AT_ONCE", 1000)  # several pieces
    X = (100 * rng.random((150, d))).astype(dtype)
    rows = np.concatenate([X[:50] + rng.normal(size=(50, d)), 100 * rng.random((50, d))])
    rows = rows.astype(dtype)
    distance = np.linalg.norm(rows[:, None] - X, axis=2).min(1)
    radius = float(np.median(distance))
    assert (NearRows(X, radius).near(rows) == (distance <= radius)).all()


@pytest.mark.parametrize("X", [np.ones((1, 4)), np.ones((9, 4)), 1e4 * np.eye(4)])
def test_within_no_distance_only_equal_rows_are_near(X):
    near = NearRows(X.astype(np.float32), 0.0).near
    assert near(np.vstack([X[:1], X[:1] + 0.01]).astype(np.float32)).tolist() == [True, False]

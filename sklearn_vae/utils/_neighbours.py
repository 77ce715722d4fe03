"""Nearest rows, at a cost that grows with the number of rows, not with its square."""

from __future__ import annotations

import numpy as np

MOST = 10_000
"""Rows that neighbours are looked for among."""
N_COMPONENTS = 16
"""Principal components in which near rows are looked for: more make a tree slower."""
AT_ONCE = 2**24
"""Numbers that differences of rows take at a time."""
ROUNDING = 1e-5
"""Share of a distance, and of the largest component, that single precision may lose."""


def searched(n: int) -> np.ndarray:
    """Return the numbers of the rows to look among: all n, or ``MOST`` of them at random."""
    if n <= MOST:
        return np.arange(n)
    return np.sort(np.random.RandomState(0).choice(n, MOST, replace=False))


def nearest_others(X: np.ndarray, k: int, n: int | None = None) -> np.ndarray:
    """Return the numbers of the k nearest other rows of each of the first n rows, shape (n, k).

    Parameters
    ----------
    X : ndarray of shape (n_rows, d)
        Where there are more than ``MOST``, neighbours are those among ``MOST`` drawn at random.
    k : int
        Below the number of rows.
    n : int, default=None
        None is all.
    """
    from sklearn.neighbors import NearestNeighbors  # slow to import

    among, queries = searched(len(X)), X[:n]
    nearest = NearestNeighbors(n_neighbors=k + 1).fit(X[among])
    found = among[nearest.kneighbors(queries, return_distance=False)]
    # The first is the row itself, or, among equals, another: one of the two has to go.
    other = found != np.arange(len(queries))[:, None]
    other[other.all(1), -1] = False
    return found[other].reshape(len(queries), k)


class NearRows:
    """Tells which rows lie within a radius of one of many rows.

    Exact: a distance in principal components is never larger than the distance, so that a tree of
    the components finds all rows that may be near, and few others.

    Parameters
    ----------
    X : ndarray of shape (n, d)
    radius : float
    """

    def __init__(self, X: np.ndarray, radius: float) -> None:
        from sklearn.neighbors import KDTree  # slow to import
        from sklearn.utils.extmath import randomized_svd

        self.X, self.radius = X, radius
        some = X[searched(len(X))]
        self.center = some.mean(0)
        k = min(N_COMPONENTS, *some.shape)
        self.components = randomized_svd(some - self.center, k, random_state=0)[2]
        found = self._project(X)
        self._at_most = radius * (1 + ROUNDING) + ROUNDING * float(np.abs(found).max())
        self._tree = KDTree(found)

    def near(self, rows: np.ndarray) -> np.ndarray:
        """Return which rows, (m, d), have one of X within the radius, shape (m,), bool."""
        found = self._tree.query_radius(self._project(rows), self._at_most)
        row = np.repeat(np.arange(len(rows)), [len(each) for each in found])
        other = np.concatenate([*found, np.empty(0, int)]).astype(int)
        near = np.zeros(len(rows), bool)
        step = max(1, AT_ONCE // rows.shape[1])
        for start in range(0, len(row), step):
            i = row[start : start + step]
            distance = np.linalg.norm(rows[i] - self.X[other[start : start + step]], axis=1)
            near[i[distance <= self.radius]] = True
        return near

    def _project(self, rows: np.ndarray) -> np.ndarray:
        return np.asarray((rows - self.center) @ self.components.T)

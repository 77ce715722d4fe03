"""Labels over a graph: against scikit-learn's LabelSpreading with the same kernel."""

import numpy as np
from numpy.testing import assert_allclose
from sklearn.datasets import make_moons
from sklearn.neighbors import NearestNeighbors
from sklearn.semi_supervised import LabelSpreading

from sklearn_vae.classification._graph import DAMPING, neighbour_graph, spread_labels


def neighbours(A, B):
    graph = NearestNeighbors(n_neighbors=10).fit(A).kneighbors_graph()
    return graph.maximum(graph.T)


def test_it_is_label_spreading_over_neighbours_of_either():
    X, y = make_moons(120, noise=0.08, random_state=0)
    labels = np.full(120, -1)
    for c in (0, 1):
        labels[np.flatnonzero(y == c)[:3]] = c
    targets = np.eye(2)[labels] * (labels >= 0)[:, None]
    found = spread_labels(neighbour_graph(X), targets)
    peer = LabelSpreading(kernel=neighbours, alpha=DAMPING, max_iter=1000, tol=1e-9).fit(X, labels)
    assert_allclose(found, peer.label_distributions_, atol=0.02)
    np.testing.assert_array_equal(found.argmax(1), peer.transduction_)
    assert (found.argmax(1) == y).mean() > 0.85


def test_rows_that_no_label_reaches_have_equal_shares():
    X = np.concatenate([np.zeros((15, 1)), np.full((15, 1), 9.0)])
    targets = np.zeros((30, 3))
    targets[0, 2] = 1
    found = spread_labels(neighbour_graph(X + np.arange(30)[:, None] / 100), targets)
    assert_allclose(found[15:], 1 / 3, atol=1e-6)
    assert (found[:15].argmax(1) == 2).all()


def test_two_rows_are_neighbours():
    assert_allclose(neighbour_graph(np.eye(2)).toarray(), [[0, 1], [1, 0]])

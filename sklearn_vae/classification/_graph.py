"""Labels spread over a graph of neighbours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..utils._neighbours import nearest_others
from ..utils._sklearn_compat import as_arrays

if TYPE_CHECKING:
    from scipy.sparse import csr_array

N_NEIGHBOURS = 10
DAMPING, ROUNDS = 0.9, 60
"""LabelSpreading's ``alpha``, and its rounds: 0.9 ** 60 is 0.002."""
FLOOR = 1e-3
"""What a class has at least, as a share of what a row usually gets in all."""


@as_arrays
def neighbour_graph(X: np.ndarray) -> csr_array:
    """Return the graph of rows: joined when either is among the nearest of the other.

    Edges count by the degrees of their ends, ``D ** -1/2 W D ** -1/2``; shape (n, n), float32.
    """
    from scipy.sparse import csr_array, diags_array

    n, k = len(X), min(N_NEIGHBOURS, len(X) - 1)
    nearest = nearest_others(X, k).ravel()
    ends = np.arange(0, n * k + 1, k)
    found = csr_array((np.ones(n * k), nearest, ends), shape=(n, n))
    joined = csr_array(found.maximum(found.T))
    root = diags_array(1 / np.sqrt(np.maximum(joined.sum(1), 1)))
    return csr_array(root @ joined @ root).astype(np.float32)


def spread_labels(graph: csr_array, targets: np.ndarray) -> np.ndarray:
    """Return the class shares of each row after the labels have spread.

    ``(I - alpha S)^-1 Y`` of Zhou et al., "Learning with local and global consistency", NIPS 2003.

    Parameters
    ----------
    graph : sparse array of shape (n, n)
        What :func:`neighbour_graph` returned.
    targets : ndarray of shape (n, k)
        One-hot rows where there is a label, else zeros.

    Returns
    -------
    shares : ndarray of shape (n, k)
        Rows sum to 1; equal shares where no label comes.
    """
    start = targets.astype(np.float32)
    found = start
    for _ in range(ROUNDS):
        found = DAMPING * (graph @ found) + start
    usual = float(np.median(found.sum(1)))
    found = found.astype(np.float64) + FLOOR * usual / targets.shape[1] + np.finfo(np.float32).tiny
    return np.asarray(found / found.sum(1, keepdims=True))

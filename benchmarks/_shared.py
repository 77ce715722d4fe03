"""What experiments share: data, draws of labels, networks, heads."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold
from sklearn.neighbors import NearestNeighbors
from sklearn.semi_supervised import LabelSpreading

from sklearn_vae.datasets import fetch_images
from sklearn_vae.nn import Conv

DATA = Path(os.environ.get("SKLEARN_VAE_DATA", "~/sklearn_vae_data")).expanduser()
UNTRAINED: dict[str, Any] = {"max_epochs": 1, "lr": 1e-12, "augment": None}
"""Settings of a VAE whose weights stay random, while BatchNorm sees its statistics."""


def load(name: str, subset: str = "train") -> tuple[np.ndarray, np.ndarray]:
    """Return the images and labels of a set that is there."""
    return fetch_images(name, subset=subset, return_X_y=True, download_if_missing=False)


def train_and_valid(name: str, n: int) -> tuple[np.ndarray, ...]:
    """Return n training images, 10,000 other *training* images, and the labels of both."""
    X, y = load(name)
    order = np.random.default_rng(5).permutation(len(X))
    train, valid = order[:n], order[-10_000:]
    return X[train], y[train], X[valid], y[valid]


def folds_of(name: str, y: np.ndarray, n: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return n folds of a set's training part, of labels y; no group is on both sides of one."""
    with np.load(DATA / f"{name}.npz") as arrays:
        groups = arrays.get("group_train")
    kind = StratifiedKFold if groups is None else StratifiedGroupKFold
    return list(kind(n, shuffle=True, random_state=0).split(y, y, groups))


def as_rows(X: np.ndarray) -> np.ndarray:
    """Return images, uint8 or float in [0, 1], as float32 rows in [0, 1]."""
    return X.reshape(len(X), -1).astype(np.float32) / (255 if X.dtype == np.uint8 else 1)


def at_one_length(Z: np.ndarray) -> np.ndarray:
    """Return rows brought to one length."""
    return Z * np.sqrt(Z.shape[1] / np.maximum(np.square(Z).sum(1, keepdims=True), 1e-12))


def draw_labels(y: np.ndarray, n: int, seed: int) -> np.ndarray:
    """Return n rows, the same number of each class."""
    rng = np.random.default_rng([n, seed])
    classes = np.unique(y)
    return np.concatenate(
        [rng.choice(np.flatnonzero(y == c), n // len(classes), replace=False) for c in classes]
    )


def only_labels_of(rows: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return y with -1 but for the rows."""
    partly = np.full_like(y, -1, dtype=np.int64)
    partly[rows] = y[rows]
    return partly


def three_convolutions(width: int) -> Conv:
    """Return the default network for images with so many channels after its first convolution."""
    return Conv((width, 2 * width, 4 * width), batch_norm=True)


def error(model: Any, X: np.ndarray, y: np.ndarray) -> float:
    """Return the share of wrong predictions in %."""
    return 100 * float(np.mean(model.predict(X) != y))


def rbf(A: np.ndarray, B: np.ndarray) -> np.ndarray:
    """SVC's own kernel, gamma="scale" (B is the fitted X), by matrix products.

    So that wide features are affordable; libsvm's own kernel differs by rounding.
    """
    K = A @ B.T
    K *= 2
    K -= np.square(A).sum(1)[:, None]
    K -= np.square(B).sum(1)
    K *= 1 / (B.shape[1] * B.var())
    return np.exp(np.minimum(K, 0, out=K), out=K)


def neighbours(A: np.ndarray, B: np.ndarray) -> csr_matrix:
    """Return who is a neighbour of whom, as LabelSpreading's ``kernel``: (len(A), len(B)).

    Within one set two rows are joined when either is among the ten nearest of the other;
    LabelSpreading's own ``kernel="knn"`` keeps one direction.
    """
    graph = NearestNeighbors(n_neighbors=10).fit(A).kneighbors_graph(B)
    return graph.maximum(graph.T) if B is A else graph.T


def label_spreading(kernel: Callable[..., csr_matrix] = neighbours) -> LabelSpreading:
    """Return the head for a few labels and many images without one."""
    return LabelSpreading(kernel=kernel, alpha=0.99, max_iter=1000)

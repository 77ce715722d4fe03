"""A few labels of MNIST: a VAE learns clusters in place of labels, and serves all draws of labels.

    python benchmarks/clusters.py

Once, from 60,000 images without labels, there are a VAE by defaults and the graph of its means'
neighbours, cut into clusters (Ng et al., NIPS 2001). Then come VAEs with ``label_weight=1``, to
which these are the classes. Small clusters, and the images in doubt, have -1; for a second VAE the
clusters are settled in the graph of the first. Then each draw's labels spread over the graph of all
these VAEs' means, until each class has its share; a test image takes what its neighbours have.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path

import joblib
import numpy as np
from _common import Record, pivot, run
from _shared import as_rows, draw_labels, load, neighbours, only_labels_of
from scipy.sparse import csr_array
from scipy.sparse.linalg import eigsh
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.svm import SVC

from sklearn_vae import VAETransformer
from sklearn_vae.augmentation import AUGMENTATIONS
from sklearn_vae.classification._graph import neighbour_graph

FEW = replace(AUGMENTATIONS["geometric"], paste=0.5)
N_CLASSES, N_CLUSTERS = 10, 12
SURE = 0.8, 0.9
"""Share of the images whose cluster is sure, to the first VAE and to the second."""
Pair = tuple[np.ndarray, np.ndarray]
Way = Callable[[np.ndarray], np.ndarray]


# -- the graph -------------------------------------------------------------------------------------


def clusters(graph: csr_array) -> np.ndarray:
    """Return each image's cluster; -1 in small ones and where the neighbours are of others."""
    start = np.random.default_rng(0).random(graph.shape[0])
    _, vectors = eigsh(graph, k=N_CLASSES, which="LA", tol=1e-3, v0=start)
    rows = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    found = KMeans(N_CLUSTERS, n_init=10, random_state=0).fit_predict(rows)
    small = np.bincount(found) < len(found) / N_CLUSTERS / 2
    return settled(graph, found, SURE[0], small)


def settled(
    graph: csr_array, found: np.ndarray, sure: float, without: np.ndarray | None = None
) -> np.ndarray:
    """Return the cluster that each image's neighbourhood has, but -1 where it is in doubt.

    ``sure`` is the share that gets one, ``without`` which clusters are taken from all images.
    """
    start = np.eye(N_CLUSTERS)[found] * (found >= 0)[:, None]
    shares = start
    for _ in range(30):
        shares = 0.9 * (graph @ shares) + 0.1 * start
    shares /= shares.sum(1, keepdims=True)
    found, most = shares.argmax(1), shares.max(1)
    if without is not None:
        most[without[found]] = 0
    return np.where(most >= np.quantile(most, 1 - sure), found, -1)


def spread(graph: csr_array, partly: np.ndarray, alpha: float = 0.99) -> np.ndarray:
    """Return class shares (n, k): labels spread (Zhou et al., NIPS 2003), classes of equal mass.

    ``(I - alpha S)^-1 Y`` by conjugate gradients.
    """
    Y = np.eye(N_CLASSES)[partly] * (partly >= 0)[:, None]
    found, rest = np.zeros_like(Y), Y
    way, size = rest, np.square(rest).sum(0)
    while size.max() > 1e-8:
        ahead = way - alpha * (graph @ way)
        step = size / (way * ahead).sum(0)
        found, rest = found + step * way, rest - step * ahead
        size, before = np.square(rest).sum(0), size
        way = rest + size / before * way
    shares = np.maximum(found, 0) + 1e-12
    for _ in range(50):
        shares /= shares.sum(0)
        shares /= shares.sum(1, keepdims=True)
    return shares


# -- contenders ------------------------------------------------------------------------------------


class Space:
    """Features of training and test images, and their graph."""

    def __init__(self, Z: np.ndarray, Z_test: np.ndarray) -> None:
        self.Z, self.Z_test = Z, Z_test
        self.graph, self.to_test = neighbour_graph(Z), csr_array(neighbours(Z, Z_test).T)

    def spread(self, partly: np.ndarray) -> np.ndarray:
        """Return the classes of test images."""
        return (self.to_test @ spread(self.graph, partly)).argmax(1)


def joined(*spaces: Pair) -> Pair:
    """Return features beside each other, each set of one size."""
    sizes = [Z.std() for Z, _ in spaces]
    return tuple(
        np.hstack([pair[i] / size for pair, size in zip(spaces, sizes, strict=True)])
        for i in range(2)
    )


def clock() -> Callable[[], Record]:
    """Return a function that returns the seconds since its last call, of the wall and of CPUs."""
    last = [time.perf_counter(), time.process_time()]

    def spent() -> Record:
        now = [time.perf_counter(), time.process_time()]
        record = {"seconds": now[0] - last[0], "cpu_seconds": now[1] - last[1]}
        last[:] = now
        return record

    return spent


class Trained:
    """VAEs, trained or from the folder where an earlier run kept them, and what training took."""

    def __init__(self, folder: str | None, X: np.ndarray, X_test: np.ndarray) -> None:
        self.folder, self.X, self.X_test = folder, X, X_test
        self.costs: list[Record] = []

    def means(self, name: str, vae: VAETransformer, found: np.ndarray | None = None) -> Pair:
        """Return the means of training and test images; ``found`` are the classes."""
        path = Path(self.folder or ".") / f"{name}.joblib"
        if self.folder and path.exists():
            vae, cost = joblib.load(path)
        else:
            spent = clock()
            vae.set_params(device="cpu", verbose=2).fit(self.X, found)
            cost = spent()
            if self.folder:
                joblib.dump((vae, cost), path)
        self.costs.append({"contender": name, "training": True, **cost})
        return vae.transform(self.X), vae.transform(self.X_test)


def ways(trained: Trained, epochs: int) -> Iterator[tuple[str, Way]]:
    """Yield the contenders, each as soon as it is there."""
    few = VAETransformer(label_weight=1.0, augment=FEW, max_epochs=epochs)
    alone = trained.means("VAE", VAETransformer(random_state=0))
    plain = Space(*alone)
    found = clusters(plain.graph)
    first = trained.means("VAE of clusters", clone(few).set_params(random_state=0), found)
    one = Space(*joined(first, alone))
    yield "VAE of clusters, spread", one.spread
    yield "VAE, spread", plain.spread
    pixels = as_rows(trained.X), as_rows(trained.X_test)
    pca = PCA(50, random_state=0).fit(pixels[0])
    linear = Space(*map(pca.transform, pixels))
    yield "PCA-50, spread", linear.spread
    yield "PCA-50, SVC", partial(svc, linear.Z, linear.Z_test)
    yield "raw pixels, SVC", partial(svc, *pixels)
    found = settled(one.graph, found, SURE[1])
    second = trained.means("second VAE of clusters", few.set_params(random_state=1), found)
    yield "two VAEs of clusters, spread", Space(*joined(second, first, alone)).spread


def svc(Z: np.ndarray, Z_test: np.ndarray, partly: np.ndarray) -> np.ndarray:
    """Return the classes of test images by an SVC on the labelled ones."""
    known = partly >= 0
    return SVC(C=3).fit(Z[known], partly[known]).predict(Z_test)


def errors(args: argparse.Namespace) -> Iterator[Record]:
    """Yield what the VAEs' training took, and the error of each contender at each draw."""
    (X, y), (X_test, y_test) = load("mnist"), load("mnist", "test")
    trained, spent = Trained(args.keep, X, X_test), clock()
    for name, way in ways(trained, args.epochs):
        yield from trained.costs
        trained.costs.clear()
        yield {"contender": name, **spent()}
        for n, draw in product(args.labels, args.draws):
            found = way(only_labels_of(draw_labels(y, n, draw), y))
            percent = 100 * float(np.mean(found != y_test))
            yield {"labels": n, "draw": draw, "contender": name, "error": percent, **spent()}


def table(records: list[Record]) -> list[Record]:
    """Return errors, mean and spread over draws, and CPU seconds, by number of labels."""
    found = [r for r in records if "error" in r]
    return pivot(found, ("labels", "contender"), None, ("error", "cpu_seconds"))


if __name__ == "__main__":
    run(
        __doc__,
        "clusters",
        {"main": (errors, table)},
        labels=[20, 100],
        draws=list(range(10)),
        epochs=6,
        keep=(str, "folder of trained VAEs: written, or read where they are there"),
    )

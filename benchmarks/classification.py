"""Do features of a VAE that saw no label beat PCA and raw pixels? Few labels, three heads.

    python benchmarks/classification.py --data mnist fashion_mnist --labels 100 1000 10000
    python benchmarks/classification.py --data cifar10 --labels 1000 10000

Protocol. One VAE per data set and seed is trained on all training images without labels. For each
of ``--draws`` class-balanced draws of labels, every head is fitted on the labelled images' features
and scored once on the official test set. Its hyperparameter is chosen by 3-fold cross-validation
inside the draw (on at most 1,000 of its images). The VAE's own settings are the package's defaults,
which were chosen on held-out training images. Draws are the same for every row of the table.

Controls: raw pixels, PCA of the VAE's latent dimension and PCA of 50 (fitted on all training
images), and an untrained encoder of the same architecture. At 100 labels LabelSpreading, which uses
the unlabelled images, is there, too. Its graph joins two images when either is among the ten
nearest of the other; its own kernel "knn" keeps one direction. With ``--symmetry`` the same VAE's
features averaged over flips are in the table, too.

Data sets are found as ``sklearn_vae.datasets.fetch_images`` says; ``--out`` names the JSON.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Iterator
from itertools import product

import numpy as np
from _common import Record, pivot, run, watch
from _shared import (
    UNTRAINED,
    as_rows,
    draw_labels,
    error,
    label_spreading,
    load,
    neighbours,
    only_labels_of,
    rbf,
    three_convolutions,
)
from joblib import Parallel, delayed
from sklearn.base import BaseEstimator, clone
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from sklearn.svm import SVC

from sklearn_vae import VAETransformer

SEARCH_ROWS = 1000


HEADS: dict[str, tuple[BaseEstimator, dict[str, list[float]]]] = {
    "LogisticRegression": (LogisticRegression(max_iter=500), {"C": [0.01, 0.1, 1, 10]}),
    "SVC(RBF)": (SVC(kernel=rbf), {"C": [1, 3, 10, 30]}),
    "MLP(256)": (MLPClassifier((256,), max_iter=50, random_state=0), {"alpha": [1e-3, 1.0]}),
}


def features_of(X: np.ndarray, X_test: np.ndarray, args: argparse.Namespace):
    """Yield (name, train features, test features, seconds of fitting)."""
    seed = args.seed
    flat, flat_test = as_rows(X), as_rows(X_test)
    yield "raw pixels", flat, flat_test, 0.0
    network = three_convolutions(args.width) if args.width else "auto"
    settings = {"max_epochs": args.max_epochs or "auto", "random_state": seed, "verbose": 2}
    vae = VAETransformer(128 if X.ndim == 4 else 32, network=network, **settings)
    for n in (vae.z_dim, 50):
        spent = watch()
        pca = PCA(n, random_state=seed).fit(flat)
        yield f"PCA-{n}", pca.transform(flat), pca.transform(flat_test), spent()
    random = VAETransformer(vae.z_dim, network=network, random_state=seed, **UNTRAINED)
    random.set_params(features="hidden").fit(X[:10_000])
    yield "untrained hidden", random.transform(X), random.transform(X_test), 0.0
    spent = watch()
    vae.fit(X)
    seconds = spent()
    for features, symmetry in product(("mean", "hidden"), dict.fromkeys((None, args.symmetry))):
        vae.set_params(features=features, symmetry=symmetry)
        name = f"VAE {features}{', symmetric' if symmetry else ''}"
        yield name, vae.transform(X), vae.transform(X_test), seconds


def head_error(name: str, Z, y, Z_test, y_test) -> float:
    """Tune one head inside its labels, fit it on all of them, return its test error in %."""
    head, grid = HEADS[name]
    few = np.random.default_rng(0).permutation(len(y))[:SEARCH_ROWS]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        search = GridSearchCV(head, grid, cv=3, refit=False).fit(Z[few], y[few])
        head = clone(head).set_params(**search.best_params_).fit(Z, y)
    return error(head, Z_test, y_test)


def known_neighbours(Z, Z_test) -> Callable:
    """Return the kernel, computed once for all draws."""
    graph, test = neighbours(Z, Z), neighbours(Z, Z_test)
    return lambda A, B: graph if B is A else test


def spreading_error(kernel, Z, y, labelled, Z_test, y_test) -> float:
    """Return the test error of LabelSpreading from the labelled images over all others."""
    head = label_spreading(kernel).fit(Z, only_labels_of(labelled, y))
    return error(head, Z_test, y_test)


def jobs(name: str, Z, y, Z_test, y_test, args: argparse.Namespace) -> Iterator[tuple]:
    """Yield (head, n labels, draw, delayed error) for one kind of features."""
    spreads = 100 in args.labels and name in ("PCA-50", "VAE mean", "VAE hidden")
    kernel = known_neighbours(Z, Z_test) if spreads else None
    for n in args.labels:
        for draw in range(args.draws if n > 100 else 2 * args.draws):
            rows = draw_labels(y, n, draw)
            for head in HEADS:
                yield head, n, draw, delayed(head_error)(head, Z[rows], y[rows], Z_test, y_test)
            if spreads and n == 100:
                call = delayed(spreading_error)(kernel, Z, y, rows, Z_test, y_test)
                yield "LabelSpreading", n, draw, call


def errors(args: argparse.Namespace) -> Iterator[Record]:
    """Yield the test errors of each head on each kind of features, at each draw of labels."""
    for data in args.data:
        (X, y), (X_test, y_test) = load(data), load(data, "test")
        for name, Z, Z_test, seconds in features_of(X, X_test, args):
            if args.features and name not in args.features:
                continue
            todo = list(jobs(name, Z, y, Z_test, y_test, args))
            found = Parallel(n_jobs=args.jobs)(call for *_, call in todo)
            same = {"n_train": len(X), "fit_seconds": seconds}
            for (head, n, draw, _), percent in zip(todo, found, strict=True):
                record = {"data": data, "features": name, "head": head, "labels": n, "draw": draw}
                yield {**record, "error": percent, **same}


def table(records: list[Record]) -> list[Record]:
    """Return test error in %, mean ± sd over draws, by features and head."""
    return pivot(records, ("data", "features", "head"), "labels", "error")


if __name__ == "__main__":
    run(
        __doc__,
        "classification",
        {"main": (errors, table)},
        data=["mnist", "fashion_mnist"],
        labels=[100, 1000, 10_000],
        draws=(5, "label draws; twice as many at 100"),
        features=([str], "only these rows of the table"),
        seed=0,
        max_epochs=int,
        width=(int, "channels of the first of three convolutions"),
        symmetry=(str, ["horizontal", "both"]),
        jobs=2,
    )

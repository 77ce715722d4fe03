"""VAEDetector beside PCA, IsolationForest, OneClassSVM, LocalOutlierFactor and PyOD's VAE.

    python benchmarks/anomaly.py --part one-class foreign
    python benchmarks/anomaly.py --part one-class --data magnetic_tile neu_surface --epochs 200 \
        --out defects
    python benchmarks/anomaly.py --part rates --data digits --epochs 200 --out rates_digits

``one-class``: trained on one class of the training set, AUROC on the whole test set, the mean over
the classes. Of the magnetic tiles only those without a defect are trained on. ``foreign``: trained
on one data set, its test images against another's. ``rates``: trained on some images of a class,
what share of its other images is called outliers where 1, 5 and 10 % are asked for, and AUROC
against images of other classes. All are drawn at random from training and test images, so that the
two parts are exchangeable. The test images of sign_digits show other persons, those of neu_surface
other strips: no rate is promised there. ``local``: trained on images without a defect (of steel on
one class), AUROC of the test part by the worst places. These are windows of pixels and cells of a
frozen network's grid, beside nearest neighbours and PCA's error on the same cells. ``--patches``
cuts images in the other parts. The VAE has its defaults but for ``--epochs``; nothing is tuned on
what is to be found. Peers have theirs, PCA keeps 90 % of the variance.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from itertools import product
from typing import Any

import numpy as np
from _backbones import Kept, as_they_are, cells, features
from _common import Record, pivot, run, watch
from _shared import as_rows, load
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors
from sklearn.svm import OneClassSVM

from sklearn_vae import BackboneTransformer, VAEDetector, VAETransformer

METHODS = ("path", "elbo", "reconstruction", "latent")
CLEAN = {"magnetic_tile": (0,), "magnetic_tile_192": (0,), "elpv_128": (0,)}
"""Classes that are trained on; all in turn where nothing is said."""
UNCLEAR = {"elpv_128": (1, 2)}
"""Classes that part local leaves out: possibly and likely defective."""
SIDES = {"magnetic_tile_192": (192, 384), "elpv_128": (128, 256), "neu_surface": (96, 192)}
"""Pixels at which the frozen network sees the images of a set: its own, and twice as many."""
PAIRS = (
    ("fashion_mnist", "mnist"),
    ("cifar10_jpeg", "svhn"),
    ("mnist", "fashion_mnist"),
    ("svhn", "cifar10_jpeg"),
)


Contender = tuple[str, str, Any, Any, Any]
"""What it looks at, its name, itself, and training and test images in its form."""


def local(args: argparse.Namespace) -> Iterator[Record]:
    """Find defects by an image's worst places."""
    views = {"pixels": of_pixels, "cells": of_cells}
    for data in args.data:
        (_, y), (_, y_test) = load(data), load(data, "test")
        clear = ~np.isin(y_test, UNCLEAR.get(data, ()))
        contenders = [one for view in args.views for one in views[view](data, args)]
        for c in CLEAN.get(data, np.unique(y)):
            normal = y_test[clear] == c
            for view, name, model, X, X_test in contenders:
                for record in judged(model, X[y == c], X_test[clear], normal, args):
                    yield {"data": data, "normal": int(c), "of": view, "by": name, **record}


def of_pixels(data: str, args: argparse.Namespace) -> list[Contender]:
    """Return what looks at pixels."""
    X, X_test = load(data)[0], load(data, "test")[0]
    windows = VAEDetector(patches=args.patches or [16, 32], random_state=args.seeds[0])
    rows = [as_rows(part[:, ::2, ::2]) for part in (X, X_test)]
    return [
        ("pixels", "windows", windows, X, X_test),
        ("pixels", "PCA error, whole image", PCAError(), *rows),
    ]


def of_cells(data: str, args: argparse.Namespace) -> list[Contender]:
    """Return what looks at the cells of a frozen network's grids, and at its last layer."""
    X, X_test = load(data)[0], load(data, "test")[0]
    grids = [cells(data, side) for side in SIDES[data]]
    how = {"pool": None, "preprocessing": as_they_are, "device": "cpu"}
    images = np.concatenate([X, X_test])
    kept = [BackboneTransformer(Kept(images, np.concatenate(both)), **how) for both in grids]
    finest = [side_by_side([part[i] for part in grids]) for i in (0, 1)]
    last, _, last_test, _ = features(data, "lite0")
    seed = {"random_state": args.seeds[0]}
    return [
        ("cells", "cells of two grids", VAEDetector(patches=kept, **seed), X, X_test),
        ("cells", "nearest neighbour of cells", OfCells("neighbour"), *finest),
        ("cells", "PCA error of cells", OfCells("PCA"), *finest),
        ("whole image", "averages of the last map", VAEDetector(**seed), last, last_test),
    ]


def judged(
    model: Any, X: np.ndarray, X_test: np.ndarray, normal: np.ndarray, args: argparse.Namespace
) -> Iterator[Record]:
    """Yield AUROC in %, of a detector by each of the methods."""
    spent = watch()
    model.fit(X)
    for method in args.methods if isinstance(model, VAEDetector) else [""]:
        if method:
            model.set_params(method=method)
        area = 100 * roc_auc_score(normal, model.score_samples(X_test))
        yield {"method": method, "AUROC": area, "seconds": spent()}


def side_by_side(grids: list[np.ndarray]) -> np.ndarray:
    """Return grids as one, of the finest: coarser cells are repeated."""
    down, across = grids[-1].shape[1:3]
    repeated = [
        np.repeat(np.repeat(g, down // g.shape[1], 1), across // g.shape[2], 2) for g in grids
    ]
    return np.concatenate(repeated, -1)


def by_contender(records: list[Record]) -> list[Record]:
    """Return mean and spread over classes."""
    return pivot(records, ("data", "of", "by", "method"), None, ("AUROC", "seconds"))


RATES = (0.01, 0.05, 0.1)
OTHERS = 150
"""Images of other classes in part rates."""


class PCAError:
    """Minus the squared error of what PCA with 90 % of the variance leaves."""

    def fit(self, X: np.ndarray) -> PCAError:
        """Fit the components."""
        self.pca = PCA(0.9, svd_solver="full").fit(X)
        return self

    def score_samples(self, X: np.ndarray) -> np.ndarray:
        """Return larger for more normal."""
        return -np.square(X - self.pca.inverse_transform(self.pca.transform(X))).sum(1)


class PyOD:
    """PyOD's VAE with its defaults."""

    def fit(self, X: np.ndarray) -> PyOD:
        """Train it."""
        from pyod.models.vae import VAE

        self.vae = VAE(verbose=0).fit(X)
        return self

    def score_samples(self, X: np.ndarray) -> np.ndarray:
        """Return larger for more normal."""
        return -self.vae.decision_function(X)


PEERS: dict[str, Callable[[], Any]] = {
    "PCA error": PCAError,
    "IsolationForest": lambda: IsolationForest(random_state=0),
    "OneClassSVM": lambda: OneClassSVM(nu=0.1),
    "LocalOutlierFactor": lambda: LocalOutlierFactor(novelty=True),
    "PyOD VAE": PyOD,
}


class OfCells:
    """An image's score by the worst of its cells, each by PCA's error or its nearest neighbour.

    Parameters
    ----------
    by : {"PCA", "neighbour"}
        PatchCore's way [1]: the distance to the nearest of 3,000 cells, chosen greedily, each as
        far as can be from those before, out of 30,000 drawn.

    References
    ----------
    .. [1] Roth et al., "Towards Total Recall in Industrial Anomaly Detection", CVPR 2022.
    """

    DRAWN, KEPT = 30_000, 3000

    def __init__(self, by: str) -> None:
        self.by = by

    def fit(self, grids: np.ndarray) -> OfCells:
        """Take the cells of normal images, (n, h, w, features)."""
        rows = grids.reshape(-1, grids.shape[-1])
        rng = np.random.default_rng(0)
        drawn = rows[rng.choice(len(rows), min(self.DRAWN, len(rows)), replace=False)]
        drawn = drawn.astype(np.float32)
        if self.by == "PCA":
            self.error = PCAError().fit(drawn)
            return self
        far, kept = np.full(len(drawn), np.inf), [0]
        for _ in range(min(self.KEPT, len(drawn)) - 1):
            far = np.minimum(far, np.square(drawn - drawn[kept[-1]]).sum(1))
            kept.append(int(far.argmax()))
        self.neighbours = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(drawn[kept])
        return self

    def score_samples(self, grids: np.ndarray) -> np.ndarray:
        """Return larger for more normal."""
        scores = []
        for grid in grids:
            rows = grid.reshape(-1, grid.shape[-1]).astype(np.float32)
            if self.by == "PCA":
                scores.append(self.error.score_samples(rows).min())
            else:
                scores.append(-self.neighbours.kneighbors(rows)[0].max())
        return np.array(scores)


def vae_for(args: argparse.Namespace, seed: int) -> VAETransformer:
    """Return the detector's VAE."""
    settings = {"max_epochs": args.epochs, "device": args.device, "random_state": seed}
    return VAETransformer(args.z_dim, augment=None, **settings)


def areas(
    X: np.ndarray, X_test: np.ndarray, normal: np.ndarray, args: argparse.Namespace, seed: int = 0
) -> Iterator[Record]:
    """Yield a record per contender: AUROC in % and seconds of training and scoring."""
    spent = watch()
    vae = None if args.patches else vae_for(args, seed)
    detector = VAEDetector(vae, patches=args.patches or None, random_state=seed).fit(X)
    fitted = spent()

    def scored(name: str, score: Callable[[], np.ndarray], before: float = 0.0) -> Record:
        spent = watch()
        area = 100 * roc_auc_score(normal, score())
        return {"contender": name, "AUROC": area, "seconds": before + spent()}

    for method in METHODS:
        detector.set_params(method=method)
        yield scored(f"VAE, {method}", lambda: detector.score_samples(X_test), fitted)
    rows, rows_test = as_rows(X[: args.peer_rows]), as_rows(X_test)
    for name in args.peers:
        peer = PEERS[name]()
        yield scored(name, lambda p=peer: p.fit(rows).score_samples(rows_test))


def one_class(args: argparse.Namespace) -> Iterator[Record]:
    """Train on each class in turn."""
    for data in args.data:
        (X, y), (X_test, y_test) = load(data), load(data, "test")
        for c in CLEAN.get(data, np.unique(y)):
            for record in areas(X[y == c], X_test, y_test == c, args):
                yield {"data": data, "normal": int(c), **record}


def foreign(args: argparse.Namespace) -> Iterator[Record]:
    """Train on one set, look for another."""
    for (own, other), seed in product(PAIRS, args.seeds):
        if own in args.data:
            sets = [load(data, "test")[0] for data in (own, other)]
            normal = np.repeat([True, False], [len(part) for part in sets])
            X = load(own)[0][: args.rows]
            for record in areas(X, np.concatenate(sets), normal, args, seed):
                yield {"data": own, "foreign": other, "seed": seed, **record}


def rates(args: argparse.Namespace) -> Iterator[Record]:
    """Train on a part of each class, ask for alarm rates on the rest of it."""
    rows = args.rows or 300
    for data, seed in product(args.data, args.seeds):
        parts = zip(load(data), load(data, "test"), strict=True)
        X, y = (np.concatenate(part) for part in parts)
        for c in np.unique(y):
            rng = np.random.default_rng([seed, c])
            own = rng.permutation(np.flatnonzero(y == c))
            n = min(rows, round(0.75 * len(own)))
            others = rng.choice(np.flatnonzero(y != c), OTHERS, replace=False)
            for record in alarms(X[own[:n]], X[own[n:][:rows]], X[others], args, seed):
                yield {"data": data, "normal": int(c), "seed": seed, **record}


def alarms(
    X: np.ndarray, X_new: np.ndarray, X_other: np.ndarray, args: argparse.Namespace, seed: int
) -> Iterator[Record]:
    """Yield a record per contender: alarm rates on new normal images and AUROC, in %."""
    spent = watch(time.process_time)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "contamination=0.01 takes", UserWarning)
        detector = VAEDetector(vae_for(args, seed), contamination=RATES[0]).fit(X)
    record: Record = {"n": len(X), "cpu seconds": spent()}
    for method in METHODS:
        detector.set_params(method=method)
        scores = detector.score_samples(X_new), detector.score_samples(X_other)
        offsets = [detector.set_params(contamination=rate).offset_ for rate in RATES]
        yield {**record, "contender": f"VAE, {method}", **told(*scores, offsets)}
    rows, new, other = map(as_rows, (X, X_new, X_other))
    for name in sorted(PEER_RATES.keys() & {*args.peers}):
        peers = [PEERS[name]().set_params(**{PEER_RATES[name]: rate}).fit(rows) for rate in RATES]
        outliers = [float(100 * np.mean(peer.predict(new) == -1)) for peer in peers]
        found = told(peers[-1].score_samples(new), peers[-1].score_samples(other), [0.0] * 3)
        found |= dict(zip(map(alarms_at, RATES), outliers, strict=True))
        yield {"contender": name, "n": len(X), **found}


PEER_RATES = {
    "IsolationForest": "contamination",
    "OneClassSVM": "nu",
    "LocalOutlierFactor": "contamination",
}
"""What of a peer sets its rate."""


def alarms_at(rate: float) -> str:
    """Return the column of a rate."""
    return f"alarms at {100 * rate:g} %"


def told(new: np.ndarray, other: np.ndarray, offsets: Iterable[float]) -> dict[str, float]:
    """Return the alarm rates below each offset, and AUROC, in %."""
    normal = np.repeat([True, False], [len(new), len(other)])
    shares = {
        alarms_at(rate): float(100 * np.mean(new < offset))
        for rate, offset in zip(RATES, offsets, strict=True)
    }
    return {**shares, "AUROC": 100 * roc_auc_score(normal, np.concatenate([new, other]))}


def mean_areas(records: list[Record]) -> list[Record]:
    """Return mean and spread over classes, or over seeds."""
    return pivot(records, ("data", "contender"), None, ("AUROC", "seconds"))


def mean_rates(records: list[Record]) -> list[Record]:
    """Return mean and spread over classes and splits."""
    scores = (*map(alarms_at, RATES), "AUROC")
    return pivot(records, ("data", "contender"), None, scores)


if __name__ == "__main__":
    run(
        __doc__,
        "anomaly",
        {
            "one-class": (one_class, mean_areas),
            "foreign": (foreign, mean_areas),
            "rates": (rates, mean_rates),
            "local": (local, by_contender),
        },
        data=["mnist", "fashion_mnist", "cifar10_jpeg"],
        peers=(list(PEERS), PEERS),
        peer_rows=(6000, "rows that peers train on"),
        rows=(int, "rows in part foreign (all); in part rates (300)"),
        seeds=([0], "VAEs in part foreign, splits in rates"),
        z_dim=32,
        epochs=20,
        patches=([int], "windows that images are cut into; in part local 16 and 32"),
        methods=(list(METHODS), METHODS),
        views=(["pixels", "cells"], ("pixels", "cells")),
        device="auto",
    )

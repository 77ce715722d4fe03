"""VAEDetector beside PCA, IsolationForest, OneClassSVM, LocalOutlierFactor and PyOD's VAE.

    python benchmarks/anomaly.py --part one-class foreign
    python benchmarks/anomaly.py --part one-class --data magnetic_tile neu_surface --epochs 200 \
        --out defects
    python benchmarks/anomaly.py --part rates --data digits --epochs 200 --out rates_digits

``one-class``: trained on one class of the training set, AUROC on the whole test set, the mean over
the classes; of the magnetic tiles only those without a defect are trained on. ``foreign``: trained
on one data set, its test images against another's. ``rates``: trained on some images of a
class, what share of its other images is called outliers where 1, 5 and 10 % are asked for, and
AUROC against images of other classes; all drawn at random from training and test images, so that
the two parts are exchangeable (the test images of sign_digits show other persons, those of
neu_surface other strips, and no rate is promised there). The VAE has its defaults but for
``--epochs``; nothing is tuned on what is to be found. Peers have theirs, PCA keeps 90 % of the
variance.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from itertools import product
from typing import Any

import numpy as np
from _common import Record, pivot, run, watch
from _shared import as_rows, load
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import LocalOutlierFactor
from sklearn.svm import OneClassSVM

from sklearn_vae import VAEDetector, VAETransformer

METHODS = ("path", "elbo", "reconstruction", "latent")
CLEAN = {"magnetic_tile": (0,)}
"""Classes that are trained on; all in turn where nothing is said."""
PAIRS = (
    ("fashion_mnist", "mnist"),
    ("cifar10_jpeg", "svhn"),
    ("mnist", "fashion_mnist"),
    ("svhn", "cifar10_jpeg"),
)


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


def vae_for(args: argparse.Namespace, seed: int) -> VAETransformer:
    """Return the detector's VAE."""
    settings = {"max_epochs": args.epochs, "device": args.device, "random_state": seed}
    return VAETransformer(args.z_dim, augment=None, **settings)


def areas(
    X: np.ndarray, X_test: np.ndarray, normal: np.ndarray, args: argparse.Namespace, seed: int = 0
) -> Iterator[Record]:
    """Yield a record per contender: AUROC in % and seconds of training and scoring."""
    spent = watch()
    detector = VAEDetector(vae_for(args, seed)).fit(X)
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
        },
        data=["mnist", "fashion_mnist", "cifar10_jpeg"],
        peers=(list(PEERS), PEERS),
        peer_rows=(6000, "rows that peers train on"),
        rows=(int, "rows in part foreign (all); in part rates (300)"),
        seeds=([0], "VAEs in part foreign, splits in rates"),
        z_dim=32,
        epochs=20,
        device="auto",
    )

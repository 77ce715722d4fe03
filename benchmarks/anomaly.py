"""VAEDetector beside PCA, IsolationForest, OneClassSVM, LocalOutlierFactor and PyOD's VAE.

    python benchmarks/anomaly.py --part one-class foreign
    python benchmarks/anomaly.py --part one-class --data magnetic_tile neu_surface --epochs 200 \
        --out anomaly_defects

``one-class``: trained on one class of the training set, AUROC on the whole test set, the mean over
the classes; of the magnetic tiles only those without a defect are trained on. ``foreign``: trained
on one data set, its test images against another's. The VAE has its defaults but for ``--epochs``;
nothing is tuned on what is to be found. Peers have theirs, PCA keeps 90 % of the variance.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from _common import as_rows, environment, markdown_table, write_json
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import LocalOutlierFactor
from sklearn.svm import OneClassSVM

from sklearn_vae import VAEDetector, VAETransformer
from sklearn_vae._detector import METHODS
from sklearn_vae.datasets import fetch_images

CLEAN = {"magnetic_tile": (0,)}
"""Classes that are trained on; all in turn where nothing is said."""
PAIRS = (
    ("fashion_mnist", "mnist"),
    ("cifar10_jpeg", "svhn"),
    ("mnist", "fashion_mnist"),
    ("svhn", "cifar10_jpeg"),
)


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


def areas(
    X: np.ndarray, X_test: np.ndarray, normal: np.ndarray, args: argparse.Namespace, seed: int = 0
) -> list[dict[str, Any]]:
    """Return a record per contender: AUROC in % and seconds of training and scoring."""
    records = []
    start = time.perf_counter()
    vae = VAETransformer(
        args.z_dim, augment=None, max_epochs=args.epochs, device=args.device, random_state=seed
    ).fit(X)
    fitted = time.perf_counter() - start
    for method in METHODS:
        start = time.perf_counter()
        scores = VAEDetector(FrozenEstimator(vae), method=method).fit(X).score_samples(X_test)
        seconds = fitted + time.perf_counter() - start
        area = 100 * roc_auc_score(normal, scores)
        records.append({"contender": f"VAE, {method}", "AUROC": area, "seconds": seconds})
    for name in args.peers:
        start = time.perf_counter()
        scores = PEERS[name]().fit(as_rows(X[: args.peer_rows])).score_samples(as_rows(X_test))
        seconds = time.perf_counter() - start
        area = 100 * roc_auc_score(normal, scores)
        records.append({"contender": name, "AUROC": area, "seconds": seconds})
    return records


def one_class(args: argparse.Namespace) -> Iterator[list[dict[str, Any]]]:
    """Train on each class in turn."""
    for data in args.data:
        X, y = fetch_images(data, return_X_y=True, download_if_missing=False)
        X_test, y_test = fetch_images(
            data, subset="test", return_X_y=True, download_if_missing=False
        )
        for c in CLEAN.get(data, np.unique(y)):
            found = areas(X[y == c], X_test, y_test == c, args)
            yield [{"data": data, "normal": int(c), **record} for record in found]


def foreign(args: argparse.Namespace) -> Iterator[list[dict[str, Any]]]:
    """Train on one set, look for another."""
    for own, other in PAIRS:
        if own not in args.data:
            continue
        X, _ = fetch_images(own, return_X_y=True, download_if_missing=False)
        sets = [
            fetch_images(d, subset="test", return_X_y=True, download_if_missing=False)[0]
            for d in (own, other)
        ]
        normal = np.repeat([True, False], [len(part) for part in sets])
        for seed in args.seeds:
            found = areas(X[: args.rows], np.concatenate(sets), normal, args, seed)
            yield [{"data": own, "foreign": other, "seed": seed, **record} for record in found]


def means(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the mean over classes for each data set and contender."""
    keys = sorted({(r["data"], r["contender"]) for r in rows})
    return [
        {
            "data": data,
            "contender": name,
            "mean AUROC": float(np.mean([r["AUROC"] for r in part])),
            "lowest": min(r["AUROC"] for r in part),
            "seconds a class": float(np.mean([r["seconds"] for r in part])),
        }
        for data, name in keys
        for part in [[r for r in rows if (r["data"], r["contender"]) == (data, name)]]
    ]


PARTS = {"one-class": one_class, "foreign": foreign}


def main() -> None:
    """Run the chosen parts and write a JSON for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", nargs="+", default=list(PARTS), choices=list(PARTS))
    parser.add_argument("--data", nargs="+", default=["mnist", "fashion_mnist", "cifar10_jpeg"])
    parser.add_argument("--peers", nargs="*", default=list(PEERS), choices=list(PEERS))
    parser.add_argument("--peer-rows", type=int, default=6000, help="rows that peers train on")
    parser.add_argument("--rows", type=int, default=None, help="rows in part foreign; all")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], help="VAEs in part foreign")
    parser.add_argument("--z-dim", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", help="name of the JSON, for a single part")
    args = parser.parse_args()
    for part in args.part:
        rows: list[dict[str, Any]] = []
        for found in PARTS[part](args):
            rows += found
            payload = {"environment": environment(), "args": vars(args), "results": rows}
            write_json(args.out or f"anomaly_{part.replace('-', '_')}", payload)
            print(markdown_table(found, list(found[0])), flush=True)
        shown = means(rows) if part == "one-class" else rows
        print(markdown_table(shown, list(shown[0])), flush=True)


if __name__ == "__main__":
    main()

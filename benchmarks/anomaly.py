"""VAEDetector beside PCA, IsolationForest, OneClassSVM, LocalOutlierFactor and PyOD's VAE.

    python benchmarks/anomaly.py --part one-class foreign
    python benchmarks/anomaly.py --part one-class --data magnetic_tile neu_surface --epochs 200 \
        --out anomaly_defects
    python benchmarks/anomaly.py --part rates --data digits --epochs 200 --out anomaly_rates_digits

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
import itertools
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from _common import as_rows, environment, markdown_table, write_json
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
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


def areas(
    X: np.ndarray, X_test: np.ndarray, normal: np.ndarray, args: argparse.Namespace, seed: int = 0
) -> list[dict[str, Any]]:
    """Return a record per contender: AUROC in % and seconds of training and scoring."""
    records = []
    start = time.perf_counter()
    vae = VAETransformer(
        args.z_dim, augment=None, max_epochs=args.epochs, device=args.device, random_state=seed
    )
    detector = VAEDetector(vae).fit(X)
    fitted = time.perf_counter() - start
    for method in METHODS:
        start = time.perf_counter()
        scores = detector.set_params(method=method).score_samples(X_test)
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


def rates(args: argparse.Namespace) -> Iterator[list[dict[str, Any]]]:
    """Train on a part of each class, ask for alarm rates on the rest of it."""
    rows = args.rows or 300
    for data, seed in itertools.product(args.data, args.seeds):
        X, y = (np.concatenate(parts) for parts in zip(*_parts(data), strict=True))
        for c in np.unique(y):
            rng = np.random.default_rng([seed, c])
            own = rng.permutation(np.flatnonzero(y == c))
            n = min(rows, round(0.75 * len(own)))
            others = rng.choice(np.flatnonzero(y != c), OTHERS, replace=False)
            found = alarms(X[own[:n]], X[own[n:][:rows]], X[others], args, seed)
            yield [{"data": data, "normal": int(c), "seed": seed, **record} for record in found]


def _parts(data: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return images and classes of the training and the test part."""
    kw: dict[str, Any] = {"return_X_y": True, "download_if_missing": False}
    return [fetch_images(data, subset=subset, **kw) for subset in ("train", "test")]


def alarms(
    X: np.ndarray, X_new: np.ndarray, X_other: np.ndarray, args: argparse.Namespace, seed: int
) -> list[dict[str, Any]]:
    """Return a record per contender: alarm rates on new normal images and AUROC, in %."""
    start = time.process_time()
    vae = VAETransformer(
        args.z_dim, augment=None, max_epochs=args.epochs, device=args.device, random_state=seed
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "contamination=0.01 takes", UserWarning)
        detector = VAEDetector(vae, contamination=RATES[0]).fit(X)
    record: dict[str, Any] = {"n": len(X), "cpu seconds": time.process_time() - start}
    records = []
    for method in METHODS:
        detector.set_params(method=method)
        scores = detector.score_samples(X_new), detector.score_samples(X_other)
        offsets = [detector.set_params(contamination=rate).offset_ for rate in RATES]
        record |= {"contender": f"VAE, {method}", **_told(*scores, offsets)}
        records.append(dict(record))
    rows, new, other = map(as_rows, (X, X_new, X_other))
    for name in sorted({"IsolationForest", "OneClassSVM", "LocalOutlierFactor"} & {*args.peers}):
        peers = [PEERS[name]().set_params(**{PEER_RATES[name]: rate}).fit(rows) for rate in RATES]
        outliers = [float(100 * np.mean(peer.predict(new) == -1)) for peer in peers]
        told = _told(peers[-1].score_samples(new), peers[-1].score_samples(other), [0.0] * 3)
        told |= dict(zip(map(_alarms_at, RATES), outliers, strict=True))
        records.append({"contender": name, "n": len(X), **told})
    return records


PEER_RATES = {
    "IsolationForest": "contamination",
    "OneClassSVM": "nu",
    "LocalOutlierFactor": "contamination",
}
"""What of a peer sets its rate."""


def _alarms_at(rate: float) -> str:
    return f"alarms at {100 * rate:g} %"


def _told(new: np.ndarray, other: np.ndarray, offsets: Iterable[float]) -> dict[str, float]:
    """Return the alarm rates below each offset, and AUROC, in %."""
    normal = np.repeat([True, False], [len(new), len(other)])
    shares = {
        _alarms_at(rate): float(100 * np.mean(new < offset))
        for rate, offset in zip(RATES, offsets, strict=True)
    }
    return {**shares, "AUROC": 100 * roc_auc_score(normal, np.concatenate([new, other]))}


def mean_rates(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the mean over classes and splits for each data set and contender; worst classes."""
    shown = []
    for data, name in sorted({(r["data"], r["contender"]) for r in rows}):
        part = [r for r in rows if (r["data"], r["contender"]) == (data, name)]
        record: dict[str, Any] = {"data": data, "contender": name, "fits": len(part)}
        for rate in RATES:
            key = _alarms_at(rate)
            by_class = [
                float(np.mean([r[key] for r in part if r["normal"] == c]))
                for c in {r["normal"] for r in part}
            ]
            record[key] = float(np.mean([r[key] for r in part]))
            record[f"worst class, {100 * rate:g} %"] = max(
                by_class, key=lambda found, asked=100 * rate: abs(found - asked)
            )
        record["AUROC"] = float(np.mean([r["AUROC"] for r in part]))
        shown.append(record)
    return shown


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


PARTS = {"one-class": one_class, "foreign": foreign, "rates": rates}
SHOWN = {"one-class": means, "rates": mean_rates}


def main() -> None:
    """Run the chosen parts and write a JSON for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", nargs="+", default=list(PARTS), choices=list(PARTS))
    parser.add_argument("--data", nargs="+", default=["mnist", "fashion_mnist", "cifar10_jpeg"])
    parser.add_argument("--peers", nargs="*", default=list(PEERS), choices=list(PEERS))
    parser.add_argument("--peer-rows", type=int, default=6000, help="rows that peers train on")
    parser.add_argument(
        "--rows", type=int, default=None, help="rows in part foreign (all); in part rates (300)"
    )
    parser.add_argument(
        "--seeds", nargs="+", type=int, default=[0], help="VAEs in part foreign, splits in rates"
    )
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
            if part != "rates":
                print(markdown_table(found, list(found[0])), flush=True)
        shown = SHOWN[part](rows) if part in SHOWN else rows
        print(markdown_table(shown, list(shown[0])), flush=True)


if __name__ == "__main__":
    main()

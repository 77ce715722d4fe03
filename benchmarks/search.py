"""What a grid search costs beside its parts, and how it uses two cores.

    python benchmarks/search.py --data digits mnist

3 latent dimensions x 12 heads x 3 folds through ``Pipeline(memory=...)``: the time beside that of
9 VAE fits and 108 head fits measured apart; and ``n_jobs=1`` beside ``n_jobs=2``. What two
processes that have nothing to do with each other gain on this machine is the most that
``n_jobs=2`` can. Workers are started, and torch imported in them, before the clock is.

``digits``: 1,797 images of 8 x 8 and convolutions, where nearly all the time goes into the VAEs,
each of which uses both cores. ``mnist``: 10,000 rows and a fully connected net, where much goes
into the heads, each of which uses one.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from _common import environment, markdown_table, write_json
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import Pipeline
from sklearn.svm import SVC

from sklearn_vae import VAETransformer
from sklearn_vae.datasets import fetch_images
from sklearn_vae.nn import MLP

Z_DIMS = (4, 8, 16)
HEADS = [SVC(C=c) for c in np.logspace(-1, 2, 6)] + [
    LogisticRegression(C=c, max_iter=1000) for c in np.logspace(-2, 2, 6)
]
FOLDS = StratifiedKFold(3)
VAES = {
    "digits": VAETransformer(max_epochs=30, device="cpu", random_state=0),
    "mnist": VAETransformer(network=MLP((400,)), max_epochs=20, device="cpu", random_state=0),
}


def load(data: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the images of ``digits``, or ten thousand rows of ``mnist``, and their labels."""
    X, y = fetch_images(data, return_X_y=True, download_if_missing=False)
    return (X, y) if data == "digits" else (X[:10_000].reshape(10_000, -1), y[:10_000])


def grid(vae: VAETransformer, n_jobs: int, X: np.ndarray, y: np.ndarray) -> float:
    """Return the seconds of the search, without its refit."""
    with tempfile.TemporaryDirectory() as folder:
        pipeline = Pipeline([("vae", vae), ("head", SVC())], memory=folder)
        search = GridSearchCV(
            pipeline,
            {"vae__z_dim": Z_DIMS, "head": HEADS},
            cv=FOLDS,
            n_jobs=n_jobs,
            refit=False,
        )
        return clock(lambda: search.fit(X, y))


def fit_vaes(vae: VAETransformer, X: np.ndarray, y: np.ndarray) -> list[tuple[np.ndarray, ...]]:
    """Return each fold's and dimension's features and labels, of training and test rows."""
    parts = []
    for train, test in FOLDS.split(X, y):
        for z_dim in Z_DIMS:
            transformer = clone(vae).set_params(z_dim=z_dim)
            Z = transformer.fit_transform(X[train])
            parts.append((Z, y[train], transformer.transform(X[test]), y[test]))
    return parts


def apart(vae: VAETransformer, X: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Return the seconds of 9 VAE fits and of 108 head fits with their scores, one by one."""
    start = time.perf_counter()
    parts = fit_vaes(vae, X, y)
    middle = time.perf_counter()
    for Z, labels, Z_test, labels_test in parts:
        for head in HEADS:
            clone(head).fit(Z, labels).score(Z_test, labels_test)
    return middle - start, time.perf_counter() - middle


def pair(vae: VAETransformer, X: np.ndarray, y: np.ndarray) -> float:
    """Return the seconds of ``apart`` in two processes at once, with half of the cores each."""
    workers = Parallel(n_jobs=2)
    return clock(lambda: workers(delayed(apart)(vae, X, y) for _ in range(2)))


def clock(work: Callable[[], Any]) -> float:
    """Return how long ``work`` takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def compare(data: str, rounds: int) -> tuple[list[dict[str, Any]], dict[str, list[float]]]:
    """Time the parts, the search with one and with two jobs, and two processes, in turns."""
    vae = VAES[data]
    X, y = load(data)
    few = clone(vae).set_params(max_epochs=1)
    few.fit(X)
    Parallel(n_jobs=2)(delayed(fit_vaes)(few, X[:300], y[:300]) for _ in range(2))  # start them
    names = ("VAEs apart", "heads apart", "n_jobs=1", "n_jobs=2", "pair")
    times: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(rounds):
        vaes, heads = apart(vae, X, y)
        each = (vaes, heads, grid(vae, 1, X, y), grid(vae, 2, X, y), pair(vae, X, y))
        for name, seconds in zip(names, each, strict=True):
            times[name].append(seconds)
    vaes, heads, one, two, both = (statistics.median(times[name]) for name in names)
    rows = [
        {"what": "9 VAE fits apart, s", "value": vaes},
        {"what": "108 heads apart, s", "value": heads},
        {"what": "grid, n_jobs=1, s", "value": one},
        {"what": "grid, n_jobs=2, s", "value": two},
        {"what": "grid / parts (n_jobs=1)", "value": one / (vaes + heads)},
        {"what": "n_jobs=1 / n_jobs=2", "value": one / two},
        {"what": "parts twice / in two processes", "value": 2 * (vaes + heads) / both},
    ]
    return [{"data": data, **row} for row in rows], times


def main() -> None:
    """Compare on each of the data, and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", nargs="+", choices=VAES, default=list(VAES))
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    rows, times = [], {}
    for data in args.data:
        found, times[data] = compare(data, args.rounds)
        rows += found
        payload = {"environment": environment(), "args": vars(args), "results": rows}
        write_json("search", {**payload, "times": times})
        print(markdown_table(found, list(found[0])), flush=True)


if __name__ == "__main__":
    main()

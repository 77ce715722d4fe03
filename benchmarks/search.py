"""What a grid search costs beside its parts, and how it uses two cores.

    python benchmarks/search.py

3 latent dimensions x 12 heads x 3 folds on digits through ``Pipeline(memory=...)``: the time beside
that of 9 VAE fits and 108 head fits measured apart; and ``n_jobs=1`` beside ``n_jobs=2``. What two
processes that have nothing to do with each other gain on this machine is the most that
``n_jobs=2`` can. Workers are started, and torch imported in them, before the clock is.
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

Z_DIMS = (4, 8, 16)
HEADS = [SVC(C=c) for c in np.logspace(-1, 2, 6)] + [
    LogisticRegression(C=c, max_iter=1000) for c in np.logspace(-2, 2, 6)
]
FOLDS = StratifiedKFold(3)


def vae(epochs: int) -> VAETransformer:
    """Return the VAE that is searched over."""
    return VAETransformer(max_epochs=epochs, device="cpu", random_state=0)


def grid(epochs: int, n_jobs: int, X: np.ndarray, y: np.ndarray) -> float:
    """Return the seconds of the search, without its refit."""
    with tempfile.TemporaryDirectory() as folder:
        pipeline = Pipeline([("vae", vae(epochs)), ("head", SVC())], memory=folder)
        search = GridSearchCV(
            pipeline,
            {"vae__z_dim": Z_DIMS, "head": HEADS},
            cv=FOLDS,
            n_jobs=n_jobs,
            refit=False,
        )
        return clock(lambda: search.fit(X, y))


def apart(epochs: int, X: np.ndarray, y: np.ndarray) -> float:
    """Return the seconds of 9 VAE fits and 108 head fits with their scores, one after another."""

    def work() -> None:
        for train, test in FOLDS.split(X, y):
            for z_dim in Z_DIMS:
                transformer = vae(epochs).set_params(z_dim=z_dim)
                Z = transformer.fit_transform(X[train])
                Z_test = transformer.transform(X[test])
                for head in HEADS:
                    clone(head).fit(Z, y[train]).score(Z_test, y[test])

    return clock(work)


def pair(epochs: int, X: np.ndarray, y: np.ndarray) -> float:
    """Return the seconds of ``apart`` in two processes at once, with half of the cores each."""
    workers = Parallel(n_jobs=2)
    return clock(lambda: workers(delayed(apart)(epochs, X, y) for _ in range(2)))


def clock(work: Callable[[], Any]) -> float:
    """Return how long ``work`` takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    """Time the three, in turns, and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    X, y = fetch_images("digits", return_X_y=True)
    vae(1).fit(X)
    pair(1, X, y)  # starts the workers, which joblib keeps
    times: dict[str, list[float]] = {"n_jobs=1": [], "n_jobs=2": [], "parts": [], "pair": []}
    for _ in range(args.rounds):
        times["parts"].append(apart(args.epochs, X, y))
        times["n_jobs=1"].append(grid(args.epochs, 1, X, y))
        times["n_jobs=2"].append(grid(args.epochs, 2, X, y))
        times["pair"].append(pair(args.epochs, X, y))
    middle = {name: statistics.median(each) for name, each in times.items()}
    rows = [
        {"what": "9 VAE fits + 108 heads apart, s", "value": middle["parts"]},
        {"what": "grid, n_jobs=1, s", "value": middle["n_jobs=1"]},
        {"what": "grid, n_jobs=2, s", "value": middle["n_jobs=2"]},
        {"what": "grid / parts (n_jobs=1)", "value": middle["n_jobs=1"] / middle["parts"]},
        {"what": "n_jobs=1 / n_jobs=2", "value": middle["n_jobs=1"] / middle["n_jobs=2"]},
        {"what": "parts twice / in two processes", "value": 2 * middle["parts"] / middle["pair"]},
    ]
    payload = {"environment": environment(), "args": vars(args), "results": rows, "times": times}
    write_json("search", payload)
    print(markdown_table(rows, list(rows[0])))


if __name__ == "__main__":
    main()

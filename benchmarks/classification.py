"""Do features of a VAE that saw no label beat PCA and raw pixels? Few labels, three heads.

    python benchmarks/classification.py --data mnist fashion_mnist --labels 100 1000 10000
    python benchmarks/classification.py --data cifar10 --labels 1000 10000

Protocol. One VAE per data set and seed is trained on all training images without labels. For each
of ``--draws`` class-balanced draws of labels, every head is fitted on the labelled images' features
and scored once on the official test set; its hyperparameter is chosen by 3-fold cross-validation
inside the draw (on at most 1,000 of its images). The VAE's own settings are the package's defaults,
which were chosen on held-out training images. Draws are the same for every row of the table.

Controls: raw pixels, PCA of the VAE's latent dimension and PCA of 50 (fitted on all training
images), and an untrained encoder of the same architecture. At 100 labels
LabelSpreading, which uses the unlabelled images, is there, too, over a graph that joins two images
when either is among the ten nearest of the other (its own kernel "knn" keeps one direction). With
``--symmetry`` the same VAE's features averaged over flips are in the table, too.

Data sets are found as ``sklearn_vae.datasets.fetch_images`` says; ``--out`` names the JSON.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Iterator
from itertools import product

import numpy as np
from _common import (
    UNTRAINED,
    as_rows,
    environment,
    label_spreading,
    markdown_table,
    neighbours,
    three_convolutions,
    write_json,
)
from joblib import Parallel, delayed
from sklearn.base import BaseEstimator
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from sklearn.svm import SVC

from sklearn_vae import VAETransformer
from sklearn_vae.datasets import fetch_images

SEARCH_ROWS = 1000


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
        start = time.perf_counter()
        pca = PCA(n, random_state=seed).fit(flat)
        yield f"PCA-{n}", pca.transform(flat), pca.transform(flat_test), time.perf_counter() - start
    random = VAETransformer(vae.z_dim, network=network, random_state=seed, **UNTRAINED)
    random.set_params(features="hidden").fit(X[:10_000])
    yield "untrained hidden", random.transform(X), random.transform(X_test), 0.0
    start = time.perf_counter()
    vae.fit(X)
    seconds = time.perf_counter() - start
    for features, symmetry in product(("mean", "hidden"), dict.fromkeys((None, args.symmetry))):
        vae.set_params(features=features, symmetry=symmetry)
        name = f"VAE {features}{', symmetric' if symmetry else ''}"
        yield name, vae.transform(X), vae.transform(X_test), seconds


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


def head_error(name: str, Z, y, Z_test, y_test) -> float:
    """Tune one head inside its labels, fit it on all of them, return its test error in %."""
    head, grid = HEADS[name]
    few = np.random.default_rng(0).permutation(len(y))[:SEARCH_ROWS]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        search = GridSearchCV(head, grid, cv=3, refit=False).fit(Z[few], y[few])
        head = head.__class__(**{**head.get_params(), **search.best_params_}).fit(Z, y)
    return 100 * float(np.mean(head.predict(Z_test) != y_test))


def known_neighbours(Z, Z_test) -> Callable:
    """Return the kernel, computed once for all draws."""
    graph, test = neighbours(Z, Z), neighbours(Z, Z_test)
    return lambda A, B: graph if B is A else test


def spreading_error(kernel, Z, y, labelled, Z_test, y_test) -> float:
    """Return the test error of LabelSpreading from the labelled images over all others."""
    head = label_spreading(kernel).fit(Z, only_labels_of(labelled, y))
    return 100 * float(np.mean(head.predict(Z_test) != y_test))


def jobs(name: str, Z, y, Z_test, y_test, labels: list[int], draws: int) -> Iterator[tuple]:
    """Yield (features, head, n labels, draw, delayed error) for one kind of features."""
    spreads = 100 in labels and name in ("PCA-50", "VAE mean", "VAE hidden")
    kernel = known_neighbours(Z, Z_test) if spreads else None
    for n in labels:
        for draw in range(draws if n > 100 else 2 * draws):
            rows = draw_labels(y, n, draw)
            for head in HEADS:
                call = delayed(head_error)(head, Z[rows], y[rows], Z_test, y_test)
                yield name, head, n, draw, call
            if spreads and n == 100:
                call = delayed(spreading_error)(kernel, Z, y, rows, Z_test, y_test)
                yield name, "LabelSpreading", n, draw, call


def run(data: str, args: argparse.Namespace) -> dict:
    """Return all errors of one data set."""
    X, y = fetch_images(data, return_X_y=True, download_if_missing=False)
    X_test, y_test = fetch_images(data, subset="test", return_X_y=True, download_if_missing=False)
    records, seconds = [], {}
    for name, Z, Z_test, spent in features_of(X, X_test, args):
        if args.features and name not in args.features:
            continue
        start = time.perf_counter()
        seconds[name] = spent
        todo = list(jobs(name, Z, y, Z_test, y_test, args.labels, args.draws))
        errors = Parallel(n_jobs=args.jobs)(call for *_, call in todo)
        for (features, head, n, draw, _), error in zip(todo, errors, strict=True):
            record = {"features": features, "head": head, "labels": n, "draw": draw, "error": error}
            records.append(record)
        print(f"{data} {name}: heads took {time.perf_counter() - start:.0f} s", flush=True)
        print(table(records, args.labels, only=name), flush=True)
    return {"n_train": len(X), "fit_seconds": seconds, "errors": records}


def table(records: list[dict], labels: list[int], only: str | None = None) -> str:
    """Return test error in %, mean ± sd over draws, by features and head."""
    cells: dict[tuple[str, str, int], list[float]] = {}
    for r in records:
        cells.setdefault((r["features"], r["head"], r["labels"]), []).append(r["error"])
    rows = []
    for features, head in dict.fromkeys((f, h) for f, h, _ in cells):
        if only in (None, features):
            row: dict = {"features": features, "head": head}
            for n in labels:
                values = cells.get((features, head, n))
                if values:
                    row[f"{n:,} labels"] = f"{np.mean(values):.2f} ± {np.std(values):.2f}"
            rows.append(row)
    return markdown_table(rows, ["features", "head", *(f"{n:,} labels" for n in labels)])


def main() -> None:
    """Run the benchmark and write its JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", nargs="+", default=["mnist", "fashion_mnist"])
    parser.add_argument("--labels", nargs="+", type=int, default=[100, 1000, 10_000])
    parser.add_argument("--draws", type=int, default=5, help="label draws; twice as many at 100")
    parser.add_argument("--features", nargs="+", help="only these rows of the table")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--max-epochs", type=int)
    parser.add_argument("--width", type=int, help="channels of the first of three convolutions")
    parser.add_argument("--symmetry", choices=["horizontal", "both"], help="with it as well")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", default="classification")
    args = parser.parse_args()
    results = {}
    for data in args.data:
        results[data] = run(data, args)
        print(f"\n{data}: test error in %\n{table(results[data]['errors'], args.labels)}\n")
        write_json(args.out, {"environment": environment(), "args": vars(args), "results": results})


if __name__ == "__main__":
    main()

"""Small real image sets: a tuned pipeline with a VAE beside PCA, raw pixels and HOG.

    python benchmarks/small_sets.py --epochs 30

Each row of the table is one plain ``Pipeline``, features before a head, tuned by GridSearchCV on
the training part: 5 folds, the same for every row, by balanced accuracy. All steps are fitted on
the training folds alone, where the VAE sees no label but in the rows that say so. The winner of
each row is fitted on the whole training part and scored once on the test part. The VAE's rows have
``--seeds`` seeds, the search had seed 0. The mean over folds is the best of the grid, and so a
little too high in all rows; the test is not.

Searched are ``z_dim``, PCA's ``n_components`` (the same values and 128) with and without whitening,
and HOG's cells of 4 and 8 pixels. So are pixels, HOG and symmetric features standardised or as they
are, and C of the heads. These weigh the classes equally.

The data home holds ``NAME.npz`` with X_train, y_train, X_test, y_test, images in uint8. The sets
are PneumoniaMNIST (28 x 28, two classes), NEU surface defects (48 x 48, six) and magnetic tile
defects (64 x 64, six, unbalanced). Where there is group_train, as for the tiles, no group is on
both sides of a fold. HOG takes scikit-image. The first head's seconds are with the fits of the
features, which the second finds in the pipeline's cache.
"""

from __future__ import annotations

import argparse
import importlib.util
import tempfile
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from _common import Record, run, spread, watch
from _shared import DATA, as_rows, folds_of, rbf
from PIL import Image
from sklearn.base import BaseEstimator, clone
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, balanced_accuracy_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC

from sklearn_vae import VAETransformer
from sklearn_vae.nn import MLP, Patches

SETS = ("pneumoniamnist", "neu_surface", "magnetic_tile")

HEADS: dict[str, tuple[BaseEstimator, dict[str, list[float]]]] = {
    "LogisticRegression": (
        LogisticRegression(max_iter=500, class_weight="balanced"),
        {"head__C": [0.001, 0.01, 0.1, 1, 10, 100]},
    ),
    "SVC(RBF)": (SVC(kernel=rbf, class_weight="balanced"), {"head__C": [0.1, 0.3, 1, 3, 10, 30]}),
}
SCALE = {"scale": ["passthrough", StandardScaler()]}

Features = tuple[list[tuple[str, Any]], dict[str, list[Any]]]
"""The steps before the head, and what is searched in them."""


def pixels(args: argparse.Namespace) -> Features:
    """Return raw pixels in [0, 1]."""
    return [("rows", FunctionTransformer(as_rows)), ("scale", "passthrough")], SCALE


def pca(args: argparse.Namespace) -> Features:
    """Return linear features."""
    grid = {"pca__n_components": sorted({*args.z_dims, 128}), "pca__whiten": [False, True]}
    return [("rows", FunctionTransformer(as_rows)), ("pca", PCA(random_state=0))], grid


def hog(args: argparse.Namespace) -> Features:
    """Return histograms of oriented gradients."""
    if importlib.util.find_spec("skimage") is None:
        raise ImportError(
            'HOG takes scikit-image: pip install "sklearn-vae[bench]", or choose other --rows.'
        )
    steps = [("hog", FunctionTransformer(gradients)), ("scale", "passthrough")]
    return steps, {"hog__kw_args": [{"cell": 4}, {"cell": 8}], **SCALE}


def gradients(X: np.ndarray, cell: int) -> np.ndarray:
    """Return histograms of 9 orientations in cells of so many pixels a side, blocks of 2 x 2."""
    from skimage.feature import hog

    settings = {"pixels_per_cell": (cell, cell), "cells_per_block": (2, 2)}
    colour = -1 if X.ndim == 4 else None
    return np.stack([hog(x, channel_axis=colour, **settings) for x in X]).astype(np.float32)


def vae(args: argparse.Namespace, **settings: Any) -> Features:
    """Return a VAE with its defaults but for the settings."""
    lasting = {"max_epochs": args.epochs or "auto", "batch_size": args.batch_size or "auto"}
    settings = {**lasting, "random_state": 0, **settings}
    return [("vae", VAETransformer(**settings))], {"vae__z_dim": args.z_dims}


def symmetric(args: argparse.Namespace, network: Patches) -> Features:
    """Return hidden features with patches that do not change with either flip, scaled or not."""
    steps, grid = vae(args, features="hidden", network=network, symmetry="both")
    return [*steps, ("scale", "passthrough")], {**grid, **SCALE}


ROWS: dict[str, Callable[[argparse.Namespace], Features]] = {
    "raw pixels": pixels,
    "PCA": pca,
    "HOG": hog,
    "VAE mean": partial(vae, features="mean"),
    "VAE hidden": partial(vae, features="hidden"),
    "VAE hidden, patches": partial(vae, features="hidden", network=Patches()),
    "VAE hidden, patches, symmetric": partial(symmetric, network=Patches()),
    "small VAE, patches, symmetric": partial(symmetric, network=Patches(MLP((64,)))),
    "VAE mean, with labels": partial(vae, features="mean", label_weight=1.0),
    "VAE hidden, with labels": partial(vae, features="hidden", label_weight=1.0),
}


class Contest:
    """One data set with its folds."""

    def __init__(self, data: str, args: argparse.Namespace) -> None:
        with np.load(DATA / f"{data}.npz") as arrays:
            self.X, self.X_test = (shrink(arrays[f"X_{p}"], args.size) for p in ("train", "test"))
            self.y, self.y_test = arrays["y_train"], arrays["y_test"]
        self.folds = folds_of(data, self.y, 5)

    def results(self, features: Features, seeds: int) -> Iterator[Record]:
        """Yield a record for each head behind the features."""
        steps, grid = features
        with tempfile.TemporaryDirectory() as folder:
            for name, (head, head_grid) in HEADS.items():
                spent = watch()
                pipeline = Pipeline([*steps, ("head", head)], memory=folder)
                search = self.search(pipeline, {**grid, **head_grid})
                searched, spent = spent(), watch()
                yield {
                    "head": name,
                    "chosen": {key: str(value) for key, value in search.best_params_.items()},
                    "folds": [
                        search.cv_results_[f"split{i}_test_score"][search.best_index_]
                        for i in range(len(self.folds))
                    ],
                    **self.test(clone(pipeline).set_params(**search.best_params_), seeds),
                    "seconds_search": searched,
                    "seconds_refit": spent(),
                }

    def search(self, pipeline: Pipeline, grid: dict[str, list[Any]]) -> GridSearchCV:
        """Tune the pipeline on the training part."""
        how = {"scoring": "balanced_accuracy", "cv": self.folds, "error_score": "raise"}
        return GridSearchCV(pipeline, grid, refit=False, **how).fit(self.X, self.y)

    def test(self, pipeline: Pipeline, seeds: int) -> dict[str, list[float]]:
        """Fit the winner on the whole training part; score the test part once for each seed."""
        scores: dict[str, list[float]] = {"balanced_accuracy": [], "accuracy": []}
        for seed in range(seeds if "vae" in pipeline.named_steps else 1):
            if "vae" in pipeline.named_steps:
                pipeline.set_params(vae__random_state=seed)
            predicted = pipeline.fit(self.X, self.y).predict(self.X_test)
            scores["balanced_accuracy"].append(balanced_accuracy_score(self.y_test, predicted))
            scores["accuracy"].append(accuracy_score(self.y_test, predicted))
        return scores


def shrink(X: np.ndarray, side: int | None) -> np.ndarray:
    """Return square images with the given side by averaging areas; smaller ones as they are."""
    if side is None or side >= X.shape[1]:
        return X
    return np.stack(
        [np.asarray(Image.fromarray(x).resize((side, side), Image.Resampling.BOX)) for x in X]
    )


def scores(args: argparse.Namespace) -> Iterator[Record]:
    """Yield a record for each data set, row and head."""
    warnings.simplefilter("ignore", ConvergenceWarning)  # of C at the end of the grid
    features = {name: ROWS[name](args) for name in args.rows}
    contests = {data: Contest(data, args) for data in args.data}
    for data, contest in contests.items():
        for name in args.rows:
            for found in contest.results(features[name], args.seeds):
                yield {"data": data, "features": name, **found}


def table(records: list[Record]) -> list[Record]:
    """Return the folds' and the seeds' mean ± standard deviation, in %."""
    lists = ("folds", "balanced_accuracy", "accuracy")
    return [
        {k: spread([100 * x for x in v], 1) if k in lists else v for k, v in r.items()}
        for r in records
    ]


if __name__ == "__main__":
    run(
        __doc__,
        "small_sets",
        {"main": (scores, table)},
        data=(list(SETS), SETS),
        rows=(list(ROWS), ROWS),
        z_dims=[16, 32, 64],
        epochs=(int, "of the VAE; by default its own, up to 200"),
        batch_size=(int, "of the VAE; by default its own"),
        seeds=(3, "VAEs fitted for the test"),
        size=(int, "side that larger images are reduced to"),
    )

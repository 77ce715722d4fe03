"""The mean of a VAE of rows beside PCA of as many dimensions, behind frozen backbones.

    python benchmarks/rows.py

Rows are the features that a frozen backbone has of a set's images, columns as it gives them. One
VAE a set and backbone, by defaults but ``z_dim`` and its seed, is trained on all training rows
without labels; heads see the same draws of labels behind either. Balanced accuracy on the test
part.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from _backbones import BACKBONES, features
from _common import Record, pivot, run, watch
from _shared import draw_labels, label_spreading, only_labels_of
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.svm import SVC

from sklearn_vae import VAETransformer

SETS = ("neu_surface", "cifar10", "svhn", "sign_digits", "elpv_128", "pneumoniamnist")
HEADS = ("LogisticRegression", "SVC(RBF)", "LabelSpreading")


def contenders(z_dim: int, seed: int) -> dict[str, Any]:
    """Return what makes features of rows."""
    vae = VAETransformer(z_dim, device="cpu", random_state=seed)
    return {f"PCA-{z_dim}": PCA(z_dim, random_state=seed), f"VAE-{z_dim}": vae}


def predicted(head: str, Z: np.ndarray, y: np.ndarray, rows: np.ndarray, new: np.ndarray) -> Any:
    """Return what a head predicts of new rows from few labels, and from all rows if it can."""
    if head == "LabelSpreading":
        return label_spreading().fit(Z, only_labels_of(rows, y)).predict(new)
    model = SVC() if head == "SVC(RBF)" else LogisticRegression(max_iter=1000)
    return model.fit(Z[rows], y[rows]).predict(new)


def scores(args: argparse.Namespace) -> Iterator[Record]:
    """Yield a record for each set, backbone, kind of features, head and number of labels."""
    warnings.simplefilter("ignore", ConvergenceWarning)  # of PCA's scores, which are not scaled
    for data in args.data:
        for name in args.backbone:
            X, y, X_test, y_test = features(data, name)
            for kind, transformer in contenders(args.z_dim, args.seed).items():
                spent = watch()
                Z, Z_test = transformer.fit(X).transform(X), transformer.transform(X_test)
                seconds = spent()
                common = {"data": data, "backbone": name, "features": kind, "seconds": seconds}
                for head in args.head:
                    for n in args.labels:
                        found = []
                        for draw in range(args.draws):
                            rows = draw_labels(y, n * len(np.unique(y)), draw)
                            guess = predicted(head, Z, y, rows, Z_test)
                            found.append(100 * balanced_accuracy_score(y_test, guess))
                        yield {**common, "head": head, "labels": n, "balanced_accuracy": found}


def show(records: list[Record]) -> list[Record]:
    """Return a row for each set, backbone and kind of features."""
    short = [
        {**r, "column": f"{r['head']}, {r['labels']}", "score": np.mean(r["balanced_accuracy"])}
        for r in records
    ]
    return pivot(short, ("data", "backbone", "features"), "column", "score")


if __name__ == "__main__":
    run(
        __doc__,
        "rows",
        {"main": (scores, show)},
        data=(list(SETS), SETS),
        backbone=(list(BACKBONES), BACKBONES),
        head=(list(HEADS), HEADS),
        labels=([1, 5, 20], "a class"),
        z_dim=32,
        draws=(10, "draws of labels"),
        seed=0,
    )

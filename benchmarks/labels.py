"""Labels that shape the latent space (``label_weight``), beside the same heads without them.

    python benchmarks/labels.py --data mnist fashion_mnist --labels 100 1000

Each draw of class-balanced labels is one plain pipeline, fitted on all training images with -1 for
those without a label. It is ``make_pipeline(VAETransformer(label_weight=1),
SelfTrainingClassifier(SVC(), max_iter=0))``, which fits the SVC on labelled rows only. "Spread" is
LabelSpreading in the place of the SVC, over the latent means' graph of neighbours. Settings are the
defaults, or what the command line says, chosen on *training* images; the test set is scored once.

Controls: the same with ``label_weight=0`` (one VAE for all draws), the same network trained on the
labelled images alone (``label_weight=1``, as many samples shown). And SVC(C=3) on raw pixels and on
PCA-50. ``--labels 0`` means all labels.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

import numpy as np
from _common import Record, pivot, run, watch
from _shared import (
    as_rows,
    draw_labels,
    error,
    label_spreading,
    load,
    only_labels_of,
    three_convolutions,
)
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.semi_supervised import SelfTrainingClassifier
from sklearn.svm import SVC

from sklearn_vae import VAETransformer
from sklearn_vae.augmentation import Augment
from sklearn_vae.nn import NETWORKS


class Contest:
    """One data set: the errors of each contender at a draw of labels."""

    def __init__(self, data: str, args: argparse.Namespace) -> None:
        self.args = args
        (self.X, self.y), (self.X_test, self.y_test) = load(data), load(data, "test")
        self.z_dim = 128 if self.X.ndim == 4 else 32
        self.folder = tempfile.TemporaryDirectory()  # two heads share a VAE

    def vae(self, seed: int, **changes: Any) -> VAETransformer:
        """Return the VAE with its defaults but for the changes."""
        augment = augmentation(self.args.augment)
        settings = {"max_epochs": self.args.epochs or "auto", "augment": augment}
        settings |= {"random_state": seed, "network": self.args.network}
        if self.args.width:
            settings["network"] = three_convolutions(self.args.width)
        return VAETransformer(self.z_dim, **{**settings, **changes})

    @cached_property
    def images_alone(self) -> tuple[np.ndarray, np.ndarray]:
        """Features of a VAE that sees no label, of training and test images."""
        vae = self.vae(0).fit(self.X)
        return vae.transform(self.X), vae.transform(self.X_test)

    @cached_property
    def pixels(self) -> tuple[np.ndarray, np.ndarray]:
        """Pixels of training and test images."""
        return as_rows(self.X), as_rows(self.X_test)

    @cached_property
    def pca(self) -> tuple[np.ndarray, np.ndarray]:
        """Linear features of all images."""
        pca = PCA(50, random_state=0).fit(self.pixels[0])
        return pca.transform(self.pixels[0]), pca.transform(self.pixels[1])

    def svc(self, features: tuple[np.ndarray, np.ndarray], rows: np.ndarray) -> float:
        """Return the error of an SVC on given features of the labelled rows."""
        Z, Z_test = features
        return error(SVC(C=3).fit(Z[rows], self.y[rows]), Z_test, self.y_test)

    def pipeline(self, rows: np.ndarray, seed: int, head: Any = None) -> float:
        """Return the error of a VAE that sees all images, and the rows' labels, and of a head."""
        every = len(rows) == len(self.y)
        head = head or (SVC() if every else SelfTrainingClassifier(SVC(), max_iter=0))
        vae = self.vae(seed, label_weight=self.args.weight)
        model = make_pipeline(vae, head, memory=self.folder.name)
        return error(model.fit(self.X, only_labels_of(rows, self.y)), self.X_test, self.y_test)

    def labels_alone(self, rows: np.ndarray, seed: int) -> float:
        """Return the error of the same network without the other images."""
        passes = (self.args.epochs or 10) * len(self.X)
        vae = self.vae(seed, label_weight=self.args.weight, max_epochs=passes // len(rows))
        model = make_pipeline(vae.set_params(batch_size=min(256, len(rows))), SVC())
        return error(model.fit(self.X[rows], self.y[rows]), self.X_test, self.y_test)


CONTENDERS: dict[str, Callable[[Contest, np.ndarray, int], float]] = {
    "labels and images": Contest.pipeline,
    "labels and images, spread": lambda c, rows, seed: c.pipeline(rows, seed, label_spreading()),
    "images alone": lambda c, rows, seed: c.svc(c.images_alone, rows),
    "labels alone": Contest.labels_alone,
    "PCA-50": lambda c, rows, seed: c.svc(c.pca, rows),
    "raw pixels": lambda c, rows, seed: c.svc(c.pixels, rows),
}


def augmentation(text: str) -> str | Augment:
    """Return what the command line says: a name, or ranges, as in shift=0.1,flip=1."""
    if "=" not in text:
        return text
    return Augment(
        **{name: float(value) for name, value in (p.split("=") for p in text.split(","))}
    )


def errors(args: argparse.Namespace) -> Iterator[Record]:
    """Yield the error of each contender at each draw of labels."""
    for data in args.data:
        contest = Contest(data, args)
        for n in args.labels:
            for draw in args.draws if n else args.draws[:3]:
                rows = draw_labels(contest.y, n, draw) if n else np.arange(len(contest.y))
                for contender in args.contenders:
                    spent = watch(time.process_time)
                    percent = CONTENDERS[contender](contest, rows, draw)
                    record = {"data": data, "labels": n, "draw": draw, "contender": contender}
                    yield {**record, "error": percent, "cpu_seconds": spent()}


def table(records: list[Record]) -> list[Record]:
    """Return the mean and the spread over draws."""
    return pivot(records, ("data", "labels", "contender"), None, ("error", "cpu_seconds"))


if __name__ == "__main__":
    run(
        __doc__,
        "labels",
        {"main": (errors, table)},
        data=["mnist", "fashion_mnist"],
        labels=[100, 1000],
        draws=list(range(10)),
        contenders=(list(CONTENDERS), CONTENDERS),
        weight=(1.0, "label_weight"),
        epochs=int,
        width=(int, "channels of the first of three convolutions, in place of --network"),
        network=("auto", ["auto", *NETWORKS]),
        augment=("auto", "a name, or such as shift=0.1,flip=1"),
    )

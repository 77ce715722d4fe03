"""Do synthetic rows behind a frozen backbone help LogisticRegression? Few labels, rare classes.

    python benchmarks/augmentation_rows.py --part few
    python benchmarks/augmentation_rows.py --part rare

Rows are a frozen backbone's features of images (see ``_backbones.py``), standardised on all
training rows. One VAE a set and backbone, by defaults but ``z_dim``, is trained on them without
labels, frozen and shared by all draws; ``"VAE, conditional"`` trains its own in each draw.

``few``: 1, 2 and 5 labels a class, the other training rows beside without a label; ``N_NEW``
synthetic rows a class. C is chosen in ``CHOICE``, other draws, by the training rows without a label
there: for each set, backbone, number of labels and treatment. ``rare``: half of the training images
(of tiles: half of the tiles) with all their labels, classes as unbalanced as they are. Synthetic
rows fill all classes up to the largest. The other half chooses C, for each treatment and draw.
Scores are of the test part, in %.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from _backbones import BACKBONES, features
from _common import Record, pivot, run
from _shared import DATA, at_one_length, draw_labels, only_labels_of
from imblearn.over_sampling import SMOTE, RandomOverSampler
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, balanced_accuracy_score, f1_score
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler, label_binarize
from sklearn.utils.class_weight import compute_sample_weight

from sklearn_vae import VAEAugmenter, VAETransformer
from sklearn_vae.synthesis import Interpolation

SETS = ("neu_surface", "cifar10", "svhn", "sign_digits", "elpv_128", "pneumoniamnist")
RARE = ("elpv_128", "magnetic_tile_192")
N_NEW = 50
GRID = (0.003, 0.03, 0.3, 1.0)
"""Of C."""
NEAR, NOISE, BETA = 10, 0.1, 0.4
CHOICE = (100, 101, 102)


class Rows(NamedTuple):
    """What a head is fitted on."""

    X: np.ndarray
    y: np.ndarray
    weight: Any = None
    """Of each row."""
    level: bool = False
    """Whether rows, new ones too, are brought to one length first."""


class Cell:
    """A set's rows behind a backbone; all of ``y`` is known to the benchmark, not to the head."""

    def __init__(self, data: str, backbone: str, z_dim: int) -> None:
        X, self.y, X_test, self.y_test = features(data, backbone)
        scaler = StandardScaler().fit(X)
        self.X = scaler.transform(X).astype(np.float32)
        self.X_test = scaler.transform(X_test).astype(np.float32)
        self.template = VAETransformer(z_dim, device="cpu", random_state=0)
        self.vae = FrozenEstimator(clone(self.template).fit(self.X))


# -- treatments: of X and y (-1: no label), the number of new rows by class, and a seed -----------


def labelled(X: np.ndarray, y: np.ndarray) -> Rows:
    """Return the rows that have a label."""
    return Rows(X[y >= 0], y[y >= 0])


def nothing(cell: Cell, X: np.ndarray, y: np.ndarray, n_new: dict[int, int], seed: int) -> Rows:
    """Return the labelled rows."""
    return labelled(X, y)


def one_length(cell: Cell, X: np.ndarray, y: np.ndarray, n_new: Any, seed: int) -> Rows:
    """Return the labelled rows, as heavy as :func:`class_weights`, for a head that levels them."""
    return class_weights(cell, X, y, n_new, seed)._replace(level=True)


def class_weights(cell: Cell, X: np.ndarray, y: np.ndarray, n_new: Any, seed: int) -> Rows:
    """Return the labelled rows, each class as heavy as any other."""
    X, y, *_ = labelled(X, y)
    return Rows(X, y, compute_sample_weight("balanced", y))


def imblearn(
    sampler: type, cell: Cell, X: np.ndarray, y: np.ndarray, n_new: Any, seed: int
) -> Rows:
    """Return what one of imbalanced-learn's samplers makes of the labelled rows."""
    X, y, *_ = labelled(X, y)
    counts = np.bincount(y)
    totals = {c: counts[c] + n for c, n in n_new.items()}
    fewer = {"k_neighbors": min(5, counts.min() - 1)} if sampler is SMOTE else {}
    return Rows(*sampler(sampling_strategy=totals, random_state=seed, **fewer).fit_resample(X, y))


def mixup(cell: Cell, X: np.ndarray, y: np.ndarray, n_new: dict[int, int], seed: int) -> Rows:
    """Mix rows of each class with any others, labels too (Zhang et al., ICLR 2018)."""
    X, y, *_ = labelled(X, y)
    rng = np.random.default_rng(seed)
    one = np.concatenate([rng.choice(np.flatnonzero(y == c), n) for c, n in n_new.items()])
    other = rng.integers(len(X), size=len(one))
    share = rng.beta(BETA, BETA, len(one)).astype(X.dtype)
    mixed = share[:, None] * X[one] + (1 - share[:, None]) * X[other]
    return Rows(  # a soft label is the row twice, each label with its share
        np.concatenate([X, mixed, mixed]),
        np.concatenate([y, y[one], y[other]]),
        np.concatenate([np.ones(len(X)), share, 1 - share]),
    )


def calibrated(cell: Cell, X: np.ndarray, y: np.ndarray, n_new: dict[int, int], seed: int) -> Rows:
    """Draw around labelled rows by mean and covariance of the rows near them.

    Distribution calibration (Yang et al., ICLR 2021), whose statistics are of other classes; here
    of the nearest rows without a label, or of all rows where each has one.
    """
    rng = np.random.default_rng(seed)
    pool = X[y < 0] if (y < 0).any() else X
    itself = int(pool is X)  # the nearest of all
    near = NearestNeighbors(n_neighbors=NEAR + itself).fit(pool)
    new = [labelled(X, y)]
    for c, n in n_new.items():
        parents = X[y == c]
        i = np.arange(n) % len(parents)
        found = pool[near.kneighbors(parents, return_distance=False)[:, itself:]]
        mean = (found.sum(1) + parents) / (NEAR + 1)
        deviations = (found - found.mean(1, keepdims=True)) / np.sqrt(NEAR - 1)
        noise = rng.standard_normal((n, 1, NEAR)), rng.standard_normal((n, X.shape[1]))
        rows = mean[i] + (noise[0] @ deviations[i])[:, 0] + np.sqrt(NOISE) * noise[1]
        new.append(Rows(rows.astype(X.dtype), np.full(n, c)))
    return Rows(np.concatenate([r.X for r in new]), np.concatenate([r.y for r in new]))


def augmented(
    method: Any, cell: Cell, X: np.ndarray, y: np.ndarray, n_new: dict[int, int], seed: int
) -> Rows:
    """Return the labelled rows and VAEAugmenter's."""
    vae = cell.template if method == "conditional" else cell.vae
    sampler = VAEAugmenter(vae=vae, method=method, n_new=n_new, random_state=seed)
    return labelled(*sampler.fit_resample(X, y))


TREATMENTS: dict[str, Callable[..., Rows]] = {
    "nothing": nothing,
    "class weights": class_weights,
    "rows at one length": one_length,
    "random over-sampling": partial(imblearn, RandomOverSampler),
    "SMOTE": partial(imblearn, SMOTE),
    "mixup": mixup,
    "distribution calibration": calibrated,
    "VAE, posterior": partial(augmented, "posterior"),
    "VAE, interpolation": partial(augmented, "interpolation"),
    "VAE, density": partial(augmented, "density"),
    "VAE, conditional": partial(augmented, "conditional"),
    "VAE, unlabelled neighbours": partial(augmented, Interpolation(NEAR, unlabelled=True)),
}
UNBALANCED = ("class weights", "random over-sampling")
"""Treatments that change nothing but C where classes are level."""
PAIRS = ("SMOTE", "VAE, interpolation", "VAE, density")
"""Treatments that take two rows of a class."""


# -- scores ----------------------------------------------------------------------------------------


def fitted(rows: Rows, C: float) -> Pipeline:
    """Return the head."""
    level = FunctionTransformer(at_one_length if rows.level else None)
    head = make_pipeline(level, LogisticRegression(C=C, max_iter=150, tol=1e-3))
    return head.fit(rows.X, rows.y, logisticregression__sample_weight=rows.weight)


def chosen_by(rows: Rows, X: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the balanced accuracy on X for each C of ``GRID``."""
    heads = [fitted(rows, C) for C in GRID]
    return np.array([balanced_accuracy_score(y, head.predict(X)) for head in heads])


def scores(head: Pipeline, X: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """Return means over classes, in %: of recall, F1 and average precision."""
    p = head.predict_proba(X)
    guess, truth = head.classes_[p.argmax(1)], label_binarize(y, classes=head.classes_)
    if p.shape[1] == 2:
        truth = np.hstack([1 - truth, truth])
    return {
        "balanced_accuracy": 100 * balanced_accuracy_score(y, guess),
        "F1": 100 * f1_score(y, guess, average="macro"),
        "average_precision": 100 * average_precision_score(truth, p),
    }


def few(args: argparse.Namespace) -> Iterator[Record]:
    """Score a few labels a class beside many unlabelled rows."""
    warnings.simplefilter("ignore", ConvergenceWarning)
    for data, backbone in product(args.data, args.backbone):
        cell = Cell(data, backbone, args.z_dim)
        for n, name in product(args.labels, args.only):
            if name in UNBALANCED or (n == 1 and name in PAIRS):
                continue
            right = np.zeros(len(GRID))
            for draw in CHOICE:
                rows, y = drawn(cell, name, n, draw)
                right += chosen_by(rows, cell.X[y < 0], cell.y[y < 0])
            C = GRID[int(right.argmax())]
            for draw in range(args.draws):
                rows, _ = drawn(cell, name, n, draw)
                keys = {"data": data, "backbone": backbone, "labels": n, "draw": draw}
                found = scores(fitted(rows, C), cell.X_test, cell.y_test)
                yield {**keys, "treatment": name, "C": C, **found}


def drawn(cell: Cell, name: str, n: int, draw: int) -> tuple[Rows, np.ndarray]:
    """Return the rows of a treatment of n labels a class, and y without the other labels."""
    classes = range(len(np.unique(cell.y)))
    y = only_labels_of(draw_labels(cell.y, n * len(classes), draw), cell.y)
    return TREATMENTS[name](cell, cell.X, y, dict.fromkeys(classes, N_NEW), draw), y


def halves(data: str, y: np.ndarray, draw: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of two halves of each class; a tile's images stay together."""
    rng = np.random.default_rng([29, draw])
    groups = np.arange(len(y))
    if data == "magnetic_tile_192":
        groups = np.load(DATA / f"{data}.npz")["group_train"]
    rarest = np.zeros(groups.max() + 1, int)  # of each group's classes, the one with fewest rows
    for c in np.argsort(-np.bincount(y)):
        rarest[groups[y == c]] = c
    first = np.zeros(len(rarest), bool)
    for c in np.unique(y):
        mine = rng.permutation(np.unique(groups[rarest[groups] == c]))
        first[mine[: -(-len(mine) // 2)]] = True
    return np.flatnonzero(first[groups]), np.flatnonzero(~first[groups])


def rare(args: argparse.Namespace) -> Iterator[Record]:
    """Score unbalanced classes, every row labelled."""
    warnings.simplefilter("ignore", ConvergenceWarning)
    for data, backbone in product(args.rare, args.backbone):
        cell = Cell(data, backbone, args.z_dim)
        for draw in range(args.draws):
            rows, other = halves(data, cell.y, draw)
            X, y = cell.X[rows], cell.y[rows]
            counts = np.bincount(y)
            new = {c: int(counts.max() - n) for c, n in enumerate(counts)}
            for name in args.only:
                if "unlabelled" in name:
                    continue
                made = TREATMENTS[name](cell, X, y, new, draw)
                C = GRID[int(chosen_by(made, cell.X[other], cell.y[other]).argmax())]
                keys = {"data": data, "backbone": backbone, "draw": draw, "treatment": name}
                yield {**keys, "C": C, **scores(fitted(made, C), cell.X_test, cell.y_test)}


def show(records: list[Record]) -> list[Record]:
    """Return a row for each set, backbone, treatment and, where several were tried, C."""
    keys = [key for key in ("labels", "data", "backbone", "treatment") if key in records[0]]
    return pivot(records, keys, None, ("balanced_accuracy", "F1", "average_precision"))


if __name__ == "__main__":
    run(
        __doc__,
        "augmentation_rows",
        {"few": (few, show), "rare": (rare, show)},
        data=(list(SETS), SETS),
        rare=(list(RARE), RARE),
        backbone=(list(BACKBONES), BACKBONES),
        labels=([1, 2, 5], "a class"),
        z_dim=128,
        draws=10,
        only=([*TREATMENTS], [*TREATMENTS]),
    )

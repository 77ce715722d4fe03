"""All labels of a data set on frozen features: of a VAE that saw none, HOG, whitened patches.

    python benchmarks/all_labels.py --data cifar10_jpeg --width 64 --out cifar10_jpeg
    python benchmarks/all_labels.py --data fashion_mnist --out fashion_mnist

Heads: LogisticRegression on the features, SVC on their first principal components, for which libsvm
is fast enough. C and the number of components are chosen on the last 10,000 training images with
the others as training set (for SVC with 10,000 of them). Then the head is fitted to all training
images and scored once on the test set. "VAE + patches" is ``network=nn.Patches(...)``, "patches"
the responses of its filters alone, in which no VAE has a part; ``--symmetry`` is the parameter of
``VAETransformer``, for these three. With ``--mirror`` their heads learn from the mirror image of
every training image, too, and score images as they are. HOG takes scikit-image. ``--seeds`` trains
so many VAEs; pixels and HOG have none.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from _common import Record, run, watch
from _shared import UNTRAINED, as_rows, load, three_convolutions
from sklearn.base import ClassifierMixin
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import normalize
from sklearn.svm import SVC
from small_sets import gradients

from sklearn_vae import VAETransformer
from sklearn_vae.nn import Network, Patches, ResNet

N_VALID = 10_000
FEW = 10_000


def logistic_regression(C: float) -> ClassifierMixin:
    """Return the linear head."""
    return LogisticRegression(C=C, max_iter=200, tol=1e-3)


def svc(C: float, n_components: int) -> ClassifierMixin:
    """Return the kernel head, gamma="scale"."""
    return make_pipeline(PCA(n_components, random_state=0), SVC(C=C, cache_size=2000))


Head = tuple[Callable[..., ClassifierMixin], list[tuple[Any, ...]], int | None]
HEADS: dict[str, Head] = {
    "LogisticRegression": (logistic_regression, [(C,) for C in (3e-4, 1e-3, 3e-3, 1e-2)], None),
    "SVC(RBF)": (svc, [(3.0, 128), (10.0, 128), (3.0, 256), (10.0, 256), (10.0, 512)], FEW),
}
"""Constructor, its settings, and how many images they are chosen with; None for all."""


def vae(args: argparse.Namespace, seed: int, **settings: Any) -> VAETransformer:
    """Return a VAE with its defaults but for its width and the settings."""
    usual = {"network": network(args), "max_epochs": args.epochs or "auto"}
    if args.contrastive:
        usual |= {"contrastive_weight": args.contrastive, "augment": "strong"}
    settings = {**usual, "features": "hidden", "random_state": seed, "verbose": 2, **settings}
    return VAETransformer(args.z_dim, **settings)


def network(args: argparse.Namespace) -> Network:
    """Return three convolutions or, for ``--blocks``, stages of residual blocks."""
    plain = three_convolutions(args.width)
    return ResNet(plain.channels, args.blocks) if args.blocks else plain


def features_of(
    X: np.ndarray, X_test: np.ndarray, args: argparse.Namespace
) -> Iterator[tuple[str, int, np.ndarray, np.ndarray, float]]:
    """Yield (name, seed, training features, test features, seconds of training).

    Training features have shape (n, views, d); a view is the image itself or its mirror image.
    """
    if "pixels" in args.features:
        yield "pixels", 0, as_rows(X)[:, None], as_rows(X_test), 0.0
    if "HOG" in args.features:
        yield "HOG", 0, gradients(X, 4)[:, None], gradients(X_test, 4), 0.0
    for seed in range(args.seeds if "untrained hidden" in args.features else 0):
        model = vae(args, seed, **UNTRAINED).fit(X[:10_000])
        yield "untrained hidden", seed, model.transform(X)[:, None], model.transform(X_test), 0.0
    patched = Patches(network(args), n_filters=args.filters, grid=args.grid)
    first = 2 * args.grid**2 * args.filters  # the patches' columns
    parts = {"VAE hidden": slice(first, None), "VAE + patches": slice(None)}
    parts["patches"] = slice(first)
    for seed in range(args.seeds if parts.keys() & args.features else 0):
        spent = watch()
        model = vae(args, seed, network=patched, symmetry=args.symmetry).fit(X)
        seconds = spent()
        Z, Z_test = views_of(model, X, args.mirror), model.transform(X_test)
        for name in [name for name in parts if name in args.features]:
            part, part_test = (unit_power(a[..., parts[name]]) for a in (Z, Z_test))
            yield name, seed, part, part_test, 0.0 if name == "patches" else seconds


def views_of(model: VAETransformer, X: np.ndarray, mirror: bool) -> np.ndarray:
    """Return the features of images and, with ``mirror``, of their mirror images: (n, views, d)."""
    first = model.transform(X)
    Z = np.empty((len(X), 1 + mirror, first.shape[1]), first.dtype)
    Z[:, 0] = first
    del first  # the features of all images are gigabytes
    if mirror:
        Z[:, 1] = model.transform(X[:, :, ::-1])  # (n, h, w, ...): from left to right
    return Z


def unit_power(Z: np.ndarray) -> np.ndarray:
    """Return rows of mean square one, as ``transform`` does: of a part what it has by itself."""
    rows = normalize(Z.reshape(-1, Z.shape[-1]))
    rows *= Z.shape[-1] ** 0.5
    return rows.reshape(Z.shape)


def scores(head: str, Z: np.ndarray, y: np.ndarray, Z_test: np.ndarray, y_test: np.ndarray) -> dict:
    """Choose a setting on the last training images, fit to all, score the test set once.

    Every view of a training image is a row for the head; the last images count as they are.
    """
    make, grid, most = HEADS[head]
    n = len(y) - N_VALID
    few = min(n, most or n)
    rows, labels = Z.reshape(-1, Z.shape[2]), np.repeat(y, Z.shape[1])
    spent, end = watch(), few * Z.shape[1]
    valid = [
        make(*setting).fit(rows[:end], labels[:end]).score(Z[n:, 0], y[n:]) for setting in grid
    ]
    best = grid[int(np.argmax(valid))]
    accuracy = 100 * make(*best).fit(rows, labels).score(Z_test, y_test)
    tried = dict(zip(grid, valid, strict=True))
    return {"setting": best, "valid": tried, "accuracy": accuracy, "seconds_head": spent()}


FEATURES = ["pixels", "HOG", "untrained hidden", "VAE hidden", "patches", "VAE + patches"]


def accuracies(args: argparse.Namespace) -> Iterator[Record]:
    """Yield a record for each kind of features, seed and head."""
    if args.mirror and args.symmetry:
        raise SystemExit("--mirror and --symmetry exclude each other.")
    warnings.simplefilter("ignore", ConvergenceWarning)
    (X, y), (X_test, y_test) = load(args.data), load(args.data, "test")
    for name, seed, Z, Z_test, seconds in features_of(X, X_test, args):
        record = {"features": name, "columns": Z.shape[-1], "seed": seed, "seconds_vae": seconds}
        for head in args.heads:
            yield {**record, "head": head, **scores(head, Z, y, Z_test, y_test)}


def table(records: list[Record]) -> list[Record]:
    """Return what was reached, and with which setting."""
    return [{k: v for k, v in r.items() if k != "valid"} for r in records]


if __name__ == "__main__":
    run(
        __doc__,
        "all_labels",
        {"main": (accuracies, table)},
        data="cifar10_jpeg",
        features=(FEATURES, FEATURES),
        heads=(list(HEADS), HEADS),
        width=(32, "channels of the first convolution"),
        blocks=(0, "residual blocks in a stage; 0 for convolutions alone"),
        contrastive=(0.0, "contrastive_weight, with augment='strong'"),
        filters=(800, "patches"),
        grid=(2, "cells a side of the patches"),
        symmetry=(str, ["horizontal", "both"]),
        mirror=(False, "mirror images as rows for the head"),
        z_dim=128,
        epochs=int,
        seeds=1,
    )

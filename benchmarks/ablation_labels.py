"""What each part of ``label_weight`` adds: one part changed at a time.

    python benchmarks/ablation_labels.py --data mnist --labels 100 1000 0

The VAE sees ``--images`` training images, ``--labels`` of them with a label (0: all), for
``--epochs`` epochs. Scored is an SVC on the mean, fitted on the rows with a label, on 10,000 other
*training* images, so that the test set stays out of every choice.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Any
from unittest.mock import patch

import numpy as np
from _common import Record, pivot, run, watch
from _shared import draw_labels, error, only_labels_of, train_and_valid
from sklearn.svm import SVC

from sklearn_vae import VAETransformer
from sklearn_vae.augmentation import AUGMENTATIONS
from sklearn_vae.model import _label_loss

NO_ELBO = 1e3
"""Weight of the labels beside which nothing is left of the ELBO's gradient."""
ALONE, BLIND, NO_GUESSES = "no other images", "no labels", "no pseudo-labels"


def variants(colour: bool) -> dict[str, dict[str, Any]]:
    """Return the changes to ``VAETransformer(label_weight=1)``, by name."""
    usual = AUGMENTATIONS["natural" if colour else "geometric"]
    return {
        "all parts": {},
        NO_GUESSES: {},
        "no ELBO": {"label_weight": NO_ELBO},
        "no augmentation": {"augment": None},
        ALONE: {},
        BLIND: {"label_weight": 0.0},
        "paste=0.5 as well": {"augment": replace(usual, paste=0.5)},
    }


def held_out_error(
    name: str, changes: dict[str, Any], data: Any, draw: int, n: int, args: argparse.Namespace
) -> float:
    """Train a variant with n labels and return the held-out error in %."""
    X, y, X_valid, y_valid = data
    rows = draw_labels(y, n, draw) if n else np.arange(len(y))
    epochs, seen, labels = args.epochs, X, only_labels_of(rows, y)
    if name == ALONE:
        epochs, seen, labels = epochs * len(X) // len(rows), X[rows], y[rows]
    settings = {"label_weight": 1.0, "max_epochs": epochs, "random_state": draw, **changes}
    vae = VAETransformer(
        128 if X.ndim == 4 else 32, batch_size=min(256, len(seen)), device=args.device, **settings
    )
    confidence = 1.0 if name == NO_GUESSES else _label_loss.CONFIDENCE  # no guess is surer than 1
    with patch.object(_label_loss, "CONFIDENCE", confidence):
        vae.fit(seen, labels if vae.label_weight else None)
    head = SVC().fit(vae.transform(X[rows]), y[rows])
    return error(head, vae.transform(X_valid), y_valid)


def parts(args: argparse.Namespace) -> Iterator[Record]:
    """Yield a record per data set, number of labels, variant and draw."""
    for name in args.data:
        data = train_and_valid(name, args.images)
        for n, (variant, changes) in product(args.labels, variants(data[0].ndim == 4).items()):
            if n == 0 and variant in (ALONE, NO_GUESSES):
                continue  # every image has a label
            for draw in range(args.draws):
                spent = watch(time.process_time)
                found = held_out_error(variant, changes, data, draw, n, args)
                record = {"data": name, "labels": n, "variant": variant, "draw": draw}
                yield {**record, "error": found, "cpu_seconds": spent()}


def table(records: list[Record]) -> list[Record]:
    """Return mean and spread over draws, a column per number of labels."""
    return pivot(records, ("data", "variant"), "labels", "error")


if __name__ == "__main__":
    run(
        __doc__,
        "ablation_labels",
        {"main": (parts, table)},
        data=["mnist"],
        labels=[100, 1000, 0],
        draws=3,
        images=20_000,
        epochs=6,
        device="auto",
    )

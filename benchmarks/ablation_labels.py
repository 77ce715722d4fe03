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
from typing import Any
from unittest.mock import patch

import numpy as np
from _common import environment, markdown_table, write_json
from classification import draw_labels, only_labels_of
from sklearn.svm import SVC

from sklearn_vae import VAETransformer
from sklearn_vae.datasets import fetch_images
from sklearn_vae.model import _labels
from sklearn_vae.training import AUGMENTATIONS

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


def error(
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
    confidence = 1.0 if name == NO_GUESSES else _labels.CONFIDENCE  # no guess is surer than 1
    with patch.object(_labels, "CONFIDENCE", confidence):
        vae.fit(seen, labels if vae.label_weight else None)
    head = SVC().fit(vae.transform(X[rows]), y[rows])
    return 100 * float(np.mean(head.predict(vae.transform(X_valid)) != y_valid))


def run(name: str, args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield a record per number of labels, variant and draw."""
    X, y = fetch_images(name, return_X_y=True, download_if_missing=False)
    order = np.random.default_rng(5).permutation(len(X))
    train, valid = order[: args.images], order[-10_000:]
    data = X[train], y[train], X[valid], y[valid]
    for n in args.labels:
        for variant, changes in variants(X.ndim == 4).items():
            if n == 0 and variant in (ALONE, NO_GUESSES):
                continue  # every image has a label
            for draw in range(args.draws):
                start = time.process_time()
                found = error(variant, changes, data, draw, n, args)
                yield {
                    "data": name,
                    "labels": n,
                    "variant": variant,
                    "draw": draw,
                    "error": found,
                    "cpu_seconds": time.process_time() - start,
                }


def table(records: list[dict[str, Any]]) -> str:
    """Return mean and spread over draws, a column per data set and number of labels."""
    columns = {(r["data"], r["labels"]): f"{r['data']}, {r['labels'] or 'all'}" for r in records}
    rows = []
    for variant in dict.fromkeys(r["variant"] for r in records):
        row = {"variant": variant}
        for (data, n), title in columns.items():
            cell = (data, n, variant)
            found = [r["error"] for r in records if (r["data"], r["labels"], r["variant"]) == cell]
            if found:
                row[title] = f"{np.mean(found):.2f} ± {np.std(found):.2f}"
        rows.append(row)
    return markdown_table(rows, ["variant", *columns.values()])


def main() -> None:
    """Run the benchmark; the JSON is written after every figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", nargs="+", default=["mnist"])
    parser.add_argument("--labels", nargs="+", type=int, default=[100, 1000, 0])
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", default="ablation_labels")
    args = parser.parse_args()
    records: list[dict[str, Any]] = []
    for data in args.data:
        for record in run(data, args):
            records.append(record)
            print(record, flush=True)
            payload = {"environment": environment(), "args": vars(args), "results": records}
            write_json(args.out, payload)
    print(table(records))


if __name__ == "__main__":
    main()

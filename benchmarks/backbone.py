"""Frozen backbones against raw pixels, all labels; and the time that the transformer adds.

    python benchmarks/backbone.py --part labels time

``labels``: balanced accuracy on the test part of LogisticRegression, columns standardised, C chosen
on a quarter of the training rows, on raw pixels and on the features of two frozen backbones. See
``_backbones.py`` for what they need. ``time``: CPU seconds of ``BackboneTransformer.transform``
against a bare loop of torch's over chunks of as many images, in turns.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Iterator

import numpy as np
import torch
from _backbones import BACKBONES, backbone, features
from _common import Record, pivot, run, watch
from _shared import as_rows, load
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import GridSearchCV, StratifiedShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

SETS = ["neu_surface", "cifar10", "svhn", "sign_digits", "elpv_128", "pneumoniamnist"]
GRID = {"logisticregression__C": [1e-4, 1e-3, 1e-2, 1e-1, 1]}
CHUNK = 16
"""What the transformer takes at once of images that the backbone sees at 128 pixels."""


def part_labels(args: argparse.Namespace) -> Iterator[Record]:
    """Fit LogisticRegression to all labels."""
    for data in args.data:
        for name in ("raw pixels", *BACKBONES):
            if name == "raw pixels":
                (X, y), (X_test, y_test) = load(data), load(data, "test")
                X, X_test = as_rows(X), as_rows(X_test)
            else:
                X, y, X_test, y_test = features(data, name)
            head = make_pipeline(StandardScaler(), LogisticRegression(max_iter=200, tol=1e-3))
            quarter = StratifiedShuffleSplit(1, test_size=0.25, random_state=0)
            model = GridSearchCV(head, GRID, cv=quarter, scoring="balanced_accuracy")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                predicted = model.fit(X, y).predict(X_test)
            score = 100 * balanced_accuracy_score(y_test, predicted)
            yield {
                "data": data,
                "features": name,
                "columns": X.shape[1],
                "score": score,
                **model.best_params_,
            }


def bare_loop(
    net: torch.nn.Module, prepare: Callable[[torch.Tensor], torch.Tensor], X: np.ndarray
) -> np.ndarray:
    """Return a backbone's averaged last maps as a short script computes them."""
    out = []
    with torch.inference_mode():
        for start in range(0, len(X), CHUNK):
            x = torch.from_numpy(X[start : start + CHUNK]).permute(0, 3, 1, 2)
            x = prepare(x).contiguous(memory_format=torch.channels_last)
            out.append(net(x).mean((2, 3)))
    return torch.cat(out).numpy()


def part_time(args: argparse.Namespace) -> Iterator[Record]:
    """Time the transformer and a bare loop in turns."""
    X = np.random.default_rng(0).integers(0, 256, (args.images, 128, 128, 3), dtype=np.uint8)
    for name in BACKBONES:
        frozen = backbone(name).fit(X[:CHUNK])
        net, prepare = frozen.module_.module, frozen.preprocessing
        times: dict[str, list[float]] = {"transformer": [], "bare loop": []}
        for _ in range(args.rounds + 1):
            clock = watch(time.process_time)
            Z = frozen.transform(X)
            times["transformer"].append(clock())
            clock = watch(time.process_time)
            by_hand = bare_loop(net, prepare, X)
            times["bare loop"].append(clock())
        np.testing.assert_allclose(Z, by_hand, rtol=1e-3, atol=1e-4)
        ratios = [a / b for a, b in zip(*times.values(), strict=True)][1:]  # the first warms up
        yield {
            "backbone": name,
            **{f"{key}, ms an image": 1e3 * min(t) / len(X) for key, t in times.items()},
            "ratio": float(np.median(ratios)),
            "ratios": ratios,
        }


def show_labels(records: list[Record]) -> list[Record]:
    """Return a row for each set."""
    return pivot(records, ("data",), "features", "score")


if __name__ == "__main__":
    parts = {"labels": (part_labels, show_labels), "time": (part_time, lambda records: records)}
    run(__doc__, "backbone", parts, data=(SETS, SETS), images=256, rounds=7)

"""What the defaults of VAETransformer rest on: one setting changed at a time.

    python benchmarks/ablation.py --data mnist fashion_mnist

The VAE sees ``--images`` training images without labels for ``--epochs`` epochs. Scored are 5 draws
of 100 and of 1,000 labels among these, on 10,000 other *training* images, so that the test set
stays out of every choice. Told are the error in % of SVC (C=3) on the mean and LogisticRegression
(C=0.1) on the hidden features, and the ELBO of the others in nats. Rows that begin with "features:"
reuse the default's VAE with its features scaled in another way.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from _common import Record, run, watch
from _shared import draw_labels, error, rbf, train_and_valid
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from sklearn_vae import VAETransformer
from sklearn_vae.augmentation import AUGMENTATIONS
from sklearn_vae.nn import Conv

Pair = Sequence[np.ndarray]
"""What belongs to the images that are trained on, and to the others."""
DRAWS = 5
LABELS = (100, 1000)
SVM, LINEAR = SVC(kernel=rbf, C=3), LogisticRegression(C=0.1, max_iter=500)


def variants(colour: bool) -> dict[str, dict[str, Any]]:
    """Return the changes to the defaults, by name."""
    usual = AUGMENTATIONS["natural" if colour else "geometric"]
    strengths = {f"augment={s}": {"augment": s} for s in (0, 0.5, 1.5)}
    return {
        "default": {},
        **strengths,
        "augment without elastic" if not colour else "augment without colour": {
            "augment": replace(usual, **_NONE)
        },
        "augment with paste=0.5": {"augment": replace(usual, paste=0.5)},
        "no BatchNorm": {"network": Conv()},
        "network='mlp'": {"network": "mlp"},
        "gaussian": {"likelihood": "gaussian"},
        "bernoulli": {"likelihood": "bernoulli"},
        "z_dim / 2": {"z_dim": 64 if colour else 16},
        "z_dim * 2": {"z_dim": 256 if colour else 64},
        "beta=0.5": {"beta": 0.5},
        "beta=2": {"beta": 2.0},
        "batch 128, lr 1e-3": {"batch_size": 128, "lr": 1e-3},
        "lr 1e-3": {"lr": 1e-3},
        "lr 4e-3": {"lr": 4e-3},
        "constant lr": {"lr_schedule": "constant"},
        "float32": {"precision": "float32"},
        "prior='mixture'": {"prior": "mixture"},
        "prior='vamp'": {"prior": "vamp"},
        "posterior='iaf'": {"posterior": "iaf"},
        "importance_samples=5": {"importance_samples": 5},
    }


_NONE = {"elastic": 0.0, "brightness": 0.0, "contrast": 0.0, "saturation": 0.0}


def errors(head: Any, name: str, Z: Pair, y: Pair) -> Record:
    """Return the head's mean error over draws, by number of labels."""
    found = {}
    for n in LABELS:
        draws = [draw_labels(y[0], n, draw) for draw in range(DRAWS)]
        percent = [error(clone(head).fit(Z[0][i], y[0][i]), Z[1], y[1]) for i in draws]
        found[f"{name}, {n:,}"] = float(np.mean(percent))
        found[f"{name}, {n:,} sd"] = float(np.std(percent))
    return found


def both(mean: Pair, hidden: Pair, y: Pair) -> Record:
    """Return the errors on both kinds of features."""
    return errors(SVM, "mean, SVC", mean, y) | errors(LINEAR, "hidden, LR", hidden, y)


def changed(args: argparse.Namespace) -> Iterator[Record]:
    """Yield a record per data set and variant."""
    for data in args.data:
        X, y, X_valid, y_valid = train_and_valid(data, args.images)
        images, labels = (X, X_valid), (y, y_valid)
        for name, changes in variants(X.ndim == 4).items():
            if args.only and name not in args.only:
                continue
            settings = {"z_dim": 128 if X.ndim == 4 else 32, "max_epochs": args.epochs}
            spent = watch()
            vae = VAETransformer(**{**settings, "random_state": 0, **changes}).fit(X)
            record = {"data": data, "variant": name, "seconds": spent()}
            record["ELBO"] = vae.score(X_valid[:2000])
            mean = [*map(vae.transform, images)]
            vae.set_params(features="hidden")
            yield {**record, **both(mean, [*map(vae.transform, images)], labels)}
            if name == "default":
                for variant, found in scalings(vae, mean, images, labels):
                    yield {"data": data, "variant": f"features: {variant}", **found}


def scalings(
    vae: VAETransformer, mean: Pair, images: Pair, y: Pair
) -> Iterator[tuple[str, Record]]:
    """Yield the errors on standardised features and on hidden ones as they are."""
    raw = [raw_hidden(vae, X) for X in images]
    with torch.inference_mode():
        maps = vae.module_.encoder(vae.module_.scaling(torch.from_numpy(images[0][:1])))
    last = slice(-9 * maps.shape[1], None)  # pooled to 3 x 3
    stage = [usual_scale(part[:, last], raw[0][:, last]) for part in raw]
    yield "hidden, last stage alone", errors(LINEAR, "hidden, LR", stage, y)
    scaled = [[*map(StandardScaler().fit(pair[0]).transform, pair)] for pair in (mean, raw)]
    yield "standardised", both(*scaled, y)
    yield "hidden as they are", errors(LINEAR, "hidden, LR", raw, y)


def usual_scale(part: np.ndarray, of: np.ndarray) -> np.ndarray:
    """Return one stage's activations, scaled as ``features="hidden"`` scales each."""
    std = of.std(0)
    std = np.maximum(std, 0.01 * std.mean())
    centred = (part - of.mean(0)) / np.sqrt(std)
    return centred * len(std) ** 0.5 / np.linalg.norm(centred, axis=1, keepdims=True)


def raw_hidden(vae: VAETransformer, X: np.ndarray) -> np.ndarray:
    """Return the pooled activations as they are."""
    parts = torch.from_numpy(X).split(1000)
    with torch.inference_mode():
        return torch.cat([vae.module_.raw_hidden(vae.module_.scaling(p)) for p in parts]).numpy()


def table(records: list[Record]) -> list[Record]:
    """Return the means over draws."""
    return [{k: v for k, v in r.items() if not k.endswith(" sd")} for r in records]


if __name__ == "__main__":
    run(
        __doc__,
        "ablation",
        {"main": (changed, table)},
        data=["mnist", "fashion_mnist"],
        images=20_000,
        epochs=8,
        only=([str], "only these variants"),
    )

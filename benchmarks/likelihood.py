"""Test negative log-likelihood on statically binarised MNIST, the 784-400-40 net.

    python benchmarks/likelihood.py --epochs 200 --seeds 3

The pixels are those of Larochelle and Murray (2011) where ``binarized_mnist.npz`` (bool arrays
train, valid, test) is in the data home. Else each is drawn once from a Bernoulli with its grey
level (a fixed seed). 50,000 images to train, 10,000 to choose on, 10,000 to test. The figure is
minus the importance-weighted bound with 200 samples per test image, in nats. Published: 89.9, and
89.78 in pythae's reproduction.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import torch
from _common import Record, pivot, run, watch
from _shared import DATA, load

from sklearn_vae import VAETransformer
from sklearn_vae.nn import MLP, Conv


def flip_bits(x: torch.Tensor) -> torch.Tensor:
    """Flip 3 % of the pixels that the encoder sees in training."""
    return (x - (torch.rand_like(x) < 0.03).float()).abs()


NET = "784-400-40"
VARIANTS: dict[str, dict[str, Any]] = {
    NET: {},
    f"{NET}, KL warm-up": {"kl_warmup": 10},
    f"{NET}, weight decay": {"optimizer": partial(torch.optim.AdamW, weight_decay=0.1)},
    f"{NET}, noisy encoder": {"augment": flip_bits},
    f"{NET}, importance-weighted (20)": {"importance_samples": 20},
    f"{NET}, importance-weighted (20), noisy encoder": {
        **{"importance_samples": 20, "augment": flip_bits}
    },
    f"{NET}, mixture prior": {"prior": "mixture"},
    f"{NET}, VampPrior": {"prior": "vamp"},
    f"{NET}, IAF": {"posterior": "iaf"},
    f"{NET}, VampPrior, importance-weighted (5)": {"prior": "vamp", "importance_samples": 5},
    "784-512-256-40": {"network": MLP((512, 256))},
    "Conv(batch_norm=True)": {"network": Conv(batch_norm=True), "image_shape": (28, 28)},
}


def binarised() -> tuple[str, np.ndarray, np.ndarray, np.ndarray]:
    """Return whose pixels they are, and the three parts as bool arrays (n, 784)."""
    if (file := DATA / "binarized_mnist.npz").exists():
        parts = np.load(file)
        return "Larochelle and Murray", parts["train"], parts["valid"], parts["test"]
    rng = np.random.default_rng(0)
    drawn = []
    for subset in ("train", "test"):
        X = load("mnist", subset)[0].reshape(-1, 784)
        drawn.append(rng.random(X.shape, dtype=np.float32) < X / np.float32(255))
    return "drawn with seed 0", drawn[0][:50_000], drawn[0][50_000:], drawn[1]


def bounds(args: argparse.Namespace) -> Iterator[Record]:
    """Train and score each variant with each seed."""
    pixels, X, X_valid, X_test = binarised()
    for name, seed in product(args.variants, range(args.seeds)):
        settings = {"network": MLP((400,)), "augment": None, **VARIANTS[name]}
        settings |= {"batch_size": args.batch_size, "lr": args.lr, "compile": args.compile}
        settings |= {"max_epochs": args.epochs, "random_state": seed}
        spent = watch()
        vae = VAETransformer(40, likelihood="bernoulli", **settings).fit(X)
        record = {"variant": name, "seed": seed, "epochs": args.epochs, "fit seconds": spent()}
        for part, rows in (("train", X[:5000]), ("valid", X_valid), ("test", X_test)):
            bound = vae.score_samples(rows, n_draws=200, importance_weighted=True)
            record[f"{part} NLL"] = -float(np.mean(bound))
        yield {**record, "test -ELBO": -vae.score(X_test), "pixels": pixels}


def table(records: list[Record]) -> list[Record]:
    """Return mean and spread over seeds."""
    scores = ("fit seconds", "train NLL", "valid NLL", "test NLL", "test -ELBO")
    return pivot(records, ("variant",), None, scores)


if __name__ == "__main__":
    run(
        __doc__,
        "likelihood",
        {"main": (bounds, table)},
        epochs=150,
        batch_size=128,
        lr=3e-3,
        seeds=3,
        variants=(list(VARIANTS), VARIANTS),
        compile=(False, "train through torch.compile"),
    )

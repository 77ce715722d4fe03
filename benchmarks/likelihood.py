"""Test negative log-likelihood on statically binarised MNIST, the 784-400-40 net.

    python benchmarks/likelihood.py --epochs 200 --seeds 3

Each pixel of MNIST is drawn once from a Bernoulli with its grey level (a fixed seed), 50,000
images to train, 10,000 to choose on, 10,000 to test. The figure is minus the importance-weighted
bound with 200 samples per test image, in nats. Reference: 89.9 published, 89.78 in pythae's
reproduction (500 epochs). The variants train as long as the plain net, in seconds, not epochs.
"""

from __future__ import annotations

import argparse
import time
from functools import partial

import numpy as np
import torch
from _common import environment, markdown_table, write_json

from sklearn_vae import VAETransformer
from sklearn_vae.datasets import fetch_images
from sklearn_vae.nn import MLP


def flip_bits(x: torch.Tensor) -> torch.Tensor:
    """Flip 3 % of the pixels that the encoder sees in training."""
    return (x - (torch.rand_like(x) < 0.03).float()).abs()


VARIANTS = {
    "784-400-40": {},
    "784-400-40, KL warm-up": {"kl_warmup": 10},
    "784-400-40, importance-weighted (5)": {"importance_samples": 5},
    "784-400-40, weight decay": {"optimizer": partial(torch.optim.AdamW, weight_decay=0.1)},
    "784-400-40, noisy encoder": {"augment": flip_bits},
    "784-512-256-40": {"network": MLP((512, 256))},
}


def binarised() -> tuple[np.ndarray, np.ndarray]:
    """Return the training and test images as bool arrays (n, 784)."""
    rng = np.random.default_rng(0)
    parts = []
    for subset in ("train", "test"):
        X, _ = fetch_images("mnist", subset=subset, return_X_y=True, download_if_missing=False)
        X = X.reshape(len(X), -1)
        parts.append(rng.random(X.shape, dtype=np.float32) < X / np.float32(255))
    return parts[0], parts[1]


def main() -> None:
    """Train, score and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS))
    parser.add_argument("--out", default="likelihood")
    args = parser.parse_args()
    X, X_test = binarised()
    X, X_valid = X[:50_000], X[50_000:]
    results, budget = [], None
    for name in args.variants:
        for seed in range(args.seeds if name == args.variants[0] else 1):
            epochs = args.epochs
            settings = {
                "network": MLP((400,)),
                "batch_size": args.batch_size,
                "lr": args.lr,
                "random_state": seed,
                **VARIANTS[name],
            }
            if budget is not None:  # as many epochs as fit into the plain net's time
                start = time.perf_counter()
                VAETransformer(40, max_epochs=2, **settings).fit(X)
                epochs = round(args.epochs * budget / (time.perf_counter() - start))
            start = time.perf_counter()
            vae = VAETransformer(40, max_epochs=epochs, **settings).fit(X)
            seconds = time.perf_counter() - start
            weighted = {"n_samples": 200, "importance_weighted": True}
            results.append(
                {
                    "variant": name,
                    "seed": seed,
                    "epochs": epochs,
                    "fit seconds": seconds,
                    "valid NLL": -float(np.mean(vae.score_samples(X_valid, **weighted))),
                    "train NLL": -float(np.mean(vae.score_samples(X[:5000], **weighted))),
                    "test NLL": -float(np.mean(vae.score_samples(X_test, **weighted))),
                    "test -ELBO": -vae.score(X_test),
                }
            )
            print(results[-1], flush=True)
            write_json(
                args.out, {"environment": environment(), "args": vars(args), "results": results}
            )
        if budget is None:
            start = time.perf_counter()
            VAETransformer(40, max_epochs=2, **settings).fit(X)
            budget = time.perf_counter() - start
    print(markdown_table(results, list(results[0])))


if __name__ == "__main__":
    main()

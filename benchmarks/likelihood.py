"""Test negative log-likelihood on statically binarised MNIST, the 784-400-40 net.

    python benchmarks/likelihood.py --epochs 200 --seeds 3

The pixels are those of Larochelle and Murray (2011) where ``binarized_mnist.npz`` (bool arrays
train, valid, test) is in the data home; else each is drawn once from a Bernoulli with its grey
level (a fixed seed). 50,000 images to train, 10,000 to choose on, 10,000 to test. The figure is
minus the importance-weighted bound with 200 samples per test image, in nats. Published: 89.9, and
89.78 in pythae's reproduction. "published recipe" is that reproduction's script as a plain loop:
batch 100, Adam, rate 1e-4 falling in steps, 500 epochs, the weights of the best validation ELBO.
"""

from __future__ import annotations

import argparse
import copy
import os
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _common import environment, markdown_table, write_json
from _peers import PlainVAE, negative_elbo

from sklearn_vae import VAETransformer
from sklearn_vae.datasets import fetch_images
from sklearn_vae.nn import MLP, Conv


def flip_bits(x: torch.Tensor) -> torch.Tensor:
    """Flip 3 % of the pixels that the encoder sees in training."""
    return (x - (torch.rand_like(x) < 0.03).float()).abs()


VARIANTS: dict[str, dict[str, Any]] = {
    "784-400-40": {"network": MLP((400,))},
    "784-400-40, KL warm-up": {"network": MLP((400,)), "kl_warmup": 10},
    "784-400-40, weight decay": {
        "network": MLP((400,)),
        "optimizer": partial(torch.optim.AdamW, weight_decay=0.1),
    },
    "784-400-40, noisy encoder": {"network": MLP((400,)), "augment": flip_bits},
    "784-400-40, importance-weighted (20)": {"network": MLP((400,)), "importance_samples": 20},
    "784-400-40, importance-weighted (20), noisy encoder": {
        "network": MLP((400,)),
        "importance_samples": 20,
        "augment": flip_bits,
    },
    "784-400-40, mixture prior": {"network": MLP((400,)), "prior": "mixture"},
    "784-400-40, VampPrior": {"network": MLP((400,)), "prior": "vamp"},
    "784-400-40, IAF": {"network": MLP((400,)), "posterior": "iaf"},
    "784-400-40, VampPrior, importance-weighted (5)": {
        "network": MLP((400,)),
        "prior": "vamp",
        "importance_samples": 5,
    },
    "784-512-256-40": {"network": MLP((512, 256))},
    "Conv(batch_norm=True)": {"network": Conv(batch_norm=True), "image_shape": (28, 28)},
}
PUBLISHED = "784-400-40, published recipe"


def binarised() -> tuple[str, np.ndarray, np.ndarray, np.ndarray]:
    """Return whose pixels they are, and the three parts as bool arrays (n, 784)."""
    file = Path(os.environ.get("SKLEARN_VAE_DATA", "~/sklearn_vae_data")).expanduser()
    file = file / "binarized_mnist.npz"
    if file.exists():
        parts = np.load(file)
        return "Larochelle and Murray", parts["train"], parts["valid"], parts["test"]
    rng = np.random.default_rng(0)
    drawn = []
    for subset in ("train", "test"):
        X, _ = fetch_images("mnist", subset=subset, return_X_y=True, download_if_missing=False)
        X = X.reshape(len(X), -1)
        drawn.append(rng.random(X.shape, dtype=np.float32) < X / np.float32(255))
    return "drawn with seed 0", drawn[0][:50_000], drawn[0][50_000:], drawn[1]


def published_recipe(X: np.ndarray, X_valid: np.ndarray, epochs: int, seed: int) -> VAETransformer:
    """Train by a plain loop; return the weights inside an estimator, which scores them."""
    torch.manual_seed(seed)
    x, valid = torch.from_numpy(X).float(), torch.from_numpy(X_valid).float()
    vae = PlainVAE(MLP((400,)), 40, (784,))
    optimizer = torch.optim.Adam(vae.parameters(), lr=1e-4, fused=True)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [200, 350], gamma=10**-0.2)
    best, weights = float("inf"), vae.state_dict()
    for _ in range(epochs):
        for rows in torch.randperm(len(x)).split(100):
            loss = negative_elbo(vae(x[rows]), x[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        schedule.step()
        with torch.no_grad():
            reached = float(negative_elbo(vae(valid), valid))
        if reached < best:
            best, weights = reached, copy.deepcopy(vae.state_dict())
    vae.load_state_dict(weights)
    fitted = VAETransformer(40, network=MLP((400,)), max_epochs=1, device="cpu").fit(X[:100])
    model = fitted.module_
    model.encoder.load_state_dict(vae.encoder.state_dict())
    model.decoder.load_state_dict(vae.decoder.state_dict())
    with torch.no_grad():
        model.posterior_head.weight.copy_(torch.cat([vae.loc.weight, vae.log_var.weight]))
        model.posterior_head.bias.copy_(torch.cat([vae.loc.bias, vae.log_var.bias]))
    return fitted


def main() -> None:
    """Train, score and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=150)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--variants", nargs="+", default=[PUBLISHED, *VARIANTS])
    parser.add_argument("--out", default="likelihood")
    parser.add_argument("--compile", action="store_true", help="train through torch.compile")
    args = parser.parse_args()
    pixels, X, X_valid, X_test = binarised()
    weighted = {"n_samples": 200, "importance_weighted": True}
    results = []
    for name in args.variants:
        for seed in range(args.seeds):
            start = time.perf_counter()
            if name == PUBLISHED:
                epochs = 500
                vae = published_recipe(X, X_valid, epochs, seed)
            else:
                epochs = args.epochs
                vae = VAETransformer(
                    40,
                    max_epochs=epochs,
                    batch_size=args.batch_size,
                    lr=args.lr,
                    likelihood="bernoulli",
                    compile=args.compile,
                    **{"augment": None, **VARIANTS[name]},
                    random_state=seed,
                ).fit(X)
            seconds = time.perf_counter() - start
            results.append(
                {
                    "variant": name,
                    "seed": seed,
                    "epochs": epochs,
                    "fit seconds": seconds,
                    "train NLL": -float(np.mean(vae.score_samples(X[:5000], **weighted))),
                    "valid NLL": -float(np.mean(vae.score_samples(X_valid, **weighted))),
                    "test NLL": -float(np.mean(vae.score_samples(X_test, **weighted))),
                    "test -ELBO": -vae.score(X_test),
                }
            )
            print(results[-1], flush=True)
            payload = {"environment": environment(), "args": vars(args), "pixels": pixels}
            write_json(args.out, {**payload, "results": results})
    print(markdown_table(results, list(results[0])))


if __name__ == "__main__":
    main()

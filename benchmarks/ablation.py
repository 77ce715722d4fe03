"""What the defaults of VAETransformer rest on: one setting changed at a time.

    python benchmarks/ablation.py --data mnist fashion_mnist

The VAE sees ``--images`` training images without labels for ``--epochs`` epochs. Scored are 5 draws
of 100 and of 1,000 labels among these, on 10,000 other *training* images, so that the test set
stays out of every choice: error in % of SVC (C=3) on the mean and LogisticRegression (C=0.1) on the
hidden features, and the ELBO of the others in nats. Rows that begin with "features:" reuse the
default's VAE with its features scaled in another way.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from _common import environment, markdown_table, write_json
from classification import draw_labels, rbf
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from sklearn_vae import VAETransformer
from sklearn_vae.datasets import fetch_images
from sklearn_vae.nn import Conv
from sklearn_vae.training import AUGMENTATIONS

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


def errors(head, Z, y, Z_valid, y_valid, name: str) -> dict[str, float]:
    """Return the head's mean error over draws, by number of labels."""
    found = {}
    for n in LABELS:
        draws = []
        for draw in range(DRAWS):
            rows = draw_labels(y, n, draw)
            predicted = clone(head).fit(Z[rows], y[rows]).predict(Z_valid)
            draws.append(100 * np.mean(predicted != y_valid))
        found[f"{name}, {n:,}"] = float(np.mean(draws))
        found[f"{name}, {n:,} sd"] = float(np.std(draws))
    return found


def both(mean, hidden, y, mean_valid, hidden_valid, y_valid) -> dict[str, float]:
    """Return the errors on both kinds of features."""
    return {
        **errors(SVM, mean, y, mean_valid, y_valid, "mean, SVC"),
        **errors(LINEAR, hidden, y, hidden_valid, y_valid, "hidden, LR"),
    }


def run(data: str, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Return one record per variant."""
    X, y = fetch_images(data, return_X_y=True, download_if_missing=False)
    order = np.random.default_rng(5).permutation(len(X))
    train, valid = order[: args.images], order[-10_000:]
    X, y, X_valid, y_valid = X[train], y[train], X[valid], y[valid]
    colour, records = X.ndim == 4, []
    for name, changes in variants(colour).items():
        if args.only and name not in args.only:
            continue
        settings = {"z_dim": 128 if colour else 32, "max_epochs": args.epochs, "random_state": 0}
        start = time.perf_counter()
        vae = VAETransformer(**{**settings, **changes}).fit(X)
        record: dict[str, Any] = {"data": data, "variant": name}
        record |= {"seconds": time.perf_counter() - start, "ELBO": vae.score(X_valid[:2000])}
        Z, Z_valid = vae.transform(X), vae.transform(X_valid)
        vae.set_params(features="hidden")
        H, H_valid = vae.transform(X), vae.transform(X_valid)
        records.append({**record, **both(Z, H, y, Z_valid, H_valid, y_valid)})
        if name == "default":
            records += scalings(vae, data, Z, Z_valid, X, X_valid, y, y_valid)
        print(markdown_table(records[-1:], list(records[-1])), flush=True)
    return records


def scalings(vae, data, Z, Z_valid, X, X_valid, y, y_valid) -> list[dict[str, Any]]:
    """Return the errors on standardised features and on hidden ones as they are."""
    raw, raw_valid = raw_hidden(vae, X), raw_hidden(vae, X_valid)
    scaled_mean = StandardScaler().fit(Z)
    scaled_hidden = StandardScaler().fit(raw)
    standardised = both(
        scaled_mean.transform(Z),
        scaled_hidden.transform(raw),
        y,
        scaled_mean.transform(Z_valid),
        scaled_hidden.transform(raw_valid),
        y_valid,
    )
    as_they_are = errors(LINEAR, raw, y, raw_valid, y_valid, "hidden, LR")
    last = slice(-vae.module_._n_pooled[-1], None)
    L, L_valid = (usual_scale(part[:, last], raw[:, last]) for part in (raw, raw_valid))
    last_stage = errors(LINEAR, L, y, L_valid, y_valid, "hidden, LR")
    return [
        {"data": data, "variant": "features: hidden, last stage alone", **last_stage},
        {"data": data, "variant": "features: standardised", **standardised},
        {"data": data, "variant": "features: hidden as they are", **as_they_are},
    ]


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


def main() -> None:
    """Run the benchmark and write its JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", nargs="+", default=["mnist", "fashion_mnist"])
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--only", nargs="+", help="only these variants")
    parser.add_argument("--out", default="ablation")
    args = parser.parse_args()
    records: list[dict[str, Any]] = []
    for data in args.data:
        records += run(data, args)
        payload = {"environment": environment(), "args": vars(args), "results": records}
        write_json(args.out, payload)
    columns = [c for c in records[0] if not c.endswith(" sd")]
    print(markdown_table(records, columns))


if __name__ == "__main__":
    main()

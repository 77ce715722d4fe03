"""Pictures of 64 to 512 pixels: time, memory and error of a fit by defaults.

    python benchmarks/sizes.py --part time --threads 2
    python benchmarks/sizes.py --part error --contenders VAE before
    python benchmarks/sizes.py --part digits --seeds 5

``time``: 2,000 pictures of the CIFAR-10 subset, enlarged to 64, 128 and 224 pixels, and 300 of 512.
Told are the minutes of one fit by defaults and its highest memory beyond the data, each in a fresh
process. Beside it is what the defaults before would take, by the time of a few steps: three stages,
256 images a step, 600,000 images in 10 to 200 epochs. ``error``: squared error of ``reconstruct``
on the test part at native sizes, in [0, 1], beside PCA of the same rows and as many dimensions. And
what the features are worth to an SVC, cross-validated on the training images, a tile in one fold
alone. "natural" is ``augment="natural"`` by name, whose target is the clean image.

``digits``: 8 x 8 images, a few hundred or the whole training part, with as many in a step as "auto"
stands for and with 256. Images of up to 32 pixels had no other defaults before but these 256. Each
seed draws other images.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from _common import Record, pivot, run, spread, watch
from _shared import as_rows, folds_of, load, rbf
from scaling import MemoryWatch
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.svm import SVC

from sklearn_vae import VAETransformer
from sklearn_vae.nn import Conv

CASES = ((64, 2000), (128, 2000), (224, 2000), (512, 300))
SETS = ("neu_surface", "sign_digits", "elpv_128", "magnetic_tile_192")
STEPS = 3
"""Steps of the defaults before that are timed, of which the first does not count."""


def before(X: np.ndarray) -> dict[str, Any]:
    """Return the settings that were the defaults for images above 32 pixels."""
    grey = X.ndim == 3
    return {
        "network": Conv((32, 64, 128), batch_norm=True),
        "likelihood": "bernoulli" if grey else "gaussian",
        "augment": "geometric" if grey else "natural",
        "batch_size": 256,
        "max_epochs": int(np.clip(round(600_000 / len(X)), 10, 200)),
    }


def enlarged(n: int, side: int) -> np.ndarray:
    """Return n pictures of the CIFAR-10 subset at so many pixels a side."""
    X = torch.from_numpy(load("cifar10")[0][:n]).permute(0, 3, 1, 2)
    out = np.empty((n, side, side, 3), np.uint8)
    for i in range(0, n, 100):
        part = F.interpolate(X[i : i + 100].float(), side, mode="bilinear", align_corners=False)
        out[i : i + 100] = part.round().byte().permute(0, 2, 3, 1).numpy()
    return out


def fit_by_defaults(side: int, n: int, threads: int) -> Record:
    """Return minutes and memory of a fit. Runs in its own process."""
    torch.set_num_threads(threads)
    X = enlarged(n, side)
    small = X[:32].copy()
    VAETransformer(max_epochs=1, batch_size=16, random_state=0).fit(small)  # fills torch's caches
    memory, spent = MemoryWatch(), watch()
    vae = VAETransformer(random_state=0).fit(X)
    minutes = spent() / 60
    return {
        "minutes": minutes,
        "memory, GiB": memory.stop() / 2**30,
        "data, GiB": X.nbytes / 2**30,
        "epochs": vae.n_iter_,
        "batch": vae.net_.batch_size,
    }


def fit_as_before(side: int, n: int, threads: int) -> Record:
    """Return the minutes that the defaults before would take. Runs in its own process."""
    torch.set_num_threads(threads)
    batch = min(256, n)
    X = enlarged(n, side)
    settings, X = before(X), X[:batch].copy()
    vae = VAETransformer(**{**settings, "max_epochs": STEPS}, random_state=0)
    memory = MemoryWatch()
    vae.fit(X)
    per_image = sum(row["dur"] for row in vae.history_[1:]) / (STEPS - 1) / batch
    return {
        "minutes before": per_image * n * settings["max_epochs"] / 60,
        "memory before, GiB": memory.stop() / 2**30,
    }


def part_time(args: argparse.Namespace) -> Iterator[Record]:
    """Yield a record per size."""
    for side, n in CASES:
        record: Record = {"pixels": side, "images": n}
        for work in (fit_by_defaults, fit_as_before):
            with get_context("spawn").Pool(1) as pool:
                record |= pool.apply(work, (side, n, args.threads))
        yield record


Judge = Callable[[str, np.ndarray], Record]
"""Says what features, by name, are worth."""


def judge_of(data: str, y: np.ndarray) -> Judge:
    """Return what gives the balanced accuracy in % of an SVC, cross-validated on training images.

    The SVC weighs the classes equally: else most tiles, which have no defect, decide all.
    """
    svc, folds = SVC(kernel=rbf, C=3, class_weight="balanced"), folds_of(data, y, 4)

    def judge(name: str, features: np.ndarray) -> Record:
        scores = cross_val_score(svc, features, y, cv=folds, scoring="balanced_accuracy")
        return {f"{name}, SVC": 100 * float(np.mean(scores))}

    return judge


def of_pca(z_dim: int, X: np.ndarray, X_test: np.ndarray, judge: Judge) -> Record:
    """Return the error of PCA, and what its scores are worth."""
    rows, test = as_rows(X), as_rows(X_test)
    pca = PCA(z_dim, random_state=0).fit(rows)
    found = pca.inverse_transform(pca.transform(test))
    error = float(np.square(found - test).mean())
    return {"error": error, **judge("mean", pca.transform(rows))}


def of_vae(vae: VAETransformer, X: np.ndarray, X_test: np.ndarray, judge: Judge) -> Record:
    """Return the error of a VAE, what its features are worth, and the seconds of its fit."""
    spent = watch()
    record: Record = {"seconds": vae.fit(X) and spent()}
    record["error"] = float(np.square(as_rows(vae.reconstruct(X_test)) - as_rows(X_test)).mean())
    for name in ("mean", "hidden"):
        record |= judge(name, vae.set_params(features=name).transform(X))
    return record


def part_error(args: argparse.Namespace) -> Iterator[Record]:
    """Yield a record per set, number of dimensions and contender."""
    for data in args.data:
        (X, y), (X_test, _) = load(data), load(data, "test")
        judge = judge_of(data, y)
        for z_dim in args.z_dim:
            common = {"data": data, "pixels": X.shape[1], "z_dim": z_dim}
            pca = of_pca(z_dim, X, X_test, judge)
            yield {**common, "contender": "PCA", **pca}
            for name in args.contenders:
                settings = {"VAE": {}, "natural": {"augment": "natural"}, "before": before(X)}[name]
                for seed in range(args.seeds):
                    vae = VAETransformer(z_dim, **settings, random_state=seed)
                    record = {**common, "contender": name, "seed": seed}
                    found = of_vae(vae, X, X_test, judge)
                    yield {**record, **found, "ratio": found["error"] / pca["error"]}


def show_error(records: list[Record]) -> list[Record]:
    """Return a row for each set and number of dimensions."""
    thousand = [{**r, "error": 1000 * r["error"]} for r in records]
    return pivot(thousand, ("data", "z_dim"), "contender", "error", spread)


def part_digits(args: argparse.Namespace) -> Iterator[Record]:
    """Yield the accuracy in % by number of images, seed, batch size, features and head."""
    (X, y), (X_test, y_test) = load("digits"), load("digits", "test")
    heads = {"SVC": SVC(), "LogisticRegression": LogisticRegression(max_iter=1000)}
    for n in args.images:
        for seed in range(args.seeds):
            rows = np.random.default_rng(seed).permutation(len(X))[:n]
            for batch_size in ("auto", 256):
                vae = VAETransformer(batch_size=batch_size, random_state=seed).fit(X[rows])
                common = {"images": n, "seed": seed, "batch_size": str(batch_size)}
                for features in ("mean", "hidden"):
                    vae.set_params(features=features)
                    Z, Z_test = vae.transform(X[rows]), vae.transform(X_test)
                    for name, head in heads.items():
                        accuracy = 100 * head.fit(Z, y[rows]).score(Z_test, y_test)
                        yield {**common, "features": features, "head": name, "accuracy": accuracy}


def show_digits(records: list[Record]) -> list[Record]:
    """Return a row for each number of images, features and head."""
    return pivot(records, ("images", "features", "head"), "batch_size", "accuracy")


PARTS = {
    "time": (part_time, lambda records: records),
    "error": (part_error, show_error),
    "digits": (part_digits, show_digits),
}

if __name__ == "__main__":
    run(
        __doc__,
        "sizes",
        PARTS,
        threads=(2, "threads of torch"),
        data=(list(SETS), "sets of the errors"),
        z_dim=([32, 64], "dimensions"),
        seeds=(3, "seeds of each VAE"),
        images=([200, 500, 1347], "in part digits; the last is the whole training part"),
        contenders=(["VAE"], ("VAE", "natural", "before")),
    )

"""Training and encoding beside a hand-written loop, skorch's defaults, pythae, Lightning and PyOD.

    python benchmarks/speed.py --part train elbo modes encode start

Everything is a ratio taken in one run: the contenders take turns, and the median over rounds
counts. ``train``: images per second with the same net, the same batch size and float32, beside this
package's own choice of precision. And what share that is of the machine's roofline: its large
matrix products. ``elbo``: seconds until the held-out ELBO that the loop ends with. ``modes``: the
held-out ELBO in float32 and in each faster mode. ``encode``: transform, inverse_transform and
sample beside a raw loop. ``start``: import, clone, a small fit. Peers that are not installed are
left out, by name. On a GPU: ``--device cuda --compile`` and another ``--out``.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import timeit
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import torch
from _common import Record, run, seconds, watch
from _peers import PEERS, PlainVAE, Recipe, as_tensor, negative_elbo, train_loop
from _roofline import bus_rate, operations_per_image, product_rate
from _shared import load
from sklearn.base import clone
from torch import nn

from sklearn_vae import VAETransformer
from sklearn_vae.nn import MLP, Conv, Network

OURS = "sklearn_vae"
CHUNKS = (128, 256, 512, 1024, 2048, 4096)


def images(n: int, *shape: int) -> np.ndarray:
    """Return n random uint8 images or rows: the time does not depend on the content."""
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (n, *shape), dtype=np.uint8)


def vae_for(recipe: Recipe, **settings: Any) -> VAETransformer:
    """Return this package's estimator with a recipe's settings and nothing of its own."""
    return VAETransformer(
        recipe.z_dim,
        network=recipe.network,
        likelihood="bernoulli",
        augment=None,
        max_epochs=recipe.epochs,
        batch_size=recipe.batch_size,
        lr=recipe.lr,
        device=recipe.device,
        **{"lr_schedule": "constant", "precision": "float32", "random_state": 0, **settings},
    )


def fit(recipe: Recipe, X: np.ndarray, **settings: Any) -> VAETransformer:
    """Train this package's estimator."""
    return vae_for(recipe, **settings).fit(X)


def to_the_end(work: Callable[[], Any], device: str) -> None:
    """Do the work, and what it left on the GPU."""
    work()
    if device == "cuda":
        torch.cuda.synchronize()


def take_turns(
    contenders: dict[str, Callable[[], Any]], rounds: int, device: str
) -> dict[str, list[float]]:
    """Time each contender once a round, in random order: the one before leaves its memory behind.

    The first round does not count.
    """
    rng = np.random.default_rng(0)
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds + 1):
        for name in rng.permutation(list(contenders)).tolist():
            elapsed = seconds(partial(to_the_end, contenders[name], device))
            if number:
                times[name].append(elapsed)
    return times


def records(times: dict[str, list[float]], n: int, against: str, **columns: Any) -> list[Record]:
    """Return a row per contender: medians, and how many times as fast as ``against``."""
    return [
        {
            **columns,
            "contender": name,
            "per second": n / statistics.median(each),
            f"x {against}": statistics.median(
                base / own for base, own in zip(times[against], each, strict=True)
            ),
            "seconds": each,
        }
        for name, each in times.items()
    ]


def installed() -> dict[str, Callable[..., Any]]:
    """Return the peers whose libraries are there, and name the others."""
    found = {}
    tiny = Recipe(MLP((8,)), 2, batch_size=16)
    for name, train in PEERS.items():
        try:
            train(images(32, 16), tiny)
        except ImportError as error:
            print(f"left out: {name} ({error})")
        else:
            found[name] = train
    return found


def compilations(args: argparse.Namespace) -> list[bool | str]:
    """Return the values of ``compile`` that are compared beside False."""
    return [True, "reduce-overhead"][: 1 + (args.device == "cuda")] if args.compile else []


def part_train(args: argparse.Namespace) -> Iterator[Record]:
    """Compare images per second in training."""
    peers, roofline = installed(), product_rate(args.device)
    for net, network, z_dim, shape in (
        ("mlp 784-400-40", MLP((400,)), 40, (784,)),
        ("conv 32x32x3", Conv(), 32, (32, 32, 3)),
    ):
        X = images(args.images if net.startswith("mlp") else args.images // 2, *shape)
        recipe = Recipe(network, z_dim, args.batch_size, args.epochs, device=args.device)
        contenders: dict[str, Callable[[], Any]] = {
            OURS: partial(fit, recipe, X),
            f"{OURS}, precision='auto'": partial(fit, recipe, X, precision="auto"),
        }
        fast = "auto"
        if args.device == "cuda":
            fast = "bfloat16"
            contenders[f"{OURS}, precision='bfloat16'"] = partial(fit, recipe, X, precision=fast)
        for mode in compilations(args):
            contenders[f"{OURS}, precision={fast!r}, compile={mode!r}"] = partial(
                fit, recipe, X, precision=fast, compile=mode
            )
        for name, train in peers.items():
            if name != "PyOD" or net.startswith("mlp"):  # PyOD has no convolutions
                contenders[name] = partial(train, X, recipe)
        times = take_turns(contenders, args.rounds, args.device)
        operations = operations_per_image(recipe, X)
        for row in records(times, len(X) * args.epochs, "hand-written loop", net=net):
            rate = row["per second"] * operations
            yield {**row, "GFLOP/s": rate / 1e9, "share of roofline": rate / roofline}


def mnist(n: int) -> tuple[np.ndarray, ...]:
    """Return n training images and 10,000 others of MNIST, and both as rows."""
    X, _ = load("mnist")
    return X[:n], X[50_000:], X[:n].reshape(-1, 784), X[50_000:].reshape(-1, 784)


def part_elbo(args: argparse.Namespace) -> Iterator[Record]:
    """Compare the time until the held-out ELBO on MNIST that the loop ends with."""
    X, X_valid, flat, flat_valid = mnist(50_000)
    cases = {
        "mlp": (flat, flat_valid, Recipe(MLP((400,)), 40, epochs=10, device=args.device)),
        "conv": (X, X_valid, Recipe(Conv(), 32, epochs=5, device=args.device)),
    }
    for net, seed in product(args.nets, range(args.seeds)):
        for row in until_equal(*cases[net], seed):
            yield {"net": net, "seed": seed, **row}


def until_equal(X: np.ndarray, X_valid: np.ndarray, recipe: Recipe, seed: int) -> Iterator[Record]:
    """Train the loop, then this package for ever more epochs until it is as good.

    The loop has Adam's customary rate of 1e-3, held constant. This package has a peak of 4e-3 that
    falls to zero, its own precision, and the same batch size. A loop at 4e-3 shows what of the
    difference is the rate's.
    """
    base: Record = {}
    for lr in (recipe.lr, 4e-3):
        torch.manual_seed(seed)
        spent = watch()
        loop = train_loop(X, replace(recipe, lr=lr))
        row = {"contender": f"loop, lr {lr:g}", "epochs": recipe.epochs, "seconds": spent()}
        row["ELBO"] = loop_elbo(loop, X_valid, recipe)
        base = base or row
        yield {**row, "x loop": base["seconds"] / row["seconds"]}
    for epochs in range(-(-recipe.epochs // 2), recipe.epochs + 1):  # fewer: not worth the try
        settings = {"lr_schedule": "cosine", "precision": "auto", "random_state": seed}
        ours = vae_for(replace(recipe, epochs=epochs, lr=4e-3), **settings)
        row = {"contender": OURS, "epochs": epochs, "seconds": seconds(partial(ours.fit, X))}
        row["ELBO"] = ours.score(X_valid)
        yield {**row, "x loop": base["seconds"] / row["seconds"]}
        if row["ELBO"] >= base["ELBO"]:
            break


def loop_elbo(vae: PlainVAE, X: np.ndarray, recipe: Recipe) -> float:
    """Return the mean ELBO over eight draws, as VAETransformer.score takes it."""
    x = as_tensor(X, recipe.device)
    with torch.inference_mode():
        losses = [float(negative_elbo(vae(b), b)) for _ in range(8) for b in x.split(1000)]
    return -statistics.mean(losses)


def part_modes(args: argparse.Namespace) -> Iterator[Record]:
    """Compare the held-out ELBO on MNIST after the same epochs in float32 and in faster modes."""
    X, X_valid, flat, flat_valid = mnist(args.images)
    modes: dict[str, dict[str, Any]] = {
        "float32": {"precision": "float32"},
        "bfloat16": {"precision": "bfloat16"},
        **{
            f"bfloat16, compile={mode!r}": {"precision": "bfloat16", "compile": mode}
            for mode in compilations(args)
        },
    }
    for net, network, train, valid in (
        ("mlp 784-400-40", MLP((400,)), flat, flat_valid),
        ("conv 28x28", Conv(), X, X_valid),
    ):
        recipe = Recipe(network, 40, args.batch_size, args.epochs, device=args.device)
        for mode, settings in modes.items():
            scores = [
                fit(recipe, train, lr_schedule="cosine", random_state=seed, **settings).score(valid)
                for seed in range(args.seeds)
            ]
            mean, spread = statistics.mean(scores), statistics.pstdev(scores)
            yield {"net": net, "mode": mode, "ELBO": mean, "±": spread, "all": scores}


def part_encode(args: argparse.Namespace) -> Iterator[Record]:
    """Compare transform, inverse_transform and sample with raw loops over the best chunk."""
    yield from encode("mlp 784-400-40", MLP((400,)), 40, images(args.images, 784), args)
    yield from encode("conv 32x32x3", Conv(), 32, images(args.images, 32, 32, 3), args)


def encode(
    net: str, network: Network, z_dim: int, X: np.ndarray, args: argparse.Namespace
) -> Iterator[Record]:
    """Yield a row per method and contender."""
    vae = vae_for(Recipe(network, z_dim, device=args.device)).fit(X[:2000])
    Z = vae.transform(X)
    works: dict[str, tuple[Callable[[], Any], Callable[[int], Any]]] = {
        "transform": (partial(vae.transform, X), partial(raw_encode, vae, X)),
        "inverse_transform": (partial(vae.inverse_transform, Z), partial(raw_decode, vae, Z)),
        "sample": (partial(vae.sample, len(X), random_state=0), partial(raw_sample, vae, len(X))),
    }
    if args.device == "cuda":
        there = torch.from_numpy(X).to("cuda")
        works["transform of a tensor there"] = (
            partial(vae.transform, there),
            partial(raw_encode, vae, there),
        )
    bus = bus_rate() if args.device == "cuda" else None
    larger = 16 if args.device == "cuda" else 1
    for method, (ours, raw) in works.items():
        raws = {f"raw {larger * chunk}": partial(raw, larger * chunk) for chunk in CHUNKS}
        times = take_turns({OURS: ours, **raws}, args.rounds, args.device)
        best = min(raws, key=lambda name: statistics.median(times[name]))
        both = {OURS: times[OURS], "raw loop": times[best]}
        for row in records(both, len(X), "raw loop", net=net, method=method, best=best):
            if bus is not None and method == "transform":  # of images in host memory
                row["share of the bus"] = row["per second"] * X[0].nbytes / bus
            yield row


def raw_encode(vae: VAETransformer, X: np.ndarray | torch.Tensor, chunk: int) -> np.ndarray:
    """Return posterior means by the plainest fast loop."""
    model, out = vae.module_, np.empty((len(X), vae.z_dim), np.float32)
    with torch.inference_mode():
        for i in range(0, len(X), chunk):
            x = as_tensor(X[i : i + chunk], str(vae.device_))
            head = nn.functional.linear(  # the means and, unused, the log-variances
                model.encoder(x).flatten(1), model.posterior_head.weight, model.posterior_head.bias
            )
            out[i : i + chunk] = head[:, : vae.z_dim].cpu().numpy()
    return out


def raw_sample(vae: VAETransformer, n: int, chunk: int) -> np.ndarray:
    """Return uint8 images of random codes by the plainest fast loop."""
    return raw_decode(vae, torch.randn(n, vae.z_dim).numpy(), chunk)


def raw_decode(vae: VAETransformer, Z: np.ndarray, chunk: int) -> np.ndarray:
    """Return uint8 images by the plainest fast loop."""
    model, shape = vae.module_, vae.spec_.raw_shape
    out = np.empty((len(Z), *shape), np.uint8)
    with torch.inference_mode():
        for i in range(0, len(Z), chunk):
            z = torch.from_numpy(Z[i : i + chunk]).to(vae.device_)
            x = torch.sigmoid(model.decoder(z)).mul_(255).round_().to(torch.uint8)
            x = x.permute(0, 2, 3, 1) if x.dim() == 4 else x
            out[i : i + chunk] = x.cpu().numpy().reshape(-1, *shape)
    return out


def part_start(args: argparse.Namespace) -> Iterator[Record]:
    """Time the import over that of the libraries below, clone + get_params, a small fit."""
    code = (
        "import time; import sklearn.pipeline, sklearn.model_selection, skorch, torch;"
        "start = time.perf_counter(); import sklearn_vae; print(time.perf_counter() - start)"
    )
    imports = [
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)
        for _ in range(args.rounds)
    ]
    vae = VAETransformer()
    copies = timeit.repeat(lambda: clone(vae).get_params(), number=100, repeat=args.rounds)
    X = load("digits")[0][:200]
    small = VAETransformer(8, device=args.device)
    works = {"images": partial(small.fit, X), "rows": partial(small.fit, X.reshape(200, -1))}
    fits = take_turns(works, args.rounds, args.device)
    named = {
        "import over sklearn, skorch, torch, ms": [1000 * t for t in imports],
        "clone + get_params, ms": [10 * t for t in copies],
        "defaults fitted to 200 digits as images (200 epochs of Conv), s": fits["images"],
        "defaults fitted to 200 digits as rows (200 epochs of MLP), s": fits["rows"],
    }
    for what, times in named.items():
        yield {"what": what, "median": statistics.median(times), "all": times}


def table(rows: list[Record]) -> list[Record]:
    """Return the rows without the single times and scores."""
    return [{k: v for k, v in row.items() if not isinstance(v, list)} for row in rows]


if __name__ == "__main__":
    parts = (part_train, part_elbo, part_modes, part_encode, part_start)
    run(
        __doc__,
        "speed",
        {part.__name__.removeprefix("part_"): (part, table) for part in parts},
        device=("cpu", ["cpu", "cuda"]),
        images=20_000,
        epochs=4,
        batch_size=128,
        rounds=5,
        seeds=(3, "of parts elbo and modes"),
        nets=(["mlp", "conv"], "of part elbo"),
        compile=(False, "in parts train and modes (C++ compiler)"),
    )

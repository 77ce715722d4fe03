"""How cost grows: time with images and epochs, memory of fit and transform.

    python benchmarks/scaling.py --part time memory growth parallel rate peak sorted

``time``: seconds per epoch of a small net on 1,000 to 1,000,000 tiny images, the share of an epoch
that is not spent on its batches. ``memory``: peak memory beyond the data and the
result, each case in a fresh process; the last encodes a sparse memory-mapped file of 20 GB.
``growth``: CPU seconds of what looks for neighbours, on 15,000 to 120,000 images of MNIST (half of
them moved by a pixel) in two classes. And of the gate's classifier on 10 to 1,000 classes.
``parallel``: two processes of one thread against one process of one thread and of two, in turns.
``rate``: images a second in training on 20,000 images of 64 x 64 x 3, in memory, in h5py and zarr,
as JPEGs and as a stream of these. ``peak``: the same by memory, for several numbers of images.
``sorted``: what ``partial_fit`` on chunks that are sorted by class costs, with and without
``shuffle_chunks``.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import threading
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
import zarr
from _common import RESULTS, Record, run, seconds, watch
from _shared import load
from joblib.externals.loky import get_reusable_executor
from PIL import Image
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNet
from skorch.callbacks import Callback
from torch.utils.data import IterableDataset, get_worker_info

from sklearn_vae import VAEAugmenter, VAEClassifier, VAETransformer
from sklearn_vae.datasets import ImageReader, fetch_images, shuffle_chunks
from sklearn_vae.nn import MLP, Conv
from sklearn_vae.synthesis import QualityGate

IMAGES = RESULTS.parents[1] / "docs" / "images"
SIZES = (1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000)


class EpochClock(Callback):
    """Measures the time that a training spends in the batches of its epochs."""

    def __init__(self) -> None:
        self.times: list[float] = []  # shared with the copy that a fit makes

    def on_train_begin(self, net: NeuralNet, **kwargs: Any) -> None:
        """Put a clock around the epochs."""
        epoch = net.run_single_epoch
        net.run_single_epoch = lambda *args, **kw: self.times.append(
            seconds(lambda: epoch(*args, **kw))
        )


def small_vae(epochs: int, *callbacks: Callback) -> VAETransformer:
    """Return an estimator whose steps are cheap, so that what surrounds them shows."""
    settings = {"max_epochs": epochs, "augment": None, "device": "cpu", "callbacks": [*callbacks]}
    return VAETransformer(4, network=MLP((32,)), **settings)


def part_time(args: argparse.Namespace) -> Iterator[Record]:
    """Time epochs over 1k to 1M images of 8 x 8, and 1 to 8 epochs of 100k."""
    X = np.random.default_rng(0).integers(0, 256, (SIZES[-1], 8, 8), dtype=np.uint8)
    small_vae(1).fit(X[:1000])
    for n in SIZES:
        fits, durations, outside = [], [], []
        for _ in range(args.rounds):
            clock = EpochClock()
            vae = small_vae(3, clock)
            fits.append(seconds(lambda v=vae, n=n: v.fit(X[:n])))
            durations.append(sum(row["dur"] for row in vae.history_))
            outside.append(100 * (1 - sum(clock.times) / durations[-1]))
        yield {
            "images": n,
            "epochs": 3,
            "fit seconds": statistics.median(fits),
            "us per image and epoch": 1e6 * statistics.median(durations) / n / 3,
            "share outside batches, %": statistics.median(outside),
        }
    n = 100_000
    for epochs in (1, 2, 4, 8):
        fits = [seconds(lambda e=epochs: small_vae(e).fit(X[:n])) for _ in range(args.rounds)]
        yield {"images": n, "epochs": epochs, "fit seconds": statistics.median(fits)}


MEMORY_CASES = {
    "fit, uint8 60,000 x 32 x 32 x 3": "fit",
    "fit with validation split": "fit split",
    "transform, the same": "transform",
    "transform to hidden features": "hidden",
    "inverse_transform, the same": "inverse",
    "score_samples, the same": "score",
    "transform, memory-mapped 20 GB": "mapped",
}


def memory_case(case: str, file: str) -> dict[str, float]:
    """Return what one case needs beyond its data and its result, in MiB. Runs in its own process.

    A first run on few rows of the same kind fills torch's and the allocator's caches.
    """
    n, shape = 60_000, (32, 32, 3)
    rng = np.random.default_rng(0)
    features = "hidden" if case == "hidden" else "mean"
    network = MLP((16,)) if case == "mapped" else Conv()  # reads 20 GB; the net is not the point
    settings = {"network": network, "max_epochs": 1, "augment": None, "features": features}
    vae = VAETransformer(16, device="cpu", **settings)
    small = rng.integers(0, 256, (2000, *shape), dtype=np.uint8)
    vae.fit(small).transform(small)
    vae.inverse_transform(vae.module_.posterior_head.bias.detach().numpy()[None, :16])
    if case == "mapped":
        X = np.memmap(file, np.uint8, "r", shape=(20 * 10**9 // 3072, *shape))
    else:
        X = rng.integers(0, 256, (n, *shape), dtype=np.uint8)
    if case.startswith("fit"):
        split = 0.1 if case == "fit split" else None
        vae.set_params(validation_fraction=split)
    Z = rng.standard_normal((n, 16), np.float32)
    works = {
        "inverse": lambda: vae.inverse_transform(Z),
        "score": lambda: vae.score_samples(X, n_draws=1),
    }
    work = works.get(case, lambda: vae.fit(X) if case.startswith("fit") else vae.transform(X))
    memory, spent = MemoryWatch(), watch()
    result = work()
    elapsed = spent()
    own = result.nbytes if isinstance(result, np.ndarray) else 0
    beyond = (memory.stop() - own) / 2**20
    return {"beyond, MiB": beyond, "data, MiB": X.nbytes / 2**20, "seconds": elapsed}


class MemoryWatch:
    """Samples the process's anonymous memory (mapped files do not count) in a thread."""

    def __init__(self) -> None:
        self.base = self.highest = anonymous_bytes()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._done.wait(0.002):
            self.highest = max(self.highest, anonymous_bytes())

    def stop(self) -> int:
        """Return by how much memory rose at most since the start."""
        self._done.set()
        self._thread.join()
        return self.highest - self.base


def anonymous_bytes() -> int:
    """Return the process's anonymous resident memory (Linux)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) * 1024
    raise OSError("/proc/self/status has no RssAnon; this benchmark needs Linux.")


def part_memory(args: argparse.Namespace) -> Iterator[Record]:
    """Run each case in a fresh process."""
    with tempfile.NamedTemporaryFile() as file:
        file.truncate(20 * 10**9)  # sparse: takes no room on the disk
        for name, case in MEMORY_CASES.items():
            with get_context("spawn").Pool(1) as fresh:
                yield {"case": name, **fresh.apply(memory_case, (case, file.name))}


N_NEW = 0.25
"""Synthetic rows, as a share of the real ones."""
NEIGHBOURS: dict[str, dict[str, Any]] = {
    "interpolation": {"method": "interpolation"},
    "posterior": {"method": "posterior"},
    "posterior, gate": {"method": "posterior", "gate": True},
    "deformation": {"method": "deformation"},
}


def part_growth(args: argparse.Namespace) -> Iterator[Record]:
    """Time augmenters and the classifier on more and more images, the gate on many classes."""
    records = []
    for record in growth():
        records.append(record)
        yield record
    draw_growth(records)


def growth() -> Iterator[Record]:
    """Yield the seconds of each case."""
    warnings.filterwarnings("ignore", "The gate dropped", UserWarning)
    X, y = load("mnist")
    X, y = np.concatenate([X, np.roll(X, 1, axis=2)]), np.tile(y % 2, 2)  # large classes
    order = np.random.default_rng(0).permutation(len(X))
    X, y = X[order], y[order]
    net = VAETransformer(16, network=MLP((64,)), max_epochs=1, augment=None, device="cpu")
    frozen = FrozenEstimator(clone(net).fit(X[:2000]))
    for name, settings in NEIGHBOURS.items():
        vae = net if name == "deformation" else frozen
        for n in (15_000, 30_000, 60_000, 120_000):
            augmenter = VAEAugmenter(vae=vae, n_new=N_NEW, random_state=0, **settings)
            yield {"of": name, "images": n, "seconds": cpu(augmenter.fit_resample, X[:n], y[:n])}
    for n in (15_000, 30_000, 60_000, 120_000):
        few = np.where(np.arange(n) < 100, y[:n], -1)
        taken = cpu(VAEClassifier(frozen, random_state=0).fit, X[:n], few)
        yield {"of": "VAEClassifier, 100 labels", "images": n, "seconds": taken}
    for k in (10, 30, 100, 300, 1000):
        labels = np.arange(20_000) % k
        rng = np.random.default_rng(0)
        codes = rng.normal(size=(k, 32))[labels] + 0.7 * rng.normal(size=(20_000, 32))
        gates = {"gate": QualityGate(min_distance=0).fit}
        gates["LogisticRegression"] = LogisticRegression(class_weight="balanced").fit
        for name, fit in gates.items():
            given = (codes, codes, labels) if name == "gate" else (codes, labels)
            yield {"of": f"{name}, 20,000 codes", "classes": k, "seconds": cpu(fit, *given)}


def draw_growth(records: list[Record]) -> None:
    """Draw seconds against images and against classes."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained", sharey=True)
    for axis, count in zip(axes, ("images", "classes"), strict=True):
        cases = [record for record in records if count in record]
        for name in dict.fromkeys(record["of"] for record in cases):
            points = [(r[count], r["seconds"]) for r in cases if r["of"] == name]
            axis.loglog(*zip(*points, strict=True), marker="o", label=name)
        axis.set_xlabel(count)
        axis.legend(fontsize="small")
    axes[0].set_ylabel("CPU seconds")
    figure.savefig(IMAGES / "growth.svg")


def cpu(work: Callable[..., Any], *args: Any) -> float:
    """Return the CPU seconds of a call, of all threads."""
    begun = time.process_time()
    work(*args)
    return time.process_time() - begun


PARALLEL_CASES: dict[str, tuple[str, int, dict[str, Any]]] = {
    "convolutions, 28 x 28": ("mnist", 4096, {"batch_size": 256}),
    "convolutions, 32 x 32 x 3": ("cifar10", 4096, {"batch_size": 256}),
    **{
        f"mlp 784-400-40, {precision}": (
            "mnist",
            32768,
            {
                **{"z_dim": 40, "network": MLP((400,)), "augment": None, "batch_size": 1024},
                "precision": precision,
            },
        )
        for precision in ("float32", "bfloat16")
    },
}
CONTENDERS = {"1 thread": (1, None), "2 threads": (2, None), "2 processes": (1, 2)}
"""Threads of this process, and the processes of a fit."""


def part_parallel(args: argparse.Namespace) -> Iterator[Record]:
    """Time an epoch's steps, and whole fits: with processes that are there, and with new ones."""
    for case, (data, n, settings) in PARALLEL_CASES.items():
        X = load(data)[0][:n]
        common = {"max_epochs": args.epochs, "device": "cpu", "random_state": 0}
        vae = VAETransformer(**{**common, **settings})
        times: dict[str, list[float]] = defaultdict(list)
        for _ in range(args.rounds):
            get_reusable_executor().shutdown()
            small = clone(vae).set_params(max_epochs=1, parallel=2)
            times["start"].append(seconds(partial(small.fit, X[:1024])))
            for name, (threads, processes) in CONTENDERS.items():
                torch.set_num_threads(threads)
                vae.set_params(parallel=processes)
                times[f"fit, {name}"].append(seconds(partial(vae.fit, X)))
                times[name].append(statistics.median(row["dur"] for row in vae.history_[1:]))
        yield {"net": case, "images": n, "epochs": args.epochs, **times}


def show_parallel(records: list[Record]) -> list[Record]:
    """Return how many times as fast two processes are, by the medians."""
    return [
        {
            "net": row["net"],
            **{
                f"{what}{name}": statistics.median(row[what + name])
                / statistics.median(row[what + "2 processes"])
                for what in ("", "fit, ")
                for name in ("1 thread", "2 threads")
            },
        }
        for row in records
    ]


# -- data that memory does not hold ----------------------------------------------------------------

STORED = (
    *("array", "memory map", "h5py", "zarr"),
    *("files", "files, 2 workers", "stream", "stream, 2 workers"),
)
"""Where the images are."""


class FileStream(IterableDataset):
    """JPEGs one after the other; each process reads every n-th."""

    def __init__(self, paths: list[Path]) -> None:
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def __iter__(self) -> Iterator[np.ndarray]:
        info = get_worker_info()
        share = slice(None) if info is None else slice(info.id, None, info.num_workers)
        return (np.asarray(Image.open(path)) for path in self.paths[share])


def pictures(n: int, seed: int = 0) -> np.ndarray:
    """Return smooth images with grain, uint8 (n, 64, 64, 3)."""
    rng = np.random.default_rng(seed)
    images = np.empty((n, 64, 64, 3), np.uint8)
    for i in range(n):
        coarse = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        image = np.asarray(coarse.resize((64, 64), Image.Resampling.BILINEAR))
        grain = rng.integers(-6, 7, image.shape, dtype=np.int16)
        images[i] = (image + grain).clip(0, 255)
    return images


def write_images(folder: Path, n: int) -> None:
    """Write the images in all forms."""
    X = pictures(n)
    np.save(folder / "X.npy", X)
    with h5py.File(folder / "X.h5", "w") as file:
        file.create_dataset("X", data=X, chunks=(64, *X.shape[1:]))
    stored = zarr.open(
        folder / "X.zarr", mode="w", shape=X.shape, chunks=(64, 64, 64, 3), dtype="u1"
    )
    stored[:] = X
    for i, image in enumerate(X):
        Image.fromarray(image).save(folder / f"{i}.jpg", quality=90)


def stored_images(folder: Path, where: str, n: int) -> Any:
    """Return the first n images from where they are; of JPEGs some twice where there are fewer."""
    if where.startswith(("files", "stream")):
        n_files = len(list(folder.glob("*.jpg")))
        paths = [folder / f"{i % n_files}.jpg" for i in range(n)]
        is_stream = where.startswith("stream")
        return FileStream(paths) if is_stream else ImageReader(64, lazy=True).transform(paths)
    if where == "h5py":
        return h5py.File(folder / "X.h5")["X"]
    if where == "zarr":
        return zarr.open(folder / "X.zarr", mode="r")
    return np.load(folder / "X.npy", mmap_mode=None if where == "array" else "r")[:n]


def part_rate(args: argparse.Namespace) -> Iterator[Record]:
    """Time an epoch of the default MLP on images from each place, in turns of random order."""
    rng, n, times = np.random.default_rng(0), args.images, defaultdict(list)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_images(folder, n)
        small_vae(1).fit(pictures(1000))
        for where in [w for _ in range(args.rounds) for w in rng.permutation(STORED).tolist()]:
            X = stored_images(folder, where, n)
            vae = VAETransformer(
                16, network="mlp", max_epochs=1, augment=None, precision="float32", device="cpu",
                loader_workers=2 if "workers" in where else 0, random_state=0,
            )  # fmt: skip
            total, cpu = watch(), watch(time.process_time)
            vae.fit(X)
            times[where].append([vae.history_[0]["dur"], total(), cpu()])
    for where in STORED:
        epoch, fit, cpu = zip(*times[where], strict=True)
        found = {"epoch seconds": epoch, "fit seconds": fit, "fit CPU seconds, this process": cpu}
        yield {"where": where, "images": n, **found}


def peak_case(where: str, folder: str, n: int) -> dict[str, float]:
    """Return by how much fit and transform raise memory, in MiB. Runs in its own process."""
    X = pictures(300)
    vae = small_vae(1)
    vae.set_params(loader_workers=2 if "workers" in where else 0)
    vae.fit(X).transform(X)
    memory = MemoryWatch()
    images = stored_images(Path(folder), where, n)
    vae.fit(images).transform(images)
    return {"peak, MiB": memory.stop() / 2**20, "data, MiB": n * 64 * 64 * 3 / 2**20}


def part_peak(args: argparse.Namespace) -> Iterator[Record]:
    """Run each place and number of images in a fresh process."""
    for n in (args.images // 2, args.images, 2 * args.images):
        with tempfile.TemporaryDirectory() as folder:
            write_images(Path(folder), n)
            for where in ("array", "h5py", "zarr", "files", "stream"):
                with get_context("spawn").Pool(1) as fresh:
                    found = fresh.apply(peak_case, (where, folder, n))
                yield {"where": where, "images": n, **found}


def part_sorted(args: argparse.Namespace) -> Iterator[Record]:
    """Train by chunks, shuffled or sorted by class; score a linear classifier on the codes."""
    for name in ("fashion_mnist", "mnist"):  # of each 10,000 images
        X_train, y_train = fetch_images(name, return_X_y=True)
        X_test, y_test = fetch_images(name, subset="test", return_X_y=True)
        for seed in range(args.rounds):
            rng = np.random.default_rng(seed)
            rows = rng.permutation(len(X_train))[:10_000]
            X, y = X_train[rows], y_train[rows]
            by_class = np.argsort(y, kind="stable")
            held = {f"sorted, {b:,} held" if b else "sorted": b for b in (0, 1000, 2000, 5000)}
            for kind, buffer in {"shuffled": 0, **held}.items():
                ordered = X if kind == "shuffled" else X[by_class]
                vae = VAETransformer(
                    32, network="mlp", batch_size=128, device="cpu", random_state=seed
                )
                with warnings.catch_warnings():
                    warnings.filterwarnings("ignore", message="Chunks look sorted")
                    for epoch in range(5):
                        chunks: Any = np.array_split(ordered, 10)
                        if buffer:
                            chunks = shuffle_chunks(chunks, buffer, random_state=epoch)
                        for chunk in chunks:
                            vae.partial_fit(chunk)
                head = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
                head.fit(vae.transform(X[:2000]), y[:2000])
                yield {
                    "set": name,
                    "chunks": kind,
                    "seed": seed,
                    "accuracy": 100 * head.score(vae.transform(X_test), y_test),
                    "ELBO": vae.score(X_test),
                }


if __name__ == "__main__":
    parts = {
        "time": (part_time, list),
        "memory": (part_memory, list),
        "growth": (part_growth, list),
        "parallel": (part_parallel, show_parallel),
        "rate": (part_rate, list),
        "peak": (part_peak, list),
        "sorted": (part_sorted, list),
    }
    run(__doc__, "scaling", parts, rounds=3, epochs=4, images=20_000)

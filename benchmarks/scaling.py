"""How cost grows: time with images and epochs, memory of fit and transform.

    python benchmarks/scaling.py --part time memory

``time``: seconds per epoch of a small net on 1,000 to 1,000,000 tiny images, the share of an epoch
that is not spent on its batches. ``memory``: peak memory beyond the data and the
result, each case in a fresh process; the last encodes a sparse memory-mapped file of 20 GB.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from _common import environment, markdown_table, write_json

from sklearn_vae import VAETransformer
from sklearn_vae.nn import MLP, Conv

SIZES = (1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000)


class EpochClock(VAETransformer):
    """Measures the time that its training spends in the batches of its epochs."""

    def _make_net(self, *args: Any) -> Any:
        net = super()._make_net(*args)
        run, self.in_batches_ = net.run_single_epoch, 0.0

        def timed(*args: Any, **kwargs: Any) -> None:
            start = time.perf_counter()
            run(*args, **kwargs)
            self.in_batches_ += time.perf_counter() - start

        net.run_single_epoch = timed
        return net


def small_vae(epochs: int) -> EpochClock:
    """Return an estimator whose steps are cheap, so that what surrounds them shows."""
    return EpochClock(4, network=MLP((32,)), max_epochs=epochs, augment=None, device="cpu")


def part_time(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Time epochs over 1k to 1M images of 8 x 8, and 1 to 8 epochs of 100k."""
    X = np.random.default_rng(0).integers(0, 256, (SIZES[-1], 8, 8), dtype=np.uint8)
    small_vae(1).fit(X[:1000])
    rows = []
    for n in SIZES:
        durations, batches, fits = [], [], []
        for _ in range(args.rounds):
            vae = small_vae(3)
            start = time.perf_counter()
            vae.fit(X[:n])
            fits.append(time.perf_counter() - start)
            durations.append(sum(row["dur"] for row in vae.history_))
            batches.append(vae.in_batches_)
        rows.append(
            {
                "images": n,
                "epochs": 3,
                "fit seconds": statistics.median(fits),
                "us per image and epoch": 1e6 * statistics.median(durations) / n / 3,
                "share outside batches, %": statistics.median(
                    100 * (1 - b / d) for b, d in zip(batches, durations, strict=True)
                ),
            }
        )
        print(markdown_table(rows[-1:], list(rows[-1])), flush=True)
    for epochs in (1, 2, 4, 8):
        fits = []
        for _ in range(args.rounds):
            start = time.perf_counter()
            small_vae(epochs).fit(X[:100_000])
            fits.append(time.perf_counter() - start)
        rows.append({"images": 100_000, "epochs": epochs, "fit seconds": statistics.median(fits)})
        print(markdown_table(rows[-1:], list(rows[-1])), flush=True)
    return rows


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
    vae = VAETransformer(
        16, network=network, max_epochs=1, augment=None, device="cpu", features=features
    )
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
        "score": lambda: vae.score_samples(X, n_samples=1),
    }
    work = works.get(case, lambda: vae.fit(X) if case.startswith("fit") else vae.transform(X))
    watch = Watch()
    start = time.perf_counter()
    result = work()
    elapsed = time.perf_counter() - start
    own = result.nbytes if isinstance(result, np.ndarray) else 0
    return {
        "beyond, MiB": (watch.stop() - own) / 2**20,
        "data, MiB": X.nbytes / 2**20,
        "seconds": elapsed,
    }


class Watch:
    """Samples the process's anonymous memory (mapped files do not count) in a thread."""

    def __init__(self) -> None:
        import threading

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


def part_memory(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Run each case in a fresh process."""
    rows = []
    with tempfile.NamedTemporaryFile() as file:
        file.truncate(20 * 10**9)  # sparse: takes no room on the disk
        for name, case in MEMORY_CASES.items():
            command = [sys.executable, __file__, "--case", case, "--file", file.name]
            out = subprocess.run(command, capture_output=True, check=True, text=True).stdout
            rows.append({"case": name, **json.loads(out)})
            print(markdown_table(rows[-1:], list(rows[-1])), flush=True)
    return rows


PARTS = {"time": part_time, "memory": part_memory}


def main() -> None:
    """Run the chosen parts and write a JSON for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", nargs="+", default=list(PARTS), choices=list(PARTS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--case", help=argparse.SUPPRESS)
    parser.add_argument("--file", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.case:
        print(json.dumps(memory_case(args.case, args.file)))
        return
    for part in args.part:
        rows = PARTS[part](args)
        payload = {"environment": environment(), "args": vars(args), "results": rows}
        write_json(f"scaling_{part}", payload)
        print(markdown_table(rows, list(rows[0])), flush=True)


if __name__ == "__main__":
    main()

"""What the benchmark scripts share: versions, networks, heads, results as JSON, tables."""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
import skorch
import torch
from scipy.sparse import csr_matrix
from sklearn.neighbors import NearestNeighbors
from sklearn.semi_supervised import LabelSpreading

import sklearn_vae
from sklearn_vae.nn import Conv
from sklearn_vae.training import has_fast_bfloat16

RESULTS = Path(__file__).parent / "results"


def environment() -> dict[str, Any]:
    """Return the versions, the device and the number of threads that figures depend on."""
    if torch.cuda.is_available():
        device = torch.cuda.get_device_name()
    else:
        device = "mps" if torch.backends.mps.is_available() else "cpu"
    return {
        "python": platform.python_version(),
        **{m.__name__: m.__version__ for m in (np, sklearn, skorch, torch, sklearn_vae)},
        "device": device,
        "threads": torch.get_num_threads(),
        "machine": platform.machine(),
        "cpu": cpu_name(),
        "fast bfloat16": has_fast_bfloat16(torch.device("cpu")),
    }


def cpu_name() -> str:
    """Return what the CPU calls itself, where the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "")


UNTRAINED: dict[str, Any] = {"max_epochs": 1, "lr": 1e-12, "augment": None}
"""Settings of a VAE whose weights stay random, while BatchNorm sees its statistics."""


def three_convolutions(width: int) -> Conv:
    """Return the default network for images with so many channels after its first convolution."""
    return Conv((width, 2 * width, 4 * width), batch_norm=True)


def as_rows(X: np.ndarray) -> np.ndarray:
    """Return images, uint8 or float in [0, 1], as float32 rows in [0, 1]."""
    return X.reshape(len(X), -1).astype(np.float32) / (255 if X.dtype == np.uint8 else 1)


def neighbours(A: np.ndarray, B: np.ndarray) -> csr_matrix:
    """Return who is a neighbour of whom, as LabelSpreading's ``kernel``: (len(A), len(B)).

    Within one set two rows are joined when either is among the ten nearest of the other;
    LabelSpreading's own ``kernel="knn"`` keeps one direction.
    """
    graph = NearestNeighbors(n_neighbors=10).fit(A).kneighbors_graph(B)
    return graph.maximum(graph.T) if B is A else graph.T


def label_spreading(kernel: Callable[..., csr_matrix] = neighbours) -> LabelSpreading:
    """Return the head for a few labels and many images without one."""
    return LabelSpreading(kernel=kernel, alpha=0.99, max_iter=1000)


def write_json(name: str, payload: Mapping[str, Any]) -> Path:
    """Write results/NAME.json, floats to 6 significant digits (not finite: null)."""
    path = RESULTS / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(_plain(payload), indent=1, ensure_ascii=False) + "\n", "utf-8")
    return path


def _plain(value: Any) -> Any:
    """Return value in types that JSON has, NumPy's and torch's arrays as lists."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (np.ndarray, np.generic, torch.Tensor)):
        return _plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value


def markdown_table(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """Return the named columns of the rows as a Markdown table; floats to 4 digits."""

    def cell(value: Any) -> str:
        return f"{value:.4g}" if isinstance(value, (float, np.floating)) else str(value)

    cells = [list(columns), *([cell(row.get(name, "")) for name in columns] for row in rows)]
    widths = [max(3, *map(len, column)) for column in zip(*cells, strict=True)]
    cells.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |"
        for row in cells
    )

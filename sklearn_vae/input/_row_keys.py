"""Telling rows again: a key per row, a function of its values."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np

from ..utils._spread import spread_rows
from ._samples import from_torch

if TYPE_CHECKING:
    import torch

REMEMBERED, REMEMBERED_OF_CHUNK = 1000, 50
"""Rows of its training that a VAE remembers, at most: of all, and of a chunk of partial_fit."""
NO_KEYS = np.empty(0, np.uint64)
MOST_SHARED = 0.01
"""Share of equal rows that two independent samples may have."""


def row_keys(raw: torch.Tensor) -> np.ndarray:
    """Return a 64-bit hash of each sample's values, whatever float type they come in."""
    rows = from_torch(raw).reshape(len(raw), -1)
    if rows.dtype.kind == "f":
        rows = rows.astype(np.float64) + 0.0  # -0.0 is 0.0
    hashes = (blake2b(row.data, digest_size=8).digest() for row in np.ascontiguousarray(rows))
    return np.frombuffer(b"".join(hashes), "<u8")


def remembered(data: Any, before: np.ndarray, *, partial: bool) -> np.ndarray:
    """Return the keys of rows spread over what a VAE was trained on, now and before."""
    rows = data.sample(REMEMBERED_OF_CHUNK if partial else REMEMBERED)
    keys = np.concatenate([before, row_keys(rows)])
    return keys[spread_rows(len(keys), REMEMBERED).numpy()]


def shared_rows(keys: np.ndarray, seen: np.ndarray) -> int:
    """Return how many rows two samples have in common; 0 for no more than chance may give.

    What was seen twice does not count: it is common, as blank images and rows of few categories
    are.
    """
    values, counts = np.unique(seen, return_counts=True)
    shared = int(np.isin(keys, values[counts == 1]).sum())
    return shared if shared > MOST_SHARED * min(len(keys), len(seen)) else 0

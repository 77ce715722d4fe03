"""Standard normal noise that is a function of the row: Monte Carlo scores that repeat.

``score_samples`` needs posterior draws, yet a row's score must depend neither on the other rows,
nor on their order, nor on the batch size. So each row's content is hashed to a shift of one common
set of uniform draws (a Cranley-Patterson rotation). For every row the draws are independent and
uniform, and those of different rows are pairwise independent.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from ..nn._mps import ndtri

SEED = 20140406  # of the common draws; fixed, so that scores repeat across fits and machines
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def row_noise(
    X: np.ndarray, n_draws: int, z_dim: int, device: torch.device
) -> Iterator[torch.Tensor]:
    """Yield ``n_draws`` times standard normal noise of shape (n, z_dim), one row per row of X."""
    shift = torch.from_numpy(_row_uniforms(X, z_dim)).to(device)
    common = np.random.default_rng(SEED).random((n_draws, z_dim), dtype=np.float32)
    for draw in torch.from_numpy(common).to(device):
        yield ndtri(((draw + shift) % 1.0).clamp(1e-7, 1 - 1e-7))


def _row_uniforms(X: np.ndarray, z_dim: int) -> np.ndarray:
    """Return float32 uniforms of shape (n, z_dim) that are a hash of each row's bytes."""
    with np.errstate(over="ignore"):
        values = X.astype(np.float32, copy=False) if X.dtype.kind == "f" else X.astype(np.uint8)
    raw = np.ascontiguousarray(values).reshape(len(X), -1)
    bits = raw.view(np.uint32 if raw.dtype == np.float32 else np.uint8).astype(np.uint64)
    weights = np.random.default_rng(SEED).integers(2**63, size=bits.shape[1], dtype=np.uint64)
    with np.errstate(over="ignore"):
        hashed = bits @ (2 * weights + np.uint64(1))  # odd weights, modulo 2**64
        counters = _GOLDEN * np.arange(1, z_dim + 1, dtype=np.uint64)
        mixed = _mix(hashed[:, None] + counters)
    return ((mixed >> np.uint64(40)).astype(np.float32) + np.float32(0.5)) * np.float32(2**-24)


def _mix(x: np.ndarray) -> np.ndarray:
    """Scramble 64-bit integers (the finaliser of splitmix64, Steele et al., OOPSLA 2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))

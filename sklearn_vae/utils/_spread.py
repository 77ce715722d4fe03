"""Rows spread evenly over a set, for statistics of it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

STATISTICS_ROWS = 10_000
"""Rows that statistics of the data or of activations are taken from."""


def spread_rows(n: int, most: int = STATISTICS_ROWS) -> Tensor:
    """Return at most ``most`` row numbers, spread evenly over n rows."""
    return torch.arange(0, n, -(-n // most), device="cpu")


def spread(X: np.ndarray, most: int) -> np.ndarray:
    """Return at most so many rows, spread over X, as float64, which covariances need."""
    return X[spread_rows(len(X), most).numpy()].astype(np.float64)

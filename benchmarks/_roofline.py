"""What a machine can do at most: large matrix products, copies from its memory to its GPU."""

from __future__ import annotations

import numpy as np
import torch
from _peers import PlainVAE, Recipe, as_tensor, negative_elbo
from torch.utils.benchmark import Timer
from torch.utils.flop_counter import FlopCounterMode

SIDE = {"cpu": 2048, "cuda": 8192}
"""Rows and columns of the matrices."""


def product_rate(device: str) -> float:
    """Return the operations a second of large matrix products in the device's fastest type."""
    n, rates = SIDE[device], []
    for dtype in (torch.float32, torch.bfloat16):
        a, b = (torch.randn(n, n, device=device, dtype=dtype) for _ in range(2))
        timer = Timer("a @ b", globals={"a": a, "b": b}, num_threads=torch.get_num_threads())
        rates.append(2 * n**3 / timer.blocked_autorange(min_run_time=1).median)
    return max(rates)


def operations_per_image(recipe: Recipe, X: np.ndarray) -> float:
    """Return the operations of the matrix products and convolutions of a training step."""
    x = as_tensor(X[: recipe.batch_size])
    vae = PlainVAE(recipe.network, recipe.z_dim, tuple(x.shape[1:]))
    with FlopCounterMode(display=False) as counter:
        negative_elbo(vae(x), x).backward()
    return counter.get_total_flops() / len(x)


def bus_rate() -> float:
    """Return the bytes a second from pinned host memory to the GPU."""
    x = torch.empty(2**28, dtype=torch.uint8, pin_memory=True)
    there = torch.empty_like(x, device="cuda")
    timer = Timer("there.copy_(x, non_blocking=True)", globals={"there": there, "x": x})
    return x.nbytes / timer.blocked_autorange(min_run_time=1).median

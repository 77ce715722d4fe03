"""Which precision training multiplies in, by what the processor is."""

from __future__ import annotations

import contextlib
from functools import cache
from pathlib import Path
from typing import Any, Literal

import torch

from ..model import VAE

Precision = Literal["auto", "float32", "bfloat16"]


def resolve_precision(
    precision: str, device: torch.device, model: VAE, *, bounded: bool
) -> torch.dtype | None:
    """Return the dtype of the forward pass in training, None for float32 throughout.

    ``"auto"`` takes bfloat16 for values in [0, 1] where the CPU multiplies it faster than float32.
    Elsewhere that was not measured, and its three digits are few for vectors of any range, of
    which a learnt variance may become small. Convolutions whose maps are one pixel wide
    return garbage in bfloat16 (torch 2.14 on AMX). On GPUs ``"auto"`` is float32.
    """
    if precision == "auto":
        safe = bounded and has_fast_bfloat16(device) and model.narrowest_map() > 1
        precision = "bfloat16" if safe else "float32"
    return torch.bfloat16 if precision == "bfloat16" else None


def autocast(
    device: torch.device, dtype: torch.dtype | None
) -> contextlib.AbstractContextManager[Any]:
    """Return the context of such a forward pass."""
    return contextlib.nullcontext() if dtype is None else torch.autocast(device.type, dtype=dtype)


def has_fast_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 faster than float32, by measurements.

    CPUs with AMX do (Intel since 2023), and AMD's with AVX512_BF16 (since Zen 4). Intel's have
    AVX512_BF16, too, at half the rate of float32: all that is left where a virtual machine hides
    AMX. By what the CPU is rather than by its speed of the moment: the same machine, the same fit.
    It is known on Linux; elsewhere the answer is no.
    """
    if device.type != "cpu":
        return False
    words = cpu_words()
    return "amx_bf16" in words or ("avx512_bf16" in words and "GenuineIntel" not in words)


@cache
def cpu_words() -> set[str]:
    """Return what Linux says of the CPU: its maker and its features, among others."""
    with contextlib.suppress(OSError):
        return set(Path("/proc/cpuinfo").read_text().split())
    return set()

"""torch's random generators and defaults, which are the process's: borrowed, seeded, given back."""

from __future__ import annotations

import contextlib
import os
import random
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

_lock = threading.RLock()


def _renew_lock() -> None:
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):  # another thread of the parent may hold it for ever
    os.register_at_fork(after_in_child=_renew_lock)


@contextlib.contextmanager
def generators_restored(*devices: torch.device) -> Iterator[None]:
    """Restore torch's generators, the CPU's and those of CUDA devices, after the block.

    They are the process's, not the thread's: one thread at a time is let in, since another would
    rewind them under its feet. joblib runs nested jobs in threads.
    """
    with _lock, torch.random.fork_rng(devices=[d for d in devices if d.type == "cuda"]):
        yield


@contextlib.contextmanager
def usual_dtype() -> Iterator[None]:
    """Let tensors be float32 where nothing else is said, whatever the caller has set.

    Initial weights are drawn in this type, and other draws follow. It is the process's, too: one
    thread at a time is let in.
    """
    with _lock:
        before = torch.get_default_dtype()
        torch.set_default_dtype(torch.float32)
        try:
            yield
        finally:
            torch.set_default_dtype(before)


def _usual_device() -> contextlib.AbstractContextManager[Any]:
    """Let tensors be on the CPU where nothing else is said, whatever the caller has set."""
    # A context costs time in every operation. Before 2.7, torch does not tell of one of the caller.
    is_usual = torch.empty(0).device.type == "cpu"
    return contextlib.nullcontext() if is_usual else torch.device("cpu")


def generator_states(device: torch.device) -> dict[str, torch.Tensor]:
    """Return the states of torch's generators, the CPU's and the device's."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    elif device.type == "mps":
        states["mps"] = torch.mps.get_rng_state()
    return states


def set_generator_states(states: dict[str, torch.Tensor], device: torch.device) -> None:
    """Set torch's generators to such states."""
    torch.set_rng_state(states["cpu"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states["cuda"], device)
    elif device.type == "mps":
        torch.mps.set_rng_state(states["mps"])


@contextlib.contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch inside the block, under its usual defaults; all is restored afterwards."""
    with generators_restored(device), usual_dtype(), _usual_device():
        if device.type == "mps":
            state = torch.mps.get_rng_state()
        torch.manual_seed(seed)
        try:
            yield
        finally:
            if device.type == "mps":
                torch.mps.set_rng_state(state)


def next_draw() -> int:
    """Return a number that follows from the state of torch's generator, which stays as it is."""
    ahead = torch.Generator().set_state(torch.get_rng_state())
    return int(torch.randint(2**62, (), generator=ahead, device="cpu"))


@contextlib.contextmanager
def draws_seeded(seed: int) -> Iterator[None]:
    """Seed the generators that a Dataset may draw from, of torch's CPU, NumPy and Python.

    All are as before after the block.
    """
    with generators_restored():
        of_numpy, of_python = np.random.get_state(), random.getstate()  # noqa: NPY002
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        random.seed(seed)
        try:
            yield
        finally:
            np.random.set_state(of_numpy)  # noqa: NPY002
            random.setstate(of_python)

"""Random generators: a training's own, and torch's, which are the process's and are borrowed."""

from __future__ import annotations

import contextlib
import os
import random
import threading
from collections.abc import Iterator
from typing import Any, Literal

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
    """Restore torch's generators, the CPU's and those of the devices, after the block.

    They are the process's, not the thread's: one thread at a time is let in, since another would
    rewind them under its feet. joblib runs nested jobs in threads.
    """
    homes = torch.device("cpu"), *devices
    with _lock:
        before = [_states(home) for home in homes]
        try:
            yield
        finally:
            for home, states in zip(homes, before, strict=True):
                _set_states(states, home)


@contextlib.contextmanager
def usual_dtype() -> Iterator[torch.dtype]:
    """Let tensors be float32 where nothing else is said; yield what the caller has set.

    Initial weights are drawn in this type, and other draws follow. It is the process's, too: one
    thread at a time is let in.
    """
    with _lock:
        before = torch.get_default_dtype()
        torch.set_default_dtype(torch.float32)
        try:
            yield before
        finally:
            torch.set_default_dtype(before)


def usual_device() -> contextlib.AbstractContextManager[Any]:
    """Let tensors be on the CPU where nothing else is said, whatever the caller has set."""
    # A context costs time in every operation. Before 2.7, torch does not tell of one of the caller.
    is_usual = torch.empty(0).device.type == "cpu"
    return contextlib.nullcontext() if is_usual else torch.device("cpu")


Borrowed = Literal["never", "in calls", "always"]


class Generators:
    """What one training draws from: a generator of its own on each kind of device.

    Code of the user's draws from torch's, which are borrowed for it.

    Parameters
    ----------
    seed : int
        Of all of them.
    borrowed : {"never", "in calls", "always"}, default="never"
        When torch's are the training's, too: in the blocks of :meth:`lent`, or all the time, which
        is the caller's to see to. Other threads wait meanwhile.
    rank : int, default=None
        The number of this process among several that train together: each draws otherwise.

    Attributes
    ----------
    common : Generators
        Those that draw the same in all processes; of one process these themselves.
    """

    def __init__(self, seed: int, borrowed: Borrowed = "never", rank: int | None = None) -> None:
        self.borrowed = borrowed
        self.seed = seed if rank is None else seed + 1 + rank
        self.common = self if rank is None else Generators(seed)
        self._made: dict[str, torch.Generator] = {}
        self._torchs: dict[str, torch.Tensor] = {}  # as they were at the end of the last call

    def __reduce__(self) -> Any:
        return Generators, (self.seed,)  # for the nets that callbacks save

    def on(self, device: torch.device) -> torch.Generator:
        """Return the generator of a device."""
        if device.type not in self._made:
            self._made[device.type] = torch.Generator(device).manual_seed(self.seed)
        return self._made[device.type]

    def seed_of_draws(self) -> int:
        """Draw a seed, another one in each process; the common generators go on alike."""
        home = torch.device("cpu")
        seed = int(torch.randint(2**62, (), generator=self.common.on(home), device=home))
        return seed if self.common is self else (seed + self.seed) % 2**62

    def state(self, device: torch.device) -> dict[str, torch.Tensor]:
        """Return the states of all generators, of torch's the CPU's and the device's."""
        own = {f"own {kind}": generator.get_state() for kind, generator in self._made.items()}
        return own | (_states(device) if self.borrowed == "always" else self._torchs)

    def set_state(self, state: dict[str, torch.Tensor], device: torch.device) -> None:
        """Go on from such a state."""
        for home in (torch.device("cpu"), device):
            self._made.pop(home.type, None)
            if (own := state.get(f"own {home.type}")) is not None:
                self.on(home).set_state(own)
        torchs = {kind: state[kind] for kind in state.keys() & {"cpu", device.type}}
        if self.borrowed != "always":
            self._torchs = torchs
        elif torchs:
            _set_states(torchs, device)

    @contextlib.contextmanager
    def lent(self, device: torch.device) -> Iterator[None]:
        """Let a block of the user's code draw from torch's generators, where the last one ended."""
        if self.borrowed != "in calls":
            yield
            return
        with generators_restored(device):
            if self._torchs:
                _set_states(self._torchs, device)
            else:
                seed_torch(self.seed, device)
            try:
                yield
            finally:
                self._torchs = _states(device)

    @contextlib.contextmanager
    def kept(self, device: torch.device) -> Iterator[None]:
        """Let what the block draws leave no trace."""
        all_of_them = self, self.common
        before = [generators.state(device) for generators in all_of_them]
        try:
            yield
        finally:
            for generators, state in zip(all_of_them, before, strict=True):
                generators.set_state(state, device)


def _states(device: torch.device) -> dict[str, torch.Tensor]:
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    elif device.type == "mps":
        states["mps"] = torch.mps.get_rng_state()
    return states


def _set_states(states: dict[str, torch.Tensor], device: torch.device) -> None:
    torch.set_rng_state(states["cpu"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states["cuda"], device)
    elif device.type == "mps":
        torch.mps.set_rng_state(states["mps"])


@contextlib.contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[torch.dtype]:
    """Seed torch inside the block, under its usual defaults; all is restored afterwards.

    Yields the caller's default dtype.
    """
    with generators_restored(device), usual_dtype() as dtype, usual_device():
        seed_torch(seed, device)
        yield dtype


def seed_torch(seed: int, device: torch.device) -> None:
    """Seed torch's generators: on the CPU its own alone, as GPUs' are the caller's then."""
    if device.type == "cpu":
        torch.default_generator.manual_seed(seed)
    else:
        torch.manual_seed(seed)


@contextlib.contextmanager
def draws_seeded(seed: int) -> Iterator[None]:
    """Seed the generators that a Dataset may draw from, of torch's CPU, NumPy and Python.

    All are as before after the block.
    """
    with generators_restored():
        of_numpy, of_python = np.random.get_state(), random.getstate()  # noqa: NPY002
        seed_torch(seed, torch.device("cpu"))
        np.random.seed(seed % 2**32)  # noqa: NPY002
        random.seed(seed)
        try:
            yield
        finally:
            np.random.set_state(of_numpy)  # noqa: NPY002
            random.setstate(of_python)

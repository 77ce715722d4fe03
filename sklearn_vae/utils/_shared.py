"""Memory that the processes of one machine share: sums without a network between them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

FOLDER = Path("/dev/shm")
"""Where files are memory, on Linux."""
MOST = 4
"""Processes that add up this way at most: each reads what all have written."""


class SharedSum:
    """The sum of all processes' vectors of n float32.

    Through a socket the kernel copies each vector twice, which costs as much as a small network's
    step. Here each process writes its own, and adds up all in the same order.

    Parameters
    ----------
    ranks : Ranks
        The processes; all make this object at the same time.
    memory : Tensor of shape (2, size, n)
        Shared. Steps take turns in the two halves: who is slow may still read the last one.
    """

    def __init__(self, ranks: Any, memory: Tensor) -> None:
        self.ranks, self.memory, self.turn = ranks, memory, 0

    def add(self, parts: Sequence[Tensor], factor: float) -> Tensor:
        """Return the sum of the joined parts times a factor."""
        self.turn = 1 - self.turn
        half = self.memory[self.turn]
        torch.cat([part.reshape(-1) for part in parts], out=half[self.ranks.rank])
        half[self.ranks.rank].mul_(factor)
        self.ranks.any(False)  # all have written
        return half.sum(0)


def shared_sum(ranks: Any, n: int) -> SharedSum | None:
    """Return the sum for vectors of n; None in all processes where some cannot share memory."""
    if ranks.size > MOST:
        return None
    shape = 2, ranks.size, n
    path = ranks.of_first(_made(4 * int(np.prod(shape))) if ranks.rank == 0 else None)
    memory = None if path is None else _opened(path, shape)
    missing = ranks.any(memory is None)
    if path is not None and ranks.rank == 0:
        os.unlink(path)
    return None if missing or memory is None else SharedSum(ranks, memory)


def _made(n_bytes: int) -> str | None:
    """Return the path of a new file of that size, None where there is no room for it."""
    try:
        handle, path = tempfile.mkstemp(dir=FOLDER)
    except OSError:
        return None
    try:
        os.posix_fallocate(handle, 0, n_bytes)  # or a full disk would end the process later
    except OSError:
        os.unlink(path)
        return None
    finally:
        os.close(handle)
    return path


def _opened(path: str, shape: tuple[int, ...]) -> Tensor | None:
    try:
        return torch.from_numpy(np.memmap(path, np.float32, "r+", shape=shape))
    except (OSError, ValueError):  # another machine
        return None

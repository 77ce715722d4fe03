"""A function of all samples, computed by the chunk on a device."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from itertools import chain

import numpy as np
import torch

from ..nn._device import ASYNCHRONOUS, exact_inference, to_host
from ._rows import Rows
from ._spec import rows_at_once

SMALLEST_CHUNK = 16
"""Rows that an inference pass has at least."""
GPU_CHUNKS = 4
"""A CPU's chunks that a GPU takes at once, so that the launch of each operation counts for less: an
estimate, not measured."""

OfChunk = Callable[[torch.Tensor], torch.Tensor]
"""From raw samples to a tensor of as many rows."""


def apply_by_chunks(
    data: Rows, function: OfChunk, device: torch.device, shape: tuple[int, ...]
) -> np.ndarray:
    """Return ``function`` of all raw samples, computed by the chunk, in one array.

    The function gets raw samples in host memory and returns a tensor of as many rows. Chunks of few
    rows are filled up with copies. Matrix products take another path for them, and a sample's
    result should not depend, not even by rounding, on how many come with it.

    Parameters
    ----------
    data : Rows
        At least one sample.
    function : callable
    device : torch.device
        Where the function works.
    shape : tuple of int
        One sample as a network sees it, by which chunks are as large as caches like.
    """
    chunks = each_chunk(data, function, device, shape)
    if data.is_stream:  # how many there are is known at the end
        return np.concatenate([*chunks])
    first = next(chunks)
    out, done = np.empty((len(data), *first.shape[1:]), first.dtype), 0
    for chunk in chain([first], chunks):
        out[done : done + len(chunk)] = chunk
        done += len(chunk)
    return out


def each_chunk(
    data: Rows, function: OfChunk, device: torch.device, shape: tuple[int, ...]
) -> Iterator[np.ndarray]:
    """Yield what :func:`apply_by_chunks` returns, a chunk each."""
    results = _results(data, function, device, rows_at_once(shape))
    while True:
        with exact_inference():  # which is over while the caller has the chunk
            result = next(results, None)
        if result is None:
            return
        yield result.cpu().numpy()


def _results(
    data: Rows, function: OfChunk, device: torch.device, n_rows: int
) -> Iterator[torch.Tensor]:
    """Yield ``function`` of each chunk; a GPU works on the next while the host takes it."""
    gpu = device.type in ASYNCHRONOUS
    step, ahead = n_rows * (GPU_CHUNKS if gpu else 1), int(gpu)
    under_way: deque[Callable[[], torch.Tensor]] = deque()
    for raw in data.read_through(step):
        n = len(raw)
        if n < SMALLEST_CHUNK:
            raw = raw[torch.arange(SMALLEST_CHUNK, device=raw.device) % n]
        under_way.append(to_host(function(raw)[:n]))
        if len(under_way) > ahead:
            yield under_way.popleft()()
    for arriving in under_way:
        yield arriving()

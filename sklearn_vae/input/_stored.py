"""Arrays that are stored in chunks, as of h5py, zarr and dask: read in order, shuffled by chunk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..utils._memory import memory_explained
from ._ranges import Spelling
from ._rows import ReadLater, to_tensor

BLOCK, CHUNKS, MOST = 2**26, 8, 2**29
"""Bytes of which the rows are shuffled among each other and read at once; where chunks are large,
so many of them, up to this many bytes."""
PIECE = 2**24
"""Bytes that one slice asks for, where a chunk has no more."""
LEAST_ROWS = 32
"""Rows that are read together where chunks have fewer, or there are none."""


def is_stored(X: Any) -> bool:
    """Return whether X is an array whose values are elsewhere until it is sliced."""
    if type(X).__module__.startswith("h5py.") and not X:
        raise ValueError(
            "X is of a closed HDF5 file. Keep the file open as long as X is read: "
            "with h5py.File(path) as file: vae.fit(file['X'])."
        )
    if isinstance(X, np.ndarray) or not (hasattr(X, "dtype") and getattr(X, "shape", None)):
        return False
    return hasattr(X, "chunks") or hasattr(X, "compute")


class StoredDataset(ReadLater):
    """Rows of an array that is stored elsewhere, and stays there.

    Parameters
    ----------
    X : object with ``shape``, ``dtype``, slicing and perhaps ``chunks``
        Chunks are a length for each axis, as in h5py and zarr, or the lengths of all, as in dask.
    """

    where = "rows"

    def __init__(self, X: Any) -> None:
        n, *shape = X.shape
        if not isinstance(n, int | np.integer):
            raise ValueError(
                f"X has an unknown number of rows, {n}. Pass X.compute_chunk_sizes() of dask's."
            )
        self.X, self.n, self.shape = X, int(n), tuple(shape)
        self.spelling = Spelling("X" if hasattr(X, "compute") else "dask.array.from_array(X)")
        self.starts = _starts(getattr(X, "chunks", None), self.n)
        self.row_bytes = max(1, prod(self.shape) * np.dtype(X.dtype).itemsize)

    def __len__(self) -> int:
        return self.n

    def take(self, index: Tensor) -> Tensor:
        """Return the rows at ``index``, shape (k, ...), read in the order of the storage."""
        order = np.argsort(index.numpy(), kind="stable")
        rows = index.numpy()[order]
        with memory_explained(lambda: f"reading {len(rows)} rows of X. Store it in smaller chunks"):
            x = np.empty((len(rows), *self.shape), self.X.dtype)
            for a, b in self._pieces(rows):
                first, last = int(rows[a]), int(rows[b - 1])
                x[order[a:b]] = np.asarray(self.X[first : last + 1])[rows[a:b] - first]
        self.check(x)
        return to_tensor(x)

    def _pieces(self, rows: np.ndarray) -> Iterator[tuple[int, int]]:
        """Yield bounds of rows, sorted, that one slice takes: of neighbouring chunks, not many."""
        chunk = self._chunk_of(rows)
        piece = self.starts[chunk] * self.row_bytes // PIECE
        ends = np.flatnonzero((np.diff(chunk) > 1) | (np.diff(piece) > 0)) + 1
        return zip([0, *ends], [*ends, len(rows)], strict=True)

    def _chunk_of(self, rows: np.ndarray) -> np.ndarray:
        return np.searchsorted(self.starts, rows, side="right") - 1

    def read(self, indices: Iterable[Tensor], seed: int = 0) -> Iterator[Tensor]:
        """Yield the rows at each index, of as many read at once as :meth:`order` has shuffled."""
        held: list[Tensor] = []
        for index in indices:
            if held and sum(map(len, held)) + len(index) > self._block(len(held[0])):
                yield from self._read(held)
                held = []
            held.append(index)
        yield from self._read(held)

    def _read(self, indices: list[Tensor]) -> Iterator[Tensor]:
        if indices:
            yield from self.take(torch.cat(indices)).split([len(index) for index in indices])

    def order(self, rows: Tensor, batch_size: int, generator: torch.Generator | None) -> Tensor:
        """Return numbers that shuffle the given rows: the chunks, and the rows of many chunks."""
        permuted = partial(torch.randperm, generator=generator, device="cpu")
        mixed = permuted(len(rows))
        chunk = torch.from_numpy(self._chunk_of(rows[mixed].numpy()))
        of_chunk = permuted(len(self.starts))
        order = mixed[torch.argsort(of_chunk[chunk], stable=True)]
        blocks = order.split(self._block(batch_size))
        return torch.cat([b[permuted(len(b))] for b in blocks])

    def _block(self, batch_size: int) -> int:
        """Return how many rows are read at once, a whole number of batches."""
        of_chunks = CHUNKS * self.row_bytes * self.n // max(1, len(self.starts))
        rows = min(max(BLOCK, of_chunks), MOST) // self.row_bytes
        return max(1, rows // batch_size) * batch_size


def _starts(chunks: Any, n: int) -> np.ndarray:
    """Return the first row of each chunk, or of so many chunks that they have some rows."""
    along = chunks[0] if chunks else LEAST_ROWS
    if isinstance(along, int | np.integer):
        step = int(along) * -(-LEAST_ROWS // max(1, int(along)))
        return np.arange(0, n, max(1, step))
    ends = np.cumsum(along)
    return np.concatenate([[0], ends[:-1]])

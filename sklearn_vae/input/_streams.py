"""Streams, torch's IterableDatasets: read from their beginning on, mixed by a buffer."""

from __future__ import annotations

import copy
import warnings
from bisect import bisect
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from itertools import accumulate, count, islice
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from ..utils._generators import draws_seeded
from ..utils._memory import memory_explained
from ..utils._spread import STATISTICS_ROWS
from ._columns import ColumnStream, is_table_stream
from ._rows import ItemsReadLater
from ._workers import Workers

PIECE = 64
"""Items that are read at once, and travel from a process together."""
BUFFER = 2**27
"""Bytes of items that training mixes."""
READINGS = 4
"""How often a stream is begun to see whether it begins alike."""
LONG = 100_000
"""Items from which on counting them is worth a warning: a stream may never end."""
PASS = 1_000_003
"""By how much the seeds of one pass are ahead of those of the last."""


def is_stream(X: Any) -> bool:
    """Return whether X is a stream: items in their own order, without numbers."""
    return isinstance(X, IterableDataset) or is_table_stream(X)


def opened(X: Any, workers: int) -> Any:
    """Return a stream as its rows, for estimators that take streams; anything else as it is."""
    return StreamDataset(X, workers) if is_stream(X) else X


class StreamDataset(ItemsReadLater):
    """A user's stream, as rows that are numbered in the order in which they come.

    Each reading begins the stream anew and drops what was not asked for, so that rows have to be
    asked for in about their order, as :meth:`order` shuffles them. A stream that gives fewer items
    than its length is begun again, one that gives more is left there.

    Parameters
    ----------
    data : torch.utils.data.IterableDataset
        Items are x or (x, ...). Its ``__len__``, where it has one, is believed.
    workers : int, default=0
        How many processes read it, each the share that the stream gives it by torch's
        ``get_worker_info``. Their items take turns.
    """

    is_stream = True

    def __init__(self, data: Any, workers: int = 0) -> None:
        self.kind = type(data).__name__
        if is_table_stream(data):
            data = ColumnStream(data)
        elif iter(data) is iter(data):
            raise ValueError(self._once())
        self.data, self.workers = data, workers
        self._n: int | None = None
        self._passes = 0
        self._pass: tuple[int, Iterator[Any]] | None = None

    def __len__(self) -> int:
        if self._n is None:
            try:
                self._n = len(self.data)
            except TypeError:
                self._n = self._counted()
        return self._n

    def _counted(self) -> int:
        n = 0
        for x in self._alone().items(0):
            if n < LONG <= n + len(x):
                warnings.warn(
                    f"X, a {self.kind}, is a stream without a length. Its items are counted first, "
                    f"{LONG:,} so far. Give it a __len__, above all where it never ends.",
                    UserWarning,
                    stacklevel=2,
                )
            n += len(x)
        return n

    def first(self, most: int) -> Tensor:
        """Return the first items. No process has to start for them."""
        alone = self._alone()
        x = next(alone.read_through(most))
        self.form = alone.form
        return x

    def _alone(self) -> StreamDataset:
        alone = copy.copy(self)
        alone.workers = 0
        return alone

    # -- rows by number ------------------------------------------------------------------------

    def take(self, index: Tensor) -> Tensor:
        """Return the rows at ``index``, shape (k, ...); those before them are read, too."""
        return next(iter(self.read([index])))

    def read(self, indices: Iterable[Tensor], seed: int = 0) -> Iterator[Tensor]:
        """Yield the rows at each index, each of them once."""
        return self._picked(list(indices), seed)  # what they draw comes before what the items draw

    def _picked(self, indices: list[Tensor], seed: int) -> Iterator[Tensor]:
        """Yield the rows at each index; those that come before their turn wait in their places."""
        wanted, ends = torch.cat(indices), [*accumulate(map(len, indices))]
        places = torch.full((1 + int(wanted.max()),), -1, device="cpu")
        places[wanted] = torch.arange(len(wanted), device="cpu")
        made: dict[int, Tensor] = {}
        reached = 0
        with closing(self._passed(seed)) as passed:
            for number, index in enumerate(indices):
                while reached <= int(index.max()):
                    x = next(passed)
                    to = places[reached : reached + len(x)].tolist()  # -1: nobody asks for it
                    for item, place in zip(x, to, strict=False):
                        if place < 0:
                            continue
                        of = bisect(ends, place)
                        if of not in made:
                            made[of] = x.new_empty((len(indices[of]), *x.shape[1:]))
                        made[of][place - ends[of]] = item
                    reached += len(x)
                yield made.pop(number)

    def read_through(self, step: int) -> Iterator[Tensor]:
        """Yield all items of one pass, ``step`` at a time, however many there are."""
        held: list[Tensor] = []
        for x in self.items(0):
            held.append(x)
            if sum(map(len, held)) >= step:
                *full, rest = torch.cat(held).split(step)
                held = [rest]
                if len(rest) == step:
                    full, held = [*full, rest], []
                yield from full
        if held:
            yield torch.cat(held)

    def spread(self, n: int, most: int = STATISTICS_ROWS) -> Tensor:
        """Return the numbers of the first ones, which stand for all n."""
        return torch.arange(min(n, most), device="cpu")

    def order(self, rows: Tensor, batch_size: int, generator: torch.Generator | None) -> Tensor:
        """Return numbers that mix the given rows, which ascend, as far as the buffer holds them.

        Each row is put off by up to as many places as there are rows in the buffer.
        """
        n, held = len(rows), self._buffer_rows(batch_size)
        if n <= held:
            return super().order(rows, batch_size, generator)
        late = held * torch.rand(n, generator=generator, dtype=torch.float64, device="cpu")
        return torch.argsort(torch.arange(n, device="cpu") + late)

    def _buffer_rows(self, batch_size: int) -> int:
        shape, dtype = self.form
        return max(batch_size, BUFFER // (max(1, shape.numel()) * dtype.itemsize))

    def held_out(self, n: int) -> tuple[Tensor, Tensor]:
        """Return which rows are trained on and held out: the first n are."""
        self.check_again(
            "what is held out might be trained on",
            "Shuffle it less, or set validation_fraction=0 and patience=None",
        )
        return torch.arange(n, len(self), device="cpu"), torch.arange(n, device="cpu")

    def check_again(self, why: str, remedy: str) -> None:
        """Refuse a stream that begins otherwise when it is read again with other seeds.

        Of two shards that are shuffled the same one is often the first: two readings are too few.
        """
        first, *others = (next(self.items(seed)) for seed in range(READINGS))
        if not all(torch.equal(first, x) for x in others):
            raise ValueError(
                f"X, a {self.kind}, is a stream that gives other items, or in another order, when "
                f"it is read again: {why}. {remedy}."
            )

    # -- the stream itself ---------------------------------------------------------------------

    def _passed(self, seed: int) -> Generator[Tensor, None, None]:
        """Yield items, pass after pass."""
        for k in count():
            yield from self.items(seed + k * PASS)

    def items(self, seed: int) -> Generator[Tensor, None, None]:
        """Yield the items of a pass, some at a time."""
        n = 0
        alone = self.workers == 0 or (self._workers is not None and self._workers.busy)
        with closing(self._here(seed) if alone else self._from_workers(seed)) as pieces:
            for x in pieces:
                n += len(x)
                yield x
        if n == 0:
            raise ValueError(self._once() if self.form else f"X, a {self.kind}, gives no items.")

    def _once(self) -> str:
        return (
            f"X, a {self.kind}, is a stream that does not restart: it can be read once only, but "
            "training makes several passes. Let each call of its __iter__ return a new iterator."
        )

    def _here(self, seed: int) -> Generator[Tensor, None, None]:
        of_pass = copy.copy(self)
        for k in count():
            x = of_pass.drawn((seed + k, -1))
            if x is None:
                return
            self.form = self.form or of_pass.form
            yield x

    def _from_workers(self, seed: int) -> Generator[Tensor, None, None]:
        """Yield what the processes read: of each an item, in turns."""
        self._passes += 1
        number, n = self._passes, self.workers
        self._workers = self._workers or Workers(self, n)
        # At first all have one seed, by which shares can be told from copies.
        jobs = ((seed + max(0, k + 1 - n), number) for k in count())
        with closing(self._workers.run(jobs)) as results:
            for k in count():
                group = [next(results) for _ in range(n)]
                if k == 0:
                    self._check_shares(group)
                lengths = [0 if x is None else len(x) for x in group]
                turns = [torch.arange(m, device="cpu") * n + i for i, m in enumerate(lengths)]
                if not any(lengths):
                    return
                yield torch.cat([x for x in group if x is not None])[torch.cat(turns).argsort()]

    def _check_shares(self, group: list[Tensor | None]) -> None:
        """Refuse a stream that each process would read as a whole."""
        a, b = [*group, None, None][:2]
        if a is None or b is None or not torch.equal(a, b) or torch.equal(a, a[:1].expand_as(a)):
            return
        raise ValueError(
            f"X, a {self.kind}, is a stream that gives the same items in each of "
            f"loader_workers={self.workers} processes. Share them out by "
            "torch.utils.data.get_worker_info() in its __iter__, or set loader_workers=1."
        )

    def drawn(self, job: tuple[int, int]) -> Tensor | None:
        """Return the next items of a pass, None at its end; what they draw is by a seed."""
        seed, number = job
        what = f"reading {PIECE} items of X, a {self.kind}, at once"
        with draws_seeded(seed), memory_explained(lambda: f"{what}. Let it give smaller ones"):
            if self._pass is None or self._pass[0] != number:
                self._pass = number, iter(self.data)
            found = [*islice(self._pass[1], PIECE)]
            return self._stacked(found) if found else None

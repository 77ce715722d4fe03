"""Batch-level loading: whole batches by index, never sample by sample."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from sklearn.utils import gen_batches
from torch import Tensor
from torch.utils.data import Subset

from ..nn._device import free_memory, to_device
from ..utils._generators import Generators
from ..utils._ranks import Ranks
from ..utils._spread import STATISTICS_ROWS
from ._rows import ResidentDataset

DEVICE_SHARE = 0.5
"""Share of a GPU's free memory that the training images may take up."""


class Batch(tuple[Tensor, Tensor | None]):
    """The samples of one step, raw, on the device: a pair (x, y), as skorch's callbacks know it.

    Attributes
    ----------
    x : Tensor of shape (n + m, ...)
        The step's own n samples, and behind them m of known class that only its class head sees.
    y : Tensor of shape (n + m,) or None
        Class numbers, -1 where unknown; None where there are none.
    n : int
        How many are the step's own.
    n_of_all : int
        How many these are in all processes that train together.
    """

    n: int
    n_of_all: int

    def __new__(cls, x: Tensor, y: Tensor | None, n: int, n_of_all: int) -> Batch:
        """Return the pair."""
        batch = super().__new__(cls, (x, y))
        batch.n, batch.n_of_all = n, n_of_all
        return batch

    @property
    def x(self) -> Tensor:
        """The samples."""
        return self[0]

    @property
    def y(self) -> Tensor | None:
        """Their class numbers."""
        return self[1]


class Batches:
    """Iterate over batches on the device; skorch's ``iterator_train`` and ``iterator_valid``.

    The whole array moves to the GPU once when it fits into half of its free memory, as it is
    (uint8 stays uint8); else each batch travels from pinned memory. Rows are shuffled anew in
    every epoch. A last batch of a single row joins the one before: BatchNorm needs two. Of several
    processes each gets its part of every batch.

    Parameters
    ----------
    dataset : Rows, or a Subset of some
    batch_size : int
    shuffle : bool, default=False
    device : torch.device or str, default="cpu"
    labelled_share : float, default=0.0
        Samples of known class in a batch, as a share of the batch size, at the least: others are
        added, drawn with replacement, where its own are fewer on average.
    ranks : Ranks, default=None
        The processes that train together; None for one alone.
    generators : Generators, default=None
        What to draw from; None for torch's own.

    Yields
    ------
    batch : Batch
        With the dataset's ``classes`` as ``y``, where it has them.
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int,
        shuffle: bool = False,
        device: torch.device | str = "cpu",
        labelled_share: float = 0.0,
        ranks: Ranks | None = None,
        generators: Generators | None = None,
    ) -> None:
        self.ranks = Ranks() if ranks is None else ranks
        self.generators = generators
        self.device = torch.device(device)
        self.shuffle, self.batch_size = shuffle, batch_size
        dataset, self.rows = without_subsets(dataset)
        classes = getattr(dataset, "classes", None)
        classes = None if classes is None else classes[self.rows]
        self.dataset = _resident(dataset, self.rows, self.device)
        if self.dataset is not dataset:  # the rows themselves moved
            self.rows = torch.arange(len(self.rows), device=self.device)
        self.n_labelled = 0
        if labelled_share and classes is not None and (classes >= 0).any():
            known = classes >= 0
            share = float(known.double().mean())
            self.n_labelled = max(0, round((labelled_share - share) * batch_size))
            self.labelled_rows = self.rows[known.to(self.rows.device)]
            self.labels = classes[known].to(self.device)
        self.classes = None if classes is None else classes.to(self.device)
        self.bounds = batch_bounds(len(self.rows), batch_size, self.ranks.size)

    def __len__(self) -> int:
        return len(self.bounds)

    def __iter__(self) -> Iterator[Batch]:
        under_way: deque[tuple[Tensor | None, int, int]] = deque()

        def indices() -> Iterator[Tensor]:
            for index, y, n, n_of_all in self._plan():
                under_way.append((y, n, n_of_all))
                yield index

        seed = 0 if self.generators is None else self.generators.seed_of_draws()
        for x in self.dataset.read(indices(), seed):
            yield Batch(to_device(x, self.device), *under_way.popleft())

    def _plan(self) -> Iterator[tuple[Tensor, Tensor | None, int, int]]:
        """Yield the rows of each batch, their classes, how many are the step's own, and of all."""
        rows, classes, ranks = self.rows, self.classes, self.ranks
        common = None if self.generators is None else self.generators.common.on(rows.device)
        if self.shuffle:
            order = self.dataset.order(rows, self.batch_size, common)
            rows = rows[order]
            classes = None if classes is None else classes[order.to(classes.device)]
        for begin, end in self.bounds:
            start, stop = (begin + k for k in ranks.share(end - begin))
            index, y = rows[start:stop], None if classes is None else classes[start:stop]
            if self.n_labelled and y is not None:
                n = len(self.labelled_rows)
                size = (self.n_labelled,)
                draws = torch.randint(n, size, generator=common, device=index.device)
                draws = draws[slice(*ranks.share(self.n_labelled))]
                index = torch.cat([index, self.labelled_rows[draws]])
                y = torch.cat([y, self.labels[draws.to(self.labels.device)]])
            yield index, y, stop - start, end - begin


def without_subsets(dataset: Any) -> tuple[Any, Tensor]:
    """Return the dataset that a Subset, or a subset of one, is of; and its rows."""
    rows = torch.arange(len(dataset), device="cpu")
    while isinstance(dataset, Subset):
        rows = torch.from_numpy(np.array(dataset.indices))[rows]
        dataset = dataset.dataset
    return dataset, rows


def some_rows(dataset: Any, most: int) -> Subset:
    """Return at most ``most`` rows of a dataset that stand for all in statistics.

    Of a stream, of which they are the first, it is more.
    """
    whole, rows = without_subsets(dataset)
    most = STATISTICS_ROWS if whole.is_stream else most
    return Subset(dataset, whole.spread(len(rows), most).tolist())


def batch_bounds(n: int, batch_size: int, n_ranks: int = 1) -> Sequence[tuple[int, int]]:
    """Return (start, stop) of each batch; a last one of one row a process joins the one before."""
    parts = gen_batches(n, batch_size, min_batch_size=2 * n_ranks)
    return [(part.start, part.stop) for part in parts]


def _resident(dataset: Any, rows: Tensor, device: torch.device) -> Any:
    """Return the rows as a dataset on the GPU where they fit, else the dataset as it is."""
    tensor = getattr(dataset, "tensor", None)
    if tensor is None:
        return dataset
    n_bytes = len(rows) * tensor[0].numel() * tensor.element_size()
    if n_bytes > DEVICE_SHARE * free_memory(device):
        return dataset
    whole = len(rows) == len(tensor)
    return ResidentDataset((tensor if whole else tensor[rows]).to(device))

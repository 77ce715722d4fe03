"""Batch-level loading: whole batches by index, never sample by sample."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Subset

from ..nn._device import free_memory, to_device
from ..nn._mps import is_limited
from ._rows import ResidentDataset

DEVICE_SHARE = 0.5
"""Share of a GPU's free memory that the training images may take up."""


class Batches:
    """Iterate over batches on the device; skorch's ``iterator_train`` and ``iterator_valid``.

    The whole array moves to the GPU once when it fits into half of its free memory, as it is
    (uint8 stays uint8); else each batch travels from pinned memory. Rows are shuffled anew in
    every epoch. A last batch of a single row joins the one before: BatchNorm needs two.

    Parameters
    ----------
    dataset : Dataset with ``take(index)``, or a Subset of one
    batch_size : int
    shuffle : bool, default=False
    device : torch.device or str, default="cpu"
    n_labelled : int, default=0
        Rows of known class that are added at the end of each batch, drawn with replacement.

    Yields
    ------
    x : Tensor of shape (batch_size + n_labelled, ...)
    y : Tensor of shape (batch_size + n_labelled,) or None
        The dataset's ``classes``, where it has them.
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int,
        shuffle: bool = False,
        device: torch.device | str = "cpu",
        n_labelled: int = 0,
    ) -> None:
        self.device = torch.device(device)
        self.shuffle = shuffle
        self.n_labelled = n_labelled
        dataset, self.rows = without_subsets(dataset)
        classes = getattr(dataset, "classes", None)
        self.classes = None if classes is None else classes[self.rows].to(self.device)
        self.dataset = _resident(dataset, self.rows, self.device)
        if self.dataset is not dataset:  # the rows themselves moved
            self.rows = torch.arange(len(self.rows), device=self.device)
        self.bounds = batch_bounds(len(self.rows), batch_size)
        if n_labelled:
            assert self.classes is not None
            known = self.classes >= 0
            self.labels = self.classes[known]
            self.labelled_rows = self.rows[known.to(self.rows.device)]

    def __len__(self) -> int:
        return len(self.bounds)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor | None]]:
        rows, classes = self.rows, self.classes
        if self.shuffle:
            order = torch.randperm(len(rows), device=rows.device)
            rows = rows[order]
            classes = None if classes is None else classes[order.to(classes.device)]
        for start, stop in self.bounds:
            index, y = rows[start:stop], None if classes is None else classes[start:stop]
            if self.n_labelled and y is not None:
                size, device = (self.n_labelled,), self.labelled_rows.device
                draws = torch.randint(len(self.labelled_rows), size, device=device)
                index = torch.cat([index, self.labelled_rows[draws]])
                y = torch.cat([y, self.labels[draws.to(self.labels.device)]])
            x = self.dataset.take(index)
            if is_limited(self.device) and x.dtype == torch.float64:
                x = x.float()  # MPS has no float64
            yield to_device(x, self.device), y


def without_subsets(dataset: Any) -> tuple[Any, Tensor]:
    """Return the dataset that a Subset, or a subset of one, is of; and its rows."""
    rows = torch.arange(len(dataset), device="cpu")
    while isinstance(dataset, Subset):
        rows = torch.from_numpy(np.array(dataset.indices))[rows]
        dataset = dataset.dataset
    return dataset, rows


def batch_bounds(n: int, batch_size: int) -> Sequence[tuple[int, int]]:
    """Return (start, stop) of each batch; a last batch of one row joins the one before."""
    starts = list(range(0, n, batch_size))
    if len(starts) > 1 and n - starts[-1] == 1:
        starts.pop()
    return list(zip(starts, [*starts[1:], n], strict=True))


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

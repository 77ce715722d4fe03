"""Samples by number: arrays in memory or on disk, a torch Dataset's items, tensors on a GPU."""

from __future__ import annotations

import mmap
import reprlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from math import isfinite
from os import PathLike
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset

from ..utils._generators import draws_seeded
from ..utils._memory import memory_explained
from ..utils._spread import STATISTICS_ROWS, spread_rows
from ._ranges import OF_ARRAY, OF_ITEMS, Spelling, check_values
from ._workers import Workers

AT_ONCE = 256
"""Items that are read at once where more are asked for."""


class Rows(Dataset, ABC):
    """The samples of a call, whatever X was: rows by number.

    Attributes
    ----------
    classes : Tensor of shape (n,) or None
        Class numbers, int64, that go along with the rows.
    spelling : Spelling
        How messages write down the X that the rows are of.
    is_stream : bool
        Whether rows come in an order of their own, and their length may take a pass to tell.
    """

    classes: Tensor | None = None
    spelling: Spelling = OF_ARRAY
    is_stream: bool = False

    @abstractmethod
    def __len__(self) -> int:
        """Return how many there are."""

    @abstractmethod
    def take(self, index: Tensor) -> Tensor:
        """Return the rows at ``index``, shape (k, ...)."""

    def rows(self, start: int, stop: int) -> Tensor:
        """Return consecutive rows; the same each time."""
        return next(iter(self.read([torch.arange(start, stop, device="cpu")])))

    def read(self, indices: Iterable[Tensor], seed: int = 0) -> Iterator[Tensor]:
        """Yield the rows at each index.

        How many are read ahead is the rows' own affair, and so is what they do with the seed of
        what they draw.
        """
        return map(self.take, indices)

    def read_through(self, step: int) -> Iterator[Tensor]:
        """Yield all rows, ``step`` at a time; the same each time."""
        return self.read(torch.arange(len(self), device="cpu").split(step))

    def spread(self, n: int, most: int = STATISTICS_ROWS) -> Tensor:
        """Return the numbers of at most ``most`` of n rows, which stand for all."""
        return spread_rows(n, most)

    def sample(self, most: int = STATISTICS_ROWS) -> Tensor:
        """Return at most ``most`` rows, which stand for all."""
        parts = self.spread(len(self), most).split(AT_ONCE)
        done, n, out = 0, sum(map(len, parts)), torch.empty(0, device="cpu")
        for x in self.read(parts):
            if done == 0:
                out = x.new_empty((n, *x.shape[1:]))  # all in a list would be held twice
            out[done : done + len(x)] = x
            done += len(x)
        return out

    def order(self, rows: Tensor, batch_size: int, generator: torch.Generator | None) -> Tensor:
        """Return numbers that shuffle the given rows for an epoch in batches of that size.

        The generator is on the device of ``rows``; None for torch's own.
        """
        return torch.randperm(len(rows), generator=generator, device=rows.device)

    def held_out(self, n: int) -> tuple[Tensor, Tensor] | None:
        """Return which rows to train on and which n to hold out, where these cannot be drawn."""
        return None

    def check_again(self, why: str, remedy: str) -> None:
        """Refuse rows that do not come again as they were, with why that matters."""


class ArrayDataset(Rows):
    """Rows of an in-memory or memory-mapped array, fetched by the batch.

    Parameters
    ----------
    X : ndarray of shape (n, ...)
        Not copied, unless it is read-only and in memory (torch has no read-only tensors).
        A memory-mapped file stays on disk.
    classes : Tensor of shape (n,), default=None
        Class numbers, int64, that go along with the rows.
    spelling : Spelling
        How messages write down the X that the array was made of.
    """

    def __init__(
        self, X: np.ndarray, classes: Tensor | None = None, spelling: Spelling = OF_ARRAY
    ) -> None:
        self.X = X
        self.classes = classes
        self.spelling = spelling

    def __len__(self) -> int:
        return len(self.X)

    def __getitem__(self, i: Any) -> Tensor:
        return self.take(torch.tensor([i], device="cpu"))[0]

    @cached_property
    def tensor(self) -> Tensor | None:
        """The whole array as a tensor, or None for a memory-mapped one."""
        if _is_mapped(self.X):
            return None
        what = f"copying X, of shape {self.X.shape} and dtype {self.X.dtype}, for torch"
        remedy = "Pass fewer samples at once, or float32 or uint8 in memory that can be written to"
        with memory_explained(lambda: f"{what}. {remedy}"):
            return to_tensor(self.X)

    def take(self, index: Tensor) -> Tensor:
        """Return the rows at ``index``, shape (k, ...), in the array's dtype."""
        if self.tensor is not None:
            return self.tensor.index_select(0, index)
        return to_tensor(np.take(self.X, index.numpy(), axis=0))

    def rows(self, start: int, stop: int) -> Tensor:
        """Return consecutive rows, without a copy where they are in memory."""
        return to_tensor(self.X[start:stop])

    def read_through(self, step: int) -> Iterator[Tensor]:
        """Yield all rows, ``step`` at a time, without a copy where they are in memory."""
        return _read_through(self, step)

    def sample(self, most: int = STATISTICS_ROWS) -> Tensor:
        """Return at most ``most`` rows, spread evenly over all."""
        return self.take(spread_rows(len(self), most))


def _is_mapped(X: Any) -> bool:
    """Return whether an array's memory is a file; validation strips the type np.memmap off."""
    while X is not None:
        if isinstance(X, (np.memmap, mmap.mmap)):
            return True
        X = getattr(X, "base", None)
    return False


def to_tensor(X: np.ndarray) -> Tensor:
    """Return X as a tensor, sharing memory wherever torch can."""
    if X.dtype.kind in "iu" and X.dtype != np.uint8:
        X = X.astype(np.result_type(X.dtype, np.float32))  # float64 for what float32 would round
    elif X.dtype.kind == "f" and X.dtype.itemsize > 8:
        X = X.astype(np.float64)  # torch has nothing wider
    elif X.dtype.byteorder not in "=|":
        X = X.astype(X.dtype.newbyteorder("="))
    if not X.flags.writeable or any(stride < 0 for stride in X.strides):
        X = np.array(X)  # also turns a np.memmap chunk into plain memory
    return torch.from_numpy(X)


class ReadLater(Rows):
    """Rows whose values are checked when they are read, but for the first.

    Attributes
    ----------
    bounded : bool
        Whether values must lie in [0, 1].
    white : int
        The highest level that uint8 may have.
    where, in_range : str
        What messages call the rows, and what comes before the remedy of a range.
    """

    bounded: bool = False
    white: int = 255
    where: str = ""
    in_range: str = ""

    def check(self, x: np.ndarray) -> None:
        """Refuse values that cannot be trained on, or differ from those of the first rows."""
        if x.dtype.kind == "f" and not isfinite(float(x.min()) + float(x.max())):
            raise ValueError(f"X has {self.where} with NaN or inf. Mend or drop them.")
        if x.dtype == np.uint8 and self.white < x.max():
            raise ValueError(
                f"X has {self.where} with values up to {x.max()}, but the first were masks, of 0 "
                "and 1. Give bool for masks, and else uint8 of 0 to 255, x * 255."
            )
        remedy = f"[0, 1] is needed{self.in_range}."
        check_values(
            x, bounded=self.bounded, remedy=lambda x: f"{remedy} {self.spelling.remedy(x)}"
        )


class ItemsReadLater(ReadLater):
    """The items, x or (x, ...), of what a user has written.

    Attributes
    ----------
    form : tuple
        Shape and dtype of the first item, which all others have to have; empty before it is read.
    """

    spelling = OF_ITEMS
    where, in_range = "items", ", of the Dataset's transforms"
    form: tuple[Any, ...] = ()
    _workers: Workers | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in vars(self).items() if k not in ("classes", "_workers")}

    def _stacked(self, items: Iterable[Any]) -> Tensor:
        """Return items, checked, as one tensor."""
        images = [*map(_image_of, items)]
        remedy = "Add torchvision.transforms.v2.Resize((height, width)) to its transforms."
        check_one_shape(images, lambda _: remedy)
        for image in images:
            self.form = self.form or (image.shape, image.dtype)
            if (now := (image.shape, image.dtype)) != self.form:
                a, b = (f"{tuple(shape)} and {dtype}" for shape, dtype in (self.form, now))
                what = f"X has items of shape and type {a}, and others of {b}"
                raise ValueError(f"{what}. Give all items the same.")
        x = torch.stack(images).cpu()
        x = x.float() if x.dtype == torch.bfloat16 else x  # NumPy has no bfloat16
        self.check(x.numpy())
        return to_tensor(x.numpy()) if x.dim() == 2 else x  # as an array's rows


class ItemDataset(ItemsReadLater):
    """A user's map-style torch Dataset, its items stacked to batches.

    Parameters
    ----------
    data : torch.utils.data.Dataset
        Of tensors or arrays; its ``__getitems__`` is used where it has one.
    workers : int, default=0
        How many processes read the items. What items draw depends on their batch, and not on this.
    """

    def __init__(self, data: Dataset, workers: int = 0) -> None:
        if isinstance(data, IterableDataset) or not hasattr(data, "__len__"):
            raise TypeError(
                f"{type(data).__name__} is a stream, or has no length. Only VAETransformer reads "
                f"streams. Pass a map-style Dataset, or an array: {as_array_of('X')}."
            )
        self.data, self.workers = data, workers

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, i: int) -> Tensor:
        return _image_of(self.data[i])

    def take(self, index: Tensor) -> Tensor:
        """Return the items at ``index`` as one tensor, shape (k, ...)."""
        what = f"reading {len(index)} items of X, a {type(self.data).__name__:.100}, at once"
        remedy = "Let it return smaller items, for example resized ones, or uint8"
        many = getattr(self.data, "__getitems__", None)
        with memory_explained(lambda: f"{what}. {remedy}"):
            rows = index.tolist()
            return self._stacked(many(rows) if many else map(self.data.__getitem__, rows))

    def read(self, indices: Iterable[Tensor], seed: int = 0) -> Iterator[Tensor]:
        """Yield the items at each index, each batch drawn with a seed of its own."""
        listed = list(indices)  # what they draw comes before what the items draw
        jobs = [(seed + k, index) for k, index in enumerate(listed)]
        if self.workers == 0 or len(jobs) < 2 or (self._workers and self._workers.busy):
            return map(self.drawn, jobs)
        self._workers = self._workers or Workers(self, self.workers)
        return self._workers.run(jobs)

    def drawn(self, job: tuple[int, Tensor]) -> Tensor:
        """Return the items at an index; what they draw is by a seed."""
        seed, index = job
        with draws_seeded(seed):
            return self.take(index)


def _image_of(item: Any) -> Tensor:
    """Return x of a Dataset's item, which is x or (x, ...), as a tensor."""
    x = item[0] if isinstance(item, (tuple, list)) and len(item) else item
    if isinstance(x, np.ndarray) and x.dtype.kind in "buif":
        return torch.from_numpy(np.array(x, x.dtype.newbyteorder("=")))  # torch takes no other
    if isinstance(x, Tensor):
        return x.detach()
    kind, remedy = type(x).__name__, "Return one of these, or a tuple that begins with it."
    if isinstance(x, Mapping):
        kind += f" with the keys {reprlib.repr(list(x))}"
        remedy = "Wrap it in a Dataset whose __getitem__ returns what is under the images' key."
    elif isinstance(x, str | bytes | PathLike):
        remedy = "For files, pass sklearn_vae.datasets.ImageReader(size=32).fit_transform(paths)."
    elif isinstance(x, np.ndarray):
        kind += f" of dtype {x.dtype}"
    elif hasattr(x, "__array_interface__"):  # of Pillow
        remedy = "Add torchvision.transforms.v2.ToImage() to its transforms."
    raise TypeError(f"The Dataset's items hold {kind}; tensors or arrays are needed. {remedy}")


def as_array_of(name: str, first: Any = None) -> str:
    """Return an expression that reads all items of a data set, like the first, into an array."""
    x = "x"
    is_pair = isinstance(first, tuple | list) and len(first) > 0
    if is_pair and not isinstance(first[0], list | float | int):
        x, first = "x[0]", first[0]
    if isinstance(first, Mapping):
        images = [key for key, value in first.items() if np.ndim(value) > 1]
        x += f"[{next(iter(images), 'image')!r}]"
    return f"np.stack([np.asarray({x}) for x in {name}])"


def check_one_shape(samples: Iterable[Any], remedy: Callable[[list[tuple[int, ...]]], str]) -> None:
    """Refuse samples of several shapes; ``remedy`` gets these, sorted."""
    shapes = sorted({tuple(x.shape) for x in samples})
    if len(shapes) > 1:
        found = ", ".join(map(str, shapes[:3]))
        raise ValueError(f"X has samples of several sizes: {found}. {remedy(shapes)}")


class ResidentDataset(Rows):
    """Rows of a tensor on a GPU, which stay there."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor

    def __len__(self) -> int:
        return len(self.tensor)

    def take(self, index: Tensor) -> Tensor:
        """Return the rows at ``index``, shape (k, ...)."""
        return self.tensor.index_select(0, index)

    def rows(self, start: int, stop: int) -> Tensor:
        """Return consecutive rows, without a copy."""
        return self.tensor[start:stop]

    def read_through(self, step: int) -> Iterator[Tensor]:
        """Yield all rows, ``step`` at a time, without a copy."""
        return _read_through(self, step)


def _read_through(data: Rows, step: int) -> Iterator[Tensor]:
    n = len(data)
    return (data.rows(start, min(start + step, n)) for start in range(0, n, step))


class Part(Rows):
    """Some rows of others, which stay where they are.

    Parameters
    ----------
    of : Rows
    index : Tensor of shape (n,)
        Their numbers.
    """

    def __init__(self, of: Rows, index: Tensor) -> None:
        self.of, self.index, self.spelling = of, index, of.spelling

    def __len__(self) -> int:
        return len(self.index)

    def take(self, index: Tensor) -> Tensor:
        """Return the rows at ``index``, shape (k, ...)."""
        return self.of.take(self.index[index])

    def read(self, indices: Iterable[Tensor], seed: int = 0) -> Iterator[Tensor]:
        """Yield the rows at each index."""
        return self.of.read((self.index[index] for index in indices), seed)

    def order(self, rows: Tensor, batch_size: int, generator: torch.Generator | None) -> Tensor:
        """Return numbers that shuffle the given rows."""
        return self.of.order(self.index[rows], batch_size, generator)


def check_enough(n: int, at_least: int) -> None:
    """Refuse fewer samples than that."""
    if n < at_least:
        raise ValueError(f"X has {n} sample(s); at least {at_least} are needed.")


def rows_of(data: Rows, chosen: np.ndarray) -> Rows:
    """Return the samples where ``chosen``, shape (n,), is True as an X of their own.

    What is on disk stays there.
    """
    index = np.flatnonzero(chosen)
    if isinstance(data, ArrayDataset) and data.tensor is not None:
        remedy = "Pass fewer samples, a smaller dtype (uint8 for images), or a torch Dataset"
        with memory_explained(lambda: f"copying a part of X. {remedy}"):
            return ArrayDataset(data.X[index], spelling=data.spelling)
    return Part(data, torch.from_numpy(index))

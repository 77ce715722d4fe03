"""X from a call: whatever container it is in, as checked rows."""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite, prod
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from ..utils._memory import memory_explained
from ._columns import ColumnDataset, is_image_table
from ._ranges import IMAGES, Spelling, check_values, in_unit_range
from ._rows import (
    ArrayDataset,
    ItemDataset,
    Part,
    ReadLater,
    ResidentDataset,
    Rows,
    check_enough,
)
from ._samples import spelling, to_array
from ._spec import (
    WHITE,
    InputSpec,
    check_same,
    check_shape,
    read_array,
    read_spec,
    warn_of_darkness,
    with_white,
)
from ._stored import StoredDataset, is_stored
from ._streams import StreamDataset, is_stream

FIRST_ITEMS = 64
"""Rows that are checked before training of what is read later; the others when they are read."""


def read(X: Any, names_of: Any, spec: InputSpec, *, bounded: bool) -> Rows:
    """Return the samples of an X that has to be in the form of the fitted one.

    Parameters
    ----------
    X : array-like, torch.Tensor, torch.utils.data.Dataset or rows that were read before
    names_of : estimator
        Whose names of columns X must have; its ``loader_workers`` read the items of a Dataset.
    spec : InputSpec
        The form of the fitted X.
    bounded : bool
        Whether values have to be in [0, 1].

    Raises
    ------
    TypeError, ValueError
        For an X of another form.
    """
    data, checked, spelled = _rows(X, names_of, spec)
    check_same(checked, spec, bounded=bounded, spelling=spelled)
    return with_checks(data, spec, bounded=bounded)


def read_first(
    X: Any,
    names_of: Any,
    image_shape: tuple[int, ...] | None,
    *,
    at_least: int,
) -> tuple[Rows, InputSpec, Callable[[str | None], None]]:
    """Return the samples of an X to fit to, their form, and what checks their range.

    The range depends on the likelihood, which may depend on the form: call the check with the name
    of a likelihood that takes values in [0, 1] alone, else None.

    Parameters
    ----------
    X : array-like, torch.Tensor or torch.utils.data.Dataset
    names_of : estimator
        Is given the names of X's columns, where it has any; its ``loader_workers`` read the items
        of a Dataset.
    image_shape : tuple of int or None
        The shape of images that come in rows.
    at_least : int
        How many samples there have to be.
    """
    data, checked, spelled = _rows(X, names_of, None, at_least=at_least)
    # scikit-learn sees the names of rows only.
    if isinstance(X, Dataset) or checked.ndim > 2:
        names_of.__dict__.pop("feature_names_in_", None)
    spec = with_white(read_spec(checked, image_shape, spelled), checked)

    def check(bounding: str | None) -> None:
        def remedy(X: np.ndarray) -> str:
            if spec.is_image:
                return f"{IMAGES} {spelled.remedy(X)}"
            needed = f"likelihood={bounding} needs [0, 1], for example of MinMaxScaler(clip=True)"
            return f"{needed}. Or set likelihood='gaussian', which takes any range."

        check_values(checked, bounded=bounding is not None, remedy=remedy)
        warn_of_darkness(checked, spec, spelled)

    return data, spec, check


def read_in_place(
    X: Any, names_of: Any, spec: InputSpec, device: torch.device, *, bounded: bool
) -> Rows:
    """Return what :func:`read` does; samples on a GPU, if it is ``device``, do not leave it."""
    is_there = isinstance(X, torch.Tensor) and X.device == device and device.type != "cpu"
    if is_there and len(X) and _has_range(X.detach(), spec, bounded=bounded):
        read(X[:1], names_of, spec, bounded=bounded)  # its form
        return ResidentDataset(X.detach())
    return read(X, names_of, spec, bounded=bounded)  # which says what is wrong


def _has_range(X: torch.Tensor, spec: InputSpec, *, bounded: bool) -> bool:
    """Return whether values may be as they are; False for types that are not taken in place."""
    if X.layout != torch.strided:
        return False
    if not X.is_floating_point():
        return X.dtype == torch.bool or (X.dtype == torch.uint8 and spec.white == WHITE)
    low, high = torch.stack([X.min(), X.max()]).cpu().tolist()
    return isfinite(high - low) and (not bounded or in_unit_range(low, high))


def with_checks(data: Rows, spec: InputSpec, *, bounded: bool) -> Rows:
    """Return the samples; those that are read later are checked then."""
    rows = data.of if isinstance(data, Part) else data
    if isinstance(rows, ReadLater):
        rows.bounded, rows.white = bounded, spec.white
    return data


def _rows(
    X: Any, names_of: Any, spec: InputSpec | None, *, at_least: int = 1
) -> tuple[Rows, np.ndarray, Spelling]:
    """Return samples, an array of those to check at once, and how messages write X down."""
    if isinstance(X, ArrayDataset):  # of an estimator that has looked at the names itself
        return X, X.X, X.spelling
    if isinstance(X, StreamDataset):
        first = X.first(FIRST_ITEMS).numpy()
        check_enough(len(first), at_least)
        return X, first, X.spelling
    if isinstance(X, Dataset) or is_stored(X) or is_image_table(X) or is_stream(X):
        later = read_later(X, getattr(names_of, "loader_workers", 0))
        check_enough(len(later), at_least)
        if is_stored(X):
            first = _rows(np.asarray(X[:FIRST_ITEMS]), names_of, spec)[1]
        else:
            first = later.rows(0, min(len(later), FIRST_ITEMS)).numpy()
        return later, first, later.spelling
    with memory_explained(lambda: _to_read(X)):
        array = to_array(X)
        spelled = spelling(X, array)
        shape = np.shape(array)
        if spec is not None and spec.is_image and len(shape) > 1 and prod(shape) == spec.n_features:
            check_shape(shape, spec, spelled)  # one image, which would be taken for rows
        checked = read_array(names_of, array, reset=spec is None, at_least=at_least)
    return ArrayDataset(checked), checked, spelled


def read_later(X: Any, workers: int) -> Rows:
    """Return the samples of a container that is read a batch at a time."""
    if isinstance(X, Part):
        return X
    if is_stored(X):
        return StoredDataset(X)
    return ItemDataset(ColumnDataset(X) if is_image_table(X) else X, workers)


def check_is_here(X: Any) -> None:
    """Refuse what a cache of trainings would know by where it is, not by its values."""
    why = "memory finds trainings by the values of X"
    check_numbered(X, why, "Set memory=None")
    if is_stored(X):
        raise ValueError(f"{why}, but this X is stored elsewhere. Set memory=None.")


def check_numbered(X: Any, why: str, remedy: str) -> None:
    """Refuse a stream, with what needs rows that have numbers."""
    if is_stream(X):
        raise ValueError(f"X, a {type(X).__name__}, is a stream, but {why}. {remedy}.")


def _to_read(X: Any) -> str:
    """Return what was asked for when there was no memory to read X, and a remedy."""
    of_shape = f" of shape {tuple(X.shape)}" if hasattr(X, "shape") else ""
    remedy = "Pass fewer samples at once, a smaller dtype (uint8 for images), or a torch Dataset"
    return f"reading X, a {type(X).__name__}{of_shape}. {remedy}"

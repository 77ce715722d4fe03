"""Labels and rows in the containers that users keep them in: what came in is what goes out."""

from __future__ import annotations

import sys
from math import prod
from typing import Any

import numpy as np
import torch

from ..input._samples import from_torch, is_pil


def is_table(X: Any) -> bool:
    """Return whether X is a data frame, or a column of one, of pandas or polars."""
    return hasattr(X, "iloc") or _is_polars(X)


def check_can_append(name: str, data: Any) -> None:
    """Refuse, before any training, containers of which no longer one can be made."""
    kind, package = type(data).__name__, type(data).__module__.partition(".")[0]
    if kind == "LazyFrame":
        raise TypeError(f"{name} is a {package} LazyFrame, without rows. Pass {name}.collect().")
    if hasattr(data, "to_pandas") and not is_table(data):
        raise TypeError(
            f"{name} is a {package} {kind}; synthetic rows are appended to data frames of pandas "
            f"and polars, arrays, tensors and lists. Pass {name}.to_pandas()."
        )


def append_rows(X: Any, new: np.ndarray) -> Any:
    """Return the user's X with new rows behind its own, in X's container and dtype.

    Parameters
    ----------
    X : ndarray, list, tuple, torch.Tensor or data frame of pandas or polars, of shape (n, ...)
        The user's rows; or lists, arrays and columns whose elements are images: arrays, tensors,
        Pillow's, or nested lists. A pandas frame's integer index goes on counting; others get
        ``synthetic_0``, ...
    new : ndarray of shape (m, ...)
        Rows of X's shape; rounded where X is of integers.

    Returns
    -------
    X_more : same container, of shape (n + m, ...)
        A copy.
    """
    columns = new.shape[1:] if isinstance(X, torch.Tensor | list | tuple) else np.shape(X)[1:]
    if prod(columns) != prod(new.shape[1:]):  # images in the cells of one column
        new = _in_cells(_elements(np.asarray(X, object).ravel(), new)).reshape(-1, *columns)
    return _appended(X, new)


def append_labels(y: Any, new: np.ndarray, X: Any = None) -> Any:
    """Return the user's y with the labels of new rows behind its own, in y's container and form.

    Parameters
    ----------
    y : array, list, tuple, torch.Tensor, Series or data frame of shape (n,), (n, 1), or one-hot \
            (n, k)
        The user's labels.
    new : ndarray of shape (m,)
        Labels; for a one-hot y, numbers of its columns.
    X : data frame, default=None
        The already lengthened rows, whose index a pandas y takes over.

    Returns
    -------
    y_more : same container, n + m long
        A copy.
    """
    shape = np.shape(y)[1:]
    one_hot = len(shape) == 1 and shape[0] > 1
    tail = np.eye(shape[0])[new] if one_hot else new.reshape(-1, *shape)
    return _appended(y, tail, X.index[len(y) :] if hasattr(X, "iloc") else None)


def _appended(data: Any, new: np.ndarray, index: Any = None) -> Any:
    """Return data with more behind it, which in pandas has the index."""
    if isinstance(data, torch.Tensor):
        return torch.cat([data, _as_tensor(new, data)])
    if isinstance(data, list | tuple):
        more: Any = type(data)(_elements(data, new))
        return data + more
    if hasattr(data, "iloc"):
        return _append_pandas(data, new, index)
    if _is_polars(data):
        return _append_polars(data, new)
    data = np.asarray(data)
    return np.concatenate([data, _cast(new, data.dtype)])


# -- elements of lists, and of arrays and columns of objects ---------------------------------------


def _elements(X: Any, new: np.ndarray) -> list[Any]:
    """Return new rows as elements like those of the sequence X."""
    if isinstance(X[0], torch.Tensor) or is_pil(X[0]):
        # Of images of several types, those that have the type in which all are read together.
        alike = (x for x in X if np.asarray(from_torch(x)).dtype == new.dtype)
        example = next(alike, X[0])
        return [_like(example, row) for row in new]
    dtype = np.result_type(*{x.dtype for x in X}) if _are_arrays(X) else np.asarray(X).dtype
    if new.dtype != object:
        new = _cast(new, dtype)
    return [_like(X[0], row) for row in new]


def _are_arrays(X: Any) -> bool:
    return all(isinstance(x, np.ndarray) for x in X)


def _like(example: Any, row: Any) -> Any:
    """Return a row in the type of a sample of the user's."""
    if isinstance(example, torch.Tensor):
        return _as_tensor(row, example)
    if is_pil(example):
        return _as_pil(row, example.mode)
    if isinstance(example, list | tuple):
        return type(example)(map(_like, example, row))
    if isinstance(row, np.generic) and not isinstance(example, np.generic):
        return row.item()
    return row


def _as_tensor(values: Any, like: torch.Tensor) -> torch.Tensor:
    values = np.asarray(values)
    if values.dtype.kind == "f" and not like.is_floating_point():
        values = np.rint(values)  # torch's cast cuts the decimals off
    return torch.from_numpy(values).to(like.device, like.dtype)


def _as_pil(pixels: np.ndarray, mode: str) -> Any:
    from PIL import Image

    image = Image.fromarray(pixels)
    if image.mode == mode:
        return image
    return Image.frombytes(mode, image.size, pixels.tobytes())  # HSV, say, which are read as RGB


def _in_cells(elements: list[Any]) -> np.ndarray:
    """Return a column of objects, which NumPy does not look into."""
    cells = np.empty(len(elements), object)
    for i, element in enumerate(elements):
        cells[i] = element
    return cells


# -- tables ----------------------------------------------------------------------------------------


def _is_polars(X: Any) -> bool:
    polars = sys.modules.get("polars")
    return polars is not None and isinstance(X, polars.DataFrame | polars.Series)


def _append_polars(table: Any, new: np.ndarray) -> Any:
    """Append to a frame or a series of polars; its dtypes and names stay."""
    import polars as pl

    if isinstance(table, pl.DataFrame):
        columns = new.reshape(len(new), table.width).T
        return pl.DataFrame(list(map(_append_polars, table.get_columns(), columns)))
    values = new
    if new.dtype.kind == "f" and table.dtype == pl.Boolean:
        values = new > 0.5
    elif new.dtype.kind == "f" and table.dtype.is_integer():
        values = np.rint(new)
    if table.dtype == pl.Object:  # which polars does not concatenate
        return pl.Series(table.name, [*table.to_list(), *values], pl.Object)
    if isinstance(table.dtype, pl.List | pl.Array):
        images = [np.asarray(image).tolist() for image in values]
        return pl.concat([table, pl.Series(table.name, images, table.dtype)])
    tail = pl.Series(table.name, values if values.dtype != object else values.tolist())
    if table.dtype == pl.Categorical:  # whose numbers of categories are each series' own
        return pl.concat([table.cast(pl.String), tail]).cast(table.dtype)
    return pl.concat([table, tail.cast(table.dtype)])


def _append_pandas(frame: Any, new: np.ndarray, index: Any = None) -> Any:
    """Append to a pandas object; its dtypes, names and index stay."""
    import pandas as pd

    if index is None:
        index = _more_index(frame.index, len(new))
    if frame.ndim == 1:
        tail = pd.Series(new, index=index, name=frame.name).astype(frame.dtype)
    else:
        rows = new.reshape(len(new), frame.shape[1])
        columns = [
            pd.Series(_as_kind(values, dtype), index=index, dtype=dtype)
            for values, dtype in zip(rows.T, frame.dtypes, strict=True)
        ]
        tail = pd.concat(columns, axis=1)
        tail.columns = frame.columns
    return pd.concat([frame, tail])


def _as_kind(values: np.ndarray, dtype: Any) -> Any:
    """Return values that a column of the dtype takes: the nearest integers or categories."""
    import pandas as pd

    if values.dtype.kind != "f":
        return values
    if isinstance(dtype, pd.CategoricalDtype):
        known = np.asarray(dtype.categories, float)
        nearest = np.abs(values[:, None] - known).argmin(1)
        return pd.Categorical.from_codes(nearest, dtype=dtype)
    if pd.api.types.is_bool_dtype(dtype):
        return values > 0.5
    return np.rint(values) if pd.api.types.is_integer_dtype(dtype) else values


def _more_index(index: Any, n: int) -> Any:
    """Return n new labels: numbers go on counting, others are called synthetic_0, ..."""
    import pandas as pd

    if len(index) and pd.api.types.is_integer_dtype(index.dtype):
        start = int(index.max()) + 1
        return pd.RangeIndex(start, start + n, name=index.name)
    return pd.Index([f"synthetic_{i}" for i in range(n)], name=index.name)


def _cast(new: np.ndarray, dtype: np.dtype) -> np.ndarray:
    if dtype.kind in "iu" and new.dtype.kind == "f":
        info = np.iinfo(dtype)
        return np.rint(new).clip(info.min, info.max).astype(dtype)
    return (new > 0.5) if dtype.kind == "b" and new.dtype.kind == "f" else new.astype(dtype)

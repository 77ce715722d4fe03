"""Labels and rows in the containers that users keep them in: what came in is what goes out."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch


def dense(X: Any) -> Any:
    """Return X, pandas' sparse columns made dense; anything else as it is."""
    if not hasattr(X, "iloc") or X.ndim != 2:
        return X
    sparse = {c: d.subtype for c, d in X.dtypes.items() if hasattr(d, "fill_value")}
    return X.astype(sparse) if sparse else X


def append_rows(X: Any, new: np.ndarray) -> Any:
    """Return the user's X with new rows behind its own, in X's container and dtype.

    Parameters
    ----------
    X : ndarray, list, torch.Tensor or data frame, of shape (n, ...)
        The user's rows. A frame's integer index goes on counting; others get ``synthetic_0``, ...
    new : ndarray of shape (m, ...)
        Rows of X's shape; rounded where X is an array or a frame of integers.

    Returns
    -------
    X_more : same container, of shape (n + m, ...)
        A copy.
    """
    if isinstance(X, torch.Tensor):
        if new.dtype.kind == "f" and not X.is_floating_point():
            new = np.rint(new)  # torch's cast cuts the decimals off
        return torch.cat([X, torch.from_numpy(new).to(X.device, X.dtype)])
    if isinstance(X, list):
        return X + new.tolist()
    if hasattr(X, "iloc"):
        return _append_frame(X, new)
    X = np.asarray(X)
    return np.concatenate([X, _cast(new, X.dtype)])


def append_labels(y: Any, new: np.ndarray, X: Any = None) -> Any:
    """Return the user's y with the labels of new rows behind its own, in y's container and form.

    Parameters
    ----------
    y : array, list, torch.Tensor, Series or data frame of shape (n,), (n, 1), or one-hot (n, k)
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
    if isinstance(y, torch.Tensor):
        return torch.cat([y, torch.from_numpy(tail).to(y.device, y.dtype)])
    if isinstance(y, list):
        return y + tail.astype(tail.dtype if tail.dtype == object else np.asarray(y).dtype).tolist()
    if hasattr(y, "iloc"):
        index = X.index[len(y) :] if hasattr(X, "index") and hasattr(X, "iloc") else None
        return _append_frame(y, tail, index)
    y = np.asarray(y)
    return np.concatenate([y, tail.astype(y.dtype)])


def _append_frame(frame: Any, new: np.ndarray, index: Any = None) -> Any:
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

"""Labels and rows in the containers that users keep them in: what came in is what goes out."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch


def dense(X: Any) -> Any:
    """Return X, pandas' sparse columns made dense."""
    sparse = hasattr(X, "iloc") and any(hasattr(dtype, "fill_value") for dtype in X.dtypes)
    return X.sparse.to_dense() if sparse else X


def append_rows(X: Any, new: np.ndarray) -> Any:
    """Return the user's X with new rows behind its own, in X's container and dtype."""
    if isinstance(X, torch.Tensor):
        return torch.cat([X, torch.from_numpy(new).to(X.device, X.dtype)])
    if isinstance(X, list):
        return X + new.tolist()
    if hasattr(X, "iloc"):
        return _append_frame(X, new)
    X = np.asarray(X)
    return np.concatenate([X, _cast(new, X.dtype)])


def append_labels(y: Any, new: np.ndarray, X: Any = None) -> Any:
    """Return the user's y with the labels of new rows behind its own, in y's container.

    A Series takes over the index of ``X``, the already lengthened rows, if they have one.
    """
    if isinstance(y, torch.Tensor):
        return torch.cat([y, torch.from_numpy(new).to(y.device, y.dtype).reshape(-1, *y.shape[1:])])
    if isinstance(y, list):
        return [*y, *new.tolist()]
    if hasattr(y, "iloc"):
        index = X.index[len(y) :] if hasattr(X, "index") and hasattr(X, "iloc") else None
        return _append_frame(y, new, index)
    y = np.asarray(y)
    if y.ndim == 2 and y.shape[1] > 1:  # one-hot
        return np.concatenate([y, np.eye(y.shape[1], dtype=y.dtype)[new]])
    return np.concatenate([y, new.astype(y.dtype).reshape(-1, *y.shape[1:])])


def _append_frame(frame: Any, new: np.ndarray, index: Any = None) -> Any:
    """Append to a pandas object; its dtypes, names and index stay."""
    import pandas as pd

    if index is None:
        index = _more_index(frame.index, len(new))
    if frame.ndim == 1:
        tail = pd.Series(new, index=index, name=frame.name).astype(frame.dtype)
    else:
        tail = pd.DataFrame(
            new.reshape(len(new), frame.shape[1]), columns=frame.columns, index=index
        )
        kinds = dict(zip(frame.columns, frame.dtypes, strict=True))
        whole = [c for c, d in kinds.items() if pd.api.types.is_integer_dtype(d)]
        if whole and new.dtype.kind == "f":
            tail[whole] = tail[whole].round()
        tail = tail.astype(kinds)
    return pd.concat([frame, tail])


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

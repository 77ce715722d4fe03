"""Samples in the containers that people keep them in: as arrays, or what to pass instead."""

from __future__ import annotations

import reprlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, time, timedelta
from os import PathLike
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from ._ranges import Spelling
from ._rows import as_array_of, check_one_shape

PIXEL_MODES = ("1", "L", "LA", "RGB", "RGBA", "F", "I", "I;16", "I;16B", "I;16L")
"""Modes of Pillow's images whose numbers are levels of grey, or of red, green and blue."""


def from_torch(X: Any) -> Any:
    """Return a tensor, of any device, as an array; anything else as it is."""
    if not isinstance(X, torch.Tensor):
        return X
    if X.is_nested:
        raise ValueError("X has samples of several sizes. Resize them to one.")
    if X.layout != torch.strided:
        raise TypeError(f"X is a tensor of layout {X.layout}. Pass a dense one: X.to_dense().")
    X = X.detach().cpu()
    held = X.dtype in (torch.float16, torch.float32, torch.float64) or not X.is_floating_point()
    return (X if held else X.float()).numpy()  # NumPy has no bfloat16


def to_array(X: Any) -> Any:
    """Return samples as an array, or as the table that they are in.

    Lists, object arrays and columns of images are stacked.

    Raises
    ------
    TypeError
        For what would have to be read first, or holds more than samples.
    ValueError
        For text, bytes, and samples of several shapes.
    """
    X = from_torch(X)
    if isinstance(X, Dataset) or hasattr(X, "toarray"):  # or sparse: whoever can do with them
        return X
    refuse_container(X)
    if isinstance(X, Sequence):
        return _stacked(X) if len(X) else np.empty((0, 1))
    names = _column_names(X)
    if names is None and not isinstance(X, np.ndarray):
        X = np.asarray(X)
    if np.shape(X) == () or len(X) == 0:
        return X
    head = np.asarray(X.iloc[:1] if hasattr(X, "iloc") else X[:1])
    if head.dtype.kind in "mMV":
        raise ValueError(f"X has dtype {head.dtype}. Pass numbers: each column as a float.")
    if head.dtype.kind not in "OUS":
        return X
    if head.size == 1:
        return _stacked(np.asarray(X).ravel()) if _is_sample(head.flat[0]) else X
    for name, cell in zip(names or range(head.size), head.flat, strict=False):
        column = f"Column {name!r} of X holds"
        if isinstance(cell, date | time | timedelta):
            kind = type(cell).__name__
            raise ValueError(f"{column} {kind}. Pass numbers: each column as a float.")
        if isinstance(cell, str | bytes | PathLike):
            refuse_sample(cell)
        if isinstance(cell, np.ndarray | list) or is_pil(cell):
            raise ValueError(f"{column} images, not alone. Pass them alone: X[{name!r}].")
    return X


def dense(X: Any) -> Any:
    """Return X, pandas' sparse columns made dense; anything else as it is."""
    if not hasattr(X, "iloc") or X.ndim != 2:
        return X
    sparse = {c: d.subtype for c, d in X.dtypes.items() if hasattr(d, "fill_value")}
    return X.astype(sparse) if sparse else X


def _column_names(X: Any) -> list[Any] | None:
    """Return the names of a table's columns; None for what is no table."""
    names = getattr(X, "column_names", getattr(X, "columns", None))  # pyarrow's come first
    return None if names is None else list(names)


def spelling(X: Any, array: Any) -> Spelling:
    """Return how messages are to write down the user's X, of which :func:`to_array` made array."""
    if isinstance(X, torch.Tensor):
        return Spelling(tensors=True)
    if array is not X:
        names = _column_names(X)
        return Spelling(f"np.stack(X[{names[0]!r}])" if names else "np.stack(X)")
    if hasattr(X, "iloc"):
        return Spelling(array="np.asarray(X)")
    if not isinstance(X, np.ndarray):
        return Spelling("np.asarray(X)")
    return Spelling("X.astype(float)" if X.dtype == object else "X")


def refuse_container(X: Any) -> None:
    """Refuse what is no array, no table and no list of samples."""
    kind = type(X).__name__
    if is_pil(X):
        raise TypeError("X is one image. Pass a list of images: [X].")
    if isinstance(X, np.ma.MaskedArray) and np.ma.is_masked(X):
        raise ValueError("X has masked values. Fill them: X.filled(0).")
    if isinstance(X, DataLoader):
        raise TypeError("X is a DataLoader. Pass what it loads, loader.dataset, here X.dataset.")
    refuse_sample(X)
    if isinstance(X, Iterator):
        raise TypeError(f"X, a {kind}, can be read only once. Pass an array: {as_array_of('X')}.")
    if hasattr(X, "shape") and (hasattr(X, "chunks") or hasattr(X, "compute")):
        raise TypeError(
            f"X, a {type(X).__module__.partition('.')[0]}.{kind}, would be read as a whole. Pass "
            "np.asarray(X) if memory holds it, else np.load(path, mmap_mode='r') of a .npy file."
        )
    if kind == "LazyFrame":
        raise TypeError("X is a LazyFrame, without rows. Pass X.collect().")
    known = ("__array__", "__array_interface__", "__dataframe__")
    is_read = isinstance(X, Sequence) or any(hasattr(X, name) for name in known)
    if isinstance(X, type) or not is_read:
        raise TypeError(
            f"X is of type {kind}. Pass an array, a tensor, a data frame, a list of images, or a "
            "map-style data set of a class that derives from torch.utils.data.Dataset."
        )


def _is_sample(x: Any) -> bool:
    """Return whether x, a cell of an array of objects, is a sample of its own, good or bad."""
    kinds = np.ndarray | torch.Tensor | list | tuple | str | bytes | PathLike | Mapping
    return x is None or isinstance(x, kinds | Dataset | DataLoader) or is_pil(x)


def is_pil(x: Any) -> bool:
    """Return whether x is an image of Pillow's, which is not imported for that."""
    return isinstance(x, getattr(sys.modules.get("PIL.Image"), "Image", ()))


def refuse_sample(x: Any) -> None:
    """Refuse what is no image."""
    if x is None:
        raise ValueError("X is None, or has None among its samples. Pass images or rows.")
    if isinstance(x, str | PathLike):
        raise ValueError(
            f"X holds text, such as {reprlib.repr(str(x))}. Put "
            "sklearn_vae.datasets.ImageReader(size=32) in front, which takes a list of paths; "
            "load_image_folder(folder).data lists a folder's."
        )
    if isinstance(x, bytes):
        raise ValueError("X holds bytes. Decode each: np.asarray(PIL.Image.open(io.BytesIO(x))).")
    kind = type(x).__name__
    if isinstance(x, Mapping):
        keys = reprlib.repr(list(x))
        raise TypeError(f"X holds {kind} with the keys {keys}. Pass the images under one key.")
    if isinstance(x, Dataset | DataLoader):
        raise TypeError(f"X is a list of {kind}. Pass one Dataset: torch.utils.data.ConcatDataset.")


def _stacked(samples: Any) -> np.ndarray:
    """Return samples of one shape as an array."""
    for x in samples:
        refuse_sample(x)
    _refuse_pairs(samples)
    arrays = [as_array(x) for x in samples]
    check_one_shape(arrays, lambda shapes: _to_one_shape(samples[0], arrays[0], shapes))
    array = np.stack(arrays)
    if array.dtype.kind in "US":
        refuse_sample(array.flat[0].item())
    return array


def _refuse_pairs(samples: Any) -> None:
    """Refuse a list of what a Dataset gives: pairs of an image and its label."""
    x = samples[0]
    if not isinstance(x, list | tuple) or not 1 < len(x) < 4:
        return
    if (np.ndim(x[0]) > 1 or is_pil(x[0])) and not (np.ndim(x[-1]) or is_pil(x[-1])):
        raise ValueError("X holds pairs of image and label. Pass images: [x[0] for x in X].")


def _to_one_shape(x: Any, array: np.ndarray, shapes: list[tuple[int, ...]]) -> str:
    """Return, as a sentence, how samples like x, read as the array, come to have one shape."""
    if () in shapes:
        return "There are numbers, or missing values, among its samples: pass images or rows alone."
    if len(shapes[-1]) < 2:
        return "Rows need one length: pad or cut them."
    if len({shape[:2] for shape in shapes}) == 1:
        return "Give each as many channels, for example x.convert('RGB') of Pillow's."
    if is_pil(x):
        return "Resize each: x.resize((width, height))."
    if array.ndim == 2 or (array.dtype == np.uint8 and array.shape[-1] in (3, 4)):
        name = "np.float32(x)" if array.dtype.kind in "if" else "np.asarray(x)"  # Pillow's types
        return f"Resize each: PIL.Image.fromarray({name}).resize((width, height))."
    name = "torch.as_tensor(x)" + (".movedim(-1, 0)" if array.shape[-1] <= 4 else "")
    return f"Resize each: torchvision.transforms.v2.functional.resize({name}, [height, width])."


def as_array(x: Any) -> np.ndarray:
    """Return one sample, in whatever container, as an array."""
    if is_pil(x) and x.mode not in PIXEL_MODES:
        raise ValueError(f"X has images of mode {x.mode!r}. Convert each: x.convert('RGB').")
    nested = isinstance(x, list | tuple) and len(x) and _is_sample(x[0])
    if nested or (isinstance(x, np.ndarray) and x.dtype == object and _is_sample(x.flat[0])):
        return _stacked(x)
    return np.asarray(from_torch(x))

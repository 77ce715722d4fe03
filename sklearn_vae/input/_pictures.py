"""Images one after another, of one size or of many: arrays, lists, Datasets, files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from ..datasets._reader import check_files, read_paths, try_to_read
from ._ranges import IMAGES, OF_ARRAY, OF_ITEMS, Spelling, check_values
from ._rows import ItemDataset, check_enough, to_tensor
from ._samples import as_array, from_torch, refuse_container, refuse_sample
from ._spec import CHUNK_PIXELS, read_spec

MODES = {1: "L", 3: "RGB"}
"""How files are read, by the channels of the fitted images."""


@dataclass(frozen=True)
class Form:
    """What all images have in common, whatever their sizes.

    Attributes
    ----------
    channels : int
        1 to 4.
    dtype : str
        "uint8", "bool" or "float32".
    """

    channels: int
    dtype: str


class Pictures:
    """Images, each read when it is asked for.

    Parameters
    ----------
    n : int
        How many.
    get : callable
        Returns image number i as the user has it: an array or a tensor.
    spelling : Spelling
        How messages write down the user's X.
    form : Form or None
        What they have to be; None takes that of the first.
    is_array : bool, default=False
        Whether the user has them in one array.
    """

    def __init__(
        self,
        n: int,
        get: Callable[[int], Any],
        spelling: Spelling = OF_ARRAY,
        form: Form | None = None,
        is_array: bool = False,
    ) -> None:
        self.n, self.get, self.spelling, self.is_array = n, get, spelling, is_array
        self.given = form
        self.form = form or Form(*_form_of(self._arranged(0)))

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, i: int) -> torch.Tensor:
        """Return image i, checked, shape (channels, h, w)."""
        image = self._arranged(i)
        if (found := Form(*_form_of(image))) != self.form:
            of = "the images of fit have" if self.given else "X[0] has"
            raise ValueError(
                f"X[{i}] has {found.channels} channel(s) of {found.dtype}; {of} "
                f"{self.form.channels} of {self.form.dtype}. Give all images the same "
                "number of channels and the same dtype."
            )
        return to_tensor(np.ascontiguousarray(image))

    def chunks(self) -> Iterator[tuple[int, torch.Tensor]]:
        """Yield the number of a first image, and it with those behind it that have its size.

        Shape (k, channels, h, w): few pixels at a time, though at least one image.
        """
        held: list[torch.Tensor] = []
        for i in range(len(self)):
            image = self[i]
            full = sum(x[0].numel() for x in held) + image[0].numel() > CHUNK_PIXELS
            if held and (full or held[0].shape != image.shape):
                yield i - len(held), torch.stack(held)
                held = []
            held.append(image)
        yield len(self) - len(held), torch.stack(held)

    def _arranged(self, i: int) -> np.ndarray:
        """Return image i as (channels, h, w), its values checked."""
        x = as_array(self.get(i))
        spec = read_spec(x[None], None, self.spelling)
        if x.dtype.kind == "f":
            if not np.isfinite(x).all():
                raise ValueError(f"X[{i}] contains NaN or infinity. Mend or drop it.")
            check_values(x, bounded=True, remedy=lambda x: f"{IMAGES} {self.spelling.remedy(x)}")
            x = x.astype(np.float32, copy=False)
        x = np.moveaxis(x, -1, 0) if spec.channels_last else x
        return x.reshape(spec.shape)


def _form_of(image: np.ndarray) -> tuple[int, str]:
    return len(image), image.dtype.name


def read_pictures(X: Any, form: Form | None = None, *, at_least: int = 1) -> Pictures:
    """Return the images of an X, of which none is read but the first.

    Parameters
    ----------
    X : array-like, torch.Tensor, torch.utils.data.Dataset, list of arrays or list of paths
    form : Form, default=None
        Of the fitted images.
    at_least : int, default=1
        How many there have to be.

    Raises
    ------
    FileNotFoundError
        For paths that are no files.
    TypeError, ValueError
        For what is no set of images, and for images of another form.
    """
    n, get, spelling = _source(X, form)
    check_enough(n, at_least)
    is_array = getattr(X, "ndim", 0) > 2  # arrays of objects have a dimension or two
    return Pictures(n, get, spelling, form, is_array)


def _source(X: Any, form: Form | None) -> tuple[int, Callable[[int], Any], Spelling]:
    """Return how many images there are, what reads one, and how messages write X down."""
    if isinstance(X, Dataset):
        items = ItemDataset(X)
        return len(items), items.__getitem__, OF_ITEMS
    X = from_torch(X)
    refuse_container(X)
    if not isinstance(X, Sequence):
        X = np.asarray(X.to_numpy() if hasattr(X, "to_numpy") else X)
        X = list(X.ravel()) if X.dtype.kind in "OUS" else X
    if isinstance(X, np.ndarray) and X.ndim not in (3, 4):
        raise ValueError(
            f"patches need images, but X has shape {X.shape}. Pass (n, height, width), with or "
            "without channels, a list of images or of paths; of one image X[None]."
        )
    if len(X) and isinstance(X[0], str | PathLike):
        return len(X), _files(X, form), OF_ARRAY
    for x in X if isinstance(X, Sequence) else ():
        refuse_sample(x)
    spelling = OF_ARRAY if isinstance(X, np.ndarray) else Spelling("x")
    return len(X), X.__getitem__, spelling


def _files(X: Sequence[Any], form: Form | None) -> Callable[[int], np.ndarray]:
    """Return what reads one of the files, in the form of those that were fitted to."""
    from ..datasets._pixels import is_grey  # imports Pillow

    paths = read_paths(X)
    check_files(paths, paths, Path())
    if form is None:
        mode = "L" if all(map(is_grey, paths)) else "RGB"
    elif form.channels in MODES and form.dtype == "uint8":
        mode = MODES[form.channels]
    else:
        raise ValueError(
            f"X holds paths, but fit saw images of {form.channels} channel(s) of {form.dtype}, and "
            "files are read as uint8, grey or of three colours. Pass arrays like those of fit."
        )

    def read(i: int) -> np.ndarray:
        found = try_to_read(paths[i], None, "crop", mode)
        if isinstance(found, str):
            raise ValueError(f"{paths[i]} cannot be read: {found}. Leave it out of X.")
        return found

    return read

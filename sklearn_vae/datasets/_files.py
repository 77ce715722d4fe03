"""Image files as a torch Dataset: each is read when it is asked for."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from torch.utils.data import Dataset

from ._reader import MODES, try_to_read


class ImageFiles(Dataset):
    """Images of files, uint8 of one size and mode; what ``ImageReader(lazy=True)`` returns.

    Parameters
    ----------
    paths : sequence of str
    size : (int, int)
        Height and width.
    aspect, mode, errors : str
        As in :class:`ImageReader`.
    """

    def __init__(
        self, paths: Sequence[str], size: tuple[int, int], aspect: str, mode: str, errors: str
    ) -> None:
        self.paths, self.size, self.aspect, self.mode = paths, size, aspect, mode
        self.errors = errors

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, i: int) -> np.ndarray:
        found = try_to_read(self.paths[i], self.size, self.aspect, self.mode)
        if not isinstance(found, str):
            return found
        why = f"{self.paths[i]} cannot be read: {found}"
        if self.errors == "raise":
            raise ValueError(f"{why}\nLeave it out, or set errors='blank' for zeros.")
        warnings.warn(f"{why}\nIts row is zeros.", UserWarning, stacklevel=2)
        return np.zeros((*self.size, *MODES[self.mode]), np.uint8)

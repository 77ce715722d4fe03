"""The range that pixels are in, told from their values, and what brings them to [0, 1]."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..nn._scaling import ROUNDING

SPREAD_ROWS = 2000
"""Rows from which a range is told, at most."""
DARK = 16
"""Largest of the levels 0 to 255 that only another scale explains: masks of 0 and 1, 0 to 16."""
OVERSHOOT, RARE = 0.25, 0.05
"""How far, as a share of white, and in which share of the pixels resampling leaves the range."""
AIR, WINDOW = (-4096, -200), (-160, 240)
"""Hounsfield units: where the darkest voxels of a scan lie, and the usual window of soft tissue."""
IMAGES = "images are uint8 (0 to 255), bool, or float in [0, 1]."
"""What messages say of the ranges of images."""
STANDARDISED = 20
"""Standard deviations that no pixel is off its mean."""


@dataclass(frozen=True)
class Spelling:
    """How a remedy is written down for the user's X, so that it can be followed as it stands.

    Parameters
    ----------
    name : str, default="X"
        An expression for the samples as one array or tensor.
    tensors : bool, default=False
        Whether that is a torch tensor.
    array : str, default=""
        An expression for the samples as an array, where ``name`` is a data frame, which has no
        ``reshape``.
    """

    name: str = "X"
    tensors: bool = False
    array: str = ""

    def remedy(self, X: np.ndarray) -> str:
        """Return, as a sentence, how images of numbers X become uint8, bool or float in [0, 1]."""
        why, expression = self._to_unit(X)
        if X.dtype.kind in "iu" and X.min() >= 0 and full_scale(float(X.max())) == 255:
            why, expression = "Convert 8-bit levels:", self._cast(self.name, "uint8")
        elif X.dtype.kind == "f" and X.dtype.itemsize > 8:
            why, expression = "Use a narrower float:", self._cast(self.name, "float64")
        return f"{why} {expression}."

    def like_fitted(self, X: np.ndarray, dtype: str, white: int) -> str:
        """Return an expression for images X in the dtype and range of the fitted ones.

        Parameters
        ----------
        X : ndarray
        dtype : str
            Name of the fitted dtype.
        white : int, default=255
            The highest level of a fitted uint8.
        """
        levels, low, high = dtype == "uint8", X.min(), X.max()
        if levels and X.dtype.kind in "iu" and low >= 0 and high <= white:
            return self._cast(self.name, dtype)
        if X.dtype.kind in "biu" and low >= 0 and high <= 1:
            cast = self._cast(self.name, dtype if dtype in ("uint8", "bool") else "float32")
            return f"{cast} * {white}" if levels and white > 1 else cast
        if X.dtype == np.uint8 and high > DARK:
            unit = f"{self.name} / 255"
        else:
            unit = self.name if low >= 0 and high <= 1 else self._to_unit(X)[1]
        if dtype == "bool":
            return f"({unit}) > 0.5"
        return self._cast(f"({white} * ({unit})).round()", "uint8") if levels else unit

    def brighter(self, high: float, *, levels: bool) -> str:
        """Return, as a sentence, how images of so low a range come to fill it.

        Parameters
        ----------
        high : float
            The largest value.
        levels : bool
            Whether the range is 0 to 255.
        """
        if levels and high == 1:
            return f"To say so, pass {self._cast(self.name, 'bool')}, or {self.name} * 255."
        if not levels and 0.1 < 255 * high <= 1 + ROUNDING:
            return f"If they were divided by 255 twice, pass {self.name} * 255."
        return f"If {high:.8g} is white, pass {self.name} / {high:.8g}."

    def permuted(self, *axes: int) -> str:
        """Return an expression for X with its axes in another order."""
        return f"{self.name}.{'permute' if self.tensors else 'transpose'}{axes}"

    def _to_unit(self, X: np.ndarray) -> tuple[str, str]:
        """Return why and by which expression numbers X, not all in [0, 1], come to be in it."""
        low, high = float(X.min()), float(X.max())
        whole = X.dtype.kind in "iu"
        name = self._cast(self.name, "float32") if whole else self.name
        if whole and low >= 0 and high <= 1:
            return "Masks are bool:", self._cast(self.name, "bool")
        for white in () if whole else (1, 255):
            if _overshoots(X, low, high, white):
                scaled = name if white == 1 else f"({name} / {white})"
                return "Clip what resampling left beyond the range:", f"{scaled}.clip(0, 1)"
        if low >= 0:
            divisor = f"{full_scale(high):.8g}"
            return f"Divide by {divisor}:", f"{name} / {divisor}"
        if AIR[0] <= low <= AIR[1] and high > WINDOW[1]:
            return "Take a window of Hounsfield units, for example", _mapped(name, *WINDOW)
        if not whole and low >= -1 - ROUNDING and high <= 1 + ROUNDING:
            return "Undo the normalisation:", f"({name} + 1) / 2"
        standardised = not whole and max(-low, high) < STANDARDISED
        step = "If standardised, leave that step out (Normalize, StandardScaler). " * standardised
        return f"{step}Map the range:", _mapped(name, low, high)

    def _cast(self, expression: str, dtype: str) -> str:
        if self.tensors:
            return f"{expression}.to(torch.{dtype})"
        return f"{expression}.astype({'bool' if dtype == 'bool' else f'np.{dtype}'})"


OF_ARRAY = Spelling()
"""For an array, X itself."""
OF_ITEMS = Spelling("x", tensors=True)
"""For the items of a torch Dataset."""


def in_unit_range(low: float, high: float) -> bool:
    """Return whether values from low to high are in [0, 1], but for rounding."""
    return low >= -ROUNDING and high <= 1 + ROUNDING


def check_values(X: np.ndarray, *, bounded: bool, remedy: Callable[[np.ndarray], str]) -> None:
    """Refuse values outside [0, 1] where ``bounded``; uint8 and bool always fit."""
    if not bounded or X.dtype in (np.uint8, np.bool_):
        return
    low, high = X.min(), X.max()
    if not in_unit_range(low, high):
        raise ValueError(f"X has values from {low:.8g} to {high:.8g}; {remedy(X)}")


def _mapped(name: str, low: float, high: float) -> str:
    """Return the expression that maps [low, high] to [0, 1] and clips."""
    return f"(({name} - {low:.6g}) / {high - low:.6g}).clip(0, 1)".replace("- -", "+ ")


def full_scale(high: float) -> float:
    """Return what white is where ``high`` is the largest value: 255, 4095, 65535, or ``high``."""
    if high <= 127:
        return high
    return next((2.0**bits - 1 for bits in range(8, 17) if high <= 2**bits - 1), high)


def darkness(X: np.ndarray) -> float | None:
    """Return the largest value of images that look like ones of another range, else None.

    X is read as a whole only where spread rows of it are almost black. No other range explains
    images that are black altogether.
    """
    most = DARK * (1 if X.dtype == np.uint8 else (1 + ROUNDING) / 255)
    if _spread(X).max() > most or not 0 < (high := float(X.max())) <= most:
        return None
    return high


def _spread(X: np.ndarray) -> np.ndarray:
    return X[:: max(1, -(-len(X) // SPREAD_ROWS))]


def _overshoots(X: np.ndarray, low: float, high: float, white: float) -> bool:
    """Return whether values lie in [0, white] but for a few just beyond."""
    if low < -OVERSHOOT * white or not white / 2 < high <= (1 + OVERSHOOT) * white:
        return False
    if low >= 0 and high <= white:
        return False
    rows = _spread(X)
    return float(np.mean((rows < 0) | (rows > white))) < RARE

"""Bases of the displays: matplotlib is there, the fitted VAE is found, the axes are taken."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from sklearn.utils.validation import check_is_fitted

from ._docstring import fill_in
from ._estimators import Kind, find, remedy
from ._plotting import merged, mosaic

if TYPE_CHECKING:
    from typing import Self

    from matplotlib.axes import Axes
else:
    Axes = Any

TILE_INCHES = 0.8
"""Width of a tile in a figure of the display's own, unless that makes the figure too large."""
FIGURE_INCHES = (12, 9)
"""Width and height that the tiles of such a figure have together, at most."""


class Display:
    """Base of all displays: fills docstrings in, finds the fitted VAE, takes the axes."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        fill_in(cls)

    @classmethod
    def _resolve(cls, estimator: Any, kind: type[Kind], X: Any = None) -> tuple[Kind, Any]:
        """Return the fitted estimator of that kind inside, and X as it sees it.

        Looks into FrozenEstimators and Pipelines; X, where given, goes through the steps before.
        """
        _check_matplotlib(f"{cls.__name__}.from_estimator")
        found = find(estimator, kind)
        if found is None:
            raise TypeError(
                f"A {kind.__name__} is needed, alone, in a FrozenEstimator or as a step of a "
                f"Pipeline; got {type(estimator).__name__}. {remedy(estimator, kind)}"
            )
        steps, inner = found
        check_is_fitted(inner)
        if X is not None:
            for step in steps:
                X = step.transform(X)
        return inner, X

    def _axes(self, ax: Any, figsize: tuple[float, float], n: int = 1) -> np.ndarray:
        """Return the given axes, or n side by side in a new figure of that size, in inches."""
        _check_matplotlib(f"{type(self).__name__}.plot")
        if ax is not None:
            return np.atleast_1d(ax).ravel()
        import matplotlib.pyplot as plt

        return plt.subplots(1, n, squeeze=False, figsize=figsize, layout="constrained")[1][0]


class Grid(NamedTuple):
    """Tiles (n_rows, n_cols, h, w[, c]), labels beside rows and above columns, what is below."""

    tiles: np.ndarray
    rows: Sequence[str] = ()
    columns: Sequence[str] = ()
    below: str = ""


@dataclass(eq=False, repr=False)
class TileDisplay(Display, ABC):
    """Base of the displays of images: one mosaic in one axes, tile (i, j) centred at (j, i)."""

    image_shape: tuple[int, ...] | None = field(default=None, kw_only=True)

    @abstractmethod
    def _grid(self) -> Grid:
        """Return what is drawn; refuse arrays that cannot be."""

    def plot(self, *, ax: Axes | None = None, **kwargs: Any) -> Self:
        """Draw the images.

        Parameters
        ----------
        %(ax)s
        **kwargs : dict
            For matplotlib's ``imshow``, such as ``cmap``.

        %(drawn)s
        """
        tiles, rows, columns, below = self._grid()
        n_rows, n_cols, h, w = tiles.shape[:4]
        picture = mosaic(tiles)
        self.ax_ = ax = self._axes(ax, _figsize(n_rows, n_cols, h / w))[0]
        self.figure_ = ax.figure
        look = merged({"cmap": "gray", "vmin": 0, "vmax": 1}, kwargs)
        extent = (-0.5, n_cols - 0.5, n_rows - 0.5, -0.5)
        aspect = picture.shape[0] * n_cols / (picture.shape[1] * n_rows)
        self.im_ = ax.imshow(picture, extent=extent, aspect=aspect, **look)
        ax.set_xticks(range(len(columns)), columns)
        ax.set_yticks(range(len(rows)), rows)
        ax.tick_params(length=0, labeltop=True, labelbottom=False)
        ax.spines[:].set_visible(False)
        if below:
            ax.set_xlabel(below)
        return self


def _check_matplotlib(caller: str) -> None:
    """Raise an ImportError that names the extra where matplotlib is missing."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f'{caller} needs matplotlib. Install it with pip install "sklearn-vae[plot]".'
        ) from error


def _figsize(n_rows: int, n_cols: int, ratio: float) -> tuple[float, float]:
    """Return the size of a figure that fits tiles of that height to width."""
    tile = min(TILE_INCHES, FIGURE_INCHES[0] / n_cols, FIGURE_INCHES[1] / (n_rows * ratio))
    return max(3.0, n_cols * tile + 1), max(1.0, n_rows * tile * ratio + 0.4)

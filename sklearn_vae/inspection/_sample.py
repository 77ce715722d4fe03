"""Generated images: draws from the prior, or synthetic images by class."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np
from sklearn.utils import check_consistent_length

from .._transformer import VAETransformer
from ..utils._counts import check_count
from ._display import Axes, Grid, TileDisplay
from ._estimators import image_shape_of
from ._plotting import as_images, as_labels, in_rows


@dataclass(eq=False, repr=False)
class SampleDisplay(TileDisplay):
    """A grid of generated images; with labels, one row per class.

    Make one with :meth:`from_estimator`, which draws from the prior, or :meth:`from_arrays`. All
    parameters are kept as attributes.

    Parameters
    ----------
    images : %(images)s
    y : array-like of shape (n,), default=None
        Their classes.
    %(image_shape)s
    n_cols : int, default=10
        Images in a row. With ``y`` the first so many of each class are drawn, without it all.

    Attributes
    ----------
    classes_ : ndarray of shape (n_rows,)
        The class of each row of the grid, sorted; None without ``y``.
    im_ : matplotlib.image.AxesImage
        The mosaic. The image in row i and column j is centred at x = j, y = i.
    %(axes)s

    Examples
    --------
    >>> from sklearn_vae import VAEAugmenter
    %(fitted)s
    >>> from sklearn_vae.inspection import SampleDisplay
    >>> SampleDisplay.from_estimator(vae, n_samples=30, random_state=0)
    <...SampleDisplay object at ...>

    Synthetic images of a :class:`~sklearn_vae.VAEAugmenter`:

    >>> from sklearn.frozen import FrozenEstimator
    >>> augmenter = VAEAugmenter(vae=FrozenEstimator(vae), n_new=10, random_state=0)
    >>> X_more, y_more = augmenter.fit_resample(X, y)
    >>> new = augmenter.is_synthetic_
    >>> SampleDisplay.from_arrays(X_more[new], y_more[new]).classes_
    array([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    """

    images: Any
    y: Any = None
    _: KW_ONLY
    n_cols: int = 10

    def _grid(self) -> Grid:
        images = as_images(self.images, self.image_shape)
        n_cols = check_count("n_cols", self.n_cols)
        if self.y is None:
            self.classes_ = None
            return Grid(in_rows(images, min(n_cols, len(images))))
        y = as_labels(self.y)
        check_consistent_length(images, y)
        self.classes_ = np.unique(y)
        rows = [images[y == label][:n_cols] for label in self.classes_]
        n_cols = max(map(len, rows))
        tiles = np.concatenate([in_rows(row, n_cols) for row in rows])
        return Grid(tiles, rows=[str(label) for label in self.classes_])

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        n_samples: int = 50,
        n_cols: int = 10,
        random_state: int | np.random.RandomState | None = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> SampleDisplay:
        """Draw codes from the prior, decode them and draw the images.

        Parameters
        ----------
        estimator : VAETransformer, FrozenEstimator or Pipeline
            The fitted VAE, or what holds it. Steps of a pipeline before it are not undone.
        n_samples : int, default=50
            How many.
        n_cols : int, default=10
            Images in a row.
        random_state : int, RandomState instance or None, default=None
            None takes the VAE's own ``random_state``.
        %(drawing)s

        %(raises)s
        """
        vae, _ = cls._resolve(estimator, VAETransformer)
        shape = image_shape_of(vae)
        images = vae.sample(n_samples, random_state=random_state)
        return cls(images, n_cols=n_cols, image_shape=shape).plot(ax=ax, **kwargs)

    @classmethod
    def from_arrays(
        cls,
        images: Any,
        y: Any = None,
        *,
        n_cols: int = 10,
        image_shape: tuple[int, ...] | None = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> SampleDisplay:
        """Draw images that were made elsewhere, by class where there are labels.

        Parameters
        ----------
        images, y, n_cols, image_shape
            See :class:`SampleDisplay`.
        %(drawing)s
        """
        return cls(images, y, n_cols=n_cols, image_shape=image_shape).plot(ax=ax, **kwargs)

"""Generated images: draws from the prior, or synthetic images by class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils import check_consistent_length

from .._images import check_count
from .._transformer import VAETransformer
from ._estimators import image_shape_of, resolve
from ._plotting import TileDisplay, as_images, as_labels, check_matplotlib, in_rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class SampleDisplay(TileDisplay):
    """A grid of generated images; with labels, one row per class.

    Make one with :meth:`from_estimator`, which draws from the prior, or :meth:`from_arrays`. All
    parameters are kept as attributes.

    Parameters
    ----------
    images : array-like
        ``(n, h, w)``, ``(n, h, w, c)``, ``(n, c, h, w)``, or rows ``(n, d)`` with
        ``image_shape``; uint8 is 0 to 255, float is in [0, 1].
    y : array-like of shape (n,), default=None
        Their classes.
    n_cols : int, default=10
        Images in a row. With ``y`` the first so many of each class are drawn, without it all.
    image_shape : tuple of int, default=None
        What one row is: (height, width), (height, width, channels) or (channels, height, width).

    Attributes
    ----------
    classes_ : ndarray of shape (n_rows,)
        The class of each row of the grid, sorted; None without ``y``.
    im_ : matplotlib.image.AxesImage
        The mosaic. The image in row i and column j is centred at x = j, y = i.
    ax_ : matplotlib.axes.Axes
        The axes that it is in.
    figure_ : matplotlib.figure.Figure
        The figure of that axes.

    Examples
    --------
    >>> from sklearn_vae import VAEAugmenter, VAETransformer
    >>> from sklearn_vae.datasets import fetch_images
    >>> from sklearn_vae.inspection import SampleDisplay
    >>> X, y = fetch_images("digits", return_X_y=True)
    >>> vae = VAETransformer(8, network="mlp", max_epochs=2, device="cpu").fit(X)
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

    def __init__(
        self,
        images: Any,
        y: Any = None,
        *,
        n_cols: int = 10,
        image_shape: tuple[int, ...] | None = None,
    ) -> None:
        self.images = images
        self.y = y
        self.n_cols = n_cols
        self.image_shape = image_shape

    def plot(self, *, ax: Axes | None = None, **kwargs: Any) -> SampleDisplay:
        """Draw the images.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Where to draw; None makes a new figure.
        **kwargs : dict
            For matplotlib's ``imshow``, such as ``cmap``.

        Returns
        -------
        self : object
            The display.

        Raises
        ------
        ValueError
            For arrays that are not images, or not as many labels.
        ImportError
            Where matplotlib is missing.
        """
        images = as_images(self.images, self.image_shape)
        n_cols = check_count("n_cols", self.n_cols)
        if self.y is None:
            classes, tiles = None, in_rows(images, min(n_cols, len(images)))
        else:
            y = as_labels(self.y)
            check_consistent_length(images, y)
            classes = np.unique(y)
            rows = [images[y == label][:n_cols] for label in classes]
            n_cols = max(map(len, rows))
            tiles = np.concatenate([in_rows(row, n_cols) for row in rows])
        labels = () if classes is None else [str(label) for label in classes]
        self._draw(tiles, ax, kwargs, rows=labels)
        self.classes_ = classes
        return self

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
        ax : matplotlib.axes.Axes, default=None
            Where to draw; None makes a new figure.
        **kwargs : dict
            For matplotlib's ``imshow``, such as ``cmap``.

        Returns
        -------
        display : SampleDisplay
            The drawn display.

        Raises
        ------
        TypeError
            For an estimator without a VAETransformer.
        ValueError
            For a VAE of vectors.
        ImportError
            Where matplotlib is missing.
        """
        check_matplotlib(f"{cls.__name__}.from_estimator")
        vae, _ = resolve(estimator, VAETransformer)
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
        ax : matplotlib.axes.Axes, default=None
            Where to draw; None makes a new figure.
        **kwargs : dict
            For matplotlib's ``imshow``, such as ``cmap``.

        Returns
        -------
        display : SampleDisplay
            The drawn display.
        """
        return cls(images, y, n_cols=n_cols, image_shape=image_shape).plot(ax=ax, **kwargs)

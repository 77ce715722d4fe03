"""Where images differ from what the VAE makes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils import check_array

from .._detector import VAEDetector
from .._images import check_count
from .._samples import from_torch
from ._estimators import first, image_shape_of, resolve, to_array
from ._plotting import TileDisplay, as_pairs, check_matplotlib, merged, mosaic

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colorbar import Colorbar
    from matplotlib.image import AxesImage


class ErrorMapDisplay(TileDisplay):
    """Images, their reconstructions, and a heat map of where the two differ.

    Make one with :meth:`from_estimator` or :meth:`from_arrays`. All parameters are kept as
    attributes.

    Parameters
    ----------
    images : array-like
        ``(n, h, w)``, ``(n, h, w, c)``, ``(n, c, h, w)``, or rows ``(n, d)`` with
        ``image_shape``; uint8 is 0 to 255, float is in [0, 1].
    reconstructions : array-like
        As many, in the same form.
    errors : array-like of shape (n, height, width)
        Error per pixel, 0 or larger.
    image_shape : tuple of int, default=None
        What one row is: (height, width), (height, width, channels) or (channels, height, width).

    Attributes
    ----------
    im_ : matplotlib.image.AxesImage
        The mosaic of images, at y = 0, and reconstructions, at y = 1. Column j is at x = j.
    heat_ : matplotlib.image.AxesImage
        The mosaic of errors below, at y = 2, on one scale from 0 to the largest of them.
    colorbar_ : matplotlib.colorbar.Colorbar
        The scale of the errors.
    ax_ : matplotlib.axes.Axes
        The axes that all are in.
    figure_ : matplotlib.figure.Figure
        The figure of that axes.

    Examples
    --------
    >>> from sklearn_vae import VAEDetector, VAETransformer
    >>> from sklearn_vae.datasets import fetch_images
    >>> from sklearn_vae.inspection import ErrorMapDisplay
    >>> X, y = fetch_images("digits", return_X_y=True)
    >>> vae = VAETransformer(8, network="mlp", augment=None, max_epochs=2, device="cpu")
    >>> detector = VAEDetector(vae).fit(X[y == 0])
    >>> ErrorMapDisplay.from_estimator(detector, X)
    <...ErrorMapDisplay object at ...>
    """

    heat_: AxesImage
    colorbar_: Colorbar

    def __init__(
        self,
        images: Any,
        reconstructions: Any,
        errors: Any,
        *,
        image_shape: tuple[int, ...] | None = None,
    ) -> None:
        self.images = images
        self.reconstructions = reconstructions
        self.errors = errors
        self.image_shape = image_shape

    def plot(
        self, *, ax: Axes | None = None, heat_kw: dict[str, Any] | None = None, **kwargs: Any
    ) -> ErrorMapDisplay:
        """Draw the images and the heat map.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Where to draw; None makes a new figure.
        heat_kw : dict, default=None
            For the ``imshow`` of the errors, such as ``vmax``: give two displays the same to
            compare them.
        **kwargs : dict
            For the ``imshow`` of the images, such as ``cmap``.

        Returns
        -------
        self : object
            The display.

        Raises
        ------
        ValueError
            For arrays that are not images, or not of one size.
        ImportError
            Where matplotlib is missing.
        """
        pairs = as_pairs(self.images, self.reconstructions, self.image_shape)
        errors = check_array(
            from_torch(self.errors), dtype=np.float32, allow_nd=True, input_name="errors"
        )
        if errors.shape != pairs.shape[1:4]:
            raise ValueError(
                f"errors have shape {errors.shape}; {pairs.shape[1:4]}, one per pixel, is needed."
            )
        tiles = np.concatenate([pairs, np.full_like(pairs[:1], np.nan)])
        self._draw(tiles, ax, kwargs, rows=["image", "reconstruction", "error"])
        look = merged({"cmap": "inferno", "vmin": 0, "vmax": errors.max()}, heat_kw or {})
        ax, n = self.ax_, len(errors)
        view = {"xlim": ax.get_xlim(), "ylim": ax.get_ylim(), "aspect": ax.get_aspect()}
        self.heat_ = ax.imshow(mosaic(errors[None]), extent=(-0.5, n - 0.5, 2.5, 1.5), **look)
        ax.set(**view)
        beside = ax.inset_axes((1 + 0.1 / n, 0.01, 0.12 / n, 0.31))  # as high as the third row
        self.colorbar_ = self.figure_.colorbar(self.heat_, cax=beside)
        return self

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, *, n_images: int = 10, ax: Axes | None = None, **kwargs: Any
    ) -> ErrorMapDisplay:
        """Draw the first images of X with :meth:`.VAEDetector.error_map`.

        Reconstructions and errors are the means over the detector's VAEs.

        Parameters
        ----------
        estimator : VAEDetector, FrozenEstimator or Pipeline
            The fitted detector, or what holds it. Steps of a pipeline before it are applied to X.
        X : array-like, torch.Tensor or torch.utils.data.Dataset
            Images in the form that the estimator was fitted on.
        n_images : int, default=10
            How many, at most.
        ax : matplotlib.axes.Axes, default=None
            Where to draw; None makes a new figure.
        **kwargs : dict
            For :meth:`plot`.

        Returns
        -------
        display : ErrorMapDisplay
            The drawn display.

        Raises
        ------
        TypeError
            For an estimator without a VAEDetector.
        ValueError
            For a VAE of vectors, and for an X that it does not take.
        ImportError
            Where matplotlib is missing.
        """
        check_matplotlib(f"{cls.__name__}.from_estimator")
        detector, X = resolve(estimator, VAEDetector, first(X, check_count("n_images", n_images)))
        vae = detector.vae_
        shape = image_shape_of(vae)
        images = to_array(vae, X)
        mean = np.mean([each.reconstruct(X) for each in detector.vaes_], axis=0)
        rebuilt = np.rint(mean).astype(images.dtype) if images.dtype == np.uint8 else mean
        display = cls(images, rebuilt, detector.error_map(X), image_shape=shape)
        return display.plot(ax=ax, **kwargs)

    @classmethod
    def from_arrays(
        cls,
        images: Any,
        reconstructions: Any,
        errors: Any,
        *,
        image_shape: tuple[int, ...] | None = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> ErrorMapDisplay:
        """Draw images, reconstructions and errors that were computed elsewhere.

        Parameters
        ----------
        images, reconstructions, errors, image_shape
            See :class:`ErrorMapDisplay`.
        ax : matplotlib.axes.Axes, default=None
            Where to draw; None makes a new figure.
        **kwargs : dict
            For :meth:`plot`.

        Returns
        -------
        display : ErrorMapDisplay
            The drawn display.
        """
        return cls(images, reconstructions, errors, image_shape=image_shape).plot(ax=ax, **kwargs)

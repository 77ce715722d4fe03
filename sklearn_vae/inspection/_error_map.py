"""Where images differ from what the VAE makes of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.utils import check_array

from .._detector import VAEDetector
from ..input._samples import from_torch
from ._display import Axes, Grid, TileDisplay
from ._estimators import as_samples, first, image_shape_of
from ._plotting import as_pairs, merged, mosaic


@dataclass(eq=False, repr=False)
class ErrorMapDisplay(TileDisplay):
    """Images, their reconstructions, and a heat map of where the two differ.

    Make one with :meth:`from_estimator` or :meth:`from_arrays`. All parameters are kept as
    attributes.

    Parameters
    ----------
    images : %(images)s
    reconstructions : array-like
        As many, in the same form.
    errors : array-like of shape (n, height, width)
        Error per pixel, 0 or larger.
    %(image_shape)s

    Attributes
    ----------
    im_ : matplotlib.image.AxesImage
        The mosaic of images, at y = 0, and reconstructions, at y = 1. Column j is at x = j.
    heat_ : matplotlib.image.AxesImage
        The mosaic of errors below, at y = 2, on one scale from 0 to the largest of them.
    colorbar_ : matplotlib.colorbar.Colorbar
        The scale of the errors.
    %(axes)s

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

    images: Any
    reconstructions: Any
    errors: Any

    def _grid(self) -> Grid:
        pairs = as_pairs(self.images, self.reconstructions, self.image_shape)
        if np.shape(self.errors) != pairs.shape[1:4]:
            raise ValueError(
                f"errors have shape {np.shape(self.errors)}; {pairs.shape[1:4]}, one per pixel, "
                "is needed."
            )
        tiles = np.concatenate([pairs, np.full_like(pairs[:1], np.nan)])
        return Grid(tiles, rows=["image", "reconstruction", "error"])

    def plot(
        self, *, ax: Axes | None = None, heat_kw: dict[str, Any] | None = None, **kwargs: Any
    ) -> ErrorMapDisplay:
        """Draw the images and the heat map.

        Parameters
        ----------
        %(ax)s
        heat_kw : dict, default=None
            For the ``imshow`` of the errors, such as ``vmax``: give two displays the same to
            compare them.
        **kwargs : dict
            For the ``imshow`` of the images, such as ``cmap``.

        %(drawn)s
        """
        errors = check_array(
            from_torch(self.errors), dtype=np.float32, allow_nd=True, input_name="errors"
        )
        super().plot(ax=ax, **kwargs)
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
        %(first)s
        %(drawing)s

        %(raises)s
        """
        detector, X = cls._resolve(estimator, VAEDetector, first(X, n_images))
        errors = detector.error_map(X)  # refuses rows, and points with patches to score_map
        shape = image_shape_of(detector.vae_)
        rebuilt = np.mean([vae.reconstruct(X) for vae in detector.vaes_], axis=0)
        images = as_samples(X)
        if images.dtype == np.uint8:
            rebuilt = np.rint(rebuilt).astype(np.uint8)
        display = cls(images, rebuilt, errors, image_shape=shape)
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
        %(drawing)s
        """
        return cls(images, reconstructions, errors, image_shape=image_shape).plot(ax=ax, **kwargs)

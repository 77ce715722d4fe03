"""Images above what the VAE makes of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .._transformer import VAETransformer
from ._display import Axes, Grid, TileDisplay
from ._estimators import as_samples, first, image_shape_of
from ._plotting import as_pairs


@dataclass(eq=False, repr=False)
class ReconstructionDisplay(TileDisplay):
    """Images above their reconstructions.

    Make one with :meth:`from_estimator` or :meth:`from_arrays`. All parameters are kept as
    attributes.

    Parameters
    ----------
    images : %(images)s
    reconstructions : array-like
        As many, in the same form.
    %(image_shape)s

    Attributes
    ----------
    im_ : matplotlib.image.AxesImage
        The mosaic. Column j is centred at x = j; images are at y = 0, reconstructions at y = 1.
    %(axes)s

    See Also
    --------
    ErrorMapDisplay : Adds where the two differ.

    Examples
    --------
    %(fitted)s
    >>> from sklearn_vae.inspection import ReconstructionDisplay
    >>> ReconstructionDisplay.from_estimator(vae, X, n_images=12)
    <...ReconstructionDisplay object at ...>
    """

    images: Any
    reconstructions: Any

    def _grid(self) -> Grid:
        pairs = as_pairs(self.images, self.reconstructions, self.image_shape)
        return Grid(pairs, rows=["image", "reconstruction"])

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, *, n_images: int = 10, ax: Axes | None = None, **kwargs: Any
    ) -> ReconstructionDisplay:
        """Reconstruct the first images of X and draw both.

        Parameters
        ----------
        %(vae)s
        %(first)s
        %(drawing)s

        %(raises)s
        """
        vae, X = cls._resolve(estimator, VAETransformer, first(X, n_images))
        shape, rebuilt = image_shape_of(vae), vae.reconstruct(X)
        return cls(as_samples(X), rebuilt, image_shape=shape).plot(ax=ax, **kwargs)

    @classmethod
    def from_arrays(
        cls,
        images: Any,
        reconstructions: Any,
        *,
        image_shape: tuple[int, ...] | None = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> ReconstructionDisplay:
        """Draw images and reconstructions that were computed elsewhere.

        Parameters
        ----------
        images, reconstructions, image_shape
            See :class:`ReconstructionDisplay`.
        %(drawing)s
        """
        return cls(images, reconstructions, image_shape=image_shape).plot(ax=ax, **kwargs)

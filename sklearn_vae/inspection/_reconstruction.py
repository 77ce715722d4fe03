"""Images above what the VAE makes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._images import check_count
from .._transformer import VAETransformer
from ._estimators import first, image_shape_of, resolve, to_array
from ._plotting import TileDisplay, as_pairs, check_matplotlib

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class ReconstructionDisplay(TileDisplay):
    """Images above their reconstructions.

    Make one with :meth:`from_estimator` or :meth:`from_arrays`. All parameters are kept as
    attributes.

    Parameters
    ----------
    images : array-like
        ``(n, h, w)``, ``(n, h, w, c)``, ``(n, c, h, w)``, or rows ``(n, d)`` with
        ``image_shape``; uint8 is 0 to 255, float is in [0, 1].
    reconstructions : array-like
        As many, in the same form.
    image_shape : tuple of int, default=None
        What one row is: (height, width), (height, width, channels) or (channels, height, width).

    Attributes
    ----------
    im_ : matplotlib.image.AxesImage
        The mosaic. Column j is centred at x = j; images are at y = 0, reconstructions at y = 1.
    ax_ : matplotlib.axes.Axes
        The axes that it is in.
    figure_ : matplotlib.figure.Figure
        The figure of that axes.

    See Also
    --------
    ErrorMapDisplay : Adds where the two differ.

    Examples
    --------
    >>> from sklearn_vae import VAETransformer
    >>> from sklearn_vae.datasets import fetch_images
    >>> from sklearn_vae.inspection import ReconstructionDisplay
    >>> X = fetch_images("digits").data
    >>> vae = VAETransformer(8, network="mlp", max_epochs=2, device="cpu").fit(X)
    >>> ReconstructionDisplay.from_estimator(vae, X, n_images=12)
    <...ReconstructionDisplay object at ...>
    """

    def __init__(
        self, images: Any, reconstructions: Any, *, image_shape: tuple[int, ...] | None = None
    ) -> None:
        self.images = images
        self.reconstructions = reconstructions
        self.image_shape = image_shape

    def plot(self, *, ax: Axes | None = None, **kwargs: Any) -> ReconstructionDisplay:
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
            For arrays that are not images, or not as many of both.
        ImportError
            Where matplotlib is missing.
        """
        pairs = as_pairs(self.images, self.reconstructions, self.image_shape)
        self._draw(pairs, ax, kwargs, rows=["image", "reconstruction"])
        return self

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, *, n_images: int = 10, ax: Axes | None = None, **kwargs: Any
    ) -> ReconstructionDisplay:
        """Reconstruct the first images of X and draw both.

        Parameters
        ----------
        estimator : VAETransformer, FrozenEstimator or Pipeline
            The fitted VAE, or what holds it. Steps of a pipeline before it are applied to X.
        X : array-like, torch.Tensor or torch.utils.data.Dataset
            Images in the form that the estimator was fitted on.
        n_images : int, default=10
            How many, at most.
        ax : matplotlib.axes.Axes, default=None
            Where to draw; None makes a new figure.
        **kwargs : dict
            For matplotlib's ``imshow``, such as ``cmap``.

        Returns
        -------
        display : ReconstructionDisplay
            The drawn display.

        Raises
        ------
        TypeError
            For an estimator without a VAETransformer.
        ValueError
            For a VAE of vectors, and for an X that it does not take.
        ImportError
            Where matplotlib is missing.
        """
        check_matplotlib(f"{cls.__name__}.from_estimator")
        vae, X = resolve(estimator, VAETransformer, first(X, check_count("n_images", n_images)))
        shape = image_shape_of(vae)
        return cls(to_array(vae, X), vae.reconstruct(X), image_shape=shape).plot(ax=ax, **kwargs)

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
        images, reconstructions : array-like
            As many of both; see :class:`ReconstructionDisplay`.
        image_shape : tuple of int, default=None
            What one row is, where they are flattened.
        ax : matplotlib.axes.Axes, default=None
            Where to draw; None makes a new figure.
        **kwargs : dict
            For matplotlib's ``imshow``, such as ``cmap``.

        Returns
        -------
        display : ReconstructionDisplay
            The drawn display.
        """
        return cls(images, reconstructions, image_shape=image_shape).plot(ax=ax, **kwargs)

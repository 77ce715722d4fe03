"""The way from one image to another through the latent space."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .._transformer import VAETransformer
from ._estimators import decode_grid, image_shape_of, resolve, to_array
from ._plotting import TileDisplay, as_images, check_matplotlib, check_steps

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class InterpolationDisplay(TileDisplay):
    """Decoded straight lines between the codes of pairs of images, one row each.

    Make one with :meth:`from_estimator`. All parameters are kept as attributes.

    Parameters
    ----------
    starts, ends : array-like
        The pairs: ``(n, h, w)``, ``(n, h, w, c)``, ``(n, c, h, w)``, or rows ``(n, d)`` with
        ``image_shape``; uint8 is 0 to 255, float is in [0, 1].
    images : array-like of shape (n, n_steps, ...)
        What is decoded between them, in the same form.
    image_shape : tuple of int, default=None
        What one row is: (height, width), (height, width, channels) or (channels, height, width).

    Attributes
    ----------
    im_ : matplotlib.image.AxesImage
        The mosaic. The i-th start is centred at x = 0, y = i, followed by the decoded images,
        from its reconstruction to that of the end, and the end.
    ax_ : matplotlib.axes.Axes
        The axes that it is in.
    figure_ : matplotlib.figure.Figure
        The figure of that axes.

    Examples
    --------
    >>> from sklearn_vae import VAETransformer
    >>> from sklearn_vae.datasets import fetch_images
    >>> from sklearn_vae.inspection import InterpolationDisplay
    >>> X = fetch_images("digits").data
    >>> vae = VAETransformer(8, network="mlp", max_epochs=2, device="cpu").fit(X)
    >>> InterpolationDisplay.from_estimator(vae, X[:4], X[4:8]).images.shape
    (4, 8, 8, 8)
    """

    def __init__(
        self, starts: Any, ends: Any, images: Any, *, image_shape: tuple[int, ...] | None = None
    ) -> None:
        self.starts = starts
        self.ends = ends
        self.images = images
        self.image_shape = image_shape

    def plot(self, *, ax: Axes | None = None, **kwargs: Any) -> InterpolationDisplay:
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
            For arrays that are not images, or not of one size.
        ImportError
            Where matplotlib is missing.
        """
        between = np.moveaxis(np.asarray(self.images), 1, 0)
        columns = [as_images(X, self.image_shape) for X in (self.starts, *between, self.ends)]
        if len(sizes := {column.shape for column in columns}) > 1:
            raise ValueError(f"starts, ends and images differ in number or size: {sorted(sizes)}.")
        labels = ["start", *[""] * len(between), "end"]
        self._draw(np.stack(columns, 1), ax, kwargs, columns=labels)
        self.ax_.set_xlabel("decoded between the two latent means")
        return self

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X_start: Any,
        X_end: Any,
        *,
        n_steps: int = 8,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> InterpolationDisplay:
        """Decode points on the lines between the latent means of pairs of images, and draw them.

        Parameters
        ----------
        estimator : VAETransformer, FrozenEstimator or Pipeline
            The fitted VAE, or what holds it. Steps of a pipeline before it are applied to X.
        X_start, X_end : array-like, torch.Tensor or torch.utils.data.Dataset
            As many of both, in the form that the estimator was fitted on; the i-th row of the
            display leads from one to the other. Passing ``X[:4], X[4:8]`` draws four rows.
        n_steps : int, default=8
            Decoded images in a row, both reconstructions included; at least 2.
        ax : matplotlib.axes.Axes, default=None
            Where to draw; None makes a new figure.
        **kwargs : dict
            For matplotlib's ``imshow``, such as ``cmap``.

        Returns
        -------
        display : InterpolationDisplay
            The drawn display.

        Raises
        ------
        TypeError
            For an estimator without a VAETransformer.
        ValueError
            For a VAE of vectors, images that it does not take, or not as many of both.
        ImportError
            Where matplotlib is missing.
        """
        check_matplotlib(f"{cls.__name__}.from_estimator")
        n_steps = check_steps(n_steps)
        vae, X_start = resolve(estimator, VAETransformer, X_start)
        _, X_end = resolve(estimator, VAETransformer, X_end)
        shape = image_shape_of(vae)
        (Z_start, _), (Z_end, _) = vae._posterior(X_start), vae._posterior(X_end)
        if len(Z_start) != len(Z_end):
            raise ValueError(
                f"X_start has {len(Z_start)} images and X_end {len(Z_end)}; they are paired, so "
                "pass as many of both."
            )
        Z = np.linspace(Z_start, Z_end, n_steps, axis=1)
        starts, ends = to_array(vae, X_start), to_array(vae, X_end)
        return cls(starts, ends, decode_grid(vae, Z), image_shape=shape).plot(ax=ax, **kwargs)

"""The way from one image to another through the latent space."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .._transformer import VAETransformer
from ._display import Axes, Grid, TileDisplay
from ._estimators import as_samples, check_steps, decode_grid, image_shape_of, latent_means
from ._plotting import as_images


@dataclass(eq=False, repr=False)
class InterpolationDisplay(TileDisplay):
    """Decoded straight lines between the codes of pairs of images, one row each.

    Make one with :meth:`from_estimator`. All parameters are kept as attributes.

    Parameters
    ----------
    starts, ends : %(images)s
    images : array-like of shape (n, n_steps, ...)
        What is decoded between them, in the same form.
    %(image_shape)s

    Attributes
    ----------
    im_ : matplotlib.image.AxesImage
        The mosaic. The i-th start is centred at x = 0, y = i, followed by the decoded images,
        from its reconstruction to that of the end, and the end.
    %(axes)s

    Examples
    --------
    %(fitted)s
    >>> from sklearn_vae.inspection import InterpolationDisplay
    >>> InterpolationDisplay.from_estimator(vae, X[:4], X[4:8]).images.shape
    (4, 8, 8, 8)
    """

    starts: Any
    ends: Any
    images: Any

    def _grid(self) -> Grid:
        between = np.moveaxis(np.asarray(self.images), 1, 0)
        columns = [as_images(X, self.image_shape) for X in (self.starts, *between, self.ends)]
        if len(sizes := {column.shape for column in columns}) > 1:
            raise ValueError(f"starts, ends and images differ in number or size: {sorted(sizes)}.")
        labels = ["start", *[""] * len(between), "end"]
        below = "decoded between the two latent means"
        return Grid(np.stack(columns, 1), columns=labels, below=below)

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
        %(vae)s
        X_start, X_end : array-like, torch.Tensor or torch.utils.data.Dataset
            As many of both, in the form that the estimator was fitted on; the i-th row of the
            display leads from one to the other. Passing ``X[:4], X[4:8]`` draws four rows.
        n_steps : int, default=8
            Decoded images in a row, both reconstructions included; at least 2.
        %(drawing)s

        %(raises)s
        """
        n_steps = check_steps(n_steps)
        vae, X_start = cls._resolve(estimator, VAETransformer, X_start)
        _, X_end = cls._resolve(estimator, VAETransformer, X_end)
        shape = image_shape_of(vae)
        Z_start, Z_end = latent_means(vae, X_start), latent_means(vae, X_end)
        if len(Z_start) != len(Z_end):
            raise ValueError(
                f"X_start has {len(Z_start)} images and X_end {len(Z_end)}. They are paired: "
                "pass the same number of both."
            )
        images = decode_grid(vae, np.linspace(Z_start, Z_end, n_steps, axis=1))
        display = cls(as_samples(X_start), as_samples(X_end), images, image_shape=shape)
        return display.plot(ax=ax, **kwargs)

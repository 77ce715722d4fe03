"""What single latent dimensions stand for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from numbers import Integral
from typing import Any

import numpy as np

from .._transformer import VAETransformer
from ..utils._counts import check_count
from ._display import Axes, Grid, TileDisplay
from ._estimators import check_steps, decode_grid, image_shape_of, latent_means
from ._plotting import as_images


@dataclass(eq=False, repr=False)
class TraversalDisplay(TileDisplay):
    """Decoded walks along latent dimensions, one row each.

    Make one with :meth:`from_estimator`. All parameters are kept as attributes.

    Parameters
    ----------
    images : array-like of shape (n_dimensions, n_steps, ...)
        Decoded images, or rows with ``image_shape``; uint8 is 0 to 255, float is in [0, 1].
    %(image_shape)s
    dimensions : array-like of shape (n_dimensions,), int
        The latent dimension of each row.
    steps : array-like of shape (n_steps,)
        The way gone in each column, in standard deviations of the latent mean.

    Attributes
    ----------
    im_ : matplotlib.image.AxesImage
        The mosaic. Step j along dimension i is centred at x = j, y = i.
    %(axes)s

    Examples
    --------
    %(fitted)s
    >>> from sklearn_vae.inspection import TraversalDisplay
    >>> TraversalDisplay.from_estimator(vae, X, dimensions=[0, 3]).dimensions
    array([0, 3])
    """

    images: Any
    _: KW_ONLY
    dimensions: Any
    steps: Any

    def _grid(self) -> Grid:
        images, size = np.asarray(self.images), (len(self.dimensions), len(self.steps))
        if images.shape[:2] != size:
            raise ValueError(
                f"images have shape {images.shape}; ({size[0]}, {size[1]}, ...) is needed, one "
                "image per dimension and step."
            )
        tiles = as_images(images.reshape(-1, *images.shape[2:]), self.image_shape)
        return Grid(
            tiles.reshape(*size, *tiles.shape[1:]),
            rows=[f"$z_{{{d}}}$" for d in self.dimensions],
            columns=[f"{step:+.3g}" if step else "0" for step in self.steps],
            below="standard deviations of the latent mean",
        )

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        *,
        dimensions: int | Sequence[int] = 8,
        start: int | None = None,
        n_steps: int = 7,
        span: float = 3.0,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> TraversalDisplay:
        """Change one latent dimension at a time and draw what is decoded.

        Parameters
        ----------
        %(vae)s
        X : array-like, torch.Tensor or torch.utils.data.Dataset
            Images in the form that the estimator was fitted on, a few hundred or more. The walk
            starts at the mean of their latent means, and its unit is their standard deviation.
        dimensions : int or sequence of int, default=8
            Which ones, from 0 on; or how many: those in which the latent mean varies most over X
            [1]_, the most varied first.
        start : int, default=None
            Start from the code of this image of X; None starts from the mean of all codes.
        n_steps : int, default=7
            Images in a row, at least 2. The middle one of an odd number is the start.
        span : float, default=3.0
            Standard deviations from the start to either end of a row.
        %(drawing)s

        %(raises)s

        References
        ----------
        .. [1] The measure of active units of Burda, Grosse, Salakhutdinov, "Importance Weighted
           Autoencoders", ICLR 2016, https://arxiv.org/abs/1509.00519
        """
        n_steps = check_steps(n_steps)
        vae, X = cls._resolve(estimator, VAETransformer, X)
        shape = image_shape_of(vae)
        codes = latent_means(vae, X)
        rows = _resolve_dimensions(dimensions, codes)
        steps = np.linspace(-span, span, n_steps)
        Z = np.tile(_start(codes, start), (len(rows), n_steps, 1))
        for i, d in enumerate(rows):
            Z[i, :, d] += steps * codes[:, d].std()
        display = cls(decode_grid(vae, Z), dimensions=rows, steps=steps, image_shape=shape)
        return display.plot(ax=ax, **kwargs)


def _resolve_dimensions(dimensions: int | Sequence[int], codes: np.ndarray) -> np.ndarray:
    """Return the latent dimensions that are asked for."""
    z_dim = codes.shape[1]
    if np.ndim(dimensions) == 0:
        n = check_count("dimensions", dimensions)
        return np.argsort(-codes.var(0), kind="stable")[:n]
    chosen = np.asarray(dimensions)
    if chosen.ndim != 1 or chosen.dtype.kind not in "iu" or not len(chosen):
        raise ValueError(f"dimensions={dimensions!r}: give an int >= 1 or a list of ints.")
    if chosen.min() < 0 or chosen.max() >= z_dim:
        raise ValueError(
            f"dimensions={dimensions!r}, but the VAE has z_dim={z_dim}: use 0 to {z_dim - 1}."
        )
    return chosen


def _start(codes: np.ndarray, start: int | None) -> np.ndarray:
    """Return the code that all rows go through."""
    if start is None:
        return codes.mean(0)
    if not isinstance(start, Integral) or not 0 <= start < len(codes):
        raise ValueError(
            f"start={start}, but X has {len(codes)} images: use 0 to {len(codes) - 1}."
        )
    return codes[start]

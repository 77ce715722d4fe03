"""Where the latent means are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils import check_array, check_consistent_length

from .._compat import as_arrays
from .._samples import from_torch
from .._transformer import VAETransformer
from ._estimators import resolve
from ._plotting import as_labels, check_matplotlib, merged

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PathCollection
    from matplotlib.colorbar import Colorbar
    from matplotlib.figure import Figure, SubFigure

FEW = 20
"""Different numbers in ``y`` up to which they are classes."""


class LatentDisplay:
    """Scatter plot of latent codes, coloured by class or value.

    More than two dimensions are projected on their first two principal components. Make one with
    :meth:`from_estimator` or :meth:`from_arrays`. All parameters are kept as attributes.

    Parameters
    ----------
    codes : array-like of shape (n, z_dim)
        Latent codes, two dimensions or more.
    y : array-like of shape (n,), default=None
        Labels, or values: numbers of which there are more than 20 different ones, or fractions.

    Attributes
    ----------
    coordinates_ : ndarray of shape (n, 2)
        What is drawn.
    explained_variance_ratio_ : ndarray of shape (2,)
        The components' shares of the variance of the codes; None where these have two dimensions
        and are drawn as they are.
    scatter_ : matplotlib.collections.PathCollection
        The points, in the order of the codes.
    colorbar_ : matplotlib.colorbar.Colorbar
        The classes, sorted from the top, or the values; None without ``y``.
    ax_ : matplotlib.axes.Axes
        The axes that they are in.
    figure_ : matplotlib.figure.Figure
        The figure of that axes.

    Examples
    --------
    >>> from sklearn_vae import VAETransformer
    >>> from sklearn_vae.datasets import fetch_images
    >>> from sklearn_vae.inspection import LatentDisplay
    >>> X, y = fetch_images("digits", return_X_y=True)
    >>> vae = VAETransformer(8, network="mlp", max_epochs=2, device="cpu").fit(X)
    >>> LatentDisplay.from_estimator(vae, X, y).coordinates_.shape
    (1347, 2)
    """

    coordinates_: np.ndarray
    explained_variance_ratio_: np.ndarray | None
    scatter_: PathCollection
    colorbar_: Colorbar | None
    ax_: Axes
    figure_: Figure | SubFigure

    def __init__(self, codes: Any, y: Any = None) -> None:
        self.codes = codes
        self.y = y

    def plot(self, *, ax: Axes | None = None, **kwargs: Any) -> LatentDisplay:
        """Draw the points.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Where to draw; None makes a new figure.
        **kwargs : dict
            For matplotlib's ``scatter``, such as ``s``, ``alpha`` or ``cmap``.

        Returns
        -------
        self : object
            The display.

        Raises
        ------
        ValueError
            For codes of one dimension, and for not as many labels as codes.
        ImportError
            Where matplotlib is missing.
        """
        check_matplotlib(f"{type(self).__name__}.plot")
        coordinates, ratio = _project(self.codes)
        y = None if self.y is None else as_labels(self.y)
        check_consistent_length(coordinates, y)
        classes = None if y is None or _is_values(y) else np.unique(y, return_inverse=True)
        look: dict[str, Any] = {"s": np.clip(9000 / len(coordinates), 4, 25), "linewidths": 0}
        if classes is not None:
            look |= {"c": classes[1], "cmap": _class_colours(len(classes[0]))}
            look |= {"vmin": -0.5, "vmax": len(classes[0]) - 0.5}
        elif y is not None:
            look |= {"c": y}
        if ax is None:
            import matplotlib.pyplot as plt

            ax = plt.subplots(figsize=(6, 5), layout="constrained")[1]
        self.coordinates_, self.explained_variance_ratio_ = coordinates, ratio
        self.scatter_ = ax.scatter(*coordinates.T, **merged(look, kwargs))
        self.ax_, self.figure_ = ax, ax.figure
        self.colorbar_ = None if y is None else self.figure_.colorbar(self.scatter_, ax=ax)
        if self.colorbar_ is not None and classes is not None:
            _name_colours(self.colorbar_, classes[0])
        names = ["$z_0$", "$z_1$"]
        if ratio is not None:
            names = [
                f"component {i + 1} ({share:.0%} of variance)" for i, share in enumerate(ratio)
            ]
        ax.set(xlabel=names[0], ylabel=names[1])
        _keep_distances(ax)
        return self

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, y: Any = None, *, ax: Axes | None = None, **kwargs: Any
    ) -> LatentDisplay:
        """Draw the posterior mean of each sample.

        Parameters
        ----------
        estimator : VAETransformer, FrozenEstimator or Pipeline
            The fitted VAE, or what holds it. Steps of a pipeline before it are applied to X.
        X : array-like, torch.Tensor or torch.utils.data.Dataset
            Samples, images or not, in the form that the estimator was fitted on.
        y : array-like of shape (n,), default=None
            What to colour by; see :class:`LatentDisplay`.
        ax : matplotlib.axes.Axes, default=None
            Where to draw; None makes a new figure.
        **kwargs : dict
            For matplotlib's ``scatter``, such as ``s``, ``alpha`` or ``cmap``.

        Returns
        -------
        display : LatentDisplay
            The drawn display.

        Raises
        ------
        TypeError
            For an estimator without a VAETransformer.
        ValueError
            For an X that it does not take, not as many labels, and ``z_dim=1``.
        ImportError
            Where matplotlib is missing.
        """
        check_matplotlib(f"{cls.__name__}.from_estimator")
        vae, X = resolve(estimator, VAETransformer, X)
        return cls(vae._posterior(X)[0], y).plot(ax=ax, **kwargs)

    @classmethod
    def from_arrays(
        cls, codes: Any, y: Any = None, *, ax: Axes | None = None, **kwargs: Any
    ) -> LatentDisplay:
        """Draw codes that were computed elsewhere.

        Parameters
        ----------
        codes, y
            See :class:`LatentDisplay`.
        ax : matplotlib.axes.Axes, default=None
            Where to draw; None makes a new figure.
        **kwargs : dict
            For matplotlib's ``scatter``, such as ``s``, ``alpha`` or ``cmap``.

        Returns
        -------
        display : LatentDisplay
            The drawn display.
        """
        return cls(codes, y).plot(ax=ax, **kwargs)


@as_arrays
def _project(codes: Any) -> tuple[np.ndarray, np.ndarray | None]:
    """Return two coordinates per code and, where they are projections, their variance shares."""
    Z = check_array(from_torch(codes), ensure_min_samples=2, input_name="codes")
    if Z.shape[1] == 1:
        raise ValueError(
            "The codes have one dimension; a scatter plot needs two. Draw a histogram: "
            "plt.hist(vae.transform(X))."
        )
    if Z.shape[1] == 2:
        return Z, None
    from sklearn.decomposition import PCA  # slow to import

    pca = PCA(2, svd_solver="full")
    return pca.fit_transform(Z), pca.explained_variance_ratio_


def _is_values(y: np.ndarray) -> bool:
    """Whether y is a quantity rather than classes."""
    if y.dtype.kind == "f" and (y != np.round(y)).any():
        return True
    return y.dtype.kind in "iuf" and len(np.unique(y)) > FEW


def _class_colours(n: int) -> Any:
    """Return a colour map of n colours that are easy to tell apart."""
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap

    if n > 20:
        return colormaps["turbo"].resampled(n)
    palette = colormaps["tab10" if n <= 10 else "tab20"]
    return ListedColormap([palette(i) for i in range(n)])


def _keep_distances(ax: Axes) -> None:
    """Give both coordinates the same unit, in a box of any shape."""
    shared = (ax.get_shared_x_axes(), ax.get_shared_y_axes())
    both_shared = all(len(group.get_siblings(ax)) > 1 for group in shared)
    # Limits that others share in both directions cannot be widened; the box can be narrowed.
    ax.set_aspect("equal", adjustable="box" if both_shared else "datalim")


def _name_colours(colorbar: Colorbar, classes: np.ndarray) -> None:
    """Turn a colour bar into a legend."""
    colorbar.set_ticks(range(len(classes)), labels=[str(label) for label in classes])
    colorbar.ax.tick_params(length=0)
    colorbar.ax.invert_yaxis()
    colorbar.outline.set_visible(False)

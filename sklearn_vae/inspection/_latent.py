"""Where the latent means are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.utils import check_array, check_consistent_length

from .._transformer import VAETransformer
from ..input._samples import from_torch
from ..utils._sklearn_compat import as_arrays
from ._display import Axes, Display
from ._estimators import latent_means
from ._plotting import as_labels, merged

FEW = 20
"""Different numbers in ``y`` up to which they are classes."""


@dataclass(eq=False, repr=False)
class LatentDisplay(Display):
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
    %(axes)s

    Examples
    --------
    %(fitted)s
    >>> from sklearn_vae.inspection import LatentDisplay
    >>> LatentDisplay.from_estimator(vae, X, y).coordinates_.shape
    (1347, 2)
    """

    codes: Any
    y: Any = None

    def plot(self, *, ax: Axes | None = None, **kwargs: Any) -> LatentDisplay:
        """Draw the points.

        Parameters
        ----------
        %(ax)s
        **kwargs : dict
            For matplotlib's ``scatter``, such as ``s``, ``alpha`` or ``cmap``.

        %(drawn)s
        """
        coordinates, ratio = _project(self.codes)
        y = None if self.y is None else as_labels(self.y)
        check_consistent_length(coordinates, y)
        ax = self._axes(ax, (6, 5))[0]
        look: dict[str, Any] = {"s": np.clip(9000 / len(coordinates), 4, 25), "linewidths": 0}
        classes = None
        if y is not None and not _is_values(y):
            classes, y = np.unique(y, return_inverse=True)
            look |= {"vmin": -0.5, "vmax": len(classes) - 0.5, "cmap": _class_colours(len(classes))}
        self.coordinates_, self.explained_variance_ratio_ = coordinates, ratio
        self.scatter_ = ax.scatter(*coordinates.T, **merged(look | {"c": y}, kwargs))
        self.ax_, self.figure_ = ax, ax.figure
        self.colorbar_ = None if y is None else self.figure_.colorbar(self.scatter_, ax=ax)
        if self.colorbar_ is not None and classes is not None:
            _name_colours(self.colorbar_, classes)
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
        %(vae)s
        X : array-like, torch.Tensor or torch.utils.data.Dataset
            Samples, images or not, in the form that the estimator was fitted on.
        y : array-like of shape (n,), default=None
            What to colour by; see :class:`LatentDisplay`.
        %(drawing)s

        %(raises)s
        """
        vae, X = cls._resolve(estimator, VAETransformer, X)
        return cls(latent_means(vae, X), y).plot(ax=ax, **kwargs)

    @classmethod
    def from_arrays(
        cls, codes: Any, y: Any = None, *, ax: Axes | None = None, **kwargs: Any
    ) -> LatentDisplay:
        """Draw codes that were computed elsewhere.

        Parameters
        ----------
        codes, y
            See :class:`LatentDisplay`.
        %(drawing)s
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


def _name_colours(colorbar: Any, classes: np.ndarray) -> None:
    """Turn a colour bar into a legend."""
    colorbar.set_ticks(range(len(classes)), labels=[str(label) for label in classes])
    colorbar.ax.tick_params(length=0)
    colorbar.ax.invert_yaxis()
    colorbar.outline.set_visible(False)

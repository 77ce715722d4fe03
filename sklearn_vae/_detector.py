"""Anomaly scores from a VAE, in scikit-learn's form for outlier detectors."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Real
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.base import BaseEstimator, MetaEstimatorMixin, OutlierMixin, _fit_context
from sklearn.frozen import FrozenEstimator
from sklearn.utils import Tags, check_random_state, get_tags
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from ._density import Density
from ._doc_link import DocLinkMixin
from ._recipes import NestedParamsMixin
from ._templates import seeded_clone, unfrozen
from ._transformer import VAETransformer
from .model import VAE

METHODS = ("path", "elbo", "reconstruction", "latent")
TINY = 1e-8
"""Keeps the logarithm of what vanishes finite: a hundredth of a grey level, squared."""


class VAEDetector(OutlierMixin, NestedParamsMixin, MetaEstimatorMixin, DocLinkMixin, BaseEstimator):
    """Outlier and novelty detection by what a VAE makes of a sample.

    Train it on what is normal, or on what is mostly normal; samples unlike that score low.

    Parameters
    ----------
    vae : VAETransformer or FrozenEstimator, default=None
        A template, of which ``fit`` trains a copy, or ``FrozenEstimator(fitted_vae)``, used as it
        is. None is ``VAETransformer(augment=None)``.

    method : {"path", "elbo", "reconstruction", "latent"}, default="path"
        What :meth:`score_samples` returns; larger is more normal.

        - ``"path"``: how usual the way through the VAE is [1]_, by two log-densities, of which the
          lower counts: of the posterior's ``mu`` and ``log(sigma)`` together with
          ``log|x - x_hat|``; and of the sizes of all parts of the way, for images also those of
          fine and coarse detail. Likelihoods prefer *simple* images to those they were trained on
          [2]_, [3]_; here it counts against a sample that it is simpler than they.
        - ``"elbo"``: the bound on log p(x), in nats.
        - ``"reconstruction"``: minus the mean squared error of the reconstruction, of values in
          [0, 1] or standardised columns.
        - ``"latent"``: the log-density of ``mu``.

        Densities are Gaussian mixtures fitted to the training data, in units of their spread
        there: 0 is the median, -1 a standard deviation below.

    contamination : float, default=0.1
        Share of the training data that ``predict`` calls outliers, in (0, 0.5]. It sets
        ``offset_`` and nothing else.

    random_state : int, RandomState instance or None, default=None
        For the VAE, where its own is None.

    Attributes
    ----------
    vae_ : VAETransformer
        The VAE behind the scores.
    offset_ : float
        ``decision_function`` is ``score_samples - offset_``: negative for outliers.
    n_features_in_ : int
        Values in one sample.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Column names, where X was a data frame.

    See Also
    --------
    sklearn.ensemble.IsolationForest : Fast, for tabular data.
    sklearn.decomposition.PCA : Its reconstruction error is the control to beat.

    References
    ----------
    .. [1] Huang et al., "Rethinking Test-time Likelihood: The Likelihood Path Principle and Its
       Application to OOD Detection", 2024, https://arxiv.org/abs/2401.04933
    .. [2] Nalisnick et al., "Do Deep Generative Models Know What They Don't Know?", ICLR 2019,
       https://arxiv.org/abs/1810.09136
    .. [3] Serrà et al., "Input complexity and out-of-distribution detection with likelihood-based
       generative models", ICLR 2020, https://arxiv.org/abs/1909.11480

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_vae import VAEDetector, VAETransformer
    >>> X, y = load_digits(return_X_y=True)
    >>> X = (X / 16).reshape(-1, 8, 8)
    >>> vae = VAETransformer(4, network="mlp", augment=None, max_epochs=50, device="cpu",
    ...                      random_state=0)
    >>> detector = VAEDetector(vae, method="reconstruction").fit(X[y == 0])
    >>> float((detector.predict(X[y == 0]) == 1).mean().round(1))
    0.9
    >>> bool((detector.predict(X[y != 0]) == -1).mean() > 0.9)
    True
    """

    _kinds: ClassVar[dict[str, Any]] = {"vae": {"": VAETransformer}}

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "vae": [VAETransformer, FrozenEstimator, None],
        "method": [StrOptions(set(METHODS))],
        "contamination": [Interval(Real, 0, 0.5, closed="right")],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        vae: VAETransformer | FrozenEstimator | None = None,
        *,
        method: str = "path",
        contamination: float = 0.1,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.vae = vae
        self.method = method
        self.contamination = contamination
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any = None) -> VAEDetector:
        """Train the VAE on X and learn what its samples score.

        Parameters
        ----------
        X : array-like, torch.Tensor or torch.utils.data.Dataset
            Samples in a form that :meth:`VAETransformer.fit` takes.
        y : Ignored
            Not used; present for the scikit-learn API.

        Returns
        -------
        self : object
            The fitted detector; as it was before, where this raises.

        Raises
        ------
        ValueError, FloatingPointError
            As :meth:`VAETransformer.fit`.
        TypeError
            For a frozen estimator that is no VAETransformer.
        """
        vae = self._fitted_vae(X)
        statistics = self._statistics(vae, X)
        columns = _COLUMNS[self.method](vae.module_.z_dim) if self.method in _COLUMNS else []
        densities = [(each, Density().fit(statistics[:, each])) for each in columns]
        scores = self._scores(statistics, densities)
        self.vae_, self._densities = vae, densities
        self.offset_ = float(np.percentile(scores, 100 * self.contamination))
        self._fitted_method = self.method
        self.n_features_in_ = vae.n_features_in_
        self.__dict__.pop("feature_names_in_", None)
        if hasattr(vae, "feature_names_in_"):
            self.feature_names_in_ = vae.feature_names_in_
        return self

    def score_samples(self, X: Any) -> np.ndarray:
        """Return how normal each sample is; larger is more normal.

        Parameters
        ----------
        X : array-like, torch.Tensor or torch.utils.data.Dataset
            Samples in the form that :meth:`fit` saw.

        Returns
        -------
        scores : ndarray of shape (n,), float64
            In the units of ``method``.

        Raises
        ------
        ValueError
            When ``method`` has changed since :meth:`fit`, and when X differs from the fitted data
            in shape, dtype or range.
        """
        check_is_fitted(self)
        if self.method != self._fitted_method:
            raise ValueError(
                f"method is now {self.method!r}, but offset_ was learnt with "
                f"{self._fitted_method!r}. Fit again; with vae=FrozenEstimator(detector.vae_) that "
                "does not train."
            )
        return self._scores(self._statistics(self.vae_, X), self._densities)

    def decision_function(self, X: Any) -> np.ndarray:
        """Return ``score_samples(X) - offset_``: negative for outliers.

        Parameters
        ----------
        X : array-like, torch.Tensor or torch.utils.data.Dataset
            Samples in the form that :meth:`fit` saw.

        Returns
        -------
        decision : ndarray of shape (n,), float64
            In the units of ``method``.
        """
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> np.ndarray:
        """Return 1 for inliers and -1 for outliers.

        Parameters
        ----------
        X : array-like, torch.Tensor or torch.utils.data.Dataset
            Samples in the form that :meth:`fit` saw.

        Returns
        -------
        labels : ndarray of shape (n,), int
            1 or -1.
        """
        return np.where(self.decision_function(X) >= 0, 1, -1)

    def error_map(self, X: Any) -> np.ndarray:
        """Return where each image differs from its reconstruction.

        Parameters
        ----------
        X : array-like, torch.Tensor or torch.utils.data.Dataset
            Images in the form that :meth:`fit` saw.

        Returns
        -------
        errors : ndarray of shape (n, height, width), float32
            Squared error of intensities in [0, 1], the mean over channels.

        Raises
        ------
        ValueError
            When the detector was fitted on rows that are not images, and when X differs from the
            fitted data in shape, dtype or range.
        """
        check_is_fitted(self)
        vae = self.vae_
        if not vae.spec_.is_image:
            raise ValueError(
                f"error_map needs images, but the detector was fitted on rows of "
                f"{vae.n_features_in_} values. Set the VAE's image_shape."
            )

        data = vae._read_in_place(X)
        return vae._apply(data, lambda raw: _lost(vae.module_, vae._scaled(raw)).square().mean(1))

    def _fitted_vae(self, X: Any) -> VAETransformer:
        if isinstance(self.vae, FrozenEstimator):
            return unfrozen(self.vae)
        template = VAETransformer(augment=None) if self.vae is None else self.vae
        if template.label_weight > 0:
            raise ValueError(
                f"vae has label_weight={template.label_weight}, but a detector learns from no "
                "labels. Set it to 0, or pass FrozenEstimator(vae) of a VAE fitted on them."
            )
        return seeded_clone(template, check_random_state(self.random_state)).fit(X)

    def _statistics(self, vae: VAETransformer, X: Any) -> np.ndarray:
        """Return what a score is made of, shape (n, k), float64."""
        if self.method == "elbo":
            return vae.score_samples(X)[:, None].astype(np.float64)
        data, of_each = vae._read_in_place(X), STATISTICS[self.method]
        return vae._apply(data, lambda raw: of_each(vae.module_, vae._scaled(raw))).astype(
            np.float64
        )

    @staticmethod
    def _scores(statistics: np.ndarray, densities: list[tuple[slice, Density]]) -> np.ndarray:
        """Return the lowest of the densities, or the one statistic itself."""
        scores = np.full(len(statistics), -np.inf)  # what no number can tell is no normal sample
        finite = np.isfinite(statistics).all(1)
        rows = statistics[finite]
        if not densities:
            scores[finite] = rows[:, 0]
        elif len(rows):
            found = [density.score_samples(rows[:, columns]) for columns, density in densities]
            scores[finite] = np.min(found, axis=0)
        return scores

    def __sklearn_tags__(self) -> Tags:
        """Return scikit-learn's tags: takes what the VAE takes."""
        tags = super().__sklearn_tags__()
        tags.input_tags = get_tags(VAETransformer()).input_tags
        return tags


def _lost(model: VAE, x: torch.Tensor) -> torch.Tensor:
    """Return x minus its reconstruction from the posterior mean."""
    return x - model.conditional(model.posterior(x).loc).mean


def _path(model: VAE, x: torch.Tensor) -> torch.Tensor:
    q = model.posterior(x)
    x_hat = model.conditional(q.loc).mean
    code = [q.loc, q.scale.log(), _log_rms(x - x_hat)]
    return torch.cat(code + _sizes(x, x_hat, q.loc, q.scale), 1)


def _sizes(
    x: torch.Tensor, x_hat: torch.Tensor, mu: torch.Tensor, sigma: torch.Tensor
) -> list[torch.Tensor]:
    """Return how much there is of each part of the path and, of images, at which scale."""
    lost = x - x_hat
    sizes = [_log_rms(lost), _log_rms(mu), _log_rms(sigma)]
    if x.dim() == 2:
        return [*sizes, _log_rms(x)]
    level = x.mean((1, 2, 3), keepdim=True)
    fine = x - F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
    parts = (F.avg_pool2d(lost, 4), _gradient(x), _gradient(x_hat), fine, x - level)
    return [*sizes, *map(_log_rms, parts), level.flatten(1)]


def _gradient(x: torch.Tensor) -> torch.Tensor:
    """Return the differences of neighbouring pixels, across and down."""
    return torch.cat([x.diff(dim=2).flatten(1), x.diff(dim=3).flatten(1)], 1)


def _log_rms(x: torch.Tensor) -> torch.Tensor:
    """Return the logarithm of the root mean square of each sample, shape (n, 1)."""
    return x.flatten(1).square().mean(1, keepdim=True).add(TINY).log() / 2


STATISTICS: dict[str, Callable[[VAE, torch.Tensor], torch.Tensor]] = {
    "path": _path,
    "reconstruction": lambda model, x: -_lost(model, x).flatten(1).square().mean(1, keepdim=True),
    "latent": lambda model, x: model.posterior(x).loc,
}
"""What a score is made of, (n, k), from scaled x, by ``method``; ``"elbo"`` needs the raw x."""

_COLUMNS: dict[str, Callable[[int], list[slice]]] = {
    "path": lambda z_dim: [slice(2 * z_dim + 1), slice(2 * z_dim + 1, None)],
    "latent": lambda z_dim: [slice(None)],
}
"""Which columns of them a density is fitted to, by ``method``; for others there is none."""

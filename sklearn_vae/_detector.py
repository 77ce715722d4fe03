"""Anomaly scores from a VAE, in scikit-learn's form for outlier detectors."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.frozen import FrozenEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from ._backbone import BackboneTransformer
from ._inner_vae import (
    LEAST_ROWS,
    N_VAES,
    VAE_KINDS,
    HasVAE,
    frozen_rows,
    samples_of,
    seeded_clone,
    template_of,
    train_on_halves,
    unfrozen,
)
from ._transformer import VAETransformer
from .detection._cross_fit import RowFolds, cross_fit, draw_folds, measure, part_again
from .detection._local import LocalScores
from .detection._places import Cutter, Windows, cutter_of, patches_of
from .detection._statistics import LOCAL, STATISTICS, DetectorMethod, squared_errors
from .input._pictures import read_pictures
from .input._row_keys import shared_rows
from .input._rows import ArrayDataset
from .input._spec import MIN_SIDE
from .utils._sklearn_compat import FitTasks, Interval, StrOptions, fit_context

Cut = int | BackboneTransformer
"""One way to cut an image."""
Fitted = tuple[list[VAETransformer], int, np.ndarray, dict[str, Any]]
"""VAEs, number of samples, keys of what the VAEs are to have seen none of, fitted attributes."""


class VAEDetector(OutlierMixin, HasVAE, BaseEstimator):
    """Outlier and novelty detection by what a VAE makes of a sample.

    Train it on what is normal, or on what is mostly normal; samples unlike that score low.

    Parameters
    ----------
    vae : VAETransformer or FrozenEstimator, default=None
        A template, of which ``fit`` trains two copies on half of X each. They take as many epochs
        and steps as one of all X would, with batches of half the size. Or
        ``FrozenEstimator(fitted_vae)``, used as it is, with an X that it has *not* seen. None is
        ``VAETransformer(augment=None)``.

    method : {"path", "elbo", "reconstruction", "latent"}, default="path"
        What :meth:`score_samples` returns; larger is more normal.

        - ``"path"``: how usual the way through the VAE is [1]_: the lower of two log-densities. One
          is of the posterior's ``mu`` and ``log(sigma)`` together with ``log|x - x_hat|``. The
          other is of the sizes of all parts of the way, for images also those of fine and coarse
          detail. Likelihoods prefer *simple* images to those they were trained on [2]_, [3]_. Here
          it counts against a sample that it is simpler than they. Of a place, with ``patches``, one
          density of ``mu`` and ``log|x - x_hat|``.
        - ``"elbo"``: the bound on log p(x), in nats.
        - ``"reconstruction"``: minus the mean squared error of the reconstruction, of values in
          [0, 1] or standardised columns. Of a place, its logarithm beside what windows of that
          brightness and contrast have.
        - ``"latent"``: the log-density of ``mu``.

        Densities are Gaussian mixtures fitted to the training data, in units of their spread: 0 is
        the median, -1 a standard deviation below. Can be changed after fit, as ``contamination``.

    patches : int, BackboneTransformer, list of these or None, default=None
        What images are cut into, to find defects that are small beside the image. None looks at
        images as a whole. An int cuts squares of so many pixels a side, 8 or more, which overlap. A
        ``BackboneTransformer(pool=None)`` takes the cells of its grid, a row of features each. The
        VAEs learn what these look like, wherever they are; an image's score is that of its most
        unusual places, and :meth:`score_map` says where they are. Of several, each has VAEs of its
        own, and their maps are averaged. Images may then differ in size, and X be a list of arrays
        or of paths, which are read one at a time.

    contamination : float, default=0.1
        Share of *new* normal samples that ``predict`` calls outliers, in (0, 0.5], and of the
        training data that ``fit_predict`` does. It sets ``offset_`` and nothing else.

    random_state : int, RandomState instance or None, default=None
        For the VAE, where its own is None.

    Attributes
    ----------
    vaes_ : list of VAETransformer
        The VAEs behind the scores: two, each trained on its half of X; or the frozen one. Two for
        each of several ``patches``.
    vae_ : VAETransformer
        The first of them.
    offset_ : float
        ``decision_function`` is ``score_samples - offset_``: negative for outliers.
    n_features_in_ : int
        Values in one sample; with ``patches`` in one patch or cell.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Column names, where X was a data frame.

    See Also
    --------
    sklearn.ensemble.IsolationForest : Fast, for tabular data.
    sklearn.decomposition.PCA : Its reconstruction error is the control to beat.

    Notes
    -----
    A VAE knows the rows that it was trained on: their scores say little about those of new ones.
    So ``fit`` splits X at random, trains a VAE and its densities on each half, and takes the
    scores of a half from the other's VAE [4]_. A new sample's score is the mean of the two. A
    training row, recognised by its values, has the score of the one VAE that has not seen it, in
    all methods. Densities of fewer than 1,000 rows are fitted in up to eight ways. So its score is
    a mean, too, and varies as a new one's does [6]_. The alarm rate holds for samples drawn as X
    was (exchangeable ones): not for other persons, machines or days.

    References
    ----------
    .. [1] Huang et al., "Rethinking Test-time Likelihood: The Likelihood Path Principle and Its
       Application to OOD Detection", 2024, https://arxiv.org/abs/2401.04933
    .. [2] Nalisnick et al., "Do Deep Generative Models Know What They Don't Know?", ICLR 2019,
       https://arxiv.org/abs/1810.09136
    .. [3] Serrà et al., "Input complexity and out-of-distribution detection with likelihood-based
       generative models", ICLR 2020, https://arxiv.org/abs/1909.11480
    .. [4] Vovk, "Cross-conformal predictors", Annals of Mathematics and Artificial Intelligence
       74, 2015.
    .. [5] Bates et al., "Testing for outliers with conformal p-values", Annals of Statistics 51,
       2023, https://arxiv.org/abs/2104.08279. :meth:`p_values` returns them.
    .. [6] Kim, Xu, Barber, "Predictive inference is free with the jackknife+-after-bootstrap",
       NeurIPS 2020.

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
    >>> bool((detector.p_values(X[y != 0]) < 0.05).mean() > 0.8)
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "vae": VAE_KINDS,
        "method": [StrOptions(set(STATISTICS))],
        "patches": [
            Interval(Integral, MIN_SIDE, None, closed="left"),
            *(BackboneTransformer, list, tuple, None),
        ],
        "contamination": [Interval(Real, 0, 0.5, closed="right")],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        vae: VAETransformer | FrozenEstimator | None = None,
        *,
        method: DetectorMethod = "path",
        patches: Cut | Sequence[Cut] | None = None,
        contamination: float = 0.1,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.vae = vae
        self.method = method
        self.patches = patches
        self.contamination = contamination
        self.random_state = random_state

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any = None) -> VAEDetector:
        """Train the VAE on X and learn what its samples score.

        Parameters
        ----------
        X : array-like, torch.Tensor or torch.utils.data.Dataset
            Samples in a form that :meth:`VAETransformer.fit` takes. With ``patches`` images, also a
            list of arrays or of paths.
        y : Ignored
            Not used; present for the scikit-learn API.

        Returns
        -------
        self : object
            The fitted detector; as it was before, where this raises.

        Raises
        ------
        ValueError, FloatingPointError
            As :meth:`VAETransformer.fit`, for fewer than four samples, for images smaller than
            ``patches``, of several numbers of channels, and for files that cannot be read.
        TypeError
            For a frozen estimator that is no VAETransformer.

        Warns
        -----
        UserWarning
            When X has too few rows for ``contamination``, fewer than ``1 / contamination - 1``.
            ``predict`` warns of one that was set since. And when the frozen VAE was trained on rows
            of X, as far as it remembers them.
        """
        frozen = isinstance(self.vae, FrozenEstimator)
        n_kinds = len(patches_of(self.patches, frozen=frozen)) or 1
        tasks = FitTasks(self, self, X, y, 0 if frozen else N_VAES * n_kinds)
        fitted = self._fitted(X, tasks)
        kept = {k: v for k, v in self.__dict__.items() if k != "feature_names_in_"}
        self.__dict__ = {**kept, **fitted}  # in one step: an interrupt leaves the old or the new
        tasks.end()
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
            When X differs from the fitted data in shape, dtype or range, and for an unknown
            ``method``.
        """
        check_is_fitted(self)
        self._validate_params()
        if self._local is not None:
            return self._local.score(read_pictures(X, self._local.form), self.method)
        data = samples_of(self.vae_, X)
        keys: list[np.ndarray] = []
        parts = [(vae.codec_, STATISTICS[self.method]) for vae in self.vaes_]
        statistics = measure(data, parts, keys)
        return self._ranks[self.method](statistics, self._row_folds(np.concatenate(keys)))

    @property
    def offset_(self) -> float:
        """The score below which a sample is an outlier, for the present ``contamination``."""
        check_is_fitted(self)
        self._validate_params()
        scores = self._ranks[self.method]
        if self.contamination != self._rate_of_fit:  # fit has warned of its own
            self._warn_of_few(len(scores.calibration), stacklevel=3)
        return scores.threshold(self.contamination)

    @property
    def vae_(self) -> VAETransformer:
        """The first of ``vaes_``."""
        check_is_fitted(self)
        return self.vaes_[0]

    def p_values(self, X: Any) -> np.ndarray:
        """Return how surprising each sample is, as a share: its conformal p-value.

        See Bates et al., "Testing for outliers with conformal p-values", 2023.
        ``(1 + k) / (n + 1)``, where k of the n training rows score no higher, each by the VAE that
        has not seen it. Of new normal samples no more than about a share ``a`` has a p-value of
        ``a`` or less, whatever the data. ``scipy.stats.false_discovery_control`` takes them where
        many samples are tested at once.

        Parameters
        ----------
        X : array-like, torch.Tensor or torch.utils.data.Dataset
            Samples in the form that :meth:`fit` saw.

        Returns
        -------
        p : ndarray of shape (n,), float64
            Above 0 and up to 1; small for outliers.
        """
        scores = self.score_samples(X)
        return self._ranks[self.method].p_values(scores)

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
            Squared error of intensities in [0, 1], the mean over channels and VAEs.

        Raises
        ------
        ValueError
            When the detector was fitted on rows that are not images, and when X differs from the
            fitted data in shape, dtype or range.
        """
        check_is_fitted(self)
        vae = self.vae_
        if self._local is not None:
            raise ValueError("error_map is of whole images. With patches use score_map(X).")
        vae.spec_.check_image("error_map needs images", " of vae")

        def errors(raw: torch.Tensor) -> torch.Tensor:
            return torch.stack([squared_errors(vae.codec_, raw) for vae in self.vaes_]).mean(0)

        return vae.codec_.apply(samples_of(vae, X), errors)

    def score_map(self, X: Any) -> np.ndarray | list[np.ndarray]:
        """Return where each image is unusual, by ``method`` and ``patches``.

        Parameters
        ----------
        X : array-like, torch.Tensor, torch.utils.data.Dataset, list of arrays or list of paths
            Images as :meth:`fit` takes them.

        Returns
        -------
        maps : ndarray of shape (n, height, width) or list of ndarray of shape (height, width)
            Float32, a list unless X is one array. How unusual each pixel's surroundings are, in
            standard deviations above what is usual there; the mean over ``patches``, where there
            are several.

        Raises
        ------
        ValueError
            When ``patches`` was None in fit, and for images of other channels or dtype than fit's.
        """
        check_is_fitted(self)
        self._validate_params()
        if self._local is None:
            raise ValueError(
                "score_map is of places, but the detector was fitted with patches=None. Fit with "
                "patches=16 or so, or use error_map(X)."
            )
        pictures = read_pictures(X, self._local.form)
        maps = self._local.maps(pictures, self.method)
        return np.stack(maps) if pictures.is_array else maps

    def _fitted(self, X: Any, tasks: FitTasks) -> dict[str, Any]:
        """Return what fit learns, by attribute."""
        rng = check_random_state(self.random_state)
        fit = self._fitted_whole if self.patches is None else self._fitted_local
        vaes, n, keys, learnt = fit(X, tasks, rng)
        first = vaes[0]
        self._warn_of(n, keys, first)
        fitted = {
            "vaes_": vaes,
            "n_features_in_": first.n_features_in_,
            "_rate_of_fit": self.contamination,
            **learnt,
        }
        if self.patches is None and hasattr(first, "feature_names_in_"):
            fitted["feature_names_in_"] = first.feature_names_in_
        return fitted

    def _fitted_whole(self, X: Any, tasks: FitTasks, rng: np.random.RandomState) -> Fitted:
        """Return the VAEs, how many samples there are, their keys, and the scores."""
        if isinstance(self.vae, FrozenEstimator):
            vaes, data = [unfrozen(self.vae)], frozen_rows(self.vae, X)
            folds = draw_folds(len(data), np.random.RandomState(0))
        else:
            vaes, data, folds = train_on_halves(template_of(self.vae), X, tasks, rng, draw_folds)
        folds = part_again(folds)
        ranks, keys = cross_fit([vae.codec_ for vae in vaes], data, folds)
        learnt = {"_row_folds": RowFolds(keys, folds), "_ranks": ranks, "_local": None}
        return vaes, len(keys), keys, learnt

    def _fitted_local(self, X: Any, tasks: FitTasks, rng: np.random.RandomState) -> Fitted:
        """Return the VAEs, how many images there are, keys of patches, and the scores."""
        pictures = read_pictures(X, at_least=LEAST_ROWS)
        frozen = self.vae if isinstance(self.vae, FrozenEstimator) else None
        cutters = [cutter_of(one, pictures[0]) for one in patches_of(self.patches)]
        if frozen is not None:
            cutters[0].use(unfrozen(frozen).spec_)
            draws = np.random.RandomState(0)
        else:
            draws = check_random_state(seeded_clone(template_of(self.vae), rng).random_state)
        vaes: list[VAETransformer] = []
        keys: list[np.ndarray] = []

        def train(rows: np.ndarray, folds: np.ndarray, cutter: Cutter) -> Any:
            if frozen is not None:
                own, data = [unfrozen(frozen)], frozen_rows(frozen, rows)
            else:
                template = template_of(self.vae, windows=isinstance(cutter, Windows))
                own, data, _ = train_on_halves(
                    template,
                    ArrayDataset(rows),
                    tasks,
                    rng,
                    lambda n, _: folds,
                    cutter.overlap(*pictures[0].shape[1:]),
                )
            codecs = [vae.codec_ for vae in own]
            scores, keys_of_rows = cross_fit(codecs, data, folds[:, None], LOCAL)
            vaes.extend(own)
            keys.append(keys_of_rows)
            return codecs, scores

        folds = draw_folds(len(pictures), draws)
        local = LocalScores(pictures, cutters, folds, train, draws)
        learnt = {"_row_folds": None, "_ranks": local.ranks, "_local": local}
        return vaes, len(pictures), np.concatenate(keys), learnt

    def _warn_of(self, n: int, keys: np.ndarray, vae: VAETransformer) -> None:
        """Say where the alarm rate will not be what is asked for."""
        self._warn_of_few(n, stacklevel=6)
        rate = self.contamination
        shared = shared_rows(keys, vae.row_keys_) if isinstance(self.vae, FrozenEstimator) else 0
        if shared:
            warnings.warn(
                f"The frozen VAE was trained on rows of X: of the {len(vae.row_keys_)} training "
                f"rows that it remembers, X has {shared}. They score better than new rows, so that "
                f"predict will raise more false alarms than contamination={rate:g}. "
                "Fit on rows that it has not seen, or pass the VAE unfrozen, to be trained here.",
                UserWarning,
                stacklevel=5,
            )

    def _warn_of_few(self, n: int, stacklevel: int) -> None:
        """Say where n scores are too few for the rate that is asked for."""
        rate = self.contamination
        if rate * (n + 1) < 1:
            warnings.warn(
                f"contamination={rate:g} takes {int(np.ceil(1 / rate)) - 1} rows to be kept, but X "
                f"of fit had {n}. So predict raises about {100 / (n + 1):.2g} % false alarms. Fit "
                f"on more rows, or set contamination={np.ceil(1000 / (n + 1)) / 1000:g} or more.",
                UserWarning,
                stacklevel=stacklevel,
            )

"""Class-conditional synthetic rows, as a sampler or around a classifier."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from math import prod
from numbers import Real
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.base import BaseEstimator, OneToOneFeatureMixin
from sklearn.frozen import FrozenEstimator
from sklearn.utils import Tags, check_random_state, get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from ._inner_vae import VAE_KINDS, HasVAE, seeded_clone, unfrozen
from ._transformer import VAETransformer
from .augmentation._augment import AUGMENTATIONS, Augment, AugmentationName
from .input._labels import tell_unlabelled
from .input._spec import InputSpec, read_spec, with_white
from .synthesis import METHODS, Method, QualityGate, append_labels, append_rows, new_rows
from .synthesis._augment_rows import check_augment
from .synthesis._checks import check_gate, check_method, check_wrapped, is_sampler
from .synthesis._containers import check_can_append
from .synthesis._deformation import DeformationVAE
from .synthesis._forwards import ForwardsMixin
from .synthesis._gate import resolve_gate, warn_of_shortage
from .synthesis._labelled import Labelled, read_labelled
from .synthesis._methods import MethodName, resolve_method
from .synthesis._row_generator import RowGenerator, SyntheticRows, to_make
from .synthesis._row_model import ConditionalVAE, PlainVAE, RealRows, RowModel
from .synthesis._sampler_tags import sampler_tags
from .synthesis._sampling_strategy import NewRows
from .utils._at_once import fitted_at_once
from .utils._counts import check_count
from .utils._memory import memory_explained
from .utils._sklearn_compat import (
    NOT_NEGATIVE,
    FitTasks,
    HasMethods,
    StrOptions,
    check_feature_names,
    check_params,
    fit_context,
    safe_indexing,
)

TRAINED = {"vae": PlainVAE, "conditional": ConditionalVAE, "deformation": DeformationVAE}
"""The kind of VAE that a method's ``model`` stands for."""


class VAEAugmenter(ForwardsMixin, OneToOneFeatureMixin, HasVAE, BaseEstimator):
    """Synthetic rows for small or unbalanced classes: a sampler, or a wrapper around a classifier.

    Without ``estimator`` it is a sampler in imbalanced-learn's form: ``fit_resample`` returns the
    rows of X and, behind them, synthetic ones. It can be a step of ``imblearn.pipeline.Pipeline``.
    With ``estimator`` it is a classifier: it fits a copy of ``estimator`` on real + synthetic rows
    and predicts with it. So it works in scikit-learn's own ``Pipeline`` and searches, which cannot
    change the number of rows. Only rows passed to fit are ever encoded or copied.

    Parameters
    ----------
    estimator : classifier, default=None
        What to fit on real + synthetic rows, without sample weights, which synthetic rows have
        not; None for a sampler.

    vae : VAETransformer or FrozenEstimator, default=None
        A template, of which every fit trains a copy on all rows of X, or
        ``FrozenEstimator(fitted_vae)``, used as it is: pre-train once on unlabelled images. None is
        ``VAETransformer(augment=None)``.

    method : {"auto", "posterior", "interpolation", "density", "conditional", "deformation", \
            "bootstrap"} or synthesis.Method, default="auto"
        - ``"posterior"``: around the posteriors of real rows of the class.
        - ``"interpolation"``: between neighbours of the class in the latent space.
        - ``"density"``: from a Gaussian mixture fitted to the latent means of the class.
        - ``"conditional"``: around posteriors, with a VAE whose decoder sees the class.
        - ``"deformation"``: real images, deformed as others of their class differ from each other,
          by a VAE of deformations.
        - ``"bootstrap"``: real rows drawn with replacement, no VAE; with ``augment`` this is
          ordinary augmentation, without it random over-sampling.
        - ``"auto"``: interpolation in classes of 2 to 49 rows, around posteriors in others.

        An instance sets more: ``synthesis.PosteriorSampling(spread=0.5)``; a search then tunes
        ``method__spread``. Draws from the prior are not offered: they are known to be poor.

    n_new : str, float, int, dict or callable, default="balance"
        How many synthetic rows.

        - ``"balance"``: as many as bring each class to the size of the largest. imbalanced-learn's
          ``"auto"``, ``"not majority"``, ``"all"`` mean the same; ``"minority"`` fills up the
          smallest class only, ``"not minority"`` all but the smallest.
        - float, 0 or more: relative to each class's real rows; 1.0 doubles every class.
        - int, 0 or more: so many for each class.
        - dict: class to float or int; other classes get none.
        - callable: gets the labels, shape (n,), returns such a dict.

        Unlike imbalanced-learn's, numbers count new rows, not totals, and so hold in any fold.

    augment : {"geometric", "natural", "strong"}, float or callable, default=None
        Ordinary augmentation, images only. Here it changes every finished synthetic row, not what
        an encoder sees. Values are those of ``VAETransformer(augment=...)``: a name, a strength of
        0 or more, ``augmentation.Augment(shift=0.07, flip=True)`` or a torchvision v2 transform.
        That gets float images (1, c, h, w) in [0, 1], one by one, and keeps their size.

    gate : bool or synthesis.QualityGate, default=False
        Drop synthetic rows that a classifier fitted on the real ones assigns to another class, and
        rows that copy a real one, and draw others instead; ``gate_report_`` counts. True is
        ``QualityGate()``.

    random_state : int, RandomState instance or None, default=None
        Draws and ``augment``, and the VAE and ``estimator`` where their own is None.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The classes. -1 is none: it marks unlabelled rows, which teach the VAE, pass through
        ``fit_resample`` and are left out when ``estimator`` is fitted.
    n_unlabelled_ : int
        Rows of y that were -1; above 0, the VAE's ``verbose`` tells them.
    vae_ : VAETransformer
        The VAE behind the synthetic rows (another kind with ``"conditional"`` and
        ``"deformation"``); None with ``method="bootstrap"``.
    methods_ : list of synthesis.Method
        The fitted method of each class.
    sampling_strategy_ : dict
        Class to number of synthetic rows.
    is_synthetic_ : ndarray of shape (n_out,), bool
        Which of the rows that came out, or that ``estimator`` was fitted on, are synthetic.
    source_indices_ : ndarray of shape (n_out,), int
        The row of X that each came from. Of a real one it is the row itself. Of a synthetic one it
        is the real row that it was drawn around (the nearer one of two), and -1 for draws from a
        density.
    gate_report_ : dict
        Per class: rows asked for, drawn, dropped as misassigned, dropped as copies, kept.
    estimator_ : classifier
        The fitted copy of ``estimator``.
    n_features_in_ : int
        Values in one row.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Column names, where X was a data frame.

    See Also
    --------
    imblearn.over_sampling.SMOTE : The control to beat, on rows as they are.

    Notes
    -----
    Synthetic rows come in the dtype and range of X: images in [0, 1] or 0 to 255, other rows within
    the range of each column. Class weights and ordinary augmentation are cheaper; try them first.
    A fitted augmenter, and its pickle, keeps the posteriors of X and, where rows get back their
    residual, X itself.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.svm import SVC
    >>> from sklearn_vae import VAEAugmenter, VAETransformer
    >>> X, y = load_digits(return_X_y=True)
    >>> X = X / 16
    >>> vae = VAETransformer(8, network="mlp", image_shape=(8, 8), augment=None, max_epochs=20,
    ...                      device="cpu")
    >>> augmenter = VAEAugmenter(vae=vae, n_new={3: 50, 8: 0.5}, random_state=0)
    >>> X_more, y_more = augmenter.fit_resample(X, y)
    >>> len(X_more) - len(X), augmenter.sampling_strategy_[8]
    (137, 87)
    >>> augmenter.sample(5, y=3).shape
    (5, 64)
    >>> classifier = VAEAugmenter(SVC(), vae=vae, n_new=0.5, random_state=0).fit(X[:500], y[:500])
    >>> bool(classifier.score(X[500:], y[500:]) > 0.8)
    True
    """

    _kinds: ClassVar[dict[str, Any]] = {
        "vae": {"": VAETransformer},
        "method": METHODS,
        "augment": {"": Augment},
        "gate": {"": QualityGate},
    }

    _sampling_type: ClassVar[str] = "bypass"
    """For imbalanced-learn's ensembles: ``n_new`` counts rows, no ``sampling_strategy`` is set."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "estimator": [HasMethods(["fit", "predict"]), None],
        "vae": VAE_KINDS,
        "method": [StrOptions(set(METHODS)), Method],
        "n_new": [str, Real, Mapping, callable],
        "augment": [StrOptions(set(AUGMENTATIONS)), NOT_NEGATIVE, callable, None],
        "gate": ["boolean", QualityGate],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        estimator: Any = None,
        *,
        vae: Any = None,
        method: MethodName | Method = "auto",
        n_new: NewRows | float | Mapping[Any, float] | Callable[..., Any] = "balance",
        augment: AugmentationName | float | Callable[[torch.Tensor], torch.Tensor] | None = None,
        gate: bool | QualityGate = False,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.estimator = estimator
        self.vae = vae
        self.method = method
        self.n_new = n_new
        self.augment = augment
        self.gate = gate
        self.random_state = random_state

    # -- the two roles -------------------------------------------------------------------------

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any) -> VAEAugmenter:
        """Fit the VAE and the draws, and ``estimator``, where there is one, on real + synthetic.

        Parameters
        ----------
        X : array-like, data frame of pandas or polars, or torch.Tensor
            Images or rows in the form that :meth:`VAETransformer.fit` takes.
        y : array-like of shape (n,)
            Classes; the number -1 is unlabelled.

        Returns
        -------
        self : object
            The fitted augmenter.

        Raises
        ------
        ValueError
            For what cannot work, before any training. The augmenter is left as it was.
        """
        with fitted_at_once(self) as unseen:
            data, rng, tasks = self._fit_generator(unseen, X, y)
            if self.estimator is not None:
                new = self._generate(unseen, rng, data.known)
                unseen.estimator_ = self._fit_estimator(data, new, rng, tasks)
            tasks.end()
        return self

    @available_if(is_sampler)
    @fit_context(prefer_skip_nested_validation=False)
    def fit_resample(self, X: Any, y: Any) -> tuple[Any, Any]:
        """Fit, and return X and y with synthetic rows behind the real ones.

        Parameters
        ----------
        X : array-like, data frame of pandas or polars, or torch.Tensor
            Images or rows in the form that :meth:`VAETransformer.fit` takes.
        y : array-like of shape (n,), (n, 1), or one-hot (n, n_classes)
            Classes; the number -1 is unlabelled.

        Returns
        -------
        X_resampled, y_resampled
            In the containers and dtypes of X and y; a list of images gets images of their type.
            The first rows are those of X, unchanged.

        Raises
        ------
        ValueError
            As :meth:`fit`: for a y without classes, with missing values or with -1 beside one
            class. For an ``n_new`` of negative numbers or unknown classes, a class with too few
            rows for ``method``, and what the VAE refuses.
        TypeError
            For a torch ``Dataset`` and tables of other packages than pandas and polars, to which
            no rows can be appended.

        Warns
        -----
        UserWarning
            When ``n_new`` comes to no rows, and when the gate leaves fewer than asked for.
        """
        check_can_append("y", y)
        with fitted_at_once(self) as unseen:
            data, rng, tasks = self._fit_generator(unseen, X, y)
            new = self._generate(unseen, rng, np.arange(len(data.X)))
            with memory_explained(lambda: to_make(len(new.rows))):
                X_out = append_rows(X, new.rows)
            y_out = append_labels(y, data.classes[new.codes], X_out)
            tasks.end()
        return X_out, y_out

    def sample(
        self,
        n_samples: int = 1,
        *,
        y: Any,
        random_state: int | np.random.RandomState | None = None,
    ) -> np.ndarray:
        """Return synthetic rows of the class y.

        Parameters
        ----------
        n_samples : int, default=1
            How many, 1 or more.
        y : label
            One of ``classes_``.
        random_state : int, RandomState instance or None, default=None
            None takes the augmenter's own ``random_state``.

        Returns
        -------
        X : ndarray of shape (n_samples, ...)
            In the form, range and dtype of the fitted X. With a gate that drops too many, fewer
            rows, and a warning.

        Raises
        ------
        ValueError
            For an ``n_samples`` that is not an int of 1 or more and a ``y`` that is not a class.
        """
        check_is_fitted(self)
        n = check_count("n_samples", n_samples)
        where = np.flatnonzero(self.classes_ == y)
        if len(where) != 1:
            raise ValueError(f"y={y!r} is not one of the classes {self.classes_.tolist()}.")
        rng = check_random_state(self.random_state if random_state is None else random_state)
        drawn = self.generator_.draw(int(where[0]), n, rng)
        warn_of_shortage({self.classes_[where].tolist()[0]: drawn.report}, stacklevel=2)
        return drawn.rows

    # -- the fitted draws ------------------------------------------------------------------------

    @property
    def vae_(self) -> Any:
        """The VAE behind the synthetic rows; None with ``method="bootstrap"``."""
        return self.generator_.model.vae

    @property
    def methods_(self) -> list[Method]:
        """The fitted method of each class."""
        return self.generator_.methods

    @property
    def gate_(self) -> QualityGate | None:
        """The fitted gate."""
        return self.generator_.gate

    @property
    def spec_(self) -> InputSpec:
        """Shape, layout and dtype of the fitted X."""
        return self.generator_.spec

    # -- fitting -------------------------------------------------------------------------------
    #
    # ``self`` has the parameters, ``unseen``, a copy of it, gets what is learnt.

    def _fit_generator(
        self, unseen: VAEAugmenter, X: Any, y: Any
    ) -> tuple[Labelled, np.random.RandomState, FitTasks]:
        """Fit the draws; return the input, the generator in use, and the tasks under way."""
        vae, frozen = self._template()
        data = self._read(unseen, X, y, vae, frozen=frozen)
        method, gate = resolve_method(self.method), resolve_gate(self.gate)
        if frozen:  # trained on the same columns
            check_feature_names(vae, X, reset=False)
        spec = with_white(read_spec(data.X, vae.image_shape, data.spelling), data.X)
        check_augment(self.augment, spec)
        check_method(method, data, spec, given=self.method, frozen=frozen)
        check_gate(gate, data)
        check_wrapped(self.estimator, data)
        rng = check_random_state(self.random_state)
        model = self._row_model(method, vae, rng, frozen=frozen)
        gate = None if gate is None else seeded_clone(gate, rng)
        generator = RowGenerator(model, method, spec=spec, augment=self.augment, gate=gate)
        n_tasks = (model.template is not None) + (self.estimator is not None)
        tasks = FitTasks(self, unseen, X, y, n_tasks)
        unseen.generator_ = generator.fit(data, tasks)
        return data, rng, tasks

    def _template(self) -> tuple[VAETransformer, bool]:
        """Return what is trained, or the VAE that is used as it is, and which of the two it is."""
        if isinstance(self.vae, FrozenEstimator):
            return unfrozen(self.vae), True
        return VAETransformer(augment=None) if self.vae is None else self.vae, False

    def _read(
        self, unseen: VAEAugmenter, X: Any, y: Any, vae: VAETransformer, *, frozen: bool
    ) -> Labelled:
        """Return the checked input; learn the classes, and how many new rows each gets."""
        for name in ("is_synthetic_", "source_indices_"):
            unseen.__dict__.pop(name, None)  # of another fit
        unseen.gate_report_ = {}
        data = read_labelled(X, y, names_of=unseen, for_classifier=self.estimator is not None)
        unseen.n_features_in_ = prod(data.X.shape[1:])
        unseen.classes_ = data.classes
        itself = not frozen and vae.label_weight > 0  # its fit tells of the labels
        unseen.n_unlabelled_ = tell_unlabelled(data.codes, 0 if itself else vae.verbose)
        labels = data.labels[data.known]
        unseen.sampling_strategy_ = new_rows(self.n_new, data.classes, data.counts, labels)
        if not any(unseen.sampling_strategy_.values()):
            have = dict(zip(data.classes.tolist(), data.counts.tolist(), strict=True))
            warnings.warn(
                f"n_new={self.n_new!r} asks for no synthetic rows: the classes {have} are equally "
                "large, or the number is too small. n_new=1.0 doubles every class.",
                UserWarning,
                stacklevel=5,
            )
        return data

    def _row_model(
        self, method: Method, vae: VAETransformer, rng: np.random.RandomState, *, frozen: bool
    ) -> RowModel:
        """Return what is to make the rows; its VAE is not trained yet."""
        if method.model is None:
            return RealRows()
        if frozen:
            return PlainVAE(vae, frozen=True)
        template = seeded_clone(vae, rng)
        check_params(template)
        return TRAINED[method.model](template)

    def _generate(
        self, unseen: VAEAugmenter, rng: np.random.RandomState, real: np.ndarray
    ) -> SyntheticRows:
        """Return the synthetic rows of a fit; record where they and the rows ``real`` are from."""
        new = unseen.generator_.generate([*unseen.sampling_strategy_.values()], rng)
        unseen.is_synthetic_ = np.arange(len(real) + len(new.rows)) >= len(real)
        unseen.source_indices_ = np.concatenate([real, new.source])
        if unseen.gate_ is not None:
            unseen.gate_report_ = dict(zip(unseen.classes_.tolist(), new.reports, strict=True))
            warn_of_shortage(unseen.gate_report_, stacklevel=4)
        return new

    def _fit_estimator(
        self, data: Labelled, new: SyntheticRows, rng: np.random.RandomState, tasks: FitTasks
    ) -> Any:
        """Return a copy of the classifier, fitted on rows that have a label and on new ones."""
        whole = len(data.known) == len(data.X)
        with memory_explained(lambda: to_make(len(new.rows))):
            real = data.given if whole else safe_indexing(data.given, data.known)
            rows = append_rows(real, new.rows)
        labels = np.concatenate([data.labels[data.known], data.classes[new.codes]])
        estimator = seeded_clone(self.estimator, rng)
        with tasks.part("estimator", estimator):
            estimator.fit(rows, labels)
        return estimator

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "generator_")

    def __sklearn_tags__(self) -> Tags:
        """Return the wrapped classifier's tags, or a sampler's."""
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        if self.estimator is not None:
            wrapped = get_tags(self.estimator)
            tags.estimator_type = wrapped.estimator_type
            tags.classifier_tags = wrapped.classifier_tags
            tags.input_tags.three_d_array = wrapped.input_tags.three_d_array
            return tags
        return sampler_tags(tags)

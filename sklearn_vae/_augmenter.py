"""Class-conditional synthetic rows, as a sampler or around a classifier."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from math import prod
from numbers import Real
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from sklearn.base import BaseEstimator, MetaEstimatorMixin, OneToOneFeatureMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils import InputTags, Tags, check_random_state, get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted
from torch.utils.data import DataLoader, Dataset, IterableDataset

from ._inner_vae import seeded_clone, unfrozen
from ._sklearn_compat import (
    CallbackSupportMixin,
    FitTasks,
    HasMethods,
    Interval,
    StrOptions,
    check_feature_names,
    check_params,
    fit_context,
    part_tasks,
    safe_indexing,
)
from ._transformer import VAETransformer
from .augmentation._augment import AUGMENTATIONS, Augment, AugmentationName
from .input._labels import (
    check_length,
    check_not_recoded,
    class_numbers,
    read_labels,
    tell_unlabelled,
    unlabelled_rows,
)
from .input._ranges import Spelling
from .input._rows import ArrayDataset, as_array_of
from .input._samples import spelling, to_array
from .input._spec import check_same, read_array, read_spec, with_white
from .synthesis import (
    METHODS,
    Draws,
    Method,
    QualityGate,
    append_labels,
    append_rows,
    new_rows,
    transform_rows,
)
from .synthesis._conditional import ConditionalVAE
from .synthesis._containers import check_can_append, is_table
from .synthesis._deformation import DeformationVAE, class_neighbors
from .synthesis._methods import MethodName
from .synthesis._sampling_strategy import NewRows
from .utils._at_once import fitted_at_once
from .utils._counts import check_count
from .utils._doc_link import DocLinkMixin
from .utils._memory import explains_memory, memory_explained
from .utils._recipes import NestedParamsMixin

RESIDUAL_BYTES = 2**22
"""Size of the float blocks in which residuals are added: they stay in the processor's cache."""


def _to_read() -> str:
    """Return what was asked for when there was no memory to read X, and a remedy."""
    return "reading X. Pass fewer samples, or values of a smaller dtype (uint8 for images)."


def _to_make(n: int) -> str:
    """Return what was asked for when there was no memory for synthetic rows, and a remedy."""
    return f"making {n} synthetic rows. Ask for fewer, or pass an X of a smaller dtype."


class _Labelled(NamedTuple):
    """The checked input of a fit."""

    X: np.ndarray
    labels: np.ndarray
    codes: np.ndarray
    """Class numbers; -1 is unlabelled."""
    spelling: Spelling
    """How messages are to write down the user's X."""

    @property
    def rows(self) -> ArrayDataset:
        """Return X for a VAE's fit, with what its messages say of it."""
        return ArrayDataset(self.X, spelling=self.spelling)


class VAEAugmenter(
    OneToOneFeatureMixin,
    NestedParamsMixin,
    MetaEstimatorMixin,
    DocLinkMixin,
    CallbackSupportMixin,
    BaseEstimator,
):
    """Synthetic rows per class from a VAE: a sampler, or a wrapper around a classifier.

    Without ``estimator`` it is a sampler in imbalanced-learn's form: ``fit_resample`` returns the
    rows of X and, behind them, synthetic ones; it can be a step of ``imblearn.pipeline.Pipeline``.
    With ``estimator`` it is a classifier: it fits a copy of ``estimator`` on real + synthetic rows
    and predicts with it, so that it works in scikit-learn's own ``Pipeline`` and searches, which
    cannot change the number of rows. Only rows passed to fit are ever encoded or copied.

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
            "bootstrap"} or augmentation.Method, default="auto"
        - ``"posterior"``: around the posteriors of real rows of the class.
        - ``"interpolation"``: between neighbours of the class in the latent space.
        - ``"density"``: from a Gaussian mixture fitted to the latent means of the class.
        - ``"conditional"``: around posteriors, with a VAE whose decoder sees the class.
        - ``"deformation"``: real images, deformed as others of their class differ from each other,
          by a VAE of deformations.
        - ``"bootstrap"``: real rows drawn with replacement, no VAE; with ``transforms`` this is
          ordinary augmentation, without it random over-sampling.
        - ``"auto"``: interpolation in classes of 2 to 49 rows, around posteriors in others.

        An instance sets more: ``augmentation.Posterior(spread=0.5)``; a search then tunes
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

    transforms : {"geometric", "natural"}, float or callable, default=None
        Ordinary augmentation of every synthetic row, images only: what
        ``VAETransformer(augment=...)`` takes: a name, a strength of 0 or more,
        ``training.Augment(shift=0.07, flip=True)`` or a torchvision v2 transform, which gets float
        images (1, c, h, w) in [0, 1], one by one, and keeps their size.

    gate : bool or augmentation.QualityGate, default=False
        Drop synthetic rows that a classifier fitted on the real ones assigns to another class, and
        rows that copy a real one, and draw others instead; ``gate_report_`` counts. True is
        ``QualityGate()``.

    random_state : int, RandomState instance or None, default=None
        Draws and transforms, and the VAE and ``estimator`` where their own is None.

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
    methods_ : list of augmentation.Method
        The fitted method of each class.
    sampling_strategy_ : dict
        Class to number of synthetic rows.
    is_synthetic_ : ndarray of shape (n_out,), bool
        Which of the rows that came out, or that ``estimator`` was fitted on, are synthetic.
    source_indices_ : ndarray of shape (n_out,), int
        The row of X that each came from: itself for a real one, the real row that a synthetic one
        was drawn around (the nearer one of two), or -1 for draws from a density.
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
        "transforms": {"": Augment},
        "gate": {"": QualityGate},
    }

    _sampling_type: ClassVar[str] = "bypass"
    """For imbalanced-learn's ensembles: ``n_new`` counts rows, no ``sampling_strategy`` is set."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "estimator": [HasMethods(["fit", "predict"]), None],
        "vae": [VAETransformer, FrozenEstimator, None],
        "method": [StrOptions(set(METHODS)), Method],
        "n_new": [str, Real, Mapping, callable],
        "transforms": [
            StrOptions(set(AUGMENTATIONS)),
            Interval(Real, 0, None, closed="left"),
            callable,
            None,
        ],
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
        transforms: AugmentationName | float | Callable[[torch.Tensor], torch.Tensor] | None = None,
        gate: bool | QualityGate = False,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.estimator = estimator
        self.vae = vae
        self.method = method
        self.n_new = n_new
        self.transforms = transforms
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
            data = unseen._read(X, y)
            tasks = self._tasks(unseen, X, y)
            rng = unseen._fit_generator(data, tasks)
            if unseen.estimator is not None:
                unseen._fit_estimator(to_array(X), data, rng, tasks)
            tasks.end()
        return self

    @available_if(lambda self: self.estimator is None)
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
            class, an ``n_new`` of negative numbers or unknown
            classes, a class with too few rows for ``method``, and what the VAE refuses.
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
            data = unseen._read(X, y)
            tasks = self._tasks(unseen, X, y)
            rng = unseen._fit_generator(data, tasks)
            every = np.arange(len(data.X))
            new, codes = unseen._generate(unseen.sampling_strategy_, rng, every)
            with memory_explained(lambda: _to_make(len(new))):
                X_out = append_rows(X, new)
            y_out = append_labels(y, unseen.classes_[codes], X_out)
            tasks.end()
        return X_out, y_out

    def sample(
        self, n: int, *, y: Any, random_state: int | np.random.RandomState | None = None
    ) -> np.ndarray:
        """Return n synthetic rows of the class y.

        Parameters
        ----------
        n : int
            How many, 1 or more.
        y : label
            One of ``classes_``.
        random_state : int, RandomState instance or None, default=None
            None takes the augmenter's own ``random_state``.

        Returns
        -------
        X : ndarray of shape (n, ...)
            In the form, range and dtype of the fitted X. With a gate that drops too many, fewer
            than n rows, and a warning.

        Raises
        ------
        ValueError
            For an ``n`` that is not an int of 1 or more and a ``y`` that is not a class.
        """
        check_is_fitted(self)
        n = check_count("n", n)
        where = np.flatnonzero(self.classes_ == y)
        if len(where) != 1:
            raise ValueError(f"y={y!r} is not one of the classes {self.classes_.tolist()}.")
        rng = check_random_state(self.random_state if random_state is None else random_state)
        new, _, report = self._draw(int(where[0]), n, rng)
        _warn_of_shortage({self.classes_[where].tolist()[0]: report})
        return new

    # -- fitting -------------------------------------------------------------------------------

    def _read(self, X: Any, y: Any) -> _Labelled:
        """Check everything that can be checked before training."""
        if isinstance(X, Dataset | DataLoader):
            data, name = (X, "X") if isinstance(X, Dataset) else (X.dataset, "X.dataset")
            first = None if isinstance(data, IterableDataset) else data[0]
            raise TypeError(
                "VAEAugmenter needs X as an array, a data frame or a tensor: synthetic rows are "
                f"appended to it. Load the Dataset's images: {as_array_of(name, first)}."
            )
        check_can_append("X", X)
        wraps = self.estimator is not None
        labels = read_labels(y, warn=wraps, one_hot=not wraps)
        with memory_explained(_to_read):
            array = to_array(X)
        for name in ("feature_names_in_", "is_synthetic_", "source_indices_"):
            self.__dict__.pop(name, None)  # of another fit
        with memory_explained(_to_read):
            rows = read_array(self, array, reset=True, at_least=2)
        self.n_features_in_ = prod(rows.shape[1:])
        check_length(labels, len(rows))
        self.classes_, codes = class_numbers(labels)
        known = codes >= 0
        if not known.any():
            raise ValueError(
                "y has no class: all rows are -1, which means unlabelled. Give some their class."
            )
        counts = np.bincount(codes[known])
        check_not_recoded(self.classes_, codes)
        self.n_unlabelled_ = tell_unlabelled(codes, self._verbosity())
        self.sampling_strategy_ = new_rows(self.n_new, self.classes_, counts, labels[known])
        self._check_method(counts)
        gate = self._resolve_gate()
        for classifier in (self.estimator, None if gate is None else gate.classifier):
            _check_classifier(classifier, rows)
        if wraps and len(self.classes_) == 1:
            _check_takes_one(self.estimator, self.classes_)
        if isinstance(self.vae, FrozenEstimator):  # trained on the same columns
            check_feature_names(unfrozen(self.vae), X, reset=False)
        if not any(self.sampling_strategy_.values()):
            warnings.warn(
                f"n_new={self.n_new!r} asks for no synthetic rows: the classes "
                f"{dict(zip(self.classes_.tolist(), counts.tolist(), strict=True))} are equally "
                "large, or the number is too small. n_new=1.0 doubles every class.",
                UserWarning,
                stacklevel=4,
            )
        return _Labelled(rows, labels, codes, spelling(X, array))

    def _verbosity(self) -> int:
        """Return the VAE's ``verbose``; 0 where its own fit tells of the labels."""
        if isinstance(self.vae, FrozenEstimator):
            return unfrozen(self.vae).verbose
        return 0 if self.vae is None or self.vae.label_weight > 0 else self.vae.verbose

    def _check_method(self, counts: np.ndarray) -> None:
        method = self._resolve_method()
        check_params(method)
        gate = self._resolve_gate()
        if gate is not None:
            check_params(gate)
            if gate.classifier is None and len(counts) < 2:
                raise ValueError(
                    f"gate={self.gate!r} asks a classifier, but y has one class, "
                    f"{self.classes_.tolist()[0]!r}. Use gate=False."
                )
        if method.model in ("conditional", "deformation") and isinstance(self.vae, FrozenEstimator):
            raise ValueError(
                f"method={self.method!r} trains a VAE of its own kind; a frozen one cannot become "
                "one. Pass the template vae=VAETransformer(...), or another method."
            )
        small = counts < method.min_rows
        if small.any() and method.model is not None:
            label = self.classes_[small].tolist()[0]
            raise ValueError(
                f"Class {label!r} has {counts[small][0]} row, but {method!r} needs "
                f"{method.min_rows}. Use method='auto' or 'posterior', which work with one."
            )

    def _tasks(self, unseen: VAEAugmenter, X: Any, y: Any) -> FitTasks:
        """Return the tasks that scikit-learn's callbacks follow: a VAE's fit, the classifier's."""
        trains = self._resolve_method().model and not isinstance(self.vae, FrozenEstimator)
        return part_tasks(self, unseen, X, y, bool(trains) + (self.estimator is not None))

    def _fit_generator(self, data: _Labelled, tasks: FitTasks) -> np.random.RandomState:
        """Fit the VAE, the draws of every class and the gate; return the generator in use."""
        rng = check_random_state(self.random_state)
        method = self._resolve_method()
        template = VAETransformer(augment=None) if self.vae is None else self.vae
        shape = unfrozen(template) if isinstance(template, FrozenEstimator) else template
        spec = read_spec(data.X, shape.image_shape, data.spelling)
        self.spec_ = with_white(spec, data.X)
        self._check_transforms()
        if method.model == "deformation" and not self.spec_.is_image:
            raise ValueError(
                f"method={self.method!r} deforms images, but X has rows of "
                f"{self.spec_.n_features} values. Set vae's image_shape, or another method."
            )
        self.vae_, mean, std = self._fit_vae(template, data, rng, tasks)
        kept = slice(None) if method.residual or method.model in (None, "deformation") else slice(0)
        self._parents = data.X[kept], mean if method.residual else mean[:0]
        self._bounds = None if self.spec_.is_image else (data.X.min(0), data.X.max(0))
        unlabelled = np.flatnonzero(data.codes < 0)
        self.methods_ = [
            clone(method).fit(mean, std, np.flatnonzero(data.codes == c), unlabelled)
            for c in range(len(self.classes_))
        ]
        self.gate_ = None
        self.gate_report_: dict[Any, dict[str, int]] = {}
        gate = self._resolve_gate()
        if gate is not None:
            known = data.codes >= 0
            codes = self._gate_codes(data.X[known])
            self.gate_ = seeded_clone(gate, rng).fit(data.X[known], codes, data.codes[known])
        return rng

    def _check_transforms(self) -> None:
        """Refuse before any training what could not change an image."""
        if self.transforms is None:
            return
        if not self.spec_.is_image:
            raise ValueError(
                f"transforms={self.transforms!r} is for images, but X has rows of "
                f"{self.spec_.n_features} values. Set vae's image_shape, or transforms=None."
            )
        blank = np.zeros((1, *self.spec_.raw_shape), self.spec_.dtype)
        transform_rows(blank, self.spec_, self.transforms, 0)

    def _fit_vae(
        self, template: Any, data: _Labelled, rng: np.random.RandomState, tasks: FitTasks
    ) -> tuple[Any, np.ndarray, np.ndarray]:
        """Return the VAE that the method needs, and its posteriors' means and deviations."""
        method = self._resolve_method()
        if method.model is None:
            none = np.empty((len(data.X), 0))
            return None, none, none
        if isinstance(template, FrozenEstimator):
            vae: Any = unfrozen(template)
            rows = vae.codec_.read(ArrayDataset(data.X), names_of=vae)
            return vae, *vae.codec_.posterior(rows)
        template = seeded_clone(template, rng)
        check_params(template)
        if method.model == "deformation":
            deforming = DeformationVAE(template)
            partners = class_neighbors(data.X, data.codes, method.n_neighbors)
            with tasks.part("vae", template):
                deforming.fit(data.rows, partners)
            return deforming, *deforming.pair_posteriors(data.X, partners)
        if method.model == "conditional":
            vae, labels = ConditionalVAE(template), data.codes
        else:
            vae, labels = template, data.labels
        with tasks.part("vae", template):
            vae.fit(data.rows, labels)
        if hasattr(self, "feature_names_in_"):  # of the user's columns
            vae.feature_names_in_ = self.feature_names_in_
        return vae, *vae.codec_.posterior(ArrayDataset(data.X))

    def _fit_estimator(
        self, X: Any, data: _Labelled, rng: np.random.RandomState, tasks: FitTasks
    ) -> None:
        real = np.flatnonzero(data.codes >= 0)
        new, codes = self._generate(self.sampling_strategy_, rng, real)
        if not is_table(X):
            X = data.X
        with memory_explained(lambda: _to_make(len(new))):
            rows = append_rows(X if len(real) == len(data.X) else safe_indexing(X, real), new)
        labels = np.concatenate([data.labels[real], self.classes_[codes]])
        self.estimator_ = seeded_clone(self.estimator, rng)
        with tasks.part("estimator", self.estimator_):
            self.estimator_.fit(rows, labels)

    def _resolve_method(self) -> Method:
        return METHODS[self.method]() if isinstance(self.method, str) else self.method

    def _resolve_gate(self) -> QualityGate | None:
        if isinstance(self.gate, QualityGate):
            return self.gate
        return QualityGate() if self.gate else None

    # -- generating ----------------------------------------------------------------------------

    @explains_memory(lambda self, wanted, *_: _to_make(sum(wanted.values())))
    def _generate(
        self, wanted: Mapping[Any, int], rng: np.random.RandomState, real: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return synthetic rows and class numbers; record where they and ``real`` are from."""
        drawn = [self._draw(c, n, rng) for c, n in enumerate(wanted.values())]
        new = np.concatenate([rows for rows, _, _ in drawn])
        source = np.concatenate([source for _, source, _ in drawn])
        codes = np.repeat(np.arange(len(drawn)), [len(rows) for rows, _, _ in drawn])
        self.is_synthetic_ = np.arange(len(real) + len(new)) >= len(real)
        self.source_indices_ = np.concatenate([real, source])
        if self.gate_ is not None:
            labels = self.classes_.tolist()
            self.gate_report_ = {
                label: report for label, (_, _, report) in zip(labels, drawn, strict=True)
            }
            _warn_of_shortage(self.gate_report_)
        return new, codes

    @explains_memory(lambda self, c, n, rng: _to_make(n))
    def _draw(
        self, c: int, n: int, rng: np.random.RandomState
    ) -> tuple[np.ndarray, np.ndarray, dict[str, int]]:
        """Return n rows of class number c, their sources, and what the gate dropped."""
        if self.gate_ is None:
            return *self._draw_once(c, n, rng), {}
        none, no_source = self._draw_once(c, 0, rng)
        rows, sources = [none], [no_source]
        report = {"asked": n, "drawn": 0, "misassigned": 0, "copies": 0, "kept": 0}
        for _ in range(self.gate_.max_rounds):
            missing = n - report["kept"]
            if not missing:
                break
            new, source = self._draw_once(c, missing, rng)
            hit = self.gate_.assigned(new, self._gate_codes(new), c)
            copy = hit & self.gate_.copies(new)
            keep = hit & ~copy
            report["drawn"] += missing
            report["misassigned"] += int((~hit).sum())
            report["copies"] += int(copy.sum())
            report["kept"] += int(keep.sum())
            rows.append(new[keep])
            sources.append(source[keep])
        return np.concatenate(rows), np.concatenate(sources), report

    def _draw_once(
        self, c: int, n: int, rng: np.random.RandomState
    ) -> tuple[np.ndarray, np.ndarray]:
        draws = self.methods_[c].draw(n, rng)
        if n == 0:
            return np.empty((0, *self.spec_.raw_shape), self.spec_.dtype), draws.source
        if self.vae_ is None:
            new = self._parents[0][draws.source]
        elif isinstance(self.vae_, DeformationVAE):
            new = self.vae_.deform(self._parents[0][draws.source], draws.Z)
        else:
            new = self._decode(draws.Z, c)
            if self.methods_[c].residual:
                new = self._with_residual(new, draws, c)
        if self._bounds is not None:
            new = new.clip(*self._bounds)
        if self.transforms is not None:
            new = transform_rows(new, self.spec_, self.transforms, rng.randint(2**31 - 1))
        return new, draws.source

    def _decode(self, Z: np.ndarray, c: int) -> np.ndarray:
        if isinstance(self.vae_, ConditionalVAE):
            return self.vae_.generate(Z, np.full(len(Z), c))
        assert self.vae_ is not None
        return self.vae_.codec_.decode(Z)

    def _with_residual(self, new: np.ndarray, draws: Draws, c: int) -> np.ndarray:
        """Return new rows with what decoding their parents' codes loses of the parents."""
        X, mean = self._parents
        rows, which = np.unique(draws.parents, return_inverse=True)
        which = which.reshape(draws.parents.shape)
        # A column may lie far from zero: float32 would keep nothing of its small differences.
        float_type = np.dtype(np.float32 if self.spec_.is_intensity else np.float64)
        lost = X[rows].astype(float_type) - self._decode(mean[rows], c)
        out = np.empty_like(new)
        step = max(1, RESIDUAL_BYTES // max(1, lost[:1].nbytes))
        for start in range(0, len(new), step):  # a large result would not fit in memory as floats
            part = slice(start, start + step)
            x = new[part].astype(float_type)
            for k, share in enumerate(draws.weights[part].T.astype(float_type)):
                x += share.reshape(-1, *[1] * (x.ndim - 1)) * lost[which[part, k]]
            out[part] = self._in_range(x)
        return out

    def _in_range(self, x: np.ndarray) -> np.ndarray:
        """Return float values in the range and dtype of X."""
        if self.spec_.dtype == "uint8":
            return x.round().clip(0, self.spec_.white).astype(np.uint8)
        return self.spec_.restore(x.clip(0, 1) if self.spec_.is_intensity else x)

    def _gate_codes(self, X: np.ndarray) -> np.ndarray:
        """Return what the gate's own classifier works on."""
        if self.vae_ is None or isinstance(self.vae_, DeformationVAE):
            return X.reshape(len(X), -1)
        if not len(X):
            return np.empty((0, self.vae_.codec_.module.z_dim))
        return self.vae_.codec_.posterior(ArrayDataset(X))[0]

    # -- the wrapped classifier ----------------------------------------------------------------

    @available_if(lambda self: _wrapped_has(self, "predict"))
    def predict(self, X: Any) -> np.ndarray:
        """Return the classes that the fitted ``estimator`` predicts.

        Parameters
        ----------
        X : array-like, data frame or torch.Tensor
            Images or rows in the form that :meth:`fit` saw.

        Returns
        -------
        y : ndarray of shape (n,)
            Labels out of ``classes_``.
        """
        return self._wrapped().predict(self._rows(X))

    @available_if(lambda self: _wrapped_has(self, "predict_proba"))
    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the class probabilities of the fitted ``estimator``.

        Parameters
        ----------
        X : array-like, data frame or torch.Tensor
            Images or rows in the form that :meth:`fit` saw.

        Returns
        -------
        probabilities : ndarray of shape (n, n_classes)
            In the order of ``classes_``.
        """
        return self._wrapped().predict_proba(self._rows(X))

    @available_if(lambda self: _wrapped_has(self, "predict_log_proba"))
    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Return the logarithms of the class probabilities of the fitted ``estimator``.

        Parameters
        ----------
        X : array-like, data frame or torch.Tensor
            Images or rows in the form that :meth:`fit` saw.

        Returns
        -------
        log_probabilities : ndarray of shape (n, n_classes)
            In the order of ``classes_``.
        """
        return self._wrapped().predict_log_proba(self._rows(X))

    @available_if(lambda self: _wrapped_has(self, "decision_function"))
    def decision_function(self, X: Any) -> np.ndarray:
        """Return the decision function of the fitted ``estimator``.

        Parameters
        ----------
        X : array-like, data frame or torch.Tensor
            Images or rows in the form that :meth:`fit` saw.

        Returns
        -------
        decision : ndarray
            As ``estimator`` has it: (n,) for two classes, one column per class or pair for more.
        """
        return self._wrapped().decision_function(self._rows(X))

    @available_if(lambda self: _wrapped_has(self, "score"))
    def score(self, X: Any, y: Any) -> float:
        """Return the score of the fitted ``estimator``: the accuracy, for classifiers.

        Parameters
        ----------
        X : array-like, data frame or torch.Tensor
            Images or rows in the form that :meth:`fit` saw.
        y : array-like of shape (n,)
            True classes; rows of -1, unlabelled, are left out.

        Returns
        -------
        score : float
            Larger is better.

        Raises
        ------
        ValueError
            For a y that :meth:`fit` refuses.
        """
        wrapped, rows, labels = self._wrapped(), self._rows(X), read_labels(y, one_hot=False)
        known = np.flatnonzero(~unlabelled_rows(labels))
        if not len(known):
            raise ValueError(
                "y has no class: all rows are -1, which means unlabelled. Give some their class."
            )
        if len(known) < len(labels):
            check_length(labels, len(rows))
            rows, labels = safe_indexing(rows, known), labels[known]
        return wrapped.score(rows, labels)

    def _wrapped(self) -> Any:
        check_is_fitted(self, "estimator_")
        return self.estimator_

    def _rows(self, X: Any) -> Any:
        """Return what the wrapped classifier is to read; refuse images of another form."""
        with memory_explained(_to_read):
            array = to_array(X)
        converted = isinstance(array, np.ndarray) and array is not X
        if converted and self.spec_.is_image and array.ndim > 1 and len(array):
            bounded = self.vae_ is not None
            check_same(array, self.spec_, bounded=bounded, spelling=spelling(X, array))
        return array

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "methods_")

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
        return _sampler_tags(tags)


@dataclass
class _SamplerTags:
    sample_indices: bool = False


@dataclass
class _SamplerInputTags(InputTags):
    dataframe: bool = True


@dataclass
class _TagsOfSampler(Tags):
    """scikit-learn's tags and what imbalanced-learn's tools look for in a sampler's."""

    sampler_tags: _SamplerTags | None = None


def _sampler_tags(tags: Tags) -> Tags:
    values = {f.name: getattr(tags, f.name) for f in fields(tags)}
    inputs = {f.name: getattr(tags.input_tags, f.name) for f in fields(tags.input_tags)}
    inputs["three_d_array"] = True
    values["input_tags"] = _SamplerInputTags(**inputs)
    values["estimator_type"] = "sampler"
    return _TagsOfSampler(**values, sampler_tags=_SamplerTags())


def _check_classifier(estimator: Any, X: np.ndarray) -> None:
    """Refuse before any training what a classifier would refuse after the VAE's."""
    steps = [estimator]
    while hasattr(steps[0], "steps"):
        steps = [step for _, step in steps[0].steps] + steps[1:]
    for step in steps:
        if hasattr(step, "_parameter_constraints"):  # scikit-learn's own check of parameters
            check_params(step)
    if X.ndim > 2 and not _takes_images(steps[0]):
        raise ValueError(
            f"{steps[0]!r} takes rows, but X has shape {X.shape}. Put a VAETransformer before "
            "it, or flatten: X.reshape(len(X), -1), with image_shape set in vae."
        )


def _check_takes_one(estimator: Any, classes: np.ndarray) -> None:
    """Refuse before any training one class alone, where the classifier itself would."""
    while hasattr(estimator, "steps"):
        estimator = estimator.steps[-1][1]
    rows = np.arange(32.0)[:, None]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            clone(estimator).fit(rows, np.repeat(classes, len(rows)))
    except ValueError as error:
        if "class" in str(error):  # as scikit-learn asks of classifiers
            raise ValueError(
                f"y has one class only, {classes.tolist()[0]!r}, which {estimator!r:.200} refuses: "
                f"{str(error)[:200]}"
            ) from error
    except Exception:  # its own affair, with rows of its own
        return


def _takes_images(estimator: Any) -> bool:
    """Return whether an estimator may do with images, going by scikit-learn's tags."""
    if not type(estimator).__module__.startswith("sklearn."):
        return True  # its own affair
    if hasattr(estimator, "steps"):
        return _takes_images(estimator.steps[0][1])
    params = estimator.get_params().items()
    inner = [value for name, value in params if "__" not in name and hasattr(value, "fit")]
    if inner:  # a search or an ensemble: up to what is inside
        return any(map(_takes_images, inner))
    tags = get_tags(estimator)
    return bool(tags.input_tags.three_d_array or tags.no_validation)


def _wrapped_has(self: VAEAugmenter, name: str) -> bool:
    if self.estimator is None:
        return False
    return hasattr(getattr(self, "estimator_", self.estimator), name)


def _warn_of_shortage(reports: Mapping[Any, dict[str, int]]) -> None:
    short = {c: r["asked"] - r["kept"] for c, r in reports.items() if r and r["kept"] < r["asked"]}
    if short:
        warnings.warn(
            f"The gate dropped so many synthetic rows that some are missing, by class: {short}. "
            "See gate_report_; train the VAE for longer, raise the gate's max_rounds or lower its "
            "min_distance, or ask for fewer rows.",
            UserWarning,
            stacklevel=5,
        )

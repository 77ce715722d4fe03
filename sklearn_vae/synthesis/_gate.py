"""Which synthetic rows to keep."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple

import numpy as np
from sklearn.base import BaseEstimator, clone

from ..utils._neighbours import NearRows
from ..utils._recipes import NestedParamsMixin
from ..utils._sklearn_compat import AT_LEAST_1, NOT_NEGATIVE, HasMethods

ROUNDING = 1e-6
"""Distances below this share of the largest are zero but for rounding."""
MEASURED = 2000
"""Real rows whose nearest neighbour is looked for, to know the usual distance."""
MANY_CLASSES, ROWS_A_CLASS = 100, 5
"""Above so many classes, of so many rows in the mean, another classifier is quicker."""


class QualityGate(NestedParamsMixin, BaseEstimator):
    """Drops synthetic rows that miss their class or copy a real row.

    Parameters
    ----------
    classifier : estimator, default=None
        Fitted on the labelled real rows; a synthetic row that it assigns to another class is
        dropped. It gets rows as an array, in the shape of the user's X. None is
        ``LogisticRegression(class_weight="balanced")`` on the VAE's posterior means (on flattened
        rows without a VAE), which needs two classes or more. Of more than 100 classes, with five
        rows each in the mean, it is ``LinearDiscriminantAnalysis``, whose cost does not grow with
        them.
    min_distance : float, default=0.25
        A synthetic row is a copy when a labelled real row lies nearer than this, 0 or more, times
        the median distance between a real row and its nearest neighbour. Distances are Euclidean,
        on flattened rows; rows that are there twice do not count. 0 keeps all.
    max_rounds : int, default=10
        Draws at most, 1 or more: what was dropped is drawn anew; what is missing after the last
        stays missing, with a warning.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_vae import VAEAugmenter
    >>> from sklearn_vae.synthesis import QualityGate
    >>> X, y = np.random.default_rng(0).random((20, 8, 8)), np.repeat([0, 1], [14, 6])
    >>> X = (X + y[:, None, None]) / 2  # 0 is dark, 1 bright
    >>> augmenter = VAEAugmenter(method="bootstrap", augment="geometric", random_state=0,
    ...                          gate=QualityGate(min_distance=0.1))
    >>> augmenter.fit_resample(X, y)[0].shape
    (28, 8, 8)
    >>> augmenter.gate_report_[1]
    {'asked': 8, 'drawn': 8, 'misassigned': 0, 'copies': 0, 'kept': 8}
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "classifier": [HasMethods(["fit", "predict"]), None],
        "min_distance": [NOT_NEGATIVE],
        "max_rounds": [AT_LEAST_1],
    }

    def __init__(
        self, classifier: Any = None, *, min_distance: float = 0.25, max_rounds: int = 10
    ) -> None:
        self.classifier = classifier
        self.min_distance = min_distance
        self.max_rounds = max_rounds

    def fit(self, X: np.ndarray, codes: np.ndarray, y: np.ndarray) -> QualityGate:
        """Learn the classes and the distances of real rows.

        Parameters
        ----------
        X : ndarray of shape (n, ...)
            Labelled real rows.
        codes : ndarray of shape (n, d)
            What the classifier None works on.
        y : ndarray of shape (n,)
            Class numbers.

        Returns
        -------
        self : QualityGate
            Fitted.

        Raises
        ------
        ValueError
            For parameters out of range, and for one class where ``classifier`` is None.
        """
        self._validate_params()
        if self.classifier is None:
            self.classifier_: Any = _usual_classifier(y).fit(codes, y)
        else:
            self.classifier_ = clone(self.classifier).fit(X, y)
        if self.min_distance > 0:
            flat = _flat(X)
            self.real_rows_ = NearRows(flat, self.min_distance * _usual_distance(flat))
        return self

    def assigned(self, X: np.ndarray, codes: np.ndarray, label: int) -> np.ndarray:
        """Return which rows the classifier assigns to the class.

        Parameters
        ----------
        X : ndarray of shape (n, ...)
            Synthetic rows.
        codes : ndarray of shape (n, d)
            Theirs, of the kind that :meth:`fit` got.
        label : int
            Number of the class.

        Returns
        -------
        hit : ndarray of shape (n,), bool
            True where the class is met.
        """
        return self.classifier_.predict(codes if self.classifier is None else X) == label

    def copies(self, X: np.ndarray) -> np.ndarray:
        """Return which of the synthetic rows X (n, ...) copy a real one, shape (n,), bool."""
        if self.min_distance == 0:
            return np.zeros(len(X), bool)
        return self.real_rows_.near(_flat(X))


def _usual_classifier(y: np.ndarray) -> Any:
    """Return the classifier for labels; logistic regression takes seconds for 1,000 classes."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis  # slow to import
    from sklearn.linear_model import LogisticRegression

    n_classes = len(np.unique(y))
    if n_classes <= MANY_CLASSES or len(y) < ROWS_A_CLASS * n_classes:
        return LogisticRegression(class_weight="balanced", max_iter=1000)
    priors = np.full(n_classes, 1 / n_classes)
    return LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.1, priors=priors)


def _usual_distance(flat: np.ndarray) -> float:
    """Return the median distance between a row and its nearest neighbour; 0 without any."""
    from sklearn.neighbors import NearestNeighbors  # slow to import

    nearest = NearestNeighbors(n_neighbors=min(2, len(flat))).fit(flat)
    apart = nearest.kneighbors(flat[:: -(-len(flat) // MEASURED)])[0][:, -1]
    apart = apart[apart > ROUNDING * apart.max()]  # real rows may be there twice
    return float(np.median(apart)) if len(apart) else 0.0


def resolve_gate(gate: bool | QualityGate) -> QualityGate | None:
    """Return the gate that a user's value stands for."""
    if isinstance(gate, QualityGate):
        return gate
    return QualityGate() if gate else None


class Drawn(NamedTuple):
    """Synthetic rows of a class."""

    rows: np.ndarray
    source: np.ndarray
    """The row of X that each came from, or -1."""
    report: dict[str, int]
    """How many were drawn, dropped and kept; empty without a gate."""


def draw_through(
    gate: QualityGate,
    draw: Callable[[int], tuple[np.ndarray, np.ndarray]],
    features: Callable[[np.ndarray], np.ndarray],
    label: int,
    n: int,
) -> Drawn:
    """Return n rows that pass a gate, or fewer where its rounds are over before.

    Parameters
    ----------
    gate : QualityGate
        Fitted.
    draw : callable
        Returns so many rows, and the sources of each.
    features : callable
        Returns what the gate's own classifier works on, of rows.
    label : int
        The number of their class.
    n : int
        How many, 0 or more.
    """
    none, no_source = draw(0)
    rows, sources = [none], [no_source]
    report = {"asked": n, "drawn": 0, "misassigned": 0, "copies": 0, "kept": 0}
    for _ in range(gate.max_rounds):
        missing = n - report["kept"]
        if not missing:
            break
        new, source = draw(missing)
        hit = gate.assigned(new, features(new), label)
        copy = hit & gate.copies(new)
        keep = hit & ~copy
        report["drawn"] += missing
        report["misassigned"] += int((~hit).sum())
        report["copies"] += int(copy.sum())
        report["kept"] += int(keep.sum())
        rows.append(new[keep])
        sources.append(source[keep])
    return Drawn(np.concatenate(rows), np.concatenate(sources), report)


def warn_of_shortage(reports: Mapping[Any, dict[str, int]], *, stacklevel: int) -> None:
    """Warn where fewer rows than asked for were kept, by the reports of each class."""
    short = {c: r["asked"] - r["kept"] for c, r in reports.items() if r and r["kept"] < r["asked"]}
    if short:
        warnings.warn(
            f"The gate dropped so many synthetic rows that some are missing, by class: {short}. "
            "See gate_report_; train the VAE for longer, raise the gate's max_rounds or lower its "
            "min_distance, or ask for fewer rows.",
            UserWarning,
            stacklevel=stacklevel + 1,
        )


def _flat(X: np.ndarray) -> np.ndarray:
    return X.reshape(len(X), -1).astype(np.result_type(X.dtype, np.float32), copy=False)

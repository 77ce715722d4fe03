"""Labels as users give them: any classes, and -1 for rows that have none."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import check_array, column_or_1d
from sklearn.utils.multiclass import check_classification_targets, type_of_target

from ._images import from_torch

UNLABELLED = -1


def read_labels(y: Any, *, warn: bool = False) -> np.ndarray:
    """Return the labels as an array of shape (n,).

    Parameters
    ----------
    y : array-like of shape (n,) or (n, 1), or one-hot of shape (n, n_classes)
    warn : bool, default=False
        Warn about a column, as scikit-learn's classifiers do.

    Raises
    ------
    ValueError
        For anything that is not one class per row.
    """
    if y is None:
        raise ValueError("This estimator requires y to be passed, but the target y is None.")
    y = from_torch(y)
    if isinstance(y, list | tuple) and any(isinstance(v, str) for v in y):
        y = np.array(y, dtype=object)  # or -1 among names would become one
    array = check_array(y, ensure_2d=False, dtype=None, input_name="y")
    # Of an object array only what is labelled: classes can be strings, and -1 is a number.
    typed = array[~unlabelled_rows(array)].tolist() if array.dtype == object else array
    check_classification_targets(typed)
    kind = type_of_target(typed)
    if kind == "multilabel-indicator" and (array.sum(1) == 1).all():
        return array.argmax(1)
    if kind not in ("binary", "multiclass"):
        raise ValueError(
            f"Multilabel and multioutput targets are not supported: y is {kind}. Give one class "
            "per row."
        )
    array = column_or_1d(array, warn=warn)
    if array.dtype == object and {np.asarray(v).dtype.kind for v in array} <= set("iuf"):
        return np.array(array.tolist())  # classifiers refuse numbers as objects
    return array


def unlabelled_rows(labels: np.ndarray) -> np.ndarray:
    """Return which rows have no label: -1, scikit-learn's convention; shape (n,), bool."""
    if labels.dtype.kind in "USb":
        return np.zeros(len(labels), bool)
    return np.asarray(labels == UNLABELLED, bool)


def are_among(labels: np.ndarray, classes: np.ndarray) -> bool:
    """Whether all labels, where there are any, are of these classes."""
    return set(labels[~unlabelled_rows(labels)].tolist()) <= set(classes.tolist())


def class_numbers(
    labels: np.ndarray, classes: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the classes and each row's number among them, int64, -1 where it has no label.

    Parameters
    ----------
    labels : ndarray of shape (n,)
        What :func:`read_labels` returned.
    classes : ndarray of shape (k,), default=None
        Known classes, sorted. None takes those of the labels.

    Raises
    ------
    ValueError
        For labels that are not among known classes.
    """
    known = ~unlabelled_rows(labels)
    found = np.unique(labels[known])
    if classes is None:
        classes = found
    elif not np.isin(found, classes).all():
        new = sorted(set(found.tolist()) - set(classes.tolist()))
        raise ValueError(
            f"y has the classes {new}, but training would go on with a class head for "
            f"{classes.tolist()}. Begin with all classes, or call fit with warm_start=True, which "
            "puts a new head on the model."
        )
    numbers = np.full(len(labels), -1, np.int64)
    numbers[known] = np.searchsorted(classes, labels[known])
    return classes, numbers

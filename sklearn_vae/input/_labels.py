"""Labels as users give them: any classes, and -1 for rows that have none."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import check_array, column_or_1d
from sklearn.utils.multiclass import check_classification_targets, type_of_target

from ._samples import from_torch

UNLABELLED = -1
MARKS = ("-1", "-1.0", "nan")
"""What NumPy makes of -1 and NaN in an array of text."""


def read_labels(y: Any, *, warn: bool = False, one_hot: bool = True) -> np.ndarray:
    """Return the labels as an array of shape (n,).

    Parameters
    ----------
    y : array-like of shape (n,) or (n, 1), or one-hot of shape (n, n_classes)
    warn : bool, default=False
        Warn about a column, as scikit-learn's classifiers do.
    one_hot : bool, default=True
        Whether a one-hot y will do.

    Raises
    ------
    ValueError
        For anything that is not one class, or the number -1, per row.
    """
    if y is None:
        raise ValueError(
            "This estimator requires y to be passed, but the target y is None. Give one label per "
            "row."
        )
    values = _as_values(y)
    _refuse_missing(values)
    array = check_array(values, ensure_2d=False, dtype=None, input_name="y")
    _refuse_mixtures(array)
    # Of an object array only what is labelled: classes can be strings, and -1 is a number.
    typed = array[~unlabelled_rows(array)].tolist() if array.dtype == object else array
    check_classification_targets(typed)
    kind = type_of_target(typed)
    if kind == "multilabel-indicator" and (array.sum(1) == 1).all():
        if not one_hot:
            raise ValueError("y is one-hot. Give one label per row: np.asarray(y).argmax(1).")
        return array.argmax(1)
    if kind not in ("binary", "multiclass"):
        raise ValueError(
            f"Multilabel and multioutput targets are not supported: y is {kind}. Give one class."
        )
    array = column_or_1d(array, warn=warn)
    _refuse_cast_marks(array)
    if array.dtype == object and {np.asarray(v).dtype.kind for v in array} <= set("biuf"):
        return np.array(array.tolist())  # classifiers refuse numbers as objects
    return array


def _as_values(y: Any) -> np.ndarray:
    """Return labels in any container as an array, text beside numbers as objects."""
    y = from_torch(y)
    if isinstance(y, np.ma.MaskedArray) and np.ma.is_masked(y):
        raise ValueError("y has masked values. Mark what has no label by -1: y.filled(-1).")
    if isinstance(y, list | tuple) and any(isinstance(v, str | bytes) for v in y):
        return np.array(y, dtype=object)  # or -1 among names would become one
    try:
        values = np.asarray(y)
    except ValueError:
        raise ValueError("y has rows of several lengths. Give one label per row.") from None
    if values.ndim == 0:
        raise ValueError(f"y is of type {type(y).__name__}. Give one label per row.")
    return values


def _refuse_missing(values: np.ndarray) -> None:
    """Refuse NaN, None, pd.NA and NaT: what has no label is marked by -1."""
    if values.dtype.kind not in "OfcmM":
        return
    if n := sum(map(_is_missing, values.ravel().tolist())):
        remedy = "np.where(np.isnan(np.asarray(y)), -1, np.asarray(y))"
        if values.dtype == object:
            remedy = "np.array([-1 if pd.isna(v) else v for v in y], dtype=object)"
        raise ValueError(
            f"y has missing values (NaN, None, pd.NA or NaT) in {n} of {values.size} rows. Give "
            f"them the number -1: {remedy}."
        )


def _is_missing(value: Any) -> bool:
    try:
        return value is None or bool(value != value)
    except TypeError:  # pd.NA is neither true nor false
        return True
    except ValueError:  # several values: no label, but none that is missing
        return False


def _refuse_mixtures(labels: np.ndarray) -> None:
    """Refuse numbers among text, and text that was a number before it came among text."""
    if labels.dtype.kind not in "OU":
        return
    values = labels.ravel().tolist()
    if marks := set(MARKS).intersection(v for v in values if isinstance(v, str)):
        mark = min(marks)
        raise ValueError(
            f"y holds the text {mark!r}, which would be a class. Mark what has no label by the "
            f"number -1: np.array([-1 if v == {mark!r} else v for v in y], dtype=object)."
        )
    is_text = [isinstance(v, str) for v in values if isinstance(v, str) or v != UNLABELLED]
    if any(is_text) and not all(is_text):
        remedy = "[-1 if v == -1 else str(v) for v in y]"
        raise ValueError(f"y has classes that are text beside others. Make all text: {remedy}.")


def _refuse_cast_marks(labels: np.ndarray) -> None:
    """Refuse what looks like -1 in an unsigned dtype: its largest value beside 0, 1, 2 and so on.

    Two values are left alone where they are black and white, 0 and the largest.
    """
    if labels.dtype.kind != "u":
        return
    *others, largest = np.unique(labels).tolist()
    few = 0 < len(others) < np.iinfo(np.uint8).max // 2
    numbered = few and others[-1] - others[0] == len(others) - 1 and others[0] <= 1
    if numbered and others != [0] and largest == np.iinfo(labels.dtype).max:
        raise ValueError(
            f"y is {labels.dtype} and holds {largest}, its largest value, beside {others[0]} to "
            f"{others[-1]}. If that is a class, give it another number. If it was -1, unlabelled: "
            f"np.where(np.asarray(y) == {largest}, -1, np.asarray(y).astype(int))."
        )


def check_length(y: np.ndarray, n: int) -> None:
    """Refuse a y that has not one entry for each of n samples."""
    if y.shape[:1] != (n,):
        what = f"X has {n} samples, but y has shape {y.shape}"
        raise ValueError(f"{what}. Give one label for each sample.")


def unlabelled_rows(labels: np.ndarray) -> np.ndarray:
    """Return which rows have no label: -1, scikit-learn's convention; shape (n,), bool."""
    return np.asarray(labels == UNLABELLED, bool)


def known_rows(labels: np.ndarray) -> np.ndarray:
    """Return which rows have a label, shape (n,), bool; refuse a y without any."""
    known = ~unlabelled_rows(labels)
    if not known.any():
        raise ValueError(
            "y has no class: all rows are -1, which means unlabelled. Give some their class."
        )
    return known


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
    elif new := np.setdiff1d(found, classes).tolist():
        raise ValueError(
            f"y has the classes {new}, but training would go on with a class head for "
            f"{classes.tolist()}. Begin with all classes, or call fit with warm_start=True."
        )
    numbers = np.full(len(labels), -1, np.int64)
    numbers[known] = np.searchsorted(classes, labels[known])
    _refuse_recoded(classes, numbers)
    return classes, numbers


def _refuse_recoded(classes: np.ndarray, numbers: np.ndarray) -> None:
    """Refuse what looks like classes -1 and another, such as 1: -1 means unlabelled."""
    if len(classes) != 1 or (numbers >= 0).all():
        return
    (label,) = classes.tolist()
    other = "other" if isinstance(label, str | bytes) else int(label == 0)
    raise ValueError(
        f"y has one class only, {label!r}, beside -1, which means unlabelled. If -1 is a class, "
        f"give it another label: np.where(np.asarray(y) == -1, {other!r}, y)."
    )


def tell_unlabelled(numbers: np.ndarray, verbose: int) -> int:
    """Return how many rows have no label; with ``verbose``, say so where there are any."""
    n = int((numbers < 0).sum())
    if n and verbose:
        print(f"y: {n} of {len(numbers)} rows are -1, unlabelled", flush=True)  # noqa: T201
    return n

"""X and y as VAEAugmenter reads them: checked, with a number for each class."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from torch.utils.data import DataLoader, Dataset, IterableDataset

from ..input._labels import check_length, class_numbers, known_rows, read_labels
from ..input._ranges import Spelling
from ..input._rows import ArrayDataset, as_array_of
from ..input._samples import spelling, to_array
from ..input._spec import read_array
from ..utils._memory import memory_explained
from ._containers import check_can_append, is_table


class Labelled(NamedTuple):
    """The checked input of a fit."""

    X: np.ndarray
    labels: np.ndarray
    """As the user has them, shape (n,)."""
    classes: np.ndarray
    """Sorted."""
    codes: np.ndarray
    """The number of each row's class; -1 is unlabelled."""
    given: Any
    """The user's table, where X came in one; else X."""
    names: np.ndarray | None
    """Those of the table's columns."""
    spelling: Spelling
    """How messages are to write down the user's X."""

    @property
    def rows(self) -> ArrayDataset:
        """Return X for a VAE's fit, with what its messages say of it."""
        return ArrayDataset(self.X, spelling=self.spelling)

    @property
    def known(self) -> np.ndarray:
        """Return the numbers of the rows that have a label."""
        return np.flatnonzero(self.codes >= 0)

    @property
    def counts(self) -> np.ndarray:
        """Return how many rows each class has."""
        return np.bincount(self.codes[self.known])


def to_read() -> str:
    """Return what was asked for when there was no memory to read X, and a remedy."""
    return "reading X. Pass fewer samples, or values of a smaller dtype (uint8 for images)."


def read_labelled(X: Any, y: Any, *, names_of: Any, for_classifier: bool) -> Labelled:
    """Return X and y, checked.

    Parameters
    ----------
    X : array-like, data frame of pandas or polars, or torch.Tensor
    y : array-like
    names_of : estimator
        Is given the names of X's columns, where it has any.
    for_classifier : bool
        Whether a classifier is to be fitted on them: y is then one label per row.

    Raises
    ------
    TypeError
        For an X to which no rows can be appended.
    ValueError
        For what is no set of samples with a class for each, or -1.
    """
    _refuse_dataset(X)
    check_can_append("X", X)
    labels = read_labels(y, warn=for_classifier, one_hot=not for_classifier)
    vars(names_of).pop("feature_names_in_", None)  # of another fit
    with memory_explained(to_read):
        array = to_array(X)
        rows = read_array(names_of, array, reset=True, at_least=2)
    check_length(labels, len(rows))
    known_rows(labels)
    classes, codes = class_numbers(labels)
    names = getattr(names_of, "feature_names_in_", None)
    given = array if is_table(array) else rows
    return Labelled(rows, labels, classes, codes, given, names, spelling(X, array))


def _refuse_dataset(X: Any) -> None:
    if isinstance(X, Dataset | DataLoader):
        data, name = (X, "X") if isinstance(X, Dataset) else (X.dataset, "X.dataset")
        first = None if isinstance(data, IterableDataset) else data[0]
        raise TypeError(
            "VAEAugmenter needs X as an array, a data frame or a tensor: synthetic rows are "
            f"appended to it. Load the Dataset's images: {as_array_of(name, first)}."
        )

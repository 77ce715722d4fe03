"""Cross-validation where only some rows have labels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.model_selection import BaseCrossValidator, check_cv
from sklearn.utils import check_consistent_length

from ..input._labels import known_rows, read_labels


class LabelledSplit(BaseCrossValidator):
    """Cross-validation with few labels: unlabelled rows, of -1, are in every training part.

    Such rows are in no test part: there is nothing to score. Searches, ``cross_val_score`` and
    ``learning_curve`` take it as ``cv``.

    Parameters
    ----------
    cv : int or splitter, default=5
        How the labelled rows are split: folds that keep the classes' shares, or any splitter. It
        sees these rows alone, and counts them.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_vae import LabelledSplit
    >>> y = np.array([0, -1, 1, 0, -1, 1])
    >>> for train, test in LabelledSplit(2).split(y, y):
    ...     print(train, test)
    [1 3 4 5] [0 2]
    [0 1 2 4] [3 5]
    """

    def __init__(self, cv: Any = 5) -> None:
        self.cv = cv

    def split(
        self, X: Any, y: Any = None, groups: Any = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the numbers of the training and the test rows of each split.

        Parameters
        ----------
        X : array-like of n rows, or None
            Not used, but for its length.
        y : array-like of shape (n,)
            Labels; the number -1 is unlabelled.
        groups : array-like of shape (n,), default=None
            What a splitter by groups takes.

        Yields
        ------
        train, test : ndarray of int
            Sorted.

        Raises
        ------
        ValueError
            For a y without labels, and for what ``cv`` refuses.
        """
        known, unlabelled, labels, groups = _labelled(y, groups)
        check_consistent_length(X, y)
        inner = check_cv(self.cv, labels, classifier=True)
        for train, test in inner.split(np.zeros((len(known), 1)), labels, groups):
            if (last := np.concatenate([train, test]).max()) >= len(known):
                raise ValueError(
                    f"cv={self.cv!r:.100} has a row {last}, but y has {len(known)} labels. Count "
                    "the labelled rows alone: y[y != -1]."
                )
            yield np.sort(np.concatenate([known[train], unlabelled])), np.sort(known[test])

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return the number of splits.

        Parameters
        ----------
        X : object
            Not used.
        y, groups : array-like of shape (n,), default=None
            For splitters whose number depends on them, which need y.

        Returns
        -------
        n : int
            Of ``cv``, for the labelled rows.
        """
        known = labels = None
        if y is None:  # which rows have a label is not known: no splitter may count them
            groups = None
        else:
            known, _, labels, groups = _labelled(y, groups)
        return int(check_cv(self.cv, labels, classifier=True).get_n_splits(known, labels, groups))

    def get_metadata_routing(self) -> Any:
        """Return the inner splitter's metadata routing: whether it takes ``groups``.

        Returns
        -------
        routing : MetadataRequest or MetadataRouter
            That of ``cv``.
        """
        if hasattr(self.cv, "get_metadata_routing"):
            return self.cv.get_metadata_routing()
        return super().get_metadata_routing()


def _labelled(y: Any, groups: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, Any]:
    """Return which rows have a label and which have none, the labels and their groups."""
    labels = read_labels(y, one_hot=False)
    has_label = known_rows(labels)
    known, labels = np.flatnonzero(has_label), labels[has_label]
    if labels.dtype == object:  # text, which -1 stood beside
        labels = np.array(labels.tolist())
    check_consistent_length(has_label, groups)
    groups = None if groups is None else np.asarray(groups)[known]
    return known, np.flatnonzero(~has_label), labels, groups

"""LabelledSplit: rows of -1 are in every training part and in no test part."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.model_selection import GroupKFold, LeaveOneOut, StratifiedKFold

from sklearn_vae import LabelledSplit


@pytest.fixture
def y():
    labels = np.arange(30) % 3
    labels[::4] = -1
    return labels


def test_unlabelled_rows_train_and_are_not_tested(y):
    tested = []
    for train, test in LabelledSplit(3).split(y, y):
        assert set(np.flatnonzero(y == -1)) <= set(train)
        assert not set(train) & set(test)
        assert len(train) + len(test) == len(y)
        assert set(y[test]) == {0, 1, 2}
        tested.extend(test)
    assert_array_equal(np.sort(tested), np.flatnonzero(y >= 0))


def test_without_such_rows_it_is_the_inner_splitter(y):
    labels = np.arange(30) % 3
    inner = StratifiedKFold(4, shuffle=True, random_state=0)
    for (a, b), (c, d) in zip(
        LabelledSplit(inner).split(labels, labels), inner.split(labels, labels), strict=True
    ):
        assert_array_equal(a, c)
        assert_array_equal(b, d)


def test_any_splitter_and_groups(y):
    known = int((y >= 0).sum())
    assert LabelledSplit(LeaveOneOut()).get_n_splits(y, y) == known
    assert LabelledSplit(4).get_n_splits() == 4
    groups = np.arange(30) // 6
    for train, test in LabelledSplit(GroupKFold(3)).split(y, y, groups):
        assert not set(groups[train[y[train] >= 0]]) & set(groups[test])


def test_names_as_labels():
    y = np.array(["a", "b", -1] * 4, dtype=object)
    for train, test in LabelledSplit(2).split(y, y):
        assert len(train) == 8
        assert set(y[test]) == {"a", "b"}


@pytest.mark.parametrize("y, match", [([-1, -1], "y has no class"), (None, "y is None")])
def test_no_label_is_refused(y, match):
    with pytest.raises(ValueError, match=match):
        next(LabelledSplit(2).split([[0], [1]], y))


def test_repr():
    assert repr(LabelledSplit(3)) == "LabelledSplit(cv=3)"

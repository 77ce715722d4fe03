"""LabelledSplit: rows of -1 are in every training part and in no test part."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn import config_context
from sklearn.dummy import DummyClassifier
from sklearn.model_selection import (
    GroupKFold,
    LeaveOneGroupOut,
    LeaveOneOut,
    PredefinedSplit,
    StratifiedKFold,
    cross_val_score,
)

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


def test_what_the_splitter_needs_is_asked_for_and_no_number_is_guessed(y):
    with pytest.raises(ValueError, match="'X' parameter should not be None"):
        LabelledSplit(LeaveOneOut()).get_n_splits(np.zeros((30, 1)))  # 22 have a label
    with pytest.raises(ValueError, match="'groups' parameter should not be None"):
        LabelledSplit(LeaveOneGroupOut()).get_n_splits(groups=np.arange(30) // 6)


def test_groups_are_routed_as_the_inner_splitter_asks(y):
    groups = np.arange(30) // 6
    X = np.arange(30.0)[:, None]
    with config_context(enable_metadata_routing=True):
        for cv in (LabelledSplit(GroupKFold(2)), LabelledSplit(LabelledSplit(GroupKFold(2)))):
            scores = cross_val_score(DummyClassifier(), X, y, cv=cv, params={"groups": groups})
            assert len(scores) == 2
        assert len(cross_val_score(DummyClassifier(), X, y, cv=LabelledSplit(2))) == 2


def test_rows_that_do_not_belong_together_are_refused(y):
    for X, groups in ((np.zeros((29, 1)), None), (None, np.arange(7))):
        with pytest.raises(ValueError, match="inconsistent numbers of samples"):
            next(LabelledSplit(GroupKFold(2)).split(X, y, groups))
    counts_all = PredefinedSplit(np.arange(30) % 3)
    with pytest.raises(ValueError, match=r"has a row 29, but y has 22 labels\. Count the labelled"):
        next(LabelledSplit(counts_all).split(None, y))


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

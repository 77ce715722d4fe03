"""Rows and labels go out in the containers, forms and dtypes in which they came."""

import numpy as np
import pandas as pd
import pytest
import torch

from sklearn_vae.augmentation import append_labels, append_rows, dense

LABELS = np.array([3, 0, 2])
"""Of new rows; the columns' numbers where y is one-hot with four columns."""
ONE_HOT = np.eye(4, dtype=int)[[0, 1, 2]]
FORMS = {
    "array": np.asarray,
    "list": lambda y: y.tolist(),
    "tensor": torch.from_numpy,
    "frame": lambda y: pd.DataFrame(y, columns=[f"c{i}" for i in range(y.shape[1])]),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("y", [ONE_HOT, np.array([[5], [6], [7]])], ids=["one-hot", "column"])
def test_labels_of_two_dimensions_keep_container_and_form(form, y):
    given = FORMS[form](y)
    out = append_labels(given, LABELS)
    assert type(out) is type(given)
    tail = np.eye(4)[LABELS] if y.shape[1] == 4 else LABELS[:, None]
    np.testing.assert_array_equal(np.asarray(out), np.concatenate([y, tail]))
    if form == "list":
        assert {type(value) for row in out for value in row} == {int}
    elif form == "frame":
        assert out.dtypes.tolist() == given.dtypes.tolist()
    else:
        assert out.dtype == given.dtype


def test_columns_of_a_frame_keep_their_kind():
    frame = pd.DataFrame(
        {
            "flag": [True, False],
            "maybe": pd.array([True, None], dtype="boolean"),
            "level": pd.Categorical([10, 30], categories=[10, 20, 30], ordered=True),
            "count": pd.array([1, 2], dtype="Int64"),
            "size": np.array([0.5, 1.5], np.float32),
        }
    )
    new = np.array([[0.4, 0.6, 17.0, 2.6, 0.7], [0.9, 0.1, 99.0, -0.2, 0.1]])
    out = append_rows(frame, new)
    assert out.dtypes.tolist() == frame.dtypes.tolist()
    assert out["flag"].tolist() == [True, False, False, True]
    assert out["maybe"].tolist()[2:] == [True, False]
    assert out["level"].tolist() == [10, 30, 20, 30]
    assert out["count"].tolist() == [1, 2, 3, 0]
    np.testing.assert_allclose(out["size"], [0.5, 1.5, 0.7, 0.1], rtol=1e-6)


def test_two_columns_of_one_name_stay_two():
    frame = pd.DataFrame([[1, 2.5], [3, 4.5]], columns=["a", "a"])
    frame = frame.astype(object).infer_objects()
    out = append_rows(frame, np.array([[6.0, 7.5]]))
    assert out.columns.tolist() == ["a", "a"]
    np.testing.assert_array_equal(out.to_numpy(float), [[1, 2.5], [3, 4.5], [6, 7.5]])


@pytest.mark.parametrize("form", ["array", "tensor"])
def test_integers_are_rounded_not_cut(form):
    given = FORMS[form](np.array([[1, 2]]))
    np.testing.assert_array_equal(append_rows(given, np.array([[1.8, -1.8]]))[1], [2, -2])


def test_only_sparse_columns_are_made_dense():
    frame = pd.DataFrame({"s": pd.arrays.SparseArray([0.0, 1.0]), "d": [1.5, 2.5]})
    out = dense(frame)
    assert [dtype.kind for dtype in out.dtypes] == ["f", "f"]
    assert not any(hasattr(dtype, "fill_value") for dtype in out.dtypes)
    series = pd.Series([1.0, 2.0])
    assert dense(series) is series

"""Rows and labels go out in the containers, forms and dtypes in which they came."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from helpers import synthetic_images
from PIL import Image
from polars.testing import assert_frame_equal, assert_series_equal

from sklearn_vae.synthesis import append_labels, append_rows
from sklearn_vae.synthesis._containers import check_can_append

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


# -- lists of images -------------------------------------------------------------------------------

COLOUR = synthetic_images(3, 9, 8, 3, dtype="uint8")
GREY = COLOUR[..., 0]
UNIT = GREY / np.float32(255)
ELEMENTS = {
    "uint8 arrays": (list, GREY),
    "float16 arrays": (list, UNIT.astype(np.float16)),
    "bool arrays": (list, GREY > 127),
    "rows": (list, UNIT.reshape(3, -1)),
    "tensors": (lambda X: list(torch.from_numpy(X)), GREY),
    "nested lists": (np.ndarray.tolist, UNIT.astype(float)),
    "nested lists of integers": (np.ndarray.tolist, GREY.astype(int)),
    "tuple of arrays": (tuple, GREY),
    "tuple of tuples": (lambda X: tuple(map(tuple, X.tolist())), UNIT.reshape(3, -1).astype(float)),
    "lists of channels": (lambda X: [list(x) for x in X], np.moveaxis(COLOUR, -1, 1)),
    "array of objects": (lambda X: pd.Series(list(X)).to_numpy(), GREY),
}


@pytest.mark.parametrize("name", ELEMENTS)
def test_elements_of_lists_keep_their_type(name):
    make, X = ELEMENTS[name]
    given = make(X)
    out = append_rows(given, X[1:].astype(float) if "integers" in name else X[1:])
    assert type(out) is type(given)
    assert _kinds(out[-1]) == _kinds(given[0])
    assert all(a is b for a, b in zip(out, given, strict=False))
    if name == "tensors":
        np.testing.assert_array_equal(torch.stack(out), X[[0, 1, 2, 1, 2]])
        return
    found = np.stack(list(out)) if name == "array of objects" else np.asarray(out)
    assert found.dtype == X.dtype
    np.testing.assert_array_equal(found.reshape(5, *X.shape[1:]), X[[0, 1, 2, 1, 2]])


def _kinds(element):
    """Types of an element and of what it holds, down to numbers; dtypes where there are some."""
    if isinstance(element, list | tuple):
        return type(element), _kinds(element[0])
    return type(element), getattr(element, "dtype", None)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "RGB", "RGBA", "HSV", "YCbCr", "F"])
def test_images_of_pillow_keep_their_mode(mode):
    given = [Image.fromarray(x).convert(mode) for x in COLOUR]
    out = append_rows(given, np.stack([np.asarray(x) for x in given])[1:])
    assert {x.mode for x in out} == {mode}
    for a, b in zip(out[3:], given[1:], strict=True):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


def test_a_list_of_several_dtypes_loses_no_digits():
    given = [UNIT[0].astype(np.float16), UNIT[1], UNIT[2].astype(float)]
    out = append_rows(given, UNIT[:1] / 3)
    np.testing.assert_array_equal(out[3], UNIT[0] / 3)
    given = [torch.zeros(9, 8, dtype=torch.uint8), torch.from_numpy(UNIT[1])]
    torch.testing.assert_close(append_rows(given, UNIT[:1])[2], torch.from_numpy(UNIT[0]))


def test_a_column_of_images_keeps_them_as_cells():
    frame = pd.DataFrame({"image": list(GREY)}, index=["a", "b", "c"])
    out = append_rows(frame, GREY[:2])
    assert out.index.tolist() == ["a", "b", "c", "synthetic_0", "synthetic_1"]
    np.testing.assert_array_equal(np.stack(out["image"]), GREY[[0, 1, 2, 0, 1]])
    series = append_rows(frame["image"], GREY[:1])
    assert series.name == "image"
    assert series.iloc[3].dtype == np.uint8


@pytest.mark.parametrize(
    "y", [["a", "b"], ("a", "b"), [1, 0], [True, False], [np.int8(1), np.int8(0)], [[0, 1], [1, 0]]]
)
def test_labels_in_lists_keep_their_type(y):
    new = np.array([1]) if isinstance(y[0], list) else np.array(y)[:1]
    out = append_labels(y, new)
    assert type(out) is type(y)
    assert out[:2] == y
    assert _kinds(out[2]) == _kinds(y[0])
    assert out[2] == y[0]


def test_labels_as_tensors_in_a_list():
    out = append_labels([torch.tensor(3), torch.tensor(5)], np.array([5]))
    assert torch.equal(torch.stack(out), torch.tensor([3, 5, 5]))


# -- polars ----------------------------------------------------------------------------------------


def test_columns_of_polars_keep_their_types():
    schema = {"count": pl.UInt8, "size": pl.Float32, "flag": pl.Boolean, "wide": pl.Int64}
    rows = [(1, 0.5, True, 7), (2, 1.5, False, 7)]
    frame = pl.DataFrame(rows, schema=schema, orient="row")
    out = append_rows(frame, np.array([[2.6, 0.25, 0.6, -0.6], [-0.2, 0.75, 0.4, 8.4]]))
    rows += [(3, 0.25, True, -1), (0, 0.75, False, 8)]
    expected = pl.DataFrame(rows, schema=schema, orient="row")
    assert_frame_equal(out, expected)


@pytest.mark.parametrize(
    "dtype", [pl.Array(pl.UInt8, (9, 8)), pl.List(pl.List(pl.UInt8)), pl.Object]
)
def test_images_in_polars_stay_images(dtype):
    images = list(GREY) if dtype == pl.Object else GREY.tolist()
    column = pl.Series("image", images, dtype)
    for table in (column, column.to_frame()):
        out = append_rows(table, GREY[:1])
        out = out["image"] if isinstance(out, pl.DataFrame) else out
        assert type(out), out.dtype == (pl.Series, dtype)
        np.testing.assert_array_equal(np.stack(out.to_list())[3], GREY[0])
        np.testing.assert_array_equal(np.stack(out.to_list())[:3], GREY)


@pytest.mark.parametrize("dtype", [pl.String, pl.Categorical, pl.Enum(["b", "a"])])
def test_names_in_polars_keep_their_type(dtype):
    y = pl.Series("label", ["a", "b"], dtype=dtype)
    out = append_labels(y, np.array(["b", "b"], object))
    assert_series_equal(out, pl.Series("label", ["a", "b", "b", "b"], dtype=dtype))
    frame = append_labels(y.to_frame(), np.array(["a"]))
    assert_frame_equal(frame, pl.Series("label", ["a", "b", "a"], dtype=dtype).to_frame())


def test_one_hot_labels_in_polars():
    y = pl.DataFrame({"a": [1, 0], "b": [0, 1]}, schema={"a": pl.Int8, "b": pl.Int8})
    out = append_labels(y, np.array([1, 0]))
    assert_frame_equal(out, pl.DataFrame({"a": [1, 0, 0, 1], "b": [0, 1, 1, 0]}, schema=y.schema))


@pytest.mark.parametrize(
    ("data", "remedy"),
    [
        (pl.LazyFrame({"a": [1.0]}), r"X\.collect\(\)"),
        (pa.table({"a": [1.0]}), r"pyarrow Table.*X\.to_pandas\(\)"),
        (pa.array([1.0]), r"pyarrow DoubleArray.*X\.to_pandas\(\)"),
    ],
)
def test_tables_that_cannot_grow_name_the_remedy(data, remedy):
    with pytest.raises(TypeError, match=remedy):
        check_can_append("X", data)

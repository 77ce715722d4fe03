"""Chunks on their way through a buffer: each row once, mixed, in the form that they came in."""

import numpy as np
import pandas as pd
import pytest

from sklearn_vae.datasets import shuffle_chunks


@pytest.mark.parametrize("size", [2, 7, 30, 1000])
@pytest.mark.parametrize("length", [2, 10, 33])
def test_each_row_comes_once_with_its_label(size, length):
    X = np.arange(200).reshape(100, 2)
    chunks = [(X[i : i + length], X[i : i + length, 0]) for i in range(0, 100, length)]
    found = list(shuffle_chunks(iter(chunks), size, random_state=0))
    rows = np.concatenate([chunk for chunk, _ in found])
    np.testing.assert_array_equal(np.concatenate([y for _, y in found]), rows[:, 0])
    np.testing.assert_array_equal(np.sort(rows[:, 0]), X[:, 0])
    assert all(isinstance(chunk, tuple) for chunk in found)
    assert min(len(chunk) for chunk, _ in found) > 1  # as models need


def test_a_buffer_mixes_far_and_by_its_seed():
    chunks = list(np.arange(1000).reshape(10, 100))
    a, b, other = (list(shuffle_chunks(chunks, 300, random_state=s)) for s in (0, 0, 1))
    np.testing.assert_array_equal(np.concatenate(a), np.concatenate(b))
    assert not np.array_equal(np.concatenate(a), np.concatenate(other))
    assert all(len(np.unique(chunk // 100)) > 1 for chunk in a)
    assert max(map(len, a)) == 100


def test_nothing_gives_nothing():
    assert list(shuffle_chunks([], 5)) == []


@pytest.mark.parametrize("size", [1, 0, -1, 2.5, None])
def test_a_buffer_without_room_is_refused_at_once(size):
    with pytest.raises(ValueError, match=r"buffer_size=.*int >= 2"):
        shuffle_chunks([], size)


def test_labels_of_another_length_are_refused():
    chunks = [(np.zeros((4, 2)), np.zeros(3))]
    with pytest.raises(ValueError, match=r"parts of a chunk have 4, 3 rows"):
        list(shuffle_chunks(chunks, 5))


@pytest.mark.parametrize("one", [np.zeros((6, 4)), pd.DataFrame(np.zeros((6, 4)))])
def test_one_array_is_no_iterable_of_chunks(one):
    """Its rows would be mixed within: pixels of an image, values of a vector."""
    with pytest.raises(TypeError, match=r"one array of shape \(6, 4\).*iterable of chunks"):
        shuffle_chunks(one, 5)


def test_chunks_of_rows_of_several_forms_are_refused():
    with pytest.raises(ValueError, match=r"rows of shape \(3,\), those before of \(2,\)"):
        list(shuffle_chunks([np.zeros((4, 2)), np.zeros((4, 3))], 5))

"""imbalanced-learn as the independent path for the names that are its own."""

import numpy as np
import pytest
from imblearn.utils import check_sampling_strategy

from sklearn_vae.synthesis import new_rows


@pytest.mark.parametrize("name", ["auto", "not majority", "minority", "not minority", "all"])
@pytest.mark.parametrize("counts", [(9, 4, 2), (5, 5, 2), (7, 2, 2), (3, 3)])
def test_names_mean_what_they_mean_in_imblearn(name, counts):
    classes = np.array(["a", "b", "c"])[: len(counts)]
    y = np.repeat(classes, counts)
    expected = check_sampling_strategy(name, y, "over-sampling")
    found = new_rows(name, classes, np.array(counts), y)
    assert list(found) == classes.tolist()
    assert {c: n for c, n in found.items() if n} == {c: n for c, n in expected.items() if n}


def test_relative_numbers_round_half_up():
    classes = np.array([0, 1, 2])
    counts = np.array([1, 3, 5])
    assert new_rows(0.5, classes, counts, classes) == {0: 1, 1: 2, 2: 3}
    assert new_rows(0.0, classes, counts, classes) == {0: 0, 1: 0, 2: 0}

"""Shared data: scikit-learn's digits, cut down.

What takes seconds to import is imported in the fixtures: the process that only hands the tests out
to others reads this file, too.
"""

import numpy as np
import pytest


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    """The suite runs in parallel processes: threads in each would only fight over the cores."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _seeded():
    """Draws from torch's own generator agree from run to run, whatever ran before."""
    import torch

    torch.default_generator.manual_seed(0)


@pytest.fixture(scope="session")
def rows():
    """200 digits, flattened, float64 in [0, 1]; read-only, as tests share them."""
    from sklearn.datasets import load_digits

    X = load_digits().data[:200] / 16
    X.setflags(write=False)
    return X


@pytest.fixture(scope="session")
def images(rows):
    """The same digits as (n, 8, 8)."""
    return rows.reshape(-1, 8, 8)


@pytest.fixture(scope="session")
def labels():
    """Their classes."""
    from sklearn.datasets import load_digits

    return load_digits().target[:200]


@pytest.fixture(scope="session")
def fitted(images):
    """A fitted estimator for tests that only read it; deep-copy it before any change."""
    from helpers import tiny

    return tiny().fit(images)


@pytest.fixture
def rng():
    """A generator of its own for every test."""
    return np.random.default_rng(0)

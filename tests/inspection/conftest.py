"""Figures stay in memory, are closed after each test, and leave matplotlib as it was."""

import matplotlib
import numpy as np
import pytest

matplotlib.use("Agg")
from matplotlib import pyplot as plt


@pytest.fixture(autouse=True)
def figures():
    plt.close("all")  # those of doctests
    before = dict(matplotlib.rcParams)
    yield
    plt.close("all")
    assert dict(matplotlib.rcParams) == before


@pytest.fixture
def ax():
    """The second of three axes."""
    return plt.subplots(1, 3)[1][1]


@pytest.fixture(scope="session")
def tile():
    return _tile


def _tile(mosaic, row, column, height, width):
    """Return the pixels that are drawn around (column, row) in data coordinates."""
    picture = mosaic.get_array()
    opaque = ~np.ma.getmaskarray(picture)
    if picture.ndim == 3:
        picture, opaque = picture[..., :3], picture[..., 3] > 0
    left, right, bottom, top = mosaic.get_extent()
    y = top + (bottom - top) * (np.arange(len(picture)) + 0.5) / len(picture)
    x = left + (right - left) * (np.arange(picture.shape[1]) + 0.5) / picture.shape[1]
    cell = np.ix_(np.abs(y - row) < 0.5, np.abs(x - column) < 0.5)
    inside = opaque[cell]
    if not inside.any():
        return None
    pixels = np.asarray(picture[cell])[np.ix_(inside.any(1), inside.any(0))]
    step = len(pixels) // height
    assert pixels.shape[:2] == (step * height, step * width)
    assert inside.size > inside.sum()  # a gap all around
    return pixels[step // 2 :: step, step // 2 :: step]

"""How many epochs, and samples a step, "auto" stands for."""

import numpy as np
import pytest
from helpers import tiny

from sklearn_vae.training._amount import resolve_batch_size, resolve_epochs

SMALL = (3, 32, 32)


@pytest.mark.parametrize("shape", [SMALL, (1, 8, 8), (1, 64, 16), (2000,)])
@pytest.mark.parametrize(
    ("n", "epochs", "batch_size"),
    [
        *[(10**6, 10, 256), (60_000, 10, 256), (15_000, 40, 256), (3000, 200, 256)],
        *[(1797, 200, 128), (500, 200, 32), (200, 200, 16), (2, 200, 16)],
    ],
)
def test_small_samples(shape, n, epochs, batch_size):
    assert resolve_epochs("auto", n, shape) == epochs
    assert resolve_batch_size("auto", n, shape) == batch_size


@pytest.mark.parametrize("shape", [SMALL, (1, 8, 8), (1, 28, 28)])
def test_small_images_from_2560_on_are_trained_as_with_256_a_step(shape):
    for n in (*range(2560, 70_000, 111), 10**6):
        assert resolve_batch_size("auto", n, shape) == 256
        assert resolve_epochs("auto", n, shape) == np.clip(round(600_000 / n), 10, 200)
    assert resolve_batch_size("auto", 2559, shape) == 128


@pytest.mark.parametrize(
    ("side", "n", "epochs", "batch_size"),
    [
        *[(33, 3000, 186, 256), (48, 2000, 117, 64), (64, 2000, 60, 32), (128, 2000, 30, 16)],
        *[(224, 2000, 17, 16), (512, 300, 50, 16), (64, 100, 200, 16), (64, 60_000, 2, 32)],
        (224, 60_000, 2, 32),
    ],
)
def test_large_pictures(side, n, epochs, batch_size):
    assert resolve_epochs("auto", n, (1, side, side)) == epochs
    assert resolve_batch_size("auto", n, (1, side, side)) == batch_size


@pytest.mark.parametrize(("overlap", "epochs"), [(1, [200, 200, 30]), (4, [50, 50, 30])])
def test_windows_count_by_the_pixels_that_they_show(overlap, epochs):
    found = [resolve_epochs("auto", n, (1, 8, 8), overlap=overlap) for n in (50, 3000, 20_000)]
    assert found == epochs
    assert resolve_epochs(120, 50, (1, 8, 8), overlap=overlap) == 120


def test_numbers_stand_for_themselves():
    for n in (2, 10**6):
        for number in (1, 7, np.int64(1000)):
            assert resolve_epochs(number, n, SMALL) == number
            assert resolve_batch_size(number, n, SMALL) == number


def test_a_fit_and_a_chunk_take_them(images):
    vae = tiny(batch_size="auto").fit(images)
    assert vae.net_.batch_size == 16
    assert vae.partial_fit(images).net_.batch_size == 16

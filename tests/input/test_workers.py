"""Reading by worker processes: the same batches as without, errors that reach the caller."""

import multiprocessing
import random

import numpy as np
import pytest
import torch
from helpers import same_weights, synthetic_images, tiny
from torch.utils.data import Dataset, IterableDataset

from sklearn_vae.input._batches import Batches
from sklearn_vae.input._rows import ItemDataset
from sklearn_vae.input._workers import Workers

X = synthetic_images(90, 8, 8, dtype="uint8")


class Drawing(Dataset):
    """Items with noise from all generators there are, by a function without a name."""

    def __init__(self):
        self.noise = lambda: torch.randint(9, (), dtype=torch.uint8)

    def __len__(self):
        return len(X)

    def __getitem__(self, i):
        if i >= len(X):
            raise ValueError(f"item {i} is damaged")
        draws = int(self.noise()) + np.random.randint(9) + random.randrange(9)  # noqa: NPY002
        return X[i] // 2 + np.uint8(draws)


class Stream(IterableDataset):
    """The same, one after the other."""

    def __iter__(self):
        return iter(X)


def epoch(batches):
    """Return an epoch's batches by a seed of its own."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return [batch.x for batch in batches]


def test_batches_are_the_same_for_any_number_of_processes():
    data = ItemDataset(Drawing(), workers=2)
    batches = Batches(data, 16, shuffle=True)
    plain = Batches(ItemDataset(Drawing()), 16, shuffle=True)
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    expected = epoch(plain)
    for _ in range(2):  # the processes are kept
        for a, b in zip(epoch(batches), expected, strict=True):
            assert torch.equal(a, b)
    for a, b in zip(data.read_through(40), ItemDataset(Drawing()).read_through(40), strict=True):
        assert torch.equal(a, b)
    assert torch.equal(torch.get_rng_state(), before[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002
    assert random.getstate() == before[2]
    # Reading within reading is done in this process, and what is left half read does no harm.
    outer = iter(data.read(torch.arange(90).split(30), seed=1))
    first = next(outer)
    assert torch.equal(first, next(iter(data.read(torch.arange(90).split(30), seed=1))))
    outer.close()
    assert torch.equal(epoch(batches)[0], expected[0])
    # An error is the item's own.
    with pytest.raises(ValueError, match=r"^item 90 is damaged$") as caught:
        list(data.read(torch.arange(91).split(30)))
    assert "__getitem__" in str(caught.value.__cause__)


def test_a_fit_is_the_same_and_leaves_no_process():
    before = set(multiprocessing.active_children())
    vae = tiny(loader_workers=1, validation_fraction=0.2).fit(Drawing())
    assert set(multiprocessing.active_children()) <= before
    assert same_weights(vae, tiny(validation_fraction=0.2).fit(Drawing()))


def test_what_cannot_be_sent_is_named():
    data = Drawing()
    data.file = (x for x in "live")
    with pytest.raises(TypeError, match=r"loader_workers=1 .*generator.*loader_workers=0"):
        tiny(loader_workers=1).fit(data)


def test_arrays_need_no_processes(monkeypatch):
    monkeypatch.setattr(torch.utils.data.DataLoader, "__init__", None)
    assert same_weights(tiny(loader_workers=2).fit(X), tiny().fit(X))


def test_far_more_processes_than_cores_are_refused(monkeypatch):
    monkeypatch.setattr("sklearn_vae.input._workers.cpu_count", lambda: 2)
    started = []
    monkeypatch.setattr(
        torch.utils.data.DataLoader, "__init__", lambda self, *args, **how: started.append(how)
    )
    for data in (Drawing(), Stream()):
        with pytest.raises(ValueError, match="=9, but this machine has 2 cores"):
            tiny(loader_workers=9).fit(data)
    assert not started
    Workers(ItemDataset(Drawing()), 8)
    assert started[0]["num_workers"] == 8

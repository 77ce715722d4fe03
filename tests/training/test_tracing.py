"""Traced steps on CPUs: the same training bit for bit, and only where that pays and is safe."""

import gc
import weakref
from math import inf

import numpy as np
import pytest
import torch
from helpers import (
    ChangesSides,
    same_weights,
    some_labels,
    synthetic_images,
    tiny,
    weights,
)
from sklearn.base import clone
from torch import nn
from training_settings import RECORDED

import sklearn_vae.training._net
import sklearn_vae.training._tracing
from sklearn_vae import VAEAugmenter
from sklearn_vae.nn import Conv, ConvBN
from sklearn_vae.training._tracing import PAYS_FROM, traced

TRACED = {
    **RECORDED,
    "leaky": {"network": ConvBN()},
    "bfloat16": {"network": Conv((4, 8)), "precision": "bfloat16"},
    "free bits": {"free_bits": 0.1},
}


@pytest.fixture(scope="module")
def images():
    return synthetic_images(60, 8, 8)


@pytest.fixture
def plain(monkeypatch):
    """Train without tracing."""

    def fit(estimator, *data):
        with monkeypatch.context() as patch:
            patch.setattr(sklearn_vae.training._net, "PAYS_FROM", inf)
            return estimator.fit(*data)

    return fit


@pytest.fixture
def traces(monkeypatch):
    """The steps that were traced, where any training is long enough for it."""
    made = []

    def note(step, *given):
        play = traced(step, *given)
        assert play is not step
        made.append(step)
        return play

    monkeypatch.setattr(sklearn_vae.training._tracing, "traced", note)
    monkeypatch.setattr(sklearn_vae.training._net, "PAYS_FROM", 1)
    return made


def assert_same_training(ours, theirs):
    for row, expected in zip(ours.history_, theirs.history_, strict=True):
        assert row == {**expected, "dur": row["dur"]}
    assert same_weights(ours, weights(theirs))


@pytest.mark.parametrize("settings", TRACED.values(), ids=TRACED)
def test_a_traced_training_is_the_same_bit_for_bit(traces, plain, images, capsys, settings):
    y = some_labels(images)
    how = {"max_epochs": 4, "batch_size": 14, **settings}  # the last batch has four rows
    expected = plain(tiny(**how), images, y)
    assert not traces
    shown = tiny(verbose=2, **how).fit(images, y)
    assert len(traces) == 1
    assert ", traced," in capsys.readouterr().out
    assert_same_training(shown, expected)


def test_training_that_goes_on_is_traced_anew(traces, plain, images):
    how = {"max_epochs": 3, "batch_size": 14, "warm_start": True}
    expected = plain(plain(tiny(**how), images), images)
    ours = tiny(**how).fit(images).fit(images)
    assert len(traces) == 2
    assert_same_training(ours, expected)


@pytest.mark.parametrize("method", ["conditional", "deformation"])
def test_the_augmenters_models_are_traced(traces, plain, images, method):
    y = np.arange(len(images)) % 3
    vae = tiny(max_epochs=3, batch_size=14)
    augmenter = VAEAugmenter(vae=vae, method=method, n_new=5, random_state=0)
    expected = plain(clone(augmenter), images, y)
    assert not traces
    assert_same_training(augmenter.fit(images, y).vae_, expected.vae_)
    assert traces


def test_what_callbacks_change_between_epochs_reaches_the_trace(traces, plain, images):
    how = {"max_epochs": 4, "batch_size": 10, "callbacks": [ChangesSides()]}
    expected = plain(tiny(**how), images)
    assert_same_training(tiny(**how).fit(images), expected)
    assert len(traces) == 4


class OwnLinear(nn.Linear):
    """A module of the user's."""


def own_network():
    encoder = nn.Sequential(nn.Flatten(), OwnLinear(64, 8))
    return encoder, nn.Sequential(nn.Linear(3, 64), nn.Unflatten(1, (1, 8, 8)))


@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": "sgd"},
        {"optimizer": torch.optim.Adam},
        {"augment": nn.Identity()},
        {"network": own_network()},
    ],
    ids=["sgd", "callable", "augment", "modules"],
)
def test_what_a_trace_might_take_for_constant_is_not_traced(traces, images, capsys, settings):
    tiny(**{"max_epochs": 3, "batch_size": 14, "verbose": 2, **settings}).fit(images)
    assert not traces
    assert ", eager," in capsys.readouterr().out


def test_who_looks_for_the_source_of_a_nan_gets_autograd(traces, images):
    with torch.autograd.set_detect_anomaly(True):
        tiny(batch_size=14).fit(images)
    assert not traces


def test_short_trainings_are_not_traced(images, capsys):
    estimator = tiny(verbose=2, max_epochs=3, batch_size=14).fit(images)
    assert estimator.net_.n_steps < PAYS_FROM
    assert ", eager," in capsys.readouterr().out


def test_a_trace_repeats_what_is_done_in_place_and_draws_anew():
    total, weight = torch.zeros(3), nn.Parameter(torch.ones(3))

    def step(x, factor):
        noise = torch.randn(3)
        loss = ((weight * x + noise) * factor).sum()
        (gradient,) = torch.autograd.grad(loss, [weight])
        with torch.no_grad():
            total.add_(gradient)
            weight.add_(noise)

    torch.manual_seed(0)
    play = traced(step, torch.ones(3), torch.tensor(2.0))
    torch.testing.assert_close(total, torch.full((3,), 2.0))
    play(torch.full((3,), 5.0), torch.tensor(3.0))
    torch.testing.assert_close(total, torch.full((3,), 17.0))
    torch.manual_seed(0)
    torch.testing.assert_close(weight, 1 + torch.randn(3) + torch.randn(3))


def test_a_trace_knows_views_lists_and_memory_that_was_given_back():
    out, weight = torch.zeros(2, 3), torch.arange(6.0).reshape(3, 2)

    def step(x):
        left, right = (x @ weight.T[:2, :2]).split(1, dim=1)
        for _ in range(3):  # each in memory that the one before has left
            left = left + 1
        right.add_(left)  # in place, on a view
        both = torch.cat([left, right], 1)
        out[:, 1:] += both.detach().sort(descending=True).values
        out[:, 0].copy_(both.new_tensor([7.0, 8.0]))

    x = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    play = traced(step, x)
    assert play is not step
    first = out.clone()
    weight.mul_(2)  # not a copy of it
    results = []
    for run in (play, step):
        out.zero_()
        run(x + 1)
        results.append(out.clone())
    assert results[0].equal(results[1])
    assert not results[0].equal(first)


def trace_and_its_weight():
    weight = torch.ones(2)
    return traced(lambda: weight.add_(1)), weakref.ref(weight)


def test_what_a_trace_knows_goes_with_it():
    gc.disable()  # a cycle would wait for the collector, with all weights
    try:
        play, weight = trace_and_its_weight()
        play()
        assert weight().tolist() == [3, 3]
        del play
        assert weight() is None
    finally:
        gc.enable()


def test_a_step_that_reads_a_value_stays_as_it_is():
    total = torch.zeros(())

    def step(x):
        total.add_(1 if x.sum() > 0 else -1)

    run = traced(step, torch.ones(2))
    assert run is step
    run(-torch.ones(2))
    assert total == 0

"""Traced steps on the CPU: the same training bit for bit, and only where that pays and is safe."""

import numpy as np
import pytest
import torch
from helpers import same_weights, synthetic_images, tiny, weights
from skorch.callbacks import Callback
from torch import nn

import sklearn_vae.training._net
from sklearn_vae import VAEAugmenter
from sklearn_vae.nn import Conv, ConvBN, Patches, ResNet
from sklearn_vae.training import Augment
from sklearn_vae.training._tracing import PAYS_FROM, traced

SETTINGS = {
    "mlp": {},
    "conv": {"network": Conv((4, 8))},
    "leaky": {"network": ConvBN()},
    "batch norm": {"network": ResNet((4, 8)), "validation_fraction": 0.2},
    "patches": {"network": Patches(Conv((4, 8)), n_filters=5, size=4), "features": "hidden"},
    "geometric": {"augment": "geometric"},
    "natural": {"augment": "natural"},
    "every range": {"augment": Augment(9, 0.1, 0.1, 5, 0.1, True, 0.1, 0.1, 0.1, 0.3)},
    "labels": {"label_weight": 1.0},
    "importance": {"importance_samples": 3},
    "vamp": {"prior": "vamp"},
    "mixture": {"prior": "mixture"},
    "iaf": {"posterior": "iaf"},
    "gaussian": {"likelihood": "gaussian"},
    "logistic": {"likelihood": "discretized-logistic"},
    "bfloat16": {"network": Conv((4, 8)), "precision": "bfloat16"},
    "free bits": {"free_bits": 0.1},
    "warm-up": {"kl_warmup": 3.0},
    "patience": {"validation_fraction": 0.2, "patience": 1},
    "adamw": {"optimizer": "adamw"},
    "constant": {"lr_schedule": "constant"},
}


@pytest.fixture(scope="module")
def images():
    return synthetic_images(60, 8, 8)


@pytest.fixture
def _any_training_pays(monkeypatch):
    monkeypatch.setattr(sklearn_vae.training._net, "PAYS_FROM", 1)


@pytest.fixture
def traces(monkeypatch, _any_training_pays):
    """The steps that were traced."""
    made = []

    def note(step, *given):
        made.append(step)
        return traced(step, *given)

    monkeypatch.setattr(sklearn_vae.training._tracing, "traced", note)
    return made


def some_labels(images):
    y = np.arange(len(images)) % 3
    y[20:40] = -1
    return y


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_a_traced_training_is_the_same_bit_for_bit(traces, images, capsys, settings):
    y = some_labels(images)
    how = {"max_epochs": 4, "batch_size": 14, **settings}  # the last batch has four rows
    plain = tiny(**how).fit(images, y).partial_fit(images, y)
    assert not traces
    shown = tiny(compile="auto", verbose=2, **how).fit(images, y)
    assert len(traces) == 1
    assert ", traced," in capsys.readouterr().out
    both = shown.set_params(verbose=0).partial_fit(images, y)
    assert len(traces) == 2
    for ours, theirs in zip(both.history_, plain.history_, strict=True):
        assert ours == {**theirs, "dur": ours["dur"]}
    assert same_weights(both, weights(plain))


def test_the_decoder_that_sees_classes_is_traced(traces, images):
    y = np.arange(len(images)) % 3
    how = {"method": "conditional", "n_new": 5, "random_state": 0}
    made = [
        VAEAugmenter(vae=tiny(max_epochs=3, batch_size=14, compile=chosen), **how)
        .fit_resample(images, y)[0]
        .tolist()
        for chosen in (False, "auto")
    ]
    assert len(traces) == 1
    assert made[0] == made[1]


class Watches(Callback):
    """Might change something after an epoch."""


class OwnLinear(nn.Linear):
    """A module of the user's."""


def own_network():
    encoder = nn.Sequential(nn.Flatten(), OwnLinear(64, 8))
    return encoder, nn.Sequential(nn.Linear(3, 64), nn.Unflatten(1, (1, 8, 8)))


@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": "sgd"},
        {"augment": nn.Identity()},
        {"network": own_network()},
        {"callbacks": [Watches()]},
    ],
    ids=["sgd", "augment", "modules", "callbacks"],
)
def test_what_a_trace_might_take_for_constant_is_not_traced(traces, images, settings):
    how = {"max_epochs": 3, "batch_size": 14, **settings}
    assert same_weights(tiny(compile="auto", **how).fit(images), weights(tiny(**how).fit(images)))
    assert not traces


def test_short_trainings_are_not_traced(images, capsys):
    estimator = tiny(compile="auto", verbose=2, max_epochs=3, batch_size=14).fit(images)
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
    with torch.no_grad():
        play(torch.full((3,), 5.0), torch.tensor(3.0))
    torch.testing.assert_close(total, torch.full((3,), 17.0))
    torch.manual_seed(0)
    torch.testing.assert_close(weight, 1 + torch.randn(3) + torch.randn(3))

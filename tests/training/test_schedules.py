"""Schedules as functions of progress, and that training follows them."""

from math import cos, pi

import numpy as np
import pytest
import torch
from helpers import tiny

from sklearn_vae.training._schedules import kl_weight, learning_rate_factor


def test_constant_is_one():
    assert {learning_rate_factor("constant", p) for p in np.linspace(0, 1, 11)} == {1.0}


def test_cosine_rises_then_falls_to_zero_without_a_jump():
    progress = np.linspace(0, 1, 2001)
    factor = np.array([learning_rate_factor("cosine", p) for p in progress])
    assert factor.max() == pytest.approx(1)
    assert progress[factor.argmax()] == pytest.approx(0.05)
    assert factor[0] > 0  # the first step must move
    assert factor[-1] == pytest.approx(0)
    assert (np.diff(factor[progress <= 0.05]) >= 0).all()
    assert (np.diff(factor[progress >= 0.05]) <= 0).all()
    assert np.abs(np.diff(factor)).max() < 0.02


@pytest.mark.parametrize("progress", [0.05, 0.3, 0.525, 0.9, 1.0])
def test_cosine_is_half_a_cosine_after_the_warm_up(progress):
    expected = (1 + cos(pi * (progress - 0.05) / 0.95)) / 2
    assert learning_rate_factor("cosine", progress) == pytest.approx(expected)


def test_kl_weight_rises_linearly_to_one():
    assert [kl_weight(e, 0) for e in (0, 1, 50)] == [1, 1, 1]
    np.testing.assert_allclose(
        [kl_weight(e, 4) for e in (0, 0.5, 1, 3, 4, 9)], [0, 0.125, 0.25, 0.75, 1, 1]
    )


class RecordingSGD(torch.optim.SGD):
    """Plain gradient descent that writes down the rate of every step."""

    rates: list = []  # noqa: RUF012 (shared on purpose)

    def step(self, closure=None):
        self.rates.append(self.param_groups[0]["lr"])
        return super().step(closure)


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_every_step_runs_at_the_schedules_rate(images, schedule):
    RecordingSGD.rates.clear()
    estimator = tiny(
        optimizer=RecordingSGD, lr=1e-3, lr_schedule=schedule, batch_size=50, max_epochs=5
    ).fit(images)
    expected = [1e-3 * learning_rate_factor(schedule, step / 20) for step in range(20)]
    np.testing.assert_allclose(RecordingSGD.rates, expected)
    last_of_epoch = np.reshape(expected, (5, 4))[:, -1]
    np.testing.assert_allclose([row["lr"] for row in estimator.history_], last_of_epoch)


def test_partial_fit_keeps_the_rate_constant_after_a_cosine_training(images):
    estimator = tiny(optimizer=RecordingSGD, lr=1e-3, max_epochs=3).fit(images)
    RecordingSGD.rates.clear()
    estimator.partial_fit(images[:100]).partial_fit(images[100:])
    assert set(RecordingSGD.rates) == {1e-3}


def still(**changes):
    """Return an estimator that does not move: one batch, a rate of nearly zero."""
    return tiny(batch_size=1000, lr=1e-12, lr_schedule="constant", **changes)


def test_warm_up_weighs_the_kl_term_epoch_by_epoch(images):
    history = still(beta=2.0, kl_warmup=4, max_epochs=6).fit(images).history_
    weights = [
        (row["train_loss"] + row["train_log_likelihood"]) / row["train_kl"] for row in history
    ]
    np.testing.assert_allclose(weights, 2 * np.array([0, 0.25, 0.5, 0.75, 1, 1]), atol=1e-4)


def test_warm_up_rises_within_an_epoch_and_does_not_start_again(images):
    estimator = still(kl_warmup=2, max_epochs=1, warm_start=True).set_params(batch_size=100)
    estimator.fit(images)
    first = estimator.history_[0]
    # Two batches, at epochs 0 and 0.5: weights 0 and 0.25; both halves have about the same KL.
    weight = (first["train_loss"] + first["train_log_likelihood"]) / first["train_kl"]
    assert weight == pytest.approx(0.125, rel=0.1)
    second = estimator.fit(images).history_[1]
    weight = (second["train_loss"] + second["train_log_likelihood"]) / second["train_kl"]
    assert weight == pytest.approx(0.625, rel=0.05)

"""The part of the objective that second views add."""

import numpy as np
import pytest
import torch

from sklearn_vae.model._contrastive_loss import TEMPERATURE, contrastive_loss


def by_formula(first, second):
    """In float64, one code after the other."""
    codes = np.concatenate([first, second]).astype(float)
    codes /= np.linalg.norm(codes, axis=1, keepdims=True)
    n, losses = len(first), []
    for i, code in enumerate(codes):
        similar = np.exp(codes @ code / TEMPERATURE)
        losses.append(-np.log(similar[(i + n) % (2 * n)] / np.delete(similar, i).sum()))
    return np.mean(losses)


def test_it_is_the_mean_cross_entropy_of_the_other_view():
    first, second = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0))
    expected = by_formula(first.numpy(), second.numpy())
    assert float(contrastive_loss(first, second)) == pytest.approx(expected, rel=1e-5)
    assert float(contrastive_loss(7 * first, second)) == pytest.approx(expected, rel=1e-5)


def test_codes_that_tell_nothing_cost_the_logarithm_of_the_candidates():
    same = torch.ones(8, 4)
    assert float(contrastive_loss(same, same)) == pytest.approx(np.log(15), rel=1e-6)


def test_the_gradient_is_that_of_the_formula():
    codes = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(1)).requires_grad_()
    contrastive_loss(*codes).backward()
    for place in np.ndindex(*codes.shape):
        step = np.zeros(codes.shape)
        step[place] = 1e-5
        up, down = (by_formula(*(codes.detach().numpy() + s)) for s in (step, -step))
        assert float(codes.grad[place]) == pytest.approx((up - down) / 2e-5, abs=1e-5)

"""The objective: minus the mean ELBO, and what beta, free bits and warm-up make of it."""

import numpy as np
import pytest
import torch

from sklearn_vae.model import ELBOTerms, NegativeELBO


@pytest.fixture
def terms():
    generator = torch.Generator().manual_seed(0)
    return ELBOTerms(
        log_likelihood=torch.randn(7, generator=generator) * 10,
        kl=torch.rand(7, 3, generator=generator),
    )


def test_elbo_is_likelihood_minus_summed_kl(terms):
    expected = terms.log_likelihood.numpy() - terms.kl.numpy().sum(1)
    np.testing.assert_allclose(terms.elbo().numpy(), expected, rtol=1e-6)


def test_loss_at_beta_one_is_minus_the_mean_elbo(terms):
    torch.testing.assert_close(NegativeELBO()(terms), -terms.elbo().mean())


@pytest.mark.parametrize("beta", [0.0, 0.3, 4.0])
@pytest.mark.parametrize("kl_weight", [0.0, 0.25, 1.0])
def test_beta_and_warm_up_weigh_the_kl_term_only(terms, beta, kl_weight):
    kl = terms.kl.numpy().astype(float).sum(1).mean()
    expected = beta * kl_weight * kl - terms.log_likelihood.numpy().astype(float).mean()
    loss = NegativeELBO(beta=beta)(terms, kl_weight)
    assert loss.item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("free_bits", [0.1, 0.5, 2.0])
def test_free_bits_charge_each_dimension_at_least_so_much(terms, free_bits):
    per_dimension = terms.kl.numpy().astype(float).mean(0)
    expected = np.maximum(per_dimension, free_bits).sum() - terms.log_likelihood.numpy().mean()
    assert NegativeELBO(free_bits=free_bits)(terms).item() == pytest.approx(expected, rel=1e-6)


def test_free_bits_take_the_gradient_of_cheap_dimensions_away():
    kl = torch.tensor([[0.1, 0.9], [0.3, 1.1]], requires_grad=True)
    NegativeELBO(free_bits=0.5)(ELBOTerms(torch.zeros(2), kl)).backward()
    torch.testing.assert_close(kl.grad, torch.tensor([[0.0, 0.5], [0.0, 0.5]]))

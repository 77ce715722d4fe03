"""Likelihoods against torch.distributions, scipy and their own definitions."""

from math import exp, log

import numpy as np
import pytest
import torch
import torch.distributions as td
from scipy import special, stats
from sklearn.base import clone

from sklearn_vae import VAETransformer
from sklearn_vae.model import (
    BCEMSE,
    LIKELIHOODS,
    Bernoulli,
    DiscretizedLogistic,
    Gaussian,
    Likelihood,
)
from sklearn_vae.model._likelihoods import joint_log_prob

LEVELS = torch.arange(256) / 255


@pytest.fixture
def params():
    return torch.linspace(-6, 6, 40).reshape(5, 8)


@pytest.fixture
def values():
    return torch.rand(5, 8, generator=torch.Generator().manual_seed(0))


def logistic_bins(loc, scale):
    """Return P(level) of the 256 grey levels: differences of scipy's logistic CDF in float64."""
    edges = (np.arange(257) - 0.5) / 255
    edges[0], edges[-1] = -np.inf, np.inf
    return np.diff(stats.logistic.cdf(edges, loc, scale))


def test_bernoulli_is_torchs(params, values):
    expected = td.Bernoulli(torch.sigmoid(params.double())).log_prob((values > 0.5).double())
    log_prob = Bernoulli()(params).log_prob((values > 0.5).float())
    torch.testing.assert_close(log_prob.double(), expected, rtol=1e-5, atol=1e-5)


FAR_OUT = torch.tensor([-1e4, -30.0, -1.0, 0.0, 1.0, 30.0, 1e4])


@pytest.mark.parametrize("rows", [FAR_OUT.repeat(4, 1), FAR_OUT[:, None].repeat(1, 4)])
def test_joint_bernoulli_has_torchs_values_and_gradients_far_out(rows):
    logits = rows.clone().requires_grad_()
    other = rows.clone().requires_grad_()
    generator = torch.Generator().manual_seed(0)
    values = torch.rand(rows.shape, generator=generator).requires_grad_()
    same = values.detach().clone().requires_grad_()
    weights = torch.rand(len(rows), generator=generator)
    ours = joint_log_prob(Bernoulli()(logits), values)
    torchs = td.Bernoulli(logits=other, validate_args=False).log_prob(same).sum(1)
    torch.testing.assert_close(ours, torchs, rtol=1e-6, atol=2e-6)
    (weights * ours).sum().backward()
    (weights * torchs).sum().backward()
    torch.testing.assert_close(logits.grad, other.grad)
    torch.testing.assert_close(values.grad, same.grad)


@pytest.mark.parametrize("likelihood", [Bernoulli(), BCEMSE(), Gaussian(0.3)])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_joint_log_prob_is_the_sum_whatever_the_layout(likelihood, memory_format):
    generator = torch.Generator().manual_seed(0)
    params = torch.randn(5, 3, 4, 2, generator=generator).to(memory_format=memory_format)
    x = torch.rand(5, 3, 4, 2, generator=generator).to(memory_format=memory_format)
    p = likelihood.for_data(bounded=True)(params)
    joint = joint_log_prob(p, x)
    torch.testing.assert_close(joint, p.log_prob(x).flatten(1).sum(1), rtol=1e-5, atol=1e-5)


def test_a_distribution_that_sums_for_itself_is_taken_at_its_word(params, values):
    p = td.Normal(params, 1.0)
    torch.testing.assert_close(
        joint_log_prob(td.Independent(p, params.dim() - 1), values), joint_log_prob(p, values)
    )


def test_joint_bernoulli_can_be_differentiated_twice(params, values):
    def log_prob(params, values):
        return joint_log_prob(Bernoulli()(params), values)

    inputs = (params.double().requires_grad_(), values.double().requires_grad_())
    assert torch.autograd.gradcheck(log_prob, inputs)
    assert torch.autograd.gradgradcheck(log_prob, inputs)


def test_bernoulli_of_grey_values_is_the_cross_entropy(params, values):
    p, x = special.expit(params.double().numpy()), values.double().numpy()
    expected = x * np.log(p) + (1 - x) * np.log1p(-p)
    log_prob = Bernoulli()(params).log_prob(values).numpy()
    np.testing.assert_allclose(log_prob, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("scale", [1e-3, 0.05, 0.1, 3.0])
@pytest.mark.parametrize("bounded", [True, False])
def test_gaussian_with_fixed_scale_is_scipys_normal(params, values, scale, bounded):
    loc = params.double().numpy()
    loc = special.expit(loc) if bounded else loc
    expected = stats.norm.logpdf(values.double().numpy(), loc, scale)
    distribution = Gaussian(scale=scale).for_data(bounded=bounded)(params)
    np.testing.assert_allclose(distribution.log_prob(values).numpy(), expected, rtol=1e-4)


@pytest.mark.parametrize(("bounded", "start"), [(True, 0.2), (False, 1.0)])
def test_gaussian_learns_one_scale(params, values, bounded, start):
    likelihood = Gaussian().for_data(bounded=bounded)
    assert [p.numel() for p in likelihood.parameters()] == [1]
    assert likelihood.log_scale.exp().item() == pytest.approx(start)
    loc = special.expit(params.double().numpy()) if bounded else params.double().numpy()
    expected = stats.norm.logpdf(values.double().numpy(), loc, start)
    log_prob = likelihood(params).log_prob(values).detach().numpy()
    np.testing.assert_allclose(log_prob, expected, rtol=1e-4)


def test_learnt_scale_ends_at_the_root_mean_square_error():
    # The maximum-likelihood scale has a closed form: the RMS residual.
    likelihood = Gaussian().for_data(bounded=False)
    residuals = torch.tensor([[0.3, -0.1, 0.2, 0.4]])
    optimizer = torch.optim.Adam(likelihood.parameters(), lr=0.05)
    for _ in range(300):
        optimizer.zero_grad()
        (-likelihood(torch.zeros(1, 4)).log_prob(residuals).sum()).backward()
        optimizer.step()
    rms = residuals.square().mean().sqrt().item()
    assert likelihood.log_scale.exp().item() == pytest.approx(rms, rel=1e-3)


def test_learnt_scale_has_a_floor():
    likelihood = Gaussian().for_data(bounded=False)
    with torch.no_grad():
        likelihood.log_scale.fill_(-100.0)
    assert likelihood(torch.zeros(1, 1)).scale.item() == pytest.approx(exp(-6))


def test_gaussian_fixed_scale_is_not_trained():
    assert not list(Gaussian(scale=0.1).parameters())


@pytest.mark.parametrize("scale", [0, -1.0, "learnt", float("nan"), float("inf")])
def test_gaussian_refuses_an_impossible_scale(scale):
    with pytest.raises(ValueError, match=r"scale=.*> 0 or 'learned'"):
        Gaussian(scale=scale)


def test_bce_mse_is_cross_entropy_and_half_the_squared_error(params, values):
    p, x = special.expit(params.double().numpy()), values.double().numpy()
    cross_entropy = -(x * np.log(p) + (1 - x) * np.log1p(-p))
    log_prob = BCEMSE()(params).log_prob(values).numpy()
    expected = -(cross_entropy + 0.5 * (x - p) ** 2)
    np.testing.assert_allclose(log_prob, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("raw_loc", [-9.0, -1.3, 0.0, 2.0, 30.0])
@pytest.mark.parametrize("raw_log_scale", [-9.0, -3.0, 0.0, 2.0, 6.0])
def test_discretized_logistic_sums_to_one(raw_loc, raw_log_scale):
    params = torch.tensor([[raw_loc, raw_log_scale]]).expand(256, 2)
    log_p = DiscretizedLogistic()(params).log_prob(LEVELS[:, None])
    assert log_p.double().exp().sum().item() == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("loc", [0.02, 0.4, 0.5, 0.97])
@pytest.mark.parametrize("scale", [0.01, 0.05, 0.5])
def test_discretized_logistic_integrates_the_logistic_density(loc, scale):
    likelihood = DiscretizedLogistic()
    # The decoder's second half is an offset to a log-scale of -2.
    params = torch.tensor([[special.logit(loc), log(scale) + 2]], dtype=torch.float32)
    distribution = likelihood(params.expand(256, 2))
    assert distribution.log_scale[0].item() == pytest.approx(log(scale), abs=1e-5)
    p = distribution.log_prob(LEVELS[:, None])[:, 0].double().exp().numpy()
    np.testing.assert_allclose(p, logistic_bins(loc, scale), rtol=2e-3, atol=1e-9)


def test_discretized_logistic_is_finite_far_from_its_mean():
    params = torch.tensor([[-40.0, -40.0], [40.0, -40.0]])
    value = torch.tensor([[1.0], [0.0]], requires_grad=True)
    params.requires_grad_()
    log_p = DiscretizedLogistic()(params).log_prob(value)
    log_p.sum().backward()
    assert torch.isfinite(log_p).all()
    assert torch.isfinite(params.grad).all()


def test_discretized_logistic_samples_its_own_levels():
    torch_state = torch.get_rng_state()
    torch.manual_seed(0)
    distribution = DiscretizedLogistic()(torch.tensor([[0.3, 0.5]]))
    x = (distribution.sample((20_000,)).flatten().numpy() * 255).round()
    torch.set_rng_state(torch_state)
    empirical = np.bincount(x.astype(int), minlength=256).cumsum() / len(x)
    loc, scale = distribution.loc.item(), distribution.log_scale.exp().item()
    # 0.0136: Kolmogorov's 0.1 % point for 20,000 draws.
    assert np.abs(empirical - logistic_bins(loc, scale).cumsum()).max() < 0.0138


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_means_of_bounded_data_lie_in_the_unit_interval(name, params):
    likelihood = LIKELIHOODS[name]().for_data(bounded=True)
    mean = likelihood(params).mean.detach()
    assert mean.shape == (5, 8 // likelihood.n_params)
    expected = special.expit(params[:, : mean.shape[1]].numpy())
    np.testing.assert_allclose(mean.numpy(), expected, rtol=1e-5)


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_for_data_returns_an_independent_copy(name):
    original = LIKELIHOODS[name]()
    copy = original.for_data(bounded=True)
    assert copy is not original
    assert copy == original
    with torch.no_grad():
        for parameter in copy.parameters():
            parameter.fill_(9.0)
    assert all(parameter.item() != 9.0 for parameter in original.parameters())


def test_equality_is_by_kind_and_settings():
    assert Gaussian(scale=0.1) == Gaussian(scale=0.1)
    assert Gaussian(scale=0.1) != Gaussian(scale=0.2)
    assert Bernoulli() != BCEMSE()
    assert repr(Gaussian(scale=0.1)) == "Gaussian(scale=0.1)"


@pytest.mark.parametrize("likelihood", [Bernoulli(), Gaussian(scale=0.1), Gaussian()])
def test_instances_survive_clone_as_parameters(likelihood):
    copy = clone(VAETransformer(likelihood=likelihood)).likelihood
    assert copy == likelihood
    assert copy is not likelihood


def test_a_likelihood_without_forward_says_what_to_define():
    with pytest.raises(TypeError, match=r"must define forward\(params\)"):
        Likelihood()(torch.zeros(1))


def test_one_density_for_all_samples_is_refused_before_training():
    class Total(torch.distributions.Bernoulli):
        def log_prob(self, value):
            return super().log_prob(value).sum()

    class OfAll(Likelihood):
        needs_bounded = True

        def forward(self, params):
            return Total(logits=params, validate_args=False)

    vae = VAETransformer(2, network="mlp", likelihood=OfAll(), device="cpu")
    message = r"likelihood=OfAll\(\) gives densities of shape \(\) .* \(2,\) is needed"
    with pytest.raises(ValueError, match=message):
        vae.fit(np.full((5, 8, 8), 0.5))
    assert not hasattr(vae, "module_")


@pytest.mark.parametrize("scale", ["learned", 0.3])
@pytest.mark.parametrize("bounded", [False, True])
def test_the_gaussian_sums_to_its_density_with_its_gradients(scale, bounded):
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(3, 2, 5, 4, generator=generator).contiguous(memory_format=torch.channels_last)
    gradients = []
    for joint in (joint_log_prob, lambda p, x: p.log_prob(x).sum((1, 2, 3))):
        likelihood = Gaussian(scale).for_data(bounded=bounded)
        params = torch.linspace(-2, 2, x.numel()).view_as(x).requires_grad_()
        log_p = joint(likelihood(params), x)
        assert log_p.shape == (3,)
        (log_p * torch.tensor([1.0, 2.0, -0.5])).sum().backward()
        learnt = [likelihood.log_scale.grad] if scale == "learned" else []
        gradients.append([log_p.detach(), params.grad, *learnt])
    for ours, torchs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, torchs, rtol=1e-5, atol=1e-4)

"""Priors: densities against torch's, the VampPrior against its definition, life in an estimator."""

from dataclasses import dataclass

import joblib
import numpy as np
import pytest
import torch
import torch.distributions as td
from helpers import same_weights, synthetic_images, tiny
from torch import nn

from sklearn_vae.model import PRIORS, Mixture, Prior, StandardNormal, Vamp
from sklearn_vae.model._posteriors import draw_posterior
from sklearn_vae.model._priors import GaussianMixture, draw, exact_kl_divergence
from sklearn_vae.nn import Conv

K, D = 5, 3
LEARNT = ["mixture", "vamp", Mixture(3), Vamp(4)]


@pytest.fixture
def mixture():
    g = torch.Generator().manual_seed(0)
    logits, loc, log_scale = (torch.randn(*s, generator=g) for s in ((K,), (K, D), (K, D)))
    return GaussianMixture(logits.log_softmax(0), 2 * loc, log_scale.exp())


@pytest.fixture(scope="module")
def images():
    return synthetic_images(60, 8, 8)


def by_torch(p):
    parts = td.Independent(td.Normal(p.loc, p.scale), 1)
    return td.MixtureSameFamily(td.Categorical(logits=p.log_weights), parts)


def test_density_is_torchs(mixture):
    z = 3 * torch.randn(2, 7, D)
    torch.testing.assert_close(
        mixture.log_prob(z), by_torch(mixture).log_prob(z), rtol=1e-4, atol=1e-3
    )


def test_density_keeps_its_digits_under_autocast(mixture):
    z = 3 * torch.randn(20, D)
    with torch.autocast("cpu", torch.bfloat16):
        inside = mixture.log_prob(z)
    assert torch.equal(inside, mixture.log_prob(z))


def test_one_standard_component_is_the_standard_normal():
    one = GaussianMixture(torch.zeros(1), torch.zeros(1, D), torch.ones(1, D))
    normal = StandardNormal().build(D, None, bounded=True)(None)
    z = torch.randn(9, D)
    torch.testing.assert_close(one.log_prob(z), normal.log_prob(z))
    q = td.Normal(torch.randn(1, D).expand(50_000, D), 0.5)
    z, log_q = draw_posterior(q, torch.randn(50_000, D))
    estimated = (log_q - one.log_prob(z)).mean()
    exact = exact_kl_divergence(q, StandardNormal().build(D, None, bounded=True)).sum(1)[0]
    assert float(estimated) == pytest.approx(float(exact), abs=0.03)


def test_kl_from_the_standard_normal_and_its_gradients_are_torchs():
    prior = StandardNormal().build(D, None, bounded=True)
    how = {"dtype": torch.float64, "requires_grad": True}
    loc, log_scale = torch.randn(7, D, **how), torch.randn(7, D, **how)

    def kl(loc, log_scale):
        return exact_kl_divergence(td.Normal(loc, log_scale.exp()), prior)

    theirs = td.kl_divergence(td.Normal(loc, log_scale.exp()), td.Normal(0.0, 1.0))
    torch.testing.assert_close(kl(loc, log_scale), theirs)
    assert torch.autograd.gradcheck(kl, (loc, log_scale))
    assert torch.autograd.gradgradcheck(kl, (loc, log_scale))


@dataclass(frozen=True)
class Shifted(Prior):
    """A user's prior of torch's own kind: normals around 3."""

    def build(self, z_dim, examples, *, bounded):
        class Normals(nn.Module):
            def forward(self, posterior):
                return td.Independent(td.Normal(torch.full((z_dim,), 3.0), 1.0), 1)

        return Normals()


def test_a_users_normal_prior_is_not_taken_for_the_standard_one(images):
    model = tiny(prior=Shifted(), max_epochs=1).fit(images).module_
    x = model.scaling(torch.from_numpy(images))
    q = model.posterior(x)
    noise = torch.randn(2000, len(x), 3, generator=torch.Generator().manual_seed(0))
    exact = td.kl_divergence(q, td.Normal(3.0, 1.0)).sum(1)
    likelihood = torch.stack([model.log_likelihood(x, q.loc + q.scale * e) for e in noise]).mean(0)
    torch.testing.assert_close(model.elbo(x, noise), likelihood - exact, rtol=0, atol=0.5)


def test_draws_have_the_moments_of_the_mixture(mixture):
    Z = draw(mixture, 200_000, np.random.RandomState(0))
    weights = mixture.log_weights.exp()[:, None]
    mean = (weights * mixture.loc).sum(0)
    second = (weights * (mixture.loc**2 + mixture.scale**2)).sum(0)
    np.testing.assert_allclose(Z.mean(0), mean, atol=0.03)
    np.testing.assert_allclose((Z**2).mean(0), second, rtol=0.03)


def test_vamp_is_the_mixture_of_the_posteriors_of_its_inputs(images):
    model = tiny(prior=Vamp(4)).fit(images).module_
    p = model.p_z()
    q = model.posterior(model.prior.inputs.clamp(0, 1))
    z = torch.randn(6, 3)
    expected = torch.stack([td.Normal(m, s).log_prob(z).sum(1) for m, s in zip(q.loc, q.scale)])  # noqa: B905
    torch.testing.assert_close(p.log_prob(z), expected.logsumexp(0) - np.log(4))


def test_vamp_starts_from_training_samples_and_learns(images):
    estimator = tiny(prior=Vamp(4), lr=1e-12, lr_schedule="constant", max_epochs=1).fit(images)
    start = estimator.module_.prior.inputs.detach().numpy().reshape(4, -1)
    flat = images.reshape(len(images), -1)
    assert all((np.abs(flat - row).max(1) < 1e-6).any() for row in start)
    moved = tiny(prior=Vamp(4)).fit(images).module_.prior.inputs.detach().numpy()
    assert np.abs(moved.reshape(4, -1) - start).max() > 1e-4


def test_vamp_takes_more_components_than_samples(images):
    model = tiny(prior=Vamp(9)).fit(images[:5]).module_
    assert model.prior.inputs.shape == (9, 1, 8, 8)


def test_pseudo_inputs_stay_out_of_batch_norm(images):
    network = Conv(channels=(4, 8), batch_norm=True)
    model = tiny(network=network, prior=Vamp(4), max_epochs=1).fit(images).module_
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.train()
    model.p_z()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(m.training for m in model.modules() if isinstance(m, nn.BatchNorm2d))


@pytest.mark.parametrize("prior", LEARNT)
def test_training_scores_samples_and_files(images, tmp_path, prior):
    estimator = tiny(prior=prior, warm_start=True, max_epochs=4, lr=1e-2).fit(images)
    first, last = estimator.history_[0]["train_loss"], estimator.history_[-1]["train_loss"]
    assert last < first
    elbo = estimator.score_samples(images, n_samples=50)
    bound = estimator.score_samples(images, n_samples=50, importance_weighted=True)
    assert (bound >= elbo - 1e-4).all()
    again = joblib.load(joblib.dump(estimator, tmp_path / "vae.joblib")[0])
    np.testing.assert_array_equal(again.sample(20), estimator.sample(20))
    np.testing.assert_allclose(again.score_samples(images), estimator.score_samples(images), 1e-6)
    estimator.fit(images)
    assert estimator.n_iter_ == 8


@pytest.mark.parametrize("prior", sorted(PRIORS))
def test_names_stand_for_the_classes(images, prior):
    by_name, by_class = tiny(prior=prior).fit(images), tiny(prior=PRIORS[prior]()).fit(images)
    assert same_weights(by_name, by_class)
    assert isinstance(by_name.prior_, PRIORS[prior])


def test_a_learnt_prior_fits_codes_in_clumps_better():
    """Two kinds of images: the aggregate posterior has two clumps, a normal has one."""
    X = np.zeros((200, 8, 8), np.float32)
    X[::2, :4], X[1::2, 4:] = 1, 1
    X = np.abs(X - (np.random.default_rng(0).random(X.shape) < 0.02)).astype(np.float32)
    settings = {"z_dim": 2, "max_epochs": 150, "lr": 1e-2, "precision": "float32"}
    bounds = {
        prior: tiny(prior=prior, **settings)
        .fit(X)
        .score_samples(X, n_samples=50, importance_weighted=True)
        .mean()
        for prior in ("normal", "mixture", "vamp")
    }
    assert bounds["mixture"] > bounds["normal"]
    assert bounds["vamp"] > bounds["normal"]


@pytest.mark.parametrize("kind", [Mixture, Vamp])
@pytest.mark.parametrize("n", [0, 2.5])
def test_impossible_numbers_of_components_are_refused(kind, n):
    with pytest.raises(ValueError, match=rf"n_components={n}\): give an int >= 1"):
        kind(n)


def test_what_a_learnt_prior_cannot_do_is_refused(images):
    with pytest.raises(ValueError, match=r"free_bits=1.0 .*prior='vamp'.*prior='normal'"):
        tiny(prior="vamp", free_bits=1.0).fit(images)
    estimator = tiny(prior="mixture", warm_start=True).fit(images)
    with pytest.raises(ValueError, match=r"prior is now Vamp.*but training would go on"):
        estimator.set_params(prior="vamp").fit(images)

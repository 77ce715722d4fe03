"""The VAE's terms, recomputed by hand; its bounds; exactness where log p(x) is known."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
import torch.distributions as td
from helpers import synthetic_images
from scipy import special, stats
from torch import nn
from torch.nn import functional as F

from sklearn_vae import VAETransformer
from sklearn_vae.model import LIKELIHOODS, VAE, Gaussian, NegativeELBO
from sklearn_vae.nn import MLP, Conv, ConvBN, Custom, Network
from sklearn_vae.nn._scaling import Scaling

Z = 3


def make_vae(likelihood, d=6, seed=0, network=MLP(hidden=(5,)), shape=None):  # noqa: B008
    shape = shape or (d,)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = VAE(Scaling(shape, shape), network, Z, likelihood.for_data(bounded=True))
        with torch.no_grad():  # larger than at initialisation, so that no term is negligible
            for parameter in model.parameters():
                parameter.mul_(2)
    return model.eval()


def layers(module):
    return [
        (m.weight.detach().double().numpy(), m.bias.detach().double().numpy())
        for m in module.modules()
        if isinstance(m, nn.Linear)
    ]


def network_by_hand(module, x):
    """Apply the linear layers of an MLP, ReLU between them, in float64 numpy."""
    *hidden, last = layers(module)
    for weight, bias in hidden:
        x = np.maximum(x @ weight.T + bias, 0)
    return x @ last[0].T + last[1]


def posterior_by_hand(model, x):
    hidden = np.maximum(network_by_hand(model.encoder, x), 0)
    out = network_by_hand(model.posterior_head, hidden)
    return out[:, :Z], np.exp(0.5 * out[:, Z:])


def log_likelihood_by_hand(name, model, x, z):
    out = network_by_hand(model.decoder, z)
    p = special.expit(out)
    if name == "bernoulli":
        return (x * np.log(p) + (1 - x) * np.log1p(-p)).sum(1)
    if name.startswith("gaussian"):
        learnt = model.likelihood.log_scale
        scale = model.likelihood.scale if learnt is None else learnt.exp().item()
        return stats.norm.logpdf(x, p, scale).sum(1)
    if name == "bce+mse":
        return (x * np.log(p) + (1 - x) * np.log1p(-p) - 0.5 * (x - p) ** 2).sum(1)
    loc, log_scale = p[:, : x.shape[1]], out[:, x.shape[1] :] - 2
    upper = np.where(x > 1 - 1 / 510, np.inf, x + 1 / 510)
    lower = np.where(x < 1 / 510, -np.inf, x - 1 / 510)
    frozen = stats.logistic(loc, np.exp(log_scale))
    return np.log(frozen.cdf(upper) - frozen.cdf(lower)).sum(1)


CASES = {
    "bernoulli": LIKELIHOODS["bernoulli"](),
    "gaussian-fixed": Gaussian(scale=0.3),
    "gaussian-learnt": Gaussian(),
    "bce+mse": LIKELIHOODS["bce+mse"](),
    "discretized-logistic": LIKELIHOODS["discretized-logistic"](),
}


@pytest.fixture
def x():
    levels = torch.randint(0, 256, (20, 6), generator=torch.Generator().manual_seed(1))
    levels[0, 0], levels[0, 1] = 0, 255
    return levels / 255


@pytest.mark.parametrize("name", CASES)
def test_terms_and_loss_by_hand(name, x):
    model = make_vae(CASES[name])
    with torch.random.fork_rng():
        torch.manual_seed(7)
        terms = model(x, x)
        torch.manual_seed(7)
        noise = torch.normal(torch.zeros(20, Z), torch.ones(20, Z)).double().numpy()
    x = x.double().numpy()
    mu, sigma = posterior_by_hand(model, x)
    kl = 0.5 * (mu**2 + sigma**2 - 1 - np.log(sigma**2))
    log_likelihood = log_likelihood_by_hand(name, model, x, mu + sigma * noise)
    np.testing.assert_allclose(terms.kl.detach().numpy(), kl, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(terms.log_likelihood.detach().numpy(), log_likelihood, rtol=1e-4)
    loss = NegativeELBO()(terms).item()
    assert loss == pytest.approx(-(log_likelihood - kl.sum(1)).mean(), rel=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_training_with_importance_weights_maximises_their_bound(name, x):
    """Value and gradient of the loss are those of the bound that the scores use."""
    model = make_vae(CASES[name])
    noise = torch.randn(4, 20, Z, generator=torch.Generator().manual_seed(7))
    with torch.random.fork_rng():
        torch.manual_seed(7)
        loss = NegativeELBO()(model(x, x, n_draws=4))
    bound = model.importance_weighted(x, noise).mean()
    torch.testing.assert_close(loss, -bound)
    parameters = list(model.parameters())
    found = torch.autograd.grad(loss, parameters)
    expected = torch.autograd.grad(-bound, parameters)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def test_kl_is_torchs(x):
    model = make_vae(CASES["bernoulli"])
    q = model.posterior(x)
    expected = td.kl_divergence(
        td.Normal(q.loc, q.scale), td.Normal(torch.zeros_like(q.loc), torch.ones_like(q.loc))
    )
    torch.testing.assert_close(model(x, x).kl, expected)


def test_encoder_sees_the_view_and_the_likelihood_the_target(x):
    model = make_vae(CASES["bernoulli"])
    view = x.flip(0)
    with torch.random.fork_rng():
        torch.manual_seed(7)
        terms = model(view, x)
        torch.manual_seed(7)
        noise = torch.normal(torch.zeros(20, Z), torch.ones(20, Z)).double().numpy()
    mu, sigma = posterior_by_hand(model, view.double().numpy())
    kl = 0.5 * (mu**2 + sigma**2 - 1 - np.log(sigma**2))
    expected = log_likelihood_by_hand("bernoulli", model, x.double().numpy(), mu + sigma * noise)
    np.testing.assert_allclose(terms.kl.detach().numpy(), kl, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(terms.log_likelihood.detach().numpy(), expected, rtol=1e-4)


def log_weights_by_hand(model, x, noise):
    """Return log p(x, z) - log q(z|x), shape (k, n), with scipy's densities."""
    x = x.double().numpy()
    mu, sigma = posterior_by_hand(model, x)
    weights = []
    for e in noise.double().numpy():
        z = mu + sigma * e
        log_joint = log_likelihood_by_hand("bernoulli", model, x, z) + stats.norm.logpdf(z).sum(1)
        weights.append(log_joint - stats.norm.logpdf(z, mu, sigma).sum(1))
    return np.stack(weights)


@torch.no_grad()
def test_bounds_by_hand_and_in_order(x):
    model = make_vae(CASES["bernoulli"])
    noise = torch.randn(64, 20, Z, generator=torch.Generator().manual_seed(3))
    log_w = log_weights_by_hand(model, x, noise)
    # The importance-weighted bound is log mean w: never below the mean of log w (Jensen).
    bounds = []
    for k in (1, 4, 16, 64):
        iw = model.importance_weighted(x, noise[:k]).numpy()
        expected = special.logsumexp(log_w[:k], axis=0) - np.log(k)
        np.testing.assert_allclose(iw, expected, rtol=1e-4)
        assert (iw >= log_w[:k].mean(0) - 1e-4).all()
        bounds.append(iw)
    # The same 64 draws in groups of k: the mean over the groups rises with k, row by row.
    grouped = [
        (special.logsumexp(log_w.reshape(64 // k, k, -1), axis=1) - np.log(k)).mean(0)
        for k in (1, 4, 16, 64)
    ]
    by_model = [
        np.mean(
            [model.importance_weighted(x, g).numpy() for g in noise.reshape(64 // k, k, 20, Z)], 0
        )
        for k in (1, 4, 16, 64)
    ]
    np.testing.assert_allclose(by_model, grouped, rtol=1e-4)
    assert (np.diff(by_model, axis=0) >= -1e-4).all()
    # The ELBO: the same expectation as mean log w, with the KL term in closed form.
    elbo = model.elbo(x, noise).numpy()
    assert elbo.mean() == pytest.approx(log_w.mean(), abs=0.25)
    assert bounds[-1].mean() > elbo.mean()


@torch.no_grad()
def test_elbo_averages_the_likelihood_and_takes_the_kl_in_closed_form(x):
    model = make_vae(CASES["bernoulli"])
    noise = torch.randn(5, 20, Z, generator=torch.Generator().manual_seed(3))
    xs = x.double().numpy()
    mu, sigma = posterior_by_hand(model, xs)
    log_px = [
        log_likelihood_by_hand("bernoulli", model, xs, mu + sigma * e)
        for e in noise.double().numpy()
    ]
    kl = 0.5 * (mu**2 + sigma**2 - 1 - np.log(sigma**2)).sum(1)
    np.testing.assert_allclose(model.elbo(x, noise).numpy(), np.mean(log_px, 0) - kl, rtol=1e-4)


# -- exact log p(x): the linear-Gaussian model --------------------------------------------------


@dataclass(frozen=True)
class LinearGaussian(Network):
    """Nothing between x and the posterior's linear layer; a linear decoder."""

    takes_vectors = True

    def encoder(self, shape):
        return nn.Identity()

    def decoder(self, z_dim, shape):
        return nn.Linear(z_dim, shape[0])


S = 0.5


@pytest.fixture(scope="module")
def linear_gaussian():
    """An estimator set to the exact posterior, its data, and scipy's exact log p(X)."""
    rng = np.random.default_rng(0)
    d, k = 5, 2
    X = rng.normal(size=(300, d)) * [1, 20, 0.01, 3, 500] + [0, 5, 1, -40, 1000]
    estimator = VAETransformer(
        k,
        network=LinearGaussian(),
        likelihood=Gaussian(scale=S),
        max_epochs=1,
        device="cpu",
        random_state=0,
    ).fit(X)
    # Orthogonal columns: the exact posterior N(V W'(x - b) / s^2, V) has a diagonal V.
    W = np.linalg.qr(rng.normal(size=(d, k)))[0] * [1.5, 0.7]
    b = rng.normal(size=d)
    V = 1 / (1 + np.square([1.5, 0.7]) / S**2)
    A = V[:, None] * W.T / S**2
    with torch.no_grad():
        head, decoder = estimator.module_.posterior_head, estimator.module_.decoder
        head.weight.copy_(torch.from_numpy(np.vstack([A, np.zeros((k, d))])))
        head.bias.copy_(torch.from_numpy(np.concatenate([-A @ b, np.log(V)])))
        decoder.weight.copy_(torch.from_numpy(W))
        decoder.bias.copy_(torch.from_numpy(b))
    mean, std = X.mean(0), estimator.module_.scaling.scale.numpy().astype(float)
    exact = stats.multivariate_normal(
        mean + std * b, (W @ W.T + S**2 * np.eye(d)) * np.outer(std, std)
    ).logpdf(X)
    return estimator, X, exact


@pytest.mark.parametrize("n_samples", [1, 8])
def test_exact_posterior_gives_the_exact_log_density(linear_gaussian, n_samples):
    estimator, X, exact = linear_gaussian
    scores = estimator.score_samples(X, n_draws=n_samples, importance_weighted=True)
    np.testing.assert_allclose(scores, exact, atol=2e-3)


def test_elbo_of_the_exact_posterior_is_the_log_density_in_the_mean(linear_gaussian):
    estimator, X, exact = linear_gaussian
    scores = estimator.score_samples(X, n_draws=200)
    assert scores.mean() == pytest.approx(exact.mean(), abs=0.05)
    assert estimator.score(X) == pytest.approx(exact.mean(), abs=0.1)


def test_gap_of_the_elbo_is_the_divergence_from_the_exact_posterior(linear_gaussian):
    estimator, X, exact = linear_gaussian
    head = estimator.module_.posterior_head
    with torch.no_grad():
        head.bias[2:] += np.log(2)  # twice the exact variance
        try:
            elbo = estimator.score_samples(X, n_draws=200).mean()
            iw = estimator.score_samples(X, n_draws=200, importance_weighted=True).mean()
        finally:
            head.bias[2:] -= np.log(2)
    kl = 2 * 0.5 * (2 - 1 - np.log(2))
    assert elbo == pytest.approx(exact.mean() - kl, abs=0.05)
    assert elbo < iw
    assert iw == pytest.approx(exact.mean(), abs=0.02)


# -- the posterior and the hidden features -------------------------------------------------------


def test_posterior_of_extreme_input_is_finite():
    model = make_vae(CASES["bernoulli"])
    q = model.posterior(torch.full((2, 6), 1e8))
    assert torch.isfinite(q.loc).all()
    assert torch.isfinite(q.scale).all()
    assert (q.scale > 0).all()


def test_hidden_features_are_block_means():
    class Maps(Conv):
        def encoder(self, shape):
            return nn.Identity()

    model = make_vae(CASES["bernoulli"], network=Maps(channels=(4,)), shape=(2, 8, 12))
    x = torch.from_numpy(synthetic_images(5, 2, 8, 12))
    expected = x.reshape(5, 2, 4, 2, 4, 3).mean((3, 5)).flatten(1)
    assert model.n_hidden == 32
    torch.testing.assert_close(model.raw_hidden(x), expected)


@pytest.mark.parametrize("network", [Conv((4, 8), batch_norm=True), ConvBN()])
def test_hidden_features_of_every_stage(network):
    model = make_vae(CASES["bernoulli"], network=network, shape=(2, 16, 16)).eval()
    x = torch.from_numpy(synthetic_images(5, 2, 16, 16))
    seen = []
    for block in model.encoder:
        block.register_forward_hook(lambda _, __, out: seen.append(out))
    model.encoder(x)
    side = [min(4, out.shape[-1]) for out in seen]
    expected = [F.adaptive_avg_pool2d(out, s).flatten(1) for out, s in zip(seen, side, strict=True)]
    seen.clear()
    torch.testing.assert_close(model.raw_hidden(x), torch.cat(expected, 1))
    assert model.n_hidden == sum(part.shape[1] for part in expected)


def test_hidden_features_of_other_encoders_are_the_last_activations():
    network = Custom(nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU()), MLP().decoder(Z, (1, 6, 6)))
    model = make_vae(CASES["bernoulli"], network=network, shape=(1, 6, 6))
    assert model.n_hidden == 3 * 4 * 4

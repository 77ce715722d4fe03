"""Posteriors: densities of the flow against its Jacobian, what it sees, life in an estimator."""

from dataclasses import dataclass

import joblib
import numpy as np
import pytest
import torch
import torch.distributions as td
from helpers import same_weights, synthetic_images, tiny
from torch.func import jacrev, vmap

from sklearn_vae import VAEAugmenter, VAEDetector
from sklearn_vae.model import IAF, POSTERIORS, NormalPosterior, Posterior, PosteriorFamily, Vamp
from sklearn_vae.nn import Conv

N, K = 4, 6


def posterior(d, n_steps, n_hidden=7, seed=0):
    """Return q(z|x) of N samples by a flow with weights of order one."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head = IAF(n_steps, n_hidden).build(K, d)
        for weights in head.parameters():
            torch.nn.init.normal_(weights, std=0.4)
        return head, torch.randn(N, K)


@pytest.fixture(scope="module")
def images():
    return synthetic_images(60, 8, 8)


def of_one(head, row):
    """Return the function from one sample's noise (d,) to its draw."""
    return lambda noise: head(row[None]).draw(noise[None])[0][0]


@pytest.mark.parametrize("n_steps", [1, 2, 3])
@pytest.mark.parametrize("d", [1, 2, 5, 9])
def test_density_is_that_of_the_jacobian(d, n_steps):
    head, activations = posterior(d, n_steps)
    noise = torch.randn(N, d)
    _, log_q = head(activations).draw(noise)
    for row, e, found in zip(activations, noise, log_q, strict=True):
        jacobian = jacrev(of_one(head, row))(e)
        expected = td.Normal(0.0, 1.0).log_prob(e).sum() - torch.linalg.slogdet(jacobian)[1]
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


def test_density_integrates_to_one():
    head, activations = posterior(2, 3)
    q = head(activations[:1].expand(200_000, K))
    z, log_q = q.draw(torch.randn(200_000, 2))
    inside = td.Normal(z.mean(0), 0.3 * z.std(0)).log_prob(z).sum(1)  # a density within q's
    assert float((inside - log_q).exp().mean().detach()) == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("n_hidden", [1, 3, 20])
def test_a_step_sees_the_dimensions_before_and_the_activations(n_hidden):
    head, activations = posterior(5, 1, n_hidden)
    step, context = head.steps[0], head.context(activations)
    z = torch.randn(N, 5)
    for part in (0, 1):  # shift and gate
        seen = vmap(jacrev(lambda z, c, part=part: step(z, c)[part]))(z, context)
        assert torch.equal(seen, seen.tril(-1))
        heard = vmap(jacrev(lambda c, z, part=part: step(z, c)[part]))(context, z)
        assert (heard.abs().sum((0, 2)) > 0).any()
        assert n_hidden < 5 or (heard.abs().sum((0, 2)) > 0).all()  # the first dimension, too
    if n_hidden == 20:
        below = torch.ones(5, 5).tril(-1).bool()
        assert (seen.abs().sum(0)[below] > 0).all()


def test_two_steps_make_all_dimensions_depend_on_each_other():
    head, activations = posterior(4, 2, 30)
    jacobian = jacrev(of_one(head, activations[0]))(torch.zeros(4))
    assert (jacobian.abs() > 0).all()


def test_centre_and_scale_are_those_of_the_flow():
    head, activations = posterior(5, 1)
    q = head(activations)
    z, _ = q.draw(torch.zeros(N, 5))
    torch.testing.assert_close(q.loc, z)
    for row, scale in zip(activations, q.scale, strict=True):
        jacobian = jacrev(of_one(head, row))(torch.zeros(5))
        torch.testing.assert_close(scale.flip(0), jacobian.flip(0).diagonal())


def test_it_starts_close_to_the_normals():
    head = IAF().build(K, 5)
    activations = torch.randn(50, K)
    q, normal = head(activations), head.normal(activations)
    torch.testing.assert_close(q.loc, torch.sigmoid(torch.tensor(1.0)) ** 2 * normal.loc)
    torch.testing.assert_close(q.scale, torch.sigmoid(torch.tensor(1.0)) ** 2 * normal.scale)


@pytest.mark.parametrize("posterior_", ["normal", "iaf"])
def test_first_rows_are_the_posteriors_of_the_first_samples(images, posterior_):
    model = tiny(posterior=posterior_).fit(images).module_
    x = torch.from_numpy(images[:, None])
    noise = torch.randn(7, 3)
    found = model.posterior(x).first(7).draw(noise)
    for a, b in zip(found, model.posterior(x[:7]).draw(noise), strict=True):
        torch.testing.assert_close(a, b)


def test_normals_have_the_density_of_torchs():
    q = NormalPosterior(torch.randn(N, 3), torch.rand(N, 3) + 0.1)
    z, log_q = q.draw(torch.randn(2, N, 3))
    torch.testing.assert_close(log_q, q.log_prob(z).sum(-1))


def test_a_flow_learns_what_independent_normals_cannot():
    """Of a target with correlation 0.9 the best independent normals miss 0.83 nats."""
    covariance = torch.tensor([[1.0, 0.9], [0.9, 1.0]])
    target = td.MultivariateNormal(torch.tensor([1.0, -1.0]), covariance)
    missed = {}
    with torch.random.fork_rng(devices=[]):
        for name, family in POSTERIORS.items():
            torch.manual_seed(0)
            head, one = family().build(1, 2), torch.ones(1, 1)
            optimizer = torch.optim.Adam(head.parameters(), lr=0.01)
            for _ in range(400):
                z, log_q = head(one).draw(torch.randn(256, 1, 2))
                loss = (log_q - target.log_prob(z)).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            z, log_q = head(one).draw(torch.randn(20_000, 1, 2))
            missed[name] = float((log_q - target.log_prob(z)).mean().detach())
    assert missed["normal"] == pytest.approx(-0.5 * np.log(1 - 0.9**2), abs=0.03)
    assert missed["iaf"] < 0.03


@pytest.mark.parametrize("changes", [{}, {"prior": Vamp(4)}, {"importance_samples": 3}])
def test_training_scores_and_files(images, tmp_path, changes):
    settings = {"warm_start": True, "max_epochs": 4, "lr": 1e-2, **changes}
    vae = tiny(posterior=IAF(3, 10), **settings).fit(images)
    assert vae.history_[-1]["train_loss"] < vae.history_[0]["train_loss"]
    start = tiny(posterior=IAF(3, 10), **{**settings, "max_epochs": 1, "lr": 1e-12}).fit(images)
    for name, value in vae.module_.posterior_head.state_dict().items():
        moved = not torch.equal(value, start.module_.posterior_head.state_dict()[name])
        assert moved != name.endswith("mask")
    elbo = vae.score_samples(images, n_draws=50)
    bound = vae.score_samples(images, n_draws=50, importance_weighted=True)
    assert (bound >= elbo - 1e-4).all()
    again = joblib.load(joblib.dump(vae, tmp_path / "vae.joblib")[0])
    np.testing.assert_array_equal(again.transform(images), vae.transform(images))
    np.testing.assert_array_equal(again.score_samples(images), vae.score_samples(images))
    vae.fit(images)
    assert vae.n_iter_ == 8


def test_codes_are_those_that_the_decoder_knows(images):
    vae = tiny(posterior="iaf", lr=1e-2, max_epochs=4).fit(images)
    codes = vae.transform(images)
    np.testing.assert_allclose(vae.inverse_transform(codes), vae.reconstruct(images), atol=1e-6)
    vae.set_params(features="mean+std")
    np.testing.assert_array_equal(vae.transform(images)[:, :3], codes)
    assert (vae.transform(images)[:, 3:] > 0).all()


def test_labels_reach_the_flow(images):
    """The class head stands on codes behind the flow, whose weights its loss moves."""
    y = (images.mean((1, 2)) > 0.5).astype(int)
    y[::3] = -1
    settings = {"posterior": "iaf", "label_weight": 1.0, "augment": lambda x: x + 0.01}
    vae = tiny(**settings, max_epochs=15, lr=1e-2).fit(images, y)
    assert vae.history_[-1]["train_label_loss"] < vae.history_[0]["train_label_loss"]
    head = vae.module_.posterior_head
    vae.module_.class_logits(torch.from_numpy(images[:, None])).sum().backward()
    assert head.steps[0].first.weight.grad.abs().sum() > 0


def test_the_other_estimators_take_it(images):
    vae, y = tiny(posterior="iaf"), np.repeat([0, 1], [40, 20])
    for method in ("posterior", "interpolation", "density", "conditional"):
        X_more, _ = VAEAugmenter(vae=vae, method=method, random_state=0).fit_resample(images, y)
        assert X_more.shape == (80, 8, 8)
    for method in ("path", "elbo", "reconstruction", "latent"):
        scores = VAEDetector(vae, method=method, random_state=0).fit(images).score_samples(images)
        assert np.isfinite(scores).all()


def test_bfloat16_training(images):
    network = Conv((4, 8), batch_norm=True)
    vae = tiny(posterior="iaf", network=network, precision="bfloat16", max_epochs=3, lr=1e-2)
    history = vae.fit(images).history_
    assert history[-1]["train_loss"] < history[0]["train_loss"]


@pytest.mark.parametrize("name", sorted(POSTERIORS))
def test_names_stand_for_the_classes(images, name):
    by_name, by_class = (tiny(posterior=p).fit(images) for p in (name, POSTERIORS[name]()))
    assert same_weights(by_name, by_class)
    assert isinstance(by_name.posterior_, POSTERIORS[name])


@pytest.mark.parametrize("name", ["n_steps", "n_hidden"])
@pytest.mark.parametrize("n", [0, 2.5])
def test_impossible_sizes_are_refused(name, n):
    with pytest.raises(ValueError, match=rf"{name}={n}.*: give ints >= 1"):
        IAF(**{name: n})


def test_what_a_flow_cannot_do_is_refused(images):
    with pytest.raises(ValueError, match=r"free_bits=1.0 .*posterior=IAF.*posterior='normal'"):
        tiny(posterior="iaf", free_bits=1.0).fit(images)
    vae = tiny(warm_start=True).fit(images)
    with pytest.raises(ValueError, match=r"posterior is now IAF.*DiagonalNormal"):
        vae.set_params(posterior="iaf").fit(images)


class Laplace(Posterior):
    """A user's own: independent Laplace distributions."""

    def __init__(self, loc, scale):
        self.loc, self.scale = loc, scale

    def draw(self, noise):
        p = td.Laplace(self.loc, self.scale)
        z = p.icdf(torch.special.ndtr(noise).clamp(1e-6, 1 - 1e-6))
        return z, p.log_prob(z).sum(-1)


@dataclass(frozen=True)
class Family(PosteriorFamily):
    """Builds a linear layer behind which ``kind`` stands."""

    kind: type = Laplace

    def build(self, n_activations, z_dim):
        family = self

        class Head(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.layer = torch.nn.Linear(n_activations, 2 * z_dim)

            def forward(self, activations):
                loc, log_scale = self.layer(activations).float().chunk(2, dim=1)
                return family.kind(loc, log_scale.exp())

        return Head()


def test_a_users_posterior_is_drawn_as_what_it_is(images, tmp_path):
    vae = tiny(posterior=Family(), max_epochs=4, lr=1e-2, warm_start=True).fit(images)
    assert vae.history_[-1]["train_loss"] < vae.history_[0]["train_loss"]
    model = vae.module_
    x = model.scaling(torch.from_numpy(images[:5]))
    q = model.posterior(x)
    assert isinstance(q, Laplace)
    z, log_q = q.draw(torch.randn(20_000, 5, 3))
    torch.testing.assert_close(z.mean(0), q.loc, atol=0.05, rtol=0.05)
    torch.testing.assert_close(z.std(0), 2**0.5 * q.scale, atol=0.05, rtol=0.05)
    p = td.Laplace(q.loc, q.scale)
    kl = (log_q - td.Normal(0.0, 1.0).log_prob(z).sum(-1)).mean(0)
    exact = -p.entropy() + 0.5 * (p.variance + q.loc**2 + np.log(2 * np.pi))
    torch.testing.assert_close(kl, exact.sum(1), atol=0.1, rtol=0.02)
    noise = torch.randn(1000, 5, 3)
    likelihood = torch.stack([model.log_likelihood(x, z) for z in q.draw(noise)[0]]).mean(0)
    torch.testing.assert_close(model.elbo(x, noise), likelihood - exact.sum(1), atol=0.5, rtol=0)
    again = joblib.load(joblib.dump(vae, tmp_path / "vae.joblib")[0])
    np.testing.assert_array_equal(again.transform(images), vae.transform(images))
    np.testing.assert_array_equal(again.score_samples(images), vae.score_samples(images))
    assert vae.fit(images).n_iter_ == 8


def test_the_parts_of_the_package_take_a_users_posterior(images):
    y = (images.mean((1, 2)) > 0.5).astype(int)
    y[::3] = -1
    settings = {"posterior": Family(), "label_weight": 1.0, "augment": lambda x: x + 0.01}
    vae = tiny(**settings, max_epochs=15, lr=1e-2).fit(images, y)
    assert vae.history_[-1]["train_label_loss"] < vae.history_[0]["train_label_loss"]
    for method in ("posterior", "interpolation", "density", "conditional"):
        vae = tiny(posterior=Family(), prior=Vamp(4))
        X_more, _ = VAEAugmenter(vae=vae, method=method, random_state=0, n_new=2).fit_resample(
            images, np.repeat([0, 1], 30)
        )
        assert X_more.shape == (64, 8, 8)
    with pytest.raises(ValueError, match=r"free_bits=1.0 .*posterior=Family"):
        tiny(posterior=Family(), free_bits=1.0).fit(images)


def test_torchs_normals_are_the_packages(images):
    ours, theirs = (tiny(posterior=Family(k)).fit(images) for k in (NormalPosterior, td.Normal))
    assert same_weights(ours, theirs)
    np.testing.assert_array_equal(ours.score_samples(images), theirs.score_samples(images))


def test_what_cannot_be_drawn_from_is_refused_before_training(images):
    vae = tiny(posterior=Family(td.Laplace))
    with pytest.raises(TypeError, match=r"returns Laplace.*model\.Posterior that defines draw"):
        vae.fit(images)
    assert not hasattr(vae, "module_")

    class Wide(Laplace):
        def draw(self, noise):
            z, _ = super().draw(noise)
            return z, td.Laplace(self.loc, self.scale).log_prob(z)

    with pytest.raises(ValueError, match=r"posterior=Family.*densities of shape \(2, 3\)"):
        tiny(posterior=Family(Wide)).fit(images)


def test_a_scale_grows_linearly_above_the_priors():
    head = POSTERIORS["normal"]().build(1, 1)
    torch.nn.init.zeros_(head.weight)
    log_var = torch.tensor([-40.0, -20, -6, -0.1, 0, 0.1, 6, 40], requires_grad=True)
    bias = torch.stack([torch.zeros_like(log_var), log_var])
    scales = torch.cat(
        [torch.func.functional_call(head, {"bias": b}, torch.zeros(1, 1)).scale[0] for b in bias.T]
    )
    expected = [*np.exp([-10, -10, -3, -0.05, 0]), 1.05, 4, 21]
    np.testing.assert_allclose(scales.detach(), expected, rtol=1e-6)
    scales.sum().backward()  # no sample is out of reach of the gradient, but for the smallest
    np.testing.assert_allclose(log_var.grad[2:], [*(0.5 * np.exp([-3, -0.05])), *[0.5] * 4], 1e-6)

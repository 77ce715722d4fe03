"""Priors: densities against torch's, the VampPrior against its definition, life in an estimator."""

from dataclasses import dataclass

import joblib
import numpy as np
import pytest
import torch
import torch.distributions as td
from helpers import Trained, same_weights, synthetic_images, tiny
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from torch import nn

from sklearn_vae import VAEAugmenter, VAEDetector
from sklearn_vae.model import PRIORS, Mixture, NormalPosterior, Prior, StandardNormal, Vamp
from sklearn_vae.model._priors import MixtureOfNormals
from sklearn_vae.nn import Conv

K, D = 5, 3
LEARNT = ["mixture", "vamp", Mixture(3), Vamp(4)]


@pytest.fixture
def mixture():
    g = torch.Generator().manual_seed(0)
    logits, loc, log_scale = (torch.randn(*s, generator=g) for s in ((K,), (K, D), (K, D)))
    return MixtureOfNormals(logits.log_softmax(0), 2 * loc, log_scale.exp())


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
    one = MixtureOfNormals(torch.zeros(1), torch.zeros(1, D), torch.ones(1, D))
    normal = StandardNormal().build(D, None, bounded=True)(None)
    z = torch.randn(9, D)
    torch.testing.assert_close(one.log_prob(z), normal.log_prob(z))
    q = NormalPosterior(torch.randn(1, D).expand(50_000, D), torch.tensor(0.5))
    z, log_q = q.draw(torch.randn(50_000, D))
    estimated = (log_q - one.log_prob(z)).mean()
    exact = q.kl_divergence(StandardNormal(), None).sum(1)[0]
    assert float(estimated) == pytest.approx(float(exact), abs=0.03)


def test_kl_from_the_standard_normal_and_its_gradients_are_torchs():
    how = {"dtype": torch.float64, "requires_grad": True}
    loc, log_scale = torch.randn(7, D, **how), torch.randn(7, D, **how)

    def kl(loc, log_scale):
        return NormalPosterior(loc, log_scale.exp()).kl_divergence(StandardNormal(), None)

    theirs = td.kl_divergence(td.Normal(loc, log_scale.exp()), td.Normal(0.0, 1.0))
    torch.testing.assert_close(kl(loc, log_scale), theirs)
    assert torch.autograd.gradcheck(kl, (loc, log_scale))
    assert torch.autograd.gradgradcheck(kl, (loc, log_scale))


class Normals(nn.Module):
    """Independent normals around ``mean``, learnt where ``learnt``."""

    def __init__(self, z_dim, mean, learnt=False):
        super().__init__()
        loc = torch.full((z_dim,), float(mean))
        if learnt:
            self.loc = nn.Parameter(loc)
        else:
            self.register_buffer("loc", loc)

    def forward(self, posterior):
        return td.Independent(td.Normal(self.loc, 1.0), 1)


@dataclass(frozen=True)
class Shifted(Prior):
    """A user's prior of torch's own kind: normals around ``mean``."""

    mean: float = 5.0
    learnt: bool = False

    def build(self, z_dim, examples, *, bounded):
        return Normals(z_dim, self.mean, self.learnt)


@dataclass(frozen=True)
class Exact(Shifted):
    """One that knows its KL term."""

    def kl_divergence(self, q, p_z):
        return td.kl_divergence(q, p_z().base_dist)


@dataclass(frozen=True)
class Summed(Exact):
    """One that knows its sum only."""

    def kl_divergence(self, q, p_z):
        return super().kl_divergence(q, p_z).sum(1, keepdim=True)


@pytest.mark.parametrize("kind", [Shifted, Exact])
def test_a_users_normal_prior_is_not_taken_for_the_standard_one(images, kind):
    model = tiny(prior=kind(3.0), max_epochs=1).fit(images).module_
    x = model.scaling(torch.from_numpy(images))
    q = model.posterior(x)
    draws = 2000 if kind is Shifted else 50
    noise = torch.randn(draws, len(x), 3, generator=torch.Generator().manual_seed(0))
    exact = td.kl_divergence(q, td.Normal(3.0, 1.0)).sum(1)
    likelihood = torch.stack([model.log_likelihood(x, q.loc + q.scale * e) for e in noise]).mean(0)
    off = 0.5 if kind is Shifted else 1e-3
    torch.testing.assert_close(model.elbo(x, noise), likelihood - exact, rtol=0, atol=off)


def test_a_users_prior_is_drawn_as_what_it_is(images):
    vae = tiny(prior=Shifted(5.0)).fit(images)
    before = torch.get_rng_state()
    Z = vae.module_.draw(20_000, np.random.RandomState(0))
    assert torch.equal(torch.get_rng_state(), before)
    assert Z.dtype == np.float32
    np.testing.assert_allclose(Z.mean(0), 5, atol=0.03)
    np.testing.assert_allclose(Z.std(0), 1, atol=0.03)
    np.testing.assert_array_equal(Z, vae.module_.draw(20_000, np.random.RandomState(0)))
    X = vae.sample(50, random_state=3)
    expected = vae.inverse_transform(vae.module_.draw(50, np.random.RandomState(3)))
    np.testing.assert_array_equal(X, expected)
    assert not np.array_equal(X, vae.sample(50, random_state=4))
    # Codes around 5 are where the training puts them: what is drawn looks like the data.
    trained = tiny(prior=Exact(5.0), max_epochs=300, lr=1e-2).fit(images)
    assert np.abs(trained.transform(images).mean(0) - 5).max() < 0.5
    assert np.abs(trained.sample(500, random_state=0).mean() - images.mean()) < 0.05


def test_a_standard_normal_of_a_users_own_is_the_packages(images):
    ours, theirs = (tiny(prior=p, max_epochs=3).fit(images) for p in ("normal", Exact(0.0)))
    np.testing.assert_allclose(theirs.transform(images), ours.transform(images), atol=1e-4)
    np.testing.assert_allclose(theirs.score_samples(images), ours.score_samples(images), 1e-5)
    np.testing.assert_allclose(
        theirs.module_.draw(9, np.random.RandomState(0)),
        ours.module_.draw(9, np.random.RandomState(0)),
        atol=1e-6,
    )


def test_free_bits_take_any_prior_that_tells_dimensions_apart(images):
    vae = tiny(prior=Exact(5.0), free_bits=0.5).fit(images)
    assert np.isfinite(vae.history_[-1]["train_loss"])
    for prior in (Shifted(5.0), Summed(5.0)):
        with pytest.raises(ValueError, match=r"free_bits=0.5 .*Shifted|Summed.*lacks"):
            tiny(prior=prior, free_bits=0.5).fit(images)


def test_a_sum_of_kl_terms_is_the_sum(images):
    each, total = (tiny(prior=kind(2.0)).fit(images) for kind in (Exact, Summed))
    assert same_weights(each, total)
    np.testing.assert_allclose(total.score_samples(images), each.score_samples(images), 1e-6)


def test_a_users_prior_learns_and_is_kept(images, tmp_path):
    vae = tiny(prior=Exact(5.0, learnt=True), max_epochs=5, lr=1e-2, warm_start=True).fit(images)
    loc = vae.module_.prior.loc.detach().numpy()
    assert (np.abs(loc - 5) > 1e-3).all()
    again = joblib.load(joblib.dump(vae, tmp_path / "vae.joblib")[0])
    np.testing.assert_array_equal(again.module_.prior.loc.detach().numpy(), loc)
    np.testing.assert_array_equal(again.sample(5), vae.sample(5))
    assert vae.fit(images).n_iter_ == 10


def test_the_other_estimators_take_a_users_prior(images):
    y, vae = np.repeat([0, 1], [40, 20]), tiny(prior=Shifted(5.0), max_epochs=100, lr=1e-2)
    frozen = FrozenEstimator(vae.fit(images))
    codes = vae.transform(images[40:])
    assert abs(codes.mean() - 5) < 1
    for method in ("posterior", "interpolation", "density", "conditional", "deformation"):
        template = clone(vae).set_params(max_epochs=1)
        own = template if method in ("conditional", "deformation") else frozen
        augmenter = VAEAugmenter(vae=own, method=method, random_state=0, n_new={1: 200})
        X_more, _ = augmenter.fit_resample(images, y)
        assert X_more.shape == (260, 8, 8)
        if own is frozen:  # synthetic codes lie around those of the class
            Z = augmenter.methods_[1].draw(200, np.random.RandomState(0)).Z
            np.testing.assert_allclose(Z.mean(0), codes.mean(0), atol=0.3)
    with pytest.warns(UserWarning, match="trained on rows of X"):
        scores = VAEDetector(frozen, method="elbo").fit(images).score_samples(images)
    np.testing.assert_allclose(scores, vae.score_samples(images))


class OnlyDensity(td.Distribution):
    """log_prob, and no way to draw."""

    def __init__(self, z_dim):
        super().__init__(event_shape=torch.Size([z_dim]), validate_args=False)

    def log_prob(self, value):
        return -value.abs().sum(-1)


class Duck:
    """Not even one of torch's distributions."""

    def __init__(self, z_dim):
        pass

    def log_prob(self, value):
        return -value.abs().sum(-1)


@dataclass(frozen=True)
class Undrawable(Prior):
    kind: type = OnlyDensity

    def build(self, z_dim, examples, *, bounded):
        p = self.kind(z_dim)

        class Module(nn.Module):
            def forward(self, posterior):
                return p

        return Module()


@pytest.mark.parametrize("kind", [OnlyDensity, Duck])
def test_a_prior_without_draws_trains_and_says_what_to_define(images, kind):
    vae = tiny(prior=Undrawable(kind)).fit(images)
    assert np.isfinite(vae.score_samples(images)).all()
    message = rf"prior=Undrawable.*{kind.__name__} defines no sample\(sample_shape\).*or Undrawable"
    with pytest.raises(NotImplementedError, match=message):
        vae.sample(3)


@dataclass(frozen=True)
class DrawsItself(Undrawable):
    def draw(self, p, n, generator):
        return 7 + torch.rand(n, 3, generator=generator, dtype=torch.float64)


def test_a_prior_may_draw_itself(images):
    Z = tiny(prior=DrawsItself()).fit(images).module_.draw(100, np.random.RandomState(0))
    assert Z.dtype == np.float32
    assert Z.min() >= 7
    assert Z.max() <= 8


@dataclass(frozen=True)
class NotIndependent(Prior):
    def build(self, z_dim, examples, *, bounded):
        class Module(nn.Module):
            def forward(self, posterior):
                return td.Normal(torch.zeros(z_dim), 1.0)

        return Module()


def test_densities_per_dimension_are_refused_before_training(images):
    vae = tiny(prior=NotIndependent(), callbacks=[Trained()])
    trainings = Trained.trainings
    with pytest.raises(
        ValueError, match=r"prior=NotIndependent.*shape \(2, 3\).*Independent\(p, 1"
    ):
        vae.fit(images)
    assert Trained.trainings == trainings
    assert not hasattr(vae, "module_")


def test_a_prior_that_cannot_be_built_is_named(images):
    @dataclass(frozen=True)
    class Broken(Prior):
        def build(self, z_dim, examples, *, bounded):
            return torch.ones(2) @ torch.ones(3)

    with pytest.raises(ValueError, match=r"^prior=.*Broken\(\) cannot be built: "):
        tiny(prior=Broken()).fit(images)


def test_a_prior_must_say_how_it_is_built():
    class Nothing(Prior):
        def log_prob(self, z):
            return -z.abs().sum(-1)

    with pytest.raises(TypeError, match="build"):
        Nothing()


def test_draws_have_the_moments_of_the_mixture(mixture):
    Z = Mixture().draw(mixture, 200_000, torch.Generator().manual_seed(0)).numpy()
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
    elbo = estimator.score_samples(images, n_draws=50)
    bound = estimator.score_samples(images, n_draws=50, importance_weighted=True)
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
    settings = {"z_dim": 2, "max_epochs": 80, "lr": 1e-2, "precision": "float32"}
    bounds = {
        prior: tiny(prior=prior, **settings)
        .fit(X)
        .score_samples(X, n_draws=50, importance_weighted=True)
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
    with pytest.raises(ValueError, match=r"free_bits=1.0 .*prior=Vamp.*prior='normal'"):
        tiny(prior="vamp", free_bits=1.0).fit(images)
    estimator = tiny(prior="mixture", warm_start=True).fit(images)
    with pytest.raises(ValueError, match=r"prior is now Vamp.*but training would go on"):
        estimator.set_params(prior="vamp").fit(images)

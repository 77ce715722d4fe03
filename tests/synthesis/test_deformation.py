"""Deformations: fields against moves done by hand, what is learnt, and from which pairs."""

import numpy as np
import pytest
import torch
from helpers import tiny
from skorch.callbacks import Callback

from sklearn_vae.input._rows import ArrayDataset
from sklearn_vae.input._spec import read_spec
from sklearn_vae.model._deformation_model import DeformationModel
from sklearn_vae.nn import MLP
from sklearn_vae.synthesis import _deformation
from sklearn_vae.synthesis._deformation import DeformationVAE, class_neighbors


def model(shape, z_dim=3):
    scaling = read_spec(np.zeros((1, *shape)), None).scaling(None, standardise=False)
    return DeformationModel(scaling, MLP((16,)), z_dim)


def blobs(n, rng, side=14):
    """Return round spots of one size, each somewhere."""
    centre = rng.uniform(4, side - 5, (n, 2, 1, 1))
    grid = np.stack(np.mgrid[:side, :side])
    return np.exp(-((grid - centre) ** 2).sum(1) / 8).astype(np.float32)


@pytest.fixture(scope="module")
def trained():
    rng = np.random.default_rng(0)
    X = blobs(300, rng)
    settings = {"z_dim": 2, "network": MLP((64,)), "max_epochs": 100, "lr": 5e-3}
    partners = rng.integers(0, 300, (300, 20))
    return DeformationVAE(tiny(**settings)).fit(ArrayDataset(X), partners), X, partners


@pytest.mark.parametrize("shape", [(10, 9), (9, 10, 3)])
def test_it_starts_next_to_no_deformation(shape):
    x = torch.rand(4, shape[2] if len(shape) == 3 else 1, *shape[:2])
    with torch.no_grad():
        moved = model(shape).deformed(x, torch.randn(4, 3))
    torch.testing.assert_close(moved, x, atol=0.15, rtol=0)


def test_an_even_field_shifts_the_image():
    shifting = model((10, 8))
    x = torch.rand(2, 1, 10, 8)
    with torch.no_grad():
        shifting.decoder[2].weight.zero_()
        shifting.decoder[2].bias.copy_(torch.tensor([2 / 8, 4 / 10]).repeat_interleave(49))
        moved = shifting.deformed(x, torch.zeros(2, 3))  # reads one column and two rows further on
    torch.testing.assert_close(moved[..., :-2, :-1], x[..., 2:, 1:])


def test_terms_are_those_of_the_pair(trained):
    vae, X, partners = trained
    pairs = torch.from_numpy(np.stack([X[:5], X[partners[:5, 0]]], 1))
    module = vae.module_
    with torch.no_grad():
        x = module.scaling(pairs)
        assert x.shape == (5, 2, 14, 14)
        q = module.posterior(x)
        noise = torch.randn(1, *q.loc.shape)
        terms = module(x, x, None, 1, noise)
        mean = module.deformed(x[:, :1], q.loc + q.scale * noise[0])
        expected = torch.distributions.Normal(mean, module.log_scale.exp()).log_prob(x[:, 1:])
    torch.testing.assert_close(terms.log_likelihood, expected.sum((1, 2, 3)))
    prior = torch.distributions.Normal(0.0, 1.0)
    torch.testing.assert_close(terms.kl, torch.distributions.kl_divergence(q, prior))


def test_it_learns_to_move_spots(trained):
    vae, X, partners = trained
    assert vae.history_[-1]["train_loss"] < vae.history_[0]["train_loss"]
    mean, std = vae.pair_posteriors(X, partners)
    assert mean.shape == std.shape == (300, 20, 2)
    assert (std > 0).all()
    moved = vae.generate(mean[:, 0], rows=X)
    target = X[partners[:, 0]]
    assert ((moved - target) ** 2).mean() < 0.2 * ((X - target) ** 2).mean()
    assert moved.shape == X.shape


def test_deformations_carry_over_to_other_images(trained):
    """What takes one spot to its neighbour takes another as far."""
    vae, X, partners = trained
    mean, _ = vae.pair_posteriors(X, partners)
    grid = np.stack(np.mgrid[:14, :14])

    def place(images):
        return (images[:, None] * grid).sum((2, 3)) / images.sum((1, 2))[:, None]

    went = place(X[partners[:, 0]]) - place(X)
    central = np.abs(place(X) - 6.5).max(1) < 1.5
    other = X[np.resize(np.flatnonzero(central), 300)]
    carried = place(vae.generate(mean[:, 0], rows=other)) - place(other)
    assert np.corrcoef(went.ravel(), carried.ravel())[0, 1] > 0.9


def test_partners_are_the_nearest_of_the_class(rng):
    X = rng.random((30, 4, 5))
    codes = np.array([0] * 20 + [1] * 4 + [2] + [-1] * 5)
    found = class_neighbors(X, codes, 6)
    flat = X.reshape(30, -1)
    for i in range(20):
        distance = ((flat[:20] - flat[i]) ** 2).sum(1)
        np.testing.assert_array_equal(found[i], np.argsort(distance)[1:7])
    for i in range(20, 24):  # three others only: they recur
        assert set(found[i]) == set(range(20, 24)) - {i}
        np.testing.assert_array_equal(found[i, :3], found[i, 3:])
    assert (found[24:] == -1).all()


def test_rows_without_partners_take_no_part(trained):
    _, X, partners = trained
    partners = np.where(np.arange(300)[:, None] < 100, partners % 100, -1)
    n_pairs = []

    class Counted(Callback):
        def on_train_begin(self, net, X=None, **kwargs):
            n_pairs.append(len(X))

    vae = DeformationVAE(tiny(callbacks=[Counted()])).fit(ArrayDataset(X), partners)
    assert n_pairs == [100]
    mean, std = vae.pair_posteriors(X, partners)
    assert (mean[100:] == 0).all()
    assert (std[100:] == 0).all()
    assert (std[:100] > 0).all()


def test_few_enough_pairs_are_kept(trained, monkeypatch):
    vae, X, partners = trained
    every, _ = vae.pair_posteriors(X, partners)
    monkeypatch.setattr(_deformation, "PAIRS", 700)  # for 300 rows
    mean, std = vae.pair_posteriors(X, partners)
    assert mean.shape == std.shape == (300, 2, 2)
    np.testing.assert_allclose(mean, every[:, [0, 19]], atol=1e-5)

"""Draws on line against the transformer's own reconstruction and posterior."""

import copy

import numpy as np
import pytest
import torch
from helpers import same_weights, tiny
from sklearn.frozen import FrozenEstimator

from sklearn_vae import VAEAugmenter
from sklearn_vae.augmentation import Augment
from sklearn_vae.input._rows import ArrayDataset
from sklearn_vae.synthesis import Deformation, DeformationViews, PosteriorViews


@pytest.fixture
def batch(images):
    return torch.tensor(images[:20], dtype=torch.float32)[:, None]


def test_without_spread_it_reconstructs(fitted, images, batch):
    views = PosteriorViews(FrozenEstimator(fitted), spread=0, residual=False)
    expected = fitted.reconstruct(images[:20])
    np.testing.assert_allclose(views(batch)[:, 0], expected, atol=1e-6)
    with_residual = PosteriorViews(fitted, spread=0)
    np.testing.assert_allclose(with_residual(batch), batch, atol=1e-6)


def test_draws_are_fresh_and_follow_the_posterior(fitted, images, batch):
    views = PosteriorViews(fitted, spread=2.0, residual=False)
    before = copy.deepcopy(fitted)
    torch.manual_seed(0)
    first, second = views(batch), views(batch)
    assert not torch.equal(first, second)
    torch.manual_seed(0)
    assert torch.equal(views(batch), first)
    mean, std = fitted.codec_.posterior(ArrayDataset(images[:20]))
    torch.manual_seed(0)
    noise = torch.randn(20, 3).numpy()
    expected = fitted.inverse_transform(mean + 2 * std * noise)
    np.testing.assert_allclose(first[:, 0], expected, atol=1e-5)
    assert same_weights(before, fitted)
    assert not list(views.parameters())
    assert not first.requires_grad


def test_rows_that_are_no_images(rng):
    X = rng.normal(100, 30, (40, 5))
    vae = tiny().fit(X)
    scaled = vae.module_.scaling(torch.from_numpy(X))
    views = PosteriorViews(vae, spread=0)
    np.testing.assert_allclose(views(scaled), scaled, atol=1e-5)


def test_what_cannot_work_is_refused(fitted):
    with pytest.raises(ValueError, match="spread"):
        PosteriorViews(fitted, spread=-1)
    with pytest.raises(Exception, match="not fitted"):
        PosteriorViews(tiny())


@pytest.fixture(scope="module")
def deforming(images):
    y = np.arange(len(images)) % 2
    return VAEAugmenter(vae=tiny(), method="deformation", n_new=1, random_state=0).fit(images, y)


def test_deformations_are_fresh_draws_from_the_prior(deforming, images, batch):
    views = DeformationViews(deforming, spread=2.0)
    before = copy.deepcopy(deforming.vae_)
    torch.manual_seed(0)
    first, second = views(batch), views(batch)
    assert not torch.equal(first, second)
    torch.manual_seed(0)
    codes = 2 * torch.randn(20, 3)
    expected = deforming.vae_.generate(codes.numpy(), rows=images[:20])
    np.testing.assert_allclose(first[:, 0], expected, atol=1e-6)
    assert same_weights(before, deforming.vae_)
    assert not list(views.parameters())
    assert not first.requires_grad


def test_deformations_take_the_spread_and_the_augmentation_of_their_augmenter(images, batch):
    y = np.arange(len(images)) % 2
    still = VAEAugmenter(
        vae=tiny(),
        method=Deformation(spread=0.0),
        augment=Augment(flip=True),
        n_new=1,
        random_state=0,
    ).fit(images, y)
    usual = still.vae_.generate(np.zeros((20, 3)), rows=images[:20])
    usual = torch.from_numpy(usual).float()[:, None]
    views = DeformationViews(still)(batch)
    same = (views - usual).abs().amax((1, 2, 3)) < 1e-5
    mirrored = (views - usual.flip(-1)).abs().amax((1, 2, 3)) < 1e-5
    assert torch.equal(same, ~mirrored)
    assert 0 < same.sum() < len(batch)
    still.set_params(augment=lambda x: x + 0.5)  # a callable sees one image at a time
    views = DeformationViews(still)(batch)
    torch.testing.assert_close(views, (usual + 0.5).clamp(max=1), atol=1e-5, rtol=0)


def test_only_an_augmenter_of_deformations_will_do(deforming, images):
    with pytest.raises(ValueError, match="spread"):
        DeformationViews(deforming, spread=-1)
    with pytest.raises(Exception, match="not fitted"):
        DeformationViews(VAEAugmenter(method="deformation"))
    for method in ("posterior", "bootstrap"):
        other = VAEAugmenter(vae=tiny(), method=method, n_new=1)
        with pytest.raises(ValueError, match=rf"method='{method}', which learns no deformations"):
            DeformationViews(other.fit(images, np.arange(len(images)) % 2))


@pytest.mark.parametrize("method", ["conditional", "deformation"])
def test_posterior_views_refuse_a_vae_of_another_kind(images, labels, method):
    augmenter = VAEAugmenter(vae=tiny(), method=method, n_new=1).fit(images, labels)
    with pytest.raises(TypeError, match="Pass a fitted VAETransformer"):
        PosteriorViews(augmenter.vae_)

"""A model with a linear base starts at the solution of probabilistic PCA."""

import copy
import pickle

import numpy as np
import pytest
import torch
from helpers import tiny
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

from sklearn_vae import VAEAugmenter, VAETransformer
from sklearn_vae.model import Gaussian
from sklearn_vae.nn import MLP, Conv, LinearBase, Patches

ROWS = load_digits().data[:400, 2:6].astype(np.float32)
IMAGES = load_digits().images[:200].astype(np.float32) / 16
STILL = {"lr": 1e-12, "max_epochs": 1, "network": LinearBase(MLP((16,)))}
"""Settings of a model that stays where it starts."""


def scaled(X):
    """Return rows as the model scales them."""
    moments = [((X - X.mean(0)) ** k).mean(0) for k in (2, 4)]
    return (X - X.mean(0)) / np.sqrt(moments[1] / moments[0] / 3)


def log_scales(X):
    return np.log((X - X.mean(0)).std(0) / scaled(X).std(0)).sum()


def test_the_bound_of_rows_is_the_log_likelihood_of_probabilistic_pca():
    vae = tiny(z_dim=2, **STILL).fit(ROWS)
    known = PCA(2).fit(scaled(ROWS)).score_samples(scaled(ROWS)) - log_scales(ROWS)
    assert_allclose(vae.score_samples(ROWS, n_draws=256).mean(), known.mean(), atol=0.01)


def test_a_linear_vae_keeps_the_likelihood_of_probabilistic_pca_in_training():
    vae = tiny(z_dim=2, network=LinearBase(MLP(())), max_epochs=20).fit(ROWS)
    known = PCA(2).fit(scaled(ROWS)).score(scaled(ROWS)) - log_scales(ROWS)
    assert vae.score(ROWS) == pytest.approx(known, abs=0.05)


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian", "bce+mse", "discretized-logistic"])
@pytest.mark.parametrize("network", [MLP((16,)), Conv((4, 4), batch_norm=True)])
def test_reconstructions_of_images_start_at_those_of_pca(likelihood, network):
    vae = tiny(z_dim=8, likelihood=likelihood, **{**STILL, "network": LinearBase(network)})
    error = np.square(vae.fit(IMAGES).reconstruct(IMAGES) - IMAGES).mean()
    pixels = IMAGES.reshape(len(IMAGES), -1)
    pca = PCA(8).fit(pixels)
    assert error < np.square(pca.inverse_transform(pca.transform(pixels)) - pixels).mean() * 1.02


def test_large_images_are_averaged_to_64_pixels_a_side_at_most():
    wide = np.random.default_rng(0).random((6, 70, 130), np.float32)
    vae = tiny(**STILL).fit(wide)
    assert vae.module_.base.small == (1, 24, 44)
    assert vae.reconstruct(wide).shape == wide.shape


def test_a_learnt_scale_starts_at_what_the_components_leave():
    pca = PCA(2).fit(scaled(ROWS))
    vae = tiny(z_dim=2, **STILL).fit(ROWS)
    scale = vae.module_.likelihood.log_scale.exp().item()
    assert scale**2 == pytest.approx(pca.noise_variance_, rel=0.01)


def test_a_fixed_scale_is_the_noise_of_the_start():
    vae = tiny(z_dim=2, likelihood=Gaussian(scale=0.9), **STILL).fit(ROWS)
    variance = PCA(2).fit(scaled(ROWS)).explained_variance_
    _, std = vae.codec_.posterior(vae.codec_.read(ROWS, names_of=vae))
    assert_allclose(std.mean(0) ** 2, 0.81 / variance, rtol=0.01)


@pytest.mark.parametrize(
    "X",
    [ROWS, ROWS[:3], np.ones((5, 4), np.float32), np.tile(ROWS[:2], (4, 1))],
    ids=["few columns", "few rows", "constant", "two different rows"],
)
def test_more_dimensions_than_components_start_as_without_a_base(X):
    vae = tiny(z_dim=7, **STILL).fit(X)
    assert np.isfinite(vae.score_samples(X)).all()
    assert np.isfinite(vae.fit_transform(X)).all()


@pytest.mark.parametrize(
    "settings",
    [
        {"posterior": "iaf"},
        {"prior": "vamp"},
        {"prior": "mixture"},
        {"likelihood": "discretized-logistic"},
        {"importance_samples": 2},
        {"network": Patches(LinearBase(Conv((4,), batch_norm=True)), n_filters=3, size=3)},
        {"features": "hidden"},
        {"precision": "bfloat16"},
    ],
    ids=str,
)
def test_the_base_goes_with_everything_else(settings, tmp_path):
    vae = tiny(**{"network": LinearBase(MLP((16,))), **settings}).fit(IMAGES)
    Z = vae.transform(IMAGES)
    assert np.isfinite(Z).all()
    assert_array_equal(clone(vae).fit_transform(IMAGES), Z)
    assert_array_equal(pickle.loads(pickle.dumps(vae)).transform(IMAGES), Z)
    vae.save_pretrained(tmp_path)
    loaded = VAETransformer.from_pretrained(tmp_path)
    assert loaded.network_ == vae.network_
    assert_array_equal(loaded.transform(IMAGES), Z)
    loaded.partial_fit(IMAGES)


def test_a_decoder_that_sees_the_classes_learns_them_beside_the_base():
    y = np.arange(len(IMAGES)) % 2
    augmenter = VAEAugmenter(
        vae=tiny(network=LinearBase(MLP((16,)))), method="conditional", n_new=3, random_state=0
    )
    X_new, _ = augmenter.fit_resample(IMAGES, y)
    assert len(X_new) == len(IMAGES) + 6


def test_further_training_keeps_the_components():
    vae = tiny(network=LinearBase(MLP((16,))), warm_start=True).fit(IMAGES)
    before = copy.deepcopy(vae.module_.base.components)
    assert torch.equal(vae.fit(IMAGES[:50]).module_.base.components, before)


def test_components_do_not_shift_what_else_is_random():
    plain, based = tiny(lr=1e-12).fit(IMAGES), tiny(**STILL).fit(IMAGES)
    assert_array_equal(
        plain.module_.encoder[1].weight.detach(), based.module_.encoder[1].weight.detach()
    )


def test_loading_takes_no_components(monkeypatch):
    vae = tiny(**STILL).fit(ROWS)
    monkeypatch.setattr("sklearn_vae.nn._linear_base.PCA", None)
    assert_array_equal(pickle.loads(pickle.dumps(vae)).transform(ROWS), vae.transform(ROWS))


@pytest.mark.parametrize("network", [None, "mlp", LinearBase(MLP((3,)))], ids=str)
def test_what_is_no_network_is_refused(network):
    with pytest.raises(ValueError, match=r"LinearBase\(network="):
        LinearBase(network)

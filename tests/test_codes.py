"""Codes of rows in the decoder's units, and which of their dimensions are in use."""

import pickle

import numpy as np
import pytest
from helpers import tiny
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

from sklearn_vae import VAETransformer
from sklearn_vae.augmentation._augment import NOISE, Noise, resolve_view
from sklearn_vae.nn import MLP, LinearBase

ROWS = load_digits().data[:400].astype(np.float32)
IMAGES = load_digits().images[:100].astype(np.float32) / 16
NOISE_ROWS = np.random.default_rng(0).normal(size=(500, 40)).astype(np.float32)
LINEAR = {"network": LinearBase(MLP((8,))), "lr": 1e-12, "max_epochs": 1}


def test_means_of_a_linear_model_are_proportional_to_scores_of_pca():
    vae = tiny(z_dim=4, **LINEAR).fit(ROWS)
    scaling = vae.module_.scaling
    scaled = (ROWS - scaling.loc.numpy()) / scaling.scale.numpy()
    pca = PCA(4).fit(scaled)
    noise = pca.noise_variance_ / pca.explained_variance_
    known = pca.transform(scaled) * (1 - noise)
    Z = vae.transform(ROWS)
    factors = (Z * known).sum(0) / np.square(known).sum(0)
    assert_allclose(Z, known * factors, atol=1e-3)
    assert_allclose(np.abs(factors), np.abs(factors[0]), rtol=1e-3)


def test_the_first_dimension_keeps_the_priors_units():
    scale = tiny(**LINEAR).fit(ROWS).module_.latent_scale
    assert scale.max() == 1
    assert scale.min() < 0.9


def test_scaled_codes_decode_to_the_reconstructions():
    vae = tiny(network=LinearBase(MLP((8,)))).fit(ROWS)
    assert_allclose(vae.inverse_transform(vae.transform(ROWS)), vae.reconstruct(ROWS), rtol=1e-4)


def test_standard_deviations_are_scaled_likewise():
    vae = tiny(features="mean+std", **LINEAR).fit(ROWS)
    loc, std = vae.codec_.posterior(vae.codec_.read(ROWS, names_of=vae))
    scale = vae.module_.latent_scale.numpy()
    assert_allclose(vae.transform(ROWS), np.hstack([loc * scale, std * scale]), rtol=1e-5)


@pytest.mark.parametrize("X", [IMAGES, (255 * IMAGES).astype(np.uint8).reshape(100, -1)])
def test_codes_of_images_and_of_grey_levels_keep_the_priors_units(X):
    assert_array_equal(tiny().fit(X).module_.latent_scale, np.ones(3))


def test_columns_that_seldom_change_count_for_less():
    rng = np.random.default_rng(0)
    normal, seldom = rng.normal(size=20_000), rng.random(20_000) < 0.01
    scaling = tiny(max_epochs=1, batch_size=4096).fit(np.c_[normal, seldom.astype(float)])
    scale = scaling.module_.scaling.scale.numpy()
    assert_allclose(scale[0], normal.std(), rtol=0.05)
    share = seldom.mean()
    kurtosis = (1 - 3 * share * (1 - share)) / (share * (1 - share))
    assert_allclose(scale[1], seldom.std() * np.sqrt(kurtosis / 3), rtol=1e-3)


def test_columns_in_other_units_have_the_same_codes():
    units = np.exp(np.random.default_rng(0).normal(size=64) * 3).astype(np.float32)
    Z, other = (tiny(**LINEAR).fit(X).transform(X) for X in (ROWS, ROWS * units + 5))
    assert_allclose(np.abs(Z), np.abs(other), atol=0.01)


def test_a_model_in_use_says_how_many_dimensions_are(tmp_path):
    vae = tiny(**LINEAR).fit(ROWS)
    assert vae.n_active_ == 3
    assert pickle.loads(pickle.dumps(vae)).n_active_ == 3
    vae.save_pretrained(tmp_path)
    assert VAETransformer.from_pretrained(tmp_path).n_active_ == 3


def test_a_collapsed_posterior_is_said_with_the_remedy():
    vae = tiny(network="mlp", beta=50.0, lr=0.01, max_epochs=20)
    with pytest.warns(UserWarning, match=r"n_active_=0.*without whitening.*lower beta"):
        vae.fit(NOISE_ROWS)
    assert vae.n_active_ == 0


def test_too_short_a_training_says_nothing():
    assert tiny(network="mlp", beta=50.0, max_epochs=5, lr=0.02).fit(NOISE_ROWS).n_active_ == 0


@pytest.mark.parametrize(
    "settings", [{"prior": "mixture"}, {"prior": "vamp"}, {"posterior": "iaf"}]
)
def test_other_priors_and_posteriors_tell_their_dimensions_too(settings):
    assert tiny(**settings, **LINEAR).fit(ROWS).n_active_ == 3


@pytest.mark.parametrize(("augment", "scale"), [("auto", NOISE), (2, 2 * NOISE), (0, None)])
def test_the_view_of_rows_is_noisy(augment, scale):
    view = resolve_view(augment, (5,), bounded=False)
    assert view == (None if scale is None else Noise(scale))
    assert resolve_view("auto", (5,), bounded=True) is None

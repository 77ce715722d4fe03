"""VAEDetector: each score against its definition, what it finds, what it refuses."""

import joblib
import numpy as np
import pytest
import torch
from helpers import synthetic_images, tiny
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.svm import SVC

from sklearn_vae import VAEDetector
from sklearn_vae._detector import METHODS


@pytest.fixture(scope="module")
def images():
    return synthetic_images(120, 8, 8)


@pytest.fixture(scope="module")
def vae(images):
    return tiny(max_epochs=20, lr=1e-2).fit(images)


def detector(vae, **params):
    return VAEDetector(FrozenEstimator(vae), **params)


def parts(vae, X):
    """Return x, its reconstruction and the posterior, flat, by another path."""
    x = torch.from_numpy(X.reshape(len(X), 1, 8, 8))
    with torch.no_grad():
        q = vae.module_.posterior(x)
    flat = X.reshape(len(X), -1)
    return flat, vae.reconstruct(X).reshape(len(X), -1), q.loc.numpy(), q.scale.numpy()


def log_normal(T):
    """Of independent columns: what a mixture is for fewer rows than two a column."""
    z = (T - T.mean(0)) / T.std(0)
    return -0.5 * (z**2 / 1.001 + np.log(2 * np.pi * 1.001)).sum(1)


def test_path_is_the_density_of_what_the_way_leaves(images, vae):
    few = images[:13]
    x, x_hat, mu, sigma = parts(vae, few)
    lost = np.linalg.norm(x - x_hat, axis=1)[:, None]
    found = detector(vae).fit(few).score_samples(few)
    assert_allclose(found, log_normal(np.hstack([mu, np.log(sigma), np.log(lost)])), rtol=1e-3)


def test_the_density_is_a_mixture_where_there_are_rows_for_it(images, vae):
    fitted = detector(vae).fit(images)
    T = fitted._statistics(vae, images)
    T = (T - T.mean(0)) / T.std(0)
    mixture = fitted.density_[-1]
    assert mixture.means_.shape == (120 // 14, 7)
    by_hand = [
        np.log(w) + multivariate_normal(m, C).logpdf(T)
        for w, m, C in zip(mixture.weights_, mixture.means_, mixture.covariances_, strict=True)
    ]
    assert_allclose(fitted.score_samples(images), logsumexp(by_hand, axis=0), rtol=1e-6)


def test_the_other_scores_are_what_they_say(images, vae):
    x, x_hat, _, _ = parts(vae, images)
    found = {m: detector(vae, method=m).fit(images).score_samples(images) for m in METHODS}
    assert_array_equal(found["elbo"], vae.score_samples(images))
    assert_allclose(found["reconstruction"], -((x - x_hat) ** 2).mean(1), rtol=1e-4)
    _, _, mu, _ = parts(vae, images[:5])
    scores = detector(vae, method="latent").fit(images[:5]).score_samples(images[:5])
    assert_allclose(scores, log_normal(mu), rtol=1e-3)


@pytest.mark.parametrize("method", METHODS)
def test_contamination_sets_the_offset_only(images, vae, method):
    few = detector(vae, method=method, contamination=0.05).fit(images)
    many = detector(vae, method=method, contamination=0.25).fit(images)
    assert_array_equal(few.score_samples(images), many.score_samples(images))
    assert (few.predict(images) == -1).sum() == 6
    assert (many.predict(images) == -1).sum() == 30
    assert_array_equal(few.decision_function(images), few.score_samples(images) - few.offset_)


@pytest.mark.parametrize("method", METHODS)
def test_noise_is_found(images, vae, method):
    noise = np.random.default_rng(0).random(images.shape).astype(np.float32)
    scores = detector(vae, method=method).fit(images).score_samples(np.concatenate([images, noise]))
    normal = np.repeat([1, 0], len(images))
    assert roc_auc_score(normal, scores) > 0.7


def test_simpler_images_than_the_training_data_are_found_by_the_path_alone():
    """The known failure of likelihoods: flat images score higher than those trained on."""
    rng = np.random.default_rng(0)
    X = (rng.random((300, 8, 8)) < 0.5).astype(np.float32) * 0.5 + 0.25
    flat = np.full((50, 8, 8), 0.5, np.float32) + 0.01 * rng.random((50, 8, 8), np.float32)
    vae = tiny(max_epochs=20, lr=1e-2, likelihood="gaussian").fit(X)
    normal = np.repeat([1, 0], [300, 50])
    area = {
        m: roc_auc_score(
            normal, detector(vae, method=m).fit(X).score_samples(np.concatenate([X, flat]))
        )
        for m in ("elbo", "path")
    }
    assert area["elbo"] < 0.1
    assert area["path"] > 0.95


def test_the_error_map_shows_the_defect(images, vae):
    spoilt = images.copy()
    spoilt[:, 2:4, 5:7] = 1 - spoilt[:, 2:4, 5:7]
    found = detector(vae).fit(images)
    change = found.error_map(spoilt) - found.error_map(images)
    assert change.shape == images.shape
    assert change[:, 2:4, 5:7].mean() > 10 * np.abs(change).mean(0)[5:].mean()
    mean = found.error_map(images).reshape(len(images), -1).mean(1)
    scores = detector(vae, method="reconstruction").fit(images).score_samples(images)
    assert_allclose(-mean, scores, rtol=1e-5)


def test_colour_maps_are_means_over_channels():
    X = synthetic_images(30, 8, 8, 3, dtype="uint8")
    found = VAEDetector(tiny()).fit(X)
    assert found.error_map(X).shape == (30, 8, 8)
    assert found.error_map(X).max() <= 1


def test_a_template_stays_as_it_is_and_a_frozen_vae_is_used_as_it_is(images, vae):
    template = tiny()
    fitted = VAEDetector(template).fit(images)
    assert not hasattr(template, "module_")
    assert fitted.vae_ is not template
    assert detector(vae).fit(images).vae_ is vae


def test_the_seed_reaches_a_vae_without_one(images):
    template = tiny(random_state=None)
    a, b, c = (VAEDetector(template, random_state=s).fit(images) for s in (0, 0, 1))
    assert_array_equal(a.score_samples(images), b.score_samples(images))
    assert (a.score_samples(images) != c.score_samples(images)).any()


def test_files(images, vae, tmp_path):
    fitted = detector(vae).fit(images)
    again = joblib.load(joblib.dump(fitted, tmp_path / "detector.joblib")[0])
    assert_allclose(again.decision_function(images), fitted.decision_function(images), rtol=1e-6)


def test_a_grid_search_over_both(images):
    y = np.r_[np.ones(100), -np.ones(20)]
    search = GridSearchCV(
        VAEDetector(tiny()),
        {"vae__z_dim": [2, 3], "method": ["path", "elbo"]},
        scoring="roc_auc",
        cv=StratifiedKFold(2),
    ).fit(images, y)
    assert search.best_estimator_.vae_.z_dim == search.best_params_["vae__z_dim"]


def test_what_cannot_work_is_refused(images, vae):
    with pytest.raises(TypeError, match="holds no VAETransformer"):
        VAEDetector(FrozenEstimator(SVC().fit([[0], [1]], [0, 1]))).fit(images)
    fitted = detector(vae).fit(images)
    with pytest.raises(ValueError, match=r"'elbo', but offset_ was learnt with 'path'"):
        fitted.set_params(method="elbo").predict(images)
    rows = VAEDetector(tiny()).fit(np.random.default_rng(0).normal(size=(40, 5)))
    with pytest.raises(ValueError, match=r"rows of 5 values.*image_shape"):
        rows.error_map(np.zeros((2, 5)))


def test_a_failed_fit_leaves_the_detector_as_it_was(images):
    fitted = VAEDetector(tiny()).fit(images)
    before = fitted.decision_function(images)
    with pytest.raises(ValueError, match="NaN"):
        fitted.fit(np.full_like(images, np.nan))
    assert_array_equal(fitted.decision_function(images), before)

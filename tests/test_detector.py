"""VAEDetector: each score against its definition, what it finds, what it refuses."""

import joblib
import numpy as np
import pytest
import torch
from helpers import synthetic_images, tiny
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import logsumexp
from scipy.stats import multivariate_normal, norm
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.svm import SVC

from sklearn_vae import VAEDetector
from sklearn_vae._density import Density
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


def in_spreads(log_density):
    """In units of the median absolute deviation of a normal, from the median."""
    centred = log_density - np.median(log_density)
    return centred / np.median(np.abs(centred)) * norm.ppf(0.75)


def log_normal(T):
    """Of independent columns: what a mixture is for fewer rows than two a column."""
    z = (T - T.mean(0)) / T.std(0)
    return in_spreads(-0.5 * (z**2 / 1.001).sum(1))


def rms(X):
    return np.sqrt((X.reshape(len(X), -1) ** 2).mean(1))


def smooth(image):
    """Means of 3 x 3 neighbourhoods, or of what of them there is."""
    cut = [image[max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2] for i, j in np.ndindex(8, 8)]
    return np.reshape([part.mean() for part in cut], (8, 8))


def gradient(X):
    steps = np.diff(X, axis=1), np.diff(X, axis=2)
    return np.hstack([step.reshape(len(X), -1) for step in steps])


def test_path_is_the_lower_density_of_code_and_sizes(images, vae):
    few = images[:13]
    x, x_hat, mu, sigma = parts(vae, few)
    code = np.hstack([mu, np.log(sigma), np.log(rms(x - x_hat))[:, None]])
    x, x_hat = x.reshape(-1, 8, 8), x_hat.reshape(-1, 8, 8)
    sizes = [
        *(x - x_hat, mu, sigma, (x - x_hat).reshape(-1, 2, 4, 2, 4).mean((2, 4))),
        *(gradient(x), gradient(x_hat), x - [smooth(image) for image in x]),
        x - x.mean((1, 2), keepdims=True),
    ]
    sizes = np.stack([*(np.log(rms(v)) for v in sizes), x.mean((1, 2))], 1)
    expected = np.minimum(log_normal(code), log_normal(sizes))
    assert 0 < (log_normal(code) < log_normal(sizes)).mean() < 1
    assert_allclose(detector(vae).fit(few).score_samples(few), expected, rtol=0.01, atol=0.01)


def test_the_density_is_a_mixture_where_there_are_rows_for_it():
    X = np.random.default_rng(0).gamma(2, size=(120, 7))
    density = Density().fit(X)
    mixture = density.mixture_
    assert mixture.means_.shape == (120 // 14, 7)
    Z = (X - X.mean(0)) / X.std(0)
    by_hand = [
        np.log(w) + multivariate_normal(m, C).logpdf(Z)
        for w, m, C in zip(mixture.weights_, mixture.means_, mixture.covariances_, strict=True)
    ]
    assert_allclose(density.score_samples(X), in_spreads(logsumexp(by_hand, axis=0)), rtol=1e-5)


@pytest.mark.filterwarnings("ignore:Number of distinct clusters")  # which is as it should be
def test_equal_rows_have_a_density():
    X = np.repeat(np.random.default_rng(0).normal(size=(1, 3)), 20, axis=0)
    assert_allclose(Density().fit(X).score_samples(X), 0, atol=1e-6)


def test_the_other_scores_are_what_they_say(images, vae):
    x, x_hat, _, _ = parts(vae, images)
    found = {m: detector(vae, method=m).fit(images).score_samples(images) for m in METHODS}
    assert_array_equal(found["elbo"], vae.score_samples(images))
    assert_allclose(found["reconstruction"], -((x - x_hat) ** 2).mean(1), rtol=1e-4)
    _, _, mu, _ = parts(vae, images[:5])
    scores = detector(vae, method="latent").fit(images[:5]).score_samples(images[:5])
    assert_allclose(scores, log_normal(mu), rtol=1e-3, atol=1e-3)


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


@pytest.mark.parametrize("method", ["path", "elbo", "reconstruction", "latent"])
def test_values_beyond_all_numbers_are_outliers(method):
    X = np.random.default_rng(0).normal(size=(100, 3))
    detector = VAEDetector(tiny(), method=method).fit(X)
    far = np.concatenate([X[:2], [[1e39] * 3, [1e30] * 3, [1e20, 0, 0]]])
    assert (detector.score_samples(far)[2:] < detector.score_samples(X).min()).all()
    assert detector.predict(far)[2:].tolist() == [-1, -1, -1]
    assert_array_equal(detector.predict(far)[:2], detector.predict(X[:2]))


def test_integers_far_from_zero_are_told_apart():
    rng = np.random.default_rng(0)
    X = np.stack([1_700_000_000 + rng.integers(-60, 60, 300), rng.integers(0, 9, 300)], 1)
    detector = VAEDetector(tiny(max_epochs=30, lr=1e-2), method="elbo").fit(X)
    assert_allclose(detector.score_samples(X), detector.score_samples(X.astype(float)), rtol=1e-6)
    near, far = detector.score_samples(np.array([[1_700_000_000, 4], [1_700_000_050, 4]]))
    assert near != far


def test_a_failed_fit_leaves_the_detector_as_it_was(images):
    fitted = VAEDetector(tiny()).fit(images)
    before = fitted.decision_function(images)
    with pytest.raises(ValueError, match="NaN"):
        fitted.fit(np.full_like(images, np.nan))
    assert_array_equal(fitted.decision_function(images), before)

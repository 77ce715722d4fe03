"""VAEClassifier: -1 by scikit-learn's convention, what it nests in, what it refuses."""

import copy
from dataclasses import replace

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from helpers import synthetic_images, tiny
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from sklearn_vae import LabelledSplit, VAEClassifier, VAEDetector


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    X, y = X[y < 4].astype(np.float32) / 16, y[y < 4]
    return X.reshape(-1, 8, 8), y


@pytest.fixture(scope="module")
def few(digits):
    _, y = digits
    labels = np.full(len(y), -1)
    labels[:24] = y[:24]
    return labels


@pytest.fixture(scope="module")
def vae(digits):
    X, _ = digits
    return tiny(z_dim=8, max_epochs=150, lr=1e-2, likelihood="gaussian").fit(X)


@pytest.fixture(scope="module")
def fitted(digits, few, vae):
    return VAEClassifier(FrozenEstimator(vae), random_state=0).fit(digits[0], few)


def test_minus_one_is_never_predicted_and_never_scored(digits, few, fitted):
    X, y = digits
    found = fitted.predict(X)
    assert_array_equal(fitted.classes_, [0, 1, 2, 3])
    assert set(found) == {0, 1, 2, 3}
    assert fitted.n_unlabelled_ == (few == -1).sum()
    assert (found == y).mean() > 0.9
    assert fitted.score(X, few) == (found == few)[few >= 0].mean()
    weights = np.arange(len(X))
    expected = np.average(found == y, weights=weights)
    assert fitted.score(X, y, sample_weight=weights) == pytest.approx(expected)


def test_unlabelled_rows_help(digits, few, fitted, vae):
    """One label a class, averaged over draws: ahead of the same heads without the other rows."""
    X, y = digits
    both = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        known = np.array([rng.choice(np.flatnonzero(y == c)) for c in range(4)])
        labels = np.full(len(y), -1)
        labels[known] = y[known]
        ours = VAEClassifier(FrozenEstimator(vae), random_state=0).fit(X, labels)
        head = SVC().fit(vae.transform(X[known]), y[known])
        both.append((ours.score(X, y), head.score(vae.transform(X), y)))
    ours, head = np.mean(both, 0)
    assert ours > head + 0.02


def test_probabilities_are_those_of_held_out_labels(digits, vae):
    X, y = digits
    labels = np.where(np.arange(len(y)) < 200, y, -1)
    classifier = VAEClassifier(FrozenEstimator(vae), random_state=0).fit(X, labels)
    sure = classifier.predict_proba(X[200:]).max(1).mean()
    assert abs(sure - classifier.score(X[200:], y[200:])) < 0.06


def test_probabilities_agree_with_predictions(digits, fitted):
    X, _ = digits
    p = fitted.predict_proba(X)
    assert_allclose(p.sum(1), 1)
    assert_array_equal(fitted.classes_[p.argmax(1)], fitted.predict(X))
    assert_allclose(fitted.predict_log_proba(X), np.log(p))


def test_log_probabilities_are_finite_where_probabilities_are_0(fitted, digits):
    sure = copy.deepcopy(fitted)
    sure.pool_ = replace(sure.pool_, weights=sure.pool_.weights * 1e5)
    X, _ = digits
    assert (sure.predict_proba(X) == 0).any()
    assert np.isfinite(sure.predict_log_proba(X)).all()


def test_without_minus_one_it_is_supervised(digits, vae):
    X, y = digits
    classifier = VAEClassifier(FrozenEstimator(vae)).fit(X[:500], y[:500])
    assert classifier.n_unlabelled_ == 0
    head = LogisticRegression().fit(vae.transform(X[:500]), y[:500])
    assert classifier.score(X[500:], y[500:]) >= head.score(vae.transform(X[500:]), y[500:])


def test_a_template_is_trained_on_all_rows_and_seeded(digits, few):
    X, _ = digits
    template = tiny(random_state=None)
    first, again = (VAEClassifier(template, random_state=0).fit(X, few) for _ in range(2))
    assert_array_equal(first.predict_proba(X), again.predict_proba(X))
    assert first.vae_ is not template
    assert not hasattr(template, "codec_")
    assert first.vae_.n_samples_seen_ == 2 * len(X)


def test_a_frozen_vae_is_used_as_it_is(digits, few, vae, fitted):
    assert fitted.vae_ is vae
    with pytest.raises(TypeError, match="holds no VAETransformer"):
        VAEClassifier(FrozenEstimator(VAEDetector(tiny()).fit(digits[0]))).fit(*digits)


def test_labels_shape_the_vae_where_it_takes_them(digits, few):
    classifier = VAEClassifier(tiny(label_weight=1.0)).fit(digits[0], few)
    assert_array_equal(classifier.vae_.classes_, [0, 1, 2, 3])
    assert_array_equal(classifier.weights_, [0.5, 0.1])  # no label was held out


def test_names_are_labels(digits, few, vae):
    X, y = digits
    names = np.array(["zero", "one", "two", "three"], dtype=object)
    text = names[few]
    text[few == -1] = -1
    classifier = VAEClassifier(FrozenEstimator(vae), random_state=0).fit(X, text)
    assert classifier.classes_.tolist() == ["one", "three", "two", "zero"]
    assert set(classifier.predict(X)) == set(names)
    assert classifier.score(X, names[y]) > 0.9
    assert classifier.score(X, text) > 0.9


@pytest.mark.parametrize("container", ["tensor", "frame", "flat", "uint8"])
def test_containers_are_those_of_the_vae(digits, few, container):
    X, _ = digits
    if container == "tensor":
        X = torch.from_numpy(X)
    elif container == "uint8":
        X = (X * 255).astype(np.uint8)
    elif container == "frame":
        X = pd.DataFrame(X.reshape(len(X), -1)).add_prefix("p")
    else:
        X = X.reshape(len(X), -1)
    vae = tiny(image_shape=(8, 8)) if container in ("frame", "flat") else tiny()
    classifier = VAEClassifier(vae).fit(X, few)
    assert classifier.n_features_in_ == 64
    assert hasattr(classifier, "feature_names_in_") == (container == "frame")
    assert classifier.predict_proba(X).shape == (len(X), 4)


def test_rows_have_a_plain_head_of_their_own(digits, few):
    """Whatever the VAE makes of the rows, the head sees their columns, standardised."""
    X, y = digits
    rows = X.reshape(len(X), -1)
    collapsed = tiny(beta=1e4, max_epochs=5)
    classifier = VAEClassifier(collapsed, random_state=0).fit(rows, few)
    assert classifier.pool_.plain.coef.shape == (64, 4)
    assert classifier.pool_.mixture.coef.shape == (3, 4)
    assert classifier.score(rows, y) > 0.8


def test_a_grid_search_over_the_vae_behind_a_step(digits, few):
    rows = digits[0].reshape(len(few), -1)
    model = make_pipeline(StandardScaler(), VAEClassifier(tiny(), random_state=0))
    grid = {"vaeclassifier__vae__z_dim": [2, 4]}
    search = GridSearchCV(model, grid, cv=LabelledSplit(2)).fit(rows, few)
    assert search.best_estimator_[-1].vae_.z_dim in (2, 4)
    assert (search.cv_results_["mean_test_score"] > 0.5).all()
    folds = cross_val_score(clone(model), rows, few, cv=LabelledSplit(3), error_score="raise")
    assert len(folds) == 3


def test_it_is_pickled(digits, fitted, tmp_path):
    X, _ = digits
    joblib.dump(fitted, tmp_path / "classifier.joblib")
    loaded = joblib.load(tmp_path / "classifier.joblib")
    assert_array_equal(loaded.predict_proba(X), fitted.predict_proba(X))


@pytest.mark.parametrize(
    "change, match",
    [
        (lambda y: np.full_like(y, -1), "y has no class: all rows are -1"),
        (lambda y: np.zeros_like(y), "one class"),
        (lambda y: np.where(y == 0, 0, -1), "one class only, 0, beside -1"),
        (lambda y: y[:-1], "samples, but y has shape"),
        (lambda y: np.where(y == 0, np.nan, y), "missing values"),
        (lambda y: None, "y is None"),
        (lambda y: np.eye(4)[y], "one-hot"),
    ],
)
def test_what_cannot_work_is_refused_and_leaves_the_fit(digits, few, vae, change, match):
    X, y = digits
    classifier = VAEClassifier(FrozenEstimator(vae)).fit(X, few)
    before = classifier.__dict__.copy()
    for part in (FrozenEstimator(vae), tiny(max_epochs=10**6)):  # before any training
        with pytest.raises(ValueError, match=match):
            classifier.set_params(vae=part).fit(X, change(y))
        assert {**classifier.__dict__, "vae": before["vae"]} == before


def test_later_rows_have_to_be_as_the_fitted_ones(fitted):
    with pytest.raises(ValueError, match=r"\(8, 8\)"):
        fitted.predict(synthetic_images(5, 9, 9))
    with pytest.raises(ValueError, match="y has no class"):
        fitted.score(synthetic_images(5, 8, 8), np.full(5, -1))


def test_weights_are_one_for_each_row(digits, fitted):
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        fitted.score(*digits, sample_weight=np.ones(3))


@pytest.mark.parametrize("far", [1e30, 3e38, 1e300])
def test_rows_beyond_all_others_have_probabilities_too(digits, few, far):
    rows = digits[0].reshape(len(few), -1).astype(float)
    p = VAEClassifier(tiny(likelihood="gaussian")).fit(rows, few).predict_proba(rows[:3] * far)
    assert_allclose(p.sum(1), 1)


def test_wide_features_go_through(digits, few):
    X, y = digits
    classifier = VAEClassifier(tiny(features="mean+std")).fit(X, few)
    assert classifier.pool_.mixture.coef.shape == (6, 4)
    assert classifier.predict(X).shape == y.shape

"""scikit-learn's and imbalanced-learn's own checks, on every public estimator in every role."""

from dataclasses import dataclass
from math import prod

import pytest
import torch
from imblearn.utils import estimator_checks as imblearns
from sklearn.svm import SVC, LinearSVC
from sklearn.utils.estimator_checks import estimator_checks_generator, parametrize_with_checks
from torch import nn

from sklearn_vae import (
    BackboneTransformer,
    VAEAugmenter,
    VAEClassifier,
    VAEDetector,
    VAETransformer,
)
from sklearn_vae.detection._statistics import STATISTICS as DETECTING
from sklearn_vae.nn import MLP, Network
from sklearn_vae.synthesis import METHODS


@dataclass(frozen=True)
class Linear(Network):
    """A user's own network."""

    takes_vectors = True

    def encoder(self, shape):
        return nn.Linear(prod(shape), 4)

    def decoder(self, z_dim, shape):
        return nn.Linear(z_dim, prod(shape))


class AnyRows(nn.Module):
    """A frozen network for rows of any length; without tensors, which joblib cannot compare."""

    def forward(self, x):
        steps = torch.arange(x.shape[1], dtype=x.dtype)
        return torch.tanh(x @ torch.stack([(k * steps).cos() for k in range(4)], 1))


QUICK = {"z_dim": 2, "max_epochs": 2, "batch_size": 32, "device": "cpu"}

ESTIMATORS = [
    VAETransformer(**QUICK, network="auto"),
    VAETransformer(**QUICK, network="mlp", features="hidden"),
    VAETransformer(**QUICK, network=MLP(hidden=(8,)), features="mean+std", patience=1),
    VAETransformer(**QUICK, network=Linear(), lr_schedule="constant", optimizer="sgd"),
    VAETransformer(**QUICK, network=MLP(hidden=(8,)), label_weight=1.0),
    BackboneTransformer(AnyRows(), device="cpu", precision="float32"),
]

VAE = VAETransformer(**QUICK, network=MLP(hidden=(8,)))

AUGMENTED = [  # n_new: most checks have classes of one size, which "balance" leaves alone
    VAEAugmenter(SVC(), vae=VAE, n_new=0.5),
    VAEAugmenter(LinearSVC(), vae=VAE, n_new=3, method="conditional"),
]

MINUS_ONE = {"check_classifiers_classes": "it takes -1 for a class; here it marks unlabelled rows"}

ON_ROWS = [method for method in METHODS if method != "deformation"]  # that one is for images
SAMPLERS = [VAEAugmenter(vae=VAE, method=method, random_state=0) for method in ON_ROWS]


@parametrize_with_checks(ESTIMATORS)
def test_sklearn_checks(estimator, check):
    check(estimator)


@parametrize_with_checks(AUGMENTED, expected_failed_checks=lambda _: MINUS_ONE)
def test_sklearn_checks_on_augmented_classifiers(estimator, check):
    check(estimator)


@parametrize_with_checks([VAEClassifier(VAE)], expected_failed_checks=lambda _: MINUS_ONE)
def test_sklearn_checks_on_the_classifier(estimator, check):
    check(estimator)


@parametrize_with_checks([VAEDetector(VAE)])
def test_sklearn_checks_on_the_detector(estimator, check):
    check(estimator)


SCORING = {
    *("check_dict_unchanged", "check_dtype_object", "check_estimators_dtypes"),
    *("check_estimators_pickle", "check_fit2d_predict1d", "check_fit_idempotent"),
    *("check_methods_sample_order_invariance", "check_methods_subset_invariance"),
    *("check_n_features_in_after_fitting", "check_outliers_fit_predict", "check_outliers_train"),
}
"""Checks that ask for scores: all else of a detector is the same for each of its methods."""


@pytest.mark.parametrize(
    "estimator, check",
    [
        pytest.param(estimator, check, id=f"{method}-{check.func.__name__}")
        for method in DETECTING
        if method != VAEDetector(VAE).method
        for estimator, check in estimator_checks_generator(VAEDetector(VAE, method=method))
        if check.func.__name__ in SCORING and not check.keywords.get("readonly_memmap")
    ],
)
def test_sklearn_checks_of_scores_on_the_other_methods(estimator, check):
    check(estimator)


@parametrize_with_checks([VAEAugmenter(vae=VAE, n_new=0.5)])
def test_sklearn_checks_on_the_sampler(estimator, check):
    check(estimator)


@pytest.mark.filterwarnings("ignore:n_new='balance' asks for no:UserWarning")  # as some checks do
# imbalanced-learn's own decorator passes a generator on, which pytest is about to refuse.
@pytest.mark.parametrize(
    "estimator, check",
    [
        pytest.param(estimator, check, id=f"{estimator}-{check.func.__name__}")
        for each in SAMPLERS + AUGMENTED
        for estimator, check in imblearns.estimator_checks_generator(each)
    ],
)
def test_imblearn_checks(estimator, check):
    check(estimator)

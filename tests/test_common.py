"""scikit-learn's own checks, on every public estimator, in each network that takes vectors."""

from dataclasses import dataclass
from math import prod

from sklearn.utils.estimator_checks import parametrize_with_checks
from torch import nn

from sklearn_vae import VAETransformer
from sklearn_vae.nn import MLP, Network


@dataclass(frozen=True)
class Linear(Network):
    """A user's own network."""

    takes_vectors = True

    def encoder(self, shape):
        return nn.Linear(prod(shape), 4)

    def decoder(self, z_dim, shape):
        return nn.Linear(z_dim, prod(shape))


QUICK = {"z_dim": 2, "max_epochs": 2, "batch_size": 32, "device": "cpu"}

ESTIMATORS = [
    VAETransformer(**QUICK, network="auto"),
    VAETransformer(**QUICK, network="mlp", features="hidden"),
    VAETransformer(**QUICK, network=MLP(hidden=(8,)), features="mean+std", patience=1),
    VAETransformer(**QUICK, network=Linear(), lr_schedule="constant", optimizer="sgd"),
]


@parametrize_with_checks(ESTIMATORS)
def test_sklearn_checks(estimator, check):
    check(estimator)

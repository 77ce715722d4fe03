"""scikit-learn's own checks, on every public estimator, in each network that takes vectors."""

from sklearn.utils.estimator_checks import parametrize_with_checks
from torch import nn

from sklearn_vae import VAETransformer
from sklearn_vae.nn import MLP

QUICK = {"z_dim": 2, "max_epochs": 2, "batch_size": 32, "device": "cpu"}

ESTIMATORS = [
    VAETransformer(**QUICK, network="auto"),
    VAETransformer(**QUICK, network="mlp", features="hidden"),
    VAETransformer(**QUICK, network=MLP(hidden=(8,)), features="mean+std", patience=1),
    VAETransformer(**QUICK, network=(nn.Sequential(nn.LazyLinear(8), nn.Tanh()), nn.LazyLinear(3))),
]


@parametrize_with_checks(ESTIMATORS)
def test_sklearn_checks(estimator, check):
    check(estimator)

"""The VAE as a torch module: likelihoods, posterior and prior, and the terms of its bound."""

from ._elbo import ELBOTerms, NegativeELBO
from ._labels import label_loss
from ._likelihoods import (
    BCEMSE,
    LIKELIHOODS,
    Bernoulli,
    DiscretizedLogistic,
    Gaussian,
    Likelihood,
)
from ._priors import PRIORS, Mixture, Prior, StandardNormal, Vamp
from ._vae import VAE

__all__ = [
    "BCEMSE",
    "LIKELIHOODS",
    "PRIORS",
    "VAE",
    "Bernoulli",
    "DiscretizedLogistic",
    "ELBOTerms",
    "Gaussian",
    "Likelihood",
    "Mixture",
    "NegativeELBO",
    "Prior",
    "StandardNormal",
    "Vamp",
    "label_loss",
]

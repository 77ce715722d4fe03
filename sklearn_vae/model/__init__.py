"""The VAE as a torch module: likelihoods, posterior and prior, and the terms of its bound."""

from ._contrastive_loss import contrastive_loss
from ._elbo import ELBOTerms, NegativeELBO
from ._label_loss import label_loss
from ._likelihoods import BCEMSE, LIKELIHOODS, Bernoulli, DiscretizedLogistic, Gaussian, Likelihood
from ._posteriors import (
    IAF,
    POSTERIORS,
    DiagonalNormal,
    NormalPosterior,
    Posterior,
    PosteriorFamily,
)
from ._priors import PRIORS, Mixture, Prior, StandardNormal, Vamp
from ._recipe import VAERecipe
from ._vae import VAE

__all__ = [
    "BCEMSE",
    "IAF",
    "LIKELIHOODS",
    "POSTERIORS",
    "PRIORS",
    "VAE",
    "Bernoulli",
    "DiagonalNormal",
    "DiscretizedLogistic",
    "ELBOTerms",
    "Gaussian",
    "Likelihood",
    "Mixture",
    "NegativeELBO",
    "NormalPosterior",
    "Posterior",
    "PosteriorFamily",
    "Prior",
    "StandardNormal",
    "VAERecipe",
    "Vamp",
    "contrastive_loss",
    "label_loss",
]

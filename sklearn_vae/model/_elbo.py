"""The terms of the evidence lower bound (ELBO), kept per sample and reduced once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn


@dataclass
class ELBOTerms:
    """The two terms of the bound ``log p(x) >= E_q[log p(x|z)] - KL(q(z|x) || p(z))``, in nats.

    Attributes
    ----------
    log_likelihood : Tensor of shape (n,)
        ``log p(x|z)`` at one draw z from the posterior.
    kl : Tensor of shape (n, z_dim) or (n, 1)
        Divergence of the posterior from the prior; per latent dimension where these are
        independent.
    logits : Tensor of shape (m, n_labels) or None
        What the class head makes of the posterior mean, for models that have one. m exceeds n by
        the rows that were encoded for their labels, or as second views, only.
    means : Tensor of shape (m, z_dim) or None
        The posterior means, where m exceeds n.
    """

    log_likelihood: Tensor
    kl: Tensor
    logits: Tensor | None = None
    means: Tensor | None = None

    def elbo(self) -> Tensor:
        """Return the bound per sample, shape (n,)."""
        return self.log_likelihood - self.kl.sum(1)

    @cached_property
    def mean_log_likelihood(self) -> Tensor:
        """The batch's mean, a scalar."""
        return self.log_likelihood.mean()

    @cached_property
    def mean_kl(self) -> Tensor:
        """The batch's mean of the sum over dimensions, a scalar."""
        return self.kl.sum(1).mean()


class NegativeELBO(nn.Module):
    """The training objective: minus the mean ELBO, with the usual handles on its KL term.

    Parameters
    ----------
    beta : float, default=1.0
        Weight of the KL term, 0 or more [1]_. 1 is the ELBO itself.
    free_bits : float, default=0.0
        Nats per latent dimension, 0 or more, that cost nothing: each dimension's mean KL over the
        batch counts as at least this much [2]_.

    References
    ----------
    .. [1] Higgins et al., "beta-VAE", ICLR 2017.
    .. [2] Kingma et al., "Improved Variational Inference with Inverse Autoregressive Flow",
       NeurIPS 2016, appendix C.8.
    """

    def __init__(self, beta: float = 1.0, free_bits: float = 0.0) -> None:
        super().__init__()
        self.beta = beta
        self.free_bits = free_bits

    def forward(self, terms: ELBOTerms, kl_weight: float = 1.0) -> Tensor:
        """Return the scalar loss in nats per sample.

        ``kl_weight`` in [0, 1] is the warm-up's share of ``beta``.
        """
        if self.free_bits > 0:
            kl = torch.clamp(terms.kl.mean(0), min=self.free_bits).sum()
        else:
            kl = terms.mean_kl
        return self.beta * kl_weight * kl - terms.mean_log_likelihood

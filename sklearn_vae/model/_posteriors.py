"""Posteriors q(z|x): recipes that build what turns an encoder's activations into a distribution.

A recipe holds hyperparameters only. ``build`` returns a fresh module, called with flat activations
(n, k). That returns q(z|x) of n samples: a :class:`Posterior`, which says how it is drawn from.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from math import log, pi
from typing import TYPE_CHECKING, Any, Literal

import torch
import torch.distributions as td
import torch.nn.functional as F
from torch import Tensor, nn

from ..utils._counts import is_count
from ..utils._recipes import Recipe

if TYPE_CHECKING:
    from ._priors import Prior


LEAST_LOG_SCALE = -10
"""Of independent normals."""


class Posterior(ABC):
    """q(z|x) of n samples: base of what a family's module returns.

    A subclass defines :meth:`draw`. Its constructor takes ``loc`` and ``scale``, or it defines
    :meth:`first`, too.

    Parameters
    ----------
    loc : Tensor of shape (n, z_dim)
        The code of each sample.
    scale : Tensor of shape (n, z_dim)
        How widely draws lie around it.
    """

    loc: Tensor
    scale: Tensor

    def __init__(self, loc: Tensor, scale: Tensor) -> None:
        self.loc, self.scale = loc, scale

    @abstractmethod
    def draw(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Return the draws z that standard normal noise stands for, and log q(z|x).

        ``noise`` and z have shape (..., n, z_dim), the densities (..., n). With ``torch.special``'s
        ``ndtr`` the noise becomes uniform, for distributions that have quantiles.
        """

    def codes(self, noise: Tensor) -> Tensor:
        """Return the draws alone, for a KL term that is known without their densities."""
        return self.draw(noise)[0]

    def first(self, n: int) -> Posterior:
        """Return the posteriors of the first n samples."""
        return type(self)(self.loc[:n], self.scale[:n])

    def kl_divergence(self, prior: Prior, p_z: Callable[[], td.Distribution]) -> Tensor | None:
        """Return KL(q(z|x) || p(z)), or None, the default, to estimate it from draws.

        Parameters
        ----------
        prior : Prior
            The recipe of p(z).
        p_z : callable
            Returns p(z).

        Returns
        -------
        kl : Tensor of shape (n, z_dim) or (n, 1), or None
            Per latent dimension, or their sum.
        """
        return None


class NormalPosterior(Posterior, td.Normal):
    """Independent normals; the prior may know its KL term exactly.

    Parameters
    ----------
    loc, scale : Tensor of shape (n, z_dim)
        Means and standard deviations.
    """

    def __init__(self, loc: Tensor, scale: Tensor) -> None:
        td.Normal.__init__(self, loc, scale, validate_args=False)

    def draw(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Return the draws z that standard normal noise stands for, and log q(z|x)."""
        return self.loc + self.scale * noise, _log_density(noise, self.scale.log())

    def codes(self, noise: Tensor) -> Tensor:
        """Return the draws alone, in one operation."""
        return torch.addcmul(self.loc, self.scale, noise)

    def kl_divergence(self, prior: Prior, p_z: Callable[[], td.Distribution]) -> Tensor | None:
        """Return what the prior knows of its KL from independent normals."""
        return prior.kl_divergence(self, p_z)


class PosteriorFamily(Recipe, ABC):
    """Base of all families of posteriors. Subclasses are frozen dataclasses."""

    @abstractmethod
    def build(self, n_activations: int, z_dim: int) -> nn.Module:
        """Return a module from activations (n, n_activations) to q(z|x).

        It returns a :class:`Posterior` over codes of (z_dim,); :class:`NormalPosterior` is one.
        """


@dataclass(frozen=True)
class DiagonalNormal(PosteriorFamily):
    """Independent normals; with a standard normal prior the KL term is exact."""

    def build(self, n_activations: int, z_dim: int) -> nn.Module:
        """Return a linear layer to means and what scales are made of."""
        return PosteriorHead(n_activations, z_dim)


@dataclass(frozen=True)
class IAF(PosteriorFamily):
    """Independent normals pushed through an inverse autoregressive flow [1]_.

    Each step shifts and scales every dimension by what a masked network [2]_ makes of the
    dimensions before it and of the encoder's activations. Every other step goes through them in
    reverse order. Dimensions then depend on each other: closer bounds, and better likelihoods.

    Parameters
    ----------
    n_steps : int, default=2
        Steps of the flow, 1 or more.
    n_hidden : int, default=320
        Hidden units of each step's network, 1 or more.

    Raises
    ------
    ValueError
        For a number below 1.

    References
    ----------
    .. [1] Kingma et al., "Improved Variational Inference with Inverse Autoregressive Flow",
       NeurIPS 2016, https://arxiv.org/abs/1606.04934
    .. [2] Germain et al., "MADE: Masked Autoencoder for Distribution Estimation", ICML 2015,
       https://arxiv.org/abs/1502.03509

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_vae import VAETransformer
    >>> from sklearn_vae.model import IAF
    >>> X = np.random.default_rng(0).random((20, 8, 8))
    >>> vae = VAETransformer(2, network="mlp", posterior=IAF(n_steps=4), max_epochs=1, device="cpu")
    >>> vae.fit_transform(X).shape
    (20, 2)
    """

    n_steps: int = 2
    n_hidden: int = 320

    def __post_init__(self) -> None:
        if not is_count(self.n_steps) or not is_count(self.n_hidden):
            raise ValueError(f"{self!r}: give ints >= 1.")

    def build(self, n_activations: int, z_dim: int) -> nn.Module:
        """Return the linear layer with the flow behind it, which starts close to the identity."""
        return _FlowHead(n_activations, z_dim, self.n_steps, self.n_hidden)


PosteriorName = Literal["normal", "iaf"]
POSTERIORS: dict[str, type[PosteriorFamily]] = {"normal": DiagonalNormal, "iaf": IAF}
"""Families by the name that ``VAETransformer(posterior=...)`` takes."""


class PosteriorHead(nn.Linear):
    """The layer from an encoder's activations (n, k) to q(z|x)."""

    def __init__(self, n_activations: int, z_dim: int) -> None:
        super().__init__(n_activations, 2 * z_dim)

    @torch.no_grad()
    def start_at(self, weight: Tensor, variance: Tensor) -> None:
        """Make code i the i-th but ``z_dim``-th last activation times ``weight[i]``.

        For the first ``len(weight)`` codes, with these variances; the others stay as they are.
        """
        z_dim, n = self.out_features // 2, len(weight)
        self.weight[:n] = self.bias[:n] = 0
        self.weight[:n, -z_dim:][:, :n] = weight.diag()
        self.weight[z_dim : z_dim + n] = 0
        self.bias[z_dim : z_dim + n] = variance.log()

    def normal(self, activations: Tensor) -> NormalPosterior:
        """Return independent normals (n, z_dim)."""
        loc, log_var = super().forward(activations).float().chunk(2, dim=1)
        log_scale = 0.5 * log_var
        # Above the prior's scale it grows linearly. In the first steps single samples go far
        # beyond, and an exponential would let these few be the whole loss.
        exponential = F.hardtanh(log_scale, LEAST_LOG_SCALE, 1).exp()
        return NormalPosterior(loc, torch.where(log_scale > 0, 1 + log_scale, exponential))

    def forward(self, activations: Tensor) -> Posterior:  # type: ignore[override]
        """Return q(z|x)."""
        return self.normal(activations)


class Flowed(Posterior):
    """Independent normals, pushed through a flow.

    Parameters
    ----------
    base : NormalPosterior
        Before the flow, (n, d).
    contexts : tuple of Tensor
        What each step sees of the activations, (n, n_hidden).
    steps : torch.nn.ModuleList
        The flow.
    """

    def __init__(
        self, base: NormalPosterior, contexts: tuple[Tensor, ...], steps: nn.ModuleList
    ) -> None:
        self.base, self.contexts, self.steps = base, contexts, steps

    @property
    def loc(self) -> Tensor:  # type: ignore[override]
        """The code of each sample, (n, d): where the flow takes the mean of the normals."""
        return self._centre[0]

    @property
    def scale(self) -> Tensor:  # type: ignore[override]
        """Standard deviations around ``loc`` by the flow's own scales there, (n, d)."""
        return self._centre[1].exp()

    @cached_property
    def _centre(self) -> tuple[Tensor, Tensor]:
        return self.push(torch.zeros_like(self.base.loc))

    def push(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Return where noise (..., n, d) ends up, and the log-scale on its way in each dimension.

        The sum of the latter over dimensions is the log-determinant of the Jacobian.
        """
        z = self.base.loc + self.base.scale * noise
        log_scale = self.base.scale.log().expand_as(z)
        for step, context in zip(self.steps, self.contexts, strict=True):
            shift, gate = step(z, context)
            z = torch.lerp(shift, z, torch.sigmoid(gate))
            log_scale = log_scale + F.logsigmoid(gate)
            z, log_scale = z.flip(-1), log_scale.flip(-1)
        return z, log_scale

    def draw(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Return the draws z that standard normal noise stands for, and log q(z|x)."""
        z, log_scale = self.push(noise)
        return z, _log_density(noise, log_scale)

    def first(self, n: int) -> Flowed:
        """Return the posteriors of the first n samples."""
        base = NormalPosterior(self.base.loc[:n], self.base.scale[:n])
        return Flowed(base, tuple(context[:n] for context in self.contexts), self.steps)


def _log_density(noise: Tensor, log_scale: Tensor) -> Tensor:
    """Return the log density (..., n) of what noise (..., n, d) becomes, scaled on its way."""
    return -(0.5 * (noise.square() + log(2 * pi)) + log_scale).sum(-1)


def as_posterior(q: Any, family: PosteriorFamily) -> Posterior:
    """Return what a family's module returned; torch's own normals are independent ones."""
    if isinstance(q, Posterior):
        return q
    if isinstance(q, td.Normal):
        return NormalPosterior(q.loc, q.scale)
    raise TypeError(
        f"posterior={family!r:.100}: its module returns {type(q).__name__}. How noise becomes a "
        "draw of it is not known. Return a subclass of model.Posterior that defines draw(noise), "
        "or model.NormalPosterior(loc, scale) for independent normals."
    )


class _FlowHead(PosteriorHead):
    def __init__(self, n_activations: int, z_dim: int, n_steps: int, n_hidden: int) -> None:
        super().__init__(n_activations, z_dim)
        self.context = nn.Linear(n_activations, n_steps * n_hidden)
        self.steps = nn.ModuleList(_Autoregressive(z_dim, n_hidden) for _ in range(n_steps))

    def forward(self, activations: Tensor) -> Posterior:  # type: ignore[override]
        contexts = self.context(activations).chunk(len(self.steps), dim=1)
        return Flowed(self.normal(activations), contexts, self.steps)


class _Autoregressive(nn.Module):
    """Shift and gate of each dimension from those before it and a context (MADE)."""

    def __init__(self, z_dim: int, n_hidden: int) -> None:
        super().__init__()
        # How many of the first dimensions a hidden unit sees: 0, the context alone, to z_dim - 1.
        inputs, seen = torch.arange(z_dim), torch.arange(n_hidden) * z_dim // n_hidden
        self.first = _Masked(seen[:, None] > inputs)
        self.second = _Masked((inputs[:, None] >= seen).repeat(2, 1))
        with torch.no_grad():  # the normals almost as they are, to start with
            self.second.weight.zero_()
            self.second.bias.copy_(OPEN * (torch.arange(2 * z_dim) >= z_dim))

    def forward(self, z: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        shift, gate = self.second(F.relu(self.first(z) + context)).float().chunk(2, dim=-1)
        return shift, gate


OPEN = 1.0
"""What a gate is before training; its sigmoid is 0.73."""


class _Masked(nn.Linear):
    """A linear layer with only the connections of a mask (n_out, n_in)."""

    mask: Tensor

    def __init__(self, mask: Tensor) -> None:
        super().__init__(mask.shape[1], mask.shape[0])
        self.register_buffer("mask", mask)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight.masked_fill(~self.mask, 0.0), self.bias)

"""Priors p(z): recipes that build what a VAE's latent codes are held against.

A prior holds hyperparameters only; ``build`` returns a fresh module, called with the VAE's
``posterior`` function, which returns p(z), a ``torch.distributions.Distribution`` of codes (d,).
That owns the density; the recipe says how codes are drawn and which KL term is known exactly.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from math import log, pi
from typing import Any, Literal

import torch
import torch.distributions as td
from torch import Tensor, nn

from ..utils._counts import is_count
from ..utils._generators import seeded
from ..utils._recipes import Recipe
from ._posteriors import Posterior

Infer = Callable[[Tensor], Posterior]
Examples = Callable[[int], Tensor]


class Prior(Recipe, ABC):
    """Base of all priors. Subclasses are frozen dataclasses: they compare by value.

    A subclass defines :meth:`build`. Codes are drawn by the distribution's own ``sample``, and the
    KL term is estimated from draws, where it does not define :meth:`draw` and
    :meth:`kl_divergence`.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> import numpy as np
    >>> import torch
    >>> from sklearn_vae import VAETransformer
    >>> from sklearn_vae.model import Prior
    >>> class Normals(torch.nn.Module):
    ...     def __init__(self, z_dim, mean):
    ...         super().__init__()
    ...         self.register_buffer("loc", torch.full((z_dim,), mean))
    ...     def forward(self, posterior):
    ...         normals = torch.distributions.Normal(self.loc, 1.0)
    ...         return torch.distributions.Independent(normals, 1)
    >>> @dataclass(frozen=True)
    ... class Shifted(Prior):
    ...     mean: float = 5.0
    ...     def build(self, z_dim, examples, *, bounded):
    ...         return Normals(z_dim, self.mean)
    >>> X = np.random.default_rng(0).random((20, 8, 8))
    >>> vae = VAETransformer(2, network="mlp", prior=Shifted(), max_epochs=1, device="cpu").fit(X)
    >>> vae.module_.draw(1000, np.random.RandomState(0)).mean(0).round()
    array([5., 5.], dtype=float32)
    """

    @abstractmethod
    def build(self, z_dim: int, examples: Examples, *, bounded: bool) -> nn.Module:
        """Return a module from the posterior function to p(z).

        Parameters
        ----------
        z_dim : int
            Dimensions of the latent space.
        examples : callable
            Returns as many training samples as asked for, scaled: ``(k, *shape)``.
        bounded : bool
            Whether these lie in [0, 1].

        Returns
        -------
        p_z : torch.nn.Module
            Called with the function from scaled x to q(z|x), returns the distribution of codes,
            of event shape ``(z_dim,)``: for codes (n, z_dim) its ``log_prob`` has shape (n,).
        """

    def draw(self, p: td.Distribution, n: int, generator: torch.Generator) -> Tensor:
        """Return n codes from p(z): those of its ``sample``.

        Parameters
        ----------
        p : torch.distributions.Distribution
            What the module returns.
        n : int
            How many.
        generator : torch.Generator
            On the CPU. ``sample`` takes none: torch's own generators get its seed meanwhile.

        Returns
        -------
        z : Tensor of shape (n, z_dim)
            On any device.

        Raises
        ------
        NotImplementedError
            When the distribution cannot be drawn from.
        """
        try:
            with _seeded(generator.initial_seed()):
                return p.sample(torch.Size((n,)))
        except (AttributeError, NotImplementedError) as error:
            name = type(p).__name__
            if hasattr(p, "sample") and isinstance(error, AttributeError):
                raise  # of what it does
            raise NotImplementedError(
                f"prior={self!r:.100} cannot be drawn from: {name} defines no "
                f"sample(sample_shape). Define it, or {type(self).__name__}.draw(p, n, generator)."
            ) from error

    def kl_divergence(self, q: td.Normal, p_z: Callable[[], td.Distribution]) -> Tensor | None:
        """Return KL(q(z|x) || p(z)) of independent normals where it is known, else None.

        None, the default, leaves it to draws. ``free_bits`` needs it per latent dimension.

        Parameters
        ----------
        q : torch.distributions.Normal
            Of shape (n, z_dim).
        p_z : callable
            Returns p(z), what the module returns.

        Returns
        -------
        kl : Tensor of shape (n, z_dim) or (n, 1), or None
            Per latent dimension, or their sum.
        """
        return None


@dataclass(frozen=True)
class StandardNormal(Prior):
    """Independent standard normals; the KL term is exact."""

    def build(self, z_dim: int, examples: Examples, *, bounded: bool) -> nn.Module:
        """Return a module without parameters."""
        return _StandardNormal(z_dim)

    def draw(self, p: td.Distribution, n: int, generator: torch.Generator) -> Tensor:
        """Return n codes, drawn on the CPU: the same on every device."""
        return _noise(n, p, generator)

    def kl_divergence(self, q: td.Normal, p_z: Callable[[], td.Distribution]) -> Tensor:
        """Return the KL of independent normals per dimension, (n, z_dim)."""
        return kl_from_standard_normal(q)


class _OfComponents(Prior):
    """Base of priors whose p(z) is a :class:`MixtureOfNormals`."""

    n_components: int

    def __post_init__(self) -> None:
        if not is_count(self.n_components):
            raise ValueError(f"{self!r}: give an int >= 1.")

    def draw(self, p: td.Distribution, n: int, generator: torch.Generator) -> Tensor:
        """Return n codes, drawn on the CPU: the same on every device."""
        assert isinstance(p, MixtureOfNormals)
        noise = _noise(n, p, generator)
        weights = p.log_weights.detach().cpu().double().softmax(0)
        which = torch.multinomial(weights, n, replacement=True, generator=generator)
        loc, scale = (t.detach().cpu()[which] for t in (p.loc, p.scale))
        return loc + scale * noise


@dataclass(frozen=True)
class Mixture(_OfComponents):
    """Mixture of Gaussians with learnt weights, means and standard deviations, as in VaDE [1]_.

    The means start at random.

    Parameters
    ----------
    n_components : int, default=100
        Gaussians in the mixture, 1 or more.

    Raises
    ------
    ValueError
        For an ``n_components`` below 1.

    References
    ----------
    .. [1] Jiang et al., "Variational Deep Embedding: An Unsupervised and Generative Approach to
       Clustering", IJCAI 2017, https://arxiv.org/abs/1611.05148
    """

    n_components: int = 100

    def build(self, z_dim: int, examples: Examples, *, bounded: bool) -> nn.Module:
        """Return a module with means drawn from a standard normal."""
        return _Mixture(self.n_components, z_dim)


@dataclass(frozen=True)
class Vamp(_OfComponents):
    """VampPrior: the mixture of the posteriors of learnt pseudo-inputs [1]_.

    It follows the encoder, so that codes need not be spread like a normal, and regularises it.
    The pseudo-inputs start from training samples.

    Parameters
    ----------
    n_components : int, default=500
        Pseudo-inputs, 1 or more; each passes through the encoder at every step.

    Raises
    ------
    ValueError
        For an ``n_components`` below 1.

    References
    ----------
    .. [1] Tomczak, Welling, "VAE with a VampPrior", AISTATS 2018,
       https://arxiv.org/abs/1705.07120

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_vae import VAETransformer
    >>> from sklearn_vae.model import Vamp
    >>> X = np.random.default_rng(0).random((20, 8, 8))
    >>> vae = VAETransformer(2, network="mlp", prior=Vamp(5), max_epochs=1, device="cpu").fit(X)
    >>> vae.sample(3).shape
    (3, 8, 8)
    """

    n_components: int = 500

    def build(self, z_dim: int, examples: Examples, *, bounded: bool) -> nn.Module:
        """Return a module whose pseudo-inputs are training samples."""
        return _Vamp(examples(self.n_components), bounded)


PriorName = Literal["normal", "mixture", "vamp"]
PRIORS: dict[str, type[Prior]] = {"normal": StandardNormal, "mixture": Mixture, "vamp": Vamp}
"""Priors by the name that ``VAETransformer(prior=...)`` takes."""


class MixtureOfNormals(td.Distribution):
    """Mixture of k Gaussians with diagonal covariance over codes (d,).

    Like ``torch.distributions.MixtureSameFamily``, whose ``log_prob`` needs an array (n, k, d);
    matrix products do without.

    Parameters
    ----------
    log_weights : Tensor of shape (k,)
    loc, scale : Tensor of shape (k, d)
    """

    arg_constraints: dict[str, Any] = {}  # noqa: RUF012 (torch's own convention)

    def __init__(self, log_weights: Tensor, loc: Tensor, scale: Tensor) -> None:
        self.log_weights, self.loc, self.scale = log_weights, loc, scale
        super().__init__(event_shape=loc.shape[1:], validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log density of codes (..., d), shape (...,)."""
        with torch.autocast(value.device.type, enabled=False):  # squares need their digits
            precision = self.scale.square().reciprocal()
            distance = (
                value.square() @ precision.T
                - 2 * value @ (self.loc * precision).T
                + (self.loc.square() * precision).sum(1)
            )
            log_norm = self.scale.log().sum(1) + 0.5 * self.loc.shape[1] * log(2 * pi)
            return (self.log_weights - log_norm - 0.5 * distance).logsumexp(-1)


def _noise(n: int, p: td.Distribution, generator: torch.Generator) -> Tensor:
    """Return standard normal draws of p's shape, whatever torch's default dtype is."""
    shape = n, *p.event_shape
    return torch.randn(shape, generator=generator, dtype=torch.float32, device="cpu")


def _seeded(seed: int) -> AbstractContextManager[Any]:
    """Return the context in which torch's generators start from a seed."""
    device = "cuda" if torch.cuda.is_initialized() else "cpu"
    return seeded(seed, torch.device("mps" if torch.backends.mps.is_available() else device))


def kl_from_standard_normal(q: td.Normal) -> Tensor:
    """Return KL(q(z|x) || N(0, 1)) per dimension, (n, d)."""
    variance = q.scale.square()
    return 0.5 * (q.loc.square() + variance - 1 - variance.log())


class _StandardNormal(nn.Module):
    def __init__(self, z_dim: int) -> None:
        super().__init__()
        # In host memory even under torch.device("meta"): no state dict brings it.
        self.register_buffer("zero", torch.zeros(z_dim, device="cpu"), persistent=False)

    def forward(self, posterior: Infer) -> td.Distribution:
        zero = self.get_buffer("zero")
        return td.Independent(td.Normal(zero, zero + 1, validate_args=False), 1)


class _Mixture(nn.Module):
    def __init__(self, n_components: int, z_dim: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(n_components))
        self.loc = nn.Parameter(torch.randn(n_components, z_dim))
        self.log_scale = nn.Parameter(torch.zeros(n_components, z_dim))

    def forward(self, posterior: Infer) -> td.Distribution:
        scale = self.log_scale.clamp(-10, 10).exp()
        return MixtureOfNormals(self.logits.log_softmax(0), self.loc, scale)


class _Vamp(nn.Module):
    def __init__(self, inputs: Tensor, bounded: bool) -> None:
        super().__init__()
        self.inputs = nn.Parameter(inputs.clone())
        self.bounded = bounded

    def forward(self, posterior: Infer) -> td.Distribution:
        inputs = self.inputs.clamp(0, 1) if self.bounded else self.inputs
        q = posterior(inputs)
        even = q.loc.new_full((len(inputs),), -log(len(inputs)))
        return MixtureOfNormals(even, q.loc, q.scale)

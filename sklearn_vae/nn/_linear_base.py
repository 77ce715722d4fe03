"""A linear encoder and decoder beside a network's own; both start at probabilistic PCA."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import prod

import torch
import torch.nn.functional as F
from sklearn.decomposition import PCA
from torch import Tensor, nn

from ._conv import Conv
from ._mps import adaptive_avg_pool2d, fastest_layout
from ._network import Network, Shape

SIDE = 64
"""Pixels a side that the base sees of an image, at most."""
MIN_SHARE = 1e-6
"""Of the variance, what a component has to explain to count as one."""


@dataclass(frozen=True)
class LinearBase(Network):
    """A network beside a linear encoder and decoder that start at probabilistic PCA [1]_.

    The linear VAE's optimum is probabilistic PCA [2]_. The model starts there, and the network
    learns what it adds: posterior mean and decoder mean are sums of a linear part and the
    network's, which is zero at first. The components come from the training samples of the first
    fit; further training leaves them as they are, and learns how they are mixed. For images above
    64 pixels a side the linear part works on cells' averages.

    Parameters
    ----------
    network : Network, default=Conv(batch_norm=True)
        What learns beside the linear part. ``MLP(hidden=())`` for a linear VAE.

    Raises
    ------
    ValueError
        For a ``network`` that is none or has a linear part already.

    References
    ----------
    .. [1] Tipping, Bishop, "Probabilistic Principal Component Analysis", Journal of the Royal
       Statistical Society B 61, 1999.
    .. [2] Lucas, Tucker, Grosse, Norouzi, "Don't Blame the ELBO! A Linear VAE Perspective on
       Posterior Collapse", NeurIPS 2019, https://arxiv.org/abs/1911.02469

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_vae import VAETransformer
    >>> from sklearn_vae.nn import MLP, LinearBase
    >>> X = load_digits().data
    >>> network = LinearBase(MLP((64,)))
    >>> vae = VAETransformer(8, network=network, max_epochs=5, device="cpu", random_state=0)
    >>> vae.fit_transform(X).shape
    (1797, 8)
    """

    network: Network = Conv(batch_norm=True)  # noqa: RUF009 (frozen)
    has_base = True

    def __post_init__(self) -> None:
        if not isinstance(self.network, Network) or self.network.has_base:
            raise ValueError(
                f"LinearBase(network={self.network!r}): give a network without a linear part, such "
                "as MLP(hidden=(128,))."
            )

    @property
    def takes_vectors(self) -> bool:  # type: ignore[override]
        """Whether the network accepts shape ``(d,)``."""
        return self.network.takes_vectors

    def encoder(self, shape: Shape) -> nn.Module:
        """Return the network's encoder."""
        return self.network.encoder(shape)

    def decoder(self, z_dim: int, shape: Shape) -> nn.Module:
        """Return the network's decoder."""
        return self.network.decoder(z_dim, shape)

    def prepare(self, encoder: nn.Module, examples: Callable[[int], Tensor]) -> None:
        """Let the network take what it needs from the training samples."""
        self.network.prepare(encoder, examples)


class PCABase(nn.Module):
    """Principal components, all zero until :meth:`fit`, and a linear layer from codes to them.

    Parameters
    ----------
    shape : tuple of int
        Of samples, ``(c, h, w)`` or ``(d,)``.
    z_dim : int
        Components, at most; what the samples do not have stays zero.
    n_inputs : int
        Values that the decoder sees: codes, and classes behind them.
    """

    mean: Tensor
    components: Tensor
    scale: Tensor

    def __init__(self, shape: Shape, z_dim: int, n_inputs: int) -> None:
        super().__init__()
        self.shape = shape
        self.small = _averaged(shape)
        self.register_buffer("mean", torch.zeros(prod(self.small)))
        self.register_buffer("components", torch.zeros(z_dim, prod(self.small)))
        self.register_buffer("scale", torch.ones(z_dim))
        self.mix = nn.Linear(n_inputs, z_dim)

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores of samples (n, *shape) at unit variance, (n, z_dim)."""
        return F.linear(self._rows(x) - self.mean, self.components) / self.scale

    def decode(self, z: Tensor, link: Callable[[Tensor], Tensor]) -> Tensor:
        """Return ``link`` of the means that the decoder's inputs stand for, (n, *shape)."""
        rows = F.linear(self.mix(z) * self.scale, self.components.T).float() + self.mean
        means = link(rows).unflatten(1, self.small)
        if self.small == self.shape:
            return means
        maps = fastest_layout(means)
        return F.interpolate(maps, self.shape[1:], mode="bilinear", align_corners=False)

    @torch.no_grad()
    def fit(self, batches: Iterable[Tensor], most: int) -> Tensor:
        """Take the components from samples, and return each one's variance, largest first.

        The linear layer's weights become zero. A seed is drawn from torch's generator. There are
        ``most`` samples at most.
        """
        # Made first: among the batches, they would keep the memory of each from the next.
        rows, n = self.mean.new_empty(most, len(self.mean)), 0
        for x in batches:
            rows[n : n + len(x)] = self._rows(x)
            n += len(x)
        rows = rows[:n]
        self.mean.copy_(rows.mean(0))
        self.mix.weight.zero_()
        self.mix.bias.zero_()
        if torch.equal(rows, rows[:1].expand_as(rows)):  # PCA would divide by no variance
            return rows.new_zeros(0)
        n = min(len(self.scale), *rows.shape, len(rows) - 1)
        seed = int(torch.randint(2**31 - 1, ()))
        pca = PCA(n, random_state=seed).fit(rows.numpy())
        variance = torch.from_numpy(pca.explained_variance_)
        known = variance > MIN_SHARE * float(pca.explained_variance_.sum())
        variance, axes = variance[known], torch.from_numpy(pca.components_)[known]
        n = len(variance)
        self.mean.copy_(torch.from_numpy(pca.mean_))
        self.components[:n].copy_(axes)
        self.scale[:n].copy_(variance.sqrt())
        return variance

    def _rows(self, x: Tensor) -> Tensor:
        if self.small != self.shape:
            _, h, w = self.small
            x = adaptive_avg_pool2d(x, (h, w))
        return x.flatten(1)


def _averaged(shape: Shape) -> Shape:
    """Return the shape that cells of equal size leave of an image."""
    if len(shape) < 3:
        return shape
    step = -(-max(shape[1:]) // SIDE)
    return (shape[0], *(-(-side // step) for side in shape[1:]))

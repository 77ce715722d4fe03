"""Whitened patches: fixed filters whose responses join a network's hidden features."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..utils._counts import is_count
from ._conv import Conv
from ._mps import adaptive_avg_pool2d
from ._network import Beside, Network, Shape

MIN_VARIANCE = 1e-3
"""Added to a patch's variance, so that flat patches keep no noise at full contrast."""
MIN_EIGENVALUE = 0.1
"""Added to the eigenvalues of normalised patches before whitening."""
THRESHOLD = 0.6
"""Responses of unit-length filters, about standard normal, count from here."""
MAX_GRID = 4
"""Side of the grid to which a VAE averages all its hidden features."""
PATCHED_IMAGES, SAMPLED = 1000, 50_000
"""Training images that patches are taken from, and patches that the whitening rests on."""
CPU_CHUNK, GPU_CHUNK = 4, 64
"""Images at a time: what a CPU's cache holds (more take up to twice as long), or a GPU's memory."""


@dataclass(frozen=True)
class Patches(Network):
    """A network beside which whitened patches of the training images serve as filters [1]_.

    Hidden features (``features="hidden"``) begin with the responses of these filters, averaged over
    the cells of a grid. The ELBO, the latent space and the time of a training step know nothing of
    them. For classes that show in texture and edges, as in photographs: on CIFAR-10 they alone are
    ahead of the features that the VAE learns. The first fit takes them from the training images;
    further training leaves them as they are.

    Every patch is centred, divided by its standard deviation and whitened (ZCA). A filter is such a
    patch at unit length, and gives two features: how far its response exceeds a threshold, and how
    far the negative does.

    Parameters
    ----------
    network : Network, default=Conv(batch_norm=True)
        What is trained.
    n_filters : int, default=800
        Patches taken from the training images, 1 or more; ``2 * grid**2`` hidden features each.
        Beside a VAE's own features twice as many add nothing on CIFAR-10.
    size : int, default=6
        Side of a patch in pixels, 2 or more.
    grid : int, default=2
        Cells a side that responses are averaged over, 1 to 4: 1 forgets where in the image a
        texture is, more remember it. The image's shorter side has at least ``size + grid - 1``
        pixels.

    Raises
    ------
    ValueError
        For fewer than one filter, patches below 2 x 2, another grid and a ``network`` that is none
        or has patches itself. When it is built, for smaller images and for vectors.

    References
    ----------
    .. [1] Coates, Ng, "The Importance of Encoding Versus Training with Sparse Coding and Vector
       Quantization", ICML 2011.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_vae import VAETransformer
    >>> from sklearn_vae.nn import MLP, Patches
    >>> X = np.random.default_rng(0).random((20, 8, 8))
    >>> network = Patches(MLP((16,)), n_filters=5, size=3)
    >>> vae = VAETransformer(2, network=network, features="hidden", max_epochs=1, device="cpu")
    >>> vae.fit_transform(X).shape  # 5 filters x 2 signs x 4 cells, and 16 activations
    (20, 56)
    """

    network: Network = Conv(batch_norm=True)  # noqa: RUF009 (frozen)
    n_filters: int = 800
    size: int = 6
    grid: int = 2

    def __post_init__(self) -> None:
        counts = is_count(self.n_filters), is_count(self.size, 2), is_count(self.grid)
        if not all(counts) or self.grid > MAX_GRID:
            raise ValueError(
                f"Patches(n_filters={self.n_filters!r}, size={self.size!r}, grid={self.grid!r}): "
                "give ints: at least one filter, a side of 2 pixels or more and a grid of 1 to "
                f"{MAX_GRID}."
            )
        if not isinstance(self.network, Network) or isinstance(self.network, Patches):
            raise ValueError(
                f"Patches(network={self.network!r}): give a network such as Conv(batch_norm=True)."
            )

    @property
    def has_base(self) -> bool:  # type: ignore[override]
        """Whether the network has a linear encoder and decoder beside it."""
        return self.network.has_base

    def encoder(self, shape: Shape) -> nn.Module:
        """Return the network's encoder with the filters, all zero, beside it."""
        least = self.size + self.grid - 1
        if len(shape) != 3 or min(shape[1:]) < least:
            raise ValueError(
                f"{self!r} needs images of at least {least} pixels a side; got an input of "
                f"shape {shape}. Use a smaller size, or the network alone."
            )
        filters = WhitenedPatches(shape[0], self.n_filters, self.size, self.grid)
        return Beside(filters, self.network.encoder(shape))

    def decoder(self, z_dim: int, shape: Shape) -> nn.Module:
        """Return the network's decoder."""
        return self.network.decoder(z_dim, shape)

    def prepare(self, encoder: nn.Module, examples: Callable[[int], Tensor]) -> None:
        """Take the filters from training images."""
        assert isinstance(encoder, Beside)
        assert isinstance(encoder.source, WhitenedPatches)
        encoder.source.take_from(examples(PATCHED_IMAGES))
        self.network.prepare(encoder.encoder, examples)


class WhitenedPatches(nn.Module):
    """Filters, all zero until :meth:`take_from` draws them from images; without gradients.

    Images are float in [0, 1], shape (n, channels, h, w).
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, channels: int, n_filters: int, size: int, grid: int) -> None:
        super().__init__()
        self.grid = grid
        self.register_buffer("weight", torch.zeros(n_filters, channels, size, size))
        self.register_buffer("bias", torch.zeros(n_filters))

    @torch.no_grad()
    def take_from(self, images: Tensor) -> None:
        """Make filters of patches of the images (n, c, h, w), drawn by torch's global generator."""
        n, channels, size, _ = self.weight.shape
        share = max(n, SAMPLED) / len(images)
        drawn = [_draw(chunk, size, math.ceil(share * len(chunk))) for chunk in images.split(50)]
        patches = torch.cat(drawn).double()  # of the small eigenvalues float32 leaves little
        variance, mean = torch.var_mean(patches, 1, correction=0, keepdim=True)
        patches = (patches - mean) * (variance + MIN_VARIANCE).rsqrt()
        mean = patches.mean(0)
        eigenvalues, vectors = torch.linalg.eigh(torch.cov(patches.T))
        whiten = (vectors * (eigenvalues.clamp(min=0) + MIN_EIGENVALUE).rsqrt()) @ vectors.T
        chosen = patches[torch.randperm(len(patches))[:n]]
        filters = F.normalize((chosen - mean) @ whiten, dim=1) @ whiten
        self.bias.copy_(-filters @ mean)
        # The filter takes the patch's mean off by itself.
        filters = filters - filters.mean(1, keepdim=True)
        self.weight.copy_(filters.view(n, channels, size, size))

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """Map images (n, c, h, w) to the cells' mean responses, (n, 2 * n_filters, grid, grid)."""
        if torch.compiler.is_compiling():  # an exported program takes batches of any size
            return self._responses(x)
        chunks = x.split(CPU_CHUNK if x.device.type == "cpu" else GPU_CHUNK)
        return torch.cat([self._responses(chunk) for chunk in chunks])

    def _responses(self, x: Tensor) -> Tensor:
        size = self.weight.shape[-1]
        mean = F.avg_pool2d(x.mean(1, keepdim=True), size, 1)
        mean_square = F.avg_pool2d(x.square().mean(1, keepdim=True), size, 1)
        variance = (mean_square - mean.square()).clamp(min=0)
        response = F.conv2d(x, self.weight) * (variance + MIN_VARIANCE).rsqrt()
        response = response + self.bias[:, None, None]
        signs = (response - THRESHOLD, -response - THRESHOLD)
        return torch.cat(
            [adaptive_avg_pool2d(sign.relu(), (self.grid, self.grid)) for sign in signs], 1
        )


def _draw(images: Tensor, size: int, n: int) -> Tensor:
    """Return n patches of the images as rows, drawn with replacement."""
    patches = F.unfold(images, size).transpose(1, 2).flatten(0, 1)
    return patches[torch.randint(len(patches), (n,))]

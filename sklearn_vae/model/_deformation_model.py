"""One image as a deformation of another: what VAEAugmenter's ``"deformation"`` learns."""

from __future__ import annotations

from math import log

import torch
import torch.distributions as td
import torch.nn.functional as F
from torch import Tensor, nn

from ..nn._mps import grid_sample
from ..nn._network import Network
from ..nn._scaling import Scaling
from ._dry_run import narrowest_map, zeros
from ._elbo import ELBOTerms
from ._likelihoods import MIN_LOG_SCALE
from ._posteriors import DiagonalNormal
from ._priors import kl_from_standard_normal

GRID, WIDTH = 7, 256
"""Nodes a side of the field's coarse grid, and hidden units of the layer that makes it."""


class PairScaling(nn.Module):
    """Raw pairs (n, 2, *raw_shape) to both images one behind the other, (n, 2 * c, h, w)."""

    def __init__(self, single: Scaling) -> None:
        super().__init__()
        self.single = single

    def forward(self, raw: Tensor) -> Tensor:
        """Return scaled pairs."""
        return torch.cat([self.single(raw[:, 0]), self.single(raw[:, 1])], 1)

    def inverse(self, x: Tensor) -> Tensor:
        """Return single images in the raw layout and range."""
        return self.single.inverse(x)


class DeformationModel(nn.Module):
    """A VAE of pairs: p(b|a, z) is a normal around image a, warped by a smooth field.

    The encoder sees both images. The field is linear in the last hidden layer, given on a coarse
    grid and interpolated with bicubic splines; it says from where in a each pixel is read. Sources:
    see :class:`~sklearn_vae.synthesis.Deformation`.

    Parameters
    ----------
    scaling : Scaling
        Raw images to (c, h, w) in [0, 1], and back.
    network : Network
        Builds the encoder, for 2 * c channels; its decoder is not used.
    z_dim : int
        Dimensions of the latent space.
    """

    splines: Tensor

    def __init__(self, scaling: Scaling, network: Network, z_dim: int) -> None:
        super().__init__()
        c, h, w = scaling.shape
        self.z_dim = z_dim
        self.scaling = PairScaling(scaling)
        self.encoder = network.encoder((2 * c, h, w))
        self.posterior_head = DiagonalNormal().build(self._encode_zeros()[0].numel(), z_dim)
        last = nn.Linear(WIDTH, 2 * GRID**2)
        nn.init.normal_(last.weight, std=1e-3)  # next to no deformation, to start with
        nn.init.zeros_(last.bias)
        self.decoder = nn.Sequential(nn.Linear(z_dim, WIDTH), nn.ReLU(), last)
        nodes = torch.eye(GRID**2).view(-1, 1, GRID, GRID)
        splines = F.interpolate(nodes, size=(h, w), mode="bicubic", align_corners=False)
        self.register_buffer("splines", splines.view(GRID**2, h * w), persistent=False)
        self.log_scale = nn.Parameter(torch.tensor(log(0.2)))

    def has_kl_per_dimension(self) -> bool:
        """Return True: posterior and prior are independent normals."""
        return True

    def narrowest_map(self) -> float:
        """Return the width of the narrowest map that a convolution takes or makes; inf for none."""
        return narrowest_map(self, self._encode_zeros)

    def _encode_zeros(self) -> Tensor:
        """Return the activations of two blank pairs."""
        single = self.scaling.single.shape
        training = self.encoder.training
        self.encoder.eval()
        with torch.no_grad():
            activations: Tensor = self.encoder(zeros(self, 2 * single[0], *single[1:]))
        self.encoder.train(training)
        return activations

    def posterior(self, pairs: Tensor) -> td.Normal:
        """Return q(z|a, b) of n scaled pairs."""
        return self.posterior_head(self.encoder(pairs).flatten(1))

    def deformed(self, a: Tensor, z: Tensor) -> Tensor:
        """Return scaled images a, (n, c, h, w), as codes z, (n, z_dim), deform them."""
        coarse = self.decoder(z).float().view(-1, GRID**2)
        with torch.autocast(a.device.type, enabled=False):  # coordinates need all their bits
            field = (coarse @ self.splines).view(-1, 2, *a.shape[2:])  # faster than to interpolate
            stay = torch.eye(2, 3, dtype=field.dtype, device=a.device).expand(len(a), 2, 3)
            grid = F.affine_grid(stay, list(a.shape), align_corners=False)
            grid = grid + field.permute(0, 2, 3, 1)
            return grid_sample(a, grid, "border").clamp(0, 1)

    def forward(
        self,
        x: Tensor,
        target: Tensor,
        y: Tensor | None,
        n_draws: int,
        noise: Tensor,
    ) -> ELBOTerms:
        """Return the terms of the bound on log p(b|a) at one draw; x and target are the pairs.

        ``noise``, standard normal values to draw by, has shape (1, n, z_dim).
        """
        q = self.posterior(x)
        a, b = target.chunk(2, 1)
        p = td.Normal(
            self.deformed(a, q.loc + q.scale * noise[0]),
            self.log_scale.clamp(min=MIN_LOG_SCALE).exp(),
            validate_args=False,
        )
        return ELBOTerms(p.log_prob(b).flatten(1).sum(1), kl_from_standard_normal(q))

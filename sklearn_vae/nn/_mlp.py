"""Fully connected networks, for vectors and small images."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import prod

from torch import nn

from ..utils._counts import take_counts
from ._network import Network, Reshape, Shape


@dataclass(frozen=True)
class MLP(Network):
    """Fully connected encoder and its mirror image as decoder, with ReLU.

    Parameters
    ----------
    hidden : tuple of int, default=(512, 256)
        Widths, each 1 or more, of the encoder's hidden layers; the decoder has them in reverse.
        ``()`` for a linear encoder and decoder. ``(400,)`` with ``z_dim=40`` is the 784-400-40 net
        on which many MNIST likelihoods are published.

    Raises
    ------
    ValueError
        For widths that are not ints of 1 or more.

    Examples
    --------
    >>> from sklearn_vae.nn import MLP
    >>> MLP(hidden=(400,))
    MLP(hidden=(400,))
    """

    hidden: tuple[int, ...] = (512, 256)
    takes_vectors = True

    def __post_init__(self) -> None:
        take_counts(self, "hidden", ())

    def encoder(self, shape: Shape) -> nn.Module:
        """Return flatten, then Linear + ReLU per hidden width: ``(n, hidden[-1])``."""
        return nn.Sequential(nn.Flatten(), *_layers((prod(shape), *self.hidden)))

    def decoder(self, z_dim: int, shape: Shape) -> nn.Module:
        """Return the mirror image of the encoder, ending in a linear layer."""
        widths = (z_dim, *reversed(self.hidden))
        return nn.Sequential(*_layers(widths), nn.Linear(widths[-1], prod(shape)), Reshape(shape))


def _layers(widths: tuple[int, ...]) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise(widths):
        layers += [nn.Linear(n_in, n_out), nn.ReLU()]
    return layers

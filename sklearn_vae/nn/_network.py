"""What every network is: a recipe for an encoder and a decoder of a given size."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from ..utils._recipes import Recipe
from ._mps import fastest_layout

Shape = tuple[int, ...]


class Network(Recipe, ABC):
    """A recipe for an encoder and its decoder.

    A network holds hyperparameters only; its two methods build fresh modules. Subclasses are
    frozen dataclasses, so that they compare by value, print as their own constructor call and
    work as a scikit-learn parameter. Shapes exclude the batch: ``(c, h, w)`` for images, ``(d,)``
    for vectors.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> from math import prod
    >>> import numpy as np
    >>> from torch import nn
    >>> from sklearn_vae import VAETransformer
    >>> from sklearn_vae.nn import Network
    >>> @dataclass(frozen=True)
    ... class OneLayer(Network):
    ...     width: int = 64
    ...     takes_vectors = True
    ...     def encoder(self, shape):
    ...         return nn.Sequential(nn.Flatten(), nn.Linear(prod(shape), self.width), nn.Tanh())
    ...     def decoder(self, z_dim, shape):
    ...         return nn.Sequential(nn.Linear(z_dim, prod(shape)), nn.Unflatten(1, shape))
    >>> X = np.random.default_rng(0).random((20, 8, 8))
    >>> vae = VAETransformer(2, network=OneLayer(width=16), max_epochs=1, device="cpu")
    >>> vae.fit_transform(X).shape
    (20, 2)
    """

    takes_vectors: bool = False
    """Whether the encoder accepts shape ``(d,)``; images only when False."""
    has_base: bool = False
    """Whether the model gets a linear encoder and decoder beside: see :class:`LinearBase`."""

    @abstractmethod
    def encoder(self, shape: Shape) -> nn.Module:
        """Return a module from ``(n, *shape)`` to activations ``(n, ...)`` of any shape.

        :class:`Stages` if several of its layers are to be hidden features. The linear layer to the
        posterior is not part of it.
        """

    @abstractmethod
    def decoder(self, z_dim: int, shape: Shape) -> nn.Module:
        """Return a module from ``(n, z_dim)`` to ``(n, *shape)``, without a final non-linearity.

        ``z_dim`` includes the classes where the decoder sees them; ``shape`` is that of x, with
        as many times the channels (or values) as the likelihood has parameters per value.
        """

    def prepare(self, encoder: nn.Module, examples: Callable[[int], Tensor]) -> None:
        """Set what of a new encoder comes from the training samples: of most networks nothing.

        ``examples`` returns as many of them as asked for, scaled, ``(k, *shape)``, or all.
        """


@dataclass(frozen=True)
class Custom(Network):
    """A pair of user-made modules; each fit trains a copy, so the originals stay as they are.

    They may be on any device: the copies go to that of the estimator.

    Parameters
    ----------
    encoder_module : torch.nn.Module
        Maps ``(n, *shape)`` to activations ``(n, ...)`` of any shape. The package adds the linear
        layer from these activations to the posterior. Weights are kept as they are (a module that
        was trained elsewhere stays trained).
    decoder_module : torch.nn.Module
        Maps ``(n, z_dim)`` to ``(n, k * c, h, w)`` or ``(n, k * d)``. These are the parameters of
        the likelihood before any non-linearity, k per value: one, or two for
        ``"discretized-logistic"``. Begin with ``torch.nn.LazyLinear`` so that ``z_dim`` can be
        tuned.
    """

    encoder_module: nn.Module
    decoder_module: nn.Module
    takes_vectors = True

    def encoder(self, shape: Shape) -> nn.Module:
        """Return a copy of the user's encoder, in host memory."""
        return copy.deepcopy(self.encoder_module).cpu()

    def decoder(self, z_dim: int, shape: Shape) -> nn.Module:
        """Return a copy of the user's decoder, in host memory."""
        return copy.deepcopy(self.decoder_module).cpu()


class Stages(nn.Sequential):
    """An encoder's parts, in order; the activations of each are hidden features.

    Of an encoder of another type only the last activations are.

    Examples
    --------
    >>> import numpy as np
    >>> from torch import nn
    >>> from sklearn_vae import VAETransformer
    >>> from sklearn_vae.nn import Stages
    >>> encoder = Stages(
    ...     nn.Sequential(nn.Conv2d(1, 3, 4, 2, 1), nn.ReLU()),
    ...     nn.Sequential(nn.Conv2d(3, 5, 4, 2, 1), nn.ReLU()),
    ... )
    >>> decoder = nn.Sequential(nn.Linear(2, 64), nn.Unflatten(1, (1, 8, 8)))
    >>> X = np.random.default_rng(0).random((20, 8, 8))
    >>> vae = VAETransformer(
    ...     2, network=(encoder, decoder), features="hidden", max_epochs=1, device="cpu"
    ... )
    >>> vae.fit_transform(X).shape  # 3 maps of 4 x 4 and 5 of 2 x 2
    (20, 68)
    """


class Beside(nn.Module):
    """An encoder with one more source of hidden features, of which its output knows nothing."""

    def __init__(self, source: nn.Module, encoder: nn.Module) -> None:
        super().__init__()
        self.source = source
        self.encoder = encoder

    def forward(self, x: Tensor) -> Tensor:
        """Return the encoder's activations."""
        return self.encoder(x)


def stage_activations(encoder: nn.Module, x: Tensor) -> list[Tensor]:
    """Return all that hidden features are made of; the last is what the encoder returns."""
    if isinstance(encoder, Beside):
        return [encoder.source(x), *stage_activations(encoder.encoder, x)]
    found = []
    for stage in encoder if isinstance(encoder, Stages) else [encoder]:
        x = stage(x)
        found.append(x)
    return found


class Reshape(nn.Module):
    """Give each row of a batch a new shape."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(n, prod(shape))`` to ``(n, *shape)``; maps in the fastest layout."""
        x = x.unflatten(1, self.shape)
        return fastest_layout(x) if x.dim() == 4 else x

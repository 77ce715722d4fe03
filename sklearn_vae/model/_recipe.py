"""What a VAE is made of, before there are weights."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..input._rows import to_tensor
from ..input._spec import InputSpec, rows_at_once
from ..nn import MLP, NETWORKS, Conv, Custom, LinearBase, Network
from ..utils._generators import generators_restored
from ..utils._memory import explains_memory
from ._likelihoods import LIKELIHOODS, Likelihood
from ._posteriors import POSTERIORS, PosteriorFamily
from ._ppca import start_at_ppca
from ._priors import PRIORS, Prior
from ._vae import VAE

MANY_ROWS = 20_000
"""From how many rows on the larger of two networks is the usual one."""


def _to_build(recipe: VAERecipe, spec: InputSpec, X: np.ndarray | None = None) -> str:
    """Return what was asked for when there was no memory to build a model, and a remedy."""
    smaller = "smaller images, " if spec.is_image else ""
    return (
        f"building the model of samples of shape {spec.shape} with z_dim={recipe.z_dim}. Take "
        f"{smaller}a smaller network or z_dim."
    )


@dataclass(frozen=True)
class VAERecipe:
    """The parts of a VAE, settled for one form of samples.

    Attributes
    ----------
    z_dim : int
        Dimensions of the latent space.
    network : Network
    likelihood : Likelihood
        ``bounded`` tells that samples lie in [0, 1].
    prior : Prior
    posterior : PosteriorFamily
    n_classes : int, default=0
        Classes that the decoder sees.
    n_labels : int, default=0
        Classes that a head on the posterior mean tells.
    """

    z_dim: int
    network: Network
    likelihood: Likelihood
    prior: Prior
    posterior: PosteriorFamily
    n_classes: int = 0
    n_labels: int = 0

    @classmethod
    def resolve(
        cls, parameters: Mapping[str, Any], spec: InputSpec, n: int | None = None
    ) -> VAERecipe:
        """Return what an estimator's parameters stand for, names and ``"auto"`` among them.

        ``n`` samples are there, on which ``network="auto"`` depends.
        """
        prior, posterior = parameters["prior"], parameters["posterior"]
        return cls(
            parameters["z_dim"],
            _resolve_network(parameters["network"], spec, n),
            _resolve_likelihood(parameters["likelihood"], spec),
            PRIORS[prior]() if isinstance(prior, str) else prior,
            POSTERIORS[posterior]() if isinstance(posterior, str) else posterior,
        )

    @explains_memory(_to_build)
    def build(self, spec: InputSpec, X: np.ndarray | None = None) -> VAE:
        """Return a new VAE on the CPU, made for training samples X; None to load weights into."""
        scaling = spec.scaling(X, standardise=not self.likelihood.bounded)

        def examples(k: int) -> torch.Tensor:
            assert X is not None
            rows = np.linspace(0, len(X) - 1, k).round().astype(int)
            return scaling(to_tensor(X[rows]))

        def batches(k: int) -> Iterator[torch.Tensor]:
            assert X is not None
            step = -(-len(X) // k)
            for start in range(0, len(X), step * (n := rows_at_once(spec.shape))):
                yield scaling(to_tensor(X[start : start + step * n : step]))

        try:
            model = VAE(
                scaling,
                self.network,
                self.z_dim,
                self.likelihood.for_data(bounded=self.likelihood.bounded),
                self.n_classes,
                self.prior,
                self.n_labels,
                self.posterior,
                None if X is None else examples,
            )
            model.float()  # whatever torch's default is
        except RuntimeError as error:  # torch's word for modules that do not fit together
            raise ValueError(
                f"network={self.network!r} cannot process inputs of shape {spec.shape} with "
                f"z_dim={self.z_dim}: {error}"
            ) from error
        if X is not None:
            with generators_restored():  # training is what it would be without them
                model.check_parts(examples(2))
                self.network.prepare(model.encoder, lambda k: examples(min(len(X), k)))
                if model.base is not None:
                    start_at_ppca(model, batches)
        return model


def _resolve_network(given: Any, spec: InputSpec, n: int | None) -> Network:
    network = given
    if isinstance(given, str):
        network = _usual_network(spec, n or 0) if given == "auto" else NETWORKS[given]()
    elif isinstance(given, tuple):
        if len(given) != 2 or not all(isinstance(m, torch.nn.Module) for m in given):
            raise ValueError(f"network={given!r}: give two torch modules, (encoder, decoder).")
        network = Custom(*given)
    if not network.takes_vectors:
        spec.check_image(f"network={given!r} needs images", ". Else use network='mlp'")
    return network


def _usual_network(spec: InputSpec, n: int) -> Network:
    if not spec.is_image:
        hidden = (512, 256) if n >= MANY_ROWS else (128,)
        return MLP() if spec.is_intensity else LinearBase(MLP(hidden))
    # A third halving would leave less than 2 x 2 of tiny images, and their code collapses.
    convolutions = Conv((64, 128) if spec.is_tiny else "auto", batch_norm=True)
    return LinearBase(convolutions) if spec.is_large else convolutions


def _resolve_likelihood(given: Any, spec: InputSpec) -> Likelihood:
    likelihood = given
    if isinstance(given, str):
        gaussian = spec.is_tiny or spec.is_large or spec.is_colour or not spec.is_intensity
        usual = "gaussian" if gaussian else "bernoulli"
        likelihood = LIKELIHOODS[usual if given == "auto" else given]()
    # Settings only: tensors are made with the model, and skops saves no others.
    likelihood = copy.deepcopy(likelihood)
    likelihood.bounded = spec.is_intensity or likelihood.needs_bounded
    return likelihood

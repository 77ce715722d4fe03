"""Building a model of the parts that an estimator has chosen."""

from __future__ import annotations

import numpy as np
import torch

from ._images import InputSpec
from .model import VAE, Likelihood, PosteriorFamily, Prior
from .nn import Network
from .training import generators_restored, to_tensor


def build_model(
    spec: InputSpec,
    network: Network,
    z_dim: int,
    likelihood: Likelihood,
    prior: Prior,
    posterior: PosteriorFamily,
    X: np.ndarray | None = None,
    n_classes: int = 0,
    n_labels: int = 0,
) -> VAE:
    """Return a new VAE on the CPU, made for training samples X; without X, to load weights into."""
    scaling = spec.scaling(X, standardise=not likelihood.bounded)
    fresh = likelihood.for_data(bounded=likelihood.bounded)

    def examples(k: int) -> torch.Tensor:
        if X is None:
            return torch.zeros(k, *spec.shape)
        rows = np.linspace(0, len(X) - 1, k).round().astype(int)
        return scaling(to_tensor(X[rows]))

    try:
        model = VAE(scaling, network, z_dim, fresh, n_classes, prior, n_labels, posterior, examples)
        model.float()  # whatever torch's default is
    except RuntimeError as error:  # torch's word for modules that do not fit together
        raise ValueError(
            f"network={network!r} cannot process inputs of shape {spec.shape} with z_dim={z_dim}: "
            f"{error}"
        ) from error
    if X is not None:
        n = len(X)
        with generators_restored():  # training is what it would be without them
            model.check_parts(examples(2))
            network.prepare(model.encoder, lambda k: examples(min(n, k)))
    return model

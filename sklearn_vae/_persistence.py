"""Building a model and turning it into plain arrays: what is pickled instead of live nets."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ._images import InputSpec
from .model import VAE, Likelihood, PosteriorFamily, Prior
from .nn import Network
from .nn._patches import PATCHED_IMAGES, WhitenedPatches
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
    with generators_restored():  # training is what it would be without them
        if X is not None:
            model.check_parts(examples(2))
        for module in model.modules():
            if X is not None and isinstance(module, WhitenedPatches):
                module.take_from(examples(min(len(X), PATCHED_IMAGES)))
    return model


def weights_to_arrays(model: VAE) -> dict[str, np.ndarray]:
    """Return the model's state as arrays in host memory; the model stays where it is."""
    return {name: tensor.detach().cpu().numpy() for name, tensor in model.state_dict().items()}


def load_arrays(model: VAE, arrays: dict[str, np.ndarray]) -> VAE:
    """Load what :func:`weights_to_arrays` returned."""
    # np.array copies: arrays from a memory-mapped joblib file are read-only.
    state = {name: torch.from_numpy(np.array(a, order="C")) for name, a in arrays.items()}
    # A model without memory takes the tensors themselves; others keep theirs, tied ones included.
    model.load_state_dict(state, assign=any(p.is_meta for p in model.parameters()))
    return model


def to_cpu(state: Any) -> Any:
    """Return nested containers of tensors, such as an optimiser's state, copied to the CPU."""
    if isinstance(state, torch.Tensor):
        return state.detach().cpu().clone()
    if isinstance(state, dict):
        return {key: to_cpu(value) for key, value in state.items()}
    return type(state)(map(to_cpu, state)) if isinstance(state, (list, tuple)) else state

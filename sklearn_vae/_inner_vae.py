"""The VAE inside another estimator: a template to train a copy of, or frozen as it is."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted

from ._transformer import VAETransformer
from .input._rows import Rows


def unfrozen(frozen: FrozenEstimator) -> VAETransformer:
    """Return the fitted VAE inside; TypeError where it is another estimator."""
    check_is_fitted(frozen.estimator)
    if not isinstance(frozen.estimator, VAETransformer):
        raise TypeError(f"vae={frozen!r} holds no VAETransformer.")
    return frozen.estimator


def seeded_clone(estimator: Any, rng: np.random.RandomState) -> Any:
    """Return a clone whose random states, where they are None, are drawn from ``rng``."""
    estimator = clone(estimator)
    params = estimator.get_params(deep=True)
    states = [name for name in sorted(params) if name.split("__")[-1] == "random_state"]
    seeds = {name: int(rng.randint(2**31 - 1)) for name in states}
    estimator.set_params(**{k: v for k, v in seeds.items() if params[k] is None})
    return estimator  # set_params of a FrozenEstimator returns None


def read(vae: VAETransformer, X: Any) -> Rows:
    """Return the checked samples of an X after fit; tensors on the VAE's GPU stay there."""
    return vae.codec_.read(X, names_of=vae, in_place=True)

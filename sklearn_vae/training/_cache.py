"""Trainings that a cache has: what an estimator learns, kept and recalled."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from sklearn.base import clone

from ..input._read import check_is_here
from ..utils._caches import opened_cache

BESIDE_TRAINING = {
    "features": "mean",
    "symmetry": None,
    "memory": None,
    "checkpoint": None,
    "loader_workers": 0,
    "verbose": 0,
}
"""Parameters that training does not depend on, at their defaults: a cache does not look at them."""
NOT_ALWAYS = ("classes_", "n_unlabelled_", "feature_names_in_", "net_", "_loaded_optimizer")
"""What a training leaves or not: where it is recalled, that of another one has to go."""


def learnt(estimator: Any) -> dict[str, Any]:
    """Return the state of a fitted estimator without its parameters."""
    parameters = {*estimator.get_params(deep=False), "_sklearn_version"}
    return {k: v for k, v in estimator.__getstate__().items() if k not in parameters}


def adopt(unseen: Any, found: dict[str, Any]) -> None:
    """Let an estimator have what a training elsewhere has left, and nothing of another one."""
    kept = {k: v for k, v in vars(unseen).items() if k not in NOT_ALWAYS}
    unseen.__dict__ = kept | found


def recalled(estimator: Any, X: Any, y: Any) -> dict[str, Any]:
    """Return what training leaves, from the cache where it was there before."""
    if estimator.parallel == "ddp":
        raise ValueError(
            "memory with parallel='ddp': processes might find different caches. Set memory=None."
        )
    check_is_here(X)
    if estimator.symmetry is not None:
        clone(estimator).read_training(X)  # refuses it for rows
    untrained = clone(estimator).set_params(**BESIDE_TRAINING)
    train = opened_cache(estimator.memory).cache(_trained, ignore=["beside"])
    beside = {k: getattr(estimator, k) for k in ("checkpoint", "loader_workers", "verbose")}
    versions = tuple(version(name) for name in ("sklearn-vae", "torch"))
    return train(untrained, X, y, beside, versions)


def _trained(vae: Any, X: Any, y: Any, beside: Any, versions: Any) -> dict[str, Any]:
    """Return the attributes of the fitted VAE; other versions train others."""
    return learnt(vae.set_params(**beside).fit(X, y))

"""The fitted VAE in what a display is given, and the samples as it sees them."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import check_is_fitted
from torch.utils.data import Dataset, Subset

from .._detector import VAEDetector
from .._transformer import VAETransformer

Kind = TypeVar("Kind", VAETransformer, VAEDetector)


def resolve(estimator: Any, kind: type[Kind], X: Any = None) -> tuple[Kind, Any]:
    """Return the fitted estimator of that kind inside, and X as it sees it.

    Looks into FrozenEstimators and Pipelines; X, where given, goes through the steps before.
    """
    found = _find(estimator, kind)
    if found is None:
        raise TypeError(
            f"A {kind.__name__} is needed, alone, in a FrozenEstimator or as a step of a Pipeline; "
            f"got {type(estimator).__name__}. {_remedy(estimator, kind)}"
        )
    steps, inner = found
    check_is_fitted(inner)
    if X is not None:
        for step in steps:
            X = step.transform(X)
    return inner, X


def _find(estimator: Any, kind: type[Kind]) -> tuple[list[Pipeline], Kind] | None:
    """Return the pipelines before the first estimator of that kind, and the estimator."""
    if isinstance(estimator, kind):
        return [], estimator
    if isinstance(estimator, FrozenEstimator):
        return _find(estimator.estimator, kind)
    if isinstance(estimator, Pipeline):
        for i, (_, step) in enumerate(estimator.steps):
            found = _find(step, kind)
            if found is not None:
                before = [estimator[:i]] if i else []
                return before + found[0], found[1]
    return None


def _remedy(estimator: Any, kind: type[Kind]) -> str:
    for name in ("best_estimator_", "vae_"):
        part = getattr(estimator, name, None)
        if part is not None and _find(part, kind):
            return f"Pass its {name}."
    if kind is VAEDetector and _find(estimator, VAETransformer):
        return "Make one of the fitted VAE: VAEDetector(FrozenEstimator(vae)).fit(X_normal)."
    return f"Pass the fitted {kind.__name__} itself, and X in the form that it was fitted on."


def image_shape_of(vae: VAETransformer) -> tuple[int, ...] | None:
    """Return what one row of the VAE's X is as an image; None where X has images already."""
    spec = vae.spec_
    if not spec.is_image:
        raise ValueError(
            f"Images are needed, but the VAE was fitted on rows of {vae.n_features_in_} values. If "
            "these are images, fit with image_shape=(height, width[, channels]) and values in "
            "[0, 1]. LatentDisplay and TrainingCurveDisplay take any VAE."
        )
    if len(spec.raw_shape) > 1:
        return None
    c, h, w = spec.shape
    return (h, w, c) if spec.channels_last else (c, h, w)


def decode_grid(vae: VAETransformer, Z: np.ndarray) -> np.ndarray:
    """Return what codes Z of shape (n_rows, n_cols, z_dim) decode to, (n_rows, n_cols, ...)."""
    images = vae.inverse_transform(Z.reshape(-1, Z.shape[2]))
    return images.reshape(*Z.shape[:2], *images.shape[1:])


def first(X: Any, n: int) -> Any:
    """Return the first n samples of X, or all where there are fewer, in its own container."""
    if isinstance(X, Dataset):
        return Subset(X, range(min(n, len(X))))  # type: ignore[arg-type]
    return _safe_indexing(X, slice(0, n))


def to_array(vae: VAETransformer, X: Any) -> np.ndarray:
    """Return X, checked by the VAE, as an array."""
    data = vae._read(X, reset=False)
    return data.rows(0, len(data)).numpy()

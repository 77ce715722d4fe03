"""The fitted VAE in what a display is given, and the samples as it sees them."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from torch.utils.data import Dataset, Subset

from .._detector import VAEDetector
from .._transformer import VAETransformer
from ..input._rows import ItemDataset
from ..input._samples import to_array
from ..utils._counts import check_count

Kind = TypeVar("Kind", VAETransformer, VAEDetector)


def find(estimator: Any, kind: type[Kind]) -> tuple[list[Pipeline], Kind] | None:
    """Return the pipelines before the first estimator of that kind, and the estimator."""
    if isinstance(estimator, kind):
        return [], estimator
    if isinstance(estimator, FrozenEstimator):
        return find(estimator.estimator, kind)
    if isinstance(estimator, Pipeline):
        for i, (_, step) in enumerate(estimator.steps):
            found = find(step, kind)
            if found is not None:
                before = [estimator[:i]] if i else []
                return before + found[0], found[1]
    return None


def remedy(estimator: Any, kind: type[Kind]) -> str:
    """Return, as a sentence, what to pass in place of an estimator that has none inside."""
    for name in ("best_estimator_", "vae_"):
        part = getattr(estimator, name, None)
        if part is not None and find(part, kind):
            return f"Pass its {name}."
    if kind is VAEDetector and find(estimator, VAETransformer):
        return "Make one of the fitted VAE: VAEDetector(FrozenEstimator(vae)).fit(X_normal)."
    return f"Pass the fitted {kind.__name__} itself, and X in the form that it was fitted on."


def image_shape_of(vae: VAETransformer) -> tuple[int, ...] | None:
    """Return what one row of the VAE's X is as an image; None where X has images already."""
    spec = vae.spec_
    also = " and fit again. LatentDisplay and TrainingCurveDisplay take any VAE"
    spec.check_image("Images are needed", also)
    if len(spec.raw_shape) > 1:
        return None
    c, h, w = spec.shape
    return (h, w, c) if spec.channels_last else (c, h, w)


def latent_means(vae: VAETransformer, X: Any) -> np.ndarray:
    """Return the posterior mean of each sample, (n, z_dim), whatever ``transform`` returns."""
    return vae.codec_.posterior(vae.codec_.read(X, names_of=vae))[0]


def decode_grid(vae: VAETransformer, Z: np.ndarray) -> np.ndarray:
    """Return what codes Z of shape (n_rows, n_cols, z_dim) decode to, (n_rows, n_cols, ...)."""
    images = vae.codec_.decode(Z.reshape(-1, Z.shape[2]))
    return images.reshape(*Z.shape[:2], *images.shape[1:])


def check_steps(n_steps: Any) -> int:
    """Return the number of images along a line; refuse what is below 2."""
    if check_count("n_steps", n_steps) < 2:
        raise ValueError(f"n_steps={n_steps}: give an int >= 2, for both ends of the line.")
    return int(n_steps)


def first(X: Any, n_images: Any) -> Any:
    """Return the first samples of X, all where there are fewer, in its own container."""
    n = check_count("n_images", n_images)
    if isinstance(X, Dataset):
        return Subset(X, range(min(n, len(X))))  # type: ignore[arg-type]
    return getattr(X, "iloc", X)[:n]


def as_samples(X: Any) -> np.ndarray:
    """Return samples that a VAE took as an array."""
    if isinstance(X, Dataset):
        return ItemDataset(X).rows(0, len(X)).numpy()  # type: ignore[arg-type]
    return np.asarray(to_array(X))

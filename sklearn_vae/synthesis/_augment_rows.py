"""Ordinary augmentation of finished rows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from ..augmentation._augment import Augment, resolve_augment
from ..input._rows import to_tensor
from ..input._spec import InputSpec, rows_at_once
from ..utils._generators import seeded


def augment_rows(
    X: np.ndarray,
    spec: InputSpec,
    augment: str | float | Callable[[torch.Tensor], torch.Tensor],
    seed: int,
) -> np.ndarray:
    """Return X with every image changed by its own draw.

    Parameters
    ----------
    X : ndarray of shape (n, ...)
        Images in the form that ``spec`` describes.
    spec : InputSpec
        Shape, layout and dtype of the images.
    augment : str, float or callable
        As ``VAETransformer(augment=...)``. The named ones draw per image for a whole batch at
        once. Callables, such as torchvision's, draw once per call, so each image is a call.
    seed : int
        torch is seeded with it; the caller's generator is left alone.

    Returns
    -------
    changed : ndarray of shape (n, ...)
        In the layout, range and dtype of X; values are clipped to the range.

    Raises
    ------
    ValueError
        For a callable that changes the size of images, and for names and numbers on vectors.
    """
    change = resolve_augment(augment, spec.shape)
    if change is None or not len(X):
        return X
    scaling = spec.scaling(standardise=False)
    step = rows_at_once(spec.shape)
    out = np.empty_like(X)
    with torch.no_grad(), seeded(seed, torch.device("cpu")):
        for start in range(0, len(X), step):
            x = scaling(to_tensor(np.array(X[start : start + step])))
            raw = scaling.inverse(augment_batch(x, change))
            out[start : start + step] = spec.restore(raw.numpy())
    return out


def check_augment(
    augment: str | float | Callable[[torch.Tensor], torch.Tensor] | None, spec: InputSpec
) -> None:
    """Refuse before any training what could not change an image."""
    if augment is None:
        return
    spec.check_image(f"augment={augment!r} is for images", " of vae, else augment=None")
    augment_rows(np.zeros((1, *spec.raw_shape), spec.dtype), spec, augment, 0)


def augment_batch(x: torch.Tensor, change: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
    """Return images x, (n, c, h, w) in [0, 1], each changed by its own draw; in [0, 1]."""
    new = change(x) if isinstance(change, Augment) else _one_by_one(change, x)
    return new.clamp(0, 1)


def _one_by_one(change: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    new = torch.cat([change(image[None]) for image in x])
    if new.shape != x.shape:
        raise ValueError(
            f"augment={change!r} turned images of shape {tuple(x.shape[1:])} into "
            f"{tuple(new.shape[1:])}; the size must stay. Add a resize or a padded crop."
        )
    return new

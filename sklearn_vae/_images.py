"""Arrays and tensors: layout, range, dtype, and what is refused before any training."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from numbers import Integral
from typing import Any

import numpy as np
import torch
from sklearn.utils import check_array
from sklearn.utils.validation import validate_data

from .nn._scaling import ROUNDING, Scaling

MIN_SIDE = 8
MAX_CHANNELS = 4
CHUNK_PIXELS, CHUNK_VALUES = 2**18, 3 * 2**18
"""Pixels of images and values of vectors in one chunk of inference. Fastest of those tried: with
their activations, of which convolutions have many a pixel, about what a cache holds."""

Array = np.ndarray


@dataclass(frozen=True)
class InputSpec:
    """What fit saw, and therefore what the other methods accept and return.

    Attributes
    ----------
    shape : tuple of int
        One sample as the network sees it: ``(c, h, w)``, or ``(d,)`` for vectors.
    raw_shape : tuple of int
        One sample as the user passes it.
    channels_last : bool
        Whether the raw channels come last.
    dtype : str
        Name of the dtype of the fitted X, in which images are returned.
    """

    shape: tuple[int, ...]
    raw_shape: tuple[int, ...]
    channels_last: bool
    dtype: str

    @property
    def is_image(self) -> bool:
        """Whether samples are images rather than vectors."""
        return len(self.shape) == 3

    @property
    def is_colour(self) -> bool:
        """Whether samples are images of more than one channel."""
        return self.is_image and self.shape[0] > 1

    @property
    def is_tiny(self) -> bool:
        """Whether samples are images of fewer than 16 pixels a side."""
        return self.is_image and min(self.shape[1:]) < 16

    @property
    def is_intensity(self) -> bool:
        """Whether values are intensities with a known range: uint8, bool, or any image."""
        return self.is_image or self.dtype in ("uint8", "bool")

    @property
    def n_features(self) -> int:
        """Number of values in one sample."""
        return int(np.prod(self.raw_shape))

    def scaling(self, X: Array | None = None, *, standardise: bool) -> Scaling:
        """Return the model's first step; with ``standardise``, vectors get the scale of X."""
        loc = scale = None
        if standardise and X is None:  # rebuilt from a file: the state dict brings the values
            loc, scale = torch.zeros(self.shape), torch.ones(self.shape)
        elif standardise and X is not None:
            mean, std = X.mean(0, dtype=np.float64), X.std(0, dtype=np.float64)
            rounding = len(X) * np.finfo(np.float64).eps * np.abs(mean)  # of a constant column
            scale = torch.from_numpy(np.where(std > rounding, std, 1.0))
            loc = torch.from_numpy(mean)
            _check_scale(loc, scale)
        return Scaling(
            self.shape,
            self.raw_shape,
            channels_last=self.channels_last,
            maximum=255.0 if self.dtype == "uint8" else 1.0,
            loc=loc,
            scale=scale,
        )

    def restore(self, x: Array) -> Array:
        """Return decoded values (raw range; uint8 or float) in the dtype of the fitted X.

        Of integers other than uint8 in the float type that holds them. Values beyond the range of
        a narrower type become its largest.
        """
        if self.dtype == "bool":
            return x > 0.5
        same = self.dtype in ("uint8", "float16")
        dtype = np.dtype(self.dtype if same else np.result_type(self.dtype, np.float32))
        if dtype.itemsize < x.dtype.itemsize:
            x = x.clip(np.finfo(dtype).min, np.finfo(dtype).max)
        return x.astype(dtype, copy=False)


def _check_scale(loc: torch.Tensor, scale: torch.Tensor) -> None:
    """Refuse columns that cannot be standardised in float32."""
    held = loc.float().isfinite() & scale.float().isfinite() & (scale.float() > 0)
    if not held.all():
        i = int((~held).nonzero()[0, 0])
        raise ValueError(
            f"Column {i} of X has mean {loc[i]:.3g} and standard deviation {scale[i]:.3g}, which "
            "float32 cannot hold. Scale X, for example with StandardScaler."
        )


def read_array(estimator: Any, X: Any, *, reset: bool, at_least: int = 1) -> Array:
    """Return a user's array-like as a checked array; rows set or check the feature names."""
    X = from_torch(X)
    checks = {"dtype": "numeric", "ensure_min_samples": at_least, "allow_nd": True}
    if _n_dim(X) > 2:
        return check_array(X, estimator=estimator, **checks)
    return validate_data(estimator, X, reset=reset, **checks)


def from_torch(X: Any) -> Any:
    """Return a tensor, of any device, as an array; anything else as it is."""
    if not isinstance(X, torch.Tensor):
        return X
    X = X.detach().cpu()
    return X.float().numpy() if X.dtype == torch.bfloat16 else X.numpy()  # NumPy has no bfloat16


def _n_dim(X: Any) -> int:
    """Return the number of dimensions of an array-like; 2 for what is none, to be refused."""
    if not isinstance(X, (list, tuple)):
        return getattr(X, "ndim", 2)
    try:
        return np.ndim(X)
    except ValueError:  # ragged
        return 2


def read_spec(X: Array, image_shape: tuple[int, ...] | None) -> InputSpec:
    """Work out the layout of X, shape (n, ...), or say which parameter resolves it."""
    dtype = X.dtype.name
    sample = X.shape[1:]
    if len(sample) == 1 and image_shape is None:
        return InputSpec(sample, sample, False, dtype)
    shape = sample if len(sample) > 1 else tuple(int(s) for s in image_shape or ())
    if image_shape is not None and len(sample) > 1 and tuple(image_shape) != sample:
        raise ValueError(
            f"image_shape={tuple(image_shape)} does not match X of shape {X.shape}: one image of "
            f"X has shape {sample}. Leave image_shape=None for arrays that are not flattened."
        )
    if np.prod(shape) != np.prod(sample):
        raise ValueError(
            f"image_shape={shape} has {int(np.prod(shape))} values, but the rows of X have "
            f"{int(np.prod(sample))}. Set image_shape to the (height, width), (height, width, "
            "channels) or (channels, height, width) that the images had before they were flattened."
        )
    channels_last, c, h, w = _layout(shape, flattened=len(sample) == 1)
    if dtype not in ("uint8", "bool", "float16", "float32", "float64"):
        raise ValueError(
            f"X holds images of dtype {dtype}; images are uint8 (0 to 255), bool, or float in "
            "[0, 1]. Convert with X.astype(np.uint8), or divide by the largest possible value."
        )
    return InputSpec((c, h, w), sample, channels_last, dtype)


def _layout(shape: tuple[int, ...], *, flattened: bool) -> tuple[bool, int, int, int]:
    """Return (channels_last, c, h, w) of one image's shape."""
    what = f"image_shape={shape}" if flattened else f"X of shape (n, {', '.join(map(str, shape))})"
    if len(shape) not in (2, 3):
        raise ValueError(
            f"{what} is not a set of images: use (n, height, width), (n, height, width, channels), "
            "(n, channels, height, width), or rows (n, n_values) with image_shape."
        )
    if len(shape) == 2:
        channels_last, (c, h, w) = False, (1, *shape)
    else:
        last, first = shape[2] <= MAX_CHANNELS, shape[0] <= MAX_CHANNELS
        if last == first:
            why = "both ends look like channels" if last else "neither end has 1 to 4 channels"
            raise ValueError(
                f"{what} is ambiguous: {why}. Pass (height, width, channels) or (channels, height, "
                "width) with 1 to 4 channels and at least 8 pixels a side; for flattened rows set "
                "image_shape to one of these."
            )
        channels_last = last
        c, h, w = (shape[2], *shape[:2]) if last else shape
    if min(h, w) < MIN_SIDE:
        hint = " A single image needs a leading axis: X[None]." if not flattened else ""
        raise ValueError(
            f"{what} gives images of {h}x{w} pixels; at least {MIN_SIDE}x{MIN_SIDE} is needed. "
            f"Enlarge them, or pass rows (n, n_values) with network='mlp'.{hint}"
        )
    return channels_last, c, h, w


def check_values(X: Array, *, bounded: bool, remedy: str) -> None:
    """Refuse values outside [0, 1] where ``bounded``; uint8 and bool always fit."""
    if not bounded or X.dtype.kind in "b" or X.dtype == np.uint8:
        return
    low, high = X.min(), X.max()
    if low < -ROUNDING or high > 1 + ROUNDING:
        raise ValueError(f"X has values from {low:.8g} to {high:.8g}; {remedy}")


def check_same(X: Array, spec: InputSpec, *, bounded: bool) -> None:
    """Refuse an X that differs from the fitted one in shape, kind of dtype or range."""
    if X.shape[1:] != spec.raw_shape:
        raise ValueError(
            f"X has samples of shape {X.shape[1:]}, but the estimator was fitted on samples of "
            f"shape {spec.raw_shape}. Resize or reshape X, or fit again."
        )
    if spec.is_intensity and X.dtype.name != spec.dtype:
        both_float = X.dtype.kind == "f" and np.dtype(spec.dtype).kind == "f"
        if not both_float:
            raise ValueError(
                f"X has dtype {X.dtype.name}, but the estimator was fitted on {spec.dtype}, and "
                "the two mean different ranges (uint8: 0 to 255, float: 0 to 1). Convert X to "
                f"{spec.dtype} in its range, or fit again."
            )
    check_values(
        X,
        bounded=bounded,
        remedy="the estimator was fitted on values in [0, 1]. Scale X as the fitted data were.",
    )


def check_count(name: str, value: Any) -> int:
    """Return a number of samples or draws as an int; refuse what is none, or below 1."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
        raise ValueError(f"{name}={value!r}: give an int >= 1.")
    return int(value)


def chunk_rows(spec: InputSpec) -> int:
    """Return how many samples to encode or decode at once: little memory, fast caches."""
    n = CHUNK_PIXELS // prod(spec.shape[1:]) if spec.is_image else CHUNK_VALUES // spec.n_features
    return max(16, min(n, 4096))

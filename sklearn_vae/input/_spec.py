"""Arrays and tensors: layout, range, dtype, and what is refused before any training."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
import torch
from sklearn.utils import check_array
from sklearn.utils.validation import validate_data

from ..nn._scaling import ROUNDING, Scaling
from ._ranges import OF_ARRAY, OF_ITEMS, Spelling, darkness
from ._samples import dense

MIN_SIDE = 8
MAX_CHANNELS = 4
WHITE = 255
DTYPES = {np.dtype(code).name for code in "?" + np.typecodes["AllInteger"] + np.typecodes["Float"]}
"""Names of the dtypes that X can have."""
DARK_WARNING = "The largest value of X is"
"""How the warning of images that look like ones of another range begins."""
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
    white : int, default=255
        The highest level of uint8: 1 where the fitted X is a set of masks, of 0 and 1 alone.
    """

    shape: tuple[int, ...]
    raw_shape: tuple[int, ...]
    channels_last: bool
    dtype: str
    white: int = WHITE

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
    def maximum(self) -> float:
        """The raw value that is 1 for the network."""
        return float(self.white) if self.dtype == "uint8" else 1.0

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
            maximum=self.maximum,
            loc=loc,
            scale=scale,
        )

    def restore(self, x: Array) -> Array:
        """Return decoded values (raw range; uint8 or float) in the dtype of the fitted X.

        Levels are rounded. Of integers other than uint8 in the float type that holds them. Values
        beyond the range of a narrower type become its largest.
        """
        if self.dtype == "bool":
            return x > 0.5
        if self.dtype == "uint8" and x.dtype.kind == "f":
            x = x.round().clip(0, self.white)
        same = self.dtype in ("uint8", "float16")
        dtype = np.dtype(self.dtype if same else np.result_type(self.dtype, np.float32))
        if dtype.kind == "f" and dtype.itemsize < x.dtype.itemsize:
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
    """Return what :func:`~sklearn_vae.input._samples.to_array` gave, checked.

    Rows set or check the feature names.
    """
    if getattr(getattr(X, "dtype", None), "kind", "") == "c":
        raise ValueError(
            f"Complex data not supported: X has dtype {X.dtype}. Pass X.real, or np.abs(X)."
        )
    checks = {"dtype": "numeric", "ensure_min_samples": at_least, "allow_nd": True}
    X = dense(X)
    try:
        if getattr(X, "ndim", 2) > 2:
            return check_array(X, estimator=estimator, **checks)
        return validate_data(estimator, X, reset=reset, **checks)
    except ValueError as error:
        what, _, _ = str(error).partition("\n")  # what follows names estimators for tables
        if "NaN" not in what and "infinity" not in what:
            raise
        raise ValueError(
            f"{what} Replace such values, for example by np.nan_to_num(X, posinf=1, neginf=0), or "
            "drop the samples."
        ) from error


def read_spec(
    X: Array, image_shape: tuple[int, ...] | None, spelling: Spelling = OF_ARRAY
) -> InputSpec:
    """Work out the layout of X, shape (n, ...), or say which parameter resolves it."""
    dtype = X.dtype.name
    sample = X.shape[1:]
    if len(sample) == 1 and image_shape is None:
        return InputSpec(sample, sample, False, dtype)
    shape = sample if len(sample) > 1 else tuple(int(s) for s in image_shape or ())
    if image_shape is not None and X.shape == tuple(image_shape):
        name = spelling.array or spelling.name
        raise ValueError(
            f"X has the shape {X.shape} of image_shape: it is one image. A set of images has a "
            f"leading axis, for one {name}[None], and a fit takes two or more."
        )
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
        real = X.dtype.kind in "iuf" and X.size
        values = f", from {X.min()} to {X.max()}" if real else ""
        remedy = spelling.remedy(X) if real else "Convert them."
        raise ValueError(
            f"X holds images of dtype {dtype}{values}; images are uint8 (0 to 255), bool, or float "
            f"in [0, 1]. {remedy}"
        )
    return InputSpec((c, h, w), sample, channels_last, dtype)


def check_spec(spec: InputSpec) -> None:
    """Refuse what :func:`read_spec` and :func:`with_white` cannot have found, as of a file."""
    if spec.dtype not in DTYPES or spec.white not in (1, WHITE):
        raise ValueError(f"dtype={spec.dtype!r:.40} with white={spec.white}: there is none such.")
    image_shape = None
    if len(spec.raw_shape) == 1 and len(spec.shape) == 3:
        c, h, w = spec.shape
        image_shape = (h, w, c) if spec.channels_last else (c, h, w)
    # A view of one value: nothing is allocated, whatever the shape.
    X = np.broadcast_to(np.zeros((), spec.dtype), (0, *spec.raw_shape))
    found = replace(read_spec(X, image_shape), white=spec.white)
    if found != spec:
        raise ValueError(f"{spec!s:.150} contradicts itself; it would be {found!s:.150}.")


def with_white(spec: InputSpec, X: Array) -> InputSpec:
    """Return the spec with 1 as white where X is a set of masks, uint8 of 0 and 1 alone."""
    return replace(spec, white=1) if spec.dtype == "uint8" and darkness(X) == 1 else spec


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


def check_values(X: Array, *, bounded: bool, remedy: str | Callable[[Array], str]) -> None:
    """Refuse values outside [0, 1] where ``bounded``; uint8 and bool always fit."""
    if not bounded or X.dtype.kind in "b" or X.dtype == np.uint8:
        return
    low, high = X.min(), X.max()
    if low < -ROUNDING or high > 1 + ROUNDING:
        remedy = remedy if isinstance(remedy, str) else remedy(X)
        raise ValueError(f"X has values from {low:.8g} to {high:.8g}; {remedy}")


def warn_of_darkness(X: Array, spec: InputSpec, spelling: Spelling) -> None:
    """Warn of intensities that look like ones of another range: 0 to 16 as levels of 255."""
    if not spec.is_intensity or X.dtype.kind == "b" or (high := darkness(X)) is None:
        return
    levels = X.dtype == np.uint8
    if spec.maximum == high:
        read = "uint8 of 0 and 1 alone is taken for masks, with 1 as white"
    elif levels:
        read = "uint8 is taken for 0 to 255, so that all is almost black"
    else:
        read = "float images are in [0, 1], so that these are almost black"
    warnings.warn(
        f"{DARK_WARNING} {high:.6g}; {read}. {spelling.brighter(high, levels=levels)}",
        UserWarning,
        stacklevel=6,
    )


def check_same(X: Array, spec: InputSpec, *, bounded: bool, spelling: Spelling = OF_ARRAY) -> None:
    """Refuse an X that differs from the fitted one in shape, kind of dtype or range."""
    check_shape(X.shape, spec, spelling)
    if spec.is_intensity and X.dtype.name != spec.dtype:
        both_float = X.dtype.kind == "f" and np.dtype(spec.dtype).kind == "f"
        if not both_float:
            raise ValueError(
                f"X has dtype {X.dtype.name}, but the estimator was fitted on {spec.dtype}, and "
                "the two mean different ranges (uint8: 0 to 255, float: 0 to 1). Fit again, or "
                "convert X as the fitted data were, for example by "
                f"{spelling.like_fitted(X, spec.dtype, spec.white)}."
            )
    check_masks(X, spec, spelling)

    def remedy(X: Array) -> str:
        same = "the estimator was fitted on values in [0, 1]. Scale X as the fitted data were"
        if not spec.is_image:
            return f"{same}."
        return f"{same}, for example by {spelling.like_fitted(X, spec.dtype, spec.white)}."

    check_values(X, bounded=bounded, remedy=remedy)


def check_shape(shape: tuple[int, ...], spec: InputSpec, spelling: Spelling) -> None:
    """Refuse samples of another shape than the fitted ones."""
    sample, fitted, name = shape[1:], spec.raw_shape, spelling.array or spelling.name
    if sample == fitted:
        return
    if spelling == OF_ITEMS:
        remedy = "Resize or reshape them in the Dataset's transforms, or fit again."
    elif shape == fitted:
        remedy = f"It is one image, which needs a leading axis: {name}[None]."
    elif prod(shape) == prod(fitted):
        remedy = f"If it is one sample: {name}.reshape{(1, *fitted)}."
    elif len(fitted) == len(sample) == 3 and (*sample[1:], sample[0]) == fitted:
        remedy = f"Put the channels last: {spelling.permuted(0, 2, 3, 1)}."
    elif len(fitted) == len(sample) == 3 and (sample[2], *sample[:2]) == fitted:
        remedy = f"Put the channels first: {spelling.permuted(0, 3, 1, 2)}."
    elif prod(sample) == prod(fitted):
        remedy = f"Reshape it: {name}.reshape{(-1, *fitted)}."
    else:
        remedy = "Resize or reshape X, or fit again."
    raise ValueError(
        f"X has samples of shape {sample}, but the estimator was fitted on samples of shape "
        f"{fitted}. {remedy}"
    )


def check_masks(X: Array, spec: InputSpec, spelling: Spelling) -> None:
    """Refuse levels where masks of 0 and 1 were fitted."""
    if spec.dtype == "uint8" and spec.white < WHITE and (high := X.max()) > spec.white:
        raise ValueError(
            f"X has values up to {high}, but the estimator was fitted on masks, uint8 of 0 and 1. "
            "Fit again, or make masks of X, for example by "
            f"{spelling.like_fitted(X, spec.dtype, spec.white)}."
        )


def check_not_one(shape: tuple[int, ...], spec: InputSpec, spelling: Spelling) -> None:
    """Refuse one image in place of many, which would be taken for rows."""
    if prod(shape) == spec.n_features:
        check_shape(shape, spec, spelling)


def chunk_rows(spec: InputSpec) -> int:
    """Return how many samples to encode or decode at once: little memory, fast caches."""
    n = CHUNK_PIXELS // prod(spec.shape[1:]) if spec.is_image else CHUNK_VALUES // spec.n_features
    return max(16, min(n, 4096))

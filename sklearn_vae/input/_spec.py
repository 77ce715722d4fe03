"""Arrays and tensors: layout, range, dtype, and what is refused before any training."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
import torch
from sklearn.utils import check_array
from sklearn.utils.validation import validate_data

from ..nn._scaling import Scaling
from ._ranges import IMAGES, OF_ARRAY, OF_ITEMS, Spelling, check_values, darkness
from ._samples import dense

MIN_SIDE = 8
MAX_CHANNELS = 4
SMALL_SIDE = 32
"""Pixels a side up to which images are small: what "auto" stands for has been so from the first."""
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
    def is_large(self) -> bool:
        """Whether samples are images of more than 32 x 32 pixels, or as many in another shape."""
        return is_large(self.shape)

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
        return prod(self.raw_shape)

    def check_image(self, what: str, remedy: str = "") -> None:
        """Refuse rows where ``what`` needs images; ``remedy`` goes on from "Set image_shape"."""
        if not self.is_image:
            raise ValueError(
                f"{what}, but X has rows of {self.n_features} values. If these are images, set "
                f"image_shape=(height, width[, channels]){remedy}."
            )

    def scaling(self, X: Array | None = None, *, standardise: bool) -> Scaling:
        """Return the model's first step; with ``standardise``, vectors get the scale of X."""
        loc, scale = _loc_and_scale(X, self.shape) if standardise else (None, None)
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


def is_large(shape: tuple[int, ...]) -> bool:
    """Whether a shape, (c, h, w) or (d,), is that of images of more pixels than 32 x 32."""
    return len(shape) == 3 and prod(shape[1:]) > SMALL_SIDE**2


def _tails(X: Array, mean: Array, std: Array) -> Array:
    """Return sqrt(kurtosis / 3) of each column."""
    rows = (X - mean) / np.where(std > 0, std, 1.0)
    return np.sqrt(np.square(np.square(rows)).mean(0) / 3)


def _loc_and_scale(X: Array | None, shape: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what standardises columns; refuse those that float32 cannot hold.

    The scale is sqrt(m4 / (3 m2)), of central moments: the standard deviation of a normal column,
    more where a column is nearly always the same. To unit variance such columns, as of a backbone's
    units that seldom respond, would be as loud as the others, with less to say.
    """
    if X is None:  # rebuilt from a file: the state dict brings the values
        return torch.zeros(shape), torch.ones(shape)
    mean, std = X.mean(0, dtype=np.float64), X.std(0, dtype=np.float64)
    rounding = len(X) * np.finfo(np.float64).eps * np.abs(mean)  # of a constant column
    scale = torch.from_numpy(np.where(std > rounding, std * _tails(X, mean, std), 1.0))
    loc = torch.from_numpy(mean)
    held = loc.float().isfinite() & scale.float().isfinite() & (scale.float() > 0)
    if not held.all():
        i = int(held.int().argmin())
        raise ValueError(
            f"Column {i} of X has mean {loc[i]:.3g} and standard deviation {scale[i]:.3g}, which "
            "float32 cannot hold. Scale X, for example with StandardScaler."
        )
    return loc, scale


def read_array(estimator: Any, X: Any, *, reset: bool, at_least: int = 1) -> Array:
    """Return what :func:`~sklearn_vae.input._samples.to_array` gave, checked.

    Rows set or check the feature names.
    """
    if getattr(getattr(X, "dtype", None), "kind", "") == "c":
        raise ValueError(f"Complex data not supported: X is {X.dtype}. Pass X.real or np.abs(X).")
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
        remedy = "Replace such values, for example by np.nan_to_num(X, posinf=1, neginf=0)."
        raise ValueError(f"{what} {remedy}") from error


def read_spec(
    X: Array, image_shape: tuple[int, ...] | None, spelling: Spelling = OF_ARRAY
) -> InputSpec:
    """Work out the layout of X, shape (n, ...), or say which parameter resolves it."""
    dtype, sample = X.dtype.name, X.shape[1:]
    if len(sample) == 1 and image_shape is None:
        return InputSpec(sample, sample, False, dtype)
    given = sample if image_shape is None else tuple(int(s) for s in image_shape)
    if X.shape == given:
        name = spelling.array or spelling.name
        raise ValueError(
            f"X has the shape {X.shape} of image_shape: it is one image. A set of images has a "
            f"leading axis, for one {name}[None], and a fit takes two or more."
        )
    if len(sample) > 1 and given != sample:
        raise ValueError(
            f"image_shape={given} does not match X, which has images of shape {sample}. Leave "
            "image_shape=None for arrays that are not flattened."
        )
    if prod(given) != prod(sample):
        raise ValueError(
            f"image_shape={given} has {prod(given)} values, but the rows of X have {prod(sample)}. "
            "Set image_shape to (height, width), (height, width, channels) or channels first."
        )
    channels_last, shape = _layout(given, flattened=len(sample) == 1)
    if dtype not in ("uint8", "bool", "float16", "float32", "float64"):
        values = remedy = ""
        if X.dtype.kind in "iuf" and X.size:
            values, remedy = f", from {X.min()} to {X.max()}", f" {spelling.remedy(X)}"
        raise ValueError(f"X holds images of dtype {dtype}{values}; {IMAGES}{remedy}")
    return InputSpec(shape, sample, channels_last, dtype)


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


def _layout(shape: tuple[int, ...], *, flattened: bool) -> tuple[bool, tuple[int, int, int]]:
    """Return channels_last and (c, h, w) of one image's shape."""
    what = f"image_shape={shape}" if flattened else f"X of shape (n, {', '.join(map(str, shape))})"
    if len(shape) not in (2, 3):
        raise ValueError(
            f"{what} is not a set of images: use (n, height, width), (n, height, width, channels), "
            "(n, channels, height, width), or rows with image_shape."
        )
    a, b, c = shape if len(shape) == 3 else (1, *shape)
    first, last = a <= MAX_CHANNELS, len(shape) == 3 and c <= MAX_CHANNELS
    if first == last:
        why = "both ends look like channels" if last else "neither end has 1 to 4 channels"
        raise ValueError(
            f"{what} is ambiguous: {why}. Pass (height, width, channels) or (channels, height, "
            "width) with 1 to 4 channels; for flattened rows set image_shape to one of these."
        )
    c, h, w = (c, a, b) if last else (a, b, c)
    if min(h, w) < MIN_SIDE:
        hint = " A single image needs a leading axis: X[None]." if not flattened else ""
        raise ValueError(
            f"{what} gives images of {h}x{w} pixels; at least {MIN_SIDE}x{MIN_SIDE} is needed. "
            f"Enlarge them, or pass rows (n, n_values) with network='mlp'.{hint}"
        )
    return last, (c, h, w)


def warn_of_darkness(X: Array, spec: InputSpec, spelling: Spelling) -> None:
    """Warn of intensities that look like ones of another range: 0 to 16 as levels of 255."""
    if not spec.is_intensity or X.dtype.kind == "b" or (high := darkness(X)) is None:
        return
    read = f"white is {spec.maximum:g}, so that they are almost black"
    if spec.maximum == high:
        read = "uint8 of 0 and 1 alone is taken for masks, with 1 as white"
    remedy = spelling.brighter(high, levels=X.dtype == np.uint8)
    warnings.warn(f"{DARK_WARNING} {high:.6g}; {read}. {remedy}", UserWarning, stacklevel=6)


def check_same(X: Array, spec: InputSpec, *, bounded: bool, spelling: Spelling = OF_ARRAY) -> None:
    """Refuse an X that differs from the fitted one in shape, kind of dtype or range."""

    def as_fitted() -> str:
        example = spelling.like_fitted(X, spec.dtype, spec.white)
        return f"as the fitted data were, for example by {example}."

    check_shape(X.shape, spec, spelling)
    both_float = X.dtype.kind == np.dtype(spec.dtype).kind == "f"
    if spec.is_intensity and X.dtype.name != spec.dtype and not both_float:
        raise ValueError(
            f"X has dtype {X.dtype.name}, but the estimator was fitted on {spec.dtype}, which has "
            f"another range (uint8: 0 to 255, float: 0 to 1). Fit again, or convert X {as_fitted()}"
        )
    if spec.white < WHITE and (high := X.max()) > spec.white:
        raise ValueError(
            f"X has values up to {high}, but the estimator was fitted on masks, uint8 of 0 and 1. "
            f"Fit again, or make masks of X, {as_fitted()}"
        )

    def remedy(_: Array) -> str:
        how = as_fitted() if spec.is_image else "as the fitted data were."
        return f"the estimator was fitted on values in [0, 1]. Scale X {how}"

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
    elif len(fitted) == 3 and (*sample[1:], *sample[:1]) == fitted:
        remedy = f"Put the channels last: {spelling.permuted(0, 2, 3, 1)}."
    elif len(fitted) == 3 and (*sample[2:], *sample[:2]) == fitted:
        remedy = f"Put the channels first: {spelling.permuted(0, 3, 1, 2)}."
    elif prod(fitted) in (prod(sample), prod(shape)):
        remedy = f"Reshape it: {name}.reshape{(-1, *fitted)}."
    else:
        remedy = "Resize or reshape X, or fit again."
    raise ValueError(
        f"X has samples of shape {sample}, but the estimator was fitted on samples of shape "
        f"{fitted}. {remedy}"
    )


def rows_at_once(shape: tuple[int, ...]) -> int:
    """Return how many samples a network gets at once: little memory, fast caches.

    Parameters
    ----------
    shape : tuple of int
        One sample as the network sees it: ``(c, h, w)`` or ``(d,)``.
    """
    n = CHUNK_PIXELS // prod(shape[1:]) if len(shape) == 3 else CHUNK_VALUES // prod(shape)
    return max(16, min(n, 4096))

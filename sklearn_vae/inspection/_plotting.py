"""Arrays as what is drawn: images of any form, tiles of a mosaic, labels, keywords."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import check_array, column_or_1d

from ..input._ranges import Spelling
from ..input._samples import from_torch
from ..input._spec import check_values, read_spec, with_white

TILE_PIXELS = 64
"""Pixels that a tile's shorter side is repeated up to, so that gaps can be thin."""
GAP = 0.015
"""Margin of a tile in units of its shorter side."""


def as_labels(y: Any) -> np.ndarray:
    """Return labels as an array that can be sorted, names beside a -1 as text."""
    y = column_or_1d(from_torch(y))
    return y.astype(str) if y.dtype == object else y


def as_images(X: Any, image_shape: tuple[int, ...] | None = None) -> np.ndarray:
    """Return images in any form as (n, h, w) or (n, h, w, c), float32 in [0, 1]."""
    X = check_array(from_torch(X), dtype="numeric", allow_nd=True, input_name="images")
    spec = with_white(read_spec(X, image_shape), X)
    spec.check_image("Images are needed")
    check_values(
        X,
        bounded=True,
        remedy=lambda X: (
            "images are uint8 (0 to 255) or float in [0, 1]. " + Spelling("images").remedy(X)
        ),
    )
    c, h, w = spec.shape
    if c == 2:
        raise ValueError(
            "Images of 2 channels have no usual colours. Draw one channel at a time, for example "
            "images[..., 0]."
        )
    x = X.astype(np.float32) / np.float32(spec.maximum)
    x = x.reshape(-1, h, w, c) if spec.channels_last else x.reshape(-1, c, h, w)
    if not spec.channels_last:
        x = x.transpose(0, 2, 3, 1)
    return x[..., 0] if c == 1 else x


def as_pairs(images: Any, reconstructions: Any, image_shape: tuple[int, ...] | None) -> np.ndarray:
    """Return both as tiles of two rows, (2, n, h, w[, c])."""
    x, x_hat = (as_images(X, image_shape) for X in (images, reconstructions))
    if x.shape != x_hat.shape:
        raise ValueError(
            f"images {x.shape} and reconstructions {x_hat.shape} differ in number or size."
        )
    return np.stack([x, x_hat])


def mosaic(tiles: np.ndarray) -> np.ndarray:
    """Return tiles as one picture with transparent margins.

    Parameters
    ----------
    tiles : ndarray of shape (n_rows, n_cols, h, w) or (n_rows, n_cols, h, w, c)
        Grey, RGB or RGBA. NaN leaves a place empty.

    Returns
    -------
    picture : ndarray of shape (n_rows * H, n_cols * W) or (n_rows * H, n_cols * W, 4)
        Of H x W values per tile, margins included. Those are NaN in grey, transparent in RGBA.
    """
    n_rows, n_cols, h, w = tiles.shape[:4]
    factor = -(-TILE_PIXELS // min(h, w))
    margin = max(1, round(GAP * min(h, w) * factor))
    large = tiles.repeat(factor, 2).repeat(factor, 3)
    widths = ((0, 0), (0, 0), (margin, margin), (margin, margin), (0, 0))
    large = np.pad(large, widths[: tiles.ndim], constant_values=np.nan)
    height, width = large.shape[2:4]
    picture = large.swapaxes(1, 2).reshape(n_rows * height, n_cols * width, *tiles.shape[4:])
    if tiles.ndim == 4:
        return picture
    if picture.shape[2] == 3:
        opaque = np.isfinite(picture[..., :1]).astype(picture.dtype)
        picture = np.concatenate([picture, opaque], 2)
    return np.nan_to_num(picture)


def in_rows(images: np.ndarray, n_cols: int) -> np.ndarray:
    """Return images (n, ...) as tiles (n_rows, n_cols, ...), the last row filled up with NaN."""
    n_rows = -(-len(images) // n_cols)
    tiles = np.full((n_rows * n_cols, *images.shape[1:]), np.nan, np.float32)
    tiles[: len(images)] = images
    return tiles.reshape(n_rows, n_cols, *images.shape[1:])


def merged(defaults: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """Return matplotlib's keywords: the user's before the defaults; a norm brings its own range."""
    range_of_norm = ("vmin", "vmax") if given.get("norm") is not None else ()
    return {k: v for k, v in defaults.items() if k not in range_of_norm} | given

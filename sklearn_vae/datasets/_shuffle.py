"""Chunks of rows, mixed on their way."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.utils import check_random_state


def shuffle_chunks(
    chunks: Iterable[Any],
    buffer_size: int,
    *,
    random_state: int | np.random.RandomState | None = None,
) -> Iterator[Any]:
    """Yield the rows of all chunks once each, mixed by a buffer that holds some back.

    For ``partial_fit`` on chunks that come sorted, by class, time or source: a model that is shown
    one kind of rows after the other forgets the first. A buffer of half the rows wins back what
    shuffling all of them would, of a fifth most of it.

    Parameters
    ----------
    chunks : iterable of array-like, or of tuples of these
        Rows; of a tuple, such as (X, y), the rows of all parts are moved alike.
    buffer_size : int
        Rows that are held back, 2 or more.
    random_state : int, RandomState instance or None, default=None
        Give each pass a seed of its own.

    Returns
    -------
    mixed : iterator of ndarray or of tuples of ndarray
        Chunks in the form of those given and about as large.

    Raises
    ------
    ValueError
        For a ``buffer_size`` that is no int of 2 or more, for parts of several lengths, and for
        chunks whose rows have several forms.
    TypeError
        For one array instead of chunks: its rows would count as chunks.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_vae.datasets import shuffle_chunks
    >>> chunks = [np.arange(0, 4), np.arange(4, 8), np.arange(8, 12)]
    >>> mixed = list(shuffle_chunks(chunks, 6, random_state=0))
    >>> [len(chunk) for chunk in mixed]
    [2, 4, 3, 3]
    >>> sorted(np.concatenate(mixed).tolist()) == list(range(12))
    True
    """
    if not isinstance(buffer_size, Integral) or buffer_size < 2:
        raise ValueError(f"buffer_size={buffer_size!r}: give a number of rows, an int >= 2.")
    if hasattr(chunks, "shape") and getattr(chunks, "dtype", "") not in ("O", "object"):
        raise TypeError(
            f"chunks is one array of shape {tuple(chunks.shape)}. Pass an iterable of chunks: "
            "(X[i : i + 1000] for i in range(0, len(X), 1000)), or list(X) where X[0] is a chunk."
        )
    return _shuffled(chunks, int(buffer_size), check_random_state(random_state))


def _shuffled(chunks: Iterable[Any], size: int, rng: np.random.RandomState) -> Iterator[Any]:
    held: list[np.ndarray] = []
    n, pair = 0, False
    for chunk in chunks:
        pair = isinstance(chunk, tuple)
        parts = [np.asarray(part) for part in (chunk if pair else (chunk,))]
        if len({len(part) for part in parts}) > 1:
            lengths = ", ".join(str(len(part)) for part in parts)
            raise ValueError(f"The parts of a chunk have {lengths} rows. Give all the same number.")
        n = max(n, len(parts[0]))
        if held and [each.shape[1:] for each in held] != [part.shape[1:] for part in parts]:
            form, other = (" and ".join(str(a.shape[1:]) for a in each) for each in (held, parts))
            raise ValueError(
                f"A chunk has rows of shape {other}, those before of {form}. Resize it."
            )
        both = zip(held, parts, strict=True)
        held = [np.concatenate([old, new]) for old, new in both] if held else parts
        order = rng.permutation(len(held[0]))
        held = [part[order] for part in held]
        if len(order) > size + 1:  # a model takes two rows or more
            yield _chunk([part[size:] for part in held], pair)
            held = [part[:size] for part in held]
    if n:
        rows = len(held[0])
        pieces = max(1, min(round(rows / n), rows // 2))
        left = [np.array_split(part, pieces) for part in held]
        for parts in zip(*left, strict=True):
            yield _chunk(list(parts), pair)


def _chunk(parts: list[np.ndarray], pair: bool) -> Any:
    return tuple(parts) if pair else parts[0]

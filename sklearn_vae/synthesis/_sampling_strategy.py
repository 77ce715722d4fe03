"""How many synthetic rows each class gets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from numbers import Integral, Real
from typing import Any, Literal, get_args

import numpy as np

NewRows = Literal["balance", "auto", "not majority", "minority", "not minority", "all"]
N_NEW: tuple[str, ...] = get_args(NewRows)
"""Names: all but "balance", which is "auto", are imbalanced-learn's."""


def new_rows(
    n_new: str | float | int | Mapping[Any, float] | Callable[[np.ndarray], Mapping[Any, float]],
    classes: np.ndarray,
    counts: np.ndarray,
    labels: np.ndarray,
) -> dict[Any, int]:
    """Return the number of synthetic rows of each class.

    Parameters
    ----------
    n_new : str, float, int, mapping or callable
        See :class:`~sklearn_vae.VAEAugmenter`.
    classes, counts : ndarray of shape (n_classes,)
        The classes and how many real rows each has.
    labels : ndarray of shape (n,)
        The labels themselves, for a callable.

    Returns
    -------
    wanted : dict
        Class to number of rows, in the order of ``classes``; a float's product is rounded.

    Raises
    ------
    ValueError
        For unknown names and classes, negative numbers, and "balance" with one class.
    """
    have = dict(zip(classes.tolist(), counts.tolist(), strict=True))
    if isinstance(n_new, str):
        return _balance(n_new, have)
    asked: Mapping[Any, float]
    if callable(n_new):
        asked = n_new(labels)
        if not isinstance(asked, Mapping):
            raise ValueError(
                f"n_new={n_new!r} returned {asked!r}; return a dict of class: new rows."
            )
    elif isinstance(n_new, Mapping):
        asked = n_new
    else:
        asked = dict.fromkeys(have, n_new)
    unknown = [label for label in asked if label not in have]
    if unknown:
        raise ValueError(f"n_new asks for class {unknown[0]!r}; y has the classes {[*have]}.")
    return {label: _number(asked.get(label, 0), n) for label, n in have.items()}


def _balance(name: str, have: dict[Any, int]) -> dict[Any, int]:
    if name not in N_NEW:
        raise ValueError(
            f"n_new={name!r}; use one of {', '.join(N_NEW)}, a number, a dict or a callable "
            "(over-sampling cannot reach fewer rows, which 'majority' would ask for)."
        )
    if len(have) == 1:
        raise ValueError(
            f"n_new={name!r} needs two classes or more, but y has one class only, "
            f"{next(iter(have))!r}. Give a number: n_new=1.0 for as many new rows as real ones."
        )
    most, fewest = max(have.values()), min(have.values())
    left_alone: list[Any] = []
    if name == "minority":  # one class, as in imbalanced-learn
        left_alone = [label for label in have if label != min(have, key=lambda c: have[c])]
    elif name == "not minority":
        left_alone = [label for label, n in have.items() if n == fewest][:1]
    return {label: 0 if label in left_alone else most - n for label, n in have.items()}


def _number(value: Any, n_real: int) -> int:
    """Return an int as it is, a float relative to the class's size."""
    bad = isinstance(value, (bool, np.bool_)) or not isinstance(value, Real)
    if bad or not 0 <= float(value) < np.inf:
        raise ValueError(
            f"n_new has {value!r}; numbers are ints >= 0 (synthetic rows per class) or floats >= 0 "
            "(relative to the class's real rows)."
        )
    return int(value) if isinstance(value, Integral) else int(float(value) * n_real + 0.5)

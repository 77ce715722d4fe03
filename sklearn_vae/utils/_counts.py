"""What counts as a count: layers' widths, channels, components."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any


def is_count(number: Any, least: int = 1) -> bool:
    """Return whether number is a whole one of at least so much."""
    whole = isinstance(number, Integral) and not isinstance(number, bool)
    return whole and int(number) >= least


def as_tuple(recipe: Any, name: str) -> None:
    """Make a tuple of a frozen recipe's sequence: equal recipes are to be equal and to hash."""
    object.__setattr__(recipe, name, tuple(getattr(recipe, name)))


def are_counts(numbers: Any) -> bool:
    """Return whether numbers are a sequence of one or more, each of 1 or more."""
    return isinstance(numbers, Sequence) and bool(numbers) and all(map(is_count, numbers))


def check_count(name: str, value: Any) -> int:
    """Return a number of samples or draws as an int; refuse what is none, or below 1."""
    if not is_count(value):
        raise ValueError(f"{name}={value!r}: give an int >= 1.")
    return int(value)

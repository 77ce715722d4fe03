"""What counts as a count: layers' widths, channels, components."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any


def is_count(number: Any, least: int = 1) -> bool:
    """Return whether number is a whole one of at least so much."""
    whole = isinstance(number, Integral) and not isinstance(number, bool)
    return whole and int(number) >= least


def take_counts(recipe: Any, name: str, instead: Any) -> None:
    """Make a tuple of a frozen recipe's counts, if not the word or the tuple that may be instead.

    Equal recipes are to be equal and to hash.
    """
    value = getattr(recipe, name)
    counts = isinstance(value, Sequence) and not isinstance(value, str)
    if value == instead and not counts:
        return
    if not counts or not (value or instead == ()) or not all(map(is_count, value)):
        raise ValueError(
            f"{type(recipe).__name__}({name}={value!r}): give a tuple of ints, each of 1 or more, "
            f"such as (128, 64), or {instead!r}."
        )
    object.__setattr__(recipe, name, tuple(value))


def check_count(name: str, value: Any) -> int:
    """Return a number of samples or draws as an int; refuse what is none, or below 1."""
    if not is_count(value):
        raise ValueError(f"{name}={value!r}: give an int >= 1.")
    return int(value)

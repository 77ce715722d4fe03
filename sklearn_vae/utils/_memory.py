"""Out of memory: an error that says what was asked for, and what asks for less."""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Callable, Iterator
from errno import ENOMEM
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])

PHRASES = re.compile(
    r"(can't|cannot|failed to|unable to) allocate|not enough memory|out of memory|bad_alloc"
    r"|alloc_failed|storage size calculation overflowed|invalid buffer size"
    r"|could not (create a primitive|create a memory object|execute a primitive)(?! desc)"  # oneDNN
    r"|array is too big|maximum allowed dimension exceeded",  # NumPy
    re.IGNORECASE,
)
"""How libraries word that they were refused memory, in errors that have no type of their own."""
MOST_WORDS = 200
"""Characters of a library's own words that a message repeats, at most."""


class OutOfMemory(MemoryError):  # noqa: N818 (its kinds are also what the library raised)
    """What was asked for, what asks for less, and the library's own words."""

    def __init__(self, message: str) -> None:
        Exception.__init__(self, message)  # what it also is may want other arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return _made, (type(self).__bases__[-1], str(self))

    __str__ = Exception.__str__


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error, of whatever type, says that there was not enough memory."""
    if isinstance(error, MemoryError):
        return True
    if isinstance(error, OSError):  # of a file that was to be mapped, or a process to be started
        return error.errno == ENOMEM
    return isinstance(error, (RuntimeError, ValueError)) and bool(PHRASES.search(str(error)))


@functools.cache
def _kind(base: Any) -> type[OutOfMemory]:
    """Return the type of error that is also a ``base``, which callers may wait for."""
    return type("OutOfMemory", (OutOfMemory, base), {})


def _made(base: Any, message: str) -> OutOfMemory:
    return _kind(base)(message)


@contextlib.contextmanager
def memory_explained(asked: Callable[[], str]) -> Iterator[None]:
    """Let what runs out of memory in the block say what was asked for, and a remedy.

    The error is a MemoryError and an instance of what was raised.
    """
    try:
        yield
    except Exception as caught:
        error: BaseException = caught
        if isinstance(error, OutOfMemory) or not is_out_of_memory(error):
            raise
        while error.__cause__ is not None and is_out_of_memory(error.__cause__):
            error = error.__cause__  # not what another thing was made of it on the way
        words = " ".join(str(error).split())[:MOST_WORDS]
        message = f"Out of memory in {asked()}" + (f" ({words})" if words else "")
        raise _made(type(error), message) from error


def explains_memory(asked: Callable[..., str]) -> Callable[[Function], Function]:
    """Return a decorator; ``asked`` gets the arguments of the call that ran out of memory."""

    def decorate(function: Function) -> Function:
        @functools.wraps(function)
        def explained(*args: Any, **kwargs: Any) -> Any:
            with memory_explained(lambda: asked(*args, **kwargs)):
                return function(*args, **kwargs)

        return explained  # type: ignore[return-value]

    return decorate


def megabytes(n_values: int) -> str:
    """Return the size of so many values, float32, in words."""
    return f"{4 * n_values / 1e6:,.1f} MB"

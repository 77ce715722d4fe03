"""Ctrl-C told from a callback's wish to stop: skorch's callbacks raise KeyboardInterrupt, too."""

from __future__ import annotations

import signal
import threading
from typing import Any

SIGNALS = signal.valid_signals()


class Interrupts:
    """Counts the interrupts that arrive while the block runs, whatever handler answers them.

    Every handler that is set in Python is wrapped, for as long as the block runs: it counts and
    then calls the handler. A SIGINT counts as it arrives, other signals when their handler raises
    KeyboardInterrupt (torch's DataLoader has a handler of its own for SIGCHLD, which interrupts
    nobody). Handlers run in the main thread only: in other threads nothing arrives.

    Parameters
    ----------
    hold : bool, default=False
        Call the handlers when the block has ended.
    """

    def __init__(self, *, hold: bool = False) -> None:
        self._hold = hold
        self._count = 0
        self._wrapped: dict[int, Any] = {}
        self._over = False
        self._late: list[tuple[int, Any]] = []

    def __enter__(self) -> Interrupts:
        try:
            self.count()
            return self
        except BaseException:
            self._restore()
            raise

    def __exit__(self, *error: object) -> None:
        try:  # a second time for an interrupt that comes before the first has begun
            self._restore()
        finally:
            self._restore()
        self._over = False  # who has kept the wrapper and sets it again gets the handler itself
        for number, frame in self._late:
            self._wrapped[number](number, frame)

    def count(self) -> int:
        """Return how many have arrived so far; watch handlers that were set meanwhile, too."""
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                handler = signal.getsignal(number)
                if callable(handler) and handler != self._handle:
                    self._wrapped[number] = handler
                    signal.signal(number, self._handle)
        return self._count

    def unseen(self) -> bool:
        """Whether a handler of SIGINT was set that does not count: none can tell what it did."""
        handler = signal.getsignal(signal.SIGINT) if self._wrapped else None
        return callable(handler) and handler != self._handle

    def _handle(self, number: int, frame: Any) -> None:
        if self._hold or self._over:  # answered when all handlers are back in their places
            self._late.append((number, frame))
            return
        self._count += number == signal.SIGINT
        try:
            self._wrapped[number](number, frame)
        except KeyboardInterrupt:
            self._count += number != signal.SIGINT
            raise

    def _restore(self) -> None:
        self._over = True
        for number, handler in self._wrapped.items():
            if signal.getsignal(number) == self._handle:
                signal.signal(number, handler)

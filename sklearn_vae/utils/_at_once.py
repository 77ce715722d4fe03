"""Fits that nobody sees until they are complete."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TypeVar

Estimator = TypeVar("Estimator")


@contextlib.contextmanager
def fitted_at_once(estimator: Estimator) -> Iterator[Estimator]:
    """Yield a copy to fit; when the block ends, its state becomes the estimator's in one step.

    Whatever ends the block earlier, an error or Ctrl-C, leaves the estimator as it was: there is
    nothing to restore. The copy shares the fitted attributes, so that the block replaces them and
    changes none in place.
    """
    unseen = object.__new__(type(estimator))
    unseen.__dict__.update(estimator.__dict__)
    yield unseen
    estimator.__dict__ = unseen.__dict__

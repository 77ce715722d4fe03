"""What cannot be pickled: named before pickle fails on a part of it."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Mapping
from typing import Any

from joblib import wrap_non_picklable_objects

FIRST_OF_JOBS = 4
"""Of pickle's protocols, the oldest that is used to send objects to processes."""
_checking = threading.local()


def check_picklable(
    parts: Mapping[str, Any], remedy: str, protocol: int = pickle.DEFAULT_PROTOCOL
) -> None:
    """Name the part that cannot be pickled, instead of what in it cannot."""
    if getattr(_checking, "busy", False):  # of a part that holds the whole
        return
    _checking.busy = True
    try:
        for what, part in parts.items():
            error = _pickling_error(part)
            # Functions without a name of their own, such as lambdas, are what joblib sends to
            # processes, but not what its caches take, which ask for an old protocol.
            if error is not None and protocol >= FIRST_OF_JOBS:
                error = _pickling_error(wrap_non_picklable_objects(part))
            if error is not None:
                raise TypeError(
                    f"{what} cannot be pickled ({str(error)[:200]}). {remedy}"
                ) from error
    finally:
        _checking.busy = False


def _pickling_error(part: Any) -> Exception | None:
    try:
        pickle.dumps(part)
    except Exception as error:
        return error
    return None

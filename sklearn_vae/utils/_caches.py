"""Caches of results that estimators keep: joblib's, by a parameter ``memory``."""

from __future__ import annotations

from typing import Any

from sklearn.utils.validation import check_memory


def opened_cache(memory: Any) -> Any:
    """Return what ``memory`` stands for, with joblib's interface; refuse what is no folder."""
    try:
        return check_memory(memory)
    except OSError as error:
        raise ValueError(
            f"memory: {memory} cannot be made a folder ({error.strerror}). Choose another."
        ) from error

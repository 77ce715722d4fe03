"""Persistence: what is pickled instead of live nets, and saved folders that are read without code.

With an estimator this room shares its parameters and the state of ``__getstate__`` and
``__setstate__``, no more.
"""

from ._folder import load, save
from ._weights import load_arrays, to_cpu, weights_to_arrays

__all__ = ["load", "load_arrays", "save", "to_cpu", "weights_to_arrays"]

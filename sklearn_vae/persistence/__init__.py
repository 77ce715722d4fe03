"""Persistence: saved folders that are read without code.

With an estimator this room shares its parameters, its fitted attributes and ``__setstate__``.
"""

from ._folder import load, save

__all__ = ["load", "save"]

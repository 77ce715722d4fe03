"""Persistence: saved folders that are read without code, here or on a model hub.

With an estimator this room shares its parameters, its fitted attributes and ``__setstate__``.
"""

from ._mixin import PretrainedMixin

__all__ = ["PretrainedMixin"]

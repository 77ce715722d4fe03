"""scikit-learn's settings and versions: what the package needs of them, in one place."""

from __future__ import annotations

from sklearn import config_context

as_arrays = config_context(array_api_dispatch=False, transform_output="default")
"""Decorator of functions that use scikit-learn's estimators on the package's own arrays: arrays in,
arrays out, whatever the user has set for the user's own estimators. Under ``array_api_dispatch``
some refuse what they otherwise do, NumPy's arrays or not."""

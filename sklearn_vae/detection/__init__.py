"""What VAEDetector is made of: statistics of a sample, densities, cross-fitted scores."""

from ._cross_fit import CrossFitted, RowFolds, cross_fit, draw_folds, measure
from ._statistics import STATISTICS, DetectorMethod, squared_errors

__all__ = [
    "STATISTICS",
    "CrossFitted",
    "DetectorMethod",
    "RowFolds",
    "cross_fit",
    "draw_folds",
    "measure",
    "squared_errors",
]

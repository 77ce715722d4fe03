"""What VAEDetector is made of: statistics of a sample, densities, cross-fitted scores, places."""

from ._cross_fit import RowFolds, cross_fit, draw_folds, measure
from ._local import LocalScores
from ._places import Cutter, Windows, cutter_of, patches_of
from ._statistics import LOCAL, STATISTICS, DetectorMethod, squared_errors

__all__ = [
    "LOCAL",
    "STATISTICS",
    "Cutter",
    "DetectorMethod",
    "LocalScores",
    "RowFolds",
    "Windows",
    "cross_fit",
    "cutter_of",
    "draw_folds",
    "measure",
    "patches_of",
    "squared_errors",
]

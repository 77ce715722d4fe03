"""Synthetic rows: how many, drawn how, which to keep, in whose container."""

from ._augment_rows import augment_rows
from ._containers import append_labels, append_rows
from ._gate import QualityGate
from ._methods import (
    METHODS,
    Auto,
    Bootstrap,
    Conditional,
    Deformation,
    Density,
    Draws,
    Interpolation,
    Method,
    PosteriorSampling,
)
from ._sampling_strategy import N_NEW, new_rows
from ._views import DeformationViews, PosteriorViews

__all__ = [
    "METHODS",
    "N_NEW",
    "Auto",
    "Bootstrap",
    "Conditional",
    "Deformation",
    "DeformationViews",
    "Density",
    "Draws",
    "Interpolation",
    "Method",
    "PosteriorSampling",
    "PosteriorViews",
    "QualityGate",
    "append_labels",
    "append_rows",
    "augment_rows",
    "new_rows",
]

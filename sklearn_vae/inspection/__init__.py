"""Displays in scikit-learn's form: what a fitted VAE reconstructs, generates and encodes.

They need matplotlib: ``pip install "sklearn-vae[plot]"``.
"""

from ._error_map import ErrorMapDisplay
from ._interpolation import InterpolationDisplay
from ._latent import LatentDisplay
from ._reconstruction import ReconstructionDisplay
from ._sample import SampleDisplay
from ._training_curve import TrainingCurveDisplay
from ._traversal import TraversalDisplay

__all__ = [
    "ErrorMapDisplay",
    "InterpolationDisplay",
    "LatentDisplay",
    "ReconstructionDisplay",
    "SampleDisplay",
    "TrainingCurveDisplay",
    "TraversalDisplay",
]

"""Variational autoencoders as scikit-learn estimators."""

from ._augmenter import VAEAugmenter
from ._backbone import BackboneTransformer
from ._classifier import VAEClassifier
from ._detector import VAEDetector
from ._show_versions import show_versions
from ._transformer import VAETransformer
from .classification import LabelledSplit

__all__ = [
    "BackboneTransformer",
    "LabelledSplit",
    "VAEAugmenter",
    "VAEClassifier",
    "VAEDetector",
    "VAETransformer",
    "show_versions",
]
__version__ = "0.1.0"

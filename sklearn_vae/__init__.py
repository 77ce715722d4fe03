"""Variational autoencoders as scikit-learn estimators."""

from ._augmenter import VAEAugmenter
from ._transformer import VAETransformer

__all__ = ["VAEAugmenter", "VAETransformer"]
__version__ = "0.1.0"

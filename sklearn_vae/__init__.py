"""Variational autoencoders as scikit-learn estimators."""

from ._transformer import VAETransformer

__all__ = ["VAETransformer"]
__version__ = "0.1.0"

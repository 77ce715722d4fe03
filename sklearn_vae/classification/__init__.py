"""What :class:`~sklearn_vae.VAEClassifier` is made of: views of the classes, and their pool."""

from ._fit import fit_pool
from ._split import LabelledSplit

__all__ = ["LabelledSplit", "fit_pool"]

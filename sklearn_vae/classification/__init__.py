"""What :class:`~sklearn_vae.VAEClassifier` is made of: views of the classes, and their pool."""

from ._fit import fit_pool
from ._pool import Pool, Space
from ._split import LabelledSplit

__all__ = ["LabelledSplit", "Pool", "Space", "fit_pool"]

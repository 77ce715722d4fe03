"""A VAE whose decoder sees the class; what VAEAugmenter trains for ``method="conditional"``."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ._base import BaseVAE, Rows
from .training import ArrayDataset


class ConditionalVAE(BaseVAE):
    """VAE with the decoder p(x|z, y) and the encoder q(z|x); parameters as VAETransformer's.

    ``fit(X, y)`` takes class numbers 0, 1, ... and -1 for rows whose class is not known.
    """

    def _train(self, data: Rows, y: Any, **how: Any) -> None:
        assert isinstance(data, ArrayDataset)  # VAEAugmenter takes no torch Datasets
        data.classes = torch.from_numpy(np.asarray(y, dtype=np.int64))
        self._n_classes = int(y.max()) + 1
        super()._train(data, y, **how)

    def generate(self, Z: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return the mean of p(x|z, y) for codes Z, (n, z_dim), and class numbers y, (n,)."""
        return self._generate(np.hstack([Z, np.eye(self._n_classes)[y]]))

"""A VAE whose decoder sees the class; what VAEAugmenter trains for ``method="conditional"``."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from ..input._rows import ArrayDataset
from ._labelled import Labelled
from ._methods import Method
from ._row_model import TrainedModel


class ConditionalVAE(TrainedModel):
    """VAE with the decoder p(x|z, y) and the encoder q(z|x)."""

    def fit(self, X: ArrayDataset, codes: np.ndarray) -> ConditionalVAE:
        """Train on rows and their class numbers 0, 1, ..., -1 where the class is not known."""
        vae = self.template
        data, spec, recipe = vae.read_training(X)
        data.classes = torch.from_numpy(np.asarray(codes, dtype=np.int64))
        n = int(codes.max()) + 1
        recipe = replace(recipe, n_classes=n, n_labels=n if vae.label_weight > 0 else 0)
        self._train(recipe, spec, data, len(data), codes)
        return self

    def learn(self, data: Labelled, method: Method) -> tuple[np.ndarray, np.ndarray]:
        """Train on all rows; return their posteriors."""
        self.fit(data.rows, data.codes)
        return self.codec_.posterior(ArrayDataset(data.X))

    def generate(self, Z: np.ndarray, label: int = 0, rows: np.ndarray | None = None) -> np.ndarray:
        """Return the mean of p(x|z, y) for codes Z, (n, z_dim), and the class number y."""
        labels = np.full(len(Z), label)
        return self.codec_.decode(np.hstack([Z, np.eye(self.module_.n_classes)[labels]]))

    def features(self, X: np.ndarray) -> np.ndarray:
        """Return the posterior means of rows X."""
        return self.codec_.posterior(ArrayDataset(X))[0]

"""A VAE whose decoder sees the class; what VAEAugmenter trains for ``method="conditional"``."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from .._codec import Codec
from ..input._rows import ArrayDataset
from ..model import VAE
from ..training import Trainer, resolve_epochs


class ConditionalVAE:
    """VAE with the decoder p(x|z, y) and the encoder q(z|x).

    Parameters
    ----------
    template : VAETransformer
        Whose parameters it has.
    """

    codec_: Codec

    def __init__(self, template: Any) -> None:
        self.template = template

    @property
    def module_(self) -> VAE:
        """The trained torch module."""
        module: VAE = self.codec_.module
        return module

    def fit(self, X: ArrayDataset, codes: np.ndarray) -> ConditionalVAE:
        """Train on rows and their class numbers 0, 1, ..., -1 where the class is not known."""
        vae = self.template
        data, spec, recipe = vae.read_training(X)
        data.classes = torch.from_numpy(np.asarray(codes, dtype=np.int64))
        n = int(codes.max()) + 1
        trainer = Trainer.of(vae)
        trainer.check_objective()
        recipe = replace(recipe, n_classes=n, n_labels=n if vae.label_weight > 0 else 0)
        epochs = resolve_epochs(vae.max_epochs, len(data))
        self.codec_, net, _ = trainer.train(recipe, spec, data, codes, epochs=epochs)
        self.history_ = net.rows()
        return self

    def generate(self, Z: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return the mean of p(x|z, y) for codes Z, (n, z_dim), and class numbers y, (n,)."""
        return self.codec_.decode(np.hstack([Z, np.eye(self.module_.n_classes)[y]]))

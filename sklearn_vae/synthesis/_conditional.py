"""A VAE whose decoder sees the class; what VAEAugmenter trains for ``method="conditional"``."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from ..input._rows import ArrayDataset
from ..model import VAE
from ..model._codec import Codec
from ..training._amount import resolve_epochs
from ..training._trainer import Trainer
from ..training.processes._parallel import joined
from ._labelled import Labelled
from ._methods import Method
from ._row_model import RowModel


class ConditionalVAE(RowModel):
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
        recipe = replace(recipe, n_classes=n, n_labels=n if vae.label_weight > 0 else 0)
        based = recipe.network.has_base
        epochs = resolve_epochs(vae.max_epochs, len(data), spec.shape, based=based)
        with joined(vae.parallel, vae.device) as ranks:
            self.codec_, net, _ = Trainer.of(vae).train(
                recipe, spec, data, codes, epochs=epochs, ranks=ranks
            )
        self.history_ = net.rows()
        return self

    def learn(self, data: Labelled, method: Method) -> tuple[np.ndarray, np.ndarray]:
        """Train on all rows; return their posteriors."""
        self.fit(data.rows, data.codes)
        return self.codec_.posterior(ArrayDataset(data.X))

    def generate(
        self, Z: np.ndarray, *, label: int = 0, rows: np.ndarray | None = None
    ) -> np.ndarray:
        """Return the mean of p(x|z, y) for codes Z, (n, z_dim), and the class number y."""
        labels = np.full(len(Z), label)
        return self.codec_.decode(np.hstack([Z, np.eye(self.module_.n_classes)[labels]]))

    def features(self, X: np.ndarray) -> np.ndarray:
        """Return the posterior means of rows X."""
        return self.codec_.posterior(ArrayDataset(X))[0]

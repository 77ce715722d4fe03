"""A VAE of deformations; what VAEAugmenter trains for ``method="deformation"``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..input._rows import ArrayDataset, Rows
from ..input._spec import InputSpec
from ..model._deformation_model import DeformationModel
from ..nn import Network
from ..nn._device import to_device
from ..utils._neighbours import nearest_others
from ._labelled import Labelled
from ._row_model import TrainedModel

PAIRS = 200_000
"""Pairs whose posteriors are learnt, at most; each row keeps one, however many there are."""


@dataclass(frozen=True)
class DeformationRecipe:
    """The parts of a model of deformations."""

    z_dim: int
    network: Network

    def build(self, spec: InputSpec, X: np.ndarray | None = None) -> DeformationModel:
        """Return a new model on the CPU, whatever the training samples X."""
        try:
            scaling = spec.scaling(None, standardise=False)
            return DeformationModel(scaling, self.network, self.z_dim).float()
        except RuntimeError as error:
            raise ValueError(
                f"network={self.network!r} cannot encode a pair of images as "
                f"{2 * spec.shape[0]} channels, which method='deformation' needs: {error}"
            ) from error


class DeformationVAE(TrainedModel):
    """VAE with the decoder p(b|a, z), an image b as a deformed.

    Parameters
    ----------
    template : VAETransformer
        Whose parameters it has, but for likelihood, prior, posterior and what belongs to them: they
        are normal, and the encoder sees images as they are.
    """

    from_rows = True

    def fit(self, X: ArrayDataset, partners: np.ndarray) -> DeformationVAE:
        """Train on images and, for each, the row numbers (n, k) of what it could be deformed to.

        -1 is for those that take no part.
        """
        data, spec, recipe = self.template.read_training(X)
        pairs: Any = _Pairs(data, partners)  # fetched by the batch, as other data
        plain = {"importance_samples": 1, "label_weight": 0.0, "contrastive_weight": 0.0}
        recipe = DeformationRecipe(recipe.z_dim, recipe.network)
        self._train(recipe, spec, pairs, len(data), augment=None, **plain)
        return self

    def pair_posteriors(self, X: np.ndarray, partners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and standard deviation of q(z|a, b) for pairs, each (n, k, z_dim).

        Of all partners, or of as many, near and far, as ``PAIRS`` allows. Rows without have zeros.
        """
        n = len(partners)
        k = max(1, min(partners.shape[1], PAIRS // n))
        partners = partners[:, np.linspace(0, partners.shape[1] - 1, k).astype(int)]
        pairs: Any = _Pairs(ArrayDataset(X), partners.reshape(-1, 1), np.repeat(np.arange(n), k))
        moments = np.zeros((n * k, 2 * self.module_.z_dim), np.float32)
        moments[partners.ravel() >= 0] = np.hstack(self.codec_.posterior(pairs))
        mean, std = np.split(moments.reshape(n, k, -1), 2, axis=2)
        return mean, std

    def learn(self, data: Labelled, method: Any) -> tuple[np.ndarray, np.ndarray]:
        """Train on the nearest neighbours within classes; return the posteriors of these pairs."""
        partners = class_neighbors(data.X, data.codes, method.n_neighbors)
        self.fit(data.rows, partners)
        return self.pair_posteriors(data.X, partners)

    def generate(self, Z: np.ndarray, label: int = 0, rows: np.ndarray | None = None) -> np.ndarray:
        """Return the images ``rows`` as codes Z, (n, z_dim), deform them."""
        assert rows is not None
        images, codec = ArrayDataset(rows), self.codec_
        codes = torch.from_numpy(Z.astype(np.float32))

        def deformed(numbers: Tensor) -> Tensor:
            index = numbers.long()
            a = self.module_.scaling.single(to_device(images.take(index), codec.device))
            return self.module_.deformed(a, to_device(codes[index], codec.device))

        return codec.generate(ArrayDataset(np.arange(len(rows))), deformed)


class _Pairs(Rows):
    """Each image with one of its partners, drawn anew whenever it is read.

    Parameters
    ----------
    data : ArrayDataset
    partners : ndarray of shape (n, k)
        Row numbers; rows with -1 are left out.
    rows : ndarray of shape (n,), default=None
        Of which image each row of ``partners`` is; None for the first, the second...
    """

    def __init__(
        self, data: ArrayDataset, partners: np.ndarray, rows: np.ndarray | None = None
    ) -> None:
        takes_part = partners[:, 0] >= 0
        self.data = data
        self.partners = torch.from_numpy(partners[takes_part])
        rows = np.arange(len(partners)) if rows is None else rows
        self.first = torch.from_numpy(rows[takes_part])

    def __len__(self) -> int:
        return len(self.first)

    def take(self, index: Tensor) -> Tensor:
        return next(self.read([index]))

    def read(self, indices: Iterable[Tensor], seed: int = 0) -> Iterator[Tensor]:
        k = self.partners.shape[1]
        generator = torch.Generator("cpu").manual_seed(seed)
        for index in indices:
            which = torch.randint(k, index.shape, generator=generator, device="cpu")
            second = self.partners[index, which]
            yield torch.stack([self.data.take(self.first[index]), self.data.take(second)], 1)


def class_neighbors(X: np.ndarray, codes: np.ndarray, k: int) -> np.ndarray:
    """Return the row numbers (n, k) of each row's nearest neighbours in its class.

    Of a class with fewer they recur; rows alone in their class, or of code -1, have -1. In a large
    class they are the nearest of some of its rows: see ``nearest_others``.
    """
    partners = np.full((len(X), k), -1)
    for c in np.unique(codes[codes >= 0]):
        rows = np.flatnonzero(codes == c)
        most = min(k, len(rows) - 1)
        if most:
            flat = X[rows].reshape(len(rows), -1).astype(np.float32)
            partners[rows] = rows[nearest_others(flat, most)[:, np.arange(k) % most]]
    return partners

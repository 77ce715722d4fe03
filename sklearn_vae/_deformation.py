"""A VAE of deformations; what VAEAugmenter trains for ``method="deformation"``."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ._base import BaseVAE, Rows
from .model._deformation import DeformationModel
from .training import ArrayDataset

PAIRS = 200_000
"""Pairs whose posteriors are learnt, at most; each row keeps one, however many there are."""
FIXED: dict[str, Any] = {
    "likelihood": "gaussian",
    "prior": "normal",
    "posterior": "normal",
    "importance_samples": 1,
    "label_weight": 0.0,
    "augment": None,
}
"""Parameters of a template that have no say."""


class DeformationVAE(BaseVAE):
    """VAE with the decoder p(b|a, z), an image b as a deformed; parameters as VAETransformer's.

    ``fit(X, partners)`` takes images and, for each, the row numbers (n, k) of images that it could
    be deformed to; -1 for those that take no part.
    """

    module_: DeformationModel  # type: ignore[assignment]

    @classmethod
    def like(cls, template: BaseVAE) -> DeformationVAE:
        """Return one with the template's parameters, but for those that have no say."""
        return cls(**{**template.get_params(deep=False), **FIXED})

    def _train(self, data: Rows, y: Any, **how: Any) -> None:
        assert isinstance(data, ArrayDataset)  # VAEAugmenter takes no torch Datasets
        pairs: Any = _Pairs(data, y)  # fetched by the batch, as other data
        super()._train(pairs, None, **how)

    def _build(self, z_dim: int, X: np.ndarray | None = None) -> DeformationModel:  # type: ignore[override]
        scaling = self.spec_.scaling(None, standardise=False)
        try:
            return DeformationModel(scaling, self.network_, z_dim).float()
        except RuntimeError as error:
            raise ValueError(
                f"network={self.network_!r} cannot encode a pair of images as "
                f"{2 * self.spec_.shape[0]} channels, which method='deformation' needs: {error}"
            ) from error

    def _set_feature_scale(self, data: Rows) -> None:
        """Do nothing: deformations are no features."""

    def pair_posteriors(self, X: np.ndarray, partners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and standard deviation of q(z|a, b) for pairs, each (n, k, z_dim).

        Of all partners, or of as many, near and far, as ``PAIRS`` allows. Rows without have zeros.
        """
        n = len(partners)
        k = max(1, min(partners.shape[1], PAIRS // n))
        partners = partners[:, np.linspace(0, partners.shape[1] - 1, k).astype(int)]
        pairs: Any = _Pairs(ArrayDataset(X), partners.reshape(-1, 1), np.repeat(np.arange(n), k))
        moments_of = np.zeros((n * k, 2 * self.module_.z_dim), np.float32)

        def moments(raw: Tensor) -> Tensor:
            q = self.module_.posterior(self._scaled(raw))
            return torch.cat([q.loc, q.scale], 1)

        moments_of[partners.ravel() >= 0] = self._apply(pairs, moments)
        mean, std = np.split(moments_of.reshape(n, k, -1), 2, axis=2)
        return mean, std

    def deform(self, X: np.ndarray, Z: np.ndarray) -> np.ndarray:
        """Return images X as codes Z, (n, z_dim), deform them, in the form of the fitted X."""
        images, codes = ArrayDataset(X), torch.from_numpy(Z.astype(np.float32))

        def deformed(numbers: Tensor) -> Tensor:
            rows = numbers.long()
            a = self.module_.scaling.single(self._on_device(images.take(rows)))
            return self._raw(self.module_.deformed(a, codes[rows].to(self.device_)))

        return self.spec_.restore(self._apply(ArrayDataset(np.arange(len(X))), deformed))


class _Pairs(Dataset):
    """Each image with one of its partners, drawn anew whenever it is taken.

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
        k = self.partners.shape[1]
        which = torch.randint(k, index.shape, device="cpu") if k > 1 else torch.zeros_like(index)
        second = self.partners[index, which]
        return torch.stack([self.data.take(self.first[index]), self.data.take(second)], 1)

    def rows(self, start: int, stop: int) -> Tensor:
        return self.take(torch.arange(start, stop, device="cpu"))


def class_neighbors(X: np.ndarray, codes: np.ndarray, k: int) -> np.ndarray:
    """Return the row numbers (n, k) of each row's nearest neighbours in its class.

    Of a class with fewer they recur; rows alone in their class, or of code -1, have -1.
    """
    from sklearn.neighbors import NearestNeighbors  # slow to import

    partners = np.full((len(X), k), -1)
    for c in np.unique(codes[codes >= 0]):
        rows = np.flatnonzero(codes == c)
        most = min(k, len(rows) - 1)
        if most:
            flat = X[rows].reshape(len(rows), -1).astype(np.float32)
            nearest = NearestNeighbors(n_neighbors=most).fit(flat)
            found = nearest.kneighbors(return_distance=False)  # without the row itself
            partners[rows] = rows[found[:, np.arange(k) % most]]
    return partners

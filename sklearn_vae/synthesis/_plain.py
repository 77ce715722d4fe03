"""The VAE of a VAETransformer, trained for this or frozen."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..input._rows import ArrayDataset
from ._labelled import Labelled
from ._methods import Method
from ._row_model import RowModel


class PlainVAE(RowModel):
    """VAE with the decoder p(x|z) and the encoder q(z|x).

    Parameters
    ----------
    vae : VAETransformer
        Is trained.
    frozen : bool, default=False
        Use the VAE, fitted already, as it is.
    """

    def __init__(self, vae: Any, *, frozen: bool = False) -> None:
        self._vae = vae
        self.template = None if frozen else vae

    @property
    def vae(self) -> Any:
        """The VAETransformer."""
        return self._vae

    def learn(self, data: Labelled, method: Method) -> tuple[np.ndarray, np.ndarray]:
        """Train the VAE, unless it is frozen; return its posteriors."""
        if self.template is None:  # trained on rows of the same form, which this checks
            self.vae.codec_.read(ArrayDataset(data.X), names_of=self.vae)
        else:
            self.vae.fit(data.rows, data.labels)
            if data.names is not None:
                self.vae.feature_names_in_ = data.names
        mean, std = self.vae.codec_.posterior(ArrayDataset(data.X))
        return mean * self._scale, std * self._scale

    def generate(self, Z: np.ndarray, label: int = 0, rows: np.ndarray | None = None) -> np.ndarray:
        """Return the mean of p(x|z) for codes Z, (n, z_dim)."""
        return self.vae.codec_.decode(Z / self._scale)

    def features(self, X: np.ndarray) -> np.ndarray:
        """Return the posterior means of rows X."""
        return self.vae.codec_.posterior(ArrayDataset(X))[0] * self._scale

    @property
    def _scale(self) -> np.ndarray:
        """What codes are times here, as ``transform`` has them: their distances mean more."""
        return self.vae.module_.latent_scale.cpu().numpy()

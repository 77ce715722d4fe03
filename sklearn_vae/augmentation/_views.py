"""Fresh synthetic versions of a batch, for training loops."""

from __future__ import annotations

from math import inf
from typing import Any

import torch
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn


class PosteriorViews(nn.Module):
    """Turns every image of a batch into a draw around its posterior: augmentation on line.

    What ``VAEAugmenter(method="posterior")`` does once and for all, done anew in every step, as in
    Exemplar VAE [1]_. A row keeps its label. Works wherever a batch of tensors can be changed: in a
    module's ``forward`` while it trains, in a skorch net's ``train_step``, in a plain loop.

    Parameters
    ----------
    vae : VAETransformer or FrozenEstimator
        Fitted; not trained further.
    spread : float, default=1.0
        In posterior standard deviations, 0 or more.
    residual : bool, default=True
        Add what the decoder loses of the image itself, as in :class:`Posterior`.

    Raises
    ------
    NotFittedError
        For a VAE that is not fitted.
    ValueError
        For a ``spread`` below 0.

    References
    ----------
    .. [1] Norouzi, Fleet, Norouzi, "Exemplar VAE: Linking Generative Models, Nearest Neighbor
       Retrieval, and Data Augmentation", NeurIPS 2020.

    Examples
    --------
    >>> import torch
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_vae import VAETransformer
    >>> from sklearn_vae.augmentation import PosteriorViews
    >>> X = (load_digits().data / 16).reshape(-1, 8, 8)
    >>> vae = VAETransformer(4, network="mlp", augment=None, max_epochs=5, device="cpu").fit(X)
    >>> views = PosteriorViews(vae)
    >>> views(torch.from_numpy(X[:10]).float()[:, None]).shape
    torch.Size([10, 1, 8, 8])
    """

    def __init__(self, vae: Any, *, spread: float = 1.0, residual: bool = True) -> None:
        super().__init__()
        if isinstance(vae, FrozenEstimator):
            vae = vae.estimator
        check_is_fitted(vae)
        if not 0 <= spread < inf:
            raise ValueError(f"spread={spread!r}: give a number >= 0.")
        self._vae = [vae.module_]  # a list: its weights are not among the parameters of this one
        self.spread = spread
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        """Return a fresh draw for each row of x, on the VAE's device.

        Parameters
        ----------
        x : Tensor of shape (n, c, h, w), or (n, d) for rows, float32
            As the network sees it: images in [0, 1]; torch's generator draws the noise.

        Returns
        -------
        views : Tensor of the shape of x, float32
            Without gradients; images clipped to [0, 1].
        """
        model = self._vae[0]
        with torch.no_grad():
            q = model.posterior(x)
            z = q.loc + self.spread * q.scale * torch.randn_like(q.loc)
            new: Tensor = model.conditional(z).mean
            if self.residual:
                new = new + x - model.conditional(q.loc).mean
            return new.clamp(0, 1) if x.dim() == 4 else new

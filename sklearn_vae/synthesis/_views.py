"""Fresh synthetic versions of a batch, for training loops."""

from __future__ import annotations

from math import inf
from typing import Any

import torch
from sklearn.base import BaseEstimator
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from ..augmentation._augment import resolve_augment
from ..model import VAE
from ..model._deformation_model import DeformationModel
from ._augment_rows import augment_batch


class _Views(nn.Module):
    """Base: keeps a fitted model out of its own parameters."""

    def __init__(self, model: nn.Module, spread: float) -> None:
        super().__init__()
        if not 0 <= spread < inf:
            raise ValueError(f"spread={spread!r}: give a number >= 0.")
        self._model = [model]  # a list: its weights are not among the parameters of this one
        self.spread = spread


class DeformationViews(_Views):
    """Turns every image of a batch into a deformed one: augmentation on line.

    With the deformations that ``VAEAugmenter(method="deformation")`` has learnt, drawn anew in
    every step; of any class, since a batch has no labels. The augmenter's ``augment`` follows.
    A row keeps its label. Used as :class:`PosteriorViews`.

    Parameters
    ----------
    augmenter : VAEAugmenter
        Fitted, with ``method="deformation"``; not trained further.
    spread : float, default=None
        Times draws from the prior, 0 or more; None for that of the augmenter's method.

    Raises
    ------
    NotFittedError
        For an augmenter that is not fitted.
    ValueError
        For an augmenter of another method and a ``spread`` below 0; when called, for an ``augment``
        that changes the size of images.

    Examples
    --------
    >>> import torch
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_vae import VAEAugmenter, VAETransformer
    >>> from sklearn_vae.synthesis import DeformationViews
    >>> from sklearn_vae.augmentation import Augment
    >>> X, y = load_digits(return_X_y=True)
    >>> X = (X / 16).reshape(-1, 8, 8)
    >>> augmenter = VAEAugmenter(
    ...     vae=VAETransformer(4, max_epochs=2, device="cpu"),
    ...     method="deformation",
    ...     augment=Augment(shift=0.1),
    ...     n_new=1,
    ... )
    >>> views = DeformationViews(augmenter.fit(X, y))
    >>> views(torch.from_numpy(X[:10]).float()[:, None]).shape
    torch.Size([10, 1, 8, 8])
    """

    def __init__(self, augmenter: Any, *, spread: float | None = None) -> None:
        check_is_fitted(augmenter)
        model = getattr(augmenter.vae_, "module_", None)
        if not isinstance(model, DeformationModel):
            raise ValueError(
                f"augmenter has method={augmenter.method!r}, which learns no deformations. Fit it "
                "with method='deformation'."
            )
        super().__init__(model, augmenter.methods_[0].spread if spread is None else spread)
        self._change = resolve_augment(augmenter.augment, augmenter.spec_.shape)

    def forward(self, x: Tensor) -> Tensor:
        """Return a fresh deformation of each image of x, on the VAE's device.

        Parameters
        ----------
        x : Tensor of shape (n, c, h, w), float32
            In [0, 1]; torch's generator draws the deformations.

        Returns
        -------
        views : Tensor of the shape of x, float32
            Without gradients.
        """
        model: Any = self._model[0]
        with torch.no_grad():
            z = self.spread * torch.randn(len(x), model.z_dim, device=x.device)
            views: Tensor = model.deformed(x, z)
            return views if self._change is None else augment_batch(views, self._change)


class PosteriorViews(_Views):
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
        Add what the decoder loses of the image itself, as in :class:`PosteriorSampling`.

    Raises
    ------
    NotFittedError
        For a VAE that is not fitted.
    TypeError
        For a VAE of another kind, such as those of the methods "conditional" and "deformation".
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
    >>> from sklearn_vae.synthesis import PosteriorViews
    >>> X = (load_digits().data / 16).reshape(-1, 8, 8)
    >>> vae = VAETransformer(4, network="mlp", augment=None, max_epochs=5, device="cpu").fit(X)
    >>> views = PosteriorViews(vae)
    >>> views(torch.from_numpy(X[:10]).float()[:, None]).shape
    torch.Size([10, 1, 8, 8])
    """

    def __init__(self, vae: Any, *, spread: float = 1.0, residual: bool = True) -> None:
        if isinstance(vae, FrozenEstimator):
            vae = vae.estimator
        if isinstance(vae, BaseEstimator):
            check_is_fitted(vae)
        module = getattr(vae, "module_", None)
        if not isinstance(module, VAE) or module.n_classes:
            raise TypeError(
                f"vae={vae!r} is a {type(vae).__name__}, which does not encode single images. "
                "Pass a fitted VAETransformer."
            )
        super().__init__(module, spread)
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
        model: Any = self._model[0]
        with torch.no_grad():
            q = model.posterior(x)
            z = q.loc + self.spread * q.scale * torch.randn_like(q.loc)
            new: Tensor = model.conditional(z).mean
            if self.residual:
                new = new + x - model.conditional(q.loc).mean
            return new.clamp(0, 1) if x.dim() == 4 else new

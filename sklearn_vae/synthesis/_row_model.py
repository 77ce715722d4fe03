"""What makes rows of codes: the kinds of VAE, and real rows as they are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch

from ..input._rows import ArrayDataset, Rows
from ..input._spec import InputSpec
from ..model._codec import Codec
from ..training._amount import resolve_epochs
from ..training._trainer import Trainer
from ..training.processes._parallel import joined
from ._labelled import Labelled
from ._methods import Method


class RowModel(ABC):
    """Makes rows of codes: a VAE of one kind, or none, where real rows are taken as they are."""

    template: Any = None
    """The VAETransformer that is trained, or whose parameters the training has; None for none."""
    from_rows: ClassVar[bool] = False
    """Whether a row is made from a real one itself, not from codes alone."""

    @property
    def vae(self) -> Any:
        """What a user gets to see as the VAE."""
        return self

    @abstractmethod
    def learn(self, data: Labelled, method: Method) -> tuple[np.ndarray, np.ndarray]:
        """Train, where there is something to train; return what :meth:`Method.fit` takes.

        These are the posteriors' means and standard deviations, of all rows.
        """

    @abstractmethod
    def generate(self, Z: np.ndarray, label: int = 0, rows: np.ndarray | None = None) -> np.ndarray:
        """Return rows in the form of the fitted X.

        Parameters
        ----------
        Z : ndarray of shape (n, z_dim)
            Codes.
        label : int, default=0
            The number of their class.
        rows : ndarray of shape (n, ...), default=None
            The real row of each; only with ``from_rows``.
        """

    def features(self, X: np.ndarray) -> np.ndarray:
        """Return what a linear classifier tells the classes of rows X by, shape (n, d)."""
        return X.reshape(len(X), -1)


class RealRows(RowModel):
    """Returns the real rows themselves."""

    from_rows = True

    @property
    def vae(self) -> None:
        """No VAE."""

    def learn(self, data: Labelled, method: Method) -> tuple[np.ndarray, np.ndarray]:
        """Learn nothing; return moments of codes without dimensions."""
        none = np.empty((len(data.X), 0))
        return none, none

    def generate(self, Z: np.ndarray, label: int = 0, rows: np.ndarray | None = None) -> np.ndarray:
        """Return the rows."""
        assert rows is not None
        return rows


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


class TrainedModel(RowModel):
    """A VAE of a kind of its own, with the parameters of a template.

    Parameters
    ----------
    template : VAETransformer
        Whose parameters it has.
    """

    codec_: Codec
    history_: list[dict[str, Any]]

    def __init__(self, template: Any) -> None:
        self.template = template

    @property
    def module_(self) -> Any:
        """The trained torch module."""
        return self.codec_.module

    def _train(
        self, recipe: Any, spec: InputSpec, data: Rows, n: int, y: Any = None, **fixed: Any
    ) -> None:
        """Train what the recipe builds for as long as n rows take; some parameters are fixed."""
        vae = self.template
        based = recipe.network.has_base
        epochs = resolve_epochs(vae.max_epochs, n, spec.shape, based=based)
        trainer = Trainer.of(vae, **fixed)
        with joined(vae.parallel, vae.device) as ranks:
            self.codec_, net, _ = trainer.train(recipe, spec, data, y, epochs=epochs, ranks=ranks)
        self.history_ = net.rows()


class ConditionalVAE(TrainedModel):
    """VAE with the decoder p(x|z, y) and the encoder q(z|x)."""

    def learn(self, data: Labelled, method: Method) -> tuple[np.ndarray, np.ndarray]:
        """Train on all rows and their class numbers; return their posteriors."""
        vae, n = self.template, len(data.classes)
        rows, spec, recipe = vae.read_training(data.rows)
        rows.classes = torch.from_numpy(data.codes)
        recipe = replace(recipe, n_classes=n, n_labels=n if vae.label_weight > 0 else 0)
        self._train(recipe, spec, rows, len(rows), data.codes)
        return self.codec_.posterior(ArrayDataset(data.X))

    def generate(self, Z: np.ndarray, label: int = 0, rows: np.ndarray | None = None) -> np.ndarray:
        """Return the mean of p(x|z, y) for codes Z, (n, z_dim), and the class number y."""
        labels = np.full(len(Z), label)
        return self.codec_.decode(np.hstack([Z, np.eye(self.module_.n_classes)[labels]]))

    def features(self, X: np.ndarray) -> np.ndarray:
        """Return the posterior means of rows X."""
        return self.codec_.posterior(ArrayDataset(X))[0]

"""What the kinds of VAE, and real rows as they are, have in common for synthesis."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np

from ..input._rows import Rows
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

"""What the kinds of VAE, and real rows as they are, have in common for synthesis."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np

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
    def generate(
        self, Z: np.ndarray, *, label: int = 0, rows: np.ndarray | None = None
    ) -> np.ndarray:
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

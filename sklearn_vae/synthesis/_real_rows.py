"""Real rows as they are, without a VAE: ``method="bootstrap"``."""

from __future__ import annotations

import numpy as np

from ._labelled import Labelled
from ._methods import Method
from ._row_model import RowModel


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

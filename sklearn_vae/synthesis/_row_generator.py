"""Draws of synthetic rows, class by class."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import clone

from ..input._spec import InputSpec
from ..utils._memory import explains_memory
from ..utils._sklearn_compat import FitTasks
from ._augment_rows import augment_rows
from ._gate import Drawn, QualityGate, draw_through
from ._labelled import Labelled
from ._methods import Method
from ._residuals import Residuals
from ._row_model import RowModel


class SyntheticRows(NamedTuple):
    """Synthetic rows of all classes, one class behind the other."""

    rows: np.ndarray
    codes: np.ndarray
    """The number of each row's class."""
    source: np.ndarray
    """The row of X that each came from, or -1."""
    reports: list[dict[str, int]]
    """Of each class, what the gate counted."""


def to_make(n: int) -> str:
    """Return what was asked for when there was no memory for synthetic rows, and a remedy."""
    return f"making {n} synthetic rows. Ask for fewer, or pass an X of a smaller dtype."


class RowGenerator:
    """Makes synthetic rows of each class of a data set.

    The class's method draws a row, and the model makes it. It is given back its residual, clipped
    to the range of X, augmented, and passed through the gate, in this order.

    Parameters
    ----------
    model : RowModel
        The VAE, not yet trained unless it is frozen.
    method : Method
        Of which a copy is fitted to each class.
    spec : InputSpec
        The form of X.
    augment : str, float, callable or None
        What changes finished rows.
    gate : QualityGate or None
        Is fitted.

    Attributes
    ----------
    methods : list of Method
        The fitted method of each class.
    """

    methods: list[Method]

    def __init__(
        self,
        model: RowModel,
        method: Method,
        *,
        spec: InputSpec,
        augment: Any,
        gate: QualityGate | None,
    ) -> None:
        self.model = model
        self.method = method
        self.spec = spec
        self.augment = augment
        self.gate = gate

    def fit(self, data: Labelled, tasks: FitTasks) -> RowGenerator:
        """Train the VAE, as one of the tasks; fit the method of each class, and the gate."""
        template, from_rows = self.model.template, self.model.from_rows
        with nullcontext() if template is None else tasks.part("vae", template):
            mean, std = self.model.learn(data, self.method)
        self.rows = data.X if from_rows else None
        residual = self.method.residual and not from_rows
        self.residuals = Residuals(data.X, mean, self.spec) if residual else None
        self.bounds = None if self.spec.is_image else (data.X.min(0), data.X.max(0))
        unlabelled = np.flatnonzero(data.codes < 0)
        self.methods = [
            clone(self.method).fit(mean, std, np.flatnonzero(data.codes == c), unlabelled)
            for c in range(len(data.classes))
        ]
        if self.gate is not None:
            known = data.X[data.known]
            self.gate.fit(known, self.model.features(known), data.codes[data.known])
        return self

    @explains_memory(lambda self, wanted, rng: to_make(sum(wanted)))
    def generate(self, wanted: Sequence[int], rng: np.random.RandomState) -> SyntheticRows:
        """Return as many rows of each class as are wanted, or fewer where the gate drops some."""
        drawn = [self.draw(c, n, rng) for c, n in enumerate(wanted)]
        return SyntheticRows(
            np.concatenate([part.rows for part in drawn]),
            np.repeat(np.arange(len(drawn)), [len(part.rows) for part in drawn]),
            np.concatenate([part.source for part in drawn]),
            [part.report for part in drawn],
        )

    @explains_memory(lambda self, c, n, rng: to_make(n))
    def draw(self, c: int, n: int, rng: np.random.RandomState) -> Drawn:
        """Return n rows of class number c, or fewer where the gate drops some."""
        if self.gate is None:
            return Drawn(*self._draw(c, n, rng), {})
        return draw_through(
            self.gate, lambda missing: self._draw(c, missing, rng), self.model.features, c, n
        )

    def _draw(self, c: int, n: int, rng: np.random.RandomState) -> tuple[np.ndarray, np.ndarray]:
        """Return n rows of class number c and their sources, without the gate."""
        draws = self.methods[c].draw(n, rng)
        source = draws.source
        if n == 0:
            return np.empty((0, *self.spec.raw_shape), self.spec.dtype), source
        make = partial(self.model.generate, label=c)
        new = make(draws.Z, rows=None if self.rows is None else self.rows[source])
        if self.residuals is not None:
            new = self.residuals.added_to(new, draws, make)
        if self.bounds is not None:
            new = new.clip(*self.bounds)
        if self.augment is not None:
            new = augment_rows(new, self.spec, self.augment, rng.randint(2**31 - 1))
        return new, source

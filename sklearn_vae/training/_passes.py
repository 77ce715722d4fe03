"""The passes that partial_fit has made over all chunks, and whether these come sorted."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..input._labels import UNLABELLED
from ..input._row_keys import row_keys
from ..input._rows import ArrayDataset, Rows
from ..input._samples import from_torch
from ..model._codec import Codec
from ._trainer import are_labels

KEYS = 8
"""Rows by which a chunk is known again: those with the lowest keys, whatever their order."""
LOOKED_AT = 1000
"""Rows of a chunk that is not in memory, of which these are some."""
SCORED = 32, 200
"""Rows of a chunk that are scored, a tenth within these bounds."""
APART = 0.5
"""Share of the labels that would have to change for a chunk to be like those before."""
LEAST_LABELS = 20
JUMP, JUMPS = 0.75, 3
"""Standard deviations that the loss rises from one chunk to the next, beyond what chance does, and
how often, until chunks look sorted. Shuffled ones of Fashion-MNIST rise by 0.3 at most."""
CHANCE = 4
"""Standard errors that chance does."""


@dataclass(frozen=True)
class Passes:
    """What partial_fit keeps of the chunks so far.

    Attributes
    ----------
    n : int
        Passes that have begun.
    keys : frozenset of int
        What this pass has shown.
    labels : tuple of (label, int)
        How often each label came.
    loss : tuple of float or None
        Mean and standard deviation over rows of the last chunk, after its training.
    jumps : int
        Chunks on which the loss was far higher than on the one before.
    warned : bool
        Whether chunks have looked sorted.
    """

    n: int = 0
    keys: frozenset[int] = frozenset()
    labels: tuple[tuple[Any, int], ...] = ()
    loss: tuple[float, float] | None = None
    jumps: int = 0
    warned: bool = False

    def met(self, data: Rows) -> Passes:
        """Return these with one more chunk: the first of a pass where it is known in this one."""
        most = len(data) if isinstance(data, ArrayDataset) else LOOKED_AT
        lowest = np.unique(row_keys(data.sample(most)))[:KEYS]
        keys = frozenset(lowest.tolist())
        again = 2 * len(keys & self.keys) > len(keys)
        if again or self.n == 0 or not self.keys:
            return replace(self, n=self.n + 1, keys=keys)
        return replace(self, keys=self.keys | keys)

    def seen(self, y: Any, codec: Codec | None, data: Rows) -> Passes:
        """Return these after a look at the labels and the loss of a chunk that is yet to train."""
        found, apart = self._labelled(y, len(data))
        if apart:
            found = _warned(found, "the labels of one are not those of the ones before")
        if codec is not None and self.loss is not None:
            (mean, std), losses = self.loss, _scores(codec, data)
            far = JUMP + CHANCE * (2 / len(losses)) ** 0.5
            found = replace(found, jumps=found.jumps + (losses.mean() > mean + far * std))
            if found.jumps == JUMPS:
                found = _warned(found, "the loss is far higher on some than on the ones before")
        return found

    def _labelled(self, y: Any, n: int) -> tuple[Passes, bool]:
        """Return these with the labels, and whether they are far from those before."""
        try:
            y = np.asarray(from_torch(y))
            if y.shape != (n,) or not are_labels(y):
                return self, False
            values, counts = np.unique(y, return_counts=True)
        except (TypeError, ValueError):  # whatever it is, it need not be learnt from
            return self, False
        now = dict(zip(values.tolist(), counts.tolist(), strict=True))
        now.pop(UNLABELLED, None)
        n = sum(now.values())
        if n < LEAST_LABELS or 2 * len(now) > n:  # numbers rather than labels
            return self, False
        before = dict(self.labels)
        total = {k: before.get(k, 0) + now.get(k, 0) for k in before | now}
        found = replace(self, labels=tuple(total.items()))
        if before:
            of_all = sum(before.values())
            shared = sum(min(k / n, before.get(c, 0) / of_all) for c, k in now.items())
            return found, shared < 1 - APART
        return found, False

    def trained(self, codec: Codec, data: Rows) -> Passes:
        """Return these with the loss on a chunk after its training."""
        losses = _scores(codec, data)
        return replace(self, loss=(float(losses.mean()), float(losses.std())))


def passes_of(vae: Any, data: Rows, y: Any, *, again: bool, partial: bool) -> Passes:
    """Return the passes of a VAE, with one more chunk of ``partial_fit``, and forget the old."""
    passes = vae.__dict__.pop("_passes", Passes(vae.n_iter_ if again else 0))
    if not partial:
        return Passes(passes.n if again else 0)
    return passes.met(data).seen(y, vae.codec_ if again else None, data)


def _warned(passes: Passes, why: str) -> Passes:
    if not passes.warned:
        warnings.warn(
            f"Chunks look sorted: {why}. What is shown last is learnt best, the rest forgotten. Mix"
            " the rows: sklearn_vae.datasets.shuffle_chunks(chunks, buffer_size).",
            UserWarning,
            stacklevel=8,
        )
    return replace(passes, warned=True)


def _scores(codec: Codec, data: Rows) -> np.ndarray:
    """Return the loss of some rows, in nats."""
    rows = data.sample(int(np.clip(len(data) // 10, *SCORED)))
    return -codec.apply(ArrayDataset(rows.numpy()), codec.scorer(1))

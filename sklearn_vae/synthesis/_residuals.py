"""What decoding loses of real rows, which synthetic rows get back."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..input._spec import InputSpec
from ._methods import Draws

BLOCK_BYTES = 2**22
"""Size of the float blocks in which residuals are added: they stay in the processor's cache."""


class Residuals:
    """The differences between real rows and what their codes are decoded to.

    Parameters
    ----------
    X : ndarray of shape (n, ...)
        Real rows.
    mean : ndarray of shape (n, z_dim)
        Their codes.
    spec : InputSpec
        The form of X.
    """

    def __init__(self, X: np.ndarray, mean: np.ndarray, spec: InputSpec) -> None:
        self.X = X
        self.mean = mean
        self.spec = spec

    def added_to(
        self, new: np.ndarray, draws: Draws, decode: Callable[[np.ndarray], np.ndarray]
    ) -> np.ndarray:
        """Return decoded rows with what decoding loses of their parents, in shares.

        Parameters
        ----------
        new : ndarray of shape (m, ...)
            What the codes of ``draws`` are decoded to.
        draws : Draws
            Numbers of rows of X, and their shares.
        decode : callable
            From codes to rows.
        """
        rows, which = np.unique(draws.parents, return_inverse=True)
        which = which.reshape(draws.parents.shape)
        # A column may lie far from zero: float32 would keep nothing of its small differences.
        float_type = np.dtype(np.float32 if self.spec.is_intensity else np.float64)
        lost = self.X[rows].astype(float_type) - decode(self.mean[rows])
        out = np.empty_like(new)
        step = max(1, BLOCK_BYTES // max(1, lost[:1].nbytes))
        for start in range(0, len(new), step):  # a large result would not fit in memory as floats
            part = slice(start, start + step)
            x = new[part].astype(float_type)
            for k, share in enumerate(draws.weights[part].T.astype(float_type)):
                x += share.reshape(-1, *[1] * (x.ndim - 1)) * lost[which[part, k]]
            out[part] = self._in_range(x)
        return out

    def _in_range(self, x: np.ndarray) -> np.ndarray:
        """Return float values in the range and dtype of X."""
        top = self.spec.maximum
        return self.spec.restore(x.clip(0, top) if self.spec.is_intensity else x)

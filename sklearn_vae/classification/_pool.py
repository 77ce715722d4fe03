"""Two linear views of the classes and their logarithmic pool: arrays that predict."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

DEGREES = 16.0
"""Degrees of freedom of the Student distribution that rows are taken to have."""


@dataclass(frozen=True)
class Space:
    """Rows, each divided by its own scale.

    Rows are taken as a scale mixture of Gaussians, a multivariate Student distribution: each has a
    precision of its own, by whose posterior mean it is scaled. In many dimensions rows so come to
    lie on a sphere, in few they hardly change.

    Attributes
    ----------
    centre : ndarray of shape (d,), float32
        The mean of the fitted rows.
    size : float
        Their root mean square distance from it, per dimension.
    """

    centre: np.ndarray
    size: float

    @classmethod
    def of(cls, X: np.ndarray) -> Space:
        """Return the space of these rows."""
        centre = X.mean(0, dtype=np.float64)
        size = float(np.sqrt(np.square(X - centre).mean(dtype=np.float64)))
        return cls(centre.astype(np.float32), size or 1.0)

    def scaled(self, X: torch.Tensor) -> torch.Tensor:
        """Return rows divided by their scales; (n, d)."""
        x = (X - torch.as_tensor(self.centre, device=X.device)) / self.size
        d = x.shape[1]
        precision = (DEGREES + d) / (DEGREES + x.square().sum(1, keepdim=True))
        return x * precision.sqrt()


@dataclass(frozen=True)
class Linear:
    """Scores of the classes: (d, k) coefficients and (k,) intercepts, float32."""

    coef: np.ndarray
    intercept: np.ndarray

    def scores(self, x: torch.Tensor) -> torch.Tensor:
        """Return the scores of rows, (n, k)."""
        coef, intercept = (torch.as_tensor(a, device=x.device) for a in (self.coef, self.intercept))
        return x @ coef + intercept


@dataclass(frozen=True)
class Pool:
    """The weighted sum of what two views say of each class, in log-probabilities.

    Attributes
    ----------
    plain, mixture : Linear
        The plain head on rows and the class mixture on codes.
    rows, codes : Space
        Where either lives.
    weights : ndarray of shape (2,), float64
        How much either counts.
    """

    plain: Linear
    mixture: Linear
    rows: Space
    codes: Space
    weights: np.ndarray

    def scores(self, rows: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        """Return log-probabilities of the classes, but for a constant of each row; (n, k)."""
        plain = self.plain.scores(self.rows.scaled(rows))
        mixture = self.mixture.scores(self.codes.scaled(codes))
        a, b = map(float, self.weights)
        return a * plain + b * mixture

"""How training went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .._transformer import VAETransformer
from ._display import Axes, Display

TERMS = {"loss": "loss", "log_likelihood": "log-likelihood", "kl": "KL divergence"}
"""What can be drawn, and how it is labelled."""
SIDES = {"train": "training", "valid": "validation"}
"""Beginnings of the names in a history, and how they are labelled."""


@dataclass(eq=False, repr=False)
class TrainingCurveDisplay(Display):
    """The loss, or its terms, by epoch, on training and validation samples.

    Make one with :meth:`from_estimator` or :meth:`from_history`. All parameters are kept as
    attributes.

    Parameters
    ----------
    history : sequence of dict
        What ``VAETransformer.history_`` holds: one dict per epoch with ``epoch``, ``train_loss``,
        ``train_log_likelihood``, ``train_kl`` and, with a validation split, the same for
        ``valid_``; in nats per sample.

    Attributes
    ----------
    lines_ : dict
        Term to a dict of ``"train"`` and, where there is one, ``"valid"`` to the
        ``matplotlib.lines.Line2D``.
    axes_ : ndarray of shape (n_terms,)
        The axes of each term.
    figure_ : matplotlib.figure.Figure
        The figure of these axes.

    Notes
    -----
    With augmentation the training loss is that of changed images; the validation loss never is.

    Examples
    --------
    >>> from sklearn_vae import VAETransformer
    >>> from sklearn_vae.datasets import fetch_images
    >>> from sklearn_vae.inspection import TrainingCurveDisplay
    >>> X = fetch_images("digits").data
    >>> vae = VAETransformer(8, network="mlp", max_epochs=3, validation_fraction=0.1, device="cpu")
    >>> display = TrainingCurveDisplay.from_estimator(vae.fit(X), terms=["log_likelihood", "kl"])
    >>> sorted(display.lines_["kl"])
    ['train', 'valid']
    """

    history: Sequence[Mapping[str, float]]

    def plot(
        self, *, terms: str | Sequence[str] = "loss", ax: Any = None, **kwargs: Any
    ) -> TrainingCurveDisplay:
        """Draw the curves.

        Parameters
        ----------
        terms : {"loss", "log_likelihood", "kl"} or a sequence of these, default="loss"
            What to draw, each in axes of its own.
        ax : matplotlib.axes.Axes or array-like of these, default=None
            Where to draw: one axes per term. None makes a new figure.
        **kwargs : dict
            For matplotlib's ``plot``, such as ``linewidth``.

        %(drawn)s
        """
        names = [terms] if isinstance(terms, str) else list(terms)
        self._check_terms(names)
        axes = self._axes(ax, (5 * len(names), 3.8), len(names))
        if len(axes) != len(names):
            raise ValueError(
                f"ax has {len(axes)} axes for {len(names)} terms. Pass one axes per term, "
                f"such as plt.subplots(1, {len(names)})[1], or one term."
            )
        self.axes_, self.figure_ = axes, axes[0].figure
        self.lines_ = {
            term: self._draw(term, ax, kwargs) for term, ax in zip(names, axes, strict=True)
        }
        return self

    def _check_terms(self, terms: list[str]) -> None:
        for term in terms:
            if term not in TERMS:
                raise ValueError(f"terms={term!r}; use one or more of {', '.join(TERMS)}.")
        if not terms or not len(self.history):
            what = "terms" if not terms else "history"
            raise ValueError(f"{what} is empty: there is nothing to draw.")
        needed = {"epoch", *(f"train_{term}" for term in terms)}
        if missing := {name for row in self.history for name in needed.difference(row)}:
            raise ValueError(f"history lacks {sorted(missing)}. Pass a VAETransformer's history_.")

    def _draw(self, term: str, ax: Axes, kwargs: dict[str, Any]) -> dict[str, Any]:
        from matplotlib.ticker import MaxNLocator

        lines = {}
        for side, label in SIDES.items():
            rows = [row for row in self.history if f"{side}_{term}" in row]
            if rows:
                epochs, values = zip(
                    *((r["epoch"], r[f"{side}_{term}"]) for r in rows), strict=True
                )
                look = {"linewidth": 2, "label": label, **kwargs}
                (lines[side],) = ax.plot(epochs, values, **look)
        ax.set(xlabel="epoch", ylabel=f"{TERMS[term]} (nats per sample)")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.grid(alpha=0.3)
        ax.spines[["top", "right"]].set_visible(False)
        ax.legend(frameon=False)
        return lines

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        terms: str | Sequence[str] = "loss",
        ax: Any = None,
        **kwargs: Any,
    ) -> TrainingCurveDisplay:
        """Draw the history of a fitted VAE.

        Parameters
        ----------
        estimator : VAETransformer, FrozenEstimator or Pipeline
            The fitted VAE, or what holds it.
        terms, ax
            What to draw, and where: see :meth:`plot`.
        **kwargs : dict
            For :meth:`plot`.

        Returns
        -------
        display : object
            The drawn display.

        %(raises)s
        """
        vae, _ = cls._resolve(estimator, VAETransformer)
        return cls(vae.history_).plot(terms=terms, ax=ax, **kwargs)

    @classmethod
    def from_history(
        cls,
        history: Sequence[Mapping[str, float]],
        *,
        terms: str | Sequence[str] = "loss",
        ax: Any = None,
        **kwargs: Any,
    ) -> TrainingCurveDisplay:
        """Draw a history that was kept elsewhere.

        Parameters
        ----------
        history : sequence of dict
            See :class:`TrainingCurveDisplay`.
        terms, ax
            What to draw, and where: see :meth:`plot`.
        **kwargs : dict
            For :meth:`plot`.

        Returns
        -------
        display : object
            The drawn display.
        """
        return cls(history).plot(terms=terms, ax=ax, **kwargs)

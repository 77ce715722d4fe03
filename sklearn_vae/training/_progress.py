"""What is printed during training."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from inspect import signature
from typing import Any

import torch
from skorch.callbacks import Callback

SHOWN = (
    *("train_loss", "valid_loss", "train_log_likelihood", "train_kl"),
    *("train_label_loss", "valid_label_loss"),
    *("train_contrastive_loss", "valid_contrastive_loss", "lr"),
)
"""What of an epoch's row a line tells, where it is there."""
MEASURED, LONG = 5.0, 60.0
"""Seconds of steps from which the rest is known, and seconds that are long to wait."""

ALIKE = {
    *("image_shape", "loader_workers", "warm_start", "device", "precision", "compile"),
    *("callbacks", "checkpoint", "parallel", "memory", "random_state", "verbose"),
}
"""Parameters by which the candidates of a search do not differ, as a rule."""
SHORT, VALUE, TITLE = 8, 24, 60
"""Characters of what goes first, and of a value and of all at most."""


def title_of(estimator: Any) -> str:
    """Return a name for a fit: ``z_dim``, and the parameters that are not at their defaults.

    >>> from sklearn_vae import VAETransformer
    >>> title_of(VAETransformer(16, lr=0.01, verbose=1))
    'z_dim=16, lr=0.01'
    """
    defaults = signature(type(estimator)).parameters
    params = {k: v for k, v in estimator.get_params(deep=False).items() if k not in ALIKE}
    texts = {k: repr(params[k]) for k in defaults if k in params}
    changed = {
        name: text
        for name, text in texts.items()
        if name == "z_dim" or text != repr(defaults[name].default)
    }
    names = sorted(changed, key=lambda name: len(changed[name]) > SHORT)  # recipes are long
    return _cut(", ".join(f"{name}={_cut(changed[name], VALUE)}" for name in names), TITLE)


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 3]}..."


def tell(line: str) -> None:
    """Print a line now, also where the output is a file or a pipe, which Python would buffer."""
    print(line, flush=True)  # noqa: T201


class AroundEpochs(Callback):
    """Calls two functions around each epoch; the second says whether it is the last."""

    def __init__(self, begin: Callable[[], None] | None, end: Callable[[Any], bool] | None) -> None:
        self.begin = begin
        self.end = end

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the functions, which hold the data of a running fit."""
        return {"begin": None, "end": None}

    def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
        """Call the first."""
        if self.begin is not None:
            self.begin()

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Call the second, and end the training as skorch's callbacks do where it says so."""
        if self.end is not None and self.end(net):
            raise KeyboardInterrupt

    def on_train_end(self, net: Any, **kwargs: Any) -> None:
        """Forget the functions."""
        self.begin = self.end = None


class Progress(Callback):
    """What prints: it is told of each step, and says once how long a long training will take.

    Parameters
    ----------
    title : str, default=""
        What tells the fit from others that print meanwhile.
    """

    def __init__(self, title: str = "") -> None:
        self.title = title

    def _head(self, net: Any) -> str:
        """Return what a training is called, and in brackets how it runs."""
        dtype = str(net.autocast or torch.float32).removeprefix("torch.")
        how = f"{net.device}, {dtype}, {'compiled' if net.compile else 'eager'}"
        return f"VAE {self.title} ({how})" if self.title else f"VAE ({how})"

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        """Start the clock."""
        self.begun_, self.first_ = time.perf_counter(), net.step
        self.first_step_: float | None = None
        self.forecast_ = False

    def advance(self, net: Any) -> None:
        """Count one step."""
        if self.forecast_:
            return
        now = time.perf_counter()
        if self.first_step_ is None:  # it prepares what the others need not
            self.first_step_ = now
        elif now - self.begun_ > MEASURED:
            self.forecast_ = True
            left = (now - self.first_step_) * (net.n_steps - net.step + 1)
            left /= net.step - self.first_ - 1
            if left > LONG:
                self.say(f"VAE: about {left / 60:.0f} min to go, {net.n_steps} steps")

    def say(self, line: str) -> None:
        """Print a line."""
        tell(line)


class ProgressBar(Progress):
    """A tqdm bar over all steps of a fit, with the losses of the last epoch beside it."""

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the bar, which is on the screen."""
        return {k: v for k, v in vars(self).items() if k != "bar_"}

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        """Open a bar as long as the planned training."""
        from tqdm.auto import tqdm  # which in a notebook without ipywidgets warns

        super().on_train_begin(net, **kwargs)
        steps = {"total": net.n_steps, "initial": net.step, "unit": "step"}
        self.bar_ = tqdm(desc=self._head(net), leave=True, **steps)

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Show the epoch's losses."""
        row = net.history[-1]
        shown = {k: f"{row[k]:.4g}" for k in ("train_loss", "valid_loss") if k in row}
        self.bar_.set_postfix(epoch=row["epoch"], **shown)

    def advance(self, net: Any) -> None:
        """Count one step."""
        super().advance(net)
        self.bar_.update()

    def say(self, line: str) -> None:
        """Print a line above the bar, where the bar is."""
        self.bar_.write(line, file=sys.stderr)

    def on_train_end(self, net: Any, **kwargs: Any) -> None:
        """Close the bar, finished or not."""
        self.bar_.close()


class EpochLog(Progress):
    """One line per epoch: losses in nats, their terms, learning rate, seconds taken and left."""

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        """Say once where and how training runs."""
        super().on_train_begin(net, **kwargs)
        tell(f"{self._head(net)}: {net.n_steps} steps")

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Print the epoch's row of the history."""
        row = net.history[-1]
        shown = [f"{key} {row[key]:.5g}" for key in SHOWN if key in row]
        left = (time.perf_counter() - self.begun_) * (net.n_steps - net.step)
        left /= net.step - self.first_
        times = f"{row['dur']:.1f} s", f"{left:.0f} s left"
        title = [self.title] if self.title else []
        tell("  ".join([f"epoch {row['epoch']:>4}", *title, *shown, *times]))

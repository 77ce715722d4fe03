"""The skorch net that trains a VAE: skorch's callbacks and history around a lean loop."""

from __future__ import annotations

import contextlib
import copy
import time
import warnings
from collections.abc import Callable
from functools import partial
from math import inf, isfinite
from typing import Any

import torch
from skorch import NeuralNet
from skorch.callbacks import Callback, LRScheduler
from torch import Tensor

from ..augmentation._augment import rebuilds_view, view_of
from ..input._batches import Batch, Batches, batch_bounds, some_rows, without_subsets
from ..model import VAE, ELBOTerms, NegativeELBO
from ..model._contrastive_loss import contrastive_loss
from ..model._label_loss import label_loss
from ..nn._mps import is_limited
from ..utils._generators import Generators
from ..utils._ranks import Ranks
from ._batch_norm import NORM_ROWS, refresh_batch_norm
from ._callbacks import acts_on_batches, check_callbacks_picklable, terms_of
from ._interrupts import Interrupts
from ._precision import autocast
from ._progress import Progress, tell
from ._schedules import kl_weight, learning_rate_factor
from .checkpoints._file import FitCheckpoint
from .checkpoints._state import restore_net, state_of_net

LABELLED_SHARE = 0.25
"""Rows with a label in every batch, as a share of the batch size, at the least."""
FLEETING = ("_train_rows", "_training_pass", "_totals", "_interrupts", "_checkpoint")
"""What is of one training: the user's images, compiled code, sums on the device."""


class _Stop(Exception):  # noqa: N818 (not an error)
    """A callback asked for the end of training."""


class VAENet(NeuralNet):
    """A :class:`skorch.NeuralNet` whose module is a :class:`~sklearn_vae.model.VAE`.

    Differences from skorch's loop, each for a measured reason: batches come whole from
    :class:`Batches`, and losses stay on the device until the epoch's end (no host-device sync per
    step). ``train()`` is called once an epoch, and the history keeps epoch rows only. Ctrl-C
    reaches the caller. A callback that acts on single batches gets skorch's own loop.

    Parameters
    ----------
    module : VAE
    augment : callable or None
        Changes the encoder's view of a batch in training.
    lr_schedule : {"constant", "cosine"}
    kl_warmup : float
        Epochs over which the KL term's weight rises to ``beta``.
    importance_samples : int
        Posterior draws per sample in training; above 1 for the importance-weighted bound.
    label_weight : float
        Weight of the class head's :func:`~sklearn_vae.model.label_loss`, in nats per sample like
        the ELBO. Above 0 the dataset has ``classes``.
    contrastive_weight : float
        Weight of the :func:`~sklearn_vae.model.contrastive_loss` of two views, likewise. Above 0
        there is an ``augment``.
    autocast : torch.dtype or None
        Lower precision of the forward pass in training.
    ranks : Ranks
        The processes that train this module together. Each steps on its part of a batch with the
        gradients of all; losses are of all, too.
    generators : Generators
        What the training draws from.
    **kwargs
        skorch's own parameters; ``criterion__`` those of :class:`~sklearn_vae.model.NegativeELBO`.
    """

    def __init__(
        self,
        module: VAE,
        *,
        augment: Callable[[Tensor], Tensor] | None,
        lr_schedule: str,
        kl_warmup: float,
        importance_samples: int,
        label_weight: float,
        contrastive_weight: float,
        autocast: torch.dtype | None,
        ranks: Ranks,
        generators: Generators,
        **kwargs: Any,
    ) -> None:
        self.lr_schedule = lr_schedule
        self.kl_warmup = kl_warmup
        self.importance_samples = importance_samples
        self.label_weight, self.contrastive_weight = label_weight, contrastive_weight
        self.augment, self.autocast = augment, autocast
        self.ranks = ranks
        self.generators = generators
        both = {"device": kwargs["device"], "ranks": ranks, "generators": generators}
        both = {f"iterator_{side}__{k}": v for side in ("train", "valid") for k, v in both.items()}
        super().__init__(
            module,
            criterion=NegativeELBO,
            iterator_train=Batches,
            iterator_train__shuffle=True,
            iterator_train__labelled_share=LABELLED_SHARE if label_weight > 0 else 0.0,
            iterator_valid=Batches,
            compile__dynamic=False,  # torch 2.14 cannot trace convolutions of changing sizes
            **both,
            **kwargs,
        )

    passes: int | None = None
    """The number of the pass over all chunks, from 1 on, where the dataset is a chunk."""

    @property
    def _default_callbacks(self) -> list[tuple[str, Callback]]:
        return []  # run_single_epoch records what skorch's scoring callbacks would

    def torch_compile(self, module: Any, name: str) -> Any:
        """Leave the modules as they are: only training's whole batches are worth compiling."""
        return module

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what is of one training, the images above all: callbacks save nets."""
        check_callbacks_picklable(self.callbacks)
        state = {k: v for k, v in super().__getstate__().items() if k not in FLEETING}
        return {**state, "train_split": None}

    def initialize(self) -> VAENet:
        """Make the optimiser; torch's first one imports what cannot be imported in two goes."""
        with Interrupts(hold=True):
            super().initialize()
        return self

    # -- the whole of a training ---------------------------------------------------------------

    def train(self, dataset: Any, epochs: int, checkpoint: FitCheckpoint | None = None) -> VAENet:
        """Run ``epochs`` more epochs; unlike skorch's ``partial_fit``, Ctrl-C goes through.

        With a checkpoint only those that it has not seen; it is written after each.
        """
        bounds = batch_bounds(len(dataset), self.batch_size, self.ranks.size)
        self.steps_per_epoch = len(bounds)
        start, stop = self.ranks.share(bounds[0][1])
        self._whole_batch = stop - start
        self.n_steps = epochs * self.steps_per_epoch
        self._train_rows = some_rows(dataset, NORM_ROWS)
        self._pseudo_labels = self.label_weight > 0 and has_guesses(dataset)
        self._checkpoint = checkpoint
        found = None if checkpoint is None else checkpoint.read()
        self.step = 0 if found is None else found["step"]
        self._training_pass = super().torch_compile(self.module_.__call__, "module")
        callbacks = [callback for _, callback in self.callbacks_]
        self._progress = [cb for cb in callbacks if isinstance(cb, Progress)]
        self._batchwise = any(map(acts_on_batches, callbacks))
        try:
            with Interrupts() as self._interrupts:
                self._train(dataset, epochs - self.step // self.steps_per_epoch, found)
        finally:
            # The net outlives the fit; the user's images and compiled code need not.
            for name in FLEETING:
                self.__dict__.pop(name, None)
        return self

    def _train(self, dataset: Any, epochs: int, found: dict[str, Any] | None) -> None:
        self._rates = self._present_rates()
        self.notify("on_train_begin", X=dataset, y=None)
        if self.history and self._is_scheduled():  # some of torch's make their last step again
            for group, rate in zip(self.optimizer_.param_groups, self._rates, strict=True):
                group["lr"] = rate
        if found is not None:
            restore_net(self, found)
            self._rates = self._present_rates()
            if self.verbose:
                tell(f"VAE: goes on after epoch {len(self.history)}")
        try:
            with contextlib.suppress(_Stop):
                self.fit_loop(dataset, None, epochs=epochs)
            if not self.train_split:  # else the last validation has done it
                self._refresh_batch_norm(self.ranks)
        except BaseException:
            with contextlib.suppress(Exception):  # which a callback may raise for want of an epoch
                self.notify("on_train_end", X=dataset, y=None)
            raise
        self.notify("on_train_end", X=dataset, y=None)  # where the best weights come back
        check_weights(self)

    def rows(self) -> list[dict[str, Any]]:
        """Return the history's rows, one per epoch, without what is skorch's own."""
        return [
            {k: v for k, v in row.items() if k != "batches" and not k.endswith(("_count", "_best"))}
            for row in self.history
        ]

    def snapshot(self) -> VAE:
        """Return a copy of the module, as it would be were the training to stop now."""
        with self.generators.kept(self.device):
            if not self.train_split:
                self._refresh_batch_norm()
            module: VAE = copy.deepcopy(self.module_).eval()
        return module

    def notify(self, method_name: str, **cb_kwargs: Any) -> None:
        """Call the callbacks, of which one may end the training after an epoch.

        skorch's callbacks do so by KeyboardInterrupt, which is what Ctrl-C raises. Where a signal
        has arrived since the callbacks were called, it is taken for Ctrl-C, whoever raised it.
        """
        if method_name != "on_epoch_end":
            with self.generators.lent(self.device):
                super().notify(method_name, **cb_kwargs)
            return
        self.history.record("dur", time.perf_counter() - self._epoch_start)
        arrived, stop = self._interrupts.count(), False
        try:
            with self.generators.lent(self.device):
                super().notify(method_name, **cb_kwargs)
        except KeyboardInterrupt:
            if self._interrupts.unseen() or self._interrupts.count() > arrived:
                raise
            stop = True
        if self.ranks.any(stop):
            raise _Stop
        if self._checkpoint is not None:
            self._checkpoint.write(state_of_net(self))

    def on_epoch_begin(self, net: Any, *args: Any, **kwargs: Any) -> None:
        """Open the epoch's row and start its clock."""
        super().on_epoch_begin(net, *args, **kwargs)
        self._epoch_start = time.perf_counter()

    def _refresh_batch_norm(self, ranks: Ranks | None = None) -> None:
        """Take BatchNorm's running statistics anew, where there are any."""
        self._set_training(False)
        batches = partial(self.get_iterator, self._train_rows)
        refresh_batch_norm(self.module_, batches, partial(self._noise, 1), ranks)

    # -- one epoch -----------------------------------------------------------------------------

    def run_single_epoch(
        self, iterator: Any, training: bool, prefix: str, step_fn: Any, **fit_params: Any
    ) -> None:
        """Run one epoch of training or validation and record its mean loss and terms."""
        if iterator is None:
            return
        if prefix == "valid":
            self._refresh_batch_norm(self.ranks)
        self._set_training(training)
        # float32 would lose the later batches of a long epoch; MPS has nothing wider
        wide = torch.float32 if is_limited(self.device) else torch.float64
        terms = terms_of(labels=self.label_weight > 0, views=self.contrastive_weight > 0)
        self._totals = torch.zeros(len(terms), dtype=wide, device=self.device)
        if self._batchwise:
            super().run_single_epoch(iterator, training, prefix, step_fn, **fit_params)
        else:
            for batch in iterator:
                step_fn(batch)
        self.history[-1]["batches"][:] = [{}]  # skorch's callbacks look for a last batch
        totals = self.ranks.add(self._totals).cpu().tolist()  # the only wait for the device
        for name, total in zip(terms, totals, strict=True):
            self.history.record(f"{prefix}_{name}", total / len(iterator.rows))
        name = f"{prefix}_loss"
        *earlier, loss = [row[name] for row in self.history if name in row]
        self.history.record(f"{name}_best", loss < min(earlier, default=inf))
        if training:
            self.history.record("lr", self._present_rates()[0])
        if not isfinite(loss):  # once an epoch: a check per step would sync
            raise diverged(f"{prefix} loss became {loss}", self)

    def train_step(self, batch: Any, **fit_params: Any) -> dict[str, Any]:
        """Make one step of the optimiser, at the schedule's rate."""
        self._apply_schedule()
        self.step += 1
        for progress in self._progress:
            progress.advance(self)
        if self._batchwise:
            return super().train_step(batch, **fit_params)
        for group in self.optimizer_.param_groups:
            for parameter in group["params"]:
                parameter.grad = None  # zero_grad() does as much, in eight times the time
        step = self.train_step_single(batch)
        self.optimizer_.step()
        return step

    def train_step_single(self, batch: Any, **fit_params: Any) -> dict[str, Any]:
        """Compute the loss of a batch and its gradients."""
        loss, terms = self._loss(batch, self._kl_weight(), training=True)
        loss.backward()
        self.ranks.add_gradients(self.module_.parameters(), batch.n / batch.n_of_all)
        return {"loss": loss, "y_pred": terms}

    def validation_step(self, batch: Any, **fit_params: Any) -> dict[str, Any]:
        """Compute the loss of a batch at the full weight of the KL term, without augmentation."""
        with torch.no_grad():
            loss, terms = self._loss(batch, 1.0, training=False)
        return {"loss": loss, "y_pred": terms}

    def _loss(self, batch: Batch, weight: float, *, training: bool) -> tuple[Tensor, ELBOTerms]:
        module, y, n = self.module_, batch.y, batch.n
        x = module.scaling(batch.x)
        view = view_of(x, self.augment, self.generators) if training else x
        target = view[:n] if rebuilds_view(self.augment) else x[:n]
        if self.contrastive_weight > 0:
            view = torch.cat([view, view_of(x[:n], self.augment, self.generators)])
        with autocast(self.device, self.autocast):
            of_batch = None if y is None else y[:n]
            run = self._training_pass if training and n == self._whole_batch else module
            k = self.importance_samples
            terms: ELBOTerms = run(view, target, of_batch, k, self._noise(k, batch))
        loss: Tensor = self.criterion_(terms, weight)
        means = [terms.mean_log_likelihood, terms.mean_kl]
        if self.label_weight > 0:
            assert terms.logits is not None
            assert y is not None
            guesses = self._guesses(x[:n]) if training and self._pseudo_labels else None
            means.append(label_loss(terms.logits[: len(y)], y, guesses))
            loss = loss + self.label_weight * means[-1]
        if self.contrastive_weight > 0:
            assert terms.means is not None
            means.append(contrastive_loss(terms.means[:n], terms.means[-n:]))
            loss = loss + self.contrastive_weight * means[-1]
        with torch.no_grad():
            self._totals.add_(torch.stack([loss, *means]), alpha=n)
        return loss, terms

    def _noise(self, k: int, batch: Batch) -> Tensor:
        """Return standard normal values for k posterior draws, (k, n, z_dim)."""
        size, common = (k, batch.n_of_all, self.module_.z_dim), self.generators.common
        generator = common.on(self.device)
        of_all = torch.randn(size, generator=generator, dtype=torch.float32, device=self.device)
        return of_all[:, slice(*self.ranks.share(batch.n_of_all))]

    def _guesses(self, x: Tensor) -> Tensor:
        """Return the class head's view of clean images."""
        with torch.no_grad(), autocast(self.device, self.autocast):
            logits: Tensor = self.module_.class_logits(x)
        return logits

    def _kl_weight(self) -> float:
        # By the history's length: training that goes on does not warm up again.
        of_epoch = (self.step - 1) % self.steps_per_epoch / self.steps_per_epoch
        return kl_weight(self.passes or len(self.history) - 1 + of_epoch, self.kl_warmup)

    # -- the learning rate ---------------------------------------------------------------------

    def begin_rate(self, lr: float) -> None:
        """Set the rate at which training goes on; a callback's schedule of that rate goes on, too.

        skorch counts a schedule's epochs by the history; the optimiser holds the rate it reached.
        """
        for group in self.optimizer_.param_groups:
            if not (self._is_scheduled() and group.get("initial_lr") == lr):
                group["lr"] = group["initial_lr"] = lr

    def _is_scheduled(self) -> bool:
        return any(isinstance(callback, LRScheduler) for _, callback in self.callbacks_)

    def _apply_schedule(self) -> None:
        if self.lr_schedule == "constant":
            return  # a callback may have its own
        if self._present_rates() != self._rates:
            warnings.warn(
                f"A callback has set the learning rate, but lr_schedule={self.lr_schedule!r} sets "
                "it at every step. Use lr_schedule='constant' with it.",
                UserWarning,
                stacklevel=2,
            )
        factor = learning_rate_factor(self.lr_schedule, self.step / self.n_steps)
        for group in self.optimizer_.param_groups:
            group["lr"] = self.lr * factor
        self._rates = self._present_rates()

    def _present_rates(self) -> list[float]:
        return [group["lr"] for group in self.optimizer_.param_groups]


def check_weights(net: VAENet) -> None:
    """Look at what no loss has seen: the last step's weights, and statistics of their outputs.

    With an infinite variance BatchNorm returns the same for every input.
    """
    model = net.module_
    values = {"weights": [*model.parameters()], "running statistics": [*model.buffers()]}
    for what, tensors in values.items():
        if tensors and not bool(torch.stack([t.isfinite().all() for t in tensors]).all()):
            raise diverged(f"{what} became infinite or NaN", net)


def diverged(what: str, net: VAENet) -> FloatingPointError:
    """Return the error of a training that ended in no numbers."""
    return FloatingPointError(
        f"The {what} in epoch {net.history[-1]['epoch']}. Use a smaller learning rate "
        f"(lr={net.lr}), scale extreme values of X, or set precision='float32'."
    )


def has_guesses(dataset: Any) -> bool:
    """Return whether the class of some samples is to be guessed; refuse if none has one to learn.

    All of them, where no sample has ever had one: they are more for a head that has learnt before.
    """
    whole, rows = without_subsets(dataset)
    known = whole.classes[rows] >= 0
    if not known.any() and (whole.classes >= 0).any():
        raise ValueError(
            "No label is left to learn: all are in the validation split. Label more rows, or use a "
            "smaller validation_fraction."
        )
    return not bool(known.all())

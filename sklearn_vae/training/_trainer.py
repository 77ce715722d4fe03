"""One training, by an estimator's parameters: split, net, callbacks, and where it goes on."""

from __future__ import annotations

import contextlib
import copy
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import partial
from importlib.metadata import version
from typing import Any, Literal

import numpy as np
import torch
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import type_of_target
from skorch.callbacks import Callback, EarlyStopping
from skorch.helper import predefined_split
from skorch.utils import noop
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import Subset

from ..augmentation._augment import check_view, resolve_view
from ..input._rows import Rows
from ..input._spec import InputSpec
from ..model import VAE
from ..model._codec import Codec
from ..nn._device import resolve_device
from ..nn._mps import is_limited
from ..utils._generators import Borrowed, Generators, seed_torch, seeded, usual_device
from ..utils._memory import explains_memory, megabytes
from ..utils._ranks import Ranks
from ..utils._recipes import is_own
from ._amount import resolve_batch_size
from ._callbacks import (
    check_callbacks,
    history_keys,
    shallow_copies,
    without_writers,
)
from ._net import VAENet
from ._precision import resolve_precision
from ._progress import EpochLog, ProgressBar, tell, title_of
from .checkpoints._file import FitCheckpoint, check_seeded
from .checkpoints._form import described, digest, digest_of_data, steering
from .processes._parallel import check_alike, check_shares, device_of

OptimizerName = Literal["adam", "adamw", "sgd"]
OPTIMIZERS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}
BESIDE = {"callbacks", "checkpoint", "device", "random_state", "verbose", "title"}
"""What is said of a training in another way, or does not change it."""
FUSED = {"cpu", "cuda"}
"""Types of device on which torch's optimisers make one pass over all weights."""
NOT_SETTINGS = {"params", "lr", "initial_lr", "fused", "foreach", "capturable"}
"""What of an optimiser's groups may differ when training goes on: rates, and how it is computed."""


Split = tuple[Any, Subset | None]
"""What to train on, and what to validate on, if anything."""


@dataclass(frozen=True)
class Resumption:
    """What a training goes on from.

    Attributes
    ----------
    module : VAE
        Stays as it is: a copy is trained.
    history : list of dict
        The rows of the epochs so far.
    optimizer : tuple of str and dict
        The kind of optimiser and its ``state_dict``; empty where it was not kept.
    new_labels : int, default=0
        Above 0 the model gets a new head for so many classes, and the optimiser starts afresh.
    """

    module: VAE
    history: list[dict[str, float]]
    optimizer: tuple[str, dict[str, Any]] = ("", {})
    new_labels: int = 0

    def model(self) -> VAE:
        """Return a copy of the model, with a new class head where one is needed."""
        model = copy.deepcopy(self.module)
        if self.new_labels:
            model.add_class_head(self.new_labels)
        return model


def _to_train(
    trainer: Trainer, recipe: Any, spec: InputSpec, data: Rows, *args: Any, **kwargs: Any
) -> str:
    """Return what was asked for when there was no memory to train, and a remedy."""
    batch_size = resolve_batch_size(trainer.batch_size, len(data), spec.shape)
    n = min(batch_size, len(data))
    smaller = ", smaller images" if spec.is_image else ""
    return (
        f"training with batch_size={batch_size}: a batch of {n} samples of shape "
        f"{spec.shape} is {megabytes(n * spec.n_features)}, its activations are many "
        f"times that. Set a smaller batch_size{smaller} or a smaller network."
    )


@dataclass(frozen=True)
class Trainer:
    """The parameters of an estimator that concern training, by their names there."""

    beta: float
    kl_warmup: float
    free_bits: float
    importance_samples: int
    label_weight: float
    contrastive_weight: float
    augment: Any
    batch_size: int | str
    lr: float
    lr_schedule: str
    optimizer: Any
    validation_fraction: float | None
    patience: int | None
    device: str | torch.device
    precision: str
    compile: bool | str
    callbacks: list[Any] | None
    checkpoint: Any
    random_state: Any
    verbose: int
    title: str
    """Of the fit, where it prints."""

    @classmethod
    def of(cls, estimator: Any, **fixed: Any) -> Trainer:
        """Return the trainer with an estimator's parameters, but for those that are fixed."""
        fixed["title"] = title_of(estimator)
        names = {field.name for field in fields(cls)} - fixed.keys()
        return cls(**{name: getattr(estimator, name) for name in names}, **fixed)

    @explains_memory(_to_train)
    def train(
        self,
        recipe: Any,
        spec: InputSpec,
        data: Rows,
        y: np.ndarray | None = None,
        *,
        epochs: int,
        resume: Resumption | None = None,
        first: Sequence[Callback] = (),
        finish: Callable[[Codec], None] = lambda codec: None,
        ranks: Ranks | None = None,
        passes: int | None = None,
    ) -> tuple[Codec, VAENet, int]:
        """Train a model and return it, its net and the number of rows that it was trained on.

        Parameters
        ----------
        recipe : VAERecipe
            Builds the model; not asked when training is resumed.
        spec : InputSpec
            The form of the samples.
        data : Rows
            With ``classes`` where there are labels to learn.
        y : ndarray of shape (n,), default=None
            What stratifies the validation split.
        epochs : int
            How many there are, at most.
        resume : Resumption, default=None
            What training goes on from.
        first : sequence of skorch callbacks
            Called before all others.
        finish : callable
            Gets the trained model.
        ranks : Ranks, default=None
            The processes that train the model together; None for one alone.
        passes : int, default=None
            Which pass over all chunks X is of, from 1 on; None where X is all there is.
        """
        ranks = Ranks() if ranks is None else ranks
        _check_comes_again(self, data, ranks)
        device = device_of(ranks, resolve_device(self.device))
        seed = check_random_state(self.random_state).randint(2**31 - 1)
        seed = ranks.of_first(seed)
        split = self._split(data, y, seed)
        done = 0 if resume is None else len(resume.history)
        seeds = np.random.SeedSequence([seed, done]).generate_state(2)
        seed_of_call, seed_of_draws = map(int, seeds)
        # Gradients are taken, whatever the caller has switched off.
        with (
            usual_device(),
            torch.inference_mode(False),
            torch.enable_grad(),
            contextlib.ExitStack() as alone,
        ):
            dtype = alone.enter_context(seeded(seed_of_call, device))
            shared = _shared(self, recipe, device, dtype)
            calls = first or self.callbacks or callable(self.augment)
            less: Borrowed = "in calls" if calls else "never"
            rank = ranks.rank if ranks.size > 1 else None
            generators = Generators(seed_of_draws, "always" if shared else less, rank)
            model = recipe.build(spec, data.sample().numpy()) if resume is None else resume.model()
            augment = self._check(model, spec)
            check_view(augment, spec.shape, device)
            n = resolve_batch_size(self.batch_size, len(data), spec.shape)
            net = self._make_net(
                model.to(device), spec, device, n, augment, split[1], first, ranks, generators
            )
            net.initialize()
            if resume is not None:
                self._resume(net, resume)
            checkpoint = None
            if ranks.size > 1 or self.checkpoint is not None:
                form = self._form(recipe, spec, data, split, net, epochs, seed_of_call)
                checkpoint = _agreed(self.checkpoint, form, split, net)
            ranks.share_weights(model)
            if shared:
                seed_torch(generators.seed, device)
            else:
                alone.close()  # other threads may train meanwhile
            net.passes = passes
            net.train(split[0], epochs, checkpoint)
            net.train_split = None  # it holds the validation images
            ranks.share_weights(model)  # a callback may have loaded others
            codec = Codec(recipe, spec, model.eval(), device, self.device)
            finish(codec)
            ranks.share_weights(model)
        if checkpoint is not None:
            checkpoint.remove()
        return codec, net, len(split[0])

    def _check(self, model: VAE, spec: InputSpec) -> Callable[[torch.Tensor], torch.Tensor] | None:
        """Refuse two objectives at once, and what the model cannot be trained with.

        Return what changes the encoder's view.
        """
        bounded = spec.is_image or not model.scaling.standardised
        augment = resolve_view(self.augment, spec.shape, bounded=bounded)
        if self.contrastive_weight > 0 and augment is None:
            raise ValueError(
                f"contrastive_weight={self.contrastive_weight} compares two changed views of each "
                f"sample, but augment={self.augment!r} changes none here. Set augment, for images "
                "to a name or a strength, else to a callable, or contrastive_weight=0."
            )
        if self.importance_samples > 1 and (self.beta, self.kl_warmup, self.free_bits) != (1, 0, 0):
            raise ValueError(
                f"importance_samples={self.importance_samples} trains on a bound without a KL term "
                f"of its own, but beta={self.beta}, kl_warmup={self.kl_warmup}, "
                f"free_bits={self.free_bits} change the KL term. Leave them at 1, 0 and 0."
            )
        if self.batch_size == 1 and any(isinstance(m, _BatchNorm) for m in model.modules()):
            raise ValueError(
                "batch_size=1, but the network has BatchNorm, which needs two samples or more. Use "
                "batch_size >= 2 or a network without it, such as network='conv' or 'mlp'."
            )
        if self.free_bits > 0 and not model.has_kl_per_dimension():
            raise ValueError(
                f"free_bits={self.free_bits} needs a KL term for each latent dimension, which "
                f"prior={model.prior_recipe!r:.100} with posterior={model.posterior_recipe!r:.100} "
                "lacks. Use free_bits=0, or prior='normal' with posterior='normal'."
            )
        return augment

    def _form(
        self,
        recipe: Any,
        spec: InputSpec,
        data: Rows,
        split: Split,
        net: VAENet,
        epochs: int,
        seed: int,
    ) -> dict[str, str]:
        """Return what makes the training what it is, by name: what a checkpoint is found by."""
        whole = self.checkpoint is not None
        own = {field.name: getattr(self, field.name) for field in fields(self)}
        own = {k: v for k, v in own.items() if k not in BESIDE}
        parts = {field.name: getattr(recipe, field.name) for field in fields(recipe)}
        versions = {name: version(name) for name in ("sklearn-vae", "torch")}
        amounts = {"max_epochs": epochs, "batch_size": net.batch_size, "device": net.device.type}
        named = {f"X's {k}": v for k, v in vars(spec).items()} | versions | parts | own | amounts
        return {
            **{name: described(value) for name, value in named.items()},
            "callbacks": steering(net.callbacks_),
            "random_state": f"{described(self.random_state):.40} (seed {seed})",
            "X": f"{len(data)} samples, {digest_of_data(data, net.device, whole=whole)}",
            "y": digest(getattr(data, "classes", None)),
            "initial weights": digest(net.module_.state_dict()),
            "state of the optimiser": digest(net.optimizer_.state_dict()),
            "split": digest([getattr(part, "indices", None) for part in split]),
            "epochs before": str(len(net.history)),
            "processes": str(net.ranks.size),
        }

    def _make_net(
        self,
        model: VAE,
        spec: InputSpec,
        device: torch.device,
        batch_size: int,
        augment: Callable[[torch.Tensor], torch.Tensor] | None,
        valid: Subset | None,
        first: Sequence[Callback],
        ranks: Ranks,
        generators: Generators,
    ) -> VAENet:
        settings: dict[str, Any] = {}
        optimizer = self.optimizer
        if isinstance(optimizer, str):
            optimizer = OPTIMIZERS[optimizer]
            settings["optimizer__fused"] = True if device.type in FUSED else None
        if isinstance(self.compile, str):
            settings["compile__mode"] = self.compile
        return VAENet(
            model,
            augment=augment,
            criterion__beta=self.beta,
            criterion__free_bits=self.free_bits,
            lr_schedule=self.lr_schedule,
            kl_warmup=self.kl_warmup,
            importance_samples=self.importance_samples,
            label_weight=self.label_weight * spec.n_features,
            contrastive_weight=self.contrastive_weight * spec.n_features,
            generators=generators,
            autocast=resolve_precision(self.precision, device, model, bounded=spec.is_intensity),
            optimizer=optimizer,
            **settings,
            lr=self.lr,
            batch_size=batch_size,
            train_split=None if valid is None else predefined_split(valid),
            callbacks=[*first, *self._make_callbacks(ranks, validation=valid is not None)],
            device=device,
            compile=bool(self.compile),  # NumPy's True from an array of candidates, too
            verbose=self.verbose if ranks.rank == 0 else 0,
            ranks=ranks,
        )

    def _make_callbacks(self, ranks: Ranks, *, validation: bool) -> list[Any]:
        # Copies: training must not change what the user passed (read them off net_.callbacks_).
        callbacks = shallow_copies(self.callbacks)
        labels, views = self.label_weight > 0, self.contrastive_weight > 0
        keys = history_keys(labels=labels, views=views, validation=validation)
        check_callbacks(callbacks, keys=keys, schedule=self.lr_schedule)
        if ranks.rank > 0:
            callbacks = without_writers(callbacks)
        elif self.verbose:  # first, so that the bar is closed whatever the others do
            callbacks.insert(0, (ProgressBar if self.verbose == 1 else EpochLog)(self.title))
        if self.patience is not None:
            callbacks.append(
                EarlyStopping(
                    patience=self.patience,
                    threshold=0,
                    threshold_mode="abs",  # "rel" is wrong for losses below zero
                    load_best=True,
                    sink=tell if self.verbose > 1 and ranks.rank == 0 else noop,
                )
            )
        return callbacks

    def _resume(self, net: VAENet, resume: Resumption) -> None:
        """Continue with the history and, where it was kept, the state of the optimiser."""
        net.history.extend([*map(dict, resume.history)])
        kind, state = ("", {}) if resume.new_labels else resume.optimizer
        # Another optimiser starts afresh, and so does one with other settings or a new head.
        if kind == type(net.optimizer_).__name__ and _same_groups(
            state["param_groups"], net.optimizer_.state_dict()["param_groups"]
        ):
            net.optimizer_.load_state_dict(copy.deepcopy(state))  # torch would share its tensors
        net.begin_rate(self.lr)

    def _split(self, data: Rows, y: Any, seed: int) -> Split:
        """Return what to train on, shuffled, and what to validate on, if anything."""
        fraction = self.validation_fraction
        if fraction is None:
            fraction = 0.0 if self.patience is None else 0.1
        if fraction == 0:
            if self.patience is not None:
                raise ValueError(
                    f"patience={self.patience} needs a validation split, but "
                    "validation_fraction=0. Set it to, say, 0.1, or patience=None."
                )
            return data, None
        n = len(data)
        n_valid = max(1, round(fraction * n))
        if n - n_valid < 2:
            raise ValueError(
                f"validation_fraction={fraction} of {n} samples leaves {n - n_valid} to train on; "
                "at least 2 are needed. Use more samples or validation_fraction=0."
            )
        if (parts := data.held_out(n_valid)) is not None:
            train, valid = parts
            return Subset(data, train.tolist()), Subset(data, valid.tolist())
        split = partial(train_test_split, np.arange(n), test_size=n_valid, random_state=seed)
        try:
            train, valid = split(stratify=y if are_labels(y) else None)
        except (TypeError, ValueError):  # few of a class, or None among strings
            train, valid = split()
        return Subset(data, train), Subset(data, valid)


def _check_comes_again(trainer: Trainer, data: Rows, ranks: Ranks) -> None:
    """Refuse what a checkpoint or another process would not find as it was."""
    check_seeded(trainer.checkpoint, trainer.random_state)
    if trainer.checkpoint is not None:
        data.check_again("no checkpoint would be found again", "Set checkpoint=None")
    if ranks.size > 1:
        data.check_again("processes would not share it out", "Set parallel=None")


def _agreed(path: Any, form: dict[str, str], split: Split, net: VAENet) -> FitCheckpoint | None:
    """Return the checkpoint, if there is one, of a training that all processes have alike."""
    ranks, (train, valid) = net.ranks, split
    check_alike(ranks, form | {"checkpoint": str(path is not None)})
    check_shares(ranks, net.batch_size, len(train), 0 if valid is None else len(valid))
    return None if path is None else FitCheckpoint(path, form, ranks)


def _shared(trainer: Trainer, recipe: Any, device: torch.device, dtype: torch.dtype) -> list[str]:
    """Return, by name, what may use that which all threads share: torch's generator above all.

    The user's parts of a model, that is, and optimisers; torch's default dtype and compiler;
    and Apple's GPUs, on which two threads crash the process
    (https://github.com/pytorch/pytorch/issues/197805).
    """
    parts = {field.name: getattr(recipe, field.name) for field in fields(recipe)}
    parts["optimizer"] = trainer.optimizer
    others = {
        "compile": bool(trainer.compile),
        "device": is_limited(device),
        "torch's default dtype": dtype != torch.float32,
    }
    shared = [name for name, part in parts.items() if not is_own(part)]
    shared += [name for name, uses in others.items() if uses]
    here = threading.current_thread()
    if shared and trainer.verbose and here is not threading.main_thread():
        tell(f"VAE: other threads wait for this training, for {', '.join(shared)}")
    return shared


def are_labels(y: Any) -> bool:
    """Return whether a split can be stratified by y, but for the sizes of its classes."""
    if y is None or y.ndim != 1 or (y.dtype.kind == "f" and not np.isfinite(y).all()):
        return False
    return type_of_target(y) in ("binary", "multiclass")


def _same_groups(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> bool:
    """Return whether an optimiser's groups hold as many tensors under the same settings."""
    return len(old) == len(new) and all(
        len(a["params"]) == len(b["params"])
        and all(a[key] == b[key] for key in (a.keys() & b.keys()) - NOT_SETTINGS)
        for a, b in zip(old, new, strict=True)
    )

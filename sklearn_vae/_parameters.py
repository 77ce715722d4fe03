"""The parameters of a VAE as an estimator: their defaults, what each may be, how they nest."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, ClassVar, Literal, get_args

import joblib
import numpy as np
import torch
from sklearn.base import BaseEstimator

from .augmentation._augment import AUGMENTATIONS, Augment, AugmentationName
from .model import LIKELIHOODS, POSTERIORS, PRIORS, Likelihood, PosteriorFamily, Prior
from .model._likelihoods import LikelihoodName
from .model._posteriors import PosteriorName
from .model._priors import PriorName
from .nn import NETWORKS, Network, NetworkName, Patches
from .training._callbacks import nested_params, with_params
from .training._precision import Precision
from .training._schedules import LR_SCHEDULES, LRSchedule
from .training._trainer import OPTIMIZERS, OptimizerName
from .utils._recipes import NestedParamsMixin
from .utils._sklearn_compat import (
    AT_LEAST_1,
    NOT_NEGATIVE,
    HasMethods,
    Hidden,
    Interval,
    StrOptions,
)

CompileMode = Literal["reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs"]
"""Modes of ``torch.compile`` beside its default."""
Features = Literal["mean", "mean+std", "hidden"]
FEATURES: tuple[str, ...] = get_args(Features)
Symmetry = Literal["horizontal", "both"]


class VAEParameters(NestedParamsMixin, BaseEstimator):
    """What :class:`VAETransformer` documents under Parameters."""

    _kinds: ClassVar[dict[str, Any]] = {
        "network": {**NETWORKS, "": Patches},
        "likelihood": LIKELIHOODS,
        "prior": PRIORS,
        "posterior": POSTERIORS,
        "augment": {"": Augment},
    }

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "z_dim": [AT_LEAST_1],
        "network": [StrOptions({"auto", *NETWORKS}), Network, tuple],
        "image_shape": [tuple, list, None],
        "likelihood": [StrOptions({"auto", *LIKELIHOODS}), Likelihood],
        "prior": [StrOptions(set(PRIORS)), Prior],
        "posterior": [StrOptions(set(POSTERIORS)), PosteriorFamily],
        "beta": [NOT_NEGATIVE],
        "kl_warmup": [NOT_NEGATIVE],
        "free_bits": [NOT_NEGATIVE],
        "importance_samples": [AT_LEAST_1],
        "label_weight": [NOT_NEGATIVE],
        "contrastive_weight": [NOT_NEGATIVE],
        "augment": [StrOptions({"auto", *AUGMENTATIONS}), NOT_NEGATIVE, callable, None],
        "features": [StrOptions(set(FEATURES))],
        "symmetry": [StrOptions(set(get_args(Symmetry))), None],
        "max_epochs": [AT_LEAST_1, StrOptions({"auto"})],
        "batch_size": [AT_LEAST_1, StrOptions({"auto"})],
        "loader_workers": [Interval(Integral, 0, None, closed="left")],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "lr_schedule": [StrOptions(set(LR_SCHEDULES))],
        "optimizer": [StrOptions(set(OPTIMIZERS)), callable],
        "validation_fraction": [Interval(Real, 0, 1, closed="left"), None],
        "patience": [AT_LEAST_1, None],
        "warm_start": ["boolean"],
        "device": [str, torch.device],
        "precision": [StrOptions(set(get_args(Precision)))],
        "compile": ["boolean", StrOptions(set(get_args(CompileMode)))],
        "callbacks": [list, None, Hidden(tuple)],
        "checkpoint": [str, HasMethods("__fspath__"), None],
        "parallel": [AT_LEAST_1, StrOptions({"ddp"}), None],
        "memory": [str, HasMethods("cache"), None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        z_dim: int = 32,
        *,
        network: Literal["auto", NetworkName]
        | Network
        | tuple[torch.nn.Module, torch.nn.Module] = "auto",
        image_shape: tuple[int, ...] | None = None,
        likelihood: Literal["auto", LikelihoodName] | Likelihood = "auto",
        prior: PriorName | Prior = "normal",
        posterior: PosteriorName | PosteriorFamily = "normal",
        beta: float = 1.0,
        kl_warmup: float = 0,
        free_bits: float = 0.0,
        importance_samples: int = 1,
        label_weight: float = 0.0,
        contrastive_weight: float = 0.0,
        augment: Literal["auto", AugmentationName]
        | float
        | Callable[[torch.Tensor], torch.Tensor]
        | None = "auto",
        features: Features = "mean",
        symmetry: Symmetry | None = None,
        max_epochs: int | Literal["auto"] = "auto",
        batch_size: int | Literal["auto"] = "auto",
        loader_workers: int = 0,
        lr: float = 2e-3,
        lr_schedule: LRSchedule = "cosine",
        optimizer: OptimizerName | Callable[..., torch.optim.Optimizer] = "adam",
        validation_fraction: float | None = None,
        patience: int | None = None,
        warm_start: bool = False,
        device: str | torch.device = "auto",
        precision: Precision = "auto",
        compile: bool | CompileMode = False,
        callbacks: list[Any] | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        parallel: int | Literal["ddp"] | None = None,
        memory: str | joblib.Memory | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        self.z_dim = z_dim
        self.network = network
        self.image_shape = image_shape
        self.likelihood = likelihood
        self.prior = prior
        self.posterior = posterior
        self.beta = beta
        self.kl_warmup = kl_warmup
        self.free_bits = free_bits
        self.importance_samples = importance_samples
        self.label_weight = label_weight
        self.contrastive_weight = contrastive_weight
        self.augment = augment
        self.features = features
        self.symmetry = symmetry
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.loader_workers = loader_workers
        self.lr = lr
        self.lr_schedule = lr_schedule
        self.optimizer = optimizer
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.warm_start = warm_start
        self.device = device
        self.precision = precision
        self.compile = compile
        self.callbacks = callbacks
        self.checkpoint = checkpoint
        self.parallel = parallel
        self.memory = memory
        self.random_state = random_state
        self.verbose = verbose

    # -- callbacks, which are shared by reference ------------------------------------------------

    def __sklearn_clone__(self) -> Any:
        """Return an unfitted estimator with the same parameters, and the very same callbacks.

        A copy of a callback would write to another list, run or study than its owner reads.
        """
        bare = object.__new__(type(self))
        bare.__dict__.update(self.__dict__, callbacks=None)
        new = super(VAEParameters, bare).__sklearn_clone__()
        return new.set_params(callbacks=copy.copy(self.callbacks))

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters by name; with ``deep`` those of parts, such as callbacks, too.

        Parameters
        ----------
        deep : bool, default=True
            Whether to add ``callbacks__name`` and ``callbacks__name__parameter``. A callback
            without a name goes by its class's.

        Returns
        -------
        params : dict
            Values by name.
        """
        params: dict[str, Any] = super().get_params(deep)
        if deep:
            nested = nested_params(self.callbacks)
            params |= {f"callbacks__{key}": value for key, value in nested.items()}
        return params

    def set_params(self, **params: Any) -> Any:
        """Set parameters; those of callbacks by putting changed copies in their places.

        Parameters
        ----------
        **params : dict
            Names as :meth:`get_params` returns them, and values.

        Returns
        -------
        self : object
            The estimator.
        """
        prefix = "callbacks__"
        nested = {key: params.pop(key) for key in [*params] if key.startswith(prefix)}
        if nested:
            changes = {key.removeprefix(prefix): value for key, value in nested.items()}
            params["callbacks"] = with_params(params.get("callbacks", self.callbacks), changes)
        super().set_params(**params)
        return self

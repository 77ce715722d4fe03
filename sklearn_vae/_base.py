"""What the estimators share: parameters, training, fitted state, likelihood scores."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable, Iterator
from math import isfinite
from numbers import Integral, Real
from typing import Any, ClassVar, Literal, get_args

import numpy as np
import torch
from sklearn.base import BaseEstimator, _fit_context
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Hidden, Interval, StrOptions
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import check_is_fitted
from skorch.callbacks import EarlyStopping
from skorch.helper import predefined_split
from skorch.utils import noop
from torch.utils.data import Dataset, Subset

from ._at_once import fitted_at_once
from ._build import build_model
from ._compat import CallbackSupportMixin, FitTasks, fit_tasks
from ._doc_link import DocLinkMixin
from ._images import (
    WHITE,
    InputSpec,
    check_count,
    check_not_one,
    check_same,
    check_values,
    chunk_rows,
    read_array,
    read_spec,
    warn_of_darkness,
    with_white,
)
from ._labels import (
    are_among,
    check_length,
    check_not_recoded,
    class_numbers,
    read_labels,
    tell_unlabelled,
)
from ._memory import explains_memory, megabytes, memory_explained
from ._noise import row_noise
from ._recipes import NestedParamsMixin
from ._row_keys import NO_KEYS, remembered
from ._samples import spelling, to_array
from .model import (
    LIKELIHOODS,
    POSTERIORS,
    PRIORS,
    VAE,
    Likelihood,
    PosteriorFamily,
    Prior,
)
from .model._likelihoods import LikelihoodName
from .model._posteriors import PosteriorName
from .model._priors import PriorName
from .nn import MLP, NETWORKS, Conv, Custom, Network, NetworkName, Patches
from .nn._mps import is_limited
from .nn._scaling import ROUNDING
from .persistence import load_arrays, to_cpu, weights_to_arrays
from .training import (
    ASYNCHRONOUS,
    AUGMENTATIONS,
    LR_SCHEDULES,
    OF_ITEMS,
    ArrayDataset,
    Augment,
    AugmentationName,
    EpochLog,
    ItemDataset,
    LRSchedule,
    ProgressBar,
    ResidentDataset,
    Spelling,
    VAENet,
    check_callbacks,
    check_picklable,
    exact_inference,
    generators_restored,
    history_keys,
    nested_params,
    resolve_augment,
    resolve_device,
    resolve_precision,
    seeded,
    shallow_copies,
    spread_rows,
    to_device,
    to_host,
    usual_dtype,
    with_params,
)
from .training._progress import AroundEpochs, tell

OptimizerName = Literal["adam", "adamw", "sgd"]
OPTIMIZERS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}
FUSED = {"cpu", "cuda"}
"""Types of device on which torch's optimisers make one pass over all weights."""
CompileMode = Literal["reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs"]
"""Modes of ``torch.compile`` beside its default."""
Precision = Literal["auto", "float32", "bfloat16"]
Features = Literal["mean", "mean+std", "hidden"]
FEATURES: tuple[str, ...] = get_args(Features)
Symmetry = Literal["horizontal", "both"]
SYMMETRIES: dict[str | None, tuple[tuple[int, ...], ...]] = {
    None: (),
    "horizontal": ((-1,),),
    "both": ((-1,), (-2,), (-2, -1)),
}
"""Axes of each flip that an image is averaged over, beside itself."""
AUTO_PASSES, AUTO_EPOCHS = 600_000, (10, 200)
"""``max_epochs="auto"``: so many sample passes, within these bounds of epochs."""
FIRST_ITEMS = 64
"""Items of a torch Dataset that are checked before training; the others when they are read."""
SCALE_ROWS = 2000
"""Rows that the scale of hidden features is taken from, at most."""
NOT_SETTINGS = {"params", "lr", "initial_lr", "fused", "foreach", "capturable"}
"""What of an optimiser's groups may differ when training goes on: rates, and how it is computed."""
SMALLEST_CHUNK = 16
"""Rows that an inference pass has at least."""
GPU_CHUNKS = 4
"""A CPU's chunks that a GPU takes at once, so that the launch of each operation counts for less: an
estimate, not measured."""


Rows = ArrayDataset | ItemDataset | ResidentDataset


def _to_read(X: Any) -> str:
    """Return what was asked for when there was no memory to read X, and a remedy."""
    shape = getattr(X, "shape", None)
    of_shape = "" if shape is None else f" of shape {tuple(shape)}"
    return (
        f"reading X, a {type(X).__name__}{of_shape}. Pass fewer samples at once, values of a "
        "smaller dtype (uint8 for images), or a torch Dataset, which is read by the batch"
    )


def _to_build(vae: BaseVAE, data: Rows) -> str:
    """Return what was asked for when there was no memory to build a model, and a remedy."""
    smaller = "smaller images, " if vae.spec_.is_image else ""
    return (
        f"building the model of samples of shape {vae.spec_.shape} with z_dim={vae.z_dim}. Take "
        f"{smaller}a smaller network or z_dim."
    )


def _to_train(vae: BaseVAE, data: Rows, *args: Any, **kwargs: Any) -> str:
    """Return what was asked for when there was no memory to train, and a remedy."""
    n = min(vae.batch_size, len(data))
    smaller = ", smaller images" if vae.spec_.is_image else ""
    return (
        f"training with batch_size={vae.batch_size}: a batch of {n} samples of shape "
        f"{vae.spec_.shape} is {megabytes(n * vae.spec_.n_features)}, its activations are many "
        f"times that. Set a smaller batch_size{smaller} or a smaller network."
    )


def _to_infer(vae: BaseVAE, data: Rows, *args: Any, **kwargs: Any) -> str:
    """Return what was asked for when there was no memory to encode or decode, and a remedy."""
    remedies = ["pass fewer samples at once"]
    remedies += ["fit on smaller images"] if vae.spec_.is_image else []
    remedies += ["set device='cpu'"] if vae.device_.type != "cpu" else []
    return (
        f"encoding or decoding {len(data)} samples of shape {vae.spec_.shape}, "
        f"{chunk_rows(vae.spec_)} at a time, which fit's batch_size has no part in. You can "
        f"{', or '.join(remedies)}."
    )


class BaseVAE(NestedParamsMixin, DocLinkMixin, CallbackSupportMixin, BaseEstimator):
    """Base of the estimators that train a VAE; see :class:`VAETransformer` for the parameters."""

    module_: VAE
    """The trained torch module, on ``device_``."""
    net_: VAENet
    """The skorch net that trained it. Not pickled; rebuilt where training goes on."""
    history_: list[dict[str, float]]
    """One dict per epoch: epoch, train_loss, train_log_likelihood, train_kl, the same for
    valid_ with a validation split, lr, dur (seconds). Loss and terms in nats per sample."""
    n_iter_: int
    """Number of epochs trained."""
    n_samples_seen_: int
    """Samples shown in training, over all epochs and calls."""
    device_: torch.device
    """Where the module is."""
    spec_: InputSpec
    """Shape, layout and dtype of the fitted X."""
    network_: Network
    """The network that ``network`` stands for, for the fitted X."""
    likelihood_: Likelihood
    """The likelihood that ``likelihood`` stands for, for the fitted X."""
    prior_: Prior
    """The prior that ``prior`` stands for."""
    posterior_: PosteriorFamily
    """The family that ``posterior`` stands for."""
    n_features_in_: int
    """Number of values in one sample of the fitted X."""
    classes_: np.ndarray
    """The classes of y, sorted; only with ``label_weight`` above 0."""
    n_unlabelled_: int
    """Rows of the last y that were -1, unlabelled; only with ``label_weight`` above 0."""

    _kinds: ClassVar[dict[str, Any]] = {
        "network": {**NETWORKS, "": Patches},
        "likelihood": LIKELIHOODS,
        "prior": PRIORS,
        "posterior": POSTERIORS,
        "augment": {"": Augment},
    }

    _trained_on: np.ndarray
    """Keys of some of the rows that it was trained on; not in what ``save_pretrained`` writes."""
    _n_classes = 0
    """Classes that the decoder sees; a subclass sets it."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "z_dim": [Interval(Integral, 1, None, closed="left")],
        "network": [StrOptions({"auto", *NETWORKS}), Network, tuple],
        "image_shape": [tuple, list, None],
        "likelihood": [StrOptions({"auto", *LIKELIHOODS}), Likelihood],
        "prior": [StrOptions(set(PRIORS)), Prior],
        "posterior": [StrOptions(set(POSTERIORS)), PosteriorFamily],
        "beta": [Interval(Real, 0, None, closed="left")],
        "kl_warmup": [Interval(Real, 0, None, closed="left")],
        "free_bits": [Interval(Real, 0, None, closed="left")],
        "importance_samples": [Interval(Integral, 1, None, closed="left")],
        "label_weight": [Interval(Real, 0, None, closed="left")],
        "augment": [
            StrOptions({"auto", *AUGMENTATIONS}),
            Interval(Real, 0, None, closed="left"),
            callable,
            None,
        ],
        "features": [StrOptions(set(FEATURES))],
        "symmetry": [StrOptions(set(get_args(Symmetry))), None],
        "max_epochs": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "lr_schedule": [StrOptions(set(LR_SCHEDULES))],
        "optimizer": [StrOptions(set(OPTIMIZERS)), callable],
        "validation_fraction": [Interval(Real, 0, 1, closed="left"), None],
        "patience": [Interval(Integral, 1, None, closed="left"), None],
        "warm_start": ["boolean"],
        "device": [str, torch.device],
        "precision": [StrOptions(set(get_args(Precision)))],
        "compile": ["boolean", StrOptions(set(get_args(CompileMode)))],
        "callbacks": [list, None, Hidden(tuple)],
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
        augment: Literal["auto", AugmentationName]
        | float
        | Callable[[torch.Tensor], torch.Tensor]
        | None = "auto",
        features: Features = "mean",
        symmetry: Symmetry | None = None,
        max_epochs: int | Literal["auto"] = "auto",
        batch_size: int = 256,
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
        self.augment = augment
        self.features = features
        self.symmetry = symmetry
        self.max_epochs = max_epochs
        self.batch_size = batch_size
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
        self.random_state = random_state
        self.verbose = verbose

    # -- callbacks, which are shared by reference ------------------------------------------------

    def __sklearn_clone__(self) -> Any:
        """Return an unfitted estimator with the same parameters, and the very same callbacks.

        A copy of a callback would write to another list, run or study than its owner reads.
        """
        bare = object.__new__(type(self))
        bare.__dict__.update(self.__dict__, callbacks=None)
        new = super(BaseVAE, bare).__sklearn_clone__()
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

    # -- training ------------------------------------------------------------------------------

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> Any:
        """Train the VAE on X.

        Parameters
        ----------
        X : array-like, torch.Tensor or torch.utils.data.Dataset
            Images ``(n, h, w)``, ``(n, h, w, c)`` or ``(n, c, h, w)``, or rows ``(n, d)``, which
            are images when ``image_shape`` is set. uint8 is 0 to 255 (0 and 1 alone are masks),
            float images are in [0, 1], rows that are not images have any range. Images have 1 to 4
            channels and at least 8 pixels a side. At least two samples. Lists, arrays of objects
            and columns of images are stacked. X is not changed.
        y : array-like of shape (n,), default=None
            With ``label_weight`` above 0 two or more classes, and the number -1 where unknown: no
            NaN, None or text "-1". Else it only stratifies the validation split, where there is
            one, and is never learnt from.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            For input that cannot work, before any training.
        TypeError
            For a container that is no set of samples: the message says what to pass instead.
        FloatingPointError
            When the loss, the weights or BatchNorm's running statistics become infinite or NaN.
        MemoryError
            When memory runs out; also an instance of what torch or NumPy raised. In all these
            cases, and on Ctrl-C, the estimator is as it was before the call.
        """
        with fitted_at_once(self) as unseen:
            again = unseen.warm_start and hasattr(unseen, "module_")
            data = unseen._read(X, reset=not again, at_least=2)
            if again:
                unseen._check_same_model()
            labels = unseen._read_y(y, len(data))
            epochs = unseen._resolve_epochs(len(data))
            tasks = fit_tasks(self, unseen, X, y, epochs)
            unseen._train(data, labels, epochs=epochs, again=again, tasks=tasks)
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any = None) -> Any:
        """Train on one pass over the chunk X; the first call sets the model up.

        The learning rate is constant at ``lr`` (an ``LRScheduler`` among the callbacks goes on from
        chunk to chunk), nothing is held out for validation, and vectors are standardised by the
        first chunk.

        Parameters
        ----------
        X : array-like, torch.Tensor or torch.utils.data.Dataset
            A chunk in the form that :meth:`fit` takes.
        y : array-like of shape (n,), default=None
            With ``label_weight`` above 0 the classes, -1 where unknown; the first chunk must have
            every class. Else ignored.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            For input that cannot work; for a chunk that differs from the first in shape, dtype or
            range, or has a class that the first had not; and when ``z_dim``, ``network``,
            ``likelihood``, ``prior`` or ``posterior`` has changed since the first.
        FloatingPointError, MemoryError
            As in :meth:`fit`. In all these cases the estimator is as it was before the call.
        """
        with fitted_at_once(self) as unseen:
            again = hasattr(unseen, "module_")
            data = unseen._read(X, reset=not again, at_least=2)
            if again:
                unseen._check_same_model()
            labels = unseen._read_y(y, len(data)) if unseen.label_weight > 0 else None
            tasks = fit_tasks(self, unseen, X, y, 1)
            unseen._train(data, labels, epochs=1, again=again, partial=True, tasks=tasks)
        return self

    @explains_memory(_to_train)
    def _train(
        self,
        data: Rows,
        y: Any,
        *,
        epochs: int,
        again: bool,
        partial: bool = False,
        tasks: FitTasks | None = None,
    ) -> None:
        self._check_objective()
        known = getattr(self, "classes_", None) if again else None
        self._set_classes(data, y, None if not partial and self._has_new(y, known) else known)
        device = resolve_device(self.device)
        seed = check_random_state(self.random_state).randint(2**31 - 1)
        split = None if partial else self._split(len(data), y, seed)
        done = len(self.history_) if again else 0
        seed_of_call = int(np.random.SeedSequence([seed, done]).generate_state(1)[0])
        # Whatever the caller has switched off: training takes gradients.
        with seeded(seed_of_call, device), torch.inference_mode(False), torch.enable_grad():
            model = copy.deepcopy(self.module_) if again else self._new_model(data)
            new_head = again and self.label_weight > 0 and self.classes_ is not known
            if new_head:  # trained without labels so far, or with others
                model.add_class_head(len(self.classes_))
            self._check_batch_size(model)
            self._check_free_bits(model)
            net = self._make_net(model.to(device), device, split, data, partial)
            if tasks is not None:
                self._report(tasks, net, data)
            if again:
                self._resume(net, with_optimizer=not new_head)
            net.train(data if split is None else Subset(data, split[0]), epochs)
            net.train_split = None  # it holds the validation images
            self.module_, self.net_, self.device_ = model.eval(), net, device
            self._set_feature_scale(data)  # reads rows, for which a Dataset may draw
            before = self._trained_on if again else NO_KEYS
            self._trained_on = remembered(data, before, partial=partial)
        rows = net.rows()
        self.history_, self.n_iter_ = rows, len(rows)
        shown = (len(rows) - done) * (len(data) if split is None else len(split[0]))
        self.n_samples_seen_ = shown + (self.n_samples_seen_ if again else 0)
        self.__dict__.pop("_loaded_optimizer", None)
        self._resumable = partial or self.warm_start
        if tasks is not None:
            tasks.end()

    def _report(self, tasks: FitTasks, net: VAENet, data: Rows) -> None:
        """Let the net tell scikit-learn's callbacks of its epochs."""

        def fitted(net: VAENet) -> dict[str, Any]:
            now = object.__new__(type(self))
            now.__dict__.update(self.__dict__)
            now.module_, now.device_ = net.snapshot(), torch.device(net.device)
            now.history_, now.n_iter_ = net.rows(), len(net.history)
            with generators_restored():  # a Dataset may draw
                now._set_feature_scale(data)
            return dict(vars(now))

        around = AroundEpochs(tasks.begin_epoch, lambda net: tasks.end_epoch(lambda: fitted(net)))
        net.callbacks = [around, *net.callbacks]

    def _read_y(self, y: Any, n: int) -> np.ndarray | None:
        """Return y as an array of n labels, or None."""
        if self.label_weight > 0:
            if y is None:
                raise ValueError(
                    f"label_weight={self.label_weight} requires y to be passed, but the target y "
                    "is None. Pass y, with -1 for samples without a label, or set label_weight=0."
                )
            y = read_labels(y)
        if y is None:
            return None
        try:
            y = np.asarray(y)
        except ValueError:  # ragged: whatever it is, it need not be learnt from
            return None
        check_length(y, n)
        return y

    def _has_new(self, y: np.ndarray | None, known: np.ndarray | None) -> bool:
        """Whether there are labels to learn that are not among the known classes."""
        if self.label_weight == 0 or y is None or known is None:
            return False
        return not are_among(y, known)

    def _set_classes(self, data: Rows, y: np.ndarray | None, known: np.ndarray | None) -> None:
        """Learn the classes, if none are known, and hand each row's number to the batches."""
        if known is None:
            for name in ("classes_", "n_unlabelled_"):
                self.__dict__.pop(name, None)
        if self.label_weight == 0:
            return
        assert y is not None
        self.classes_, numbers = class_numbers(y, known)
        check_not_recoded(self.classes_, numbers)
        if len(self.classes_) < 2:
            raise ValueError(
                f"label_weight={self.label_weight} needs two classes or more, but y has "
                f"{self.classes_.tolist()} (-1 means unlabelled). Set label_weight=0 to train "
                "without labels."
            )
        data.classes = torch.from_numpy(numbers)
        self.n_unlabelled_ = tell_unlabelled(numbers, self.verbose)

    def _check_same_model(self) -> None:
        """Refuse to go on training with parameters that ask for another model."""
        spec = read_spec(np.empty((1, *self.spec_.raw_shape), self.spec_.dtype), self.image_shape)
        for name, new, old in (
            ("image_shape", spec.shape, self.spec_.shape),
            ("z_dim", self.z_dim, self.module_.z_dim),
            ("network", self._resolve_network(), self.network_),
            ("likelihood", self._resolve_likelihood(), self.likelihood_),
            ("prior", self._resolve_prior(), self.prior_),
            ("posterior", self._resolve_posterior(), self.posterior_),
        ):
            if new != old:
                raise ValueError(
                    f"{name} is now {new!r}, but training would go on with a model that has "
                    f"{old!r}. Set it back, or fit anew with warm_start=False."
                )

    def _check_objective(self) -> None:
        if self.importance_samples > 1 and (self.beta, self.kl_warmup, self.free_bits) != (1, 0, 0):
            raise ValueError(
                f"importance_samples={self.importance_samples} trains on a bound without a KL term "
                f"of its own, but beta={self.beta}, kl_warmup={self.kl_warmup}, "
                f"free_bits={self.free_bits} change the KL term. Leave them at 1, 0 and 0."
            )

    def _check_free_bits(self, model: VAE) -> None:
        if self.free_bits > 0 and not model.has_kl_per_dimension():
            raise ValueError(
                f"free_bits={self.free_bits} is per latent dimension, which "
                f"prior={self.prior!r:.100} with posterior={self.posterior!r:.100} does not tell "
                "apart. Use free_bits=0, or prior='normal' with posterior='normal'."
            )

    @explains_memory(_to_build)
    def _new_model(self, data: Rows) -> VAE:
        return self._build(self.z_dim, data.take(spread_rows(len(data))).numpy())

    def _build(self, z_dim: int, X: np.ndarray | None = None) -> VAE:
        """Return a new model, made for the training samples X or to load weights into."""
        return build_model(
            self.spec_,
            self.network_,
            z_dim,
            self.likelihood_,
            self.prior_,
            self.posterior_,
            X,
            self._n_classes,
            self._n_labels,
        )

    @property
    def _n_labels(self) -> int:
        return len(getattr(self, "classes_", ()))

    def _check_batch_size(self, model: VAE) -> None:
        norms = any(isinstance(m, torch.nn.modules.batchnorm._BatchNorm) for m in model.modules())
        if self.batch_size == 1 and norms:
            raise ValueError(
                "batch_size=1, but the network has BatchNorm, which needs two samples or more. Use "
                "batch_size >= 2 or a network without it, such as network='conv' or 'mlp'."
            )

    def _make_net(
        self,
        model: VAE,
        device: torch.device,
        split: tuple[Any, Any] | None,
        data: Rows,
        partial: bool,
    ) -> VAENet:
        optimizer = self.optimizer
        settings: dict[str, Any] = {}
        if isinstance(optimizer, str):
            optimizer = OPTIMIZERS[optimizer]
            if device.type in FUSED:
                settings["optimizer__fused"] = True
        if isinstance(self.compile, str):
            settings["compile__mode"] = self.compile
        valid = None if split is None else Subset(data, split[1])
        return VAENet(
            model,
            augment=resolve_augment(self.augment, self.spec_.shape),
            beta=self.beta,
            free_bits=self.free_bits,
            lr_schedule="constant" if partial else self.lr_schedule,
            kl_warmup=self.kl_warmup,
            importance_samples=self.importance_samples,
            label_weight=self.label_weight * self.n_features_in_,
            autocast=resolve_precision(
                self.precision, device, model, bounded=self.spec_.is_intensity
            ),
            optimizer=optimizer,
            **settings,
            lr=self.lr,
            batch_size=self.batch_size,
            train_split=None if valid is None else predefined_split(valid),
            callbacks=self._make_callbacks(partial=partial, validation=valid is not None),
            device=device,
            compile=bool(self.compile),  # NumPy's True from an array of candidates, too
            verbose=self.verbose,
        )

    def _make_callbacks(self, *, partial: bool, validation: bool) -> list[Any]:
        # Copies: training must not change what the user passed (read them off net_.callbacks_).
        callbacks = shallow_copies(self.callbacks)
        remedy = "partial_fit never does: use" if partial else "Set validation_fraction=0.1, or"
        check_callbacks(
            callbacks,
            keys=history_keys(labels=self.label_weight > 0, validation=validation),
            schedule="constant" if partial else self.lr_schedule,
            remedy=remedy,
        )
        if self.verbose:  # first, so that the bar is closed whatever the others do
            callbacks.insert(0, ProgressBar() if self.verbose == 1 else EpochLog())
        if not partial and self.patience is not None:
            callbacks.append(
                EarlyStopping(
                    patience=self.patience,
                    threshold=0,
                    threshold_mode="abs",  # "rel" is wrong for losses below zero
                    load_best=True,
                    sink=tell if self.verbose > 1 else noop,
                )
            )
        return callbacks

    def _resume(self, net: VAENet, *, with_optimizer: bool) -> None:
        """Continue with the history and, where it was kept, the state of the optimiser."""
        net.initialize()
        net.history.extend([*map(dict, self.history_)])
        kind, state = self._optimizer_state() if with_optimizer else ("", {})
        # Another optimiser starts afresh, and so does one with other settings or a new head.
        if kind == type(net.optimizer_).__name__ and _same_groups(
            state["param_groups"], net.optimizer_.state_dict()["param_groups"]
        ):
            net.optimizer_.load_state_dict(copy.deepcopy(state))  # torch would share its tensors
        net.begin_rate(self.lr)

    def _optimizer_state(self) -> tuple[str, dict[str, Any]]:
        """Return the kind and the state of the optimiser, live or loaded."""
        if hasattr(self, "net_"):
            optimizer = self.net_.optimizer_
            return type(optimizer).__name__, optimizer.state_dict()
        return getattr(self, "_loaded_optimizer", ("", {}))

    def _split(self, n: int, y: Any, seed: int) -> tuple[Any, Any] | None:
        """Return shuffled rows for training and validation, or None without validation."""
        fraction = self.validation_fraction
        if fraction is None:
            fraction = 0.0 if self.patience is None else 0.1
        if fraction == 0:
            if self.patience is not None:
                raise ValueError(
                    f"patience={self.patience} needs a validation split, but "
                    "validation_fraction=0. Set it to, say, 0.1, or patience=None."
                )
            return None
        n_valid = max(1, round(fraction * n))
        if n - n_valid < 2:
            raise ValueError(
                f"validation_fraction={fraction} of {n} samples leaves {n - n_valid} to train on; "
                "at least 2 are needed. Use more samples or validation_fraction=0."
            )
        labels = self._labels(y, n, n_valid)
        train, valid = train_test_split(
            np.arange(n), test_size=n_valid, random_state=seed, stratify=labels
        )
        return train, valid

    @staticmethod
    def _labels(y: Any, n: int, n_valid: int) -> np.ndarray | None:
        """Return y where it can stratify a split: labels, each class on both sides."""
        if y is None:
            return None
        if y.dtype.kind == "f" and not np.isfinite(y).all():
            return None
        try:
            if y.ndim != 1 or type_of_target(y) not in ("binary", "multiclass"):
                return None
            _, counts = np.unique(y, return_counts=True)
        except (TypeError, ValueError):  # None among strings, say
            return None
        fits = counts.min() >= 2 and len(counts) <= min(n_valid, n - n_valid)
        return y if fits else None

    def _set_feature_scale(self, data: Rows) -> None:
        """Learn the scale of hidden features from rows spread over the data."""
        rows = spread_rows(len(data), SCALE_ROWS)
        total = torch.zeros(self.module_.n_hidden, dtype=torch.float64, device="cpu")
        squares = torch.zeros_like(total)
        with exact_inference():
            for index in rows.split(chunk_rows(self.spec_)):
                hidden = self.module_.raw_hidden(self._scaled(data.take(index)))
                hidden = hidden.cpu().double()
                total += hidden.sum(0)
                squares += hidden.square().sum(0)
            self.module_.set_feature_scale(total / len(rows), squares / len(rows))
        if not bool(torch.stack([total, squares]).isfinite().all()):
            raise FloatingPointError(
                f"After training the network's activations are infinite or NaN. Use a smaller "
                f"learning rate (lr={self.lr}), or scale X. The estimator was left as it was."
            )

    # -- input ---------------------------------------------------------------------------------

    def _read(self, X: Any, *, reset: bool, at_least: int = 1) -> Rows:
        """Return the checked samples; with ``reset``, learn their form."""
        if isinstance(X, ArrayDataset):
            data: Rows = X  # of an estimator that has looked at the names of columns itself
            checked, spelled = X.X, X.spelling
        elif isinstance(X, Dataset):
            data = ItemDataset(X)
            if len(data) < at_least:
                raise ValueError(f"X has {len(data)} sample(s); at least {at_least} are needed.")
            checked, spelled = data.rows(0, min(len(data), FIRST_ITEMS)).numpy(), OF_ITEMS
        else:
            with memory_explained(lambda: _to_read(X)):
                array = to_array(X)
                spelled = spelling(X, array)
                if not reset and self.spec_.is_image and np.ndim(array) > 1:
                    check_not_one(np.shape(array), self.spec_, spelled)
                checked = read_array(self, array, reset=reset, at_least=at_least)
            data = ArrayDataset(checked)
        if reset:
            if isinstance(X, Dataset) or checked.ndim > 2:  # validate_data sees rows only
                self.__dict__.pop("feature_names_in_", None)
            self._learn_form(checked, spelled)
        else:
            check_same(checked, self.spec_, bounded=self.likelihood_.bounded, spelling=spelled)
        if isinstance(data, ItemDataset):
            data.bounded = self.likelihood_.bounded
            data.white = self.spec_.white
        return data

    def _read_in_place(self, X: Any) -> Rows:
        """Return the checked samples; those on the model's GPU do not leave it."""
        if not isinstance(X, torch.Tensor) or X.device.type == "cpu" or len(X) == 0:
            return self._read(X, reset=False)
        levels = X.dtype == torch.bool or (X.dtype == torch.uint8 and self.spec_.white == WHITE)
        if X.device != self.module_.feature_loc.device or not (levels or X.is_floating_point()):
            return self._read(X, reset=False)
        self._read(X[:1], reset=False)  # its form
        X = X.detach()
        low, high = (0.0, 1.0) if levels else torch.stack([X.min(), X.max()]).cpu().tolist()
        bounded = self.likelihood_.bounded
        if not isfinite(high - low) or (bounded and (low < -ROUNDING or high > 1 + ROUNDING)):
            return self._read(X, reset=False)  # which says what is wrong
        return ResidentDataset(X)

    def _learn_form(self, X: np.ndarray, spelled: Spelling) -> None:
        self.spec_ = with_white(read_spec(X, self.image_shape, spelled), X)
        self.n_features_in_ = self.spec_.n_features
        self.network_ = self._resolve_network()
        self.likelihood_ = self._resolve_likelihood()
        self.prior_ = self._resolve_prior()
        self.posterior_ = self._resolve_posterior()
        self._check_symmetry()

        def remedy(X: np.ndarray) -> str:
            if self.spec_.is_image:
                return f"images are uint8 (0 to 255) or float in [0, 1]. {spelled.remedy(X)}"
            return (
                f"likelihood={self.likelihood!r} needs [0, 1]. Scale X with MinMaxScaler(clip=True)"
                ", or set likelihood='gaussian', which takes any range."
            )

        check_values(X, bounded=self.likelihood_.bounded, remedy=remedy)
        warn_of_darkness(X, self.spec_, spelled)

    def _check_symmetry(self) -> None:
        if self.symmetry not in tuple(SYMMETRIES):
            raise ValueError(
                f"symmetry={self.symmetry!r}; use one of {', '.join(map(repr, SYMMETRIES))}."
            )
        if self.symmetry is not None and not self.spec_.is_image:
            raise ValueError(
                f"symmetry={self.symmetry!r} flips images, but X has rows of "
                f"{self.spec_.n_features} values. Set image_shape, for example "
                "image_shape=(28, 28), or leave symmetry=None."
            )

    def _resolve_epochs(self, n: int) -> int:
        if isinstance(self.max_epochs, str):
            return int(np.clip(round(AUTO_PASSES / n), *AUTO_EPOCHS))
        return self.max_epochs

    def _resolve_network(self) -> Network:
        network = self.network
        if isinstance(network, str):
            network = self._usual_network() if network == "auto" else NETWORKS[network]()
        elif isinstance(network, tuple):
            if len(network) != 2 or not all(isinstance(m, torch.nn.Module) for m in network):
                raise ValueError(
                    f"network={network!r}: a tuple holds two torch modules, (encoder, decoder)."
                )
            network = Custom(*network)
        if not self.spec_.is_image and not network.takes_vectors:
            raise ValueError(
                f"network={self.network!r} needs images, but X has rows of {self.spec_.n_features} "
                "values whose layout is ambiguous. Set image_shape, for example "
                "image_shape=(28, 28), pass X as (n, height, width[, channels]), or use "
                "network='mlp'."
            )
        return network

    def _usual_network(self) -> Network:
        if not self.spec_.is_image:
            return MLP()
        # A third halving would leave less than 2 x 2 of tiny images, and their code collapses.
        return Conv((64, 128) if self.spec_.is_tiny else (32, 64, 128), batch_norm=True)

    def _resolve_likelihood(self) -> Likelihood:
        likelihood = self.likelihood
        intensity = self.spec_.is_intensity
        if isinstance(likelihood, str):
            name = likelihood
            if name == "auto":
                spec = self.spec_
                gaussian = spec.is_tiny or spec.is_colour or not intensity
                name = "gaussian" if gaussian else "bernoulli"
            likelihood = LIKELIHOODS[name]()
        # Settings only: tensors are made with the model, and skops saves no others.
        own: Likelihood = copy.deepcopy(likelihood)
        own.bounded = intensity or own.needs_bounded
        return own

    def _resolve_prior(self) -> Prior:
        return PRIORS[self.prior]() if isinstance(self.prior, str) else self.prior

    def _resolve_posterior(self) -> PosteriorFamily:
        return POSTERIORS[self.posterior]() if isinstance(self.posterior, str) else self.posterior

    def _scaled(self, raw: torch.Tensor) -> torch.Tensor:
        """Return raw samples as the network's input, on the device."""
        return self.module_.scaling(self._on_device(raw))

    def _on_device(self, raw: torch.Tensor) -> torch.Tensor:
        if is_limited(self.device_) and raw.dtype == torch.float64:
            raw = raw.float()  # MPS has no float64
        return to_device(raw, self.device_)

    @explains_memory(_to_infer)
    def _apply(
        self,
        data: Rows,
        function: Callable[[torch.Tensor], torch.Tensor],
    ) -> np.ndarray:
        """Return ``function`` of all raw samples, computed by the chunk, in one array.

        The function gets raw samples in host memory and returns a tensor of as many rows. Chunks of
        few rows are filled up with copies: matrix products take another path for them, and a
        sample's result should not depend, not even by rounding, on how many come with it.
        """
        out: torch.Tensor | None = None
        done = 0
        with exact_inference():
            for result in self._results(data, function):
                if out is None:
                    shape = (len(data), *result.shape[1:])
                    out = torch.empty(shape, dtype=result.dtype, device="cpu")
                out[done : done + len(result)] = result
                done += len(result)
        assert out is not None  # validation refuses an empty X
        return out.numpy()

    def _results(
        self, data: Rows, function: Callable[[torch.Tensor], torch.Tensor]
    ) -> Iterator[torch.Tensor]:
        """Yield ``function`` of each chunk; a GPU works on the next while the host takes it."""
        gpu = self.device_.type in ASYNCHRONOUS
        step, ahead = chunk_rows(self.spec_) * (GPU_CHUNKS if gpu else 1), int(gpu)
        under_way: deque[Callable[[], torch.Tensor]] = deque()
        for start in range(0, len(data), step):
            raw = data.rows(start, min(start + step, len(data)))
            n = len(raw)
            if n < SMALLEST_CHUNK:
                raw = raw[torch.arange(SMALLEST_CHUNK, device=raw.device) % n]
            under_way.append(to_host(function(raw)[:n]))
            if len(under_way) > ahead:
                yield under_way.popleft()()
        for arriving in under_way:
            yield arriving()

    # -- codes -----------------------------------------------------------------------------------

    def _posterior(self, X: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return ``loc`` and ``scale`` of q(z|x) for each sample, each (n, z_dim)."""

        def moments(raw: torch.Tensor) -> torch.Tensor:
            q = self.module_.posterior(self._scaled(raw))
            return torch.cat([q.loc, q.scale], 1)

        both = self._apply(self._read(X, reset=False), moments)
        return both[:, : self.module_.z_dim], both[:, self.module_.z_dim :]

    def _generate(self, Z: np.ndarray) -> np.ndarray:
        """Return what the decoder makes of its inputs Z, in the form of the fitted X."""
        codes = ArrayDataset(np.ascontiguousarray(Z, dtype=np.float32))
        return self._decoded(codes, self._on_device)

    @explains_memory(_to_infer)
    def _decoded(self, data: Rows, codes: Callable[[torch.Tensor], torch.Tensor]) -> np.ndarray:
        """Return what the decoder makes of the codes of all raw samples, in X's form."""
        return self.spec_.restore(self._apply(data, lambda raw: self._decode(codes(raw))))

    def _decode(self, z: torch.Tensor) -> torch.Tensor:
        """Return the mean of p(x|z) in the layout and range of the fitted X; uint8 or float32."""
        return self._raw(self.module_.conditional(z).mean)

    def _raw(self, x: torch.Tensor) -> torch.Tensor:
        """Return scaled samples in the layout and range of the fitted X; uint8 or float32."""
        x = self.module_.scaling.inverse(x)
        if self.spec_.dtype != "uint8":
            return x
        # What is scaled is a new tensor. torch's cast from float straight to uint8 is a
        # scalar loop on CPUs; by way of int16 it takes a quarter of the time.
        return x.round_().clamp_(0, self.spec_.white).to(torch.int16).to(torch.uint8)

    # -- scores --------------------------------------------------------------------------------

    def score_samples(
        self, X: Any, *, n_samples: int = 8, importance_weighted: bool = False
    ) -> np.ndarray:
        """Return a lower bound on the log-likelihood of each sample.

        Parameters
        ----------
        X : array-like, torch.Tensor or torch.utils.data.Dataset
            Samples in the form that :meth:`fit` saw.
        n_samples : int, default=8
            Draws from the posterior, 1 or more. A row's draws are a fixed function of the row, so
            that its score depends neither on the other rows nor on chance.
        importance_weighted : bool, default=False
            False gives the ELBO, the mean over the draws. True gives the importance-weighted
            bound of Burda et al. (ICLR 2016), which rises with ``n_samples`` towards log p(x).

        Returns
        -------
        scores : ndarray of shape (n,), float32
            In nats. For images a log-likelihood of values in [0, 1] (of 8-bit levels with
            ``"discretized-logistic"``); for vectors a log-density in the units of X.

        Raises
        ------
        ValueError
            When X differs from the fitted data in shape, dtype or range, and for an ``n_samples``
            that is not an int of 1 or more.
        """
        check_is_fitted(self)
        n_samples = check_count("n_samples", n_samples)
        data = self._read(X, reset=False)
        model = self.module_
        bound = model.importance_weighted if importance_weighted else model.elbo

        def scores(raw: torch.Tensor) -> torch.Tensor:
            noise = row_noise(raw.numpy(), n_samples, model.z_dim, self.device_)
            return bound(self._scaled(raw), noise)

        return self._apply(data, scores)

    def score(self, X: Any, y: Any = None) -> float:
        """Return the mean ELBO of X in nats per sample; larger is better.

        Parameters
        ----------
        X : array-like, torch.Tensor or torch.utils.data.Dataset
            Samples in the form that :meth:`fit` saw.
        y : Ignored
            Not used; present for the scikit-learn API.

        Returns
        -------
        score : float
            Mean of :meth:`score_samples`.
        """
        return float(np.mean(self.score_samples(X), dtype=np.float64))

    # -- persistence ---------------------------------------------------------------------------

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Be pickled, if the callbacks can be; save_pretrained leaves them out."""
        check_picklable(self.callbacks, protocol)
        return super().__reduce_ex__(protocol)

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        module = state.pop("module_", None)
        state.pop("net_", None)
        if module is not None:
            state["_weights"], state["_z_dim"] = weights_to_arrays(module), module.z_dim
            if self._resumable:
                state["_loaded_optimizer"] = to_cpu(self._optimizer_state())
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        weights, z_dim = state.pop("_weights", None), state.pop("_z_dim", None)
        super().__setstate__(state)
        if weights is not None:
            self.__dict__.setdefault("_trained_on", NO_KEYS)  # from_pretrained brings none
            self.device_ = resolve_device(self.device, fallback=True)
            # The initial weights are replaced at once, and take no memory in from_pretrained;
            # training may go on with those loaded.
            home = torch.device("meta" if torch.empty(0).is_meta else "cpu")
            with home, generators_restored(), usual_dtype(), torch.inference_mode(False):
                model = load_arrays(self._build(z_dim), weights)
                self.module_ = model.to(self.device_).eval()


def _same_groups(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> bool:
    """Return whether an optimiser's groups hold as many tensors under the same settings."""
    return len(old) == len(new) and all(
        len(a["params"]) == len(b["params"])
        and all(a[key] == b[key] for key in (a.keys() & b.keys()) - NOT_SETTINGS)
        for a, b in zip(old, new, strict=True)
    )

"""What the estimators share: parameters, training, fitted state, likelihood scores."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted

from ._parameters import VAEParameters
from .input._labels import are_among, check_length, class_numbers, read_labels, tell_unlabelled
from .input._read import check_numbered, read_first, with_checks
from .input._row_keys import NO_KEYS, remembered
from .input._rows import Rows, check_enough
from .input._spec import InputSpec, read_spec
from .input._streams import opened
from .model import VAE, Likelihood, PosteriorFamily, Prior, VAERecipe
from .model._codec import SYMMETRIES, Codec, learn_scales
from .nn import Network
from .training._amount import resolve_epochs
from .training._cache import adopt, recalled
from .training._callbacks import check_callbacks_picklable
from .training._collapse import n_active, warn_of_collapse
from .training._net import VAENet
from .training._passes import passes_of
from .training._progress import AroundEpochs
from .training._trainer import Resumption, Trainer
from .training.processes._loky import by_workers
from .training.processes._parallel import joined, n_workers
from .utils._at_once import fitted_at_once
from .utils._counts import check_count
from .utils._doc_link import DocLinkMixin
from .utils._generators import generators_restored
from .utils._ranks import Ranks
from .utils._sklearn_compat import CallbackSupportMixin, FitTasks, fit_context

OF_PARTIAL: dict[str, Any] = {
    "lr_schedule": "constant",
    "validation_fraction": 0,
    "patience": None,
    "checkpoint": None,
}
"""Parameters that partial_fit has, whatever the estimator's are."""


class BaseVAE(DocLinkMixin, CallbackSupportMixin, VAEParameters):
    """A VAE that is trained, scores and is pickled; see :class:`VAETransformer`."""

    codec_: Codec
    """The trained model, with what it takes to use it."""
    net_: VAENet
    """The skorch net that trained it. Not pickled; rebuilt where training goes on."""
    history_: list[dict[str, float]]
    """One dict per epoch: epoch, train_loss, train_log_likelihood, train_kl, the same for
    valid_ with a validation split, lr, dur (seconds). Loss and terms in nats per sample."""
    n_iter_: int
    """Number of epochs trained; of partial_fit the passes over all chunks that have begun."""
    n_samples_seen_: int
    """Samples shown in training, over all epochs and calls."""
    row_keys_: np.ndarray
    """Hashes of some of the rows that it was trained on, by which :class:`VAEDetector` knows them
    again; not in what ``save_pretrained`` writes."""
    n_features_in_: int
    """Number of values in one sample of the fitted X."""
    classes_: np.ndarray
    """The classes of y, sorted; only with ``label_weight`` above 0."""
    n_unlabelled_: int
    """Rows of the last y that were -1, unlabelled; only with ``label_weight`` above 0."""

    # -- training ------------------------------------------------------------------------------

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> Any:
        """Train the VAE on X.

        Parameters
        ----------
        X : array-like, torch.Tensor or torch.utils.data.Dataset
            Images ``(n, h, w)``, ``(n, h, w, c)`` or ``(n, c, h, w)``, or rows ``(n, d)``, which
            are images when ``image_shape`` is set. uint8 is 0 to 255 (0 and 1 alone are masks),
            float images are in [0, 1], rows that are not images have any range. Images have 1 to 4
            channels and at least 8 pixels a side. At least two samples. Lists, arrays of objects
            and columns of images are stacked. A torch IterableDataset is a stream: its
            length is that of an epoch, and it is read from its beginning in each. X is not changed.
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

        Warns
        -----
        UserWarning
            When after 100 steps or more no latent dimension is in use (``n_active_`` is 0).
        """
        with fitted_at_once(self) as unseen:
            again = self.warm_start and hasattr(self, "codec_")
            if self.memory is None or again:
                self._train(unseen, X, y, again=again)
            else:
                adopt(unseen, recalled(self, X, y))
        return self

    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any = None) -> Any:
        """Train on one pass over the chunk X; the first call sets the model up.

        The learning rate is constant at ``lr``; an ``LRScheduler`` among the callbacks goes on from
        chunk to chunk. Nothing is held out for validation, and vectors are standardised by the
        first chunk. A chunk that comes again, in whatever order its rows are, begins the next pass:
        passes are what ``n_iter_`` and ``kl_warmup`` count, ``history_`` has a row for each chunk.
        Chunks that look sorted, by their labels or their loss, bring one warning:
        :func:`~sklearn_vae.datasets.shuffle_chunks` mixes them.

        Parameters
        ----------
        X : array-like, torch.Tensor or torch.utils.data.Dataset
            A chunk in the form that :meth:`fit` takes.
        y : array-like of shape (n,), default=None
            With ``label_weight`` above 0 the classes, -1 where unknown; the first chunk must have
            every class. Else only looked at for the warning.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            For input that cannot work. For a chunk that differs from the first in shape, dtype or
            range, or has a class that the first had not. And when ``z_dim``, ``network``,
            ``likelihood``, ``prior`` or ``posterior`` has changed since the first.
        FloatingPointError, MemoryError
            As in :meth:`fit`. In all these cases the estimator is as it was before the call.
        """
        with fitted_at_once(self) as unseen:
            self._train(unseen, X, y, again=hasattr(self, "codec_"), partial=True)
        return self

    # -- the fitted model --------------------------------------------------------------------------

    @property
    def module_(self) -> VAE:
        """The trained torch module, on ``device_``."""
        return self.codec_.module

    @property
    def n_active_(self) -> int:
        """Latent dimensions in use: means have more than a hundredth of the codes' variance."""
        return n_active(self.module_)

    @property
    def device_(self) -> torch.device:
        """Where the module is."""
        return self.codec_.device

    @property
    def spec_(self) -> InputSpec:
        """Shape, layout and dtype of the fitted X."""
        return self.codec_.spec

    @property
    def network_(self) -> Network:
        """The network that ``network`` stands for, for the fitted X."""
        return self.codec_.recipe.network

    @property
    def likelihood_(self) -> Likelihood:
        """The likelihood that ``likelihood`` stands for, for the fitted X."""
        return self.codec_.recipe.likelihood

    @property
    def prior_(self) -> Prior:
        """The prior that ``prior`` stands for."""
        return self.codec_.recipe.prior

    @property
    def posterior_(self) -> PosteriorFamily:
        """The family that ``posterior`` stands for."""
        return self.codec_.recipe.posterior

    def _read(self, X: Any, *, in_place: bool = False) -> Rows:
        """Return the checked samples of an X after fit."""
        X = opened(X, self.loader_workers)
        return self.codec_.read(X, names_of=self, in_place=in_place)

    # -- one training ------------------------------------------------------------------------------

    def _train(self, unseen: Any, X: Any, y: Any, *, again: bool, partial: bool = False) -> None:
        """Train ``unseen`` on X: in this process, in one of a group, or in workers."""
        if n_workers(self.parallel):
            adopt(unseen, by_workers(self, "partial_fit" if partial else "fit", X, y))
            return
        with joined(self.parallel, self.device) as ranks:
            BaseVAE._fit(unseen, X, y, self, ranks, again=again, partial=partial)

    def _fit(self, X: Any, y: Any, seen: Any, ranks: Ranks, *, again: bool, partial: bool) -> None:
        """Train on X, from where training ended before with ``again``; ``seen`` is the user's."""
        if self.label_weight > 0:
            why = f"label_weight={self.label_weight} learns labels by the numbers of their rows"
            check_numbered(X, why, "Set it to 0, or pass a map-style Dataset or an array")
        if again:
            data = self._read_more(X)
            spec, recipe = self.codec_.spec, self.codec_.recipe
        else:
            data, spec, recipe = self.read_training(opened(X, self.loader_workers))
        self.n_features_in_ = spec.n_features
        labels = None if partial and self.label_weight == 0 else self._read_y(y, len(data))
        amount = self.max_epochs, len(data), spec.shape
        epochs = 1 if partial else resolve_epochs(*amount, based=recipe.network.has_base)
        tasks = FitTasks(seen, self, X, y, epochs, told=ranks.rank == 0)
        trainer = Trainer.of(self, **(OF_PARTIAL if partial else {}))
        known = getattr(self, "classes_", None) if again else None
        verbose = self.verbose if ranks.rank == 0 else 0
        self._set_classes(data, labels, known, partial=partial, verbose=verbose)
        recipe = replace(recipe, n_labels=len(getattr(self, "classes_", ())))
        passes = passes_of(self, data, y, again=again, partial=partial)
        resume = None
        if again:
            new_labels = recipe.n_labels if getattr(self, "classes_", None) is not known else 0
            resume = Resumption(self.module_, self.history_, self._optimizer_state(), new_labels)
        before = self.row_keys_ if again else NO_KEYS

        def finish(codec: Codec) -> None:
            learn_scales(codec, data, self.lr)
            self.row_keys_ = remembered(data, before, partial=partial)
            if partial:
                self._passes = passes.trained(codec, data)

        codec, net, n_trained = trainer.train(
            recipe,
            spec,
            data,
            labels,
            epochs=epochs,
            resume=resume,
            first=[self._reporter(tasks, recipe, spec, data)] if tasks.followed else [],
            finish=finish,
            ranks=ranks,
            passes=passes.n if partial else None,
        )
        rows = net.rows()
        done, seen_before = (len(self.history_), self.n_samples_seen_) if again else (0, 0)
        self.n_samples_seen_ = seen_before + (len(rows) - done) * n_trained
        self.n_iter_ = passes.n + (not partial) * (len(rows) - done)
        self.codec_, self.net_, self.history_ = codec, net, rows
        self.__dict__.pop("_loaded_optimizer", None)
        self._resumable = partial or self.warm_start
        tasks.end()
        warn_of_collapse(self.n_active_, net.step, images=spec.is_image)

    def read_training(self, X: Any, *, at_least: int = 2) -> tuple[Rows, InputSpec, VAERecipe]:
        """Return the checked samples of an X to fit to, their form, and what is to be built.

        For estimators with a template of this one. The names of X's columns are kept.

        Parameters
        ----------
        X : array-like, torch.Tensor or torch.utils.data.Dataset
            Samples in a form that :meth:`fit` takes.
        at_least : int, default=2
            How many there have to be.

        Returns
        -------
        data : Rows
            The samples.
        spec : InputSpec
            Their form.
        recipe : VAERecipe
            What the parameters stand for.

        Raises
        ------
        TypeError, ValueError
            For what :meth:`fit` refuses.
        """
        data, spec, check = read_first(X, self, self.image_shape, at_least=at_least)
        recipe = VAERecipe.resolve(self.get_params(deep=False), spec, len(data))
        self._check_symmetry(spec)
        bounded = recipe.likelihood.bounded
        check(repr(self.likelihood) if bounded else None)
        return with_checks(data, spec, bounded=bounded), spec, recipe

    def _read_more(self, X: Any) -> Rows:
        """Return the checked samples of an X to go on with; refuse another model."""
        data = self._read(X)
        check_enough(len(data), 2)
        fitted, old = self.spec_, self.codec_.recipe
        spec = read_spec(np.empty((1, *fitted.raw_shape), fitted.dtype), self.image_shape)
        usual = {"network": old.network} if self.network == "auto" else {}  # it depends on X
        new = VAERecipe.resolve({**self.get_params(deep=False), **usual}, fitted)
        pairs = {"image_shape": (spec.shape, fitted.shape)}
        parts = ("z_dim", "network", "likelihood", "prior", "posterior")
        pairs |= {name: (getattr(new, name), getattr(old, name)) for name in parts}
        for name, (now, before) in pairs.items():
            if now != before:
                raise ValueError(
                    f"{name} is now {now!r}, but training would go on with a model that has "
                    f"{before!r}. Set it back, or fit anew with warm_start=False."
                )
        return data

    def _reporter(
        self, tasks: FitTasks, recipe: VAERecipe, spec: InputSpec, data: Rows
    ) -> AroundEpochs:
        """Return the skorch callback that tells scikit-learn's of each epoch."""

        def fitted(net: VAENet) -> dict[str, Any]:
            now = object.__new__(type(self))
            now.__dict__.update(self.__dict__)
            now.codec_ = Codec(recipe, spec, net.snapshot(), net.device, self.device)
            now.history_, now.n_iter_ = net.rows(), len(net.history)
            with generators_restored():  # a Dataset may draw
                learn_scales(now.codec_, data, self.lr)
            return dict(vars(now))

        return AroundEpochs(tasks.begin_epoch, lambda net: tasks.end_epoch(lambda: fitted(net)))

    def _check_symmetry(self, spec: InputSpec) -> None:
        if self.symmetry not in tuple(SYMMETRIES):
            raise ValueError(
                f"symmetry={self.symmetry!r}; use one of {', '.join(map(repr, SYMMETRIES))}."
            )
        if self.symmetry is not None:
            spec.check_image(f"symmetry={self.symmetry!r} flips images", ", else symmetry=None")

    def _optimizer_state(self) -> tuple[str, dict[str, Any]]:
        """Return the kind and the state of the optimiser, live or loaded."""
        if hasattr(self, "net_"):
            optimizer = self.net_.optimizer_
            return type(optimizer).__name__, optimizer.state_dict()
        return getattr(self, "_loaded_optimizer", ("", {}))

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

    def _set_classes(
        self, data: Rows, y: Any, known: np.ndarray | None, *, partial: bool, verbose: int
    ) -> None:
        """Learn the classes and hand each row's number to the batches.

        Known classes stay, but where ``fit`` meets others.
        """
        to_learn = self.label_weight > 0
        if to_learn and known is not None and not partial and not are_among(y, known):
            known = None
        if known is None:
            for name in ("classes_", "n_unlabelled_"):
                self.__dict__.pop(name, None)
        if not to_learn:
            return
        self.classes_, numbers = class_numbers(y, known)
        if len(self.classes_) < 2:
            raise ValueError(
                f"label_weight={self.label_weight} needs two classes or more, but y has "
                f"{self.classes_.tolist()} (-1 is none). Set label_weight=0 to train without."
            )
        data.classes = torch.from_numpy(numbers)
        self.n_unlabelled_ = tell_unlabelled(numbers, verbose)

    # -- scores --------------------------------------------------------------------------------

    def score_samples(
        self, X: Any, *, n_draws: int = 8, importance_weighted: bool = False
    ) -> np.ndarray:
        """Return a lower bound on the log-likelihood of each sample.

        Parameters
        ----------
        X : array-like, torch.Tensor or torch.utils.data.Dataset
            Samples in the form that :meth:`fit` saw.
        n_draws : int, default=8
            Draws from the posterior, 1 or more. A row's draws are a fixed function of the row, so
            that its score depends neither on the other rows nor on chance.
        importance_weighted : bool, default=False
            False gives the ELBO, the mean over the draws. True gives the importance-weighted
            bound of Burda et al. (ICLR 2016), which rises with ``n_draws`` towards log p(x).

        Returns
        -------
        scores : ndarray of shape (n,), float32
            In nats. For images a log-likelihood of values in [0, 1] (of 8-bit levels with
            ``"discretized-logistic"``); for vectors a log-density in the units of X.

        Raises
        ------
        ValueError
            When X differs from the fitted data in shape, dtype or range, and for an ``n_draws``
            that is not an int of 1 or more.
        """
        check_is_fitted(self)
        n = check_count("n_draws", n_draws)
        score = self.codec_.scorer(n, importance_weighted=importance_weighted)
        return self.codec_.apply(self._read(X), score)

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
        check_callbacks_picklable(self.callbacks, protocol)
        return super().__reduce_ex__(protocol)

    def __getstate__(self) -> dict[str, Any]:
        state = {k: v for k, v in super().__getstate__().items() if k != "net_"}
        if "codec_" in state:
            state["codec_"] = replace(self.codec_, asked=self.device)
            if self._resumable:
                state["_loaded_optimizer"] = to_cpu(self._optimizer_state())
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if "codec_" in state:
            self.__dict__.setdefault("row_keys_", NO_KEYS)  # from_pretrained brings none


def to_cpu(state: Any) -> Any:
    """Return nested containers of tensors, such as an optimiser's state, copied to the CPU."""
    if isinstance(state, torch.Tensor):
        return state.detach().cpu().clone()
    if isinstance(state, dict):
        return {key: to_cpu(value) for key, value in state.items()}
    return type(state)(map(to_cpu, state)) if isinstance(state, (list, tuple)) else state

"""skorch's callbacks as a parameter: their names, copies for a fit, and what is refused."""

from __future__ import annotations

import copy
import pickle
from collections import Counter
from collections.abc import Iterable
from typing import Any

from skorch import callbacks as of_skorch
from skorch.callbacks import Callback

from ..utils._pickling import check_picklable

TERMS = ("loss", "log_likelihood", "kl")
"""What an epoch's row has of each side of the validation split."""

BEST = "valid_loss_best"
"""What W&B's logger asks each epoch's row for."""
BATCH_EVENTS = ("on_batch_begin", "on_batch_end", "on_grad_computed")
WRITERS = (
    *(of_skorch.Checkpoint, of_skorch.TrainEndCheckpoint, of_skorch.PrintLog),
    *(of_skorch.ProgressBar, of_skorch.TensorBoard, of_skorch.WandbLogger),
    *(of_skorch.NeptuneLogger, of_skorch.SacredLogger, of_skorch.MlflowLogger),
)
"""skorch's callbacks of which one process of several is to have one."""


def terms_of(*, labels: bool, views: bool) -> tuple[str, ...]:
    """Return what of each side an epoch's row has, with labels to learn and second views."""
    return (*TERMS, *(("label_loss",) if labels else ()), *(("contrastive_loss",) if views else ()))


def history_keys(*, labels: bool, views: bool, validation: bool) -> list[str]:
    """Return the keys of an epoch's row that training records by itself."""
    terms = ["loss_best", *terms_of(labels=labels, views=views)]
    sides = ("train", "valid") if validation else ("train",)
    return [f"{side}_{term}" for side in sides for term in terms] + ["epoch", "lr", "dur"]


def named(callbacks: Iterable[Any] | None) -> list[tuple[str, Any]]:
    """Return names and callbacks; who has none is called by its class, as in skorch."""
    pairs = [item if _has_name(item) else (None, item) for item in callbacks or ()]
    kinds = [_kind(cb).__name__ for name, cb in pairs if name is None]
    many, seen = Counter(kinds), Counter[str]()
    names = []
    for name, cb in pairs:
        if name is None:
            name = _kind(cb).__name__
            seen[name] += 1
            name = f"{name}_{seen[name]}" if many[name] > 1 else name
        names.append((name, cb))
    return names


def _has_name(item: Any) -> bool:
    return isinstance(item, (tuple, list)) and len(item) == 2


def _kind(callback: Any) -> type:
    return callback if isinstance(callback, type) else type(callback)


def _renewed(item: Any, callback: Any) -> Any:
    """Return an item of a list of callbacks with another callback in its place."""
    return (item[0], callback) if _has_name(item) else callback


def shallow_copies(callbacks: Iterable[Any] | None) -> list[Any]:
    """Return what a fit calls: copies, so that it changes no parameter, of the same attributes.

    What is live, such as a logger, a lock or the caller's list, is shared.
    """
    pairs = zip(callbacks or (), named(callbacks), strict=True)
    return [_renewed(item, _shallow_copy(cb)) for item, (_, cb) in pairs]


def _shallow_copy(callback: Any) -> Any:
    """Return a copy that shares all attributes, and an instance of a class.

    copy.copy would ask ``__getstate__``, which may leave out what is live.
    """
    if isinstance(callback, type):
        return callback()
    if not isinstance(callback, Callback) or hasattr(callback, "__copy__"):
        return copy.copy(callback)
    new = object.__new__(type(callback))
    new.__dict__.update(vars(callback))
    return new


def without_writers(callbacks: Iterable[Any]) -> list[Any]:
    """Return the callbacks but skorch's own that print, log or write files."""
    pairs = zip(callbacks, named(callbacks), strict=True)
    return [item for item, (_, cb) in pairs if not isinstance(cb, WRITERS)]


def acts_on_batches(callback: Callback) -> bool:
    """Return whether a callback does anything with single batches, which costs time.

    Two of skorch's loggers have a method for them that, as they come, does nothing.
    """
    idle = [getattr(Callback, event) for event in BATCH_EVENTS]
    idle.append(of_skorch.TensorBoard.on_batch_end)
    if not getattr(callback, "log_on_batch_end", False):
        idle.append(of_skorch.MlflowLogger.on_batch_end)
    return any(getattr(type(callback), event) not in idle for event in BATCH_EVENTS)


# -- nested parameters ----------------------------------------------------------------------------


def nested_params(callbacks: Any) -> dict[str, Any]:
    """Return ``name`` and ``name__parameter`` of all callbacks, for a search to set."""
    params: dict[str, Any] = {}
    for name, cb in named(callbacks if isinstance(callbacks, (list, tuple)) else ()):
        params[name] = cb
        if isinstance(cb, Callback):
            params |= {f"{name}__{key}": value for key, value in cb.get_params().items()}
    return params


def with_params(callbacks: Any, params: dict[str, Any]) -> list[Any]:
    """Return a new list, with changed copies of the callbacks that ``params`` names."""
    items = list(callbacks or ())
    names = [name for name, _ in named(items)]
    for key in sorted(params):  # a callback before its parameters
        name, _, parameter = key.partition("__")
        if name not in names:
            raise ValueError(f"callbacks has no {name!r}; it has {names or 'none'}.")
        i, value = names.index(name), params[key]
        if parameter:
            old = named(items)[i][1]
            if not hasattr(old, "set_params"):
                raise ValueError(
                    f"Invalid parameter callbacks__{key}: callbacks has {old!r:.100} as {name!r}. "
                    f"Set callbacks__{name} to a callback first."
                )
            value = _shallow_copy(old)
            value.set_params(**{parameter: params[key]})
        items[i] = _renewed(items[i], value)
    return items


# -- what is refused before training --------------------------------------------------------------


def check_callbacks(callbacks: Any, *, keys: list[str], schedule: str) -> None:
    """Refuse callbacks that would end the training, or that it would take no notice of.

    Parameters
    ----------
    callbacks : list
        Instances.
    keys : list of str
        What the epoch's row has.
    schedule : str
        The learning rate's.
    """
    pairs = [(name, cb) for name, cb in named(callbacks) if cb is not None]
    for name, cb in pairs:
        if hasattr(cb, "on_fit_task_end"):
            raise TypeError(
                f"{name!r} is scikit-learn's. Set it by estimator.set_callbacks(callback)."
            )
        if not isinstance(cb, Callback):
            raise TypeError(
                f"callbacks has {name!r}, which is no skorch callback. Pass these, their classes, "
                "or tuples (name, callback)."
            )
        if complaint := _complaint(cb, keys, schedule):
            raise ValueError(f"{name} {complaint}")
    for name, cb in pairs:
        others_record = any(_may_record(other) for _, other in pairs if other is not cb)
        if complaint := _complaint_of_monitor(cb, keys, others_record=others_record):
            raise ValueError(f"{name} monitors {_monitored(cb)!r}{complaint}")


def _complaint(cb: Callback, keys: list[str], schedule: str) -> str | None:
    """Return what is wrong with a callback, by its kind."""
    match cb:
        case of_skorch.BatchScoring() | of_skorch.EpochScoring() if not callable(cb.scoring):
            return (
                f"has scoring={cb.scoring!r:.100}, but a VAE predicts nothing that a metric could "
                "take. Give a function: scoring(net, X, y) with net.module_."
            )
        case of_skorch.LRScheduler() if schedule != "constant":
            return f"and lr_schedule={schedule!r} set the rate. Set lr_schedule='constant'."
        case of_skorch.WandbLogger() if cb.save_model and BEST not in keys:
            return (
                "saves the model of the best valid_loss, but nothing is held out. Set "
                "validation_fraction=0.1, or WandbLogger(run, save_model=False)."
            )
        case of_skorch.MlflowLogger(run=None):
            import mlflow  # as the logger does

            if mlflow.active_run() is None:
                return (
                    "finds no run. Fit within `with mlflow.start_run():`, or pass "
                    "MlflowLogger(run=...)."
                )
    return None


def _complaint_of_monitor(cb: Callback, keys: list[str], *, others_record: bool) -> str | None:
    """Return why a callback would find nothing under the key of the history that it looks at."""
    monitored = _monitored(cb)
    if monitored is None or monitored in keys:
        return None
    known = history_keys(labels=True, views=True, validation=True)
    if monitored in known and "valid_" in monitored:
        return (
            ", but nothing is held out. Set validation_fraction=0.1; partial_fit never does: use "
            f"monitor={monitored.replace('valid', 'train')!r}."
        )
    ends = isinstance(cb, (of_skorch.Checkpoint, of_skorch.EarlyStopping)) and not others_record
    return f"; recorded are {', '.join(keys)}." if ends else None


def _monitored(callback: Any) -> str | None:
    """Return the key of the history that a callback looks at, where that can be told."""
    # Optuna's has an underscore.
    monitor = getattr(callback, "monitor", getattr(callback, "_monitor", None))
    return monitor if isinstance(monitor, str) else None


def _may_record(callback: Any) -> bool:
    """Whether a callback may add to the history: one of the user's own, or one that scores."""
    by_skorch = type(callback).__module__.startswith("skorch.")
    return not by_skorch or hasattr(callback, "name") or hasattr(callback, "event_name")


def check_callbacks_picklable(callbacks: Any, protocol: int = pickle.DEFAULT_PROTOCOL) -> None:
    """Name the callback that cannot be pickled, instead of the part of it that cannot."""
    remedy = (
        "Leave out in its __getstate__ what is live, give functions a name, or set callbacks=None."
    )
    parts = {f"The callback {name}": cb for name, cb in named(callbacks)}
    check_picklable(parts, remedy, protocol)

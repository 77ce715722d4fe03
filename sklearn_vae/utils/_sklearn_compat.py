"""What the package takes of scikit-learn that is private there, or not in all of its versions."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from numbers import Integral, Real
from typing import Any

from sklearn import config_context
from sklearn.base import _fit_context as fit_context
from sklearn.utils import _safe_indexing as safe_indexing
from sklearn.utils._param_validation import (
    HasMethods,
    Hidden,
    Interval,
    StrOptions,
    validate_params,
)
from sklearn.utils._set_output import _get_output_config as get_output_config
from sklearn.utils.validation import _check_feature_names as check_feature_names

try:
    from sklearn.callback import CallbackSupportMixin
except ImportError:  # scikit-learn before 1.9

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Nothing: there are no callbacks to support."""


NOT_NEGATIVE = Interval(Real, 0, None, closed="left")
AT_LEAST_1 = Interval(Integral, 1, None, closed="left")
"""Ranges of numbers that parameters have."""

as_arrays = config_context(array_api_dispatch=False, transform_output="default")
"""Decorator of functions that use scikit-learn's estimators on the package's own arrays: arrays in,
arrays out, whatever the user has set for the user's own estimators. Under ``array_api_dispatch``
some refuse what they otherwise do, NumPy's arrays or not."""


def check_params(estimator: Any) -> None:
    """Let an estimator, or part of one, check its own parameters as scikit-learn's ``fit`` does."""
    estimator._validate_params()


TORN_DOWN = ("_callback_fit_ctx", "_skl_callbacks_to_teardown")
"""What scikit-learn looks for on an estimator when its ``fit`` is over."""


class FitTasks:
    """A fit and its epochs or parts as the tasks that scikit-learn's callbacks follow, if any do.

    Parameters
    ----------
    seen : estimator
        Whose ``fit`` was called. The callbacks get it, and scikit-learn ends them, whatever ends
        the fit.
    unseen : estimator
        The copy that is fitted, and takes its place.
    X, y : object
        What ``fit`` got.
    n_tasks : int
        How many epochs there will be, at most; or estimators that are fitted inside.
    told : bool, default=True
        Whether callbacks are to hear of it: from one of several processes.

    Attributes
    ----------
    followed : bool
        Whether callbacks do.
    """

    def __init__(
        self, seen: Any, unseen: Any, X: Any, y: Any, n_tasks: int, *, told: bool = True
    ) -> None:
        self.followed = told and bool(getattr(unseen, "_skl_callbacks", None))
        self._task, self._unseen = {"estimator": seen, "X": X, "y": y}, unseen
        if self.followed:
            self._fit = seen._init_callback_context(max_subtasks=n_tasks)
            vars(unseen).update({name: vars(seen)[name] for name in TORN_DOWN})
            self._fit.call_on_fit_task_begin(**self._task)

    def begin_epoch(self) -> None:
        """Tell the callbacks that an epoch begins."""
        self._epoch = self._fit.subcontext(task_name="epoch")
        self._epoch.call_on_fit_task_begin(**self._task)

    def end_epoch(self, fitted: Callable[[], dict[str, Any]]) -> bool:
        """Tell the callbacks that it is over; return whether one asks for the end of training.

        ``fitted`` returns the attributes as they are now, where a callback asks for them.
        """
        asks = self._epoch.call_on_fit_task_end(**self._task, reconstruction_attributes=fitted)
        return bool(asks)

    @contextlib.contextmanager
    def part(self, name: str, estimator: Any) -> Iterator[None]:
        """Hand the callbacks on to an estimator that is fitted in the block."""
        if not self.followed:
            yield
            return
        task = self._fit.subcontext(task_name=f"fit-{name}")
        with task.propagate_callback_context(estimator):
            task.call_on_fit_task_begin(**self._task)
            yield
            task.call_on_fit_task_end(**self._task)

    def end(self) -> None:
        """Tell the callbacks that the estimator is fitted."""
        if self.followed:
            self._fit.call_on_fit_task_end(
                **self._task, reconstruction_attributes=lambda: vars(self._unseen)
            )

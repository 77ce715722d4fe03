"""What VAEAugmenter passes on to the classifier that it wraps."""

# A method here is its signature and docstring; @forwarded is its body.
# mypy: disable-error-code="empty-body"

from __future__ import annotations

import functools
from collections.abc import Callable
from inspect import signature
from typing import Any, TypeVar

import numpy as np
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from ..input._labels import check_length, known_rows, read_labels
from ..input._samples import spelling, to_array
from ..input._spec import check_same
from ..utils._memory import memory_explained
from ..utils._sklearn_compat import safe_indexing
from ._labelled import to_read

Function = TypeVar("Function", bound=Callable[..., Any])


def forwarded(stub: Function) -> Function:
    """Return a method that calls the wrapped classifier's of the same name, on rows as it reads.

    It is there where the classifier has one. With ``y`` among its parameters it leaves out rows
    that have no label.
    """
    name = stub.__name__

    def of_rows(self: Any, X: Any) -> Any:
        return getattr(_wrapped(self), name)(_read_rows(self, X))

    def of_labelled(self: Any, X: Any, y: Any) -> Any:
        return getattr(_wrapped(self), name)(*_read_labelled(self, X, y))

    def offered(self: Any) -> bool:
        wrapped = getattr(self, "estimator_", self.estimator)
        return self.estimator is not None and hasattr(wrapped, name)

    method = of_labelled if "y" in signature(stub).parameters else of_rows
    return available_if(offered)(functools.wraps(stub)(method))


def _wrapped(self: Any) -> Any:
    check_is_fitted(self, "estimator_")
    return self.estimator_


def _read_rows(self: Any, X: Any) -> Any:
    """Return what the wrapped classifier is to read; refuse images of another form."""
    with memory_explained(to_read):
        array = to_array(X)
    converted = isinstance(array, np.ndarray) and array is not X
    if converted and self.spec_.is_image and array.ndim > 1 and len(array):
        bounded = self.vae_ is not None
        check_same(array, self.spec_, bounded=bounded, spelling=spelling(X, array))
    return array


def _read_labelled(self: Any, X: Any, y: Any) -> tuple[Any, np.ndarray]:
    """Return rows that have a label, and their labels."""
    rows, labels = _read_rows(self, X), read_labels(y, one_hot=False)
    known = known_rows(labels)
    if not known.all():
        check_length(labels, len(rows))
        rows, labels = safe_indexing(rows, np.flatnonzero(known)), labels[known]
    return rows, labels


class ForwardsMixin:
    """Methods of the wrapped classifier, ``estimator_``, where it has them."""

    @forwarded
    def predict(self, X: Any) -> np.ndarray:
        """Return the classes that the fitted ``estimator`` predicts.

        Parameters
        ----------
        X : array-like, data frame or torch.Tensor
            Images or rows in the form that :meth:`fit` saw.

        Returns
        -------
        y : ndarray of shape (n,)
            Labels out of ``classes_``.
        """

    @forwarded
    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the class probabilities of the fitted ``estimator``.

        Parameters
        ----------
        X : array-like, data frame or torch.Tensor
            Images or rows in the form that :meth:`fit` saw.

        Returns
        -------
        probabilities : ndarray of shape (n, n_classes)
            In the order of ``classes_``.
        """

    @forwarded
    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Return the logarithms of the class probabilities of the fitted ``estimator``.

        Parameters
        ----------
        X : array-like, data frame or torch.Tensor
            Images or rows in the form that :meth:`fit` saw.

        Returns
        -------
        log_probabilities : ndarray of shape (n, n_classes)
            In the order of ``classes_``.
        """

    @forwarded
    def decision_function(self, X: Any) -> np.ndarray:
        """Return the decision function of the fitted ``estimator``.

        Parameters
        ----------
        X : array-like, data frame or torch.Tensor
            Images or rows in the form that :meth:`fit` saw.

        Returns
        -------
        decision : ndarray
            As ``estimator`` has it: (n,) for two classes, one column per class or pair for more.
        """

    @forwarded
    def score(self, X: Any, y: Any) -> float:
        """Return the score of the fitted ``estimator``: the accuracy, for classifiers.

        Parameters
        ----------
        X : array-like, data frame or torch.Tensor
            Images or rows in the form that :meth:`fit` saw.
        y : array-like of shape (n,)
            True classes; rows of -1, unlabelled, are left out.

        Returns
        -------
        score : float
            Larger is better.

        Raises
        ------
        ValueError
            For a y that :meth:`fit` refuses.
        """

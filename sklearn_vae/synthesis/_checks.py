"""What a fit of VAEAugmenter refuses before any training."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.utils import get_tags

from ..input._spec import InputSpec
from ..utils._sklearn_compat import check_params
from ._gate import QualityGate
from ._labelled import Labelled
from ._methods import Method


def check_method(
    method: Method, data: Labelled, spec: InputSpec, *, given: Any, frozen: bool
) -> None:
    """Refuse what a method cannot do: with a frozen VAE, with rows, with classes of few rows.

    ``given`` is what the user gave as the method.
    """
    check_params(method)
    if frozen and method.model not in ("vae", None):
        raise ValueError(
            f"method={given!r} trains a VAE of another kind, so a frozen one is of no use. "
            "Pass a template, vae=VAETransformer(...), or another method."
        )
    if method.model == "deformation":
        spec.check_image(f"method={given!r} deforms images", " of vae, else another method")
    unlabelled = len(data.X) - len(data.known) if method.unlabelled else 0
    small = data.counts + unlabelled < method.min_rows
    if small.any() and method.model is not None:
        label = data.classes[small].tolist()[0]
        raise ValueError(
            f"Class {label!r} has {data.counts[small][0]} row, but {method!r} needs "
            f"{method.min_rows}. Use method='auto' or 'posterior', which work with one."
        )


def is_sampler(augmenter: Any) -> bool:
    """Return True where it wraps no classifier; else raise what says so (False to hasattr)."""
    wrapped = augmenter.estimator
    if wrapped is None:
        return True
    remedy = "" if hasattr(wrapped, "predict") else " A VAE goes in by name: vae=VAETransformer()."
    raise AttributeError(f"fit_resample needs estimator=None, not {wrapped!r}.{remedy}")


def check_gate(gate: QualityGate | None, data: Labelled) -> None:
    """Refuse a gate whose classifier cannot tell classes, or takes no such rows."""
    if gate is None:
        return
    check_params(gate)
    check_classifier(gate.classifier, data)
    if gate.classifier is None and len(data.classes) < 2:
        raise ValueError(
            f"gate={gate!r} asks a classifier, but y has one class, {data.classes.tolist()[0]!r}. "
            "Use gate=False."
        )


def check_classifier(estimator: Any, data: Labelled) -> None:
    """Refuse parameters out of range, and images where rows are taken; None takes all."""
    steps = [estimator]
    while hasattr(steps[0], "steps"):
        steps = [step for _, step in steps[0].steps] + steps[1:]
    for step in steps:
        if hasattr(step, "_parameter_constraints"):  # scikit-learn's own check of parameters
            check_params(step)
    if data.X.ndim > 2 and not _takes_images(steps[0]):
        raise ValueError(
            f"{steps[0]!r} takes rows, but X has shape {data.X.shape}. Put a VAETransformer before "
            "it, or flatten: X.reshape(len(X), -1), with image_shape set in vae."
        )


def check_wrapped(estimator: Any, data: Labelled) -> None:
    """Refuse what the classifier to be wrapped would: parameters, images, one class alone."""
    check_classifier(estimator, data)
    if estimator is not None and len(data.classes) == 1:
        _check_takes_one(estimator, data.classes)


def _check_takes_one(estimator: Any, classes: np.ndarray) -> None:
    while hasattr(estimator, "steps"):
        estimator = estimator.steps[-1][1]
    rows = np.arange(32.0)[:, None]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            clone(estimator).fit(rows, np.repeat(classes, len(rows)))
    except ValueError as error:
        if "class" in str(error):  # as scikit-learn asks of classifiers
            raise ValueError(
                f"y has one class only, {classes.tolist()[0]!r}, which {estimator!r:.200} refuses: "
                f"{str(error)[:200]}"
            ) from error
    except Exception:  # its own affair, with rows of its own
        return


def _takes_images(estimator: Any) -> bool:
    """Return whether an estimator may do with images, going by scikit-learn's tags."""
    if not type(estimator).__module__.startswith("sklearn."):
        return True  # its own affair
    if hasattr(estimator, "steps"):
        return _takes_images(estimator.steps[0][1])
    params = estimator.get_params().items()
    inner = [value for name, value in params if "__" not in name and hasattr(value, "fit")]
    if inner:  # a search or an ensemble: up to what is inside
        return any(map(_takes_images, inner))
    tags = get_tags(estimator)
    return bool(tags.input_tags.three_d_array or tags.no_validation)

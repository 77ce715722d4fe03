"""The VAE inside another estimator: a template to train a copy of, or frozen as it is."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from sklearn.base import MetaEstimatorMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils import Tags, check_random_state, get_tags
from sklearn.utils.validation import check_is_fitted

from ._transformer import VAETransformer
from .input._rows import Rows, check_enough, rows_of
from .input._spec import DARK_WARNING
from .nn import MLP, LinearBase
from .training._amount import resolve_batch_size, resolve_epochs
from .utils._doc_link import DocLinkMixin
from .utils._recipes import NestedParamsMixin
from .utils._sklearn_compat import CallbackSupportMixin, FitTasks, check_params

N_VAES = 2
"""Two VAEs, of half the rows each, train as long as one of all rows."""
LEAST_ROWS = 4
"""Two for each of two VAEs."""

OF_WINDOWS: dict[str, Any] = {
    "z_dim": 10,
    "network": LinearBase(MLP((64,))),
    "likelihood": "gaussian",
}
"""A detector's VAE of small windows, unless one is given. It has few dimensions, to rebuild only
what it often sees, and a linear base, as small networks spend themselves on how bright windows
are."""


class HasVAE(NestedParamsMixin, MetaEstimatorMixin, DocLinkMixin, CallbackSupportMixin):
    """What estimators with a parameter ``vae`` share: what it may be, how it nests, their tags."""

    _kinds: ClassVar[dict[str, Any]] = {"vae": {"": VAETransformer}}

    def __sklearn_tags__(self) -> Tags:
        """Return scikit-learn's tags: takes what the VAE takes."""
        tags: Tags = super().__sklearn_tags__()
        tags.input_tags = get_tags(VAETransformer()).input_tags
        return tags


VAE_KINDS: list[Any] = [VAETransformer, FrozenEstimator, None]
"""What ``vae`` may be."""


def template_of(vae: VAETransformer | None, *, windows: bool = False) -> VAETransformer:
    """Return the VAE that a detector trains copies of."""
    if vae is None:
        return VAETransformer(augment=None, **(OF_WINDOWS if windows else {}))
    if vae.label_weight > 0:
        raise ValueError(
            f"vae has label_weight={vae.label_weight}, but a detector learns from no "
            "labels. Set it to 0, or pass FrozenEstimator(vae) of a VAE fitted on them."
        )
    return vae


def unfrozen(frozen: FrozenEstimator) -> VAETransformer:
    """Return the fitted VAE inside; TypeError where it is another estimator."""
    check_is_fitted(frozen.estimator)
    if not isinstance(frozen.estimator, VAETransformer):
        raise TypeError(f"vae={frozen!r} holds no VAETransformer. Fit one, and freeze it.")
    return frozen.estimator


def seeded_clone(estimator: Any, rng: np.random.RandomState) -> Any:
    """Return a clone whose random states, where they are None, are drawn from ``rng``."""
    estimator = clone(estimator)
    params = estimator.get_params(deep=True)
    states = [name for name in sorted(params) if name.split("__")[-1] == "random_state"]
    seeds = {name: int(rng.randint(2**31 - 1)) for name in states}
    estimator.set_params(**{k: v for k, v in seeds.items() if params[k] is None})
    return estimator  # set_params of a FrozenEstimator returns None


def samples_of(vae: VAETransformer, X: Any) -> Rows:
    """Return the checked samples of an X after fit; tensors on the VAE's GPU stay there."""
    return vae.codec_.read(X, names_of=vae, in_place=True)


def frozen_rows(frozen: FrozenEstimator, X: Any) -> Rows:
    """Return X as the frozen VAE sees it, at least four samples."""
    data = samples_of(unfrozen(frozen), X)
    check_enough(len(data), LEAST_ROWS)
    return data


def train_on_halves(
    template: VAETransformer,
    X: Any,
    tasks: FitTasks,
    rng: np.random.RandomState,
    draw_folds: Callable[[int, np.random.RandomState], np.ndarray],
    overlap: float = 1.0,
) -> tuple[list[VAETransformer], Rows, np.ndarray]:
    """Return VAEs trained without every other fold of X each, X as they see it, and the folds.

    ``overlap`` is how many samples show a pixel.
    """
    reader = clone(template)
    check_params(reader)
    vaes = [seeded_clone(template, rng) for _ in range(N_VAES)]
    data, spec, recipe = reader.read_training(X, at_least=LEAST_ROWS)
    folds = draw_folds(len(data), check_random_state(vaes[0].random_state))
    n = resolve_batch_size(reader.batch_size, len(data), spec.shape)
    as_one = {  # as many steps as one VAE of all rows takes, with half the rows in each
        "max_epochs": resolve_epochs(
            reader.max_epochs,
            len(data),
            spec.shape,
            based=recipe.network.has_base,
            overlap=overlap,
        ),
        "batch_size": max(-(-n // N_VAES), min(n, 2)),
    }
    for k, vae in enumerate(vaes):
        with warnings.catch_warnings(), tasks.part("vae", vae):
            warnings.filterwarnings("ignore", message=DARK_WARNING)  # the reader has warned
            vae.set_params(**as_one).fit(rows_of(data, folds % N_VAES != k))
        if hasattr(reader, "feature_names_in_"):
            vae.feature_names_in_ = reader.feature_names_in_
    return vaes, data, folds

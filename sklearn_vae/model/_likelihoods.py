"""Likelihoods p(x|z): from a decoder's output to a torch distribution over x.

A likelihood is a torch module called with the decoder's output, ``(n, n_params * c, h, w)`` or
``(n, n_params * d)``. It returns a ``torch.distributions.Distribution`` whose samples have the
shape of x. ``bounded`` tells that x lies in [0, 1], where means pass through a sigmoid.
"""

from __future__ import annotations

import copy
from dataclasses import FrozenInstanceError
from math import inf, log, pi
from typing import Any, Literal

import torch
import torch.distributions as td
import torch.nn.functional as F
from torch import Tensor, nn

from ..utils._recipes import Recipe, param_names

MIN_LOG_SCALE = -6.0
"""Floor of learnt log standard deviations: a constant image must not make the density infinite."""
MARGIN = 0.01
"""How far from 0 and 1 a mean of [0, 1] values stays whose logit is taken."""


class Likelihood(Recipe, nn.Module):
    """Base of all likelihoods.

    A subclass defines :meth:`forward` and, where they differ, ``n_params`` and ``needs_bounded``.
    The constructor keeps its arguments under their names: they make up its ``repr``, by which
    likelihoods compare, and searches reach them, as in ``likelihood__scale``.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> from sklearn_vae import VAETransformer
    >>> from sklearn_vae.model import Likelihood
    >>> class Laplace(Likelihood):
    ...     needs_bounded = True
    ...     def forward(self, params):
    ...         return torch.distributions.Laplace(params.sigmoid(), 0.1)
    >>> X = np.random.default_rng(0).random((20, 8, 8))
    >>> vae = VAETransformer(2, network="mlp", likelihood=Laplace(), max_epochs=1, device="cpu")
    >>> vae.fit(X).score_samples(X).shape
    (20,)
    """

    n_params: int = 1
    """Decoder outputs per value of x."""
    needs_bounded: bool = False
    """Whether x must lie in [0, 1]."""
    bounded: bool = True

    def for_data(self, *, bounded: bool) -> Likelihood:
        """Return a fresh copy for one model.

        Parameters
        ----------
        bounded : bool
            Whether x lies in [0, 1]; else it has any range.

        Returns
        -------
        likelihood : Likelihood
            With the tensors that it learns, if any.
        """
        new = copy.deepcopy(self).cpu()
        new.bounded = bounded
        return new

    def forward(self, params: Tensor) -> td.Distribution:
        """Return the distribution of x that a decoder's output stands for.

        Parameters
        ----------
        params : Tensor of shape (n, n_params * c, h, w) or (n, n_params * d)
            The decoder's output, float32, without a final non-linearity.

        Returns
        -------
        p : torch.distributions.Distribution
            Of independent values: ``mean`` and ``log_prob(x)`` have the shape of x.
        """
        raise TypeError(f"{type(self).__name__} must define forward(params) -> Distribution.")

    def link(self, mean: Tensor) -> Tensor:
        """Return the decoder's output, without a non-linearity, that stands for a mean of x."""
        return mean.clamp(MARGIN, 1 - MARGIN).logit() if self.bounded else mean

    def start_at(self, variance: float) -> float:
        """Start from the variance that a model leaves of each value of x at first.

        Returns
        -------
        variance : float
            What the likelihood then has for noise: what it is given, where it cannot tell.
        """
        return variance

    def __setattr__(self, name: str, value: Any) -> None:
        """Refuse to change a setting: estimators and caches rely on it."""
        if name in self.__dict__ and name in param_names(type(self)):
            raise FrozenInstanceError(f"cannot assign to field {name!r}")
        super().__setattr__(name, value)

    def __sklearn_clone__(self) -> Likelihood:
        """Return a copy: what else a torch module holds can be changed."""
        return copy.deepcopy(self)

    def __repr__(self) -> str:
        settings = (f"{name}={value!r}" for name, value in self.get_params(deep=False).items())
        return f"{type(self).__name__}({', '.join(settings)})"

    def __eq__(self, other: object) -> bool:
        """Compare by kind and settings, as scikit-learn's clone and search expect."""
        return type(self) is type(other) and repr(self) == repr(other)

    def __hash__(self) -> int:
        """Return the hash of the kind: torch asks for it dozens of times in a fit."""
        return hash(type(self))


class Bernoulli(Likelihood):
    """Independent Bernoulli values [1]_: exact for binary images.

    Grey values in (0, 1) enter as probabilities, ``x log p + (1 - x) log(1 - p)``. That is the
    customary cross-entropy, a bound for randomly binarised pixels rather than a density of grey
    values.

    References
    ----------
    .. [1] Kingma, Welling, "Auto-Encoding Variational Bayes", ICLR 2014, appendix C.1,
       https://arxiv.org/abs/1312.6114
    """

    needs_bounded = True

    def forward(self, params: Tensor) -> td.Distribution:
        """Return Bernoulli(sigmoid(params))."""
        return _Bernoulli(logits=params, validate_args=False)


class Gaussian(Likelihood):
    """Independent normal values around the decoder's mean.

    Parameters
    ----------
    scale : float or "learned", default="learned"
        Standard deviation, above 0, in units of the [0, 1] image or of the standardised vector.
        ``"learned"`` fits one value for all of x along with the weights [1]_ (at least
        ``exp(-6)``), which balances the two terms of the ELBO without a ``beta``.

    Raises
    ------
    ValueError
        For a ``scale`` of 0 or less, and for other strings.

    References
    ----------
    .. [1] Rybkin, Daniilidis, Levine, "Simple and Effective VAE Training with Calibrated
       Decoders", ICML 2021.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_vae import VAETransformer
    >>> from sklearn_vae.model import Gaussian
    >>> X = np.random.default_rng(0).random((20, 8, 8))
    >>> vae = VAETransformer(2, network="mlp", likelihood=Gaussian(scale=0.1), max_epochs=1,
    ...                      device="cpu").fit(X)
    >>> vae.likelihood_
    Gaussian(scale=0.1)
    """

    log_scale: nn.Parameter | None

    def __init__(self, scale: float | str = "learned") -> None:
        super().__init__()
        if scale != "learned" and (isinstance(scale, str) or not 0 < scale < inf):
            raise ValueError(f"Gaussian(scale={scale!r}): give a number > 0 or 'learned'.")
        self.scale = scale
        # Made in for_data: as a scikit-learn parameter, a likelihood holds no tensors, whose
        # pickles differ from call to call, so that joblib's caches know equal estimators.
        self.register_parameter("log_scale", None)

    def for_data(self, *, bounded: bool) -> Likelihood:
        """Return a fresh copy; images start from a learnt scale of 0.2, vectors from 1."""
        new = super().for_data(bounded=bounded)
        if self.scale == "learned":
            new.log_scale = nn.Parameter(torch.tensor(log(0.2) if bounded else 0.0))
        return new

    @torch.no_grad()
    def start_at(self, variance: float) -> float:
        """Start a learnt scale at the variance; return that of the noise."""
        if self.log_scale is not None:
            self.log_scale.fill_(max(0.5 * log(variance), MIN_LOG_SCALE))
        return variance if isinstance(self.scale, str) else float(self.scale) ** 2

    def forward(self, params: Tensor) -> td.Distribution:
        """Return Normal(mean, scale)."""
        scale: float | Tensor
        if self.log_scale is not None:
            scale = self.log_scale.clamp(min=MIN_LOG_SCALE).exp()
        else:
            scale = 1.0 if isinstance(self.scale, str) else float(self.scale)
        loc = torch.sigmoid(params) if self.bounded else params
        return _Normal(loc, scale, validate_args=False)


class BCEMSE(Likelihood):
    """Binary cross-entropy + 0.5 x squared error, each summed over the image.

    The product of a Bernoulli and a unit-variance Gaussian around one mean, up to its constant.
    It is not normalised, so its "log-likelihood" compares models of this kind only. A training
    loss, put in the form of a likelihood; it goes with :class:`~sklearn_vae.nn.ConvBN`.
    """

    needs_bounded = True

    def forward(self, params: Tensor) -> td.Distribution:
        """Return the product distribution around sigmoid(params)."""
        return _BernoulliTimesNormal(logits=params, validate_args=False)


class DiscretizedLogistic(Likelihood):
    """Logistic density integrated over each of 256 grey levels: a true probability of 8-bit pixels.

    The decoder gives a mean and a log-scale for every value. Log-likelihoods are of discrete
    pixels, so that ``-log p / (d log 2)`` is the bits per dimension of the literature.

    References
    ----------
    .. [1] Kingma et al., "Improved Variational Inference with Inverse Autoregressive Flow",
       NeurIPS 2016; Salimans et al., "PixelCNN++", ICLR 2017.
    """

    n_params = 2
    needs_bounded = True

    def forward(self, params: Tensor) -> td.Distribution:
        """Return the discretised logistic with the two halves of ``params``."""
        loc, log_scale = params.chunk(2, dim=1)
        # Decoders start near 0: a log-scale of about -2 is a sensible spread for [0, 1] pixels.
        return _DiscretizedLogistic(torch.sigmoid(loc), (log_scale - 2.0).clamp(min=-7.0))


LikelihoodName = Literal["bernoulli", "gaussian", "bce+mse", "discretized-logistic"]
LIKELIHOODS: dict[str, type[Likelihood]] = {
    "bernoulli": Bernoulli,
    "gaussian": Gaussian,
    "bce+mse": BCEMSE,
    "discretized-logistic": DiscretizedLogistic,
}
"""Likelihoods by the name that ``VAETransformer(likelihood=...)`` takes."""


def joint_log_prob(p: td.Distribution, x: Tensor) -> Tensor:
    """Return the log-probability of n samples (n, ...) of independent values, shape (n,)."""
    if hasattr(p, "joint_log_prob"):  # its own, faster way
        return p.joint_log_prob(x)
    return _per_sample(p.log_prob(x))


def _per_sample(values: Tensor) -> Tensor:
    """Return the sum over all dimensions but the first, whatever the layout in memory."""
    rest = tuple(range(1, values.dim()))
    return values.sum(rest) if rest else values  # which td.Independent has summed already


class _Bernoulli(td.Bernoulli):
    def joint_log_prob(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu" or torch.compiler.is_compiling():
            return _per_sample(self.log_prob(x))
        return _BernoulliJoint.apply(self.logits, x)


class _BernoulliJoint(torch.autograd.Function):
    """Sums of ``x * logits - softplus(logits)`` in half the time of torch's cross-entropy on CPUs.

    There log1p, which torch's form goes through, takes five times as long as log, and autograd
    would keep every step in between. Of the small term ``log1p(exp(-|logits|))`` an absolute
    rounding error of 6e-8 remains, which is what the sum over an image loses anyway.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, x: Tensor) -> Tensor:
        ctx.save_for_backward(logits, x)
        small = logits.abs().sigmoid_().log_()
        return _per_sample(small.addcmul_(logits, x).sub_(logits.relu()))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor | None]:
        logits, x = ctx.saved_tensors
        grad = grad.view(-1, *[1] * (x.dim() - 1))
        of_x = grad * logits if ctx.needs_input_grad[1] else None
        return (x - logits.sigmoid()).mul_(grad), of_x


class _Normal(td.Normal):
    def __init__(self, loc: Tensor, scale: float | Tensor, validate_args: bool | None = None):
        super().__init__(loc, scale, validate_args=validate_args)
        self.common_scale = torch.as_tensor(scale, dtype=loc.dtype, device=loc.device)

    def joint_log_prob(self, x: Tensor) -> Tensor:
        """Return what log_prob sums to, by one pass over the image each way instead of ten."""
        if self.common_scale.numel() > 1 or self.loc.shape != x.shape:
            return _per_sample(self.log_prob(x))
        squares = _per_sample(F.mse_loss(self.loc, x, reduction="none"))
        precision = self.common_scale.square().reciprocal()
        log_norm = 0.5 * x[0].numel() * (precision.log() - log(2 * pi))
        return log_norm - 0.5 * precision * squares


class _BernoulliTimesNormal(_Bernoulli):
    def log_prob(self, value: Tensor) -> Tensor:
        return super().log_prob(value) - 0.5 * (value - self.mean).square()

    def joint_log_prob(self, x: Tensor) -> Tensor:
        return super().joint_log_prob(x) - 0.5 * _per_sample((x - self.mean).square())


class _DiscretizedLogistic(td.Distribution):
    arg_constraints: dict[str, Any] = {}  # noqa: RUF012 (torch's own convention)

    def __init__(self, loc: Tensor, log_scale: Tensor) -> None:
        self.loc = loc
        self.log_scale = log_scale
        super().__init__(batch_shape=loc.shape, validate_args=False)

    @property
    def mean(self) -> Tensor:
        return self.loc

    def sample(self, sample_shape: Any = ()) -> Tensor:
        shape = torch.Size(sample_shape) + self.loc.shape
        u = torch.rand(shape, device=self.loc.device).clamp(1e-6, 1 - 1e-6)
        x = self.loc + self.log_scale.exp() * (u.log() - torch.log1p(-u))
        return (x.clamp(0, 1) * 255).round() / 255

    def log_prob(self, value: Tensor) -> Tensor:
        """Log of the mass of the bin [value - 1/510, value + 1/510]; the end bins reach out."""
        half = 1 / 510
        inv_scale = torch.exp(-self.log_scale)
        centred = value - self.loc
        upper = (centred + half) * inv_scale
        lower = (centred - half) * inv_scale
        # log(sigmoid(a) - sigmoid(b)) = logsigmoid(a) + logsigmoid(-b) + log(1 - exp(b - a))
        inside = F.logsigmoid(upper) + F.logsigmoid(-lower) + torch.log(-torch.expm1(lower - upper))
        log_p = torch.where(value < half, F.logsigmoid(upper), inside)
        return torch.where(value > 1 - half, F.logsigmoid(-lower), log_p)

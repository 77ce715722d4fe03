"""The variational autoencoder itself."""

from __future__ import annotations

from collections.abc import Iterable
from math import log

import numpy as np
import torch
import torch.distributions as td
import torch.nn.functional as F
from torch import Tensor, nn

from ..nn._linear_base import PCABase
from ..nn._mps import adaptive_avg_pool2d
from ..nn._network import Network, stage_activations
from ..nn._scaling import Scaling
from ._dry_run import narrowest_map, runnable, zeros
from ._elbo import ELBOTerms
from ._likelihoods import Likelihood, joint_log_prob
from ._posteriors import DiagonalNormal, Posterior, PosteriorFamily, as_posterior
from ._priors import Examples, Prior, StandardNormal

POOLED = 4
"""Side of the grid that hidden feature maps are averaged to."""
RESPONSE_ROWS, MIN_RESPONSE = 500, 1e-3
"""Rows that the scale of codes is taken from, at most; the smallest scale, by which to divide."""


class VAE(nn.Module):
    """A variational autoencoder [1]_.

    Parameters
    ----------
    scaling : Scaling
        Raw batches to network input and back.
    network : Network
        Builds the encoder and the decoder.
    z_dim : int
        Dimensions of the latent space, 1 or more.
    likelihood : Likelihood
        Decoder output to the distribution of x, from :meth:`Likelihood.for_data`.
    n_classes : int, default=0
        Above 0 the decoder sees the class, too: p(x|z, y) [2]_. The encoder need not: x tells.
    prior : Prior, default=StandardNormal()
        p(z).
    n_labels : int, default=0
        Above 0 there is a class head, a linear layer on the posterior mean.
    posterior : PosteriorFamily, default=DiagonalNormal()
        The family of q(z|x).
    examples : callable, default=None
        Returns as many training samples as asked for, scaled, for a prior that starts from them;
        None for zeros.

    Raises
    ------
    ValueError
        When the decoder returns another shape than the likelihood needs.

    References
    ----------
    .. [1] Kingma, Welling, "Auto-Encoding Variational Bayes", ICLR 2014.
    .. [2] Sohn, Lee, Yan, "Learning Structured Output Representation using Deep Conditional
       Generative Models", NeurIPS 2015.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> from sklearn_vae import VAETransformer
    >>> X = np.random.default_rng(0).random((20, 8, 8))
    >>> model = VAETransformer(2, network="mlp", max_epochs=1, device="cpu").fit(X).module_
    >>> q = model.posterior(model.scaling(torch.from_numpy(X)))
    >>> q.loc.shape, model.conditional(q.loc).mean.shape
    (torch.Size([20, 2]), torch.Size([20, 1, 8, 8]))
    """

    feature_loc: Tensor
    feature_scale: Tensor
    latent_scale: Tensor
    activity: Tensor

    def __init__(
        self,
        scaling: Scaling,
        network: Network,
        z_dim: int,
        likelihood: Likelihood,
        n_classes: int = 0,
        prior: Prior = StandardNormal(),  # noqa: B008 (frozen)
        n_labels: int = 0,
        posterior: PosteriorFamily = DiagonalNormal(),  # noqa: B008 (frozen)
        examples: Examples | None = None,
    ) -> None:
        super().__init__()
        shape = scaling.shape
        examples = examples or (lambda k: torch.zeros(k, *shape))
        try:
            p_z = prior.build(z_dim, examples, bounded=likelihood.bounded)
        except RuntimeError as error:  # torch's word for shapes that do not fit
            raise ValueError(f"prior={prior!r:.100} cannot be built: {error}") from error
        self.z_dim = z_dim
        self.n_classes = n_classes
        self.scaling = scaling
        self.encoder = network.encoder(shape)
        decoded = (likelihood.n_params * shape[0], *shape[1:])
        self.decoder = network.decoder(z_dim + n_classes, decoded)
        self.likelihood = likelihood
        self.prior_recipe, self.prior = prior, p_z
        self.base: PCABase | None = None
        if network.has_base:
            self.base = PCABase(shape, z_dim, z_dim + n_classes)
        n_activations, self._n_pooled = self._check_sizes(shape)
        n_features = sum(self._n_pooled)
        self.posterior_recipe = posterior
        n_activations += 0 if self.base is None else z_dim
        self.posterior_head = posterior.build(n_activations, z_dim)
        self.class_head: nn.Linear | None = None
        self.register_buffer("feature_loc", torch.zeros(n_features))
        self.register_buffer("feature_scale", torch.ones(n_features))
        self.register_buffer("latent_scale", torch.ones(z_dim))
        self.register_buffer("activity", torch.ones(z_dim))
        if n_labels:
            self.add_class_head(n_labels)

    def add_class_head(self, n_labels: int) -> None:
        """Put a linear layer from the posterior mean to ``n_labels`` classes on the model."""
        self.class_head = nn.Linear(self.z_dim, n_labels, device=self.feature_loc.device)

    def posterior(self, x: Tensor) -> Posterior:
        """Return q(z|x) of n samples, which has ``loc`` and ``scale``, both (n, z_dim).

        Independent normals; with ``IAF`` these behind the flow, ``loc`` being where it takes their
        mean and ``scale`` their standard deviations by the flow's own scales there. ``x`` is
        scaled, as ``scaling`` returns it: (n, c, h, w) in [0, 1], or (n, d).
        """
        activations = self.encoder(x).flatten(1)
        if self.base is not None:
            activations = torch.cat([activations, self.base(x)], 1)
        return as_posterior(self.posterior_head(activations), self.posterior_recipe)

    def conditional(self, z: Tensor, y: Tensor | None = None) -> td.Distribution:
        """Return p(x|z) over scaled x, for z of shape (n, z_dim); p(x|z, y) with ``n_classes``.

        ``y`` has shape (n,) and holds class numbers; -1 is an unknown class.
        """
        if y is not None and self.n_classes:
            # F.one_hot would refuse -1, an unknown class, which has zeros here.
            one_hot = y[:, None] == torch.arange(self.n_classes, device=y.device)
            z = torch.cat([z, one_hot.to(z.dtype)], 1)
        params = self.decoder(z).float()
        if self.base is not None:
            means, c = self.base.decode(z, self.likelihood.link), self.scaling.shape[0]
            rest = params[:, c:]  # of a likelihood with more parameters than the mean
            params = params[:, :c] + means
            params = torch.cat([params, rest], 1) if rest.shape[1] else params
        return self.likelihood(params)

    def rebuilt(self, x: Tensor) -> Tensor:
        """Return the mean of p(x|z) at the posterior mean of scaled x, in the shape of x."""
        return self.conditional(self.posterior(x).loc).mean

    def forward(
        self,
        x: Tensor,
        target: Tensor,
        y: Tensor | None = None,
        n_draws: int = 1,
        noise: Tensor | None = None,
    ) -> ELBOTerms:
        """Return the terms of the ELBO of ``target`` with the posterior inferred from ``x``.

        The two are the same but under augmentation, where the encoder sees a changed image. Any
        posterior gives a valid bound on log p(target), so that one does, too. With more than one
        posterior draw per sample the terms are those of the importance-weighted bound. They are the
        likelihood averaged with the weights, and what remains to the bound in place of the KL. Rows
        of ``x`` beyond those of ``target`` only have means, and what the class head makes of these.

        Parameters
        ----------
        x : Tensor of shape (m, c, h, w) or (m, d), m >= n
            What the encoder sees, scaled.
        target : Tensor of shape (n, c, h, w) or (n, d)
            What the decoder is to rebuild, scaled.
        y : Tensor of shape (n,), default=None
            Class numbers for a decoder that sees them; -1 where unknown.
        n_draws : int, default=1
            Draws from the posterior, 1 or more.
        noise : Tensor of shape (n_draws, n, z_dim), default=None
            Standard normal values to draw by; None takes them from torch's generator.

        Returns
        -------
        terms : ELBOTerms
            In nats per sample.
        """
        q = self.posterior(x)
        logits = None if self.class_head is None else self.class_head(q.loc).float()
        means = None
        if len(x) > len(target):
            means, q = q.loc, q.first(len(target))
        kl = q.kl_divergence(self.prior_recipe, self.p_z) if n_draws == 1 else None
        shape = n_draws, len(target), self.z_dim
        if noise is None:
            noise = torch.randn(shape, dtype=torch.float32, device=x.device)
        if kl is not None:
            return ELBOTerms(self.log_likelihood(target, q.codes(noise[0]), y), kl, logits, means)
        z, log_q = q.draw(noise)
        many = self.log_likelihood(  # in one batch: large products use the hardware better
            target.repeat(n_draws, *[1] * (target.dim() - 1)),
            z.flatten(0, 1),
            None if y is None else y.repeat(n_draws),
        )
        log_px = many.view(n_draws, -1)
        log_w = log_px + self.p_z().log_prob(z) - log_q
        log_likelihood = (log_w.softmax(0) * log_px).sum(0)
        bound = log_w.logsumexp(0) - log(n_draws)
        return ELBOTerms(log_likelihood, (log_likelihood - bound)[:, None], logits, means)

    def class_logits(self, x: Tensor) -> Tensor:
        """Return what the class head, which there must be, makes of scaled x: (n, n_labels)."""
        assert self.class_head is not None
        return self.class_head(self.posterior(x).loc).float()

    def log_likelihood(self, x: Tensor, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Return log p(x|z) per sample in nats, shape (n,), for scaled x and z of (n, z_dim)."""
        log_px = joint_log_prob(self.conditional(z, y), x)
        return log_px + self.scaling.log_abs_det() if self.scaling.standardised else log_px

    def p_z(self) -> td.Distribution:
        """Return the prior p(z), a distribution of codes (z_dim,)."""
        return self.prior(self._posterior_in_evaluation)

    def draw(self, n: int, rng: np.random.RandomState) -> np.ndarray:
        """Return n codes from p(z), shape (n, z_dim), float32, seeded by NumPy's generator."""
        generator = torch.Generator("cpu").manual_seed(rng.randint(2**31 - 1))
        with torch.inference_mode():  # rng itself would take far longer
            z = self.prior_recipe.draw(self.p_z(), n, generator)
            return z.float().cpu().numpy()

    def _posterior_in_evaluation(self, x: Tensor) -> Posterior:
        """Return q(z|x) as after training: a prior's inputs stay out of BatchNorm's statistics."""
        training = [module for module in self.encoder.modules() if module.training]
        for module in training:
            module.training = False
        try:
            return self.posterior(x)
        finally:
            for module in training:
                module.training = True

    def elbo(self, x: Tensor, noise: Iterable[Tensor]) -> Tensor:
        """Return the ELBO per sample in nats, the mean over k posterior draws.

        Parameters
        ----------
        x : Tensor of shape (n, ...)
            Scaled images or vectors.
        noise : iterable of k tensors of shape (n, z_dim)
            Standard normal draws.

        Returns
        -------
        elbo : Tensor of shape (n,)
            Of standardised vectors in the units of the raw ones.
        """
        q = self.posterior(x)
        kl = q.kl_divergence(self.prior_recipe, self.p_z)
        if kl is None:
            return self._log_weights(x, q, self.p_z(), noise).mean(1)
        log_px = [self.log_likelihood(x, q.draw(e)[0]) for e in noise]
        return torch.stack(log_px, 1).mean(1) - kl.sum(1)

    def importance_weighted(self, x: Tensor, noise: Iterable[Tensor]) -> Tensor:
        """Return the importance-weighted bound log(1/k sum_k p(x, z_k) / q(z_k|x)) [1]_.

        Parameters and shape as of :meth:`elbo`. The bound rises with k towards log p(x).

        References
        ----------
        .. [1] Burda, Grosse, Salakhutdinov, "Importance Weighted Autoencoders", ICLR 2016.
        """
        log_w = self._log_weights(x, self.posterior(x), self.p_z(), noise)
        return log_w.logsumexp(1) - log(log_w.shape[1])

    def _log_weights(
        self, x: Tensor, q: Posterior, p: td.Distribution, noise: Iterable[Tensor]
    ) -> Tensor:
        """Return log p(x, z) / q(z|x) at each draw, shape (n, k).

        Draws come last, so that a sample's sum is the same however many samples there are.
        """
        draws = map(q.draw, noise)
        log_w = [self.log_likelihood(x, z) + p.log_prob(z) - log_q for z, log_q in draws]
        return torch.stack(log_w, 1)

    def scaled_hidden(self, raw: Tensor) -> Tensor:
        """Return what :meth:`raw_hidden` gave, scaled for any head: (n, n_hidden).

        They are centred and divided by the square root of their standard deviation over the
        training data (half-way between leaving loud units loud and making all equal). In each row
        the stages' parts are brought to one length, and the row to sqrt(n_hidden). So the distances
        an RBF kernel sees are of order one whatever the contrast of the image.
        """
        centred = (raw - self.feature_loc) / self.feature_scale
        parts = [F.normalize(part, dim=1) for part in centred.split(self._n_pooled, dim=1)]
        return torch.cat(parts, 1) * (self.n_hidden / len(parts)) ** 0.5

    def set_feature_scale(self, mean: Tensor, mean_square: Tensor) -> None:
        """Set the scale of hidden features from the first two moments of :meth:`raw_hidden`.

        Both have shape (n_hidden,).
        """
        std = (mean_square - mean.square()).clamp(min=0).sqrt()
        std = torch.maximum(std, 0.01 * std.mean())  # units that hardly vary are not blown up
        self.feature_loc.copy_(mean)
        self.feature_scale.copy_(torch.where(std > 0, std, torch.ones_like(std)).sqrt())

    def set_latent_scale(self, loc: Tensor, scale: Tensor) -> None:
        """Set what codes are scaled by, and how active their dimensions are, from posteriors.

        The activity of a dimension is the share that the means have of the codes' variance; of a
        collapsed one it is 0. Codes of images and of other values in [0, 1] keep the prior's units.
        Those of standardised vectors get the decoder's: each dimension is times the length of the
        mean change that a step in it makes, as a share of the largest. Of a linear model they then
        are the scores of PCA, but for one factor and what noise takes. The mean change, not its
        mean length: of that some is what a network has learnt of single samples.

        Parameters
        ----------
        loc, scale : Tensor of shape (n, z_dim)
            Of training samples.
        """
        variance = loc.var(0, correction=0)
        self.activity.copy_(variance / (variance + scale.square().mean(0)))
        if not self.scaling.standardised or self.n_classes:
            return
        loc = loc[:: -(-len(loc) // RESPONSE_ROWS)]
        response = torch.stack([self._response(loc, j) for j in range(self.z_dim)])
        share = response / response.max()
        self.latent_scale.copy_(share.nan_to_num(1.0).clamp(min=MIN_RESPONSE))

    def _response(self, z: Tensor, j: int) -> Tensor:
        """Return the length of the mean change, over codes z, that a step in dimension j makes."""
        step = torch.zeros_like(z)
        step[:, j] = 0.5
        change = self.conditional(z + step).mean - self.conditional(z - step).mean
        return change.mean(0).norm()

    def raw_hidden(self, x: Tensor) -> Tensor:
        """Return pooled activations of the encoder's stages as they are, shape (n, n_hidden)."""
        return torch.cat([self._pooled(stage) for stage in stage_activations(self.encoder, x)], 1)

    @property
    def n_hidden(self) -> int:
        """Number of hidden features."""
        return len(self.feature_scale)

    def narrowest_map(self) -> float:
        """Return the width of the narrowest map that a convolution takes or makes; inf for none."""
        return narrowest_map(self, self._run_on_zeros)

    @torch.no_grad()
    def has_kl_per_dimension(self) -> bool:
        """Return whether the KL term is known exactly and per latent dimension."""
        q = self._posterior_in_evaluation(zeros(self, *self.scaling.shape))
        kl = q.kl_divergence(self.prior_recipe, self.p_z)
        return kl is not None and kl.shape[1] == self.z_dim

    @torch.no_grad()
    def check_parts(self, x: Tensor) -> None:
        """Raise a ValueError for a part that does not give one density per sample.

        ``x``, two scaled training samples, pass through the new model.
        """
        self.eval()
        prior, q = self.prior_recipe, self.posterior(x)
        z, log_q = q.draw(zeros(self, self.z_dim))
        log_px = self.log_likelihood(x, z, torch.full((2,), -1, device=x.device))
        one, codes, kl = {(2,)}, {(2, self.z_dim)}, q.kl_divergence(prior, self.p_z)
        for name, recipe, what, found, wanted in (
            ("posterior", self.posterior_recipe, "draws", z, codes),
            ("posterior", self.posterior_recipe, "densities", log_q, one),
            ("prior", prior, "densities", self.p_z().log_prob(z), one),
            ("prior", prior, "KL terms", kl, codes | {(2, 1)}),
            ("likelihood", self.likelihood, "densities", log_px, one),
        ):
            if found is not None and tuple(found.shape) not in wanted:
                raise ValueError(
                    f"{name}={recipe!r:.100} gives {what} of shape {tuple(found.shape)} for two "
                    f"codes of {self.z_dim} dimensions; {max(wanted)} is needed. For independent "
                    "dimensions use torch.distributions.Independent(p, 1)."
                )
        self.train()

    @staticmethod
    def _pooled(activations: Tensor) -> Tensor:
        if activations.dim() == 4:
            h, w = activations.shape[-2:]
            activations = adaptive_avg_pool2d(activations, (min(h, POOLED), min(w, POOLED)))
        return activations.float().flatten(1)

    def _run_on_zeros(self) -> tuple[list[Tensor], Tensor]:
        """Return the activations of zero inputs and the decoder's output for zero codes."""
        training = self.encoder.training
        self.eval()
        with torch.no_grad():
            images = zeros(self, *self.scaling.shape)
            activations = stage_activations(runnable(self.encoder), images)
            decoded = runnable(self.decoder)(zeros(self, self.z_dim + self.n_classes))
        self.train(training)
        return activations, decoded

    def _check_sizes(self, shape: tuple[int, ...]) -> tuple[int, list[int]]:
        """Return the numbers of activations and of each stage's hidden features.

        Also gives lazy modules their sizes.
        """
        activations, decoded = self._run_on_zeros()
        expected = (len(zeros(self)), self.likelihood.n_params * shape[0], *shape[1:])
        if decoded.shape != expected:
            raise ValueError(
                f"The decoder returns shape {tuple(decoded.shape)} for two codes; {expected} is "
                f"needed: {self.likelihood.n_params} per value, for {self.likelihood!r}."
            )
        return activations[-1].shape[1:].numel(), [self._pooled(a).shape[1] for a in activations]

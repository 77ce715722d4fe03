"""How the latent codes of synthetic rows are drawn."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from sklearn.base import BaseEstimator

from ..utils._gaussians import fit_mixture
from ..utils._neighbours import nearest_others, searched
from ..utils._sklearn_compat import AT_LEAST_1, NOT_NEGATIVE
from ..utils._spread import spread

FEW_ROWS = 50
"""Rows below which "auto" interpolates: neighbours then say more than what is around a row."""
DENSITY_ROWS, REG_COVAR = 2000, 1e-4
"""Rows of a class that its density is fitted on, at most, and the least variance in it."""


class Draws(NamedTuple):
    """Latent codes and what they were made from."""

    Z: np.ndarray
    """Codes, shape (n, z_dim)."""
    parents: np.ndarray
    """Rows of X that each code was made from, shape (n, k); k is 0, 1 or 2."""
    weights: np.ndarray
    """Shares of the parents, shape (n, k); they sum to 1."""

    @property
    def source(self) -> np.ndarray:
        """The parent of the largest share, or -1 without any; shape (n,)."""
        if not self.parents.shape[1]:
            return np.full(len(self.parents), -1)
        return np.take_along_axis(self.parents, self.weights.argmax(1)[:, None], 1)[:, 0]


def _around(parents: np.ndarray, Z: np.ndarray) -> Draws:
    """Return draws with one parent each."""
    return Draws(Z, parents[:, None], np.ones((len(parents), 1)))


class Method(BaseEstimator, ABC):
    """Draws latent codes of one class; one copy is fitted per class.

    Subclasses are scikit-learn estimators, so that a search can tune ``method__spread``. They
    define :meth:`draw` and ``_parameter_constraints``, scikit-learn's, which :meth:`fit` checks.
    """

    model: ClassVar[str | None] = "vae"
    """What codes are of: ``"vae"``, ``"conditional"`` (the decoder sees the class, too) or
    ``"deformation"``; None for a method that takes real rows as they are."""
    min_rows: ClassVar[int] = 1
    """Real rows that a class must have."""
    unlabelled: bool = False
    """Whether unlabelled rows count as such, too."""
    residual: bool = False
    """Whether a row gets back what the decoder lost of its parents."""

    def fit(
        self, mean: np.ndarray, std: np.ndarray, rows: np.ndarray, unlabelled: np.ndarray
    ) -> Method:
        """Learn the codes of a class.

        Parameters
        ----------
        mean, std : ndarray of shape (n, z_dim)
            The posteriors of all rows of X; of deformations (n, k, z_dim), to k neighbours each.
        rows : ndarray of shape (n_class,)
            Which of them are of the class.
        unlabelled : ndarray of shape (n_unlabelled,)
            Which of them have no label.

        Returns
        -------
        self : Method
            Fitted to the class.

        Raises
        ------
        ValueError
            For parameters out of range.
        """
        self._validate_params()
        self.mean_, self.std_, self.rows_ = mean[rows], std[rows], rows
        return self

    @abstractmethod
    def draw(self, n: int, rng: np.random.RandomState) -> Draws:
        """Return n codes of the class.

        Parameters
        ----------
        n : int
            How many, 0 or more.
        rng : RandomState
            Makes the draws.

        Returns
        -------
        draws : Draws
            Codes (n, z_dim), and the rows of X that each was made from with their shares, (n, k).
        """

    def _pick(self, n: int, rng: np.random.RandomState) -> np.ndarray:
        """Return n row numbers within the class, each row as often as any other (give or take 1).

        Rounds of all rows in random order rather than independent draws: ten rows asked of ten
        then come from ten images, not from six.
        """
        k = len(self.rows_)
        rounds = np.empty((-(-n // k), k), int)
        for each in rounds:
            each[:] = rng.permutation(k)
        return rounds.ravel()[:n]


class PosteriorSampling(Method):
    """Draws around the posteriors of real rows: z = mean + spread * std * noise.

    Parameters
    ----------
    spread : float, default=1.0
        In posterior standard deviations, 0 or more; 1 is the posterior itself.

    residual : bool, default=True
        Add what the reconstruction of the real row lacks, x - decode(mean): the result is the real
        row, changed by what the codes differ in, and as sharp. Decoders blur, and a classifier
        learns that blurred images are of the classes that got synthetic ones. False gives the
        decoder's output as it is.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_vae import VAEAugmenter, VAETransformer
    >>> from sklearn_vae.synthesis import PosteriorSampling
    >>> X, y = np.random.default_rng(0).random((20, 8, 8)), np.repeat([0, 1], [14, 6])
    >>> vae = VAETransformer(2, network="mlp", augment=None, max_epochs=1, device="cpu")
    >>> augmenter = VAEAugmenter(vae=vae, method=PosteriorSampling(spread=0.5), n_new={1: 8})
    >>> augmenter.fit_resample(X, y)[0].shape
    (28, 8, 8)
    >>> augmenter.set_params(method__spread=1.5).method
    PosteriorSampling(spread=1.5)
    """

    _parameter_constraints: ClassVar = {
        "spread": [NOT_NEGATIVE],
        "residual": ["boolean"],
    }

    def __init__(self, spread: float = 1.0, residual: bool = True) -> None:
        self.spread = spread
        self.residual = residual

    def draw(self, n: int, rng: np.random.RandomState) -> Draws:
        """Return n codes of the class, each with one parent."""
        i = self._pick(n, rng)
        noise = rng.standard_normal((n, self.mean_.shape[1]))
        return _around(self.rows_[i], self.mean_[i] + self.spread * self.std_[i] * noise)


class Interpolation(Method):
    """Points between a real row's posterior mean and that of a neighbour of its class.

    SMOTE [1]_ in the latent space, as in DeepSMOTE [2]_. A class needs two rows or more, or one
    beside unlabelled ones.

    Parameters
    ----------
    n_neighbors : int, default=5
        Among how many nearest rows of the class, 1 or more, the neighbour is drawn; fewer in a
        class that has fewer. In a class of more than 10,000 rows they are looked for among 10,000
        drawn at random, so that the cost grows with the rows, not with their square.

    residual : bool, default=True
        As in :class:`PosteriorSampling`, mixed from both rows.

    unlabelled : bool, default=False
        Draw neighbours among the unlabelled rows of X, too (those with y == -1), where no labelled
        row of another class is nearer to them. What lies near a labelled row in the latent space
        mostly shares its class. So a few labelled rows get the variety of many unlabelled ones. A
        larger ``n_neighbors`` reaches further.

    References
    ----------
    .. [1] Chawla et al., "SMOTE: Synthetic Minority Over-sampling Technique", JAIR 2002.
    .. [2] Dablain, Krawczyk, Chawla, "DeepSMOTE: Fusing Deep Learning and SMOTE for Imbalanced
       Data", IEEE TNNLS 2022.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_vae import VAEAugmenter, VAETransformer
    >>> from sklearn_vae.synthesis import Interpolation
    >>> X, y = np.random.default_rng(0).random((20, 8, 8)), np.repeat([0, 1], [14, 6])
    >>> vae = VAETransformer(2, network="mlp", augment=None, max_epochs=1, device="cpu")
    >>> y[:10] = -1  # unlabelled: neighbours, too
    >>> method = Interpolation(n_neighbors=3, unlabelled=True)
    >>> X_more, y_more = VAEAugmenter(vae=vae, method=method, n_new=5).fit_resample(X, y)
    >>> X_more.shape, y_more[20:]
    ((30, 8, 8), array([0, 0, 0, 0, 0, 1, 1, 1, 1, 1]))
    """

    min_rows = 2
    _parameter_constraints: ClassVar = {
        "n_neighbors": [AT_LEAST_1],
        "residual": ["boolean"],
        "unlabelled": ["boolean"],
    }

    def __init__(
        self, n_neighbors: int = 5, residual: bool = True, unlabelled: bool = False
    ) -> None:
        self.n_neighbors = n_neighbors
        self.residual = residual
        self.unlabelled = unlabelled

    def fit(
        self, mean: np.ndarray, std: np.ndarray, rows: np.ndarray, unlabelled: np.ndarray
    ) -> Interpolation:
        """Learn the codes of a class and their neighbours."""
        super().fit(mean, std, rows, unlabelled)
        pool = rows
        if self.unlabelled:
            pool = np.concatenate([rows, self._own(mean, rows, unlabelled)])
        k = min(self.n_neighbors, len(pool) - 1)
        found = nearest_others(mean[pool], k, len(rows))
        self.neighbors_, self.neighbor_means_ = pool[found], mean[pool[found]]
        return self

    def _own(self, mean: np.ndarray, rows: np.ndarray, unlabelled: np.ndarray) -> np.ndarray:
        """Return the unlabelled rows whose nearest labelled row is of the class; all for want."""
        from sklearn.neighbors import NearestNeighbors  # slow to import

        if not len(unlabelled):
            return unlabelled
        labelled = np.setdiff1d(np.arange(len(mean)), unlabelled)
        labelled = labelled[searched(len(labelled))]
        nearest = NearestNeighbors(n_neighbors=1).fit(mean[labelled])
        found = nearest.kneighbors(mean[unlabelled], return_distance=False)[:, 0]
        own = unlabelled[np.isin(labelled[found], rows)]
        return own if len(own) else unlabelled

    def draw(self, n: int, rng: np.random.RandomState) -> Draws:
        """Return n codes of the class, each with two parents."""
        i = self._pick(n, rng)
        which = rng.randint(self.neighbors_.shape[1], size=n)
        t = rng.uniform(size=(n, 1))
        Z = self.mean_[i] + t * (self.neighbor_means_[i, which] - self.mean_[i])
        parents = np.stack([self.rows_[i], self.neighbors_[i, which]], 1)
        return Draws(Z, parents, np.hstack([1 - t, t]))


class Density(Method):
    """Draws from a Gaussian mixture fitted to the posterior means of the class.

    Ex-post density estimation [1]_: the codes of a class do not fill the prior, so that draws
    from the prior, or from one Gaussian, decode to poor images. A class needs two rows or more;
    the mixture is fitted to 2000 of them at most.

    Parameters
    ----------
    n_components : int, default=10
        Components at most, 1 or more. A class has one for every ``2 * z_dim`` of its rows, and
        covariances are diagonal in a class with fewer rows than that.

    References
    ----------
    .. [1] Ghosh et al., "From Variational to Deterministic Autoencoders", ICLR 2020.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_vae import VAEAugmenter, VAETransformer
    >>> from sklearn_vae.synthesis import Density
    >>> X, y = np.random.default_rng(0).random((20, 8, 8)), np.repeat([0, 1], [14, 6])
    >>> vae = VAETransformer(2, network="mlp", augment=None, max_epochs=1, device="cpu")
    >>> augmenter = VAEAugmenter(vae=vae, method=Density(n_components=5), n_new={1: 2}).fit(X, y)
    >>> augmenter.sample(4, y=0).shape
    (4, 8, 8)
    >>> [method.mixture_.n_components for method in augmenter.methods_]  # of 14 and of 6 rows
    [3, 1]
    """

    min_rows = 2
    _parameter_constraints: ClassVar = {"n_components": [AT_LEAST_1]}

    def __init__(self, n_components: int = 10) -> None:
        self.n_components = n_components

    def fit(
        self, mean: np.ndarray, std: np.ndarray, rows: np.ndarray, unlabelled: np.ndarray
    ) -> Density:
        """Fit the mixture."""
        super().fit(mean, std, rows, unlabelled)
        Z = spread(self.mean_, DENSITY_ROWS)
        self.mixture_ = fit_mixture(Z, self.n_components, REG_COVAR)
        return self

    def draw(self, n: int, rng: np.random.RandomState) -> Draws:
        """Return n codes of the class, without parents."""
        Z = np.empty((0, self.mean_.shape[1]))
        if n:
            # set_params: the generator moves on from draw to draw, the fit does not.
            Z, _ = self.mixture_.set_params(random_state=rng).sample(n)
            self.mixture_.set_params(random_state=0)
        return Draws(rng.permutation(Z), np.empty((n, 0), int), np.empty((n, 0)))


class Conditional(PosteriorSampling):
    """Draws around the posteriors of real rows, for a decoder that sees the class [1]_.

    Codes of other classes' rows are not offered: with the class spelt out for the decoder, z still
    tells it, and the decoder believes z.

    Parameters
    ----------
    spread : float, default=1.0
        In posterior standard deviations, 0 or more, as in :class:`PosteriorSampling`.

    residual : bool, default=True
        As in :class:`PosteriorSampling`.

    References
    ----------
    .. [1] Sohn, Lee, Yan, "Learning Structured Output Representation using Deep Conditional
       Generative Models", NeurIPS 2015.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_vae import VAEAugmenter, VAETransformer
    >>> from sklearn_vae.synthesis import Conditional
    >>> X, y = np.random.default_rng(0).random((20, 8, 8)), np.repeat([0, 1], [14, 6])
    >>> vae = VAETransformer(2, network="mlp", augment=None, max_epochs=1, device="cpu")
    >>> augmenter = VAEAugmenter(vae=vae, method=Conditional(residual=False), n_new={1: 8})
    >>> augmenter.fit_resample(X, y)[0].shape
    (28, 8, 8)
    """

    model = "conditional"


class Deformation(Method):
    """Real rows, deformed as images of their class differ from each other; images only.

    A VAE learns what turns an image into one of its nearest neighbours in its class: a smooth
    field [1]_, [2]_. A synthetic row is a real one, deformed as another one of its class would have
    to be to resemble a neighbour. Nothing is blurred, and strokes stay strokes. A class needs two
    rows or more. Of the template's settings ``z_dim``, ``network`` (its encoder, for twice the
    channels), ``beta`` and those of the training count.

    Parameters
    ----------
    n_neighbors : int, default=30
        How many nearest rows of its class an image is taken to be a deformation of, 1 or more;
        fewer in a class that has fewer.

    spread : float, default=1.0
        Times the deformations seen, 0 or more.

    References
    ----------
    .. [1] Hauberg et al., "Dreaming More Data: Class-dependent Distributions over Diffeomorphisms
       for Learned Data Augmentation", AISTATS 2016, https://arxiv.org/abs/1510.02795
    .. [2] Dalca et al., "Unsupervised Learning for Fast Probabilistic Diffeomorphic Registration",
       MICCAI 2018, https://arxiv.org/abs/1805.04605

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_vae import VAEAugmenter, VAETransformer
    >>> from sklearn_vae.synthesis import Deformation
    >>> X, y = np.random.default_rng(0).random((20, 8, 8)), np.repeat([0, 1], [14, 6])
    >>> vae = VAETransformer(2, max_epochs=1, device="cpu")
    >>> augmenter = VAEAugmenter(vae=vae, method=Deformation(n_neighbors=5), n_new={1: 8})
    >>> augmenter.fit_resample(X, y)[0].shape
    (28, 8, 8)
    """

    model = "deformation"
    min_rows = 2
    _parameter_constraints: ClassVar = {
        "n_neighbors": [AT_LEAST_1],
        "spread": [NOT_NEGATIVE],
    }

    def __init__(self, n_neighbors: int = 30, spread: float = 1.0) -> None:
        self.n_neighbors = n_neighbors
        self.spread = spread

    def draw(self, n: int, rng: np.random.RandomState) -> Draws:
        """Return n codes of deformations of the class, each with the row to deform."""
        i = self._pick(n, rng)
        rows, neighbors, _ = self.mean_.shape
        pair = rng.randint(rows, size=n), rng.randint(neighbors, size=n)
        noise = rng.standard_normal((n, self.mean_.shape[2]))
        Z = self.spread * (self.mean_[pair] + self.std_[pair] * noise)
        return _around(self.rows_[i], Z)


class Bootstrap(Method):
    """Real rows, drawn with replacement: ordinary augmentation when used with ``augment``.

    No VAE is trained.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_vae import VAEAugmenter
    >>> from sklearn_vae.synthesis import Bootstrap
    >>> from sklearn_vae.augmentation import Augment
    >>> X, y = np.random.default_rng(0).random((20, 8, 8)), np.repeat([0, 1], [14, 6])
    >>> augmenter = VAEAugmenter(method=Bootstrap(), augment=Augment(shift=0.1, flip=True))
    >>> X_more, y_more = augmenter.fit_resample(X, y)
    >>> X_more.shape, np.bincount(y_more)
    ((28, 8, 8), array([14, 14]))
    """

    model = None
    _parameter_constraints: ClassVar[dict[str, Any]] = {}

    def draw(self, n: int, rng: np.random.RandomState) -> Draws:
        """Return n row numbers as ``parents``; there are no codes: Z has shape (n, 0)."""
        return _around(self.rows_[self._pick(n, rng)], np.empty((n, 0)))


class Auto(Method):
    """Picks by class size: see :class:`~sklearn_vae.VAEAugmenter`."""

    residual = True
    _parameter_constraints: ClassVar[dict[str, Any]] = {}

    def fit(
        self, mean: np.ndarray, std: np.ndarray, rows: np.ndarray, unlabelled: np.ndarray
    ) -> Auto:
        """Pick the method of a class and fit it."""
        few = 1 < len(rows) < FEW_ROWS
        self.method_: Method = Interpolation() if few else PosteriorSampling()
        self.method_.fit(mean, std, rows, unlabelled)
        return self

    def draw(self, n: int, rng: np.random.RandomState) -> Draws:
        """Return n codes of the class, as the method picked does."""
        return self.method_.draw(n, rng)


MethodName = Literal[
    "auto", "posterior", "interpolation", "density", "conditional", "deformation", "bootstrap"
]
METHODS: dict[str, type[Method]] = {
    "auto": Auto,
    "posterior": PosteriorSampling,
    "interpolation": Interpolation,
    "density": Density,
    "conditional": Conditional,
    "deformation": Deformation,
    "bootstrap": Bootstrap,
}
"""Methods by the name that ``VAEAugmenter(method=...)`` takes."""


def resolve_method(method: MethodName | Method) -> Method:
    """Return the method that a user's value stands for."""
    return METHODS[method]() if isinstance(method, str) else method

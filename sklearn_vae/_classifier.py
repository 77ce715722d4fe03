"""A semi-supervised classifier on a VAE's latent space, by scikit-learn's convention of -1."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import torch
from scipy.special import log_softmax, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import accuracy_score
from sklearn.utils import check_consistent_length, check_random_state
from sklearn.utils.validation import check_is_fitted

from ._inner_vae import VAE_KINDS, HasVAE, samples_of, seeded_clone, unfrozen
from ._transformer import VAETransformer
from .classification import fit_pool
from .input._labels import check_length, class_numbers, known_rows, read_labels, tell_unlabelled
from .input._rows import Rows
from .model._codec import Codec, OfChunk
from .utils._at_once import fitted_at_once
from .utils._sklearn_compat import FitTasks, check_params, fit_context


class VAEClassifier(ClassifierMixin, HasVAE, BaseEstimator):
    """Classifier for a few labelled rows and many without a label, which have ``y == -1``.

    Classes are the components of a Gaussian mixture over a VAE's latent space: labelled rows
    belong to theirs, of the others it is inferred. Beside it stands a plain head, fitted to the
    labelled rows alone. How much either counts is learnt from labels that are held out, so that the
    mixture is left out where classes are no clusters.

    Parameters
    ----------
    vae : VAETransformer or FrozenEstimator, default=None
        A template, of which ``fit`` trains a copy on all rows of X, or
        ``FrozenEstimator(fitted_vae)``, used as it is: one training serves many draws of labels.
        None is ``VAETransformer()``.

    random_state : int, RandomState instance or None, default=None
        For the labels that are held out, and the VAE where its own is None.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The classes. -1 is none, and never predicted.
    n_unlabelled_ : int
        Rows of y that were -1; above 0, the VAE's ``verbose`` tells them.
    vae_ : VAETransformer
        The VAE.
    weights_ : ndarray of shape (2,)
        What the log-probabilities of the plain head and of the mixture count; 0.5 and 0.1 where no
        label could be held out.
    n_features_in_ : int
        Values in one sample.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Column names, where X was a data frame.

    See Also
    --------
    LabelledSplit : Cross-validation of what is fitted with labels of -1.
    sklearn.semi_supervised.SelfTrainingClassifier : Around any classifier with probabilities.
    sklearn.linear_model.LogisticRegression : The control to beat, on the labelled rows.

    Notes
    -----
    The plain head is LogisticRegression, on rows as they are (columns standardised) or, for
    images, on what ``vae_.transform`` returns. The mixture lives on the latter. In both, each row
    is divided by a scale of its own, as a Student distribution with 16 degrees of freedom has it.
    With few labels this is worth more than all the rest. The mixture starts from the plain head and
    from labels spread over a graph of neighbours [1]_. It takes seven steps of EM with one
    covariance for all classes, and is never sure of a class that no label shows. Semi-supervised
    VAEs with the class as a latent variable are [2]_; with a mixture as the prior, [3]_.

    The weights of the two maximise the likelihood of held-out labels (up to five folds), with a
    pull towards their usual values that twenty labels outweigh. This calibrates the probabilities,
    too. With one label a class nothing can be held out; nor with a VAE of ``label_weight > 0``,
    which has seen the labels.

    References
    ----------
    .. [1] Zhou et al., "Learning with local and global consistency", NIPS 2003.
    .. [2] Kingma et al., "Semi-supervised learning with deep generative models", NIPS 2014,
       https://arxiv.org/abs/1406.5298
    .. [3] Jiang et al., "Variational deep embedding: an unsupervised and generative approach to
       clustering", IJCAI 2017, https://arxiv.org/abs/1611.05148

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_vae import VAEClassifier, VAETransformer
    >>> X, y = load_digits(return_X_y=True)
    >>> X = (X / 16).reshape(-1, 8, 8)
    >>> few = np.full(len(y), -1)
    >>> few[:100] = y[:100]
    >>> vae = VAETransformer(16, network="mlp", augment=None, batch_size=64, max_epochs=30,
    ...                      device="cpu")
    >>> classifier = VAEClassifier(vae, random_state=0).fit(X, few)
    >>> bool(classifier.score(X[100:], y[100:]) > 0.8)
    True
    >>> classifier.predict_proba(X[:3]).shape
    (3, 10)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "vae": VAE_KINDS,
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        vae: VAETransformer | FrozenEstimator | None = None,
        *,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.vae = vae
        self.random_state = random_state

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any) -> VAEClassifier:
        """Train the VAE on all rows, then learn the classes.

        Parameters
        ----------
        X : array-like, torch.Tensor or torch.utils.data.Dataset
            Samples in a form that :meth:`VAETransformer.fit` takes.
        y : array-like of shape (n,)
            Classes; the number -1 is unlabelled, also among names (``dtype=object``).

        Returns
        -------
        self : object
            The fitted classifier; as it was before, where this raises.

        Raises
        ------
        ValueError
            For a y without a class, with one class, with missing values or of another length than
            X, and for what :meth:`VAETransformer.fit` refuses.
        TypeError
            For a frozen estimator that is no VAETransformer.
        FloatingPointError
            As :meth:`VAETransformer.fit`.
        """
        labels = read_labels(y, warn=True, one_hot=False)
        known_rows(labels)
        classes, numbers = class_numbers(labels)
        if len(classes) < 2:
            raise ValueError(
                f"A classifier needs two classes or more, but y has one class: {classes.tolist()}. "
                "Label rows of another one."
            )
        rng = check_random_state(self.random_state)
        with fitted_at_once(self) as unseen:
            n_trained = int(not isinstance(self.vae, FrozenEstimator))
            tasks = FitTasks(self, unseen, X, y, n_trained)
            vae, data = self._fitted_vae(X, labels, rng, tasks)
            unseen.vae_, unseen.classes_ = vae, classes
            unseen.n_unlabelled_ = tell_unlabelled(numbers, vae.verbose)
            unseen.n_features_in_ = vae.n_features_in_
            unseen.__dict__.pop("feature_names_in_", None)
            if hasattr(vae, "feature_names_in_"):
                unseen.feature_names_in_ = vae.feature_names_in_
            rows, codes = self._features(vae, data)
            unseen.pool_ = fit_pool(
                rows, codes, numbers, len(classes), rng, held_out=vae.label_weight == 0
            )
            tasks.end()
        return self

    @property
    def weights_(self) -> np.ndarray:
        """What the plain head and the mixture count; 0.5 and 0.1 where no label was held out."""
        check_is_fitted(self)
        return self.pool_.weights

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probability of each class.

        Parameters
        ----------
        X : array-like, torch.Tensor or torch.utils.data.Dataset
            Samples in the form that :meth:`fit` saw.

        Returns
        -------
        probabilities : ndarray of shape (n, n_classes), float64
            In the order of ``classes_``; rows sum to 1.

        Raises
        ------
        ValueError
            When X differs from the fitted data in shape, dtype or range.
        """
        return np.asarray(softmax(self._scores(X), axis=1))

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Return the logarithm of the probability of each class.

        Parameters
        ----------
        X : array-like, torch.Tensor or torch.utils.data.Dataset
            Samples in the form that :meth:`fit` saw.

        Returns
        -------
        log_probabilities : ndarray of shape (n, n_classes), float64
            In the order of ``classes_``.
        """
        return np.asarray(log_softmax(self._scores(X), axis=1))

    def predict(self, X: Any) -> np.ndarray:
        """Return the most likely class.

        Parameters
        ----------
        X : array-like, torch.Tensor or torch.utils.data.Dataset
            Samples in the form that :meth:`fit` saw.

        Returns
        -------
        y : ndarray of shape (n,)
            Labels out of ``classes_``, never -1.
        """
        best = self._scores(X).argmax(1)
        return np.asarray(self.classes_[best])

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the accuracy on the rows that have a label.

        Parameters
        ----------
        X : array-like, torch.Tensor or torch.utils.data.Dataset
            Samples in the form that :meth:`fit` saw.
        y : array-like of shape (n,)
            True classes; rows of -1, unlabelled, are left out.
        sample_weight : array-like of shape (n,), default=None
            What each row counts.

        Returns
        -------
        score : float
            The share of right predictions.

        Raises
        ------
        ValueError
            For a y that :meth:`fit` refuses.
        """
        labels = read_labels(y, one_hot=False)
        known = known_rows(labels)
        found = self.predict(X)
        check_length(labels, len(found))
        check_consistent_length(found, sample_weight)
        weights = None if sample_weight is None else np.asarray(sample_weight)[known]
        return float(accuracy_score(labels[known], found[known], sample_weight=weights))

    def scorer(self, codec: Codec) -> OfChunk:
        """Return the function from raw samples to the classes' scores, with the codec's module.

        Parameters
        ----------
        codec : Codec
            The VAE's, or a copy of it on another device.

        Returns
        -------
        scores : callable
            From a tensor of raw samples to log-probabilities but for a constant of each row.
        """
        features, pool = _features_of(self.vae_, codec), self.pool_
        return lambda raw: pool.scores(*features(raw))

    def _scores(self, X: Any) -> np.ndarray:
        """Return log-probabilities but for a constant of each row, (n, n_classes), float64."""
        check_is_fitted(self)
        codec = self.vae_.codec_
        return codec.apply(samples_of(self.vae_, X), self.scorer(codec)).astype(np.float64)

    def _fitted_vae(
        self, X: Any, labels: np.ndarray, rng: np.random.RandomState, tasks: FitTasks
    ) -> tuple[VAETransformer, Rows]:
        """Return the VAE, trained where it is a template, and X as it sees it."""
        if isinstance(self.vae, FrozenEstimator):
            vae = unfrozen(self.vae)
            data = samples_of(vae, X)
            check_length(labels, len(data))
            return vae, data
        vae = seeded_clone(VAETransformer() if self.vae is None else self.vae, rng)
        check_params(vae)
        data, _, _ = vae.read_training(X)
        check_length(labels, len(data))
        with tasks.part("vae", vae):
            vae.fit(X, labels)
        return vae, data

    @staticmethod
    def _features(vae: VAETransformer, data: Rows) -> tuple[np.ndarray, np.ndarray]:
        """Return what the plain head sees, and what the mixture does."""
        of_raw = _features_of(vae, vae.codec_)
        n = vae.n_features_in_ if not vae.spec_.is_image else 0
        both = vae.codec_.apply(
            data, lambda raw: torch.cat(of_raw(raw), 1) if n else of_raw(raw)[1]
        )
        return (both[:, :n], both[:, n:]) if n else (both, both)


def _features_of(
    vae: VAETransformer, codec: Codec
) -> Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]:
    """Return the function from raw samples to what the plain head sees and the mixture does.

    Columns, standardised, and the VAE's features; of images the latter for both.
    """
    vae.check_features()
    encode = codec.encoder(vae.features, vae.symmetry)

    def features(raw: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        codes = encode(raw)
        return (codes if codec.spec.is_image else codec.scaled(raw).flatten(1)), codes

    return features

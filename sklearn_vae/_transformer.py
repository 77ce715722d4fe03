"""The VAE as a scikit-learn transformer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.base import TransformerMixin
from sklearn.utils import Tags, check_array, check_random_state
from sklearn.utils.validation import check_is_fitted

from ._base import BaseVAE
from ._parameters import FEATURES
from .input._chunks import OfChunk, each_chunk
from .input._rows import Rows
from .input._samples import from_torch
from .persistence import PretrainedMixin
from .utils._counts import check_count
from .utils._image_features import ImageFeaturesMixin
from .utils._memory import memory_explained


class VAETransformer(PretrainedMixin, ImageFeaturesMixin, TransformerMixin, BaseVAE):
    """Features of images or vectors, learnt without labels by a variational autoencoder.

    Trains an encoder and a decoder by maximising the evidence lower bound (ELBO) [1]_ and
    transforms each sample to features from the encoder. Labels are learnt from only with
    ``label_weight`` above 0; else the y of a pipeline at most stratifies the validation split.

    Parameters
    ----------
    z_dim : int, default=32
        Dimensions of the latent space, 1 or more. 16 to 64 suit small grey images, 128 CIFAR-10.

    network : {"auto", "mlp", "conv", "conv-bn", "resnet"}, Network or (encoder, decoder), \
            default="auto"
        - ``"mlp"``: fully connected, 512-256; vectors and small images.
        - ``"conv"``: three stride-2 convolutions, 32-64-128 channels, and their mirror image.
        - ``"conv-bn"``: six convolutions up to 1024 channels, BatchNorm, LeakyReLU; the largest.
        - ``"resnet"``: three stages of 64, 128 and 256 channels with a residual block each; for
          ``label_weight`` with many labels. All three get more stages for large images.
        - ``"auto"``: see Notes.
        - a :class:`~sklearn_vae.nn.Network` such as ``nn.MLP(hidden=(400,))``; a search then tunes
          ``network__hidden``, and likewise ``likelihood__scale``, ``prior__n_components``,
          ``posterior__n_steps`` and ``augment__rotate`` where these parameters hold objects.
          ``nn.LinearBase(network)`` starts at probabilistic PCA.
        - a pair of torch modules. The encoder maps ``(n, c, h, w)`` (or ``(n, d)``) to any
          activations, the decoder ``(n, z_dim)`` to ``(n, c, h, w)`` without a final sigmoid. Each
          fit trains copies. See :class:`~sklearn_vae.nn.Custom`. joblib's caches do not recognise
          torch modules: for ``Pipeline(memory=...)`` write a ``nn.Network``.

    image_shape : tuple of int, default=None
        What one row of a flattened X is: (height, width), (height, width, channels) or (channels,
        height, width). None for arrays of images, and for rows that are not images.

    likelihood : {"auto", "bernoulli", "gaussian", "bce+mse", "discretized-logistic"} or \
            Likelihood, default="auto"
        p(x|z). ``"gaussian"`` learns one variance; ``model.Gaussian(scale=0.1)`` fixes it.
        ``"bce+mse"`` is binary cross-entropy + 0.5 squared error. ``"auto"``: see Notes.

    prior : {"normal", "mixture", "vamp"} or Prior, default="normal"
        p(z). ``"mixture"`` is a learnt mixture of 100 Gaussians, ``"vamp"`` the mixture of the
        posteriors of 500 learnt pseudo-inputs [3]_: better likelihoods, dearer steps.
        ``model.Vamp(n_components=200)`` sets the number. Their KL term is estimated at one draw.

    posterior : {"normal", "iaf"} or PosteriorFamily, default="normal"
        q(z|x). ``"normal"`` is independent normals; ``"iaf"`` pushes them through two steps of an
        inverse autoregressive flow [7]_ (``model.IAF(n_steps=4)``): better likelihoods, dearer
        steps, a KL term that is estimated at one draw. The posterior mean is then where the flow
        takes the mean of the normals, the standard deviation by the flow's own scales there.

    beta : float, default=1.0
        Weight of the KL term, 0 or more. 1 is the ELBO; less keeps more detail in the mean.

    kl_warmup : float, default=0
        Epochs (of ``partial_fit`` passes), 0 or more, over which the KL term rises to ``beta``.

    free_bits : float, default=0.0
        Nats per latent dimension, 0 or more, that the KL term does not charge; against posterior
        collapse. It must be known per dimension, as with ``"normal"`` prior and posterior.

    importance_samples : int, default=1
        Posterior draws per sample and step, 1 or more. Above 1 training maximises the
        importance-weighted bound [2]_ instead of the ELBO: better likelihoods, a posterior that
        fits less closely, dearer steps. ``kl`` is then weighted likelihood less bound.

    label_weight : float, default=0.0
        Above 0 the labels shape the latent space, too. A linear class head on the posterior mean is
        trained along with the ELBO [4]_. y is needed, with -1 for samples without a label. These
        are given the class that the head is sure of [5]_, which helps where ``augment`` keeps
        classes apart. 1 weighs the cross-entropy like the ELBO per value of a sample. The head
        behind must not take -1 for a class: fit it on labelled rows, or use ``VAEClassifier``.

    contrastive_weight : float, default=0.0
        Above 0 the encoder sees two changed views of each sample, and posterior means are to tell
        which two belong together in a batch (InfoNCE [8]_, by the cosine). So features keep what
        ``augment``, which is needed, leaves as it is. For photographs, with ``augment="strong"``. 1
        weighs that cross-entropy like ``label_weight``. Steps take up to twice as long.

    augment : {"auto", "geometric", "natural", "strong"}, float, callable or None, default="auto"
        Changes the images that the encoder sees in training. The decoder rebuilds the clean ones
        (of large images see Notes), so that the code forgets what the changes vary. ``"geometric"``
        rotates, shifts, scales, shears and bends; ``"natural"`` shifts, scales, mirrors and changes
        colours, ``"strong"`` does so about twice as far and turns hues. A number is a strength, 0
        or more, 1 being customary for the kind of image. A callable, such as torchvision's v2
        transforms, gets the batch, float (n, c, h, w) in [0, 1], on the device. torchvision draws
        once per batch, the named ones once per image. Rows of any range get normal noise, at
        strength 1 half of each column's scale. None for a plain VAE: mostly weaker features, on
        images better likelihoods and sharper reconstructions.

    features : {"mean", "mean+std", "hidden"}, default="mean"
        What :meth:`transform` returns: the posterior mean (``z_dim`` columns), mean and standard
        deviation (twice as many), or hidden features. These are the activations of every stage of
        the encoder, averaged to a 4 x 4 grid and scaled so that an RBF kernel works on them as they
        stand. An MLP and networks of your own have one stage, but see
        :class:`~sklearn_vae.nn.Stages`. For photographs and textures add fixed filters with
        :class:`~sklearn_vae.nn.Patches`. Can be changed after fit. Do not standardise the mean:
        dimensions that the VAE does not use hold little but noise, and their small scale is what
        keeps it small.

    symmetry : {None, "horizontal", "both"}, default=None
        Flips that make no difference to what an image shows: :meth:`transform` returns the average
        over the image and its flips, which do not change with them [6]_. ``"horizontal"`` (left and
        right) for photographs, ``"both"`` (also top and bottom) for surfaces and microscopy. None
        where left and right matter, as for digits, and where features are to be decoded: an average
        is the code of no image. Encoding takes two or four times as long. Can be changed after fit.

    max_epochs : int or "auto", default="auto"
        Passes over X, 1 or more. ``"auto"`` follows the size of X and of its images: see Notes.

    batch_size : int or "auto", default="auto"
        Samples per step, 1 or more. ``"auto"`` is 256 or fewer: see Notes.

    loader_workers : int, default=0
        Processes that read the items of a torch Dataset, such as the files of
        ``ImageReader(lazy=True)``, at most four a core; 0 reads them in this one. The batches are
        the same for any number. Each call starts its own, in seconds; scripts need
        ``if __name__ == "__main__":``. A stream has to share its items out by torch's
        ``get_worker_info``.

    lr : float, default=2e-3
        Learning rate of the optimiser, above 0; the peak of the schedule.

    lr_schedule : {"cosine", "constant"}, default="cosine"
        ``"cosine"`` rises over the first 5 % of the steps and falls to 0 at the end.

    optimizer : {"adam", "adamw", "sgd"} or callable, default="adam"
        A callable gets the parameters and ``lr=``, as torch's optimizer classes do.

    validation_fraction : float, default=None
        Share of X, from 0 to below 1, held out for the validation loss: shuffled, stratified by
        ``y`` where that is possible. None is 0.1 with ``patience``, else 0.

    patience : int, default=None
        Stop after so many epochs, 1 or more, without a better validation loss, at the best weights.

    warm_start : bool, default=False
        Let ``fit`` continue from the present weights for ``max_epochs`` more epochs.

    device : str or torch.device, default="auto"
        ``"auto"`` takes cuda, else mps, else the CPU.

    precision : {"auto", "float32", "bfloat16"}, default="auto"
        Of the forward pass in training; the loss and everything after training are float32.
        ``"auto"`` is bfloat16 for images and uint8 or bool rows on a CPU that multiplies it faster
        (with AMX, or AMD's AVX512_BF16). Else, and for networks with convolutional maps one pixel
        wide, it is float32. ``verbose`` tells which.

    compile : bool, "reduce-overhead", "max-autotune" or "max-autotune-no-cudagraphs", default=False
        Whether training's whole batches go through ``torch.compile``; a name is its mode. It takes
        seconds at the start of a fit and, on CPUs, a C++ compiler. ``"reduce-overhead"`` is for
        small networks on an NVIDIA GPU: torch records CUDA graphs.

    callbacks : list, default=None
        skorch callbacks, their classes, or tuples of a name and either. Clones share them, and each
        fit works on shallow copies. What a callback holds, such as a logger, is used as it is; what
        it sets of its own is in ``net_.callbacks_``. A search reaches
        ``callbacks__name__parameter``.

    checkpoint : str or path-like, default=None
        A folder by which a killed fit goes on. The same fit again, on the same X, y, parameters and
        seed, continues after the last whole epoch and ends bit for bit where it would have. In it
        each fit has a file, without images, until it is over. A path that ends in ``.pt`` is one
        fit's file; it refuses other data or parameters by name. Not with ``random_state=None``;
        ``partial_fit`` writes none. X is read once more.

    parallel : int, "ddp" or None, default=None
        Processes that train one model, ``batch_size`` rows a step in all; see the user guide. An
        int starts so many, on CPU or a GPU each; callbacks run there, on copies. ``"ddp"`` joins
        those of torchrun or a ``torch.distributed`` group, which all call ``fit`` with one X.

    memory : str or joblib.Memory, default=None
        Where to keep trainings: a folder, or an object with joblib's interface. ``fit`` then looks
        for one of the same X, y and parameters but ``features``, ``symmetry``, ``checkpoint``,
        ``loader_workers`` and ``verbose``: a search over these trains once. A fit from there is as
        after a pickle, without ``net_``; callbacks are called in the training that is kept, on
        copies; of ``random_state=None`` the first draw is kept. X must be in memory, and
        ``VAEAugmenter(method=...)`` of "conditional" and "deformation" trains without.

    random_state : int, RandomState instance or None, default=None
        Weights, shuffling, posterior noise, augmentation and samples. The same int gives the
        same model, bit for bit on one CPU with one number of threads. torch's global generator is
        left as it was, and lent to parts of the user's own; None draws one number from NumPy's.

    verbose : int, default=0
        1: a progress bar. 2: a line per epoch. Either soon says how many minutes it will take.

    Attributes
    ----------
    module_ : torch.nn.Module
        The trained VAE (:class:`~sklearn_vae.model.VAE`).
    net_ : skorch.NeuralNet
        The net that trained it; not there after loading.
    history_ : list of dict
        Per epoch: ``epoch``, ``train_loss``, ``train_log_likelihood``, ``train_kl`` (and
        ``valid_`` likewise), in nats per sample, ``lr``, ``dur`` in seconds; with ``label_weight``
        also ``train_label_loss``, with ``contrastive_weight`` ``train_contrastive_loss``, in nats.
    n_iter_ : int
        Epochs trained; of ``partial_fit`` passes over all chunks.
    classes_ : ndarray of shape (n_classes,)
        The classes of y, sorted; only with ``label_weight`` above 0.
    n_samples_seen_ : int
        Samples shown in training, over all epochs and calls.
    n_active_ : int
        Latent dimensions in use ([2]_, section 5.2). With none :meth:`fit` warns.
    device_ : torch.device
        Where the module is.
    n_features_in_ : int
        Values in one sample.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Column names, where X was a data frame.

    See Also
    --------
    sklearn.decomposition.PCA : Linear features, the control to beat.
    sklearn.frozen.FrozenEstimator : Keeps a pre-trained VAE as it is inside a pipeline.

    Notes
    -----
    What ``"auto"`` stands for, by kind of data:

    =====================  =================================  ==========  ===========
    X                      network                            likelihood  augment
    =====================  =================================  ==========  ===========
    grey images            Conv(batch_norm=True)              bernoulli   geometric
    colour images          Conv(batch_norm=True)              gaussian    natural
    images below 16 x 16   Conv((64, 128), batch_norm=True)   gaussian    by channels
    images above 32 x 32   LinearBase(Conv(batch_norm=True))  gaussian    natural
    uint8 and bool rows    mlp                                bernoulli   None
    other rows             LinearBase(MLP((128,)))            gaussian    noise
    =====================  =================================  ==========  ===========

    Of images above 32 x 32 pixels the decoder rebuilds the changed image (``Augment(target=)``),
    and grey ones are neither shifted nor scaled. ``max_epochs="auto"`` shows 600,000 samples, of
    such images fewer, from 64 x 64 on 7,680,000 by the side; in 10 epochs (2 of such) to 200.
    ``batch_size="auto"`` is the power of two, 16 to 256, that makes 2,000 steps or a few more of
    these. Rows count as small; with a linear base they get a quarter of the epochs, 10 at least.

    From 20,000 rows on the MLP is the larger one, 512-256. Rows of any range are centred and scaled
    inside the model: to the columns' standard deviation, and to less where a column is nearly
    always the same. Their scores are log-densities in the units of X nevertheless. Their codes come
    in the decoder's units: each dimension counts for what a step in it changes, as in PCA.

    References
    ----------
    .. [1] Kingma, Welling, "Auto-Encoding Variational Bayes", ICLR 2014,
       https://arxiv.org/abs/1312.6114
    .. [2] Burda, Grosse, Salakhutdinov, "Importance Weighted Autoencoders", ICLR 2016,
       https://arxiv.org/abs/1509.00519
    .. [3] Tomczak, Welling, "VAE with a VampPrior", AISTATS 2018,
       https://arxiv.org/abs/1705.07120
    .. [4] Kingma et al., "Semi-Supervised Learning with Deep Generative Models", NeurIPS 2014,
       https://arxiv.org/abs/1406.5298
    .. [5] Sohn et al., "FixMatch", NeurIPS 2020, https://arxiv.org/abs/2001.07685
    .. [6] Haasdonk, Vossen, Burkhardt, "Invariance in Kernel Methods by Haar-Integration Kernels",
       SCIA 2005.
    .. [7] Kingma et al., "Improved Variational Inference with Inverse Autoregressive Flow",
       NeurIPS 2016, https://arxiv.org/abs/1606.04934
    .. [8] Aitchison, Ganev, "InfoNCE is Variational Inference in a Recognition Parameterised
       Model", 2021, https://arxiv.org/abs/2107.02495

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.svm import SVC
    >>> from sklearn_vae import VAETransformer
    >>> X, y = load_digits(return_X_y=True)
    >>> X = (X / 16).reshape(-1, 8, 8)
    >>> vae = VAETransformer(8, network="mlp", max_epochs=20, device="cpu", random_state=0)
    >>> vae.fit_transform(X).shape
    (1797, 8)
    >>> pipeline = make_pipeline(vae, SVC()).fit(X[:1000], y[:1000])
    >>> bool(pipeline.score(X[1000:], y[1000:]) > 0.5)
    True
    """

    @property
    def _n_features_out(self) -> int:
        return {
            "mean": self.module_.z_dim,
            "mean+std": 2 * self.module_.z_dim,
            "hidden": self.module_.n_hidden,
        }[self.features]

    def transform(self, X: Any) -> np.ndarray:
        """Return the features of each sample: by default the posterior mean.

        Parameters
        ----------
        X : array-like, torch.Tensor or torch.utils.data.Dataset
            Samples in the form that :meth:`fit` saw. A memory-mapped array is read in chunks.

        Returns
        -------
        Z : ndarray of shape (n, z_dim), (n, 2 * z_dim) or (n, n_hidden), float32
            What ``features`` asks for.

        Raises
        ------
        ValueError
            When X differs from the fitted data in shape, dtype or range.
        """
        data, encode = self._to_encode(X)
        return self.codec_.apply(data, encode)

    def transform_chunked(self, X: Any) -> Iterator[np.ndarray]:
        """Return what :meth:`transform` does a chunk at a time, for what memory does not hold.

        Parameters
        ----------
        X : array-like, torch.Tensor or torch.utils.data.Dataset
            Samples in the form that :meth:`fit` saw; of a stream one pass.

        Returns
        -------
        chunks : iterator of ndarray
            Features of some consecutive samples each, float32.

        Raises
        ------
        ValueError
            When X differs from the fitted data in shape, dtype or range.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn_vae import VAETransformer
        >>> X = np.random.default_rng(0).random((300, 20))
        >>> vae = VAETransformer(2, max_epochs=1, device="cpu").fit(X)
        >>> sum(len(Z) for Z in vae.transform_chunked(X))
        300
        """
        data, encode = self._to_encode(X)
        return each_chunk(data, encode, self.device_, self.spec_.shape)

    def _to_encode(self, X: Any) -> tuple[Rows, OfChunk]:
        """Return the checked samples of X, and the function from some of them to features."""
        check_is_fitted(self)
        self.check_features()
        encode = self.codec_.encoder(self.features, self.symmetry)
        return self._read(X, in_place=True), encode

    def inverse_transform(self, Z: Any) -> np.ndarray:
        """Decode latent codes to the mean of p(x|z).

        Parameters
        ----------
        Z : array-like or torch.Tensor of shape (n, z_dim)
            Latent codes, for example posterior means.

        Returns
        -------
        X : ndarray of shape (n, ...)
            In the layout, range and dtype of the fitted X.

        Raises
        ------
        ValueError
            For other than ``z_dim`` columns, such as features other than the mean, and for NaN or
            infinite codes.
        """
        check_is_fitted(self)
        Z = check_array(from_torch(Z), dtype=np.float32, estimator=self)
        model = self.module_
        if Z.shape[1] != model.z_dim:
            raise ValueError(
                f"Z has {Z.shape[1]} columns; latent codes have z_dim={model.z_dim}. Only "
                "features='mean' can be decoded."
            )
        return self.codec_.decode(Z / model.latent_scale.cpu().numpy())

    def reconstruct(self, X: Any) -> np.ndarray:
        """Encode each sample to its posterior mean and decode it again.

        Parameters
        ----------
        X : array-like, torch.Tensor or torch.utils.data.Dataset
            Samples in the form that :meth:`fit` saw.

        Returns
        -------
        X_hat : ndarray
            Of the shape, layout, range and dtype of X.

        Raises
        ------
        ValueError
            When X differs from the fitted data in shape, dtype or range.
        """
        check_is_fitted(self)
        codec, model = self.codec_, self.module_
        return codec.generate(self._read(X), lambda raw: model.rebuilt(codec.scaled(raw)))

    def sample(
        self, n_samples: int = 1, *, random_state: int | np.random.RandomState | None = None
    ) -> np.ndarray:
        """Draw latent codes from the prior and decode them to the mean of p(x|z).

        Parameters
        ----------
        n_samples : int, default=1
            How many, 1 or more.
        random_state : int, RandomState instance or None, default=None
            None takes the estimator's own ``random_state``.

        Returns
        -------
        X : ndarray of shape (n_samples, ...)
            In the layout, range and dtype of the fitted X.

        Raises
        ------
        ValueError
            For an ``n_samples`` that is not an int of 1 or more.
        """
        check_is_fitted(self)
        n = check_count("n_samples", n_samples)
        rng = check_random_state(self.random_state if random_state is None else random_state)
        with memory_explained(lambda: f"drawing {n} samples. Draw fewer at once."):
            return self.codec_.decode(self.module_.draw(n, rng))

    def check_features(self) -> None:
        """Check what may have changed since fit."""
        if self.features not in FEATURES:
            raise ValueError(f"features={self.features!r}; use one of {', '.join(FEATURES)}.")
        self._check_symmetry(self.spec_)

    def __sklearn_tags__(self) -> Tags:
        """Return scikit-learn's tags: labels have to be there where there is a weight for them."""
        tags = super().__sklearn_tags__()
        tags.target_tags.required = self.label_weight > 0
        return tags

"""A frozen pre-trained network as a scikit-learn transformer."""

from __future__ import annotations

import copy
import difflib
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from math import prod
from typing import Any, ClassVar, Literal, get_args

import joblib
import numpy as np
import torch
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from .input._chunks import apply_by_chunks
from .input._read import read_first, read_in_place, with_checks
from .input._rows import Rows
from .input._spec import InputSpec
from .nn._device import exact_inference, resolve_device, to_device, to_host
from .nn._frozen import (
    Backbone,
    BackboneSettings,
    Preprocessing,
    Tap,
    default_tap,
    resolve_weights,
    torchvision_model,
)
from .nn._packed import Packed
from .nn._scaling import Scaling
from .training._precision import Precision, has_fast_bfloat16
from .utils._at_once import fitted_at_once
from .utils._caches import opened_cache
from .utils._doc_link import DocLinkMixin
from .utils._generators import seeded
from .utils._image_features import ImageFeaturesMixin
from .utils._memory import explains_memory, is_out_of_memory
from .utils._pickling import check_picklable
from .utils._recipes import NestedParamsMixin
from .utils._sklearn_compat import HasMethods, StrOptions, fit_context, get_output_config

Source = tuple[str, str | None] | Packed | None
"""What a fitted module is of: a model's name and that of its weights, or itself; None is the
parameter."""
PROBED = 16
"""Samples that a backbone is tried on, at most."""
Pooling = Literal["mean"]


def _to_compute(backbone: BackboneTransformer, data: Rows) -> str:
    """Return what was asked for when there was no memory for it, and a remedy."""
    remedies = ["pass fewer samples at once, or preprocess to fewer pixels"]
    remedies += ["set device='cpu'"] if backbone.device_.type != "cpu" else []
    return (
        f"computing a backbone's features of {len(data)} samples of shape {backbone.spec_.shape}. "
        f"You can {', or '.join(remedies)}."
    )


class BackboneTransformer(
    ImageFeaturesMixin, TransformerMixin, NestedParamsMixin, DocLinkMixin, BaseEstimator
):
    """Features of a frozen, pre-trained network: images to rows, or to a grid of features.

    What to put in front of a classifier, a :class:`VAETransformer`, a :class:`VAEAugmenter` or a
    :class:`VAEDetector` where images are photographs, parts or scans. It learns nothing: ``fit``
    checks X and loads the backbone. An image's features do not depend on the images beside it.

    Parameters
    ----------
    backbone : str or torch.nn.Module, default="efficientnet_b0"
        The name of one of torchvision's classification models, such as ``"resnet50"``,
        ``"convnext_tiny"`` or ``"vit_b_16"``; or a module of yours that maps what
        ``preprocessing`` returns to features. The default has 5 million parameters (20 MB) and 1280
        features. A module is copied, and used in float32 and in evaluation mode.

    weights : str, torchvision.models.WeightsEnum or None, default="DEFAULT"
        Of a model by name: ``"DEFAULT"``, torchvision's best; an entry's name, such as
        ``"IMAGENET1K_V2"`` or ``"ResNet50_Weights.IMAGENET1K_V2"``; or None for random weights, the
        same at each fit. torchvision downloads the file once, into
        ``torch.hub.get_dir() + "/checkpoints"``. A module brings its own: no effect there.

    layers : str, list of str or None, default=None
        Names of submodules whose outputs are the features, as ``named_modules`` has them. Those of
        several are concatenated. None is what goes into the layer that tells the classes, for a
        model by name, and the output of a module. A classifier's output is its logits: name the
        layer before, such as ``"avgpool"``. With ``pool=None`` it is the last map of a model by
        name.

    pool : "mean" or None, default="mean"
        ``"mean"`` averages maps over the image, and tokens over all tokens, to rows
        ``(n, features)``. None keeps features in their places, ``(n, h, w, features)``: of maps, or
        of a square of tokens, less those of the class and of registers. Several layers are brought
        to the largest grid, bilinearly.

    preprocessing : callable or None, default=None
        From a batch of images ``(n, c, h, w)`` to the backbone's input, on the device: uint8 as it
        is (0 to 255), float32 in [0, 1] else. None are torchvision's own transforms for a model by
        name, and for a module images in [0, 1]. Most of torchvision's resize to 256 pixels and cut
        out the centre of 224; see Examples for whole images. Files and ``memory`` need a function
        with a name, no lambda.

    image_shape : tuple of int, default=None
        What one row of a flattened X is: (height, width), (height, width, channels) or (channels,
        height, width). None for arrays of images, and for rows that are not images, which a module
        may take.

    device : str or torch.device, default="auto"
        ``"auto"`` is the first of cuda, mps and cpu that there is.

    precision : {"auto", "float32", "bfloat16"}, default="auto"
        What the backbone multiplies in. ``"auto"`` is bfloat16 on CPUs that are faster in it, where
        it changes the features of the first images by less than 5 % of how they vary; else float32.

    memory : str or joblib.Memory, default=None
        Keeps what :meth:`transform` returns, so that a search computes the features of each part of
        X once, those of test folds, too. ``Pipeline(memory=...)`` keeps those of training folds.

    Attributes
    ----------
    module_ : torch.nn.Module
        The backbone with preprocessing and pooling, on ``device_``, from raw images to features.
    device_ : torch.device
        Where it is.
    spec_ : InputSpec
        Shape, layout and dtype of the fitted X.
    n_features_in_ : int
        Number of values in one sample of the fitted X.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns of X, where it has any that are all strings.

    See Also
    --------
    VAETransformer : Learns features from your own images.
    sklearn_vae.datasets.ImageReader : Reads image files, in front of this.

    Notes
    -----
    Grey images become three equal channels where the backbone's first convolution takes three.
    Images with opacity are refused: drop their fourth channel.

    A model by name is pickled without its weights, which are loaded again from torchvision's place;
    a module is pickled with them. Both load on a machine that lacks the device.

    As nothing is learnt, features may also be computed before a search, of all images at once.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from torch import nn
    >>> from sklearn_vae import BackboneTransformer
    >>> X = np.random.default_rng(0).integers(0, 256, (20, 32, 32, 3), dtype=np.uint8)
    >>> y = np.arange(20) % 2
    >>> module = nn.Sequential(nn.Conv2d(3, 8, 4, 4), nn.ReLU(), nn.Conv2d(8, 16, 2, 2))
    >>> backbone = BackboneTransformer(module, device="cpu")
    >>> backbone.fit_transform(X).shape
    (20, 16)
    >>> model = make_pipeline(backbone, LogisticRegression()).fit(X, y)

    In their places, of two layers:

    >>> backbone.set_params(layers=["1", "2"], pool=None).fit_transform(X).shape
    (20, 8, 8, 24)

    A model of torchvision's on whole images of 96 pixels, rather than on the centre of 224:

    >>> from torchvision.models import MobileNet_V3_Small_Weights
    >>> to_96 = MobileNet_V3_Small_Weights.DEFAULT.transforms(resize_size=96, crop_size=96)
    >>> small = BackboneTransformer(
    ...     "mobilenet_v3_small", weights=None, preprocessing=to_96, device="cpu"
    ... )
    >>> small.fit_transform(X).shape
    (20, 1024)
    """

    module_: Backbone
    """From raw images to features, on ``device_``."""
    device_: torch.device
    """Where the module is."""
    spec_: InputSpec
    """Shape, layout and dtype of the fitted X."""
    n_features_in_: int
    """Number of values in one sample of the fitted X."""
    _source: Source

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "backbone": [str, torch.nn.Module],
        "weights": [str, HasMethods("get_state_dict"), None],
        "layers": [str, list, tuple, None],
        "pool": [StrOptions({"mean"}), None],
        "preprocessing": [callable, None],
        "image_shape": [tuple, list, None],
        "device": [str, torch.device],
        "precision": [StrOptions(set(get_args(Precision)))],
        "memory": [str, HasMethods("cache"), None],
    }

    def __init__(
        self,
        backbone: str | torch.nn.Module = "efficientnet_b0",
        *,
        weights: Any = "DEFAULT",
        layers: str | Sequence[str] | None = None,
        pool: Pooling | None = "mean",
        preprocessing: Preprocessing | None = None,
        image_shape: tuple[int, ...] | None = None,
        device: str | torch.device = "auto",
        precision: Precision = "auto",
        memory: str | joblib.Memory | None = None,
    ) -> None:
        self.backbone = backbone
        self.weights = weights
        self.layers = layers
        self.pool = pool
        self.preprocessing = preprocessing
        self.image_shape = image_shape
        self.device = device
        self.precision = precision
        self.memory = memory

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> BackboneTransformer:
        """Check X and load the backbone.

        Parameters
        ----------
        X : array-like, torch.Tensor or torch.utils.data.Dataset
            Images ``(n, h, w)``, ``(n, h, w, c)`` or ``(n, c, h, w)``, or rows ``(n, d)``, which
            are images when ``image_shape`` is set. uint8 is 0 to 255, float images are in [0, 1].
        y : Ignored
            Not used; present for the scikit-learn API.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        FileNotFoundError
            When weights are neither on this machine nor can be downloaded. The message says which
            file to put where.
        ValueError
            For input or parameters that cannot work: an unknown model, weights or layer, images of
            other channels than the backbone takes, layers that return no features.
        """
        with fitted_at_once(self) as unseen:
            data, spec, check = read_first(X, unseen, unseen.image_shape, at_least=1)
            check("backbone" if spec.is_image else None)
            data = with_checks(data, spec, bounded=spec.is_image)
            unseen.n_features_in_, unseen.spec_ = spec.n_features, spec
            unseen.device_ = resolve_device(unseen.device)
            BackboneTransformer._load(unseen, data)
        return self

    @explains_memory(_to_compute)
    def _load(self, data: Rows) -> None:
        """Build what the parameters stand for, and try it on the first of the samples."""
        self._source, preprocessing = None, self.preprocessing
        if isinstance(self.backbone, str):
            self.spec_.check_image(f"backbone={self.backbone!r} takes images")
            entry = resolve_weights(self.backbone, self.weights)
            self._source = self.backbone, None if entry is None else entry.name
            if preprocessing is None:
                preprocessing = (entry or resolve_weights(self.backbone, "DEFAULT")).transforms()
        module = _fresh(self._source, self.backbone)
        taps = tuple(self._taps(module))
        bfloat16 = self.precision == "bfloat16"
        settings = BackboneSettings(preprocessing, taps, self.pool is None, bfloat16)
        first = to_device(data.rows(0, min(PROBED, len(data))), self.device_)
        try:
            self._use(module, settings)
            with exact_inference():
                self.module_.probe(first)
                if self.precision == "auto" and has_fast_bfloat16(self.device_):
                    self.module_.take_bfloat16(first)
        except Exception as error:  # whatever the user's module and preprocessing raise
            if isinstance(error, (ValueError, Warning)) or is_out_of_memory(error):
                raise
            raise ValueError(
                f"preprocessing and backbone fail on X, {self.spec_.dtype} of shape "
                f"{self.spec_.shape}: {error!r:.300}. The backbone has to take what preprocessing "
                "returns, which comes in float32 if it is float."
            ) from error

    def _taps(self, module: torch.nn.Module) -> list[Tap]:
        """Return where features are taken; nowhere for the map that is yet to be found."""
        if self.layers is None and not isinstance(self.backbone, str):
            return [Tap("")]
        if self.layers is None:
            return [] if self.pool is None else [default_tap(module)]
        names = [self.layers] if isinstance(self.layers, str) else [*self.layers]
        known = [name for name, _ in module.named_modules()]
        if not names:
            raise ValueError("layers is empty; name one layer or more, or set layers=None.")
        for name in names:
            if name not in known:
                near = difflib.get_close_matches(str(name), known) or known[1:4]
                raise ValueError(
                    f"layers={self.layers!r}: the backbone has no layer {name!r}; it has, for "
                    f"example, {', '.join(map(repr, near))}. module.named_modules() lists all."
                )
        return [Tap(name) for name in names]

    def _use(self, module: torch.nn.Module, settings: BackboneSettings) -> None:
        """Set the fitted module, on its device."""
        scaling = self.spec_.scaling(standardise=False)
        self.module_ = Backbone(module, scaling, settings).to(self.device_)

    def transform(self, X: Any) -> np.ndarray:
        """Return the backbone's features.

        Parameters
        ----------
        X : array-like, torch.Tensor or torch.utils.data.Dataset
            Samples in the form that :meth:`fit` saw.

        Returns
        -------
        features : ndarray of shape (n, n_features) or (n, h, w, n_features), float32
            Rows, or with ``pool=None`` a grid.

        Raises
        ------
        ValueError
            When X differs from the fitted data in shape, dtype or range.
        """
        check_is_fitted(self)
        grid = len(self.module_.settings.output_shape) > 1
        if grid and get_output_config("transform", self)["dense"] != "default":
            raise ValueError("A data frame holds no grid. Set pool='mean', or no set_output.")
        if self.memory is not None:
            bare = object.__new__(type(self))
            # Not what scikit-learn's callbacks leave here and there.
            kept = {k: v for k, v in vars(self).items() if k[0] != "_" or k == "_source"}
            bare.__dict__ = {**kept, "memory": None}
            of_versions = tuple(version(name) for name in ("sklearn-vae", "torch", "torchvision"))
            return opened_cache(self.memory).cache(_kept)(bare, X, of_versions)
        here = next(self.module_.parameters(), torch.empty(0, device=self.device_)).device
        return self._features(read_in_place(X, self, self.spec_, here, bounded=self.spec_.is_image))

    @explains_memory(_to_compute)
    def _features(self, data: Rows) -> np.ndarray:
        module, device = self.module_, self.device_
        shape = module.settings.input_shape
        return apply_by_chunks(data, lambda raw: module(to_device(raw, device)), device, shape)

    def grids(self, images: torch.Tensor) -> torch.Tensor:
        """Return the features of images of any size, for estimators that read images themselves.

        Parameters
        ----------
        images : torch.Tensor of shape (n, channels, height, width)
            Checked, with channels and dtype as fit saw them.

        Returns
        -------
        features : torch.Tensor of shape (n, h, w, n_features)
            In host memory.
        """
        with exact_inference():
            found = self.module_(to_device(images, self.device_), self.scaling_of(images))
        return to_host(found)()

    def scaling_of(self, images: torch.Tensor) -> Scaling:
        """Return what takes images of any size to [0, 1].

        Parameters
        ----------
        images : torch.Tensor of shape (n, channels, height, width)
            Of the dtype of the fitted X.

        Returns
        -------
        scaling : Scaling
            The module that does it.
        """
        shape = tuple(images.shape[1:])
        spec = replace(self.spec_, shape=shape, raw_shape=shape, channels_last=False)
        return spec.scaling(standardise=False)

    @property
    def _n_features_out(self) -> int:
        """Number of values that :meth:`transform` returns of one sample."""
        return prod(self.module_.settings.output_shape)

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Be pickled, if backbone and preprocessing can be."""
        parts = {"backbone": self.backbone, "preprocessing": self.preprocessing}
        if isinstance(self.backbone, torch.nn.Module):
            parts["backbone"] = Packed.of(self.backbone).module
        remedy = "Give functions a name in a module of yours, and fold parametrizations."
        check_picklable(parts, remedy, protocol)
        return super().__reduce_ex__(protocol)

    def __getstate__(self) -> dict[str, Any]:
        state, packed = {**super().__getstate__()}, None
        if isinstance(self.backbone, torch.nn.Module):
            packed = state["backbone"] = Packed.of(self.backbone)
        if "module_" in state:
            fitted = state.pop("module_")
            # As it was fitted: the parameter may have been changed or set since.
            source = self._source or Packed.of(fitted.unwatched(), packed)
            state["module_"] = source, fitted.settings
            del state["device_"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        beside = state["backbone"] if isinstance(state["backbone"], Packed) else None
        if beside is not None:
            state = {**state, "backbone": beside.unpacked()}
        fitted = state.pop("module_", None)
        super().__setstate__(state)
        if fitted is not None:
            source, settings = fitted
            self.device_ = resolve_device(self.device, fallback=True)
            if self.precision == "auto" and not has_fast_bfloat16(self.device_):
                settings = replace(settings, bfloat16=False)
            self._use(_fresh(source, self.backbone, beside), settings)


def _kept(backbone: BackboneTransformer, X: Any, versions: Any) -> np.ndarray:
    """Return the features of X; other versions have others."""
    return backbone.transform(X)


def _fresh(source: Source, backbone: Any, beside: Packed | None = None) -> torch.nn.Module:
    """Return a backbone's own module: by name, packed beside it, or a copy of the parameter."""
    with torch.inference_mode(False), seeded(0, torch.device("cpu")):
        if isinstance(source, Packed):
            return source.unpacked(beside)
        if source is None:
            return copy.deepcopy(backbone)
        name, weights = source
        return torchvision_model(name, resolve_weights(name, weights))

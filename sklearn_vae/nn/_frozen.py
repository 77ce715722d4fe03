"""Frozen backbones: torchvision's by name or modules of the user's, and what their layers say."""

from __future__ import annotations

import contextlib
import copy
import difflib
import math
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from ..utils._memory import is_out_of_memory
from ._mps import fastest_layout
from ._scaling import Scaling

Preprocessing = Callable[[Tensor], Tensor]
CLASS_TOKENS = (0, 1, 5)
"""Tokens before those of the image: none, a class token, or that and four registers."""

BFLOAT16_ERROR = 0.05
"""Error by bfloat16, as a share of how features vary between images, that is let pass."""


# -- torchvision's models by name ------------------------------------------------------------------


def resolve_weights(name: str, weights: Any) -> Any:
    """Return torchvision's entry for weights of one of its classification models, or None.

    Parameters
    ----------
    name : str
        The model's.
    weights : str, torchvision.models.WeightsEnum or None
        ``"DEFAULT"``, an entry's name with or without the enum's, an entry, or None.

    Raises
    ------
    ValueError
        For an unknown model, or weights that are not the model's.
    """
    from torchvision import models  # which takes a second to import

    known = models.list_models(module=models)
    if name not in known:
        near = difflib.get_close_matches(name, known) or ["resnet50", "efficientnet_b0"]
        raise ValueError(
            f"backbone={name!r} is no classification model of torchvision's; {', '.join(near)} "
            "are. torchvision.models.list_models(module=torchvision.models) lists all. For another "
            "model pass the torch module itself."
        )
    if weights is None:
        return None
    entries = models.get_model_weights(name)
    entry = str(weights).removeprefix(f"{entries.__name__}.")
    if entry not in entries.__members__:
        named = ", ".join(map(repr, entries.__members__))
        raise ValueError(
            f"weights={str(weights)!r} are none of {name}'s; use one of {named}, or None for "
            "random weights."
        )
    return entries[entry]


def torchvision_model(name: str, weights: Any) -> nn.Module:
    """Return one of torchvision's models with the weights that :func:`resolve_weights` returned.

    Raises
    ------
    FileNotFoundError
        When the weights are not on this machine, and could not be downloaded.
    """
    from torchvision import models

    # Two warn that this will be their default; with weights it is.
    how = {"init_weights": False} if name in ("googlenet", "inception_v3") and not weights else {}
    try:
        model: nn.Module = models.get_model(name, weights=weights, **how)
    except Exception as error:  # whatever a damaged file makes of pickle
        if weights is None or is_out_of_memory(error):
            raise
        if (file := _weights_file(weights.url)).exists():
            raise ValueError(
                f"{file} does not hold the weights {weights} of backbone={name!r} ({error!r:.300})."
                f" Delete it, or put the file of {weights.url} in its place."
            ) from error
        raise FileNotFoundError(
            f"The weights {weights} of backbone={name!r} are not on this machine, and the download "
            f"failed ({error}). Download {weights.url} elsewhere, and put the file {file.name} "
            f"into {file.parent}. The environment variable TORCH_HOME moves that folder."
        ) from error
    return model


def _weights_file(url: str) -> Path:
    """Return where torch.hub looks for weights before it downloads them."""
    return Path(torch.hub.get_dir(), "checkpoints", Path(urlparse(url).path).name)


def default_tap(model: nn.Module) -> Tap:
    """Return where a classification model's features are: before the last layer with weights.

    That layer returns the logits of the classes in all of torchvision's; in most it is linear.
    """
    layers = [name for name, part in model.named_modules() if [*part.parameters(recurse=False)]]
    return Tap(layers[-1], before=True)


def last_map(model: nn.Module, x: Tensor) -> Tap:
    """Return where a classification model's last map is that it has not averaged yet."""
    found = ""

    def keep(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            nonlocal found
            pooled = isinstance(module, nn.AdaptiveAvgPool2d)  # of VGG to 7 x 7, whatever comes
            if not pooled and isinstance(output, Tensor) and is_grid(output):
                found = name

        return hook

    def stop(*_: Any) -> None:
        raise _Enough

    end = model.get_submodule(default_tap(model).layer)
    handles = [end.register_forward_pre_hook(stop)]
    handles += [part.register_forward_hook(keep(name)) for name, part in model.named_modules()]
    try:
        model(x)
    except _Enough:
        pass
    finally:
        for handle in handles:
            handle.remove()
    return Tap(found)


# -- layers ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Tap:
    """A place in a module where activations are taken.

    Attributes
    ----------
    layer : str
        A submodule's name; ``""`` is the module itself.
    before : bool, default=False
        Whether what goes in is taken rather than what comes out.
    """

    layer: str
    before: bool = False

    def __str__(self) -> str:
        what = f"layer {self.layer!r}" if self.layer else "module"
        return f"the input of the {what}" if self.before else f"the output of the {what}"


class _Enough(Exception):  # noqa: N818 (no error: what is behind the last tap need not run)
    pass


class _Pass:
    """What one pass through a module has taken so far.

    A layer may be called several times; the last call counts. Values are worked on at once, as
    layers behind may change them in place.
    """

    under_way: ContextVar[_Pass | None] = ContextVar("under_way", default=None)
    """Hooks belong to the module, a pass to its thread."""

    def __init__(self, take: Callable[[Tap, Any], Tensor], calls: dict[Tap, int]) -> None:
        self.take, self.calls = take, calls
        self.values: dict[Tap, Tensor] = {}
        self.counts: dict[Tap, int] = {}

    def through(self, module: nn.Module, x: Tensor) -> None:
        """Run the module until every tap has had its calls, or to its end."""
        token = self.under_way.set(self)
        try:
            module(x)
        except _Enough:
            pass
        finally:
            self.under_way.reset(token)

    def add(self, tap: Tap, value: Any) -> None:
        """Take a value."""
        self.values[tap] = self.take(tap, value)
        self.counts[tap] = self.counts.get(tap, 0) + 1
        if self.counts == self.calls:
            raise _Enough


@dataclass(frozen=True)
class _Hook:
    """Hands what is taken over to the pass under way."""

    tap: Tap

    def __call__(self, _: nn.Module, args: Any, output: Any = None) -> None:
        if (under_way := _Pass.under_way.get()) is not None:
            under_way.add(self.tap, args[0] if self.tap.before else output)

    def register(self, module: nn.Module) -> RemovableHandle:
        layer = module.get_submodule(self.tap.layer)
        if self.tap.before:
            return layer.register_forward_pre_hook(self)
        return layer.register_forward_hook(self)


@dataclass(frozen=True)
class BackboneSettings:
    """What makes a :class:`Backbone` of a module.

    Attributes
    ----------
    preprocessing : callable or None
        From images (n, c, h, w), uint8 or float32 in [0, 1], to the module's input. None leaves
        them in [0, 1].
    taps : tuple of Tap
        Where features are taken. None at all stands for :func:`last_map`, until it is found.
    grid : bool
        Whether they stay in their places, (n, h, w, features), or are averaged to rows.
    bfloat16 : bool, default=False
        Whether the module multiplies in bfloat16.
    input_shape : tuple of int
        What the module sees of one image, once :meth:`Backbone.probe` has seen one.
    output_shape : tuple of int
        The features of one image.
    calls : dict of Tap to int
        How often a tap has something in one pass.
    """

    preprocessing: Preprocessing | None
    taps: tuple[Tap, ...]
    grid: bool
    bfloat16: bool = False
    input_shape: tuple[int, ...] = ()
    output_shape: tuple[int, ...] = ()
    calls: dict[Tap, int] = field(default_factory=dict)


class Backbone(nn.Module):
    """From raw images to features of a frozen module.

    Parameters
    ----------
    module : torch.nn.Module
        Becomes a part of this one: pass a copy of a user's.
    scaling : Scaling
        Knows the layout and range of raw images.
    settings : BackboneSettings
    """

    def __init__(self, module: nn.Module, scaling: Scaling, settings: BackboneSettings) -> None:
        super().__init__()
        self.module = module.float().eval().requires_grad_(False)
        self.scaling = scaling
        self.settings = settings
        self.handles = [_Hook(tap).register(self.module) for tap in settings.taps]

    def probe(self, raw: Tensor) -> None:
        """Learn from a few raw images how the module sees them, and what comes out.

        Raises
        ------
        ValueError
            For layers that were not called, or return nothing that features can be made of.
        """
        x = self.prepared(raw)
        if not self.settings.taps:
            found = last_map(self.module, x)
            self.settings = replace(self.settings, taps=(found,))
            self.handles = [_Hook(found).register(self.module)]
        features, calls = self._pass(x)
        if len(features) != len(raw):
            raise ValueError(f"{len(raw)} images have {len(features)} rows of features.")
        if not features.numel() or not features.isfinite().all():
            raise ValueError(
                f"The first images' features, of shape {tuple(features.shape)}, are empty, "
                "infinite or NaN. Look at the backbone's weights, its layers, and at preprocessing."
            )
        self.settings = replace(
            self.settings,
            input_shape=tuple(x.shape[1:]),
            output_shape=tuple(features.shape[1:]),
            calls=calls,
        )

    def forward(self, raw: Tensor, scaling: Scaling | None = None) -> Tensor:
        """Map raw images to features, float32; those of another size come with their scaling."""
        return self._pass(self.prepared(raw, scaling))[0]

    def take_bfloat16(self, raw: Tensor) -> None:
        """Multiply in bfloat16 from now on, if the features of these images hardly change by it."""
        exact = self(raw)
        full = self.settings
        self.settings = replace(full, bfloat16=True)
        error, spread = self(raw) - exact, exact - exact.mean(0)
        if not error.square().sum() <= BFLOAT16_ERROR**2 * spread.square().sum():  # NaN neither
            self.settings = full

    def exportable(self) -> Backbone:
        """Return a copy in host memory, in float32, that torch can export."""
        twin = copy.deepcopy(self).cpu()
        preprocessing = self.settings.preprocessing
        if all(hasattr(preprocessing, name) for name in ("resize_size", "crop_size", "mean")):
            preprocessing = _Preset(preprocessing)
        to_the_end: dict[Tap, int] = {}  # torch cannot trace a pass that is broken off
        twin.settings = replace(
            self.settings, bfloat16=False, preprocessing=preprocessing, calls=to_the_end
        )
        return twin

    def unwatched(self) -> nn.Module:
        """Return a copy of the module as it was given."""
        module, handles = copy.deepcopy((self.module, self.handles))
        for handle in handles:
            handle.remove()
        return module

    def _pass(self, x: Tensor) -> tuple[Tensor, dict[Tap, int]]:
        """Return the features of the module's input, and how often each tap was called."""
        taps, grid = self.settings.taps, self.settings.grid
        sides = (x.shape[-2], x.shape[-1]) if x.dim() == 4 else (1, 1)

        def take(tap: Tap, value: Any) -> Tensor:
            return as_map(tap, value, sides) if grid else as_rows(tap, value, sides)

        taken = _Pass(take, self.settings.calls)
        with self._precision(x.device):
            taken.through(self.module, x)
        if missing := [str(tap) for tap in taps if tap not in taken.values]:
            raise ValueError(f"A pass through the backbone never came to {', '.join(missing)}.")
        found = [taken.values[tap] for tap in taps]
        return (side_by_side(found) if grid else torch.cat(found, 1)), taken.counts

    def _precision(self, device: torch.device) -> contextlib.AbstractContextManager[Any]:
        if self.settings.bfloat16:
            return torch.autocast(device.type, torch.bfloat16)
        return contextlib.nullcontext()

    def prepared(self, raw: Tensor, scaling: Scaling | None = None) -> Tensor:
        """Return raw images as the module's input."""
        scaling = scaling or self.scaling
        levels = raw.dtype == torch.uint8 and scaling.maximum == 255
        preprocessing = self.settings.preprocessing
        as_it_is = levels and preprocessing is not None
        x = scaling.arranged(raw) if as_it_is else scaling(raw)
        x = to_channels(x, channels_of(self.module)) if x.dim() == 4 else x
        x = x.clone()  # what follows may work in place, and x be a view of the user's X
        x = x if preprocessing is None else preprocessing(x)
        if not isinstance(x, Tensor):
            raise ValueError(f"preprocessing returned {type(x).__name__}; return a tensor.")
        x = x.float() if x.is_floating_point() else x
        return fastest_layout(x) if x.dim() == 4 else x


@dataclass(frozen=True)
class _Preset:
    """What torchvision's transforms of classification models do, without a test of their values.

    That one, for a standard deviation of 0, keeps torch from exporting them.
    """

    of: Any

    def __call__(self, x: Tensor) -> Tensor:
        from torchvision.transforms import functional

        how = {"interpolation": self.of.interpolation, "antialias": self.of.antialias}
        x = functional.resize(x, self.of.resize_size, **how)
        x = functional.convert_image_dtype(functional.center_crop(x, self.of.crop_size))
        mean, std = (torch.tensor(v).reshape(-1, 1, 1) for v in (self.of.mean, self.of.std))
        return (x - mean) / std


def channels_of(module: nn.Module) -> int | None:
    """Return how many channels a module's images have, by its first convolution."""
    convolutions = (part for part in module.modules() if isinstance(part, nn.Conv2d))
    first = next(convolutions, None)
    return None if first is None else first.in_channels


def to_channels(x: Tensor, wanted: int | None) -> Tensor:
    """Return images (n, c, h, w) with the channels that are wanted, grey ones several times."""
    if x.shape[1] in (wanted, None) or wanted is None:
        return x
    if x.shape[1] == 1:
        return x.expand(-1, wanted, -1, -1)
    remedy = "Drop the channel of opacity: X[..., :3], or X[:, :3] where channels come first."
    if (x.shape[1], wanted) != (4, 3):
        remedy = "Choose the channels, or give a backbone that takes these."
    raise ValueError(
        f"X has images of {x.shape[1]} channels; the backbone takes {wanted}. {remedy}"
    )


def _tensor(tap: Tap, value: Any) -> Tensor:
    if isinstance(value, Tensor) and not value.is_complex():
        return value
    kind = f"{value.dtype} tensor" if isinstance(value, Tensor) else type(value).__name__
    raise ValueError(
        f"{tap} is a {kind}; a real tensor is needed. Name a layer that returns one: layers='...'."
    )


def _channels_first(value: Tensor, sides: tuple[int, int]) -> Tensor:
    """Return maps as (n, c, h, w); those of (n, h, w, c) are told by the image's proportions."""
    a, b, c = value.shape[1:]
    aspect = math.log(sides[0] / sides[1])
    last = abs(math.log(a / b) - aspect) < abs(math.log(b / c) - aspect)
    return value.permute(0, 3, 1, 2) if last else value


def as_rows(tap: Tap, value: Any, sides: tuple[int, int]) -> Tensor:
    """Return activations averaged over places: (n, f), tokens (n, t, f) or maps, to (n, f)."""
    value = _tensor(tap, value).float()
    if value.dim() == 4:
        return _channels_first(value, sides).mean((2, 3))
    if value.dim() == 3:
        return value.mean(1)
    if value.dim() == 2:
        return value.clone()
    raise ValueError(
        f"{tap} has shape {tuple(value.shape)}; (n, features), (n, tokens, features) or maps "
        "(n, channels, height, width) are needed."
    )


def as_map(tap: Tap, value: Any, sides: tuple[int, int]) -> Tensor:
    """Return activations in their places, (n, c, h, w): of maps, or of a square of tokens."""
    value = _tensor(tap, value).float()
    if value.dim() == 4:
        return _channels_first(value, sides).clone()
    if value.dim() == 3:
        side = math.isqrt(value.shape[1])
        others = value.shape[1] - side * side
        if others in CLASS_TOKENS:
            return value[:, others:].transpose(1, 2).unflatten(2, (side, side)).clone()
    raise ValueError(
        f"{tap} has shape {tuple(value.shape)}, which is no grid of features: (n, channels, "
        "height, width), or a square of tokens. Name a layer that returns one, layers='...', or "
        "set pool='mean'."
    )


def is_grid(value: Tensor) -> bool:
    """Return whether activations have places, more than one."""
    if value.dim() == 4:
        return value.shape[2:].numel() > 1
    return value.dim() == 3 and value.shape[1] - math.isqrt(value.shape[1]) ** 2 in CLASS_TOKENS


def side_by_side(maps: list[Tensor]) -> Tensor:
    """Return maps (n, c, h, w) of several sizes as one grid, (n, h, w, all c), of the largest."""
    size = max((x.shape[2:] for x in maps), key=math.prod)
    resized = [
        x if x.shape[2:] == size else F.interpolate(x, size, mode="bilinear", align_corners=False)
        for x in maps
    ]
    return torch.cat(resized, 1).permute(0, 2, 3, 1).contiguous()

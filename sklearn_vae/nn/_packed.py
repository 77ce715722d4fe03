"""Modules as they are pickled: weights as arrays, which joblib compresses, maps and knows again."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Packed:
    """A module as it is pickled: without weights, and these as bytes.

    joblib compresses and maps arrays, and its caches know them again, which they do not with
    tensors. None stands for an array that another packed module has in the same place.
    """

    module: nn.Module
    arrays: list[np.ndarray | None]

    @classmethod
    def of(cls, module: nn.Module, beside: Packed | None = None) -> Packed:
        """Return a module's packed copy, without what the one beside it brings along."""
        tensors = weights_of(module)
        bare = {id(t): _bare(t) for t in tensors}
        held = [t.detach().cpu().contiguous().reshape(-1).view(torch.uint8) for t in tensors]
        arrays: list[np.ndarray | None] = [t.numpy() for t in held]
        for i, (own, other) in enumerate(zip(held, beside.arrays if beside else (), strict=False)):
            if other is not None and np.array_equal(own.numpy(), other):
                arrays[i] = None
        return cls(copy.deepcopy(module, bare), arrays)

    def unpacked(self, beside: Packed | None = None) -> nn.Module:
        """Return the module in host memory; ``beside`` is as it was for :meth:`of`."""
        arrays = self.arrays
        if beside is not None:
            arrays = [beside.arrays[i] if a is None else a for i, a in enumerate(arrays)]
        pairs = zip(weights_of(self.module), arrays, strict=True)
        return copy.deepcopy(self.module, {id(t): _filled(t, array) for t, array in pairs})


def weights_of(module: nn.Module) -> list[Tensor]:
    """Return a module's parameters and buffers, each once, but for sparse ones."""
    tensors = [*module.parameters(), *module.buffers()]
    return [t for t in tensors if t.layout == torch.strided]


def _bare(tensor: Tensor) -> Tensor:
    bare = torch.empty_like(tensor, device="meta", memory_format=torch.contiguous_format)
    is_parameter = isinstance(tensor, nn.Parameter)
    return nn.Parameter(bare, tensor.requires_grad) if is_parameter else bare


def _filled(bare: Tensor, array: np.ndarray | None) -> Tensor:
    held = torch.from_numpy(np.array(array)).view(bare.dtype).reshape(bare.shape)
    return nn.Parameter(held, bare.requires_grad) if isinstance(bare, nn.Parameter) else held

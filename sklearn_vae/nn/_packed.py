"""Modules as they are pickled: weights as arrays, which joblib compresses, maps and knows again."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Packed:
    """A module as it is pickled: without weights, and these as bytes.

    joblib compresses and maps arrays, and its caches know them again, which they do not with
    tensors.
    """

    module: nn.Module
    arrays: list[np.ndarray]

    @classmethod
    def of(cls, module: nn.Module) -> Packed:
        """Return a module's packed copy."""
        tensors = weights_of(module)
        bare = {id(t): _bare(t) for t in tensors}
        held = [t.detach().cpu().contiguous().reshape(-1).view(torch.uint8) for t in tensors]
        return cls(copy.deepcopy(module, bare), [t.numpy() for t in held])

    def unpacked(self) -> nn.Module:
        """Return the module in host memory."""
        tensors = weights_of(self.module)
        pairs = zip(tensors, self.arrays, strict=True)
        return copy.deepcopy(self.module, {id(t): _filled(t, array) for t, array in pairs})


def weights_of(module: nn.Module) -> list[Tensor]:
    """Return a module's parameters and buffers, each once."""
    return [*module.parameters(), *module.buffers()]


def _bare(tensor: Tensor) -> Tensor:
    bare = torch.empty_like(tensor, device="meta", memory_format=torch.contiguous_format)
    is_parameter = isinstance(tensor, nn.Parameter)
    return nn.Parameter(bare, tensor.requires_grad) if is_parameter else bare


def _filled(bare: Tensor, array: np.ndarray) -> Tensor:
    held = torch.from_numpy(np.array(array)).view(bare.dtype).reshape(bare.shape)
    return nn.Parameter(held, bare.requires_grad) if isinstance(bare, nn.Parameter) else held


def same_module(a: nn.Module, b: Any) -> bool:
    """Whether b is a module of the same parts and weights."""
    if not isinstance(b, nn.Module):
        return False
    parts = [[(name, type(part)) for name, part in m.named_modules()] for m in (a, b)]
    weights = weights_of(a), weights_of(b)
    return (
        parts[0] == parts[1]
        and len(weights[0]) == len(weights[1])
        and all(
            x.dtype == y.dtype and torch.equal(x.cpu(), y.cpu())
            for x, y in zip(*weights, strict=True)
        )
    )

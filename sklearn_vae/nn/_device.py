"""Which device to use, its generators, and what an inference pass on it must not do."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch

from ._mps import is_limited


def resolve_device(device: str | torch.device, *, fallback: bool = False) -> torch.device:
    """Return the torch device for ``"auto"`` (cuda, else mps, else cpu) or an explicit one.

    Parameters
    ----------
    device : str or torch.device
        ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``.
    fallback : bool, default=False
        With True, a device that this machine lacks becomes the CPU, with a warning: a model
        trained elsewhere must load. With False it is an error: training must not silently move.

    Raises
    ------
    ValueError
        For an unknown device, or one that this machine lacks.
    """
    if str(device) == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    message = f"device={str(device)!r} is not known; use 'auto', 'cpu', 'cuda', 'cuda:0' or 'mps'."
    try:
        resolved = torch.device(device)
    except RuntimeError as error:
        raise ValueError(message) from error
    if resolved.type not in ("cpu", "cuda", "mps"):
        raise ValueError(message)
    if _available(resolved):
        return resolved
    if not fallback:
        raise ValueError(
            f"device={str(device)!r} is not available on this machine; use device='auto' or 'cpu'."
        )
    warnings.warn(
        f"The model was set to device={str(device)!r}, which this machine lacks; it is on the CPU.",
        UserWarning,
        stacklevel=3,
    )
    return torch.device("cpu")


def _available(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count()
    if device.type == "mps":
        return torch.backends.mps.is_available()
    return True


def free_memory(device: torch.device) -> int:
    """Return the free bytes of a GPU's own memory; 0 for devices that share the host's."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 0


ASYNCHRONOUS = {"cuda"}
"""Types of device that copy from and to pinned memory while the host goes on."""


def to_device(x: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Return x on the device, in float32 where it has no float64.

    The host does not wait where the device copies by itself. Elsewhere it does: to MPS, copies that
    nobody waits for may read what has been given back
    (https://github.com/pytorch/pytorch/issues/189690).
    """
    if is_limited(device) and x.dtype == torch.float64:
        x = x.float()
    if device.type in ASYNCHRONOUS and x.device.type == "cpu":
        return x.pin_memory().to(device, non_blocking=True)
    return x.to(device)


def to_host(x: torch.Tensor) -> Callable[[], torch.Tensor]:
    """Begin to copy x to host memory; return what waits for the copy and returns it."""
    if x.device.type not in ASYNCHRONOUS:
        return lambda: x
    copy = torch.empty(x.shape, dtype=x.dtype, device="cpu", pin_memory=True)
    copy.copy_(x, non_blocking=True)
    done = torch.cuda.current_stream(x.device).record_event()

    def wait() -> torch.Tensor:
        done.synchronize()
        return copy

    return wait


@contextlib.contextmanager
def exact_inference() -> Iterator[None]:
    """Inference without gradients or TF32, so that a row's result does not depend on its batch."""
    with torch.inference_mode(), contextlib.ExitStack() as stack:
        for owner, name, value in _exact_settings() if torch.cuda.is_available() else ():
            stack.callback(setattr, owner, name, getattr(owner, name))
            setattr(owner, name, value)
        yield


def _exact_settings() -> Iterator[tuple[Any, str, Any]]:
    """Yield whose attributes make convolutions exact, their names, and values."""
    cudnn: Any = torch.backends.cudnn
    yield cudnn, "benchmark", False
    yield cudnn, "deterministic", True
    if hasattr(cudnn, "conv"):  # since torch 2.9, where who sets both ways gets an error
        yield cudnn.conv, "fp32_precision", "ieee"
    else:
        yield cudnn, "allow_tf32", False

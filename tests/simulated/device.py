"""A device whose tensors live apart, computed on the CPU; it refuses what a GPU would refuse.

Tensors of the simulated device hold a CPU tensor that nobody else can reach. Operations on them and
on tensors in host memory together are errors, as on a GPU. Every read of a value by the host and
every copy between both memories is counted.
"""

from __future__ import annotations

from collections import Counter

import torch
from torch.utils import backend_registration
from torch.utils._python_dispatch import TorchDispatchMode

DEVICE = torch.device("privateuseone", 0)
READS = ("_local_scalar_dense", "equal", "is_nonzero", "masked_select", "nonzero", "_unique2")
COPIES = ("_to_copy", "copy_")


class Apart(torch.Tensor):
    """A tensor of the simulated device."""

    @staticmethod
    def __new__(cls, held):
        new = torch.Tensor._make_wrapper_subclass(
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=DEVICE,
        )
        new.held = held
        return new

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        raise RuntimeError(f"{func} outside of the simulation")


class SimulatedDevice(TorchDispatchMode):
    """Inside the block :data:`DEVICE` can be used; ``traffic`` counts what passes.

    Attributes
    ----------
    limited : bool
        Whether to refuse what torch 2.6 lacked on Apple's GPUs, of what the package uses.
    begun, arrived : list, int
        Copies to host memory that the device makes by itself; how many have been waited for.
    traffic : Counter
        ``"read"``: values that the host waited for; ``"to host"`` and ``"from host"``: copies.
    """

    def __init__(self, limited=False):
        super().__init__()
        self.limited = limited
        self.begun = []
        self.arrived = 0
        self.traffic = Counter()

    def __enter__(self):
        self._lifting = torch._C._only_lift_cpu_tensors()
        torch._C._set_only_lift_cpu_tensors(True)  # torch.tensor(..., device=...) comes by here
        return super().__enter__()

    def __exit__(self, *error):
        torch._C._set_only_lift_cpu_tensors(self._lifting)
        return super().__exit__(*error)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        tensors = [*_tensors(args), *_tensors(kwargs)]
        apart = [t for t in tensors if isinstance(t, Apart)]
        target = kwargs.get("device")
        if target is not None and torch.device(target).type == DEVICE.type:
            kwargs["device"] = torch.device("cpu")
            makes_apart = True
        else:
            makes_apart = bool(apart) and (target is None)
        name = func.overloadpacket.__name__
        if kwargs.pop("pin_memory", False):
            assert target is not None, "only host memory is pinned"
        if name in COPIES and self._is_left_to_the_device(name, args, kwargs):
            self.begun.append((args[0], args[1].held.clone()))
            return args[0]
        if name in COPIES:
            self._count_copy(name, args, apart, makes_apart)
        else:
            _refuse_mixture(func, tensors, apart)
            if apart and (name in READS or _looks_for_true(name, args)):
                self.traffic["read"] += 1
        if self.limited and makes_apart:
            _refuse_what_is_lacking(name, args)
        out = func(*_mapped(_held, args), **_mapped(_held, kwargs))
        if self.limited and makes_apart and _any_double(out):
            raise TypeError(f"{func}: this device has no float64")
        if name == "copy_":
            return args[0]
        if not makes_apart:
            return out
        own = {id(t.held): t for t in apart}

        def set_apart(value):
            if id(value) in own:  # changed in place
                return own[id(value)]
            return Apart(value)

        return _mapped(set_apart, out)

    def _is_left_to_the_device(self, name, args, kwargs):
        """Whether a copy arrives later; those from host memory are as if they were there."""
        late = kwargs.get("non_blocking", False) or (name == "copy_" and len(args) > 2 and args[2])
        if late and self.limited:
            raise RuntimeError("this device reads host memory after it has been given back")
        return late and name == "copy_" and not isinstance(args[0], Apart)

    def event(self):
        """Return what lets the copies arrive that are under way now."""
        begun = len(self.begun)

        def wait():
            while self.arrived < begun:
                place, value = self.begun[self.arrived]
                place.copy_(value)
                self.arrived += 1

        return wait

    def _count_copy(self, name, args, apart, makes_apart):
        source = args[1] if name == "copy_" else args[0]
        to = isinstance(args[0], Apart) if name == "copy_" else makes_apart
        if isinstance(source, Apart) and not to:
            self.traffic["to host"] += 1
        if to and not isinstance(source, Apart):
            self.traffic["from host"] += 1


def _held(tensor):
    return tensor.held if isinstance(tensor, Apart) else tensor


# torch's own functions for nested values take most of the time of an operation this small.
def _mapped(function, value):
    """Return a value with what the function makes of the tensors in it."""
    if isinstance(value, torch.Tensor):
        return function(value)
    if isinstance(value, (tuple, list)):
        return type(value)([_mapped(function, each) for each in value])
    if isinstance(value, dict):
        return {key: _mapped(function, each) for key, each in value.items()}
    return value


def _tensors(value):
    """Yield the tensors in a value."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, (tuple, list, dict)):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _tensors(each)


def _refuse_mixture(func, tensors, apart):
    """Raise for tensors of both memories; single values of the host are taken, as on GPUs."""
    strangers = [t for t in tensors if not isinstance(t, Apart) and t.dim() > 0]
    if apart and strangers:
        shapes = [(tuple(t.shape), str(t.device)) for t in tensors]
        raise RuntimeError(f"{func}: tensors of two devices: {shapes}")


def _looks_for_true(name, args):
    """Whether a mask is an index: how many rows it picks has to be known."""
    masks = args[1] if name in ("index", "index_put_", "_index_put_impl_") else ()
    return any(mask is not None and mask.dtype == torch.bool for mask in masks)


def _refuse_what_is_lacking(name, args):
    """Raise for operations, or uses of them, that torch 2.6 lacked on Apple's GPUs."""
    uneven = name == "_adaptive_avg_pool2d" and any(
        side % cells for side, cells in zip(args[0].shape[2:], args[1], strict=True)
    )
    padded = name == "grid_sampler_2d" and args[3] != 0
    if uneven or padded or name == "special_ndtri":
        raise NotImplementedError(f"{name} is not implemented on this device")


def _any_double(out):
    return any(t.dtype == torch.float64 for t in _tensors(out))


class _Backend(backend_registration._DummyBackendModule):
    """What torch asks of a device's module."""

    @staticmethod
    def get_amp_supported_dtype():
        """Return what torch.autocast wants to know even when it is switched off."""
        return [torch.bfloat16]


def register():
    """Make the device known to torch; once a process, and for all of it."""
    backend_registration._setup_privateuseone_for_python_backend(DEVICE.type, _Backend())

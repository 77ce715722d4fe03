"""A step of training as one list of operations, for CPUs: played without modules and autograd."""

from __future__ import annotations

from collections.abc import Callable
from itertools import compress
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode

from ._recording import Value

PAYS_FROM = 100
"""Steps that save more time than tracing one takes."""


class TracedStep:
    """A step of training as the list of its operations, in place of the search for them.

    They are the step's own operations in their order, so that the results are the same, bit for
    bit. A trace knows the tensors that the step works on and takes what Python decided on for
    constant: what changes from step to step is an argument. A step that reads a value off a
    tensor, on which Python might decide, runs as it is.

    Parameters
    ----------
    step : callable
        Changes tensors in place (weights, optimiser state, totals) and returns nothing. It sees
        every argument as a tensor, numbers in double precision and of shape (), or as None.
    """

    def __init__(self, step: Callable[..., None]) -> None:
        self._step = step
        self.renew()

    def renew(self) -> None:
        """Trace anew, for what has changed since the last trace beside the arguments."""
        self._run = self._warm_up

    def __call__(self, *values: Value) -> None:
        """Run the step with these values, which have the shapes and types of the first call's."""
        self._run(
            *(
                value if value is None or isinstance(value, Tensor) else _number(value)
                for value in values
            )
        )

    def _warm_up(self, *given: Tensor | None) -> None:
        self._step(*given)  # makes what a trace must find there, as the optimiser's state
        self._run = self._trace

    def _trace(self, *given: Tensor | None) -> None:
        self._run = traced(self._step, *given)


def _number(value: float) -> Tensor:
    return torch.tensor(value, dtype=torch.float64, device="cpu")


def traced(step: Callable[..., None], *given: Tensor | None) -> Callable[..., None]:
    """Run a step; return what repeats its operations, or the step itself if it reads values."""
    with _Tape(given) as tape:
        step(*given)
    return step if tape.reads_values else torch.no_grad()(tape.as_function())


class _Line(NamedTuple):
    """A call of an operation; ``is_pure`` where nothing but its results would be missed."""

    is_pure: bool
    results: list[str]
    in_list: bool
    call: str
    uses: set[str]

    def __str__(self) -> str:
        results = ", ".join(self.results)
        return f"{f'[{results}]' if self.in_list else results} = {self.call}"


class _Tape(TorchDispatchMode):
    """Writes every operation below autograd down as a line of Python.

    A tensor is known by its place: a storage, which is watched but not kept alive, and what of it
    the tensor shows. What was there before is bound to a name beforehand, as are operations and
    numbers. (``torch.fx`` takes ten times as long to do so, and looks up each of these in a call.)
    """

    def __init__(self, given: tuple[Tensor | None, ...]) -> None:
        super().__init__()
        self.reads_values = False
        self._arguments = [f"given_{i}" for i in range(len(given))]
        self._lines: list[_Line] = []
        self._bound: dict[str, Any] = {}
        self._names: dict[tuple[Any, ...], str] = {}
        self._lasting: set[int] = set()  # storages that were there before
        self._made: dict[int, StorageWeakRef] = {}  # no other gets an address that is watched
        for name, tensor in zip(self._arguments, given, strict=True):
            if tensor is not None:
                self._register(tensor, name)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run the operation and write it down."""
        kwargs = kwargs or {}
        if func.namespace == "profiler":
            return func(*args, **kwargs)
        uses: set[str] = set()
        parts = [self._written(value, uses) for value in args]
        parts += [f"{key}={self._written(value, uses)}" for key, value in kwargs.items()]
        result = func(*args, **kwargs)
        in_list = isinstance(result, (list, tuple))
        results = [*result] if in_list else [result]
        if not all(value is None or isinstance(value, Tensor) for value in results):
            self.reads_values = True
            return result
        new = [value is not None and self._is_new(value) for value in results]
        is_pure = not (func._schema.is_mutable or torch.Tag.nondeterministic_seeded in func.tags)
        if any(new) or not is_pure:  # else a view of what has a name
            names = [f"value_{len(self._lines)}_{i}" for i in range(len(results))]
            call = f"{self._bind(func)}({', '.join(parts)})"
            self._lines.append(_Line(is_pure, names, in_list, call, uses))
            for value, name in compress(zip(results, names, strict=True), new):
                self._register(value, name)
        return result

    def _is_new(self, value: Tensor) -> bool:
        return _place(value) not in self._names and _storage(value) not in self._lasting

    def _register(self, value: Tensor, name: str) -> None:
        self._names[_place(value)] = name
        self._made[_storage(value)] = StorageWeakRef(value.untyped_storage())

    def _bind(self, value: Any) -> str:
        name = f"bound_{len(self._bound)}"
        self._bound[name] = value
        return name

    def _written(self, value: Any, uses: set[str]) -> str:
        """Return an argument of an operation in Python; add the results in it to ``uses``."""
        if isinstance(value, (list, tuple)):
            in_it: set[str] = set()
            parts = [self._written(part, in_it) for part in value]
            uses |= in_it
            return f"[{', '.join(parts)}]" if in_it else self._bind(value)
        if isinstance(value, Tensor):
            if name := self._names.get(_place(value)):
                uses.add(name)
                return name
            assert _storage(value) not in self._made, "a view that no operation made"
            self._lasting.add(_storage(value))
        return self._bind(value)

    def as_function(self) -> Callable[..., None]:
        """Return what has been written as a function of the arguments."""
        text: list[str] = []  # from the last line to the first
        needed: set[str] = set()
        for line in reversed(self._lines):
            if line.is_pure and needed.isdisjoint(line.results):
                continue
            names = line.uses.union(line.results)
            if gone := sorted(names - needed):  # memory is free for the next as soon as it can be
                text.append(f"{' = '.join(gone)} = None")
            text.append(str(line))
            needed |= names
        source = "\n    ".join([f"def play({', '.join(self._arguments)}):", *reversed(text)])
        namespace = dict(self._bound)
        exec(source, namespace)
        play: Callable[..., None] = namespace.pop("play")  # without a cycle, which would keep all
        return play


def _storage(value: Tensor) -> int:
    address: int = value.untyped_storage()._cdata
    return address


def _place(value: Tensor) -> tuple[Any, ...]:
    shows = (value.dtype, value.storage_offset(), tuple(value.shape), value.stride())
    return (_storage(value), *shows)

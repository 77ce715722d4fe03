"""A step of training as one list of operations, for CPUs: played without modules and autograd."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx

from ._recording import Value

PAYS_FROM = 1_000
"""Steps of a training that save more time than tracing takes, some 0.1 to 0.5 s."""


class TracedStep:
    """A step of training as the list of its operations, in place of the search for them.

    They are the step's own operations in their order, so that the results are the same. A trace
    knows the tensors that the step works on and takes what Python decided on for constant: what
    changes from step to step is an argument.

    Parameters
    ----------
    step : callable
        Changes tensors in place (weights, optimiser state, totals) and returns nothing. It reads
        no value off a tensor, and sees every argument as a tensor, numbers in double precision
        and of shape (), or as None.
    """

    def __init__(self, step: Callable[..., None]) -> None:
        self._step = step
        self._warm = False
        self._play: Callable[..., None] | None = None

    def __call__(self, *values: Value) -> None:
        """Run the step with these values, which have the shapes and types of the first call's."""
        given = [
            value if value is None or isinstance(value, Tensor) else _number(value)
            for value in values
        ]
        if self._play is not None:
            with torch.no_grad():
                self._play(*given)
        elif self._warm:
            self._play = traced(self._step, *given)
        else:
            self._step(*given)  # makes what a trace must find there, as the optimiser's state
            self._warm = True


def _number(value: float) -> Tensor:
    return torch.tensor(value, dtype=torch.float64, device="cpu")


def traced(step: Callable[..., None], *given: Tensor | None) -> Callable[..., None]:
    """Run a step; return a function of the same arguments that repeats its operations."""
    from torch.fx.experimental.proxy_tensor import make_fx  # takes its time to import

    module = make_fx(step)(*given)
    nodes = [node for node in module.graph.nodes if node.op == "call_function"]
    for node in nodes:
        if node.target is torch.ops.aten.detach.default:
            node.replace_all_uses_with(node.args[0])
            module.graph.erase_node(node)
    module.graph.eliminate_dead_code()
    return _as_function(module)


def _as_function(module: fx.GraphModule) -> Callable[..., None]:
    """Write the graph out as a Python function.

    FX would write one, too, but look each operation and each weight up anew at every call.
    """
    bound: dict[str, Any] = {}
    lines: list[str] = []
    last_use = {used: node for node in module.graph.nodes for used in node.all_input_nodes}

    def write(value: Any) -> str:
        if isinstance(value, fx.Node):
            return value.name
        if isinstance(value, (list, tuple)):
            return f"[{', '.join(map(write, value))}]"
        return bind(value)

    def bind(value: Any, name: str = "") -> str:
        name = name or f"constant_{len(bound)}"
        bound[name] = value
        return name

    arguments = [node.name for node in module.graph.nodes if node.op == "placeholder"]
    for node in module.graph.nodes:
        if node.op == "get_attr":
            bind(getattr(module, node.target), node.name)
        elif node.op == "call_function":
            parts = [write(value) for value in node.args]
            parts += [f"{key}={write(value)}" for key, value in node.kwargs.items()]
            if node.target is operator.getitem:
                lines.append(f"{node.name} = {parts[0]}[{parts[1]}]")
            else:
                lines.append(f"{node.name} = {bind(node.target)}({', '.join(parts)})")
            done = [used.name for used in node.all_input_nodes if last_use[used] is node]
            gone = [name for name in done if name not in bound]
            if not node.users:
                gone.append(node.name)
            if gone:  # as in autograd, memory is free for the next as soon as it can be
                lines.append(f"{' = '.join(gone)} = None")
    source = f"def play({', '.join(arguments)}):\n    " + "\n    ".join(lines)
    exec(source, bound)
    play: Callable[..., None] = bound["play"]
    return play

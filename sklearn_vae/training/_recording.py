"""A step of training recorded as a CUDA graph: replayed without Python, launched in one go."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

RECORDABLE = {"cuda"}
"""Types of device on which a step can be recorded."""
WARM_UP = 3
"""Steps that run as they are before one is recorded: libraries choose their kernels in them."""

Value = Tensor | float | None


class RecordedStep:
    """A step of training as a CUDA graph [1]_.

    A recording knows places in memory, not values. What changes from step to step is therefore an
    argument: its value is copied to a place of its own before each replay.

    Parameters
    ----------
    step : callable
        Changes tensors in place (weights, optimiser state, totals) and returns nothing. It must
        not wait for the device, and sees every argument as a tensor, numbers as tensors of shape
        (), or as None.
    device : torch.device

    References
    ----------
    .. [1] https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs
    """

    def __init__(self, step: Callable[..., None], device: torch.device) -> None:
        self._step = step
        self._device = device
        self._places: list[Tensor | None] | None = None
        self._warm_up = WARM_UP
        self._aside = torch.cuda.Stream(device)
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, *values: Value) -> None:
        """Run the step with these values, which have the shapes and types of the first call's."""
        self._put(values)
        if self._graph is not None:
            self._graph.replay()
        elif self._warm_up > 0:
            self._warm_up -= 1
            self._run_aside()
        else:
            self._graph = self._recorded()
            self._graph.replay()  # recording has run nothing

    def renew(self) -> None:
        """Record anew, for what has changed since the recording beside the arguments."""
        if self._graph is not None:
            self._graph = None
            self._warm_up = 1  # a step that makes what is new, such as the optimiser's state

    def _put(self, values: tuple[Value, ...]) -> None:
        if self._places is None:
            self._places = [None if v is None else self._place(v) for v in values]
        for place, value in zip(self._places, values, strict=True):
            if isinstance(value, Tensor):
                assert place is not None
                place.copy_(value)
            elif value is not None:
                assert place is not None
                place.fill_(value)

    def _place(self, value: Tensor | float) -> Tensor:
        if isinstance(value, Tensor):
            return torch.empty_like(value, device=self._device)
        return torch.empty((), dtype=torch.float32, device=self._device)

    def _run_aside(self) -> None:
        """Run the step on another stream, as CUDA asks for before a recording."""
        assert self._places is not None
        here = torch.cuda.current_stream(self._device)
        self._aside.wait_stream(here)
        with torch.cuda.stream(self._aside):
            self._step(*self._places)
        here.wait_stream(self._aside)

    def _recorded(self) -> torch.cuda.CUDAGraph:
        assert self._places is not None
        graph = torch.cuda.CUDAGraph()
        try:
            with (  # threads of the caller's may use the GPU meanwhile
                torch.cuda.device(self._device),
                torch.cuda.graph(graph, stream=self._aside, capture_error_mode="thread_local"),
            ):
                self._step(*self._places)
        except RuntimeError as error:
            raise RuntimeError(
                "A CUDA graph could not record a step of training: something in it waits "
                "for the GPU or copies from host memory, most likely a module of network= or "
                "likelihood=. Use compile=False."
            ) from error
        return graph

"""CUDA graphs, simulated: recording runs nothing, a replay knows places in memory and no values."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace

import torch
from torch.utils._pytree import tree_leaves


class Recording:
    """Operations in their order; what recording them changes is put back."""

    def __init__(self):
        self.operations = []
        self.before = {}
        self.own = set()

    def run(self, func, args, kwargs):
        """Run an operation and take it down."""
        given = [t for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)]
        if func._schema.is_mutable:
            for t in given:
                place = t.untyped_storage().data_ptr()
                if place not in self.own and place not in self.before:
                    self.before[place] = (t, t.clone())
        out = func(*args, **kwargs)
        places = {t.untyped_storage().data_ptr() for t in given}
        results = [t for t in tree_leaves(out) if isinstance(t, torch.Tensor)]
        new = [t.untyped_storage().data_ptr() not in places for t in results]
        self.own |= {
            t.untyped_storage().data_ptr() for t, own in zip(results, new, strict=True) if own
        }
        self.operations.append((func, args, kwargs, results, new))
        return out

    def undo(self):
        """Put back what the operations have changed: recording them has run nothing."""
        for tensor, value in self.before.values():
            tensor.copy_(value)

    def replay(self):
        """Run the operations on the same places again."""
        for func, args, kwargs, results, new in self.operations:
            again = [t for t in tree_leaves(func(*args, **kwargs)) if isinstance(t, torch.Tensor)]
            for place, value, own in zip(results, again, new, strict=True):
                if own:
                    place.copy_(value)


class Graph:
    """Stands in for ``torch.cuda.CUDAGraph``."""

    n_replays = 0

    def replay(self):
        """Run what was recorded."""
        type(self).n_replays += 1
        with torch.utils._python_dispatch._disable_current_modes(), torch.no_grad():
            self.recording.replay()


class Stream:
    """Stands in for ``torch.cuda.Stream``."""

    event = None

    def __init__(self, device):
        """One for each device."""

    def record_event(self):
        """Return what waits for all there is to do; ``torch.cuda.Event``."""
        return SimpleNamespace(synchronize=type(self).event())

    def wait_stream(self, other):
        """There is but one order of things here."""


def install(monkeypatch, simulation):
    """Let ``torch.cuda`` record what happens on the simulated device."""

    @contextlib.contextmanager
    def graph(new, stream, capture_error_mode):
        state = torch.get_rng_state()
        simulation.recording = new.recording = Recording()
        try:
            yield
        finally:
            simulation.recording = None
            with torch.utils._python_dispatch._disable_current_modes(), torch.no_grad():
                new.recording.undo()
            torch.set_rng_state(state)

    Graph.n_replays = 0
    Stream.event = simulation.event
    stand_ins = {
        "CUDAGraph": Graph,
        "Stream": Stream,
        "current_stream": Stream,
        "stream": contextlib.nullcontext,
        "device": contextlib.nullcontext,
        "graph": graph,
        "is_current_stream_capturing": lambda: simulation.recording is not None,
    }
    for name, stand_in in stand_ins.items():
        monkeypatch.setattr(torch.cuda, name, stand_in)

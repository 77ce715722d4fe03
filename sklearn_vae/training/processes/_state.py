"""The state of a training between two epochs: what a checkpoint of it holds."""

from __future__ import annotations

from typing import Any

from .._callbacks import restore_state, state_of
from ._checkpoint import plain, plain_items


def state_of_net(net: Any) -> dict[str, Any]:
    """Return all that the rest of a net's training depends on; no images.

    All processes that train together call it: each has a generator of its own.
    """
    return {
        "step": net.step,
        "n_steps": net.n_steps,
        "module": plain(net.module_.state_dict()),
        "optimizer": plain(net.optimizer_.state_dict()),
        "history": [plain_items(row) for row in net.history],
        "callbacks": {name: state_of(callback) for name, callback in net.callbacks_},
        "generators": net.ranks.gather(net.generators.state(net.device)),
        "common": net.generators.common.state(net.device),
    }


def restore_net(net: Any, state: dict[str, Any]) -> None:
    """Let a net's training go on from such a state."""
    net.module_.load_state_dict(state["module"])
    net.optimizer_.load_state_dict(state["optimizer"])
    net.history[:] = state["history"]
    for name, callback in net.callbacks_:
        if name in state["callbacks"]:
            restore_state(callback, state["callbacks"][name])
    own = state["generators"][net.ranks.rank]  # last: nothing draws after it
    net.generators.common.set_state(state["common"], net.device)
    net.generators.set_state(own, net.device)

"""Adam with less around it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

Lists = tuple[list[Tensor], list[Tensor], list[Tensor], list[Tensor], list[Tensor]]


class Adam(torch.optim.Adam):
    """torch's fused Adam, which gathers its tensors once and not at every step.

    For a small network, looking up each weight's state, grouping all by device and type, and
    checking them takes as long as the arithmetic: a twentieth of a training step on two CPU cores.
    The arithmetic, the state and its dict are torch's.

    Parameters
    ----------
    params : iterable of torch.nn.Parameter
        All on one device, of one dtype.
    **settings
        Those of :class:`torch.optim.Adam`; ``fused`` is True.
    """

    def __init__(self, params: Any, **settings: Any) -> None:
        super().__init__(params, **{**settings, "fused": True})

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Make one step, by the gradients that are there."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for number, group in enumerate(self.param_groups):
            params, exp_avgs, exp_avg_sqs, max_exp_avg_sqs, steps = self._gathered(number, group)
            if not params:
                continue
            torch._foreach_add_(steps, 1)
            torch._fused_adam_(
                params,
                [p.grad for p in params if p.grad is not None],
                exp_avgs,
                exp_avg_sqs,
                max_exp_avg_sqs,
                steps,
                lr=group["lr"],
                beta1=group["betas"][0],
                beta2=group["betas"][1],
                weight_decay=group["weight_decay"],
                eps=group["eps"],
                amsgrad=group["amsgrad"],
                maximize=group["maximize"],
            )
        return loss

    def _gathered(self, number: int, group: dict[str, Any]) -> Lists:
        """Return a group's weights that have gradients, and their state."""
        known: dict[int, Lists] = self.__dict__.setdefault("_known", {})
        lists = known.get(number)
        if lists is not None and all(p.grad is not None for p in lists[0]):
            return lists
        lists = [], [], [], [], []
        params, exp_avgs, exp_avg_sqs, max_exp_avg_sqs, steps = lists
        self._init_group(group, params, [], exp_avgs, exp_avg_sqs, max_exp_avg_sqs, steps)
        known.pop(number, None)
        if len(params) == len(group["params"]):  # else another may get its gradient next time
            known[number] = lists
        return lists

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group; forget what was gathered."""
        self.__dict__.pop("_known", None)
        super().add_param_group(param_group)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take a state over, as load_state_dict does; forget what was gathered of the old."""
        self.__dict__.pop("_known", None)
        super().__setstate__(state)

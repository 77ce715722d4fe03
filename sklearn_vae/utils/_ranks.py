"""The processes that train one model together: their shares of rows, and what they agree upon."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


class RankError(RuntimeError):
    """Another process of the group has ended or failed."""


class Ranks:
    """The processes of a group, as one of them sees it; without a group it is alone.

    All methods are then free, and what they return is the process's own. A pickled one is alone.

    Parameters
    ----------
    group : torch.distributed.ProcessGroup, default=None
        Of this object alone: it is destroyed in the end.

    Attributes
    ----------
    rank, size : int
        The number of this process, and of all.
    """

    def __init__(self, group: Any = None) -> None:
        self._group = group
        self.rank = 0 if group is None else dist.get_rank(group)
        self.size = 1 if group is None else dist.get_world_size(group)

    def __reduce__(self) -> Any:
        return Ranks, ()

    def leave(self) -> None:
        """Be alone from now on. Who still waits for this process gets an error at once."""
        group, self._group = self._group, None
        self.rank, self.size = 0, 1
        if group is not None:
            dist.destroy_process_group(group)

    def share(self, n: int) -> tuple[int, int]:
        """Return the first of this process's rows among n, and the one behind its last."""
        return n * self.rank // self.size, n * (self.rank + 1) // self.size

    # -- what all agree upon ---------------------------------------------------------------------

    def add(self, x: Tensor) -> Tensor:
        """Replace x by the sum over the processes; return it."""
        if self.size > 1:
            with _all_there():
                dist.all_reduce(x, group=self._group)
        return x

    def any(self, flag: bool) -> bool:
        """Return whether the flag is set in any process."""
        return bool(self.add(torch.tensor(int(flag), device="cpu")))

    def gather(self, value: Any) -> list[Any]:
        """Return the values of all processes."""
        values = [value] * self.size
        if self.size > 1:
            with _all_there():
                dist.all_gather_object(values, value, group=self._group)
        return values

    def of_first(self, value: Any) -> Any:
        """Return the first process's value."""
        values = [value]
        if self.size > 1:
            with _all_there():
                dist.broadcast_object_list(values, 0, group=self._group, device=torch.device("cpu"))
        return values[0]

    @torch.no_grad()
    def add_gradients(self, parameters: Iterable[Tensor], share: float) -> None:
        """Replace gradients by their sum over the processes, each times its ``share``."""
        if self.size == 1:
            return
        trained = [p for p in parameters if p.requires_grad]
        grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in trained]
        flat = self.add(torch.cat([grad.reshape(-1) for grad in grads]).mul_(share))
        parts = flat.split([p.numel() for p in trained])
        for p, part in zip(trained, parts, strict=True):
            p.grad = part.view_as(p).to(p.dtype)

    @torch.no_grad()
    def share_weights(self, module: torch.nn.Module) -> None:
        """Give all processes the weights and buffers that the first one has."""
        if self.size == 1:
            return
        for tensor in module.state_dict().values():
            if isinstance(tensor, Tensor):
                sent = tensor.contiguous()
                with _all_there():
                    dist.broadcast(sent, 0, group=self._group)
                tensor.copy_(sent)


@contextlib.contextmanager
def _all_there() -> Iterator[None]:
    """Say what it means when a process of the group does not answer."""
    try:
        yield
    except RuntimeError as error:
        raise RankError(
            "Another process of this training has failed, ended or not answered in time. Its own "
            "message says why."
        ) from error

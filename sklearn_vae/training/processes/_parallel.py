"""One training on several processes: how they meet, and what they have to agree upon."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterator
from datetime import timedelta
from functools import cache
from typing import Any

import torch
import torch.distributed as dist

from ...nn._device import resolve_device
from ...utils._ranks import Ranks

ENVIRONMENT = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""What torchrun and others set, by which processes find each other."""
TIMEOUT = timedelta(minutes=10)
"""How long processes wait for each other in a group of which nothing else is known."""
COMPUTED = ("initial weights", "state of the optimiser")
"""What other machines may round otherwise: the first process's counts."""


# -- a group of processes ------------------------------------------------------------------------


def n_workers(parallel: Any) -> int:
    """Return how many processes to start; 0 for none."""
    return 0 if parallel in (None, "ddp", 1) else int(parallel)


@contextlib.contextmanager
def joined(parallel: Any, device: str | torch.device) -> Iterator[Ranks]:
    """Yield the processes that train together in the block, by an estimator's parameters.

    An error in one ends the others with a RankError. The first alone warns.
    """
    if parallel != "ddp":
        warn_of_group(parallel, stacklevel=8)
        yield Ranks()
        return
    ranks = Ranks(_own_group(resolve_device(device)))
    try:
        with warnings.catch_warnings():
            if ranks.rank > 0:
                warnings.simplefilter("ignore", UserWarning)
            ranks.any(False)  # all are connected: who fails now does not leave others half way
            yield ranks
            ranks.any(False)  # all have come this far
    finally:
        ranks.leave()


def warn_of_group(parallel: Any, stacklevel: int) -> None:
    """Say once, in the first process of several, that each trains a model of its own."""
    if not dist.is_available():
        return
    if dist.is_initialized():
        rank, size = dist.get_rank(), dist.get_world_size()
    elif dist.is_torchelastic_launched():
        rank, size = (int(os.environ.get(name, n)) for name, n in (("RANK", 0), ("WORLD_SIZE", 1)))
    else:
        return
    if size > 1 and rank == 0:
        _warn_once(parallel, size, stacklevel)


@cache
def _warn_once(parallel: Any, size: int, stacklevel: int) -> None:
    warnings.warn(
        f"parallel={parallel!r} in a group of {size} processes: each trains a model of its own."
        " Set parallel='ddp' to train one together.",
        UserWarning,
        stacklevel=stacklevel,
    )


def _own_group(device: torch.device) -> Any:
    """Return a new group of all processes, which one training may destroy; None where alone."""
    if not dist.is_available():
        raise ValueError("parallel='ddp' needs a torch that has torch.distributed; use None.")
    if not dist.is_initialized():
        if any(name not in os.environ for name in ENVIRONMENT):
            raise ValueError(
                "parallel='ddp' joins a group of processes, but there is none. Start the script by "
                "torchrun --nproc-per-node=2, or call torch.distributed.init_process_group before "
                "fit. parallel=2 starts two processes itself."
            )
        dist.init_process_group("gloo", timeout=TIMEOUT)
    if dist.get_world_size() == 1:
        return None
    check_device(device)
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    return dist.new_group(backend=backend, timeout=_timeout())


def _timeout() -> timedelta:
    """Return the timeout of the group that the user has made; torch has no public way to ask."""
    for kind in ("cpu", "cuda"):
        with contextlib.suppress(Exception):
            of_group: Any = dist.group.WORLD
            timeout = of_group._get_backend(torch.device(kind)).options._timeout  # noqa: SLF001
            if isinstance(timeout, timedelta):
                return timeout
    return TIMEOUT


def check_device(device: torch.device) -> None:
    """Refuse devices without collective operations."""
    if device.type not in ("cpu", "cuda"):
        raise ValueError(
            f"Several processes train on device='cpu' or on CUDA, not on {device.type!r}. Set "
            "device='cpu' or parallel=None."
        )


def device_of(ranks: Ranks, device: torch.device) -> torch.device:
    """Return the device of this process: of GPUs the one that goes by its number there."""
    if ranks.size == 1 or device.type != "cuda" or device.index is not None:
        return device
    local = int(os.environ.get("LOCAL_RANK", ranks.rank))
    return torch.device("cuda", local % torch.cuda.device_count())  # each may see its own alone


def check_alike(ranks: Ranks, form: dict[str, str]) -> None:
    """Refuse processes whose trainings differ, by the names of what does."""
    forms = ranks.gather({k: v for k, v in form.items() if k not in COMPUTED})
    differ = [name for name in forms[0] if len({form.get(name) for form in forms}) > 1]
    if differ:
        raise ValueError(
            f"The processes of parallel='ddp' have different values of {', '.join(differ)}. Give "
            "all the same; of X each trains on its own part of every batch."
        )


def check_shares(ranks: Ranks, batch_size: int, n_train: int, n_valid: int) -> None:
    """Refuse what leaves a process without the two rows of a batch that BatchNorm needs."""
    least = 2 * ranks.size
    if ranks.size == 1 or (
        min(batch_size, n_train) >= least and n_valid not in range(1, ranks.size)
    ):
        return
    raise ValueError(
        f"batch_size={batch_size} with {n_train} rows to train on and {n_valid} to validate on is "
        f"too little for {ranks.size} processes. Each needs two rows of a batch, and one to "
        "validate on. Use fewer processes, a larger batch_size or more rows."
    )

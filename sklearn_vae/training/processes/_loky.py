"""Trainings by loky's workers: processes that this one starts."""

from __future__ import annotations

import copy
import multiprocessing
import os
import pickle
import tempfile
import traceback
import warnings
from numbers import Integral
from pathlib import Path
from typing import Any

import joblib
import torch
import torch.distributed as dist
from sklearn.utils import check_random_state

from ...input._samples import from_torch
from ...input._workers import Failure
from ...nn._device import resolve_device
from ...utils._ranks import RankError
from .._cache import learnt
from ..checkpoints._file import check_seeded
from ._parallel import TIMEOUT, check_device, n_workers, warn_of_group


def by_workers(estimator: Any, method: str, X: Any, y: Any) -> dict[str, Any]:
    """Return what ``fit`` or ``partial_fit`` of an estimator leaves, run by loky's workers."""
    size, seed = n_workers(estimator.parallel), estimator.random_state
    warn_of_group(estimator.parallel, stacklevel=7)
    check_seeded(estimator.checkpoint, seed)
    _check_workers(size, resolve_device(estimator.device))
    if not isinstance(seed, Integral):
        seed = int(check_random_state(seed).randint(2**31 - 1))
    sent = copy.copy(estimator)
    sent.set_params(parallel="ddp", memory=None, random_state=seed)
    if sent.checkpoint is not None:
        sent.checkpoint = os.path.abspath(sent.checkpoint)  # workers may be in another folder
    with tempfile.TemporaryDirectory() as folder:
        call = sent, method, from_torch(X), y, size, str(Path(folder) / "store")
        run = joblib.Parallel(n_jobs=size, backend="loky", batch_size=1, pre_dispatch="all")
        try:
            outcomes = run(joblib.delayed(_work)(rank, *call) for rank in range(size))
        except pickle.PicklingError as error:
            raise TypeError(
                f"X, y or a parameter cannot be sent to the processes of parallel={size}: "
                f"{error.__cause__ or error!s:.200}. Pass a memory map or a zarr array, or take "
                "parallel='ddp', where each process opens the file itself."
            ) from error
    failures = [outcome for outcome in outcomes if isinstance(outcome, Failure)]
    if failures:  # the one that made the others fail
        first = min(failures, key=lambda failure: isinstance(failure.error, RankError))
        raise first.error from RuntimeError(f"in a process of parallel={size}:\n{first.told}")
    state, told = outcomes[0]
    for warning in told:
        warnings.warn(warning, stacklevel=5)
    return state


def _check_workers(size: int, device: torch.device) -> None:
    """Refuse more workers than there can be."""
    check_device(device)
    if device.index is not None:
        raise ValueError(
            f"parallel={size} with device='{device}': each process has a GPU of its own. Set "
            "device='cuda'."
        )
    if device.type == "cuda" and torch.cuda.device_count() < size:
        raise ValueError(
            f"parallel={size}, but this machine has {torch.cuda.device_count()} GPUs. Set parallel "
            "to as many at most, or device='cpu'."
        )
    cores = joblib.cpu_count()
    if device.type != "cuda" and size > max(2, cores):  # two work on one core, too
        raise ValueError(
            f"parallel={size}, but this machine has {cores} cores. Set parallel to as many at most."
        )
    with joblib.parallel_config(backend="loky"), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of joblib, which takes one process then
        possible = joblib.effective_n_jobs(size)
    if possible < size:
        raise ValueError(
            f"parallel={size}, but no processes can be started from here, a thread or a daemon. "
            "Set parallel=None."
        )


def _work(
    rank: int, estimator: Any, method: str, X: Any, y: Any, size: int, file: str
) -> tuple[dict[str, Any] | None, list[Warning | str]] | Failure:
    """Fit as one of several processes; return the state, of the first, and its warnings."""
    multiprocessing.set_start_method("spawn", force=True)  # loky's own is unknown to a Dataset's
    store = dist.FileStore(file, size)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=size, timeout=TIMEOUT)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("default")
            getattr(estimator, method)(X, y)
        told = [w.message for w in caught if issubclass(w.category, UserWarning)]
        return (learnt(estimator) if rank == 0 else None), told
    except Exception as error:
        return Failure(error, traceback.format_exc())
    finally:
        dist.destroy_process_group()

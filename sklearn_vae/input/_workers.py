"""Reading in processes of its own: torch's DataLoader over jobs, of which each is a batch."""

from __future__ import annotations

import contextlib
import copy
import pickle
import traceback
import warnings
from collections.abc import Generator, Iterable, Iterator
from typing import Any, NamedTuple

import torch
from joblib import cpu_count, wrap_non_picklable_objects
from torch.utils.data import DataLoader, Dataset

AHEAD = 2
"""Batches that each process reads ahead."""
PER_CORE = 4
"""Processes a core, at most: they wait for disks and networks, but each takes memory."""

Job = tuple[int, Any]
"""A seed, and what to read by it."""


class Workers:
    """Processes that read batches of items, started at once and kept until this object goes.

    Parameters
    ----------
    items : ItemDataset or StreamDataset
        What they read by its ``drawn``; each has a copy. Jobs go to them in turns.
    n : int
        How many there are.

    Attributes
    ----------
    busy : bool
        Whether they are at work on other jobs.
    """

    def __init__(self, items: Any, n: int) -> None:
        _check_number(n)
        self.n, self.busy = n, False
        self._jobs = _Jobs()
        self._loader: DataLoader = DataLoader(
            _Remote(copy.copy(items)),  # which does not have this object, so that it can go
            sampler=self._jobs,
            batch_size=None,
            collate_fn=_as_it_is,
            num_workers=n,
            persistent_workers=True,
            prefetch_factor=AHEAD,
            multiprocessing_context="spawn",  # a copy of the process may hold locks for ever
            generator=torch.Generator(),  # or it would draw from the process's
        )

    def run(self, jobs: Iterable[Job]) -> Generator[Any, None, None]:
        """Yield what each job reads."""
        self._jobs.todo, self.busy = jobs, True
        try:
            for result in self._results():
                if isinstance(result, Failure):
                    raise result.error from RuntimeError(f"in a worker process:\n{result.told}")
                yield result
        finally:
            self._jobs.todo, self.busy = (), False

    def _results(self) -> Iterator[Any]:
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="Got pickle error")
                running = iter(self._loader)
        except (TypeError, AttributeError, pickle.PicklingError) as error:
            raise TypeError(
                f"X cannot be sent to the processes of loader_workers={self.n} ({error!s:.200}). "
                "Open in __getitem__ what is live, such as a file, or set loader_workers=0."
            ) from error
        try:
            yield from running
        except RuntimeError as error:
            if "DataLoader worker" not in str(error):
                raise
            raise RuntimeError(
                f"A process of loader_workers={self.n} has ended ({error!s:.200}). A script that "
                "starts processes has to call fit below `if __name__ == '__main__':`. Or set "
                "loader_workers=0."
            ) from error


def _check_number(n: int) -> None:
    """Refuse far more processes than there are cores."""
    cores = cpu_count()
    if n > (most := PER_CORE * cores):
        raise ValueError(
            f"loader_workers={n}, but this machine has {cores} cores. Set it to {most} at most."
        )


class _Jobs:
    """The jobs of today, as a sampler has them."""

    todo: Iterable[Job] = ()

    def __iter__(self) -> Iterator[Job]:
        return iter(self.todo)


class Failure(NamedTuple):
    """An error, and where it was raised."""

    error: Exception
    told: str


class _Remote(Dataset):
    """Items as the processes have them: sent with functions without a name, too."""

    def __init__(self, items: Any) -> None:
        self.items = items

    def __reduce__(self) -> Any:
        return _Remote, (wrap_non_picklable_objects(self.items, keep_wrapper=False),)

    def __getitem__(self, job: Job) -> Any:
        try:
            found = self.items.drawn(job)
        except Exception as error:
            with contextlib.suppress(Exception):
                pickle.dumps(error)
                return Failure(error, traceback.format_exc())
            raise  # DataLoader sends its text
        return found


def _as_it_is(batch: Any) -> Any:
    return batch

"""What a grid search costs beside its parts, and how it uses two cores.

    python benchmarks/search.py --part main --data digits mnist
    python benchmarks/search.py --part backends --data digits

``main``: 3 latent dimensions x 12 heads x 3 folds through ``Pipeline(memory=...)``: the time beside
that of 9 VAE fits and 108 head fits measured apart; and ``n_jobs=1`` beside ``n_jobs=2``. What two
processes that have nothing to do with each other gain on this machine is the most that
``n_jobs=2`` can. Workers are started, and torch imported in them, before the clock is.

``digits``: 1,797 images of 8 x 8 and convolutions, where nearly all the time goes into the VAEs,
each of which uses both cores. ``mnist``: 10,000 rows and a fully connected net, where much goes
into the heads, each of which uses one.

``backends``: the CPU seconds of that search, of all processes, on two workers of joblib's backends:
loky, Dask as it comes, Dask by the settings of the user guide, Ray. What is not installed is left
out.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import tempfile
from collections.abc import Callable, Iterator
from importlib.util import find_spec

import numpy as np
from _common import Record, pivot, run, seconds, watch
from _shared import load
from joblib import Parallel, delayed, parallel_config
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import Pipeline
from sklearn.svm import SVC

from sklearn_vae import VAETransformer
from sklearn_vae.nn import MLP

Z_DIMS = (4, 8, 16)
HEADS = [SVC(C=c) for c in np.logspace(-1, 2, 6)] + [
    LogisticRegression(C=c, max_iter=1000) for c in np.logspace(-2, 2, 6)
]
FOLDS = StratifiedKFold(3)
VAES = {
    "digits": VAETransformer(max_epochs=30, device="cpu", random_state=0),
    "mnist": VAETransformer(network=MLP((400,)), max_epochs=20, device="cpu", random_state=0),
}


def images(data: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the images of ``digits``, or ten thousand rows of ``mnist``, and their labels."""
    X, y = load(data)
    return (X, y) if data == "digits" else (X[:10_000].reshape(10_000, -1), y[:10_000])


def grid(vae: VAETransformer, n_jobs: int, X: np.ndarray, y: np.ndarray) -> float:
    """Return the seconds of the search, without its refit."""
    with tempfile.TemporaryDirectory() as folder:
        pipeline = Pipeline([("vae", vae), ("head", SVC())], memory=folder)
        params = {"vae__z_dim": Z_DIMS, "head": HEADS}
        search = GridSearchCV(pipeline, params, cv=FOLDS, n_jobs=n_jobs, refit=False)
        return seconds(lambda: search.fit(X, y))


def fit_vaes(vae: VAETransformer, X: np.ndarray, y: np.ndarray) -> list[tuple[np.ndarray, ...]]:
    """Return each fold's and dimension's features and labels, of training and test rows."""
    parts = []
    for train, test in FOLDS.split(X, y):
        for z_dim in Z_DIMS:
            transformer = clone(vae).set_params(z_dim=z_dim)
            Z = transformer.fit_transform(X[train])
            parts.append((Z, y[train], transformer.transform(X[test]), y[test]))
    return parts


def apart(vae: VAETransformer, X: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Return the seconds of 9 VAE fits and of 108 head fits with their scores, one by one."""
    spent = watch()
    parts = fit_vaes(vae, X, y)
    vaes, spent = spent(), watch()
    for Z, labels, Z_test, labels_test in parts:
        for head in HEADS:
            clone(head).fit(Z, labels).score(Z_test, labels_test)
    return vaes, spent()


def pair(vae: VAETransformer, X: np.ndarray, y: np.ndarray) -> float:
    """Return the seconds of ``apart`` in two processes at once, with half of the cores each."""
    workers = Parallel(n_jobs=2)
    return seconds(lambda: workers(delayed(apart)(vae, X, y) for _ in range(2)))


def compare(args: argparse.Namespace) -> Iterator[Record]:
    """Time the parts, the search with one and with two jobs, and two processes, in turns."""
    names = ("9 VAE fits apart, s", "108 heads apart, s", "grid, n_jobs=1, s", "grid, n_jobs=2, s")
    for data in args.data:
        vae, (X, y) = VAES[data], images(data)
        few = clone(vae).set_params(max_epochs=1).fit(X)
        Parallel(n_jobs=2)(delayed(fit_vaes)(few, X[:300], y[:300]) for _ in range(2))  # start them
        times: dict[str, list[float]] = {name: [] for name in (*names, "pair, s")}
        for _ in range(args.rounds):
            each = (*apart(vae, X, y), grid(vae, 1, X, y), grid(vae, 2, X, y), pair(vae, X, y))
            for found, elapsed in zip(times.values(), each, strict=True):
                found.append(elapsed)
        vaes, heads, one, two, both = map(statistics.median, times.values())
        for name in names:
            yield {"data": data, "what": name, "value": statistics.median(times[name])}
        for what, value in (
            ("grid / parts (n_jobs=1)", one / (vaes + heads)),
            ("n_jobs=1 / n_jobs=2", one / two),
            ("parts twice / in two processes", 2 * (vaes + heads) / both),
        ):
            yield {"data": data, "what": what, "value": value, "times": times}


BACKENDS = {
    "loky": "joblib",
    "Dask as it comes": "distributed",
    "Dask": "distributed",
    "Ray": "ray",
}
"""joblib's backends, and the package that each needs."""
DASK_SETTINGS = {
    "distributed.nanny.pre-spawn-environ": {"OMP_NUM_THREADS": 1},  # no MALLOC_TRIM_THRESHOLD_
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.system-monitor.interval": "5s",
    "distributed.worker.memory.monitor-interval": "5s",
    "distributed.worker.profile.enabled": False,
}
"""What the user guide says: memory stays with the workers, and they are watched less often."""


@contextlib.contextmanager
def workers(backend: str, X: np.ndarray) -> Iterator[None]:
    """Let joblib use two workers of a backend."""
    with contextlib.ExitStack() as stack:
        if backend == "Ray":
            import ray
            from ray.util.joblib import register_ray

            ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
            stack.callback(ray.shutdown)
            register_ray()
        elif backend != "loky":
            import dask
            from dask.distributed import Client, LocalCluster

            if backend == "Dask":
                stack.enter_context(dask.config.set(DASK_SETTINGS))
            cluster = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)
            stack.enter_context(Client(stack.enter_context(cluster)))
        how = {"scatter": [X]} if backend == "Dask" else {}
        stack.enter_context(parallel_config(backend.split()[0].lower(), n_jobs=2, **how))
        yield


def cpu_clock() -> Callable[[], float]:
    """Return a clock of the CPU seconds of this process and all below it."""
    import psutil

    def spent() -> float:
        this, total = psutil.Process(), 0.0
        for process in [this, *this.children(recursive=True)]:
            with contextlib.suppress(psutil.Error):
                total += sum(process.cpu_times()[:4])  # and of children that have ended
        return total

    return spent


def backends(args: argparse.Namespace) -> Iterator[Record]:
    """Measure the search on joblib's backends, in turns."""
    present = [name for name, package in BACKENDS.items() if find_spec(package)]
    for data in args.data:
        vae, (X, y) = VAES[data], images(data)
        few = clone(vae).set_params(max_epochs=1).fit(X)
        spent: dict[str, list[tuple[float, float]]] = {name: [] for name in present}
        for _ in range(args.rounds):
            for name in present:
                with workers(name, X):
                    Parallel()(delayed(fit_vaes)(few, X[:300], y[:300]) for _ in range(2))
                    clock = watch(cpu_clock())
                    elapsed = grid(vae, 2, X, y)
                    spent[name].append((clock(), elapsed))
        of_loky = statistics.median(cpu for cpu, _ in spent["loky"])
        for name, pairs in spent.items():
            cpu, elapsed = (statistics.median(values) for values in zip(*pairs, strict=True))
            yield {
                "data": data,
                "backend": name,
                "CPU seconds": cpu,
                "of loky's": cpu / of_loky,
                "seconds": elapsed,
                "all": pairs,
            }


def table(records: list[Record]) -> list[Record]:
    """Return seconds and ratios."""
    return pivot(records, ("data",), "what", "value")


def table_of_backends(records: list[Record]) -> list[Record]:
    """Return a row for each backend."""
    return [{k: v for k, v in record.items() if k != "all"} for record in records]


if __name__ == "__main__":
    parts = {"main": (compare, table), "backends": (backends, table_of_backends)}
    run(__doc__, "search", parts, data=(list(VAES), VAES), rounds=3)

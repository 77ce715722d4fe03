"""One training on two processes: the same history as on one, the same weights, errors on both."""

import contextlib
import datetime
import io
import os
import pickle
import signal
import subprocess
import sys
import time
import warnings
from multiprocessing import get_context

import joblib
import numpy as np
import pytest
import torch
import torch.distributed as dist
from helpers import tiny
from joblib.externals.loky.process_executor import TerminatedWorkerError
from sklearn.base import clone
from skorch.callbacks import Callback
from torch.utils.data import Dataset

from sklearn_vae import VAEAugmenter
from sklearn_vae.augmentation import Augment
from sklearn_vae.input._batches import batch_bounds
from sklearn_vae.nn import Conv
from sklearn_vae.training.processes._parallel import _timeout, _warn_once, device_of
from sklearn_vae.utils._ranks import RankError, Ranks

LIMIT, SHORT = datetime.timedelta(seconds=60), datetime.timedelta(seconds=3)
VALIDATED = {"validation_fraction": 0.2, "max_epochs": 3}
LONG = {
    **{"max_epochs": 5, "patience": 3, "label_weight": 1.0, "kl_warmup": 2},
    **{"network": Conv((8,), batch_norm=True), "augment": Augment(rotate=10, paste=0.5)},
}

VIEWS = {"contrastive_weight": 0.5, "batch_size": 20, "max_epochs": 2}

pytestmark = pytest.mark.skipif(os.name == "nt", reason="no SIGKILL, and file stores of its own")


def result(estimator):
    """Return what has to be the same in two processes, or in two fits."""
    rows = [{k: v for k, v in row.items() if k != "dur"} for row in estimator.history_]
    return rows, {k: v.numpy() for k, v in estimator.module_.state_dict().items()}


def same(one, two):
    assert one[0] == two[0]
    for name, value in one[1].items():
        np.testing.assert_array_equal(value, two[1][name])


def refusal(estimator, X, y=None):
    """Return the error of a fit, and whether the estimator is fitted."""
    try:
        estimator.fit(X, y)
    except Exception as error:
        return type(error).__name__, str(error), hasattr(estimator, "codec_")


class In(Callback):
    """Does something in the first step of an epoch, in the second process."""

    def __init__(self, epoch, do):
        self.epoch, self.do = epoch, do

    def on_batch_end(self, net, **kwargs):
        if net.ranks.rank == 1 and len(net.history) == self.epoch:
            self.do()


def fail():
    raise ArithmeticError


def sleep():
    time.sleep(6)


def end():
    os.kill(os.getpid(), signal.SIGKILL)


class Faster(Callback):
    """Sets a rate that the schedule does not know of, which is warned of."""

    def on_epoch_begin(self, net, **kwargs):
        net.optimizer_.param_groups[0]["lr"] = 0.5


def mirrored(x):
    return x.flip(-1)


class Items(Dataset):
    def __init__(self, X):
        self.X, self.rng = X, np.random.default_rng()

    def __len__(self):
        return len(self.X)

    def __getitem__(self, i):
        return np.clip(self.X[i] + self.rng.normal(0, 0.1), 0, 1)


@contextlib.contextmanager
def group(rank, folder, timeout):
    """Be one of two processes in the block."""
    store = dist.FileStore(str(folder), 2)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=2, timeout=timeout)
    try:
        yield
    finally:
        dist.destroy_process_group()


def work(rank, X, y, folder):
    """Keep what a process of two makes of several fits."""
    torch.set_num_threads(1)
    with group(rank, folder / "store", LIMIT):
        found = fits(rank, X, y, folder)
    with group(rank, folder / "short", SHORT):
        begun = time.perf_counter()
        found["slow"] = refusal(tiny(parallel="ddp", callbacks=[In(1, sleep)]), X)
        found["seconds"] = time.perf_counter() - begun
    joblib.dump(found, folder / f"found{rank}")
    with group(rank, folder / "killed", LIMIT):
        begun = time.perf_counter()
        told = refusal(tiny(parallel="ddp", callbacks=[In(2, end)]), X)
        joblib.dump((*told, time.perf_counter() - begun), folder / "killed-told")


def fits(rank, X, y, folder):
    found = {"timeout": _timeout()}
    vae = tiny(parallel="ddp", **VALIDATED).fit(X)
    found["mlp"], found["size"] = result(vae), vae.net_.ranks.size
    found["pickled"] = pickle.dumps(vae)
    again = vae.set_params(warm_start=True).fit(X)
    found["n_iter"] = again.n_iter_
    drawn = tiny(parallel="ddp", augment="auto", random_state=None, network=Conv((8,))).fit(X)
    found["no seed"] = result(drawn)
    found["items"] = result(tiny(parallel="ddp", **VALIDATED).fit(Items(X)))
    for name, rows in (("views", X), ("equal", X[:1].repeat(40, 0))):
        found[name] = result(tiny(parallel="ddp", augment=mirrored, **VIEWS).fit(rows))
    chunks = tiny(parallel="ddp").partial_fit(X[:100]).partial_fit(X[100:])
    found["chunks"] = result(chunks)

    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        straight = tiny(parallel="ddp", verbose=2, **LONG).fit(X, y)
    found["long"], found["out"] = result(straight), out.getvalue()
    path = folder / f"running{rank}"
    stopped = tiny(parallel="ddp", checkpoint=path, callbacks=[In(4, fail)], **LONG)
    found["stopped"] = refusal(stopped, X, y)
    found["files"] = len([*path.glob("*")])
    resumed = stopped.set_params(callbacks=None, verbose=2 if rank == 0 else 0)
    with contextlib.redirect_stdout(io.StringIO()) as told:
        found["resumed"] = result(resumed.fit(X, y))
    found["goes on"] = "goes on after epoch 3" in told.getvalue()
    found["files left"] = len([*path.glob("*")])
    one_has = tiny(parallel="ddp", checkpoint=path if rank else None)
    found["other checkpoint"] = refusal(one_has, X)

    for method in ("conditional", "deformation"):
        vae = tiny(parallel="ddp")
        sampler = VAEAugmenter(vae=vae, method=method, n_new=3, random_state=0)
        found[method] = sampler.fit_resample(X, np.arange(len(X)) % 2)[0]

    other = X.copy()
    other[-1, -1, -1] += 0.25 * rank
    found["seed"] = refusal(tiny(parallel="ddp", random_state=rank), X)
    found["X"] = refusal(tiny(parallel="ddp"), other)
    found["n"] = refusal(tiny(parallel="ddp"), Items(X[rank:]))
    found["lr"] = refusal(tiny(parallel="ddp", lr=0.1 + rank), X)
    found["few"] = refusal(tiny(parallel="ddp", batch_size=3), X)
    found["memory"] = refusal(tiny(parallel="ddp", memory=str(folder)), X)
    found["one fails"] = refusal(tiny(parallel="ddp"), X * np.nan if rank else X)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            tiny(max_epochs=1).fit(X)
        tiny(parallel="ddp", max_epochs=1, callbacks=[Faster()]).fit(X)
    found["warns"] = [str(w.message) for w in caught]
    return found


@pytest.fixture(scope="module")
def partly(labels):
    return np.where(np.arange(len(labels)) % 3, -1, labels)


@pytest.fixture(scope="module")
def found(images, partly, tmp_path_factory):
    """What two processes have found, and what the first heard when the second was killed."""
    folder, spawned = tmp_path_factory.mktemp("two"), get_context("spawn")
    call = images, partly, folder
    two = [spawned.Process(target=work, args=(rank, *call)) for rank in range(2)]
    for process in two:
        process.start()
    for process in two:
        process.join(120)
        process.kill()
    assert [process.exitcode for process in two] == [0, -signal.SIGKILL]
    return *(joblib.load(folder / f"found{k}") for k in range(2)), joblib.load(
        folder / "killed-told"
    )


def test_two_processes_train_one_model(found, images):
    one, two, _ = found
    for name in ("mlp", "no seed", "items", "views", "equal", "chunks", "long", "resumed"):
        same(one[name], two[name])
    for name, alone in {
        "mlp": tiny(**VALIDATED).fit(images),
        "chunks": tiny().partial_fit(images[:100]).partial_fit(images[100:]),
    }.items():
        for row, expected in zip(one[name][0], result(alone)[0], strict=True):
            assert row == pytest.approx(expected, rel=1e-6)
    assert one["n_iter"] == two["n_iter"] == 6
    for method in ("conditional", "deformation"):
        np.testing.assert_array_equal(one[method], two[method])


def test_views_are_told_apart_from_those_of_the_process(found, images):
    """Codes of equal images tell nothing: each is one of the others, of ten images or of twenty."""
    alone = tiny(augment=mirrored, **VIEWS).fit(images[:1].repeat(40, 0))
    for rows, n in ((found[0]["equal"][0], 10), (alone.history_, 20)):
        for row in rows:
            assert row["train_contrastive_loss"] == pytest.approx(np.log(2 * n - 1), rel=1e-5)
    first, second = (row["train_contrastive_loss"] for row in found[0]["views"][0])
    assert second < first


def test_what_is_pickled_needs_no_group(found, images):
    one, two, _ = found
    assert one["size"] == two["size"] == 1
    vae = pickle.loads(one["pickled"])
    assert vae.transform(images).shape == (len(images), 3)
    assert clone(vae).parallel == vae.parallel == "ddp"
    assert pickle.loads(pickle.dumps(clone(vae))).parallel == "ddp"


def test_a_killed_training_goes_on_in_all_processes(found):
    one, two, _ = found
    assert one["stopped"] == ("RankError", one["stopped"][1], False)
    assert two["stopped"][0] == "ArithmeticError"
    assert (one["files"], two["files"]) == (1, 0)
    assert one["goes on"]
    same(one["resumed"], one["long"])
    assert one["files left"] == 0


def test_errors_are_the_same_in_all_processes(found):
    one, two, _ = found
    words = {"seed": "random_state", "X": "X", "n": "X", "lr": "lr", "few": "batch_size=3"}
    for name, word in (words | {"memory": "memory", "other checkpoint": "checkpoint"}).items():
        assert one[name] == two[name]
        assert one[name][0] == "ValueError"
        assert word in one[name][1]
    assert one["one fails"][0] == "RankError"
    assert two["one fails"][0] == "ValueError"
    assert not one["one fails"][2]


def test_who_is_slow_or_killed_ends_the_others_in_time(found):
    one, _, (kind, _, fitted, seconds) = found
    assert one["timeout"] == LIMIT
    assert one["slow"][0] == kind == "RankError"
    assert SHORT.seconds <= one["seconds"] < SHORT.seconds + 2
    assert seconds < 10
    assert not fitted


def test_the_first_process_tells(found):
    one, two, _ = found
    assert one["out"].count("epoch ") == len(one["long"][0])
    assert "rows are -1" in one["out"]
    assert two["out"] == ""
    apart, rate = one["warns"]
    assert "each trains a model of its own" in apart
    assert "learning rate" in rate
    assert two["warns"] == []


SCRIPT = """
import sys
from pathlib import Path
import joblib, numpy as np, torch
from sklearn_vae import VAETransformer
from helpers import tiny
folder = Path(sys.argv[1])
vae = tiny(parallel="ddp", validation_fraction=0.2, max_epochs=3).fit(np.load(folder / "X.npy"))
state = {k: v.numpy() for k, v in vae.module_.state_dict().items()}
joblib.dump((vae.history_, state), folder / str(torch.distributed.get_rank()))
"""


def test_torchrun(found, images, tmp_path):
    np.save(tmp_path / "X.npy", images)
    (tmp_path / "script.py").write_text(SCRIPT)
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    paths = os.pathsep.join(filter(None, sys.path))
    call = [sys.executable, *launch, str(tmp_path / "script.py"), str(tmp_path)]
    env = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    subprocess.run(call, check=True, timeout=180, env=env, capture_output=True)
    for rank in range(2):
        history, state = joblib.load(tmp_path / str(rank))
        rows = [{k: v for k, v in row.items() if k != "dur"} for row in history]
        same((rows, state), found[0]["mlp"])


class Unsendable:
    """A stored array that belongs to a process, as h5py's do."""

    def __init__(self, images):
        self.images, self.shape, self.dtype = images, images.shape, images.dtype

    def __getitem__(self, key):
        return self.images[key]

    def __len__(self):
        return len(self.images)

    def __reduce__(self):
        raise TypeError("h5py objects cannot be pickled")


def test_an_int_starts_the_processes(found, images):
    vae = tiny(parallel=2, **VALIDATED)
    same(result(vae.fit(images)), found[0]["mlp"])
    assert vae.parallel == 2
    assert vae.transform(images).shape == (len(images), 3)
    assert pickle.loads(pickle.dumps(vae)).parallel == clone(vae).parallel == 2
    chunks = tiny(parallel=2).partial_fit(images[:100]).partial_fit(images[100:])
    same(result(chunks), found[0]["chunks"])
    with pytest.raises(ValueError, match="NaN"):
        tiny(parallel=2).fit(images * np.nan)
    with pytest.raises(TypeError, match="cannot be sent to the processes of parallel=2"):
        tiny(parallel=2).fit(Unsendable(images))
    with pytest.raises(ValueError, match=r"parallel=300, but this machine has \d+ cores"):
        tiny(parallel=300).fit(images)
    with pytest.raises(ValueError, match="Set random_state"):
        tiny(parallel=2, random_state=None, checkpoint="nowhere").fit(images)
    with pytest.warns(UserWarning, match="learning rate") as caught:
        tiny(parallel=2, callbacks=[Faster()]).fit(images)
    assert [w.filename for w in caught] == [__file__]
    with pytest.raises(TerminatedWorkerError):
        vae.set_params(callbacks=[In(2, end)]).fit(images)
    assert vae.n_iter_ == 3


def test_without_a_group_it_says_how_to_get_one(images):
    with pytest.raises(ValueError, match="torchrun"):
        tiny(parallel="ddp").fit(images[:20])


@pytest.mark.parametrize("rank", [0, 1])
def test_launched_processes_that_train_apart_are_told_once(images, monkeypatch, rank):
    _warn_once.cache_clear()
    monkeypatch.setattr(dist, "is_torchelastic_launched", lambda: True)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", str(rank))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            tiny(max_epochs=1).fit(images[:20])
    assert len(caught) == 1 - rank
    assert [w.filename for w in caught] == [__file__] * (1 - rank)
    _warn_once.cache_clear()


def ranks_of(rank, size):
    ranks = Ranks()
    ranks.rank, ranks.size = rank, size
    return ranks


def test_auto_is_the_gpu_of_the_process(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    cuda = torch.device("cuda")
    assert device_of(ranks_of(5, 8), cuda) == torch.device("cuda:1")
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert device_of(ranks_of(5, 8), cuda) == torch.device("cuda:3")
    assert device_of(ranks_of(5, 8), torch.device("cuda:2")) == torch.device("cuda:2")
    assert device_of(ranks_of(0, 1), cuda) == cuda
    assert device_of(ranks_of(5, 8), torch.device("cpu")) == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)  # each process sees its own alone
    assert device_of(ranks_of(5, 8), cuda) == torch.device("cuda:0")


@pytest.mark.parametrize("n, size", [(100, 2), (103, 3), (9, 4)])
def test_shares_cover_every_batch_with_two_rows_each(n, size):
    ranks = [ranks_of(rank, size) for rank in range(size)]
    for start, stop in batch_bounds(n, 2 * size, size):
        shares = [r.share(stop - start) for r in ranks]
        assert shares[0][0] == 0
        assert shares[-1][1] == stop - start
        assert [b for _, b in shares[:-1]] == [a for a, _ in shares[1:]]
        assert min(b - a for a, b in shares) >= 2


def test_alone_everything_is_free():
    ranks = Ranks()
    assert ranks.gather(3) == [3]
    assert ranks.of_first(3) == 3
    assert issubclass(RankError, RuntimeError)

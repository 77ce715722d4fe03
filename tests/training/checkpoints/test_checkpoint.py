"""A killed fit goes on, and ends where it would have."""

import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import QUICK, tiny
from sklearn.base import clone
from skorch.callbacks import Callback, LRScheduler

from sklearn_vae import VAEAugmenter, VAEDetector
from sklearn_vae.augmentation import Augment
from sklearn_vae.nn import MLP, Conv


class Killed(Exception):  # noqa: N818 (not an error)
    pass


class KillIn(Callback):
    """Raises in the first step of an epoch; 0 for none. Logs how many epochs came before."""

    def __init__(self, epoch, log=None):
        self.epoch, self.log = epoch, [] if log is None else log

    def on_epoch_begin(self, net, **kwargs):
        self.log.append(len(net.history) - 1)

    def on_batch_end(self, net, training=False, **kwargs):
        if training and len(net.history) == self.epoch:
            raise Killed


def same(vae, other):
    states = vae.module_.state_dict(), other.module_.state_dict()
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][k], states[1][k]) for k in states[0])
    rows = [[{**row, "dur": 0} for row in v.history_] for v in (vae, other)]
    assert rows[0] == rows[1]


def partly(labels):
    return np.where(np.arange(len(labels)) % 3, -1, labels)


CASES = {
    "cosine, augmentation": {"augment": Augment(rotate=10, shift=0.1, paste=0.5)},
    "BatchNorm, warm-up": {"network": Conv((8, 8), batch_norm=True), "kl_warmup": 4},
    "early stopping": {"patience": 2, "lr": 0.05, "max_epochs": 12},
    "labels": {"label_weight": 1.0, "patience": 4, "augment": 1.0},
    "views": {"contrastive_weight": 1.0, "validation_fraction": 0.1, "augment": 1.0},
    "a callback's schedule": {
        "lr_schedule": "constant",
        "callbacks": [LRScheduler("StepLR", step_size=3, gamma=0.3)],
    },
    "a plateau's": {
        **{"lr_schedule": "constant", "lr": 0.1, "optimizer": "adamw"},
        "callbacks": [LRScheduler("ReduceLROnPlateau", monitor="train_loss", patience=1)],
    },
    "draws": {"prior": "vamp", "importance_samples": 2, "optimizer": "sgd", "lr": 1e-4},
}


@pytest.mark.parametrize("case", CASES)
def test_a_killed_fit_ends_where_it_would_have(case, images, labels, tmp_path):
    settings = {"max_epochs": 8, **CASES[case]}
    usual = settings.pop("callbacks", [])
    y = partly(labels) if "label_weight" in settings else labels
    again = KillIn(0)
    straight = tiny(**settings, callbacks=[*usual, KillIn(0)]).fit(images, y)
    vae = tiny(**settings, checkpoint=tmp_path, callbacks=[*usual, KillIn(5)])
    with pytest.raises(Killed):
        vae.fit(images, y)
    (file,) = tmp_path.iterdir()
    weights = sum(p.nbytes for p in straight.module_.parameters())
    assert file.stat().st_size < 4 * weights + 10**5  # with the best ones; no images
    vae = clone(vae).set_params(callbacks=[*usual, again]).fit(images, y)
    assert again.log[0] == 4
    same(vae, straight)
    assert vae.n_samples_seen_ == straight.n_samples_seen_
    assert not any(tmp_path.iterdir())


CHILD = """
import sys, time
from pathlib import Path
from skorch.callbacks import Callback
import numpy as np
from sklearn_vae import VAETransformer
from sklearn_vae.nn import MLP

class Wait(Callback):
    def on_batch_end(self, net, **kwargs):
        if len(net.history) == 5:
            Path(sys.argv[2]).touch()
            time.sleep(60)

settings = {settings}
vae = VAETransformer(**settings, checkpoint=sys.argv[1], callbacks=[Wait()])
vae.fit(np.load(sys.argv[3]), np.load(sys.argv[4]))
"""


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL")
def test_after_a_kill_by_another_process(images, labels, tmp_path):
    settings = {**QUICK, "network": MLP((16,)), "max_epochs": 8, "augment": "geometric"}
    settings |= {"patience": 3, "label_weight": 1.0}
    np.save(tmp_path / "X.npy", images)
    np.save(tmp_path / "y.npy", partly(labels))
    paths = [str(tmp_path / name) for name in ("running", "begun", "X.npy", "y.npy")]
    command = [sys.executable, "-c", CHILD.replace("{settings}", repr(settings)), *paths]
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    with subprocess.Popen(command, env={**os.environ, **threads}) as child:
        while not Path(paths[1]).exists() and child.poll() is None:
            time.sleep(0.05)
        child.send_signal(signal.SIGKILL)
    assert child.returncode == -signal.SIGKILL
    assert len([*Path(paths[0]).iterdir()]) == 1
    again = KillIn(0)
    vae = tiny(**settings, checkpoint=paths[0], callbacks=[again]).fit(images, partly(labels))
    assert again.log[0] == 4
    same(vae, tiny(**settings, callbacks=[KillIn(0)]).fit(images, partly(labels)))


def killed(path, X, **changes):
    settings = {"max_epochs": 3, "callbacks": [KillIn(2)], **changes}
    with pytest.raises(Killed):
        tiny(checkpoint=path, **settings).fit(X)


def test_each_fit_of_a_folder_has_a_file_of_its_own(images, tmp_path):
    killed(tmp_path, images)
    for changes in ({"z_dim": 2}, {"random_state": 1}, {"lr": 0.1}):
        killed(tmp_path, images, **changes)
    killed(tmp_path, images[1:])
    killed(tmp_path, images.astype(np.float32))
    assert len([*tmp_path.iterdir()]) == 6
    log = []
    tiny(checkpoint=tmp_path, max_epochs=3, callbacks=[KillIn(0, log)]).fit(images)
    assert log == [1, 2]
    assert len([*tmp_path.iterdir()]) == 5


def test_what_torch_says_of_other_tensors_is_no_damage(images, tmp_path):
    killed(tmp_path, images)
    pickle.loads(pickle.dumps(torch.eye(2).to_sparse()))  # torch warns of it in its next load
    log = []
    tiny(checkpoint=tmp_path, max_epochs=3, callbacks=[KillIn(0, log)]).fit(images)
    assert log == [1, 2]


def test_of_one_file_what_differs_is_refused_by_name(images, tmp_path):
    path = tmp_path / "run.pt"
    killed(path, images)
    for changes, message in (
        ({"z_dim": 2}, "z_dim=3; here it is 2"),
        ({"lr": 0.5}, r"lr=0\.002; here it is 0\.5"),
        ({"random_state": 1}, r"random_state=0 .*; here it is 1 "),
    ):
        with pytest.raises(ValueError, match=message):
            tiny(**{"checkpoint": path, "max_epochs": 3, **changes}).fit(images)
    vae = tiny(checkpoint=path, max_epochs=3)
    with pytest.raises(ValueError, match="X's dtype='float64'; here it is 'uint8'"):
        vae.fit((images * 255).astype(np.uint8))
    with pytest.raises(ValueError, match="with X=200 samples"):
        vae.fit(images[::-1])
    whole = path.read_bytes()
    damaged = [whole[:5000]]
    for place in range(len(whole) // 10, len(whole), len(whole) // 5):
        damaged.append(whole[:place] + bytes([whole[place] ^ 64]) + whole[place + 1 :])
    for content in damaged:
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"run\.pt is no checkpoint of a fit, or is damaged"):
            vae.fit(images)


def test_a_path_that_cannot_be_is_refused_by_name(images, tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "folder.pt").mkdir()
    for path in ("file", "file/below"):
        with pytest.raises(ValueError, match=r"checkpoint: .*file cannot be made a folder|below"):
            tiny(checkpoint=tmp_path / path).fit(images)
    with pytest.raises(ValueError, match=r"checkpoint: .*folder\.pt ends in .*it is a folder"):
        tiny(checkpoint=tmp_path / "folder.pt").fit(images)


def test_without_a_seed_no_fit_would_be_found(images, tmp_path):
    with pytest.raises(ValueError, match="Set random_state to an int"):
        tiny(checkpoint=tmp_path, random_state=None).fit(images)
    assert not any(tmp_path.iterdir())


def test_training_that_goes_on_is_resumed_and_chunks_write_nothing(images, tmp_path):
    once, log = tiny(warm_start=True).fit(images), []
    straight = clone(once).fit(images).set_params(max_epochs=4, callbacks=[KillIn(0)]).fit(images)
    once.set_params(checkpoint=tmp_path, max_epochs=4, callbacks=[KillIn(5)])
    with pytest.raises(Killed):
        once.fit(images)
    same(once.set_params(callbacks=[KillIn(0, log)]).fit(images), straight)
    assert log == [4, 5]
    tiny(checkpoint=tmp_path).partial_fit(images)
    assert not any(tmp_path.iterdir())


def test_with_a_memory_what_is_complete_is_recalled(images, tmp_path):
    cache, log = str(tmp_path / "cache"), []
    killed(tmp_path / "running", images, memory=cache)
    vae = tiny(memory=cache, checkpoint=tmp_path / "running", max_epochs=3)
    vae.set_params(callbacks=[KillIn(0, log)]).fit(images)
    assert not any((tmp_path / "running").iterdir())
    same(clone(vae).set_params(checkpoint=None).fit(images), vae)


@pytest.mark.parametrize("method", ["conditional", "deformation"])
def test_inside_an_augmenter(method, images, labels, tmp_path):
    def drawn(*log, **changes):
        vae = tiny(max_epochs=4, **changes)
        sampler = VAEAugmenter(vae=vae, method=method, n_new=5, random_state=0)
        return sampler.fit_resample(images, labels)[0]

    with pytest.raises(Killed):
        drawn(checkpoint=tmp_path, callbacks=[KillIn(3)])
    log = []
    X = drawn(checkpoint=tmp_path, callbacks=[KillIn(0, log)])
    assert log == [2, 3]
    np.testing.assert_array_equal(X, drawn(callbacks=[KillIn(0)]))


def test_inside_a_detector(images, tmp_path):
    def scores(**changes):
        vae = tiny(max_epochs=3, **{**changes, "random_state": None})
        return VAEDetector(vae, random_state=0).fit(images).score_samples(images)

    with pytest.raises(Killed):
        scores(checkpoint=tmp_path, callbacks=[KillIn(3)])
    log = []
    resumed = scores(checkpoint=tmp_path, callbacks=[KillIn(0, log)])
    assert log == [2, 0, 1, 2]
    np.testing.assert_array_equal(resumed, scores(callbacks=[KillIn(0)]))

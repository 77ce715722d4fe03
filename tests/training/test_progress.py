"""What training prints: nothing, a bar on stderr, or a line per epoch."""

import os
import re
import subprocess
import sys
import threading

import numpy as np
import pytest
from helpers import CountBatches, tiny
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from sklearn_vae import VAETransformer
from sklearn_vae.model import Gaussian
from sklearn_vae.nn import MLP
from sklearn_vae.training._progress import title_of


def test_silent_by_default(images, capsys):
    tiny(verbose=0, patience=1, max_epochs=5).fit(images)
    out, err = capsys.readouterr()
    assert out == err == ""


@pytest.mark.parametrize("callbacks", [None, [CountBatches()]])
def test_a_bar_over_all_steps(images, capsys, callbacks):
    tiny(verbose=1, batch_size=50, max_epochs=3, callbacks=callbacks).fit(images)
    out, err = capsys.readouterr()
    assert out == ""
    assert "100%" in err
    assert "12/12" in err  # 3 epochs of 4 batches
    assert "train_loss=" in err


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_searchs_bars_are_told_apart(images, capfd, n_jobs):
    search = GridSearchCV(
        make_pipeline(tiny(verbose=1)),
        {"vaetransformer__z_dim": [2, 32], "vaetransformer__beta": [0.5]},
        cv=2,
        n_jobs=n_jobs,
        refit=False,
        scoring=lambda pipeline, X: 0.0,
    )
    search.fit(images)
    seen = re.findall(r"VAE (.*?) \(cpu", capfd.readouterr().err)
    assert {title.partition(", augment")[0] for title in seen} == {
        "z_dim=2, beta=0.5",
        "z_dim=32, beta=0.5",
    }


def test_titles_stay_short():
    long = VAETransformer(8, network=MLP(tuple(range(100, 140))), likelihood=Gaussian(0.25), beta=2)
    assert title_of(long) == "z_dim=8, beta=2, network=MLP(hidden=(100, 101,..., likeli..."
    assert title_of(VAETransformer()) == "z_dim=32"


def test_the_bar_closes_when_training_fails(images, capsys):
    estimator = tiny(verbose=1, optimizer="sgd", lr=1e30, lr_schedule="constant", max_epochs=5)
    with pytest.raises(FloatingPointError):
        estimator.fit(images)
    assert capsys.readouterr().err.endswith("\n")


@pytest.mark.parametrize("validation_fraction", [0, 0.2])
def test_one_line_per_epoch(images, capsys, validation_fraction):
    estimator = tiny(verbose=2, max_epochs=3, validation_fraction=validation_fraction)
    estimator.fit(images)
    out, err = capsys.readouterr()
    assert err == ""
    first, *lines = out.splitlines()
    assert re.fullmatch(r"VAE z_dim=\d.* \(cpu, float32, eager\): \d+ steps", first)
    assert len(lines) == 3
    for line, row in zip(lines, estimator.history_, strict=True):
        assert re.match(rf"epoch +{row['epoch']} ", line)
        shown = float(re.search(r"train_loss (\S+)", line)[1])
        assert shown == pytest.approx(row["train_loss"], rel=1e-4)
        assert ("valid_loss" in line) == bool(validation_fraction)
        assert "label_loss" not in line
    assert lines[-1].endswith(" 0 s left")


@pytest.mark.parametrize("verbose", [0, 1, 2])
def test_a_long_training_says_once_how_long_it_takes(images, capsys, monkeypatch, verbose):
    steps = iter(range(0, 10**6, 10))  # a step takes ten seconds, if nobody else reads the clock
    monkeypatch.setattr("sklearn_vae.training._progress.time.perf_counter", lambda: next(steps))
    tiny(verbose=verbose, batch_size=30, max_epochs=12).fit(images)
    told = re.findall(r"VAE: about (\d+) min to go, 84 steps", "".join(capsys.readouterr()))
    assert told == (["14"] if verbose else [])  # 83 steps of 10 s


def test_a_short_training_does_not(images, capsys):
    tiny(verbose=2, max_epochs=3).fit(images)
    assert "to go" not in capsys.readouterr().out


def test_lines_tell_how_long_it_takes(images, capsys, monkeypatch):
    clock = iter(range(0, 10**6, 10))
    monkeypatch.setattr("sklearn_vae.training._progress.time.perf_counter", lambda: next(clock))
    tiny(verbose=2, max_epochs=4, label_weight=1).fit(images, np.arange(len(images)) % 2)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("epoch")]
    # The clock is read elsewhere, too: what is left is what was spent, by the epochs to come.
    left = [int(re.search(r"(\d+) s left$", line)[1]) for line in lines]
    assert left[1] > 0
    assert left[3] == 0
    assert left[0] == pytest.approx(3 * left[1] / 2, rel=0.5)
    assert all("train_label_loss " in line for line in lines)


WAITS_AFTER_AN_EPOCH = """
import sys
import numpy as np
from skorch.callbacks import Callback
from sklearn_vae import VAETransformer

class Waits(Callback):
    def on_epoch_end(self, net, **kwargs):
        sys.stdin.readline()

vae = VAETransformer(2, network="mlp", max_epochs=2, verbose=2, device="cpu", callbacks=[Waits()],
                     patience=1, random_state=0)
vae.fit(np.random.default_rng(0).random((20, 8, 8)))
"""


def test_lines_reach_a_pipe_when_they_are_written():
    """Else a log file stays empty for as long as Python's buffer is not full."""
    child = subprocess.Popen(
        [sys.executable, "-c", WAITS_AFTER_AN_EPOCH],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    watchdog = threading.Timer(120, child.kill)  # readline would wait for ever
    watchdog.start()
    try:
        assert child.stdout.readline().startswith("VAE z_dim=2")
        assert child.stdout.readline().startswith("epoch    1  z_dim=2")
        assert child.poll() is None  # waits after its first epoch
        child.communicate("\n\n")
    finally:
        watchdog.cancel()
        child.kill()
        child.wait()

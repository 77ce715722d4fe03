"""What several test modules share: a tiny estimator, comparisons, callbacks that leave traces."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

# imbalanced-learn adds to scikit-learn's list of methods, which is part of what joblib hashes of a
# pipeline's step: a cache is shared only by processes that have all imported it, or none.
import imblearn  # noqa: F401
import numpy as np
import pytest
import safetensors.numpy
import torch
from skorch.callbacks import Callback

from sklearn_vae import VAETransformer
from sklearn_vae.nn import MLP
from sklearn_vae.persistence._weights import checksum

needs_links = pytest.mark.skipif(os.name == "nt", reason="links take a right on Windows")

QUICK = {
    "z_dim": 3,
    "network": MLP(hidden=(16,)),
    "augment": None,
    "max_epochs": 2,
    "batch_size": 64,
    "device": "cpu",
    "precision": "float32",  # "auto" depends on the machine
    "random_state": 0,
}


def budget(n):
    """Return how many random cases a test tries; ``SKLEARN_VAE_FUZZ=20`` makes it 20 times n."""
    return n * int(os.environ.get("SKLEARN_VAE_FUZZ", "1"))


def mutate(data, rng):
    """Return the bytes with one fault: a bit, a byte, a cut, a hole, a repeat or noise."""
    data = bytearray(data)
    at = int(rng.integers(len(data)))
    end = at + int(rng.integers(1, 64))
    kind = rng.integers(6)
    if kind == 0:
        data[at] ^= 1 << int(rng.integers(8))
    elif kind == 1:
        data[at] = int(rng.choice([0, 1, 127, 128, 255]))
    elif kind == 2:
        del data[at:]
    elif kind == 3:
        del data[at:end]
    elif kind == 4:
        data[at:at] = data[at:end]
    else:
        data[at:end] = rng.bytes(len(data[at:end]))
    return bytes(data)


def tiny(**changes):
    """Return an unfitted estimator that trains in a blink, with some parameters changed."""
    return VAETransformer(**{**QUICK, **changes})


def read_saved(folder):
    """Return the config and the weights of a saved model."""
    path = folder / "model.safetensors"
    with safetensors.safe_open(path, "numpy") as file:
        return json.loads(file.metadata()["sklearn_vae"]), safetensors.numpy.load_file(path)


def rewrite_saved(folder, config, arrays):
    """Write a config, or any text, and weights as if they had been saved together."""
    text = config if isinstance(config, str) else json.dumps(config)
    metadata = {"format": "pt", "sklearn_vae": text, "sha256": checksum(text, arrays)}
    safetensors.numpy.save_file(arrays, folder / "model.safetensors", metadata)


def weights(estimator):
    """Return copies of all weights and buffers of a fitted estimator."""
    return {name: value.clone() for name, value in estimator.module_.state_dict().items()}


def same_weights(a, b):
    """Whether two sets of weights, or two fitted estimators, agree bit for bit."""
    a, b = (w if isinstance(w, dict) else weights(w) for w in (a, b))
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def synthetic_images(n, *shape, dtype="float32", seed=0):
    """Return n noisy images of the given sample shape, in the range that belongs to dtype."""
    rng = np.random.default_rng(seed)
    brightness = rng.normal(0.5, 0.2, (n,) + (1,) * len(shape))
    images = np.clip(brightness + rng.normal(0, 0.15, (n, *shape)), 0, 1)
    if dtype == "uint8":
        return np.round(images * 255).astype(np.uint8)
    return images > 0.5 if dtype == "bool" else images.astype(dtype)


def some_labels(images):
    """Classes of four images in five."""
    return np.where(np.arange(len(images)) % 5, np.arange(len(images)) % 3, -1)


class Trained(Callback):
    """Counts, over all copies, how often a training began and how many epochs ran."""

    trainings = 0
    epochs = 0

    def on_train_begin(self, net, **kwargs):
        Trained.trainings += 1

    def on_epoch_begin(self, net, **kwargs):
        Trained.epochs += 1


class CountFits(Callback):
    """Writes one line per training into a file: processes share it."""

    def __init__(self, path):
        self.path = path

    def on_train_begin(self, net, **kwargs):
        with Path(self.path).open("a") as file:
            file.write(f"{net.module_.z_dim}\n")


class RecordRows(Callback):
    """Keeps the row numbers of both sides of the validation split."""

    def on_epoch_end(self, net, dataset_train=None, dataset_valid=None, **kwargs):
        self.train_ = np.asarray(dataset_train.indices)
        self.valid_ = np.asarray(dataset_valid.indices)


class CountBatches(Callback):
    """Counts the training batches and the rows in them."""

    def initialize(self):
        self.rows_ = []
        return self

    def on_batch_end(self, net, batch=None, training=None, **kwargs):
        if training:
            self.rows_.append(len(batch[0]))


class Interrupt(Callback):
    """A user who presses Ctrl-C in the given training batch."""

    def __init__(self, batch=1):
        self.batch = batch

    def initialize(self):
        self.seen_ = 0
        return self

    def on_batch_end(self, net, **kwargs):
        self.seen_ += 1
        if self.seen_ == self.batch:
            raise KeyboardInterrupt


class Run:
    """What a logger's run is like: alive, and not to be copied."""

    def __init__(self):
        self.lock = threading.Lock()
        self.rows = []

    def log(self, row):
        with self.lock:
            self.rows.append(row)


class Log(Callback):
    """Reports to a run, and counts for itself."""

    def __init__(self, run):
        self.run = run
        self.count = 0

    def on_epoch_end(self, net, **kwargs):
        self.count += 1
        self.run.log(net.history[-1]["train_loss"])


class Anonymous(Callback):
    """Holds a function that has no name."""

    def __init__(self):
        self.sink = lambda row: row


# -- the guide's code as scripts ---------------------------------------------------------------

GUIDE = Path(__file__).parents[1] / "docs" / "guide"
BEFORE = """
import numpy as np
import sklearn_vae
from sklearn_vae.nn import MLP

rng = np.random.default_rng(0)
y = np.arange(120) % 2
X = np.clip(rng.normal(0.3 + 0.3 * y[:, None, None], 0.2, (120, 8, 8)), 0, 1)
slow = sklearn_vae.VAETransformer


def quick(*args, **kwargs):
    usual = {"network": MLP((16,)), "max_epochs": 3, "augment": None, "device": "cpu"}
    return slow(*args, **{**usual, **kwargs})


sklearn_vae.VAETransformer = quick
"""
"""What a script of the guide has before it: small images, and a VAE that is quick."""


def guide_blocks(page, heading, names):
    """Return the code of a section of the guide that is shown there and not run, by names."""
    text = (GUIDE / page).read_text(encoding="utf-8")
    section = re.search(rf"## {heading}\n(.*?)\n##", text, re.S)[1]
    return dict(zip(names, re.findall(r"```py\n(.*?)```", section, flags=re.S), strict=True))


def found_by(tmp_path, *code):
    """Run code as a script in a folder of its own; return the JSON of its line "found ..."."""
    folder = tmp_path / str(len([*tmp_path.iterdir()]))
    folder.mkdir()
    script = folder / "script.py"
    script.write_text("\n".join((BEFORE, *code)), encoding="utf-8")
    command = [sys.executable, script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, cwd=folder)
    assert done.returncode == 0, done.stderr
    return json.loads(re.search(r"^found (.*)$", done.stdout, flags=re.M)[1])

"""Out of memory: an error that says what was asked for, under both its names."""

import pickle
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch
from helpers import same_weights, tiny, weights
from sklearn.exceptions import FitFailedWarning
from sklearn.model_selection import GridSearchCV
from torch import nn

from sklearn_vae import VAEAugmenter, VAEDetector
from sklearn_vae.input._rows import ArrayDataset
from sklearn_vae.nn import MLP, Network
from sklearn_vae.utils._memory import OutOfMemory, is_out_of_memory, memory_explained


class Full:
    """Memory that runs out in the given run of the encoder, if any."""

    error: Exception | None = None


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.inside = nn.Sequential(nn.Flatten(), nn.Linear(64, 8))

    def forward(self, x):
        if Full.error is not None and len(x) > 2:  # not in the run that finds the sizes
            raise Full.error
        return self.inside(x)


class Greedy(Network):
    """A network that asks for more than there is."""

    def encoder(self, shape):
        return Encoder()

    def decoder(self, z_dim, shape):
        return nn.Sequential(nn.Linear(z_dim, 64), nn.Unflatten(1, (1, 8, 8)))


@pytest.fixture
def full(monkeypatch):
    """What lets the network fail with an error."""
    return lambda error: monkeypatch.setattr(Full, "error", error)


def numpys():
    """Return the error of NumPy's own type."""
    with pytest.raises(MemoryError) as info:
        np.empty((2**40, 2**20), np.uint8)
    return info.value


ERRORS = {
    "torch on a CPU": RuntimeError(
        "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate "
        "memory: you tried to allocate 4000000000000 bytes. Error code 12 (Cannot allocate memory)"
    ),
    "oneDNN": RuntimeError("could not create a primitive"),
    "CUDA": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB."),
    "MPS": RuntimeError("MPS backend out of memory (MPS allocated: 9 GB, max allowed: 9 GB)."),
    "cuBLAS": RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"),
    "sizes": RuntimeError("Storage size calculation overflowed with sizes=[1000000, 10000000000]"),
    "NumPy": numpys(),
    "NumPy's sizes": ValueError("array is too big; `arr.size * arr.dtype.itemsize` is larger"),
    "a file": RuntimeError("unable to mmap 100 bytes from file: Cannot allocate memory (12)"),
    "ONNX Runtime": RuntimeError("Failed to allocate memory for requested buffer of size 123"),
    "the system": OSError(12, "Cannot allocate memory"),
    "Python": MemoryError(),
}
USES = {
    "fit": (lambda vae, X: vae.fit(X), ["batch_size=50", "(1, 8, 8)", "0.0 MB", "images"]),
    "partial_fit": (lambda vae, X: vae.partial_fit(X), ["batch_size=50", "smaller"]),
    "transform": (lambda vae, X: vae.transform(X), ["80 samples", "(1, 8, 8)", "fewer"]),
    "reconstruct": (lambda vae, X: vae.reconstruct(X), ["80 samples", "fewer"]),
    "score_samples": (lambda vae, X: vae.score_samples(X), ["80 samples", "fewer"]),
}


@pytest.mark.parametrize("kind", ERRORS)
@pytest.mark.parametrize("use", USES)
def test_the_error_says_what_was_asked_for_and_a_remedy(images, full, kind, use):
    vae = tiny(network=Greedy(), batch_size=50, random_state=0).fit(images)
    before = weights(vae)
    full(ERRORS[kind])
    call, words = USES[use]
    with pytest.raises(MemoryError) as info:
        call(vae, images[:80])
    assert isinstance(info.value, type(ERRORS[kind]))
    assert info.value.__cause__ is ERRORS[kind]
    assert all(word in str(info.value) for word in [*words, str(ERRORS[kind])[:100]])
    assert len(str(info.value)) < 500
    assert same_weights(weights(vae), before)
    again = pickle.loads(pickle.dumps(info.value))  # as it comes out of a process of a search
    assert type(again) is type(info.value)
    assert str(again) == str(info.value)


@pytest.mark.parametrize(
    "error", [RuntimeError("shapes cannot be multiplied"), ValueError("a primitive"), KeyError(1)]
)
def test_other_errors_come_through_as_they_are(images, full, error):
    vae = tiny(network=Greedy()).fit(images)
    full(error)
    with pytest.raises(type(error)) as info:
        vae.transform(images)
    assert info.value is error


def test_a_descriptor_that_onednn_lacks_is_no_lack_of_memory():
    assert is_out_of_memory(RuntimeError("could not create a primitive"))
    words = "could not create a primitive descriptor for a convolution forward propagation"
    assert not is_out_of_memory(RuntimeError(words))


def test_the_innermost_explanation_stays():
    with (
        pytest.raises(OutOfMemory, match="Out of memory in what is inside"),
        memory_explained(lambda: "what is outside"),
        memory_explained(lambda: "what is inside"),
    ):
        raise MemoryError


def test_a_search_goes_on_by_its_error_score(images, full):
    full(ERRORS["oneDNN"])
    grid = {"network": [MLP(hidden=(8,)), Greedy()]}
    search = GridSearchCV(tiny(), grid, cv=2, error_score=np.nan)
    with (
        pytest.warns(FitFailedWarning, match="Out of memory in training with batch_size=64"),
        pytest.warns(UserWarning, match="non-finite"),
    ):
        search.fit(images)
    assert np.isfinite(search.cv_results_["mean_test_score"]).tolist() == [True, False]
    assert search.best_params_ == {"network": MLP(hidden=(8,))}
    with pytest.raises(MemoryError, match="batch_size=64"):
        search.set_params(error_score="raise").fit(images)


def test_who_trains_a_vae_inside_says_so_too(images, labels, full):
    full(ERRORS["CUDA"])
    with pytest.raises(torch.OutOfMemoryError, match="batch_size=32"):  # each of half the rows
        VAEDetector(tiny(network=Greedy())).fit(images)
    with pytest.raises(torch.OutOfMemoryError, match="batch_size=64"):
        VAEAugmenter(vae=tiny(network=Greedy()), n_new=1).fit(images, labels)


# -- real allocations that no machine can fulfil ------------------------------------------------


@pytest.mark.parametrize("params", [{"network": MLP(hidden=(10**12,))}, {"z_dim": 10**12}])
def test_a_model_that_no_memory_holds_is_told_from_one_that_does_not_fit_together(images, params):
    vae = tiny(**params)
    with pytest.raises(MemoryError, match=r"building the model .*\(1, 8, 8\).*smaller") as info:
        vae.fit(images)
    assert isinstance(info.value, RuntimeError)
    assert not hasattr(vae, "module_")


def test_samples_that_no_memory_holds(fitted):
    with pytest.raises(MemoryError, match=r"drawing 1000000000000000 samples. Draw fewer"):
        fitted.sample(10**15)


def test_synthetic_rows_that_no_memory_holds(images, labels):
    augmenter = VAEAugmenter(vae=tiny(), n_new=1).fit(images, labels)
    with pytest.raises(MemoryError, match=r"making 1000000000000000 synthetic rows. Ask for"):
        augmenter.sample(10**15, y=3)
    with pytest.raises(MemoryError, match=r"making 1000000000000000 synthetic rows. Ask for"):
        augmenter.set_params(n_new={3: 10**15}).fit_resample(images, labels)


def test_who_reads_and_copies_says_so(images, labels, monkeypatch):
    def full(*args):
        raise MemoryError

    make = ArrayDataset.__init__

    def make_all(self, X, **kwargs):
        return full() if len(X) < len(images) else make(self, X, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr("sklearn_vae.synthesis._labelled.to_array", full)
        with pytest.raises(MemoryError, match=r"in reading X. Pass fewer samples"):
            VAEAugmenter(vae=tiny(), n_new=1).fit(images, labels)
    monkeypatch.setattr(ArrayDataset, "__init__", make_all)
    with pytest.raises(MemoryError, match=r"copying a part of X.* or a torch Dataset"):
        VAEDetector(tiny()).fit(images)


LIMITED = """
import resource
import numpy as np
from sklearn_vae import VAETransformer
from sklearn_vae.nn import Conv
how = {"max_epochs": 1, "device": "cpu", "augment": None, "precision": "float32"}
vae = VAETransformer(2, network=Conv((8,)), batch_size=8, random_state=0, **how)
X = np.zeros((2000, 64, 64), np.uint8)
X[::2] = 255
mean = vae.fit(X[:64]).transform(X[:4])
with open("/proc/self/statm") as file:
    pages = int(file.read().split()[0])
limit = pages * resource.getpagesize() + 2**26
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    vae.set_params(batch_size=2000).fit(X)
except MemoryError as error:
    assert isinstance(error, RuntimeError), type(error)
    print(error)
assert (vae.transform(X[:4]) == mean).all()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits of address space are Linux's")
class Items(torch.utils.data.Dataset):
    """Images of which one is too much."""

    def __init__(self, images, at):
        self.images, self.at = torch.tensor(images), at

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i):
        if i == self.at:
            raise MemoryError("a large file")
        return self.images[i]


@pytest.mark.parametrize("at", [0, 100])
@pytest.mark.parametrize("use", ["fit", "transform", "VAEDetector"])
def test_a_dataset_that_runs_out_of_memory(images, fitted, use, at):
    X = Items(images, at)
    call = VAEDetector(tiny()).fit if use == "VAEDetector" else getattr(fitted, use)
    words = r"reading \d+ items of X, a \w+, at once\. Let it .*\(a large file\)"
    with pytest.raises(MemoryError, match=words) as info:
        call(X)
    assert isinstance(info.value, OutOfMemory)


def test_an_array_that_no_memory_holds():
    X = np.broadcast_to(np.int64(3), (2**36, 64))  # which takes none itself
    words = r"copying X, of shape \(68719476736, 64\) and dtype int64, for torch\. Pass fewer"
    with pytest.raises(MemoryError, match=words):
        tiny().fit(X)
    image = np.broadcast_to(np.float32(0), (2**20, 2**20))
    with pytest.raises(MemoryError, match=r"reading X, a list\. Pass fewer"):
        tiny().fit([image] * 100)


def test_a_process_that_meets_its_limit():
    code = textwrap.dedent(LIMITED)
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert "batch_size=2000: a batch of 2000 samples of shape (1, 64, 64) is 32.8 MB" in run.stdout
    assert "Set a smaller batch_size, smaller images" in run.stdout

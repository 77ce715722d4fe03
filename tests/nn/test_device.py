"""Devices, precision, seeds and inference: nothing leaks out of the block."""

import contextlib
import os
import pickle
import signal
import threading
import time

import numpy as np
import pytest
import torch
from helpers import same_weights, synthetic_images, tiny, weights
from joblib import Parallel, delayed
from skorch.callbacks import Callback
from torch import nn
from torch.utils.data import Dataset

from sklearn_vae import VAETransformer
from sklearn_vae._parameters import FEATURES
from sklearn_vae.model import Vamp
from sklearn_vae.nn import MLP, Conv, Custom, Patches
from sklearn_vae.nn._device import exact_inference, resolve_device
from sklearn_vae.training import _precision
from sklearn_vae.training._net import VAENet
from sklearn_vae.training._precision import has_fast_bfloat16, resolve_precision
from sklearn_vae.utils._generators import generators_restored, seeded

NO_CUDA = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
CPU = torch.device("cpu")


def test_cpu_is_always_there():
    assert resolve_device("cpu") == resolve_device(CPU) == CPU


def test_auto_is_a_device_of_this_machine():
    device = resolve_device("auto")
    assert device.type in ("cpu", "cuda", "mps")
    if not torch.cuda.is_available() and not torch.backends.mps.is_available():
        assert device == CPU


@NO_CUDA
@pytest.mark.parametrize("device", ["cuda", "cuda:1", torch.device("cuda")])
def test_an_absent_device_is_an_error_in_training_and_a_warning_in_loading(device):
    with pytest.raises(ValueError, match=r"device='cuda.*not available.*'auto' or 'cpu'"):
        resolve_device(device)
    with pytest.warns(UserWarning, match=r"device='cuda.*on the CPU"):
        assert resolve_device(device, fallback=True) == CPU


@pytest.mark.parametrize("device", ["tpu", "gpu", "", "meta", "xpu"])
def test_other_devices_are_refused_with_those_that_are_allowed(device):
    if device == "xpu" and torch.xpu.is_available():
        pytest.skip("this machine has XPU")
    with pytest.raises(ValueError, match=rf"device='{device}'.*'auto'.*'cpu'"):
        resolve_device(device)


def test_seeded_blocks_repeat_and_leave_the_callers_generator_alone():
    before = torch.get_rng_state()
    draws = []
    for seed in (1, 1, 2):
        with seeded(seed, CPU):
            draws.append(torch.rand(3))
        assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


def test_on_the_cpu_no_gpu_is_seeded(images, monkeypatch):
    monkeypatch.setattr(torch.cuda, "manual_seed_all", None)  # torch.manual_seed calls it
    with seeded(1, CPU):
        first = torch.randn(3)
    assert torch.equal(first, torch.randn(3, generator=torch.Generator().manual_seed(1)))
    shared = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Dropout(), torch.nn.Linear(64, 6))
    tiny(network=Custom(shared, torch.nn.Linear(3, 64))).fit(images.reshape(-1, 64))


def test_seeded_restores_the_generator_when_the_block_raises():
    @seeded(1, CPU)
    def interrupted():
        torch.rand(3)
        raise KeyboardInterrupt

    before = torch.get_rng_state()
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert torch.equal(torch.get_rng_state(), before)


def test_inference_takes_no_gradients_and_ends_with_the_block():
    weight = torch.ones(2, requires_grad=True)
    with exact_inference():
        assert not (weight * 2).requires_grad
    assert (weight * 2).requires_grad


cudnn = torch.backends.cudnn
NEW_FLAGS = hasattr(cudnn, "conv")
TF32_FLAGS = [(cudnn, "benchmark", True), (cudnn, "allow_tf32", False)]
if NEW_FLAGS:  # since torch 2.9
    TF32_FLAGS += [
        (cudnn.conv, "fp32_precision", "tf32"),
        (torch.backends, "fp32_precision", "tf32"),
    ]


@pytest.fixture(params=TF32_FLAGS, ids=lambda flag: flag[1])
def user_flag(request):
    """A setting of the user's own."""
    owner, name, value = request.param
    before = getattr(owner, name)
    setattr(owner, name, value)
    yield
    setattr(owner, name, before)


def test_inference_on_a_gpu_is_without_tf32_however_that_was_set(monkeypatch, user_flag):
    def shown():
        tf32 = cudnn.conv.fp32_precision if NEW_FLAGS else cudnn.allow_tf32
        return tf32, cudnn.benchmark, cudnn.deterministic

    def fail():
        with exact_inference():
            assert shown() == ("ieee" if NEW_FLAGS else False, False, True)
            raise KeyError

    before = shown()
    with monkeypatch.context() as patch:
        patch.setattr(torch.cuda, "is_available", lambda: True)
        with pytest.raises(KeyError):
            fail()
    assert shown() == before


def model_for(network, *shape):
    X = synthetic_images(4, *shape)
    return VAETransformer(2, network=network, max_epochs=1, device="cpu").fit(X).module_


@pytest.mark.parametrize(
    ("fast", "network", "shape", "bounded", "expected"),
    [
        (True, MLP((8,)), (8, 8), True, torch.bfloat16),
        (True, Conv((4, 4)), (8, 8), True, torch.bfloat16),
        (False, MLP((8,)), (8, 8), True, None),  # nothing to gain there
        (True, MLP((8,)), (8, 8), False, None),  # too coarse for a small learnt variance
        (True, Conv((4, 4, 4)), (17, 8), True, None),  # the last map is 2 x 1
    ],
)
def test_auto_precision_is_bfloat16_where_that_is_safe_and_fast(
    monkeypatch, fast, network, shape, bounded, expected
):
    model = model_for(network, *shape)
    monkeypatch.setattr(_precision, "has_fast_bfloat16", lambda device: fast and device == CPU)
    assert resolve_precision("auto", CPU, model, bounded=bounded) is expected
    assert resolve_precision("auto", torch.device("cuda"), model, bounded=bounded) is None
    assert resolve_precision("float32", CPU, model, bounded=bounded) is None
    assert resolve_precision("bfloat16", CPU, model, bounded=bounded) is torch.bfloat16


@pytest.mark.parametrize(
    ("words", "fast"),
    [
        ("GenuineIntel avx512_bf16 amx_bf16", True),
        ("GenuineIntel avx512_bf16", False),  # at half the rate of float32
        ("AuthenticAMD avx512_bf16", True),  # since Zen 4
        ("AuthenticAMD avx512f", False),
        (None, False),  # a system that does not tell
    ],
)
def test_bfloat16_is_fast_by_what_the_cpu_is(monkeypatch, tmp_path, words, fast):
    if words is not None:
        (tmp_path / "cpuinfo").write_text(f"vendor_id : {words}\n")
    monkeypatch.setattr(_precision, "Path", lambda path: tmp_path / path.split("/")[-1])
    monkeypatch.setattr(_precision, "cpu_words", _precision.cpu_words.__wrapped__)
    assert has_fast_bfloat16(CPU) is fast
    assert not has_fast_bfloat16(torch.device("cuda"))


def test_the_narrowest_map_is_found_and_nothing_is_left_behind():
    model = model_for(Conv((4, 4, 4), batch_norm=True), 17, 8)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert model.narrowest_map() == 1
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())
    assert model_for(MLP((8,)), 8, 8).narrowest_map() == float("inf")


def test_threads_fit_as_alone_and_leave_the_generator(images):
    def fit(seed):
        return tiny(random_state=seed, max_epochs=3).fit(images).transform(images)

    alone = [fit(seed) for seed in range(4)]
    before = torch.get_rng_state()
    together = Parallel(n_jobs=2, prefer="threads")(delayed(fit)(seed) for seed in range(4))
    assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))
    assert torch.equal(torch.get_rng_state(), before)


def in_two_threads(fit):
    """Return what two threads return that call ``fit`` with 0 and 1 at the same time."""
    return Parallel(n_jobs=2, backend="threading")(delayed(fit)(k) for k in range(2))


def meeting(monkeypatch, seconds):
    """Let each thread's first step wait for the other's; return how many have met so."""
    both, waited, met = threading.Barrier(2), threading.local(), []
    step = VAENet.train_step

    def waiting(self, batch, **kwargs):
        if not hasattr(waited, "done"):
            waited.done = True
            with contextlib.suppress(threading.BrokenBarrierError):
                both.wait(seconds)
                met.append(self)
        return step(self, batch, **kwargs)

    monkeypatch.setattr(VAENet, "train_step", waiting)
    return met


def noisy(x):
    return x + 0.1 * torch.randn_like(x)


class Draws(Callback):
    """What it draws in each epoch goes into the weights."""

    def on_epoch_end(self, net, **kwargs):
        with torch.no_grad():
            net.module_.posterior_head.bias.add_(0.01 * torch.randn(1))


class Drawn(Dataset):
    """Images with noise that is drawn anew."""

    def __init__(self, images):
        self.images = images

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i):
        return (torch.tensor(self.images[i]).float() + 0.1 * torch.rand(8, 8)).clamp(0, 1)


CONV = {"network": Conv(channels=(4, 8), batch_norm=True), "augment": "auto"}
SIDE_BY_SIDE = {
    "mlp": {},
    "conv": CONV,
    "labels": {"label_weight": 1.0, "validation_fraction": 0.2},
    "vamp": {"prior": Vamp(n_components=5), "importance_samples": 2},
    "rows": {"augment": "auto"},
    "callbacks": {"callbacks": [Draws()]},
    "transform": {"augment": noisy},
    "Dataset": CONV,
}
LENT = "callbacks", "transform", "Dataset"
"""Where threads have torch's generator in turns, while the user's code is called."""


@pytest.mark.parametrize("kind", SIDE_BY_SIDE)
def test_two_fits_run_side_by_side_and_torchs_generator_stays_the_callers(
    images, labels, rows, monkeypatch, kind
):
    X = {"rows": rows, "Dataset": Drawn(images)}.get(kind, images)
    settings = SIDE_BY_SIDE[kind]
    alone = [tiny(random_state=seed, **settings).fit(X, labels) for seed in range(2)]
    met, states = meeting(monkeypatch, 60), []

    def fit(seed):
        return tiny(random_state=seed, **settings).fit(X, labels)

    single_step = VAENet.train_step_single

    def seen(self, *args, **kwargs):
        states.append(torch.get_rng_state())
        return single_step(self, *args, **kwargs)

    monkeypatch.setattr(VAENet, "train_step_single", seen)
    before = torch.get_rng_state()
    together = in_two_threads(fit)
    assert len(met) == 2
    assert torch.equal(torch.get_rng_state(), before)
    if kind not in LENT:
        assert all(torch.equal(state, before) for state in states)
    for one, other in zip(alone, together, strict=True):
        assert same_weights(one, other)


class Noisy(nn.Module):
    def forward(self, x):
        return noisy(x)


def users_network():
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), Noisy())
    return encoder, nn.Sequential(nn.Linear(3, 64), nn.Unflatten(1, (1, 8, 8)))


class Noised(torch.optim.SGD):
    """Steps with noise, as of Langevin dynamics."""

    def step(self, closure=None):
        super().step(closure)
        with torch.no_grad():
            for group in self.param_groups:
                for p in group["params"]:
                    p.add_(1e-4 * torch.randn_like(p))


SHARED = {
    "network": lambda: {"network": users_network()},
    "optimizer": lambda: {"optimizer": Noised, "lr": 1e-4},
    "torch's default dtype": dict,
}


@pytest.mark.parametrize("what", SHARED)
def test_what_draws_from_torchs_generator_waits_and_says_so(
    images, default_dtype, monkeypatch, capfd, what
):
    X, settings = torch.tensor(images).float(), SHARED[what]()
    if what == "torch's default dtype":
        default_dtype(torch.float64)

    def fit(seed):
        return tiny(random_state=seed, verbose=2, **settings).fit(X)

    alone = [fit(seed) for seed in range(2)]
    assert "wait" not in capfd.readouterr().out  # in the main thread nobody need know
    met, before = meeting(monkeypatch, 0.2), torch.get_rng_state()
    together = in_two_threads(fit)
    assert not met
    assert torch.equal(torch.get_rng_state(), before)
    told = capfd.readouterr().out
    assert told.count(f"other threads wait for this training, for {what}\n") == 2
    for one, other in zip(alone, together, strict=True):
        assert same_weights(one, other)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_does_not_wait_for_the_parents_threads():
    """One of them may be training: the child has a copy of the lock, not of the thread."""
    held, done = threading.Event(), threading.Event()

    def hold():
        with generators_restored():
            held.set()
            done.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(60)
    child = os.fork()
    if child == 0:
        with generators_restored():
            os._exit(0)
    try:
        for _ in range(600):
            if os.waitpid(child, os.WNOHANG)[0]:
                break
            time.sleep(0.1)
        else:
            os.kill(child, signal.SIGKILL)
            pytest.fail("the child waits for a lock that nobody will give back")
    finally:
        done.set()
        thread.join()


# -- torch's defaults ---------------------------------------------------------------------------

NO_DEFAULTS = [torch.float64, torch.float16, torch.bfloat16]


@pytest.fixture
def default_dtype():
    """What sets torch's default dtype; the usual one is back after the test."""
    yield torch.set_default_dtype
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("dtype", NO_DEFAULTS)
def test_a_seeded_block_has_torchs_usual_defaults(default_dtype, dtype):
    default_dtype(dtype)
    with torch.device("meta"), seeded(0, CPU):
        assert (torch.rand(1).dtype, torch.rand(1).device) == (torch.float32, CPU)
    assert torch.get_default_dtype() == dtype
    with pytest.raises(ZeroDivisionError), seeded(0, CPU):
        _ = 1 / 0
    assert torch.get_default_dtype() == dtype


def test_a_thread_that_waits_restores_the_right_dtype(default_dtype):
    default_dtype(torch.float64)
    inside, done = threading.Event(), threading.Event()

    def first():
        with seeded(0, CPU):
            inside.set()
            done.wait(0.2)  # the other is at the door meanwhile

    thread = threading.Thread(target=first)
    thread.start()
    inside.wait()
    with seeded(1, CPU):
        assert torch.get_default_dtype() == torch.float32
    done.set()
    thread.join()
    assert torch.get_default_dtype() == torch.float64


MODELS = {
    "mlp": {},
    "conv": {"network": Conv(channels=(4, 8), batch_norm=True), "augment": "auto"},
    "patches": {"network": Patches(MLP(hidden=(8,)), n_filters=4, size=3)},
    "vamp": {"prior": Vamp(n_components=5)},
    "iaf": {"posterior": "iaf", "importance_samples": 2},
    "labels": {"label_weight": 1.0, "validation_fraction": 0.2},
}


@pytest.mark.parametrize("kind", MODELS)
def test_another_default_dtype_changes_nothing(images, labels, default_dtype, kind):
    def results():
        vae = tiny(**MODELS[kind]).fit(images, labels)
        vae.partial_fit(images, labels)
        loaded = pickle.loads(pickle.dumps(vae))
        return [
            *(vae.set_params(features=name).transform(images) for name in FEATURES),
            vae.set_params(features="mean").reconstruct(images),
            vae.sample(3, random_state=0),
            vae.score_samples(images),
            loaded.transform(images),
            loaded.partial_fit(images, labels).transform(images),
        ]

    expected = results()
    for dtype in NO_DEFAULTS:
        default_dtype(dtype)
        for seen, right in zip(results(), expected, strict=True):
            assert seen.dtype == right.dtype
            np.testing.assert_array_equal(seen, right)
        assert torch.get_default_dtype() == dtype


def test_an_error_in_a_fit_leaves_the_default_dtype(images, default_dtype):
    default_dtype(torch.float64)
    with pytest.raises(FloatingPointError):
        tiny(lr=1e30, optimizer="sgd").fit(images)
    assert torch.get_default_dtype() == torch.float64


def test_a_dataset_that_draws_is_read_with_the_seed_of_the_fit(images):
    fits = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        vae = tiny(random_state=0, features="hidden").fit(Drawn(images))
        fits.append((weights(vae), vae.row_keys_))
    assert same_weights(fits[0][0], fits[1][0])  # the scale of hidden features is one of them
    np.testing.assert_array_equal(fits[0][1], fits[1][1])

"""Ctrl-C at every moment and under every handler: it ends the fit, and nothing has changed."""

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import numpy as np
import pytest
import skorch
import torch
from helpers import budget, same_weights, tiny, weights
from sklearn.linear_model import LogisticRegression
from skorch.callbacks import Callback

import sklearn_vae
from sklearn_vae import BackboneTransformer, VAEAugmenter, VAEClassifier, VAEDetector
from sklearn_vae.nn import Conv


@pytest.fixture(autouse=True)
def pythons_handler():
    """Answer Ctrl-C as Python does by itself; jobs in the background are started without."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def press():
    signal.raise_signal(signal.SIGINT)


def at_epoch_end(function):
    """Return a callback that calls the function at the end of every epoch."""
    return type("AtEpochEnd", (Callback,), {"on_epoch_end": lambda self, net, **kw: function()})()


def stop():
    raise KeyboardInterrupt


# -- a callback's stop and an interrupt ----------------------------------------------------------


def test_a_callback_may_end_the_training(images):
    estimator = tiny(callbacks=[at_epoch_end(stop)], max_epochs=5).fit(images)
    assert estimator.n_iter_ == 1


def press_and_stop():
    with contextlib.suppress(KeyboardInterrupt):
        press()
    stop()


def stop_late():
    """Python's handler comes to its turn while the callback's own stop is on its way."""
    try:
        stop()
    finally:
        press()


@pytest.mark.parametrize("function", [press, press_and_stop, stop_late])
def test_an_interrupt_that_arrives_in_a_callback_wins(images, function):
    estimator = tiny(callbacks=[at_epoch_end(function)], max_epochs=5)
    with pytest.raises(KeyboardInterrupt):
        estimator.fit(images)
    assert not hasattr(estimator, "module_")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_handler_of_the_callers_that_interrupts(images):
    def handler(number, frame):
        raise KeyboardInterrupt("by the caller's handler")

    signal.signal(signal.SIGINT, handler)
    with pytest.raises(KeyboardInterrupt, match="by the caller's handler"):
        tiny(callbacks=[at_epoch_end(press)], max_epochs=5).fit(images)
    assert signal.getsignal(signal.SIGINT) is handler


def test_a_handler_that_only_takes_note_interrupts_no_fit(images):
    noted = []
    signal.signal(signal.SIGINT, lambda *given: noted.append(given[0]))
    estimator = tiny(callbacks=[at_epoch_end(press)], max_epochs=3).fit(images)
    assert estimator.n_iter_ == len(noted) == 3
    # With a signal since the callback was called, its stop is taken for Ctrl-C.
    with pytest.raises(KeyboardInterrupt):
        tiny(callbacks=[at_epoch_end(press_and_stop)], max_epochs=3).fit(images)
    # A signal from before is the handler's own affair.
    estimator.set_params(callbacks=[at_epoch_end(stop)])
    press()
    assert estimator.fit(images).n_iter_ == 1


def test_a_handler_that_is_set_while_training_runs(images):
    def handler(number, frame):
        raise KeyboardInterrupt

    def set_and_press():
        signal.signal(signal.SIGINT, handler)
        press()

    for function in (set_and_press, lambda: signal.signal(signal.SIGINT, handler)):
        signal.signal(signal.SIGINT, signal.default_int_handler)
        callbacks = [at_epoch_end(function), at_epoch_end(press)]
        with pytest.raises(KeyboardInterrupt):
            tiny(callbacks=callbacks, max_epochs=5).fit(images)
        assert signal.getsignal(signal.SIGINT) is handler


def test_a_handler_that_a_callback_saw_works_after_the_fit(images):
    seen = []
    see = at_epoch_end(lambda: seen.append(signal.getsignal(signal.SIGINT)))
    tiny(callbacks=[see], max_epochs=1).fit(images)
    signal.signal(signal.SIGINT, seen[0])  # as who restores what was there before
    with pytest.raises(KeyboardInterrupt):
        press()
    with pytest.raises(KeyboardInterrupt):
        tiny(callbacks=[at_epoch_end(press)], max_epochs=2).fit(images)
    assert signal.getsignal(signal.SIGINT) == seen[0]


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="this system has no SIGUSR1")
def test_other_signals_whose_handler_interrupts(images):
    before = signal.signal(signal.SIGUSR1, lambda *_: stop())
    try:
        send = at_epoch_end(lambda: signal.raise_signal(signal.SIGUSR1))
        with pytest.raises(KeyboardInterrupt):
            tiny(callbacks=[send], max_epochs=5).fit(images)
        # One that interrupts nobody leaves a callback's stop what it is.
        signal.signal(signal.SIGUSR1, lambda *_: None)
        stops = [at_epoch_end(lambda: (signal.raise_signal(signal.SIGUSR1), stop()))]
        assert tiny(callbacks=stops, max_epochs=5).fit(images).n_iter_ == 1
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_in_another_thread_a_stop_is_a_stop(images):
    estimator = tiny(callbacks=[at_epoch_end(stop)], max_epochs=5)
    thread = threading.Thread(target=estimator.fit, args=(images,))
    thread.start()
    thread.join()
    assert estimator.n_iter_ == 1


def test_what_cannot_be_cut_in_two_is_completed_first(images):
    """torch's first optimiser imports sympy, whose import cannot begin anew after an interrupt."""
    made = []

    def optimizer(*given, **settings):
        press()
        made.append(torch.optim.Adam(*given, **settings))
        return made[0]

    with pytest.raises(KeyboardInterrupt):
        tiny(optimizer=optimizer).fit(images)
    assert made
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


# -- at any moment -------------------------------------------------------------------------------

FOLDERS = [str(Path(module.__file__).parent) for module in (sklearn_vae, skorch)]
PLACES = (*FOLDERS, contextlib.__file__)
"""Not all of Python: ``copyreg`` swallows whatever is raised while it remembers a class's slots."""


class AtLine:
    """Press Ctrl-C before the lines of these numbers of the package, skorch, or contextlib."""

    def __init__(self, *numbers):
        self.numbers = numbers
        self.lines = 0

    def _call(self, frame, event, arg):
        return self._line if frame.f_code.co_filename.startswith(PLACES) else None

    def _line(self, frame, event, arg):
        if event == "line":
            self.lines += 1
            if self.lines in self.numbers:
                press()
        return self._line

    def __enter__(self):
        sys.settrace(self._call)
        return self

    def __exit__(self, *error):
        sys.settrace(None)


def stopped_early(**changes):
    """An estimator with all that can be half done: BatchNorm, a split, early stopping."""
    settings = {"network": Conv((4,), batch_norm=True), "validation_fraction": 0.2, "patience": 1}
    return tiny(**{"max_epochs": 4, "batch_size": 20, "warm_start": True, **settings, **changes})


def left_alone(estimator, fit, *numbers):
    """Interrupt the fit at these lines; return whether it was, having checked what is left."""
    module, before = estimator.module_, pickle.dumps(estimator.__dict__.get("history_"))
    values, generator = weights(estimator), torch.get_rng_state()
    with AtLine(*numbers) as pressed:
        try:
            fit()
        except KeyboardInterrupt:
            interrupted = True
        else:
            interrupted = False
    assert interrupted == (pressed.lines >= numbers[0]), numbers
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert torch.equal(torch.get_rng_state(), generator)
    assert not estimator.module_.training
    if interrupted and estimator.module_ is module:  # else it came when all was in its place
        assert same_weights(values, weights(estimator))
        assert pickle.dumps(estimator.history_) == before
    return interrupted


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_ctrl_c_before_any_line(images, method):
    images = images[:40]
    estimator = stopped_early().fit(images)
    rng = np.random.default_rng(0)
    with AtLine() as run:
        getattr(pickle.loads(pickle.dumps(estimator)), method)(images)
    hit = 0
    for number in rng.integers(1, run.lines, budget(25)):
        fit = getattr(estimator, method)
        hit += left_alone(estimator, lambda: fit(images), number)  # noqa: B023
        # A second one while the first is answered.
        hit += left_alone(estimator, lambda: fit(images), number, number + rng.integers(1, 60))  # noqa: B023
    assert hit >= budget(40)


@pytest.mark.parametrize("kind", ["sampler", "wrapper", "detector", "classifier", "backbone"])
def test_ctrl_c_before_any_line_of_what_holds_a_vae(images, labels, kind):
    X, y = images[:40], labels[:40] % 2
    estimator = {
        "sampler": VAEAugmenter(vae=tiny(), n_new=2, random_state=0),
        "wrapper": VAEAugmenter(LogisticRegression(), vae=tiny(image_shape=(8, 8)), n_new=2),
        "detector": VAEDetector(tiny(), random_state=0),
        "classifier": VAEClassifier(tiny(), random_state=0),
        "backbone": BackboneTransformer(torch.nn.Conv2d(1, 2, 3), device="cpu"),
    }[kind]
    X = X.reshape(40, -1) if kind == "wrapper" else X
    estimator.fit(X, y)
    rng = np.random.default_rng(0)
    with AtLine() as run:
        pickle.loads(pickle.dumps(estimator)).fit(X, y)
    for number in rng.integers(1, run.lines, budget(10)):
        before = estimator.__dict__.copy()
        with contextlib.suppress(KeyboardInterrupt), AtLine(number, number + 7) as pressed:
            estimator.fit(X, y)
            assert pressed.lines < number, "the interrupt was lost"
        after = estimator.__dict__
        changed = {name for name in before | after if before.get(name) is not after.get(name)}
        assert not changed or len(changed) > 2, changed  # all of it, or nothing
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.skipif(os.name == "nt", reason="signals of another process")
def test_signals_from_another_process():
    """Short fits without end in a child; a signal at a random moment ends every one of them."""
    script = """
        import signal, sys
        import numpy as np, torch
        from sklearn_vae import VAETransformer
        from sklearn_vae.nn import MLP
        torch.set_num_threads(1)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        X = np.random.default_rng(0).random((40, 8, 8))
        vae = VAETransformer(2, network=MLP((4,)), max_epochs=10**6, augment=None, device="cpu")
        for _ in range(int(sys.argv[1])):
            print("begin", flush=True)
            try:
                vae.fit(X)
            except KeyboardInterrupt:
                assert not hasattr(vae, "module_")
                print("interrupted", flush=True)
            else:
                print("lost", flush=True)
    """
    n, rng = budget(20), np.random.default_rng(0)
    command = [sys.executable, "-c", textwrap.dedent(script), str(n)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        said = []
        for _ in range(n):
            assert child.stdout.readline() == "begin\n"
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(rng.uniform(0.001, 0.05))
            child.send_signal(signal.SIGINT)
            said.append(child.stdout.readline().strip())
    assert said == ["interrupted"] * n
    assert child.returncode == 0


# -- hooks ---------------------------------------------------------------------------------------


class Hook(Callback):
    """Puts a forward hook on the encoder that doubles what it returns in every other step."""

    calls = 0

    def on_train_begin(self, net, **kwargs):
        def hook(module, inputs, output):
            Hook.calls += module.training
            return output * (1 + Hook.calls % 2)

        net.module_.encoder.register_forward_hook(hook)


def test_a_hook_that_a_callback_sets_runs_in_every_step(images):
    Hook.calls = 0
    hooked = tiny(callbacks=[Hook()], max_epochs=50, batch_size=40).fit(images)
    assert Hook.calls == 250
    plain = tiny(max_epochs=50, batch_size=40).fit(images)
    assert hooked.history_[1]["train_loss"] != plain.history_[1]["train_loss"]

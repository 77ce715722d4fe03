"""Callbacks: passed by reference, copied for each fit, and refused where they could not work."""

import copy
import pickle
import sys
import traceback
from types import ModuleType

import joblib
import numpy as np
import pytest
import torch
from helpers import Anonymous, Log, Run, Trained, same_weights, tiny, weights
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC
from skorch.callbacks import (
    BatchScoring,
    Callback,
    Checkpoint,
    EarlyStopping,
    EpochScoring,
    GradientNormClipping,
    LRScheduler,
    MlflowLogger,
    TensorBoard,
    WandbLogger,
)

from sklearn_vae import VAEAugmenter, VAEDetector, VAETransformer


class Restorable(Log):
    """Leaves its run out when it is pickled, as the error says."""

    def __getstate__(self):
        return {"run": None, "count": self.count}


class Trial:
    """An Optuna trial, which belongs to a study with a lock, and prunes after two reports."""

    def __init__(self):
        self.study = Run()

    def report(self, value, step):
        self.study.log((step, value))

    def should_prune(self):
        return len(self.study.rows) == 2


class Pruned(Exception):  # noqa: N818 (as Optuna's TrialPruned)
    pass


class Prune(Callback):
    """What optuna_integration.SkorchPruningCallback does."""

    def __init__(self, trial, monitor):
        self._trial = trial
        self._monitor = monitor

    def on_epoch_end(self, net, **kwargs):
        self._trial.report(net.history[-1, self._monitor], len(net.history) - 1)
        if self._trial.should_prune():
            raise Pruned


# -- by reference -------------------------------------------------------------------------------

HOLDERS = {
    "fit": lambda vae, X, y: vae.fit(X),
    "a clone": lambda vae, X, y: clone(vae).fit(X),
    "a clone of a pipeline": lambda vae, X, y: clone(make_pipeline(vae, SVC())).fit(X, y),
    "VAEDetector": lambda vae, X, y: VAEDetector(vae, random_state=0).fit(X),
    "VAEAugmenter": lambda vae, X, y: VAEAugmenter(vae=vae, n_new=1).fit_resample(X, y),
    "conditional": lambda vae, X, y: VAEAugmenter(
        vae=vae, n_new=1, method="conditional"
    ).fit_resample(X, y),
    "deformation": lambda vae, X, y: VAEAugmenter(
        vae=vae, n_new=1, method="deformation"
    ).fit_resample(X, y),
}


@pytest.mark.parametrize("how", HOLDERS)
def test_a_live_run_gets_every_report(images, labels, how):
    log = Log(Run())
    HOLDERS[how](tiny(callbacks=[log, ("again", log)]), images[:80], labels[:80])
    n_vaes = 2 if how == "VAEDetector" else 1
    assert len(log.run.rows) == 4 * n_vaes  # two epochs, two callbacks
    assert np.isfinite(log.run.rows).all()
    assert vars(log) == {"run": log.run, "count": 0}  # each fit counts on its copy


def test_a_search_reports_all_its_fits_to_one_run(images, labels):
    log = Log(Run())
    pipeline = make_pipeline(tiny(callbacks=[log]), SVC())
    search = GridSearchCV(pipeline, {"svc__C": [1, 2]}, cv=2).fit(images[:80], labels[:80])
    assert len(log.run.rows) == 2 * (2 * 2 + 1)  # epochs, folds, candidates, and the refit
    assert search.best_estimator_[0].callbacks[0] is log
    assert search.best_estimator_[0].net_.callbacks_[0][1].count == 2


def test_reports_of_a_pruning_callback_reach_the_study(images):
    trial = Trial()
    estimator = clone(tiny(callbacks=[Prune(trial, "train_loss")], max_epochs=5))
    with pytest.raises(Pruned):
        estimator.fit(images)
    assert [step for step, _ in trial.study.rows] == [0, 1]
    assert not hasattr(estimator, "module_")


def test_a_file_stays_open_from_fit_to_fit(images, tmp_path):
    class Write(Callback):
        def __init__(self, file):
            self.file = file

        def on_epoch_end(self, net, **kwargs):
            self.file.write(f"{len(net.history)}\n")

    with (tmp_path / "log").open("w") as file:
        estimator = tiny(callbacks=[Write(file)], warm_start=True)
        estimator.fit(images).partial_fit(images).fit(images)
    assert (tmp_path / "log").read_text().split() == list("12345")


def test_a_fit_does_not_ask_getstate_for_what_is_live(images):
    log = Restorable(Run())
    tiny(callbacks=[log]).fit(images)
    assert len(log.run.rows) == 2


def test_a_clone_is_unfitted_and_has_a_list_of_its_own(images):
    log = Log(Run())
    estimator = tiny(callbacks=[log, ("stop", Trained)]).fit(images)
    cloned = clone(estimator)
    assert cloned.callbacks == [log, ("stop", Trained)]
    assert cloned.callbacks[0] is log
    assert cloned.callbacks is not estimator.callbacks
    assert not [name for name in vars(cloned) if name.endswith("_")]


def test_a_clone_keeps_what_set_output_and_routing_have_set():
    estimator = tiny(callbacks=[Log(Run())]).set_output(transform="pandas")
    assert clone(estimator)._sklearn_output_config == {"transform": "pandas"}


# -- nested parameters --------------------------------------------------------------------------


def test_parameters_of_callbacks_have_skorchs_names():
    clip, first, second = GradientNormClipping(1.0), EarlyStopping(patience=3), EarlyStopping()
    estimator = tiny(callbacks=[("clip", clip), first, second, Trained])
    params = {k: v for k, v in estimator.get_params().items() if k.startswith("callbacks__")}
    assert params["callbacks__clip"] is clip
    assert params["callbacks__clip__gradient_clip_value"] == 1.0
    assert params["callbacks__EarlyStopping_1__patience"] == 3
    assert params["callbacks__EarlyStopping_2__patience"] == 5
    assert params["callbacks__Trained"] is Trained
    assert not [k for k in estimator.get_params(deep=False) if "__" in k]


def test_a_callback_is_changed_as_a_copy():
    clip = GradientNormClipping(1.0)
    callbacks = [("clip", clip), Trained]
    estimator = tiny(callbacks=callbacks)
    estimator.set_params(callbacks__clip__gradient_clip_value=2.0, callbacks__Trained=None, lr=1.0)
    assert estimator.lr == 1
    assert estimator.callbacks[0][1].gradient_clip_value == 2
    assert estimator.callbacks[1] is None
    assert clip.gradient_clip_value == 1
    assert callbacks == [("clip", clip), Trained]


def test_a_callback_can_be_replaced_and_changed_at_once():
    estimator = tiny().set_params(
        callbacks__stop__patience=7, callbacks__stop=EarlyStopping(), callbacks=[("stop", None)]
    )
    assert estimator.callbacks[0][1].patience == 7


def test_a_search_reaches_into_callbacks(images):
    vae = tiny(callbacks=[("clip", GradientNormClipping(1e-6))], optimizer="sgd", lr=1e-2)
    grid = {"callbacks__clip__gradient_clip_value": [1e-6, 1.0]}
    search = GridSearchCV(vae, grid, cv=2).fit(images)
    assert search.best_params_ == {"callbacks__clip__gradient_clip_value": 1.0}
    assert vae.callbacks[0][1].gradient_clip_value == 1e-6


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"callbacks__other": None}, ["'other'", "'clip'"]),
        ({"callbacks__clip__nonsense": 1}, ["nonsense", "gradient_clip_value"]),
        (
            {"callbacks__clip": None, "callbacks__clip__gradient_clip_value": 1},
            ["callbacks__clip__gradient_clip_value", "None as 'clip'", "Set callbacks__clip"],
        ),
    ],
)
def test_unknown_names_set_nothing(params, words):
    estimator = tiny(callbacks=[("clip", GradientNormClipping(1.0))])
    before = estimator.get_params()
    with pytest.raises(ValueError) as info:  # noqa: PT011
        estimator.set_params(lr=0.5, **params)
    assert all(word in str(info.value) for word in words)
    assert estimator.get_params() == before


# -- pickling -----------------------------------------------------------------------------------


NAMED = r"callback {} cannot be pickled .*callbacks=None"


class Keeps(Callback):
    def __init__(self, losses):
        self.losses = losses

    def on_epoch_end(self, net, **kwargs):
        self.losses.append(net.history[-1]["train_loss"])


class KeepsAsItIs(Keeps):
    def __sklearn_clone__(self):
        return self


@pytest.mark.parametrize("kind, n_reports", [(Keeps, 0), (KeepsAsItIs, 3 * 2)])
def test_a_search_over_callbacks_copies_those_that_scikit_learn_copies(images, kind, n_reports):
    losses = []
    grid = {"callbacks": [[kind(losses)]]}
    GridSearchCV(tiny(), grid, cv=2, error_score="raise").fit(images)
    assert len(losses) == n_reports


def test_saving_names_the_callback_that_cannot_be_pickled(images, tmp_path):
    estimator = tiny(callbacks=[Log(Run())]).fit(images)
    for save in (pickle.dumps, lambda e: joblib.dump(e, tmp_path / "vae")):
        with pytest.raises(TypeError, match=NAMED.format("Log")):
            save(estimator)
    with pytest.warns(UserWarning, match="callbacks"):  # nothing but the model
        estimator.save_pretrained(tmp_path / "model")
    loaded = VAETransformer.from_pretrained(tmp_path / "model")
    np.testing.assert_array_equal(loaded.transform(images), estimator.transform(images))
    estimator.set_params(callbacks=None)
    assert same_weights(pickle.loads(pickle.dumps(estimator)), estimator)


def test_the_remedies_of_the_message_work(images):
    estimator = tiny(callbacks=[Restorable(Run())]).fit(images)
    loaded = pickle.loads(pickle.dumps(estimator))
    assert loaded.callbacks[0].run is None
    assert same_weights(loaded, estimator)


def test_a_search_in_processes_names_the_callback_that_cannot_be_pickled(images):
    search = GridSearchCV(tiny(callbacks=[("tracker", Log(Run()))]), {"lr": [1e-3]}, cv=2, n_jobs=2)
    with pytest.raises(pickle.PicklingError, match="Could not pickle the task") as caught:
        search.fit(images)
    seen = "".join(traceback.format_exception(caught.value))  # the error is joblib's own
    assert "TypeError: The callback tracker cannot be pickled" in seen
    assert "set callbacks=None" in seen


def test_callbacks_that_hold_the_estimator_can_be_pickled(images):
    estimator = tiny()
    estimator.set_params(callbacks=[Log(estimator)])
    loaded = pickle.loads(pickle.dumps(estimator))
    assert loaded.callbacks[0].run is loaded


def test_joblib_sends_functions_without_a_name_to_processes(images):
    from joblib import wrap_non_picklable_objects

    callback = Anonymous()
    estimator = tiny(callbacks=[callback]).fit(images)
    sent = pickle.loads(pickle.dumps(wrap_non_picklable_objects(estimator)))
    assert sent.callbacks[0].sink(3) == 3
    assert copy.deepcopy(estimator).callbacks[0].sink(3) == 3


class Size(Callback):
    """Pickles the net of a running fit, as Checkpoint(f_pickle=...) does."""

    def on_epoch_end(self, net, **kwargs):
        self.data_ = pickle.dumps(net)


@pytest.mark.parametrize("verbose", [0, 1, 2])
def test_a_checkpoint_of_a_running_fit_holds_no_images(tmp_path, verbose, capsys):
    def fit(n):
        X = np.random.default_rng(0).random((n, 8, 8))
        checkpoint = Checkpoint(f_pickle="net.pkl", dirname=str(tmp_path))
        how = {"validation_fraction": 0.5, "max_epochs": 1, "batch_size": n, "verbose": verbose}
        estimator = tiny(callbacks=[checkpoint, Size()], **how).fit(X)
        return estimator, (tmp_path / "net.pkl").stat().st_size

    _, small = fit(20)
    estimator, large = fit(2000)  # 1 MB of X
    assert abs(large - small) < 2000
    model = sum(value.nbytes for value in weights(estimator).values())
    assert large < 8 * model + 30_000  # the weights twice, two moments each, and their names
    net = pickle.loads((tmp_path / "net.pkl").read_bytes())
    for name, value in net.module_.named_parameters():
        assert torch.equal(value, estimator.module_.get_parameter(name))
    assert net.history == estimator.net_.history
    last = estimator.net_.callbacks_[-1][1]
    assert len(last.data_) < large + 2000


def test_a_net_names_the_callback_that_cannot_be_pickled(images):
    with pytest.raises(TypeError, match=NAMED.format("Log")):
        tiny(callbacks=[Log(Run()), Size()]).fit(images)


# -- refused before training --------------------------------------------------------------------


class Records(Callback):
    """Adds a column of its own to the history."""

    def on_epoch_end(self, net, **kwargs):
        net.history.record("mine", -len(net.history))


class Other:
    """No callback."""


REFUSED = {
    "no callback": ([3], {}, TypeError, ["'int'", "skorch"]),
    "a class of something else": ([Other], {}, TypeError, ["'Other'", "skorch"]),
    "a tuple of three": ([("a", Records(), 3)], {}, TypeError, ["'tuple'", "(name, callback)"]),
    "two of a name": ([("a", Records()), ("a", Records())], {}, ValueError, ["'a'"]),
    "stopping": ([EarlyStopping()], {}, ValueError, ["EarlyStopping", "validation_fraction=0.1"]),
    "a class": ([EarlyStopping], {}, ValueError, ["EarlyStopping", "monitor='train_loss'"]),
    "checkpoint": ([("best", Checkpoint())], {}, ValueError, ["best", "validation_fraction=0.1"]),
    "Optuna's": ([Prune(Trial(), "valid_loss")], {}, ValueError, ["Prune", "'valid_loss'"]),
    "a typing error": (
        [EarlyStopping(monitor="val_loss")],
        {"patience": 3},
        ValueError,
        ["'val_loss'", "valid_loss", "train_kl"],
    ),
    "no labels": ([EarlyStopping(monitor="train_label_loss")], {}, ValueError, ["train_loss"]),
    "a metric": ([EpochScoring("accuracy")], {}, ValueError, ["'accuracy'", "scoring(net, X, y)"]),
    "W&B's best": ([WandbLogger(Run())], {}, ValueError, ["WandbLogger", "save_model=False"]),
    "of batches": ([BatchScoring("r2")], {"validation_fraction": 0.2}, ValueError, ["'r2'"]),
    "a schedule": ([LRScheduler], {}, ValueError, ["LRScheduler", "lr_schedule='constant'"]),
    "another schedule": (
        [("plateau", LRScheduler("ReduceLROnPlateau"))],
        {},
        ValueError,
        ["plateau", "lr_schedule='cosine'", "lr_schedule='constant'"],
    ),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("fitted", [False, True])
def test_what_could_not_work_is_refused_before_training(images, case, fitted):
    callbacks, params, error, words = REFUSED[case]
    estimator = tiny(warm_start=True)
    before = weights(estimator.fit(images)) if fitted else None
    estimator.set_params(callbacks=[Trained(), *callbacks], **params)
    trained = Trained.trainings
    if case in ("a typing error", "no labels"):
        estimator.callbacks.pop(0)  # a callback of the user's may record anything
    with pytest.raises(error) as info:
        estimator.fit(images)
    assert all(word in str(info.value) for word in words)
    assert Trained.trainings == trained
    assert hasattr(estimator, "module_") == fitted
    assert before is None or same_weights(weights(estimator), before)


def test_mlflow_without_a_run_is_refused_before_training(images, monkeypatch):
    mlflow = ModuleType("mlflow")
    mlflow.active_run = lambda: None
    monkeypatch.setitem(sys.modules, "mlflow", mlflow)
    trained = Trained.trainings
    with pytest.raises(ValueError, match=r"MlflowLogger finds no run.*with mlflow\.start_run\(\):"):
        tiny(callbacks=[Trained(), MlflowLogger()]).fit(images)
    assert Trained.trainings == trained


class Writer:
    """What TensorBoard's callback, or MLflow's, writes to: a list."""

    def __init__(self):
        self.rows = []
        self.info = self
        self.run_id = "1"

    def add_scalar(self, tag, scalar_value, global_step):
        self.rows.append((tag, global_step))

    def log_metric(self, run_id, key, value, step):
        self.rows.append((key, step))


@pytest.mark.parametrize("batches", [False, True])
def test_loggers_bring_the_slow_loop_only_where_they_log_batches(images, batches):
    writer, plain = Writer(), tiny(batch_size=50).fit(images)
    loggers = [
        TensorBoard(writer, close_after_train=False),
        MlflowLogger(
            *(writer, writer),
            create_artifact=False,
            terminate_after_train=False,
            log_on_batch_end=batches,
        ),
    ]
    vae = tiny(batch_size=50, callbacks=loggers).fit(images)
    assert vae.net_._batchwise == batches
    assert same_weights(vae, plain)
    epochs = [step for key, step in writer.rows if key == "Loss/train_loss"]
    assert epochs == [1, 2]
    suffix = "_epoch" if batches else ""
    assert [step for key, step in writer.rows if key == f"train_kl{suffix}"] == epochs
    n_batches = len([step for key, step in writer.rows if key == "train_loss_batch"])
    assert n_batches == (vae.net_.n_steps if batches else 0)


def test_partial_fit_holds_nothing_out(images):
    estimator = tiny(callbacks=[EarlyStopping()], validation_fraction=0.2)
    with pytest.raises(ValueError, match=r"partial_fit never does: use monitor='train_loss'"):
        estimator.partial_fit(images)
    estimator.set_params(callbacks=[EarlyStopping(monitor="train_loss")]).partial_fit(images)
    assert estimator.n_iter_ == 1


@pytest.mark.parametrize(
    ("callbacks", "params"),
    [
        ([EarlyStopping()], {"validation_fraction": 0.2}),
        ([EarlyStopping], {"patience": 2}),
        ([EarlyStopping(monitor="train_loss")], {}),
        ([EarlyStopping(monitor="train_label_loss")], {"label_weight": 1.0}),
        ([Records(), EarlyStopping(monitor="mine")], {}),
        ([EpochScoring(lambda *_: 1.0, name="of_mine", on_train=True)], {}),
        ([None, ("none", None)], {}),
        ([Trained, ("named", Trained)], {}),
    ],
)
def test_what_works_is_not_refused(images, labels, callbacks, params):
    assert tiny(callbacks=callbacks, **params).fit(images, labels).n_iter_ == 2


def test_a_rate_that_is_set_in_vain_is_told(images):
    class SetRate(Callback):
        def on_epoch_end(self, net, **kwargs):
            net.optimizer_.param_groups[0]["lr"] = 0.5

    estimator = tiny(callbacks=[SetRate()])
    with pytest.warns(UserWarning, match=r"callback has set .*lr_schedule='constant'"):
        estimator.fit(images)
    estimator.set_params(lr_schedule="constant").fit(images)
    assert [row["lr"] for row in estimator.history_] == [2e-3, 0.5]


def harmonic(epoch):
    return 1 / (1 + epoch)


SCHEDULES = {
    "step": (("StepLR", {"step_size": 1, "gamma": 0.1}), 0.1 ** np.arange(5)),
    "steps of two": (("StepLR", {"step_size": 2, "gamma": 0.1}), [1, 1, 0.1, 0.1, 0.01]),
    "exponential": (("ExponentialLR", {"gamma": 0.5}), 0.5 ** np.arange(5)),
    "function": (("LambdaLR", {"lr_lambda": harmonic}), 1 / (1 + np.arange(5))),
    "cosine": (
        ("CosineAnnealingLR", {"T_max": 8}),
        (1 + np.cos(np.pi * np.arange(5) / 8)) / 2,
    ),
}


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_schedule_goes_on_where_training_does(images, schedule):
    (policy, settings), factors = SCHEDULES[schedule]
    callbacks = [LRScheduler(policy, **settings)]
    estimator = tiny(callbacks=callbacks, warm_start=True, lr_schedule="constant").fit(images)
    estimator.set_params(max_epochs=1).fit(images)
    estimator.set_params(lr_schedule="cosine").partial_fit(images)  # whose rate is constant
    estimator = pickle.loads(pickle.dumps(estimator)).partial_fit(images)
    rates = [row["lr"] for row in estimator.history_]
    np.testing.assert_allclose(rates, 2e-3 * np.asarray(factors), rtol=1e-6)


def test_another_rate_or_no_schedule_begins_at_lr(images):
    estimator = tiny(lr_schedule="constant").partial_fit(images)
    scheduler = LRScheduler("StepLR", step_size=1, gamma=0.1)
    estimator.set_params(callbacks=[scheduler]).partial_fit(images).partial_fit(images)
    estimator.set_params(lr=0.5e-3).partial_fit(images)
    estimator.set_params(callbacks=None).partial_fit(images)
    rates = [row["lr"] for row in estimator.history_]
    np.testing.assert_allclose(rates, [2e-3, 2e-3, 2e-4, 5e-4, 5e-4])

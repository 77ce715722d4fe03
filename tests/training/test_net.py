"""Training: what the history says, what stops it, what it leaves behind."""

import copy
import pickle
import warnings
from collections import Counter
from dataclasses import dataclass
from functools import partial
from math import prod

import numpy as np
import pytest
import torch
from helpers import (
    CountBatches,
    Interrupt,
    RecordRows,
    Trained,
    same_weights,
    synthetic_images,
    tiny,
    weights,
)
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC
from skorch.callbacks import Callback, Checkpoint, EarlyStopping, LRScheduler
from skorch.utils import noop
from torch import nn
from torch.utils.data import Dataset

from sklearn_vae import VAEAugmenter
from sklearn_vae.augmentation import Augment
from sklearn_vae.input._batches import Batches
from sklearn_vae.model import Bernoulli, Gaussian
from sklearn_vae.nn import MLP, Conv, Network
from sklearn_vae.training import _net

TERMS = ("loss", "log_likelihood", "kl")


def column(estimator, name):
    return np.array([row[name] for row in estimator.history_])


# -- the history --------------------------------------------------------------------------------


@pytest.mark.parametrize("validation_fraction", [0, 0.2])
def test_history_has_one_finite_row_per_epoch(images, validation_fraction):
    estimator = tiny(max_epochs=4, validation_fraction=validation_fraction).fit(images)
    assert len(estimator.history_) == estimator.n_iter_ == 4
    np.testing.assert_array_equal(column(estimator, "epoch"), [1, 2, 3, 4])
    expected = {"epoch", "lr", "dur", *(f"train_{name}" for name in TERMS)}
    if validation_fraction:
        expected |= {f"valid_{name}" for name in TERMS}
    for row in estimator.history_:
        assert row.keys() == expected
        assert np.isfinite(list(row.values())).all()
        assert row["dur"] > 0


def test_loss_falls_and_the_score_rises_on_digits(images):
    estimator = tiny(max_epochs=20, lr=1e-2, warm_start=True)
    before = estimator.set_params(max_epochs=1).fit(images).score(images)
    estimator.set_params(max_epochs=20).fit(images)
    loss = column(estimator, "train_loss")
    assert loss[-1] < 0.8 * loss[0]
    assert estimator.score(images) > before + 5


def still(**changes):
    """Return an estimator that does not move, so that its history describes its weights."""
    return tiny(lr=1e-12, lr_schedule="constant", max_epochs=1, **changes)


@pytest.mark.parametrize("batch_size", [7, 64, 1000])
def test_recorded_terms_are_those_of_the_model(images, batch_size):
    estimator = still(batch_size=batch_size, likelihood="bernoulli").fit(images)
    (row,) = estimator.history_
    both = estimator.set_params(features="mean+std").transform(images).astype(float)
    mu, sigma = both[:, :3], both[:, 3:]
    kl = 0.5 * (mu**2 + sigma**2 - 1 - np.log(sigma**2)).sum(1).mean()
    # A mean over rows, however the rows fall into batches.
    assert row["train_kl"] == pytest.approx(kl, rel=1e-4)
    assert row["train_loss"] == pytest.approx(row["train_kl"] - row["train_log_likelihood"])
    elbo = estimator.score_samples(images, n_draws=64).mean()
    assert -row["train_loss"] == pytest.approx(elbo, abs=0.3)


@pytest.mark.parametrize("beta", [0.0, 0.5, 4.0])
def test_beta_weighs_the_recorded_kl(images, beta):
    row = still(beta=beta).fit(images).history_[0]
    assert row["train_kl"] > 0.001
    expected = beta * row["train_kl"] - row["train_log_likelihood"]
    assert row["train_loss"] == pytest.approx(expected)


def test_free_bits_raise_the_recorded_loss_by_what_each_dimension_lacks(images):
    estimator = still(free_bits=0.5, batch_size=1000).fit(images)
    both = estimator.set_params(features="mean+std").transform(images).astype(float)
    mu, sigma = both[:, :3], both[:, 3:]
    kl = (0.5 * (mu**2 + sigma**2 - 1 - np.log(sigma**2))).mean(0)
    row = estimator.history_[0]
    assert kl.max() > 0
    expected = np.maximum(kl, 0.5).sum() - row["train_log_likelihood"]
    assert row["train_loss"] == pytest.approx(expected, rel=1e-5)
    assert row["train_kl"] == pytest.approx(kl.sum(), rel=1e-4)


def test_beta_shrinks_the_kl_and_free_bits_keep_it_up(images):
    def final_kl(**changes):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="No latent dimension is in use")
            estimator = tiny(max_epochs=30, lr=1e-2, **changes).fit(images)
        return column(estimator, "train_kl")[-1]

    plain = final_kl()
    assert final_kl(beta=20.0) < 0.5 * plain
    assert final_kl(beta=20.0, free_bits=1.0) > 5 * final_kl(beta=20.0)


# -- losses that are no numbers -----------------------------------------------------------------

EXPLODING = {"optimizer": "sgd", "lr": 1e30, "lr_schedule": "constant", "max_epochs": 5}


@pytest.mark.parametrize("network", [MLP(hidden=(16,)), Conv(channels=(4,), batch_norm=True)])
def test_a_loss_that_explodes_leaves_the_estimator_unfitted(images, network):
    estimator = tiny(network=network, **EXPLODING)
    before = set(vars(estimator))
    with pytest.raises(FloatingPointError, match=r"train loss became (nan|-?inf) in epoch \d.*lr="):
        estimator.fit(images)
    assert set(vars(estimator)) == before
    with pytest.raises(NotFittedError):
        estimator.transform(images)


class Times(nn.Module):
    """Brings activations to where their variance is no float32 any more."""

    def forward(self, x):
        return x * 1e22


@pytest.mark.parametrize("validation_fraction", [0, 0.2])
@pytest.mark.parametrize("warm_start", [False, True])
def test_statistics_that_explode_leave_no_dead_model(images, validation_fraction, warm_start):
    # The variance of a batch is infinite, and what is divided by its root is 0: a finite loss.
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), Times(), nn.BatchNorm1d(16))
    decoder = nn.Sequential(nn.Linear(3, 64), nn.Unflatten(1, (1, 8, 8)))
    estimator = tiny(warm_start=warm_start)
    before = weights(estimator.fit(images)) if warm_start else None
    estimator.set_params(network=(encoder, decoder), validation_fraction=validation_fraction)
    if warm_start:
        estimator.set_params(warm_start=False)
    with pytest.raises(FloatingPointError, match=r"running statistics became .* epoch 2.*lr="):
        estimator.fit(images)
    assert hasattr(estimator, "module_") == warm_start
    assert before is None or same_weights(weights(estimator), before)


def test_activations_that_explode_after_training_leave_no_dead_model(images):
    class Poison(Callback):
        """Changes the model when all is over: what it computes, not its weights."""

        def on_train_end(self, net, **kwargs):
            net.module_.encoder.append(Times()).append(Times())

    with pytest.raises(FloatingPointError, match=r"activations are infinite or NaN.*lr="):
        tiny(callbacks=[Poison()]).fit(images)


def test_weights_that_the_end_of_training_brings_are_looked_at(images):
    class Worst(Callback):
        """Loads what it has saved, as early stopping does."""

        def on_train_end(self, net, **kwargs):
            with torch.no_grad():
                next(net.module_.parameters()).fill_(np.nan)

    with pytest.raises(FloatingPointError, match="weights became infinite or NaN"):
        tiny(callbacks=[Worst()]).fit(images)


def test_a_validation_loss_that_explodes_is_told_apart(images):
    # The training loss is taken before each step, the validation loss after the last.
    estimator = tiny(batch_size=1000, validation_fraction=0.2, **EXPLODING)
    with pytest.raises(FloatingPointError, match=r"valid loss became (nan|-?inf) in epoch 1"):
        estimator.fit(images)


def failing_fit(estimator, images, how):
    """Train in vain: the loss explodes, or the user presses Ctrl-C in the second batch."""
    kept = estimator.get_params(deep=False)
    if how == "explodes":
        with pytest.raises(FloatingPointError):
            estimator.set_params(**EXPLODING).fit(images)
    else:
        with pytest.raises(KeyboardInterrupt):
            estimator.set_params(callbacks=[Interrupt(batch=2)], lr=0.1).fit(images)
    estimator.set_params(**kept)


@pytest.mark.parametrize("how", ["explodes", "Ctrl-C"])
@pytest.mark.parametrize("warm_start", [False, True])
@pytest.mark.parametrize("network", [MLP(hidden=(16,)), Conv(channels=(4,), batch_norm=True)])
def test_a_failed_training_leaves_a_fitted_estimator_as_it_was(images, network, warm_start, how):
    optimizer = {"optimizer": "sgd", "lr": 1e-4}  # the same kind as in the failing training
    estimator = tiny(network=network, warm_start=warm_start, **optimizer).fit(images)
    never_failed = copy.deepcopy(estimator)
    before, Z = weights(estimator), estimator.transform(images)
    history = copy.deepcopy(estimator.history_)
    failing_fit(estimator, images, how)
    assert same_weights(estimator, before)
    assert estimator.history_ == history
    assert estimator.n_iter_ == 2
    np.testing.assert_array_equal(estimator.transform(images), Z)
    assert same_weights(estimator, before)  # BatchNorm learns nothing from transform
    # Going on is going on from before, with the optimiser's state from before.
    assert same_weights(estimator.fit(images), never_failed.fit(images))


@pytest.mark.parametrize("how", ["explodes", "Ctrl-C"])
def test_a_failed_warm_start_leaves_the_optimisers_state_as_it_was(images, how):
    estimator = tiny(warm_start=True).fit(images)
    never_failed = tiny(warm_start=True).fit(images)
    kept = estimator.get_params(deep=False)
    if how == "explodes":
        estimator.set_params(lr=1e30, lr_schedule="constant")
        with pytest.raises(FloatingPointError):
            estimator.fit(images)
    else:
        with pytest.raises(KeyboardInterrupt):
            estimator.set_params(callbacks=[Interrupt(batch=3)]).fit(images)
    estimator.set_params(**kept)
    assert same_weights(estimator.fit(images), never_failed.fit(images))


# -- early stopping -----------------------------------------------------------------------------


class Pixels(nn.Module):
    """A decoder that learns one logit per pixel and ignores the latent code."""

    def __init__(self, shape):
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(shape))

    def forward(self, z):
        return self.logits.expand(len(z), *self.logits.shape)


@dataclass(frozen=True)
class Marginal(Network):
    """Its loss holds no posterior noise: log p(x|z) is the same for every z."""

    def encoder(self, shape):
        return nn.Sequential(nn.Flatten(), nn.Linear(prod(shape), 4))

    def decoder(self, z_dim, shape):
        return Pixels(shape)


class RecordWeights(Callback):
    """Keeps the weights at the end of every epoch."""

    def initialize(self):
        self.weights_ = []
        return self

    def on_epoch_end(self, net, **kwargs):
        self.weights_.append({k: v.clone() for k, v in net.module_.state_dict().items()})


def callback(estimator, kind):
    """Return the copy that took part in the training."""
    (found,) = [cb for _, cb in estimator.net_.callbacks_ if isinstance(cb, kind)]
    return found


OVERFITTING = {
    "network": Marginal(),
    "likelihood": "bernoulli",
    "lr": 0.2,
    "lr_schedule": "constant",
    "max_epochs": 200,
    "validation_fraction": 0.3,
}


@pytest.mark.parametrize("patience", [1, 3])
def test_patience_stops_early_and_returns_to_the_best_epoch(images, patience):
    X = images[:30]
    callbacks = [RecordWeights(), RecordRows()]
    estimator = tiny(patience=patience, callbacks=callbacks, **OVERFITTING).fit(X)
    losses = column(estimator, "valid_loss")
    best = int(losses.argmin())
    assert estimator.n_iter_ == len(losses) == best + 1 + patience < 200
    every = callback(estimator, RecordWeights).weights_
    names = {name for name in every[best] if not name.startswith(("feature_", "activity"))}
    # The rest is set after the training.
    now = weights(estimator)
    assert all(torch.equal(now[name], every[best][name]) for name in names)
    assert not all(torch.equal(now[name], every[-1][name]) for name in names)
    # The validation loss of what was returned, recomputed: no noise in this model.
    x = torch.tensor(X[callback(estimator, RecordRows).valid_], dtype=torch.float32)
    log_p = -nn.functional.binary_cross_entropy_with_logits(
        now["decoder.logits"].expand(len(x), 1, 8, 8), x[:, None], reduction="sum"
    )
    both = estimator.set_params(features="mean+std").transform(x.numpy()).astype(float)
    mu, sigma = both[:, :3], both[:, 3:]
    kl = 0.5 * (mu**2 + sigma**2 - 1 - np.log(sigma**2)).sum(1).mean()
    assert kl - log_p.item() / len(x) == pytest.approx(losses.min(), rel=1e-4)


def test_patience_works_for_losses_below_zero(rng):
    # Log-densities of small numbers are large.
    X = 1e-3 * (rng.normal(size=(300, 1)) * [1, 2, 3, 4] + 0.1 * rng.normal(size=(300, 4)))
    settings = {"lr": 0.02, "lr_schedule": "constant", "max_epochs": 100}
    estimator = tiny(patience=2, validation_fraction=0.3, **settings).fit(X)
    losses = column(estimator, "valid_loss")
    assert losses.max() < 0
    best = int(losses.argmin())
    assert best > 0
    assert estimator.n_iter_ == min(best + 3, 100)


def test_patience_implies_a_tenth_for_validation(images):
    estimator = tiny(patience=50, callbacks=[RecordRows()]).fit(images)
    assert len(callback(estimator, RecordRows).valid_) == 20


def never_better(**changes):
    """Return skorch's EarlyStopping, set so that it stops after two epochs."""
    settings = {"monitor": "train_loss", "threshold": 1e9, "threshold_mode": "abs", "patience": 1}
    return EarlyStopping(**settings, sink=noop, **changes)


def test_a_users_early_stopping_ends_this_fit_and_no_more(images, labels):
    estimator = tiny(max_epochs=10, callbacks=[never_better()]).fit(images)
    assert estimator.n_iter_ == 2
    pipeline = make_pipeline(tiny(max_epochs=10, callbacks=[never_better()]), SVC())
    search = GridSearchCV(pipeline, {"vaetransformer__z_dim": [2, 3]}, cv=2, error_score="raise")
    search.fit(images, labels)
    assert search.best_estimator_[0].n_iter_ == 2
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


# -- Ctrl-C -------------------------------------------------------------------------------------


class CtrlC(Dataset):
    """Items, until somebody presses Ctrl-C: so many items after the first epoch has begun."""

    def __init__(self, X, left=50):
        self.X, self.left = torch.tensor(X), left

    def __len__(self):
        return len(self.X)

    def __getitem__(self, i):
        self.left -= Trained.epochs > 0
        if self.left == 0:
            raise KeyboardInterrupt
        return self.X[i]


def test_ctrl_c_while_loading_leaves_fit(images):
    Trained.epochs = 0
    estimator = tiny(callbacks=[Trained()], batch_size=20)
    data = CtrlC(images)
    with pytest.raises(KeyboardInterrupt):
        estimator.fit(data)
    assert (Trained.epochs, data.left) == (1, 0)
    assert not hasattr(estimator, "module_")


@pytest.mark.parametrize("event", ["on_batch_begin", "on_batch_end", "on_epoch_begin"])
def test_ctrl_c_in_a_callback_leaves_fit(images, event):
    interrupt = type("CtrlC", (Callback,), {event: Interrupt.on_batch_end})
    interrupt.initialize, interrupt.batch = Interrupt.initialize, 1
    estimator = tiny(callbacks=[interrupt()])
    with pytest.raises(KeyboardInterrupt):
        estimator.fit(images)
    assert not hasattr(estimator, "module_")


def test_ctrl_c_ends_a_whole_search(images, labels):
    Trained.trainings = 0
    pipeline = make_pipeline(tiny(callbacks=[Trained(), Interrupt(batch=2)]), SVC())
    search = GridSearchCV(pipeline, {"vaetransformer__z_dim": [2, 3]}, cv=2)
    with pytest.raises(KeyboardInterrupt):
        search.fit(images, labels)
    assert Trained.trainings == 1


# -- callbacks ----------------------------------------------------------------------------------


@pytest.mark.parametrize("monitor", ["valid_loss_best", "train_loss_best", None])
def test_skorchs_checkpoint_saves_what_can_be_loaded(images, tmp_path, monitor):
    checkpoint = Checkpoint(
        dirname=str(tmp_path), monitor=monitor, f_params="{last_epoch[epoch]}.pt", f_history=None
    )
    estimator = tiny(callbacks=[checkpoint], validation_fraction=0.2, max_epochs=3).fit(images)
    best = min(estimator.history_, key=lambda row: row[(monitor or "valid_loss_best")[:10]])
    assert (tmp_path / f"{best['epoch']}.pt").exists()
    state = torch.load(tmp_path / f"{best['epoch']}.pt", weights_only=True)
    assert state.keys() == weights(estimator).keys()
    assert not any(key.endswith("_best") for key in estimator.history_[0])


def test_best_losses_are_told_epoch_by_epoch(images):
    net = tiny(validation_fraction=0.2, max_epochs=6, lr=0.3).fit(images).net_
    for prefix in ("train", "valid"):
        losses = net.history[:, f"{prefix}_loss"]
        lowest = [loss < min(losses[:i], default=np.inf) for i, loss in enumerate(losses)]
        assert net.history[:, f"{prefix}_loss_best"] == lowest


def test_history_has_the_rate_that_a_callback_sets(images):
    scheduler = LRScheduler("StepLR", step_size=1, gamma=0.1)
    settings = {"lr": 1e-2, "lr_schedule": "constant", "max_epochs": 3}
    estimator = tiny(callbacks=[scheduler], **settings).fit(images)
    np.testing.assert_allclose(column(estimator, "lr"), [1e-2, 1e-3, 1e-4])


def test_a_callback_sees_every_batch_and_changes_nothing(images, fitted):
    seen = CountBatches()
    estimator = tiny(callbacks=[seen], max_epochs=2).fit(images)
    assert same_weights(estimator, fitted)
    for row, expected in zip(estimator.history_, fitted.history_, strict=True):
        assert row.keys() == expected.keys()
        assert {k: v for k, v in row.items() if k != "dur"} == pytest.approx(
            {k: v for k, v in expected.items() if k != "dur"}
        )
    assert callback(estimator, CountBatches).rows_ == 2 * [64, 64, 64, 8]


def test_callbacks_that_were_passed_are_not_changed(images):
    seen, stop = CountBatches(), never_better()
    before = dict(vars(seen)), dict(vars(stop))
    callbacks = [seen, ("stop", stop)]
    estimator = tiny(callbacks=callbacks, patience=3).fit(images)
    assert (vars(seen), vars(stop)) == before
    assert estimator.callbacks is callbacks
    assert callbacks == [seen, ("stop", stop)]


@pytest.mark.parametrize(("n", "batch_size"), [(65, 64), (129, 64), (66, 64), (9, 8), (50, 64)])
def test_no_batch_of_a_single_row(n, batch_size):
    network = Conv(channels=(4, 4, 4), batch_norm=True)  # down to 1 x 1: BatchNorm needs two rows
    estimator = tiny(network=network, batch_size=batch_size, callbacks=[CountBatches()])
    estimator.fit(synthetic_images(n, 8, 8))
    rows = callback(estimator, CountBatches).rows_
    assert sum(rows) == 2 * n
    assert min(rows) > 1


# -- the validation split -----------------------------------------------------------------------


def split_of(estimator, X, y=None):
    estimator.set_params(callbacks=[RecordRows()]).fit(X, y)
    recorded = callback(estimator, RecordRows)
    return recorded.train_, recorded.valid_


def test_validation_rows_are_apart_shuffled_and_stratified(images):
    y = np.repeat([0, 1, 2, 3], [100, 60, 30, 10])
    train, valid = split_of(tiny(validation_fraction=0.2), images, y)
    np.testing.assert_array_equal(np.sort(np.r_[train, valid]), np.arange(200))
    assert Counter(y[valid].tolist()) == {0: 20, 1: 12, 2: 6, 3: 2}
    assert not np.array_equal(valid, np.arange(160, 200))
    same, _ = split_of(tiny(validation_fraction=0.2), images, y)
    np.testing.assert_array_equal(same, train)
    other, _ = split_of(tiny(validation_fraction=0.2, random_state=1), images, y)
    assert not np.array_equal(other, train)


UNUSABLE = {
    "none": None,
    "a class of one": np.r_[np.zeros(199, int), 1],
    "as many classes as rows": np.arange(200),
    "continuous": np.linspace(0, 1, 200),
    "with NaN": np.r_[np.full(100, np.nan), np.linspace(0, 1, 100)],
    "two outputs": np.tile([0, 1], (200, 1)),
    "text": np.repeat(["cat", "dog"], 100),
    "unlabelled": np.r_[np.full(150, -1), np.zeros(50, int)],
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_any_y_may_come_along(images, name):
    train, valid = split_of(tiny(validation_fraction=0.2), images, UNUSABLE[name])
    assert (len(train), len(valid)) == (160, 40)
    assert not set(train) & set(valid)


def test_y_is_not_learnt_from(images, labels, fitted):
    assert same_weights(tiny().fit(images, labels), fitted)


# -- augmentation -------------------------------------------------------------------------------

SEEN = {"views": [], "targets": []}


class Watch(nn.Module):
    """Writes down what the encoder gets."""

    def forward(self, x):
        SEEN["views"].append(x.detach().clone())
        return x


@dataclass(frozen=True)
class Watched(MLP):
    def encoder(self, shape):
        return nn.Sequential(Watch(), *super().encoder(shape))


class WatchedBernoulli(Bernoulli):
    """Writes down what the decoder is to rebuild."""

    def forward(self, params):
        class Watching(torch.distributions.Bernoulli):
            def log_prob(self, value):
                SEEN["targets"].append(value.detach().clone())
                return super().log_prob(value)

        return Watching(logits=params, validate_args=False)


class Spy:
    """An augmentation that writes down its input and mirrors it."""

    calls: list = []  # noqa: RUF012 (shared on purpose)

    def __call__(self, x):
        Spy.calls.append(x.clone())
        return x.flip(-1)


def watched_fit(images, augment):
    for seen in (*SEEN.values(), Spy.calls):
        seen.clear()
    vae = tiny(
        network=Watched(hidden=(16,)),
        likelihood=WatchedBernoulli(),
        augment=augment,
        batch_size=50,
        max_epochs=1,
        validation_fraction=0.25,
    ).fit(images)
    for seen in SEEN.values():  # batches; a new model is tried on two samples
        seen[:] = [batch for batch in seen if len(batch) == 50]
    return vae


def test_encoder_sees_augmented_images_and_decoder_rebuilds_clean_ones(images):
    watched_fit(images, Spy())
    tried, *calls = Spy.calls
    assert tried.shape == (2, 1, 8, 8)
    targets, views = SEEN["targets"][:3], SEEN["views"][:3]
    assert len(calls) == 3  # never in validation
    for given, view, target in zip(calls, views, targets, strict=True):
        assert given.shape == (50, 1, 8, 8)
        assert given.dtype == torch.float32
        assert torch.equal(view, given.flip(-1))
        assert torch.equal(target, given)
    # Clean images reach both in validation, each row once over all batches.
    assert torch.equal(SEEN["views"][3], SEEN["targets"][3])
    rows = torch.cat(SEEN["targets"][:4]).numpy().reshape(200, 64)
    expected = images.reshape(200, 64).astype(np.float32)
    np.testing.assert_array_equal(np.unique(rows, axis=0), np.unique(expected, axis=0))
    assert len(np.unique(expected, axis=0)) == 200


@pytest.mark.parametrize(
    ("augment", "found"),
    [
        (lambda x: x[..., 1:], r"\(2, 1, 8, 7\) and torch.float32"),
        (lambda x: x.mean(1), r"\(2, 8, 8\)"),
        (lambda x: x > 0, r".*torch.bool"),
        (lambda x: x.numpy(), "ndarray"),
    ],
)
def test_an_augmentation_that_changes_the_form_is_refused_before_training(images, augment, found):
    Trained.trainings = 0
    with pytest.raises(ValueError, match=rf"augment=.* made {found}.* of a batch of shape .*keep"):
        tiny(augment=augment, callbacks=[Trained()]).fit(images)
    assert Trained.trainings == 0


def test_torchvision_transforms_work(images):
    v2 = pytest.importorskip("torchvision.transforms.v2")
    watched_fit(images, v2.RandomHorizontalFlip(p=1.0))
    for view, target in zip(SEEN["views"][:3], SEEN["targets"][:3], strict=True):
        assert torch.equal(view, target.flip(-1))


def test_named_augmentation_changes_every_image(images):
    watched_fit(images, "geometric")
    for view, target in zip(SEEN["views"][:3], SEEN["targets"][:3], strict=True):
        changed = (view - target).flatten(1).abs().amax(1)
        assert (changed > 0.01).all()


def test_the_decoder_rebuilds_the_changed_image_where_that_is_the_target(images):
    watched_fit(images, Augment(rotate=45, target="changed"))
    clean = torch.tensor(images, dtype=torch.float32)
    for view, target in zip(SEEN["views"][:3], SEEN["targets"][:3], strict=True):
        assert torch.equal(view, target)
        assert not any(torch.equal(target[0].flatten(), image.flatten()) for image in clean)


def test_a_callable_that_works_in_place_leaves_the_target_clean(images):
    a = tiny(augment=lambda x: x * 0.5).fit(images)
    b = tiny(augment=lambda x: x.mul_(0.5)).fit(images)
    assert same_weights(a, b)


def test_a_callable_works_on_vectors(rng):
    X = rng.normal(size=(60, 5))
    plain = tiny().fit(X)
    noisy = tiny(augment=lambda x: x + torch.randn_like(x)).fit(X)
    assert not same_weights(plain, noisy)


def test_transform_is_not_augmented(images):
    estimator = tiny(augment=Augment(rotate=45)).fit(images)
    np.testing.assert_array_equal(estimator.transform(images), estimator.transform(images))


# -- precision ----------------------------------------------------------------------------------


@pytest.mark.parametrize("network", [MLP(hidden=(16,)), Conv(channels=(4, 8), batch_norm=True)])
def test_bfloat16_is_close_and_ends_with_the_training(images, network):
    full = tiny(network=network, max_epochs=5).fit(images)
    half = tiny(network=network, max_epochs=5, precision="bfloat16").fit(images)
    assert not same_weights(full, half)
    np.testing.assert_allclose(column(half, "train_loss"), column(full, "train_loss"), rtol=0.02)
    assert half.transform(images).dtype == np.float32
    assert {v.dtype for v in weights(half).values()} <= {torch.float32, torch.int64}
    assert half.score(images) == pytest.approx(full.score(images), rel=0.02)


# -- compilation --------------------------------------------------------------------------------


class PickleNet(Callback):
    """What skorch's Checkpoint(f_pickle=...) does after an epoch."""

    def on_epoch_end(self, net, **kwargs):
        assert pickle.dumps(net)


@pytest.mark.parametrize(
    "settings",
    [
        {"network": Conv(channels=(4, 8), batch_norm=True), "validation_fraction": 0.1},
        {"network": MLP(hidden=(16,)), "kl_warmup": 5, "label_weight": 1.0},
        {"network": MLP(hidden=(16,)), "contrastive_weight": 1.0, "augment": "geometric"},
    ],
)
def test_a_compiled_training_is_the_same_training(images, labels, monkeypatch, settings):
    # torch's tracing without its code generator: no C++ compiler is needed. A smaller last batch
    # and BatchNorm's pass over clean images are what compilation could stumble over.
    original, graphs = torch.compile, []

    def count(graph, inputs):
        graphs.append(graph)
        return graph.forward

    monkeypatch.setattr(torch, "compile", lambda f, **kw: original(f, backend=count, **kw))
    settings = {"max_epochs": 10, "batch_size": 64, **settings}
    how = {"compile": np.True_, "callbacks": [PickleNet()]}  # as from an array of candidates
    compiled = tiny(**how, **settings).fit(images, labels)
    assert len(graphs) == 1
    plain = tiny(**settings).fit(images, labels)
    loss = column(plain, "train_loss")
    np.testing.assert_allclose(column(compiled, "train_loss"), loss, rtol=1e-4)
    np.testing.assert_allclose(compiled.transform(images), plain.transform(images), atol=1e-3)
    assert weights(compiled).keys() == weights(plain).keys()


@pytest.mark.parametrize("mode", ["reduce-overhead", "max-autotune"])
def test_a_name_is_the_mode_of_torchs_compiler(images, monkeypatch, mode):
    given = []

    def compiled(function, **how):
        given.append(how)
        return function

    monkeypatch.setattr(torch, "compile", compiled)
    assert same_weights(tiny(compile=mode).fit(images), tiny().fit(images))
    assert given == [{"mode": mode, "dynamic": False}]
    with pytest.raises(ValueError, match=rf"'compile' parameter.*{mode}"):
        tiny(compile="cuda-graph").fit(images)


# -- training that goes on ----------------------------------------------------------------------


def test_warm_start_continues(images):
    estimator = tiny(warm_start=True, max_epochs=2, lr=1e-2).fit(images)
    first = copy.deepcopy(estimator.history_)
    estimator.set_params(max_epochs=3).fit(images)
    assert estimator.n_iter_ == 5
    assert estimator.history_[:2] == first
    np.testing.assert_array_equal(column(estimator, "epoch"), [1, 2, 3, 4, 5])
    loss = column(estimator, "train_loss")
    assert loss[4] < loss[1] < loss[0]


CHANGED = {"z_dim": 4, "network": MLP(hidden=(15,)), "likelihood": Gaussian(scale=0.3)}


@pytest.mark.parametrize("name", CHANGED)
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_training_does_not_go_on_with_another_model(images, name, method):
    estimator = tiny(warm_start=True).fit(images)
    before = weights(estimator)
    estimator.set_params(**{name: CHANGED[name]})
    with pytest.raises(ValueError, match=rf"{name} is now .*warm_start=False"):
        getattr(estimator, method)(images)
    assert same_weights(estimator, before)
    estimator.set_params(warm_start=False).fit(images)
    assert not same_weights(estimator, before)


def test_training_does_not_go_on_with_another_image_shape(images):
    rows = np.repeat(images, 2, axis=2).reshape(len(images), -1)
    estimator = tiny(image_shape=(8, 16), warm_start=True).fit(rows)
    estimator.set_params(image_shape=(8, 16, 1)).fit(rows)  # the same in other words
    with pytest.raises(ValueError, match=r"image_shape is now .*warm_start=False"):
        estimator.set_params(image_shape=(16, 8)).fit(rows)


def test_without_warm_start_fit_begins_afresh(images):
    estimator = tiny().fit(images)
    before = weights(estimator)
    assert estimator.partial_fit(images).n_iter_ == 3
    assert same_weights(estimator.fit(images), before)
    assert estimator.n_iter_ == 2


def test_partial_fit_is_one_pass(images):
    estimator = tiny(callbacks=[CountBatches()], validation_fraction=0.5)
    for i in range(1, 4):
        estimator.partial_fit(images[:100])
        assert estimator.n_iter_ == len(estimator.history_) == i
        assert callback(estimator, CountBatches).rows_ == [64, 36]


def test_partial_fit_on_chunks_learns(images):
    estimator = tiny(lr=1e-2).partial_fit(images[:50])
    before = estimator.score(images)
    for _ in range(10):
        for start in range(0, 200, 50):
            estimator.partial_fit(images[start : start + 50])
    assert estimator.score(images) > before + 5


def test_chunks_draw_different_noise(images):
    # Passes of the same seed must not repeat the order of rows and the posterior's noise.
    estimator = still(callbacks=[RecordOrder()]).partial_fit(images)  # draws weights, too
    orders = [
        callback(estimator.partial_fit(images), RecordOrder).first_.tolist() for _ in range(2)
    ]
    assert orders[0] != orders[1]


class RecordOrder(Callback):
    """Keeps the first batch."""

    first_ = None

    def on_batch_end(self, net, batch=None, **kwargs):
        if self.first_ is None:
            self.first_ = batch[0].clone()


def test_another_optimizer_may_go_on(images):
    estimator = tiny(warm_start=True).fit(images)
    before = weights(estimator)
    estimator.set_params(optimizer="sgd", lr=1e-3, lr_schedule="constant").fit(images)
    assert type(estimator.net_.optimizer_) is torch.optim.SGD
    assert estimator.net_.optimizer_.param_groups[0]["lr"] == 1e-3
    assert not same_weights(estimator, before)


def test_other_settings_of_the_optimizer_hold_when_training_goes_on(images):
    estimator = tiny(optimizer=partial(torch.optim.Adam, weight_decay=0.1), warm_start=True)
    estimator.fit(images)
    moments = len(estimator.net_.optimizer_.state)
    assert moments
    estimator.set_params(optimizer=partial(torch.optim.Adam, weight_decay=5.0, amsgrad=True))
    group = estimator.fit(images).net_.optimizer_.param_groups[0]
    assert (group["weight_decay"], group["amsgrad"]) == (5.0, True)


@pytest.mark.parametrize("switch", [torch.no_grad, torch.inference_mode])
def test_training_takes_gradients_where_the_caller_takes_none(images, switch):
    expected = tiny().fit(images)
    with switch():
        estimator = tiny().fit(images)
    assert same_weights(estimator, expected)


def test_the_default_dtype_of_torch_changes_nothing(images):
    expected = tiny().fit(images)
    torch.set_default_dtype(torch.float64)
    try:
        estimator = pickle.loads(pickle.dumps(tiny().fit(images)))
        Z = estimator.transform(images)
        assert tiny(network=Conv((4, 8))).fit(images).module_.narrowest_map() == 2
        deforming = VAEAugmenter(vae=tiny(network=Conv((4, 8))), method="deformation", n_new=1)
        deforming.fit(images, np.arange(len(images)) % 2)
        assert deforming.vae_.module_.narrowest_map() == 2
    finally:
        torch.set_default_dtype(torch.float32)
    assert {v.dtype for v in weights(estimator).values()} == {torch.float32}
    assert Z.dtype == np.float32
    assert Z.shape == expected.transform(images).shape


def test_the_default_device_of_torch_changes_nothing(images):
    expected = tiny(network=Conv((4, 8)), prior="vamp").fit(images)
    with torch.device("meta"):  # on which nothing has a value
        estimator = tiny(network=Conv((4, 8)), prior="vamp").fit(images)
        estimator = pickle.loads(pickle.dumps(estimator))
        scores = estimator.score_samples(images)
    assert same_weights(estimator, expected)
    np.testing.assert_array_equal(scores, expected.score_samples(images))


@pytest.mark.parametrize("verbose", [0, 1])
def test_no_callback_hides_the_error_that_ends_a_training(images, monkeypatch, verbose):
    def full(*args, **kwargs):
        raise MemoryError("no room on the device")

    monkeypatch.setattr(Batches, "__init__", full)  # before the first epoch, in which
    estimator = tiny(verbose=verbose, validation_fraction=0.2, patience=1)
    with pytest.raises(MemoryError, match="no room"):  # EarlyStopping looks for a best epoch
        estimator.fit(images)


def test_weights_that_the_last_step_ruins_are_noticed(images):
    # One step: no loss has seen its weights.
    settings = {"optimizer": "sgd", "lr": 1e38, "lr_schedule": "constant"}
    estimator = tiny(max_epochs=1, batch_size=1000, **settings)
    with pytest.raises(FloatingPointError, match="weights became infinite"):
        estimator.fit(images)
    assert not hasattr(estimator, "module_")


# -- BatchNorm ----------------------------------------------------------------------------------


@pytest.mark.parametrize("augment", [None, "geometric"])
@pytest.mark.parametrize("validation_fraction", [0, 0.25])
def test_batch_norm_ends_with_the_statistics_of_the_clean_training_images(
    images, augment, validation_fraction
):
    estimator = tiny(
        network=Conv(channels=(4,), batch_norm=True),
        augment=augment,
        validation_fraction=validation_fraction,
        callbacks=[RecordRows()] if validation_fraction else None,
        batch_size=50,
        lr=0.05,
        lr_schedule="constant",
    ).fit(images)
    trained_on = callback(estimator, RecordRows).train_ if validation_fraction else slice(None)
    x = torch.tensor(images[trained_on, None], dtype=torch.float32)
    convolution, norm = list(estimator.module_.encoder.modules())[2:4]
    assert isinstance(norm, nn.BatchNorm2d)
    with torch.no_grad():
        activations = convolution(x)
    mean, variance = activations.mean((0, 2, 3)), activations.var((0, 2, 3))
    torch.testing.assert_close(norm.running_mean, mean, rtol=1e-3, atol=1e-4)
    # The average of the batches' variances is a little below that of all rows.
    torch.testing.assert_close(norm.running_var, variance, rtol=0.1, atol=1e-4)
    assert norm.momentum == 0.1
    assert not norm.training


def test_batch_norm_takes_its_statistics_from_some_rows(images, monkeypatch):
    monkeypatch.setattr(_net, "NORM_ROWS", 70)  # of 200 every third
    vae = tiny(network=Conv(channels=(4,), batch_norm=True), batch_size=20).fit(images)
    convolution, norm = list(vae.module_.encoder.modules())[2:4]
    with torch.no_grad():
        activations = convolution(torch.tensor(images[::3, None], dtype=torch.float32))
    mean = torch.stack([x.mean((0, 2, 3)) for x in activations.split(20)]).mean(0)
    torch.testing.assert_close(norm.running_mean, mean, rtol=1e-4, atol=1e-5)


def test_ctrl_c_after_the_last_epoch_leaves_batch_norm_as_it_was(images):
    settings = {"network": Conv(channels=(4,), batch_norm=True), "warm_start": True}
    estimator, never_failed = tiny(**settings).fit(images), tiny(**settings).fit(images)
    data = CtrlC(images, left=250)  # while the statistics are taken anew
    Trained.epochs = 0
    estimator.set_params(callbacks=[Trained()], max_epochs=1)
    with pytest.raises(KeyboardInterrupt):
        estimator.fit(data)
    assert (Trained.epochs, data.left) == (1, 0)
    for norm in estimator.module_.modules():
        if isinstance(norm, nn.BatchNorm2d):
            assert norm.momentum == 0.1
            assert not norm.training
    assert same_weights(estimator, never_failed)
    estimator.set_params(callbacks=None, max_epochs=2).fit(images)
    assert same_weights(estimator, never_failed.fit(images))

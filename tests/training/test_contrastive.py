"""Two views of every sample: contrastive_weight above 0."""

import numpy as np
import pytest
import torch
from helpers import same_weights, tiny, weights
from sklearn.linear_model import LogisticRegression

from sklearn_vae.model import contrastive_loss

VIEWS = {"contrastive_weight": 0.5, "augment": "geometric"}


@pytest.fixture(scope="module")
def patterns():
    """Return images of one loud pattern, of any strength, and a faint one, which is the class."""
    rng = np.random.default_rng(0)
    y = np.arange(400) % 2
    loud, faint = np.indices((8, 8)) % 2
    X = 0.5 + 0.4 * rng.uniform(-1, 1, (400, 1, 1)) * (loud - 0.5)
    X = X + 0.1 * (2 * y - 1)[:, None, None] * (faint - 0.5) + rng.normal(0, 0.02, X.shape)
    return X.astype(np.float32), y


def louder(x):
    """Change the loud pattern's strength."""
    rows = torch.arange(8) % 2 - 0.5
    return x + 0.4 * (2 * torch.rand(len(x), 1, 1, 1) - 1) * rows[:, None]


def test_views_bring_into_the_mean_what_they_share(patterns):
    X, y = patterns
    scores = []
    training = {"augment": louder, "max_epochs": 30, "lr": 3e-3, "random_state": 1}
    for weight in (0, 1):
        Z = tiny(z_dim=2, contrastive_weight=weight, **training).fit(X).transform(X)
        scores.append(LogisticRegression(C=100).fit(Z[:200], y[:200]).score(Z[200:], y[200:]))
    assert scores[0] < 0.8
    assert scores[1] > 0.85


def test_history_has_the_loss_in_its_parts(images, labels):
    row = tiny(**VIEWS, beta=2.0, label_weight=1.0).fit(images, labels).history_[-1]
    expected = 2 * row["train_kl"] - row["train_log_likelihood"]
    n = images[0].size
    expected += n * row["train_label_loss"] + 0.5 * n * row["train_contrastive_loss"]
    assert row["train_loss"] == pytest.approx(expected, rel=1e-5)


def test_the_two_views_are_of_the_same_samples_and_differ(images, monkeypatch):
    calls = []

    def record(first, second):
        calls.append((first.detach(), second.detach()))
        return contrastive_loss(first, second)

    monkeypatch.setattr("sklearn_vae.training._net.contrastive_loss", record)
    tiny(**VIEWS, max_epochs=1, batch_size=32, validation_fraction=0.25).fit(images)
    assert sum(len(first) for first, _ in calls) == len(images)
    assert all(first.shape == second.shape for first, second in calls)
    assert not any((first == second).all(1).any() for first, second in calls)


def test_validation_scores_images_as_they_are(images):
    vae = tiny(**VIEWS, validation_fraction=0.25, max_epochs=1).fit(images)
    row = vae.history_[-1]
    assert row["valid_contrastive_loss"] > 0
    assert row["valid_contrastive_loss"] == pytest.approx(row["train_contrastive_loss"], rel=0.5)


@pytest.mark.parametrize("augment", [None, 0])
def test_views_need_an_augmentation(images, augment):
    with pytest.raises(ValueError, match=r"contrastive_weight=0\.5 .* augment"):
        tiny(contrastive_weight=0.5, augment=augment).fit(images)


def test_rows_of_any_range_have_noise(images):
    rows = 100 * images.reshape(len(images), -1)
    vae = tiny(contrastive_weight=0.5, augment="auto").fit(rows)
    assert vae.history_[-1]["train_contrastive_loss"] > 0


def test_training_goes_on_with_views(images):
    vae = tiny(augment="geometric", warm_start=True).fit(images)
    before = weights(vae)
    vae.set_params(**VIEWS).fit(images)
    assert before.keys() == weights(vae).keys()
    assert not same_weights(vae, before)
    vae.partial_fit(images)
    assert vae.history_[-1]["train_contrastive_loss"] > 0

"""The part of the objective that labels add."""

import numpy as np
import pytest
import torch

from sklearn_vae.model._label_loss import CONFIDENCE, label_loss


def cross_entropy(logits, classes):
    """By the formula, in float64."""
    logits = logits.double().numpy()
    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    return -log_p[np.arange(len(classes)), classes]


@pytest.fixture
def logits():
    return torch.randn(6, 3, generator=torch.Generator().manual_seed(0))


def sure_of(*classes, probability):
    """Return logits that give each class so much probability, and the others the same."""
    p = torch.full((len(classes), 3), (1 - probability) / 2)
    p[torch.arange(len(classes)), torch.tensor(classes)] = probability
    return p.log()


def test_all_labelled_is_the_mean_cross_entropy(logits):
    y = [0, 1, 2, 2, 1, 0]
    loss = label_loss(logits, torch.tensor(y))
    assert float(loss) == pytest.approx(cross_entropy(logits, y).mean(), rel=1e-6)


def test_rows_without_labels_count_for_nothing_by_themselves(logits):
    loss = label_loss(logits, torch.tensor([0, -1, -1, 2, -1, 1]))
    expected = cross_entropy(logits[[0, 3, 5]], [0, 2, 1]).mean()
    assert float(loss) == pytest.approx(expected, rel=1e-6)


def test_no_label_at_all_is_zero_and_has_a_gradient(logits):
    logits.requires_grad_()
    loss = label_loss(logits, torch.full((6,), -1))
    loss.backward()
    assert float(loss.detach()) == 0
    assert not logits.grad.any()


def test_confident_guesses_are_labels_and_others_are_not(logits):
    y = torch.tensor([-1, 1, -1, -1, 2, 0])  # the last two were added for their labels
    clean = torch.cat(
        [
            sure_of(2, 0, probability=CONFIDENCE + 0.01),  # the second has a label, which counts
            sure_of(1, 0, probability=CONFIDENCE - 0.01),
        ]
    )
    loss = label_loss(logits, y, clean)
    labelled = cross_entropy(logits[[1, 4, 5]], [1, 2, 0]).mean()
    guessed = cross_entropy(logits[[0]], [2]).sum() / 3  # of three rows without a label
    assert float(loss) == pytest.approx(labelled + guessed, rel=1e-6)

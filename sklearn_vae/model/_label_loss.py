"""What labels add to the training objective."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

CONFIDENCE = 0.8
"""Probability from which a class that the model itself assigns is taken for a label."""


def label_loss(logits: Tensor, y: Tensor, clean: Tensor | None = None) -> Tensor:
    """Return the mean cross-entropy of labels plus that of confident pseudo-labels [1]_.

    The class head sees augmented images. A row without a label is to be given the class that the
    model finds in the image as it is, once it is sure. What few labels teach so spreads to all
    images that augmentation connects.

    Parameters
    ----------
    logits : Tensor of shape (n, k)
        The class head's output for what the encoder sees.
    y : Tensor of shape (n,)
        Class numbers; -1 where unknown.
    clean : Tensor of shape (m, k), default=None
        The class head's output for the first m <= n rows as they are, without gradient; the others
        have labels. None without pseudo-labels.

    Returns
    -------
    loss : Tensor of shape ()
        In nats: the mean over rows with a label, plus the sum over confident rows without one
        divided by the number of all without one. Either is 0 where there are no such rows.

    References
    ----------
    .. [1] Sohn et al., "FixMatch: Simplifying Semi-Supervised Learning with Consistency and
       Confidence", NeurIPS 2020, https://arxiv.org/abs/2001.07685
    """
    known = y >= 0
    sure = torch.zeros_like(known)
    target = y.clamp(min=0)
    if clean is not None:
        m = len(clean)
        confidence, guess = clean.softmax(1).max(1)
        sure[:m] = ~known[:m] & (confidence > CONFIDENCE)
        target = torch.cat([torch.where(known[:m], y[:m], guess), y[m:]])
    losses = F.cross_entropy(logits, target, reduction="none")
    labelled = (losses * known).sum() / known.sum().clamp(min=1)
    unlabelled = (losses * sure).sum() / (~known).sum().clamp(min=1)
    return labelled + unlabelled

"""What a second view of every sample adds to the training objective."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

TEMPERATURE = 0.2
"""What cosines are divided by: the smaller, the more the nearest other samples count."""


def contrastive_loss(first: Tensor, second: Tensor) -> Tensor:
    """Return the mean cross-entropy of telling which two codes are of one sample [1]_.

    For each of the 2 n codes the other view of its sample is to be found among all others by the
    cosine (NT-Xent). It is the likelihood of a recognition-parametrised model of the batch, whose
    bound is InfoNCE [2]_.

    Parameters
    ----------
    first, second : Tensor of shape (n, z_dim)
        Posterior means of two views of n samples.

    Returns
    -------
    loss : Tensor of shape ()
        In nats: log(2 n - 1) where codes tell nothing.

    References
    ----------
    .. [1] Chen et al., "A Simple Framework for Contrastive Learning of Visual Representations",
       ICML 2020, https://arxiv.org/abs/2002.05709
    .. [2] Aitchison, Ganev, "InfoNCE is Variational Inference in a Recognition Parameterised
       Model", 2021, https://arxiv.org/abs/2107.02495
    """
    n = len(first)
    with torch.autocast(first.device.type, enabled=False):
        codes = F.normalize(torch.cat([first, second]).float(), dim=1)
        similar = codes @ codes.T / TEMPERATURE
    itself = torch.eye(2 * n, dtype=torch.bool, device=codes.device)
    other = torch.arange(2 * n, device=codes.device).roll(n)
    return F.cross_entropy(similar.masked_fill(itself, -torch.inf), other)

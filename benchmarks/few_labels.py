"""A few labels behind frozen backbones: VAEClassifier and five other ways to use unlabelled images.

    python benchmarks/few_labels.py                 # frozen features of six sets, two backbones
    python benchmarks/few_labels.py --only M2 --draws 3 --out m2   # one way, beside the others
    python benchmarks/few_labels.py --part images   # raw images, one VAE a set

Columns are standardised on the training part, whose rows all count as unlabelled but those of the
draw. One VAE a set and backbone, by defaults but ``z_dim``, is trained without labels and shared by
all draws. Balanced accuracy in % and log loss in nats on the test part.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from _backbones import BACKBONES, features
from _common import Record, pivot, run, watch
from _shared import as_rows, at_one_length, draw_labels, label_spreading, load, only_labels_of
from scipy.special import softmax
from sklearn.covariance import shrunk_covariance
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, log_loss
from sklearn.preprocessing import StandardScaler
from sklearn.semi_supervised import SelfTrainingClassifier

from sklearn_vae import VAEClassifier, VAETransformer

SETS = ("neu_surface", "cifar10", "svhn", "sign_digits", "elpv_128", "pneumoniamnist")
OURS = "VAEClassifier"
EM_ROUNDS, SHRINKAGE = 30, 0.02
Way = Callable[["Features", np.ndarray], np.ndarray]


class Features:
    """Rows of a set, as the contenders see them."""

    def __init__(
        self, X: np.ndarray, y: np.ndarray, X_test: np.ndarray, y_test: np.ndarray
    ) -> None:
        scaler = StandardScaler().fit(X)
        self.X, self.X_test = scaler.transform(X), scaler.transform(X_test)
        pca = PCA(min(128, *X.shape), random_state=0).fit(self.X)
        self.Z, self.Z_test = pca.transform(self.X), pca.transform(self.X_test)
        self.y, self.y_test = y, y_test


def plain(data: Features, partly: np.ndarray) -> np.ndarray:
    """LogisticRegression on the labelled rows."""
    known = partly >= 0
    head = LogisticRegression(max_iter=1000).fit(data.X[known], partly[known])
    return head.predict_proba(data.X_test)


def self_training(data: Features, partly: np.ndarray) -> np.ndarray:
    """LogisticRegression that labels what it is sure of, by scikit-learn's defaults."""
    head = SelfTrainingClassifier(LogisticRegression(max_iter=300)).fit(data.X, partly)
    return head.predict_proba(data.X_test)


def mixture(data: Features, partly: np.ndarray) -> np.ndarray:
    """One Gaussian a class with one covariance on PCA-128, EM, labelled rows clamped."""
    Z, Z_test = at_one_length(data.Z), at_one_length(data.Z_test)
    known, k = partly >= 0, len(np.unique(data.y))
    targets = np.eye(k)[partly] * known[:, None]
    means = targets.T @ Z / targets.sum(0)[:, None]
    shares = softmax(Z @ means.T - np.square(means).sum(1) / 2, axis=1)
    for _ in range(EM_ROUNDS):
        shares[known] = targets[known]
        coef, intercept = m_step(Z, shares)
        shares = softmax(Z @ coef + intercept, axis=1)
    return softmax(Z_test @ coef + intercept, axis=1)


def m_step(Z: np.ndarray, shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return coefficients and intercepts of Gaussians of one covariance, a little shrunk."""
    counts = shares.sum(0)
    means = shares.T @ Z / counts[:, None]
    within = (Z.T @ Z - (means.T * counts) @ means) / len(Z)
    coef = np.linalg.solve(shrunk_covariance(within, SHRINKAGE), means.T)
    return coef, np.log(counts / len(Z)) - (means.T * coef).sum(0) / 2


def spreading(data: Features, partly: np.ndarray) -> np.ndarray:
    """LabelSpreading over neighbours on PCA-128, then LogisticRegression on all rows."""
    labels = label_spreading().fit(at_one_length(data.Z), partly).transduction_
    head = LogisticRegression(max_iter=300).fit(data.X, labels)
    return head.predict_proba(data.X_test)


# -- M2 --------------------------------------------------------------------------------------------


class M2(torch.nn.Module):
    """The semi-supervised VAE of Kingma et al., NIPS 2014, with 256 hidden units and 32 latent."""

    def __init__(self, d: int, k: int) -> None:
        super().__init__()
        Linear, ReLU, Sequential = torch.nn.Linear, torch.nn.ReLU, torch.nn.Sequential
        self.k = k
        self.classifier = Sequential(Linear(d, 256), ReLU(), Linear(256, k))
        self.encoder = Sequential(Linear(d + k, 256), ReLU(), Linear(256, 64))
        self.decoder = Sequential(Linear(32 + k, 256), ReLU(), Linear(256, d))

    def bounds(self, x: torch.Tensor) -> torch.Tensor:
        """Return the ELBO of log p(x, y) for each class y, (n, k), but for a constant."""
        y = torch.eye(self.k).repeat(len(x), 1)
        x = x.repeat_interleave(self.k, 0)
        mu, log_var = self.encoder(torch.cat([x, y], 1)).chunk(2, 1)
        z = mu + torch.randn_like(mu) * (log_var / 2).exp()
        lost = (x - self.decoder(torch.cat([z, y], 1))).square().sum(1) / 2
        bound = -lost - (log_var.exp() + mu.square() - 1 - log_var).sum(1) / 2
        return bound.view(-1, self.k)

    def loss(self, x: torch.Tensor, y: torch.Tensor, alpha: float) -> torch.Tensor:
        """Return the loss of a batch; y is -1 where there is no label."""
        known, log_q, bounds = y >= 0, self.classifier(x).log_softmax(1), self.bounds(x)
        unknown = (log_q.exp() * (bounds - log_q)).sum(1)[~known].sum()
        right = y[known][:, None]
        seen = bounds[known].gather(1, right).sum() + alpha * log_q[known].gather(1, right).sum()
        return -(unknown + seen) / len(x)


def m2(data: Features, partly: np.ndarray, steps: int = 400) -> np.ndarray:
    """Fit M2 to PCA-128, of unit mean variance; every batch has labelled rows, too."""
    torch.manual_seed(0)
    size = np.sqrt(np.square(data.Z).mean())
    X = torch.from_numpy((data.Z / size).astype(np.float32))
    y, known = torch.from_numpy(partly), torch.from_numpy(np.flatnonzero(partly >= 0))
    model = M2(X.shape[1], len(np.unique(data.y)))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(steps):
        batch = torch.cat([torch.randint(len(X), (100,)), known[torch.randint(len(known), (28,))]])
        optimizer.zero_grad()
        model.loss(X[batch], y[batch], alpha=0.1 * len(X)).backward()
        optimizer.step()
    with torch.no_grad():
        new = torch.from_numpy((data.Z_test / size).astype(np.float32))
        return model.classifier(new).softmax(1).numpy()


WAYS: dict[str, Way] = {
    "LogisticRegression": plain,
    "mixture, EM": mixture,
    "self-training": self_training,
    "LabelSpreading": spreading,
    "M2": m2,
}


def trained(X: np.ndarray, z_dim: int, seed: int) -> tuple[FrozenEstimator, float]:
    """Return a VAE by defaults, frozen, and the seconds that its training took."""
    spent = watch()
    vae = VAETransformer(z_dim, device="cpu", random_state=seed).fit(X)
    return FrozenEstimator(vae), spent()


def ours(vae: FrozenEstimator, X: Any, X_test: Any, partly: np.ndarray) -> np.ndarray:
    """Return what VAEClassifier says of the test part."""
    return VAEClassifier(vae, random_state=0).fit(X, partly).predict_proba(X_test)


def scored(
    ways: dict[str, Callable[[np.ndarray], np.ndarray]],
    y: np.ndarray,
    y_test: np.ndarray,
    labels: list[int],
    draw: int,
) -> Iterator[Record]:
    """Yield a record for each number of labels and way."""
    k = len(np.unique(y))
    for n in labels:
        partly = only_labels_of(draw_labels(y, n * k, draw), y)
        for name, way in ways.items():
            spent = watch()
            p = way(partly)
            seconds = spent()
            yield {
                "labels": n,
                "draw": draw,
                "contender": name,
                "balanced_accuracy": 100 * balanced_accuracy_score(y_test, p.argmax(1)),
                "log_loss": log_loss(y_test, np.clip(p, 1e-6, 1), labels=np.arange(k)),
                "seconds": seconds,
            }


def backbones(args: argparse.Namespace) -> Iterator[Record]:
    """Yield records on frozen features; draws come last, so that a run cut short is balanced."""
    warnings.simplefilter("ignore", ConvergenceWarning)
    cells = {}
    for data in args.data:
        for name in args.backbone:
            X, y, X_test, y_test = features(data, name)
            seen = Features(X, y, X_test, y_test)
            ways = {way: partial(WAYS[way], seen) for way in args.only if way != OURS}
            if OURS in args.only:
                vae, seconds = trained(X, args.z_dim, 0)
                ways[OURS] = partial(ours, vae, X, X_test)
                yield {"data": data, "backbone": name, "contender": "VAE", "seconds": seconds}
            cells[data, name] = ways, y, y_test
    for draw in range(args.first, args.first + args.draws):
        for (data, name), (ways, y, y_test) in cells.items():
            for record in scored(ways, y, y_test, args.labels, draw):
                yield {"data": data, "backbone": name, **record}


def images(args: argparse.Namespace) -> Iterator[Record]:
    """Yield records on raw images: one VAE a set, and LogisticRegression on PCA-128 of pixels."""
    warnings.simplefilter("ignore", ConvergenceWarning)
    for data in args.data:
        (X, y), (X_test, y_test) = load(data), load(data, "test")
        vae, seconds = trained(X, args.z_dim, 0)
        yield {"data": data, "backbone": "", "contender": "VAE", "seconds": seconds}
        pca = PCA(128, random_state=0)
        rows, rows_test = as_rows(X), as_rows(X_test)
        seen = Features(pca.fit_transform(rows), y, pca.transform(rows_test), y_test)
        ways = {"PCA-128, LogisticRegression": partial(plain, seen)}
        ways[OURS] = partial(ours, vae, X, X_test)
        for draw in range(args.first, args.first + args.draws):
            for record in scored(ways, y, y_test, args.labels, draw):
                yield {"data": data, "backbone": "", **record}


def show(records: list[Record]) -> list[Record]:
    """Return a row for each set, backbone and contender."""
    found = [{**r, "column": f"{r['labels']} labels"} for r in records if "draw" in r]
    return pivot(found, ("data", "backbone", "contender"), "column", "balanced_accuracy")


if __name__ == "__main__":
    run(
        __doc__,
        "few_labels",
        {"main": (backbones, show), "images": (images, show)},
        data=(list(SETS), SETS),
        backbone=(list(BACKBONES), BACKBONES),
        only=([*WAYS, OURS], [*WAYS, OURS]),
        labels=([1, 2, 5, 10, 20], "a class"),
        z_dim=128,
        draws=(10, "draws of labels"),
        first=(0, "number of the first draw"),
    )

"""Do synthetic images help a classifier? Unbalanced classes, few images, and the usual cures.

    python benchmarks/augmentation.py --part unbalanced --data mnist fashion_mnist
    python benchmarks/augmentation.py --part shaped --data fashion_mnist mnist
    python benchmarks/augmentation.py --part shaped --data cifar10_jpeg --draws 3
    python benchmarks/augmentation.py --part network --data fashion_mnist
    python benchmarks/augmentation.py --part few --data mnist fashion_mnist
    python benchmarks/augmentation.py --part online --data mnist fashion_mnist --draws 3
    python benchmarks/augmentation.py --part cost --data fashion_mnist
    python benchmarks/augmentation.py --part picture --data fashion_mnist

``unbalanced``: the class counts of DeepSMOTE (Dablain et al., 2022), 4,000 down to 40 images a
class, drawn ``--draws`` times from the training set, and the official, balanced test set.
``shaped``: the same with a weighted SVC on features of a VAE that sees the labels, too.
``network``: with a small CNN, grey images of 28 x 28 only, and untuned. ``few``: 10, 50 and 200
images a class and a VAE trained on these only, or on all training images without labels.
``online``: Exemplar VAE's recipe on all training images, a fresh synthetic image beside each real
one in every step. Every treatment sees the same draws. Scores are means over classes, in %: ACSA is
the recall, GM the geometric mean of sensitivity and specificity, F1 the F-measure.

All other settings were chosen on training images outside the draw (``--validate`` scores on 500 of
them a class instead of on the test set). What over-samples fills classes up to ``FILL`` images,
SMOTE included: SVC grows with the square of the rows.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Container, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _common import as_rows, environment, markdown_table, write_json
from classification import rbf
from imblearn.over_sampling import SMOTE
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import confusion_matrix
from sklearn.neighbors import NearestNeighbors
from sklearn.svm import SVC
from skorch import NeuralNetClassifier
from skorch.callbacks import LRScheduler
from torch import nn
from torch.optim.lr_scheduler import LinearLR
from torchvision.transforms.v2 import Compose

from sklearn_vae import VAEAugmenter, VAETransformer
from sklearn_vae.augmentation import DeformationViews, Interpolation, Posterior, PosteriorViews
from sklearn_vae.datasets import fetch_images
from sklearn_vae.nn import MLP
from sklearn_vae.training import AUGMENTATIONS, ArrayDataset, Augment, Batches

GREY_COUNTS = (4000, 2000, 1000, 750, 500, 350, 200, 100, 60, 40)
COLOUR_COUNTS = (4500, 2000, 1000, 800, 600, 500, 400, 250, 150, 80)
FILL = 1000
ALL = 10_000  # more than any class has
STRENGTH = 0.5  # of the geometric transforms
CNN_PASSES = 100_000
SHARE = 0.6  # of the loss, for online views
IMAGES = Path(__file__).parent.parent / "docs" / "images"
Rows = tuple[np.ndarray, np.ndarray]


# -- classifiers -----------------------------------------------------------------------------------


class SmallCNN(nn.Sequential):
    """Three convolutions, 0.4 million weights; augments its own batches in training."""

    def __init__(self, augment: Augment) -> None:
        layers: list[nn.Module] = []
        for n_in, n_out in ((1, 32), (32, 64), (64, 128)):
            layers += [nn.Conv2d(n_in, n_out, 3, padding=1), nn.BatchNorm2d(n_out), nn.ReLU()]
            layers += [nn.MaxPool2d(2)]
        super().__init__(*layers, nn.Flatten(), nn.Linear(128 * 9, 256), nn.ReLU())
        self.append(nn.Dropout(0.3)).append(nn.Linear(256, 10))
        self.augment = augment

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits of uint8 images (n, h, w)."""
        x = x[:, None].float() / 255
        if self.training:
            x = self.augment(x)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.training):
            return super().forward(x.contiguous(memory_format=torch.channels_last)).float()


def linear_decay(steps: int) -> LRScheduler:
    """Return a schedule from the full rate to a hundredth, as of Exemplar VAE's classifier."""
    return LRScheduler(
        LinearLR, start_factor=1.0, end_factor=0.01, total_iters=steps, step_every="batch"
    )


def cnn(X: np.ndarray, y: np.ndarray, X_test: np.ndarray, augment: Augment, seed: int):
    """Train the CNN for as many image passes whatever the size of X; return its predictions."""
    torch.manual_seed(seed)
    epochs = max(1, round(CNN_PASSES / len(X)))
    net = NeuralNetClassifier(
        SmallCNN,
        module__augment=augment,
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        lr=1e-3,
        batch_size=64,
        max_epochs=epochs,
        iterator_train=Batches,
        iterator_train__shuffle=True,
        train_split=None,
        verbose=0,
        callbacks=[linear_decay(epochs * -(-len(X) // 64))],
    )
    net.fit(ArrayDataset(X, torch.as_tensor(y)), None)
    with torch.inference_mode():
        net.module_.eval()
        parts = torch.from_numpy(X_test).split(1000)
        return torch.cat([net.module_(part).argmax(1) for part in parts]).numpy()


def svc(
    Z: np.ndarray, y: np.ndarray, Z_test: np.ndarray, weights: str | None = None, C: float = 10
):
    """Return the predictions of SVC."""
    return SVC(kernel=rbf, C=C, class_weight=weights).fit(Z, y).predict(Z_test)


def scores(y: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """Return ACSA, GM and F1, means over classes, in %."""
    table = confusion_matrix(y, predicted)
    hits, real, said = np.diag(table), table.sum(1), table.sum(0)
    recall = hits / real
    specificity = 1 - (said - hits) / (table.sum() - real)
    return {
        "ACSA": 100 * float(recall.mean()),
        "GM": 100 * float(np.sqrt(recall * specificity).mean()),
        "F1": 100 * float((2 * hits / (real + said)).mean()),
    }


# -- treatments ------------------------------------------------------------------------------------


def fill_up(y: np.ndarray) -> dict[Any, int]:
    """Return what is missing to FILL images of each class."""
    return {c: max(0, FILL - n) for c, n in zip(*np.unique(y, return_counts=True), strict=True)}


def smote(X: np.ndarray, y: np.ndarray, seed: int) -> Rows:
    """SMOTE on pixels."""
    wanted = {c: max(n, FILL) for c, n in zip(*np.unique(y, return_counts=True), strict=True)}
    flat, y = SMOTE(sampling_strategy=wanted, random_state=seed).fit_resample(as_rows(X), y)
    return (flat * 255).round().astype(np.uint8).reshape(-1, *X.shape[1:]), y


def usual(data: str) -> Augment:
    """Shifts by up to two pixels, and mirror images where they make sense."""
    return Augment(shift=2 / 28, flip=data == "fashion_mnist")


def deforming(template: VAETransformer) -> VAETransformer:
    """Return the template for deformations: the default network and length of training."""
    return clone(template).set_params(network="auto", max_epochs="auto")


def treatments(data: str, vae: Any, template: VAETransformer, n_new: Any, seed: int) -> dict:
    """Return each treatment's function of (X, y)."""

    def augmented(**settings: Any) -> Callable[[np.ndarray, np.ndarray], Rows]:
        settings = {"vae": FrozenEstimator(vae), "n_new": n_new, "random_state": seed, **settings}
        return VAEAugmenter(**settings).fit_resample

    moved = usual(data)
    return {
        "nothing": lambda X, y: (X, y),
        "class weights": lambda X, y: (X, y),
        "random over-sampling": augmented(method="bootstrap"),
        "SMOTE on pixels": lambda X, y: smote(X, y, seed),
        "shifts (flips)": augmented(method="bootstrap", transforms=moved),
        "geometric": augmented(method="bootstrap", transforms=STRENGTH),
        "VAE posterior": augmented(method="posterior"),
        "VAE posterior, decoder alone": augmented(method=Posterior(residual=False)),
        "VAE interpolation": augmented(method="interpolation"),
        "VAE density": augmented(method="density"),
        "VAE conditional": augmented(vae=template, method="conditional"),
        "VAE deformation": augmented(vae=deforming(template), method="deformation"),
        "VAE posterior + shifts (flips)": augmented(method="posterior", transforms=moved),
        "VAE posterior + geometric": augmented(method="posterior", transforms=STRENGTH),
    }


BOTH = ("class weights", "geometric", "VAE posterior + geometric")
"""Treatments that are also tried with weights for the classes and a smaller C, on pixels and on
hidden features of a VAE of the same images."""
SHAPED = ("nothing", "random over-sampling", "VAE posterior")
"""Treatments that are tried in front of a VAE that sees the labels."""
NETWORK = ("nothing", "random over-sampling", "VAE posterior")
"""Treatments that are tried with the CNN, which shifts and flips in every step."""


# -- the parts -------------------------------------------------------------------------------------


def draw_rows(y: np.ndarray, counts: tuple[int, ...], seed: int, validate: bool) -> Rows:
    """Return the rows of a draw, and 500 others of each class for validation."""
    rng = np.random.default_rng([7, seed])
    order = [rng.permutation(np.flatnonzero(y == c)) for c in range(len(counts))]
    if counts[0] == ALL:  # validation images are never trained on
        counts = tuple(len(rows) - (500 if validate else 0) for rows in order)
    train = np.concatenate([rows[:n] for rows, n in zip(order, counts, strict=True)])
    return train, np.concatenate([rows[-500:] for rows in order])


def class_counts(data: str) -> tuple[int, ...]:
    """Return the number of images of each class in DeepSMOTE's experiments."""
    return GREY_COUNTS if "mnist" in data else COLOUR_COUNTS


def image_maker(seed: int, args: argparse.Namespace) -> VAETransformer:
    """Return the VAE that makes images, untrained."""
    return VAETransformer(
        network=args.network, augment=None, max_epochs=args.epochs, random_state=seed
    )


def treated(
    data: str,
    X: np.ndarray,
    y: np.ndarray,
    seed: int,
    args: argparse.Namespace,
    names: Container[str] | None = None,
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yield name and rows of the treatments in ``--only``, else in names, else of all."""
    template = image_maker(seed, args)
    vae = template.fit(X)
    wanted = args.only or names
    for name, treat in treatments(data, vae, template, fill_up(y), seed).items():
        if wanted is None or name in wanted:
            yield (name, *treat(X, y))


def unbalanced(data: str, seed: int, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Score every treatment on one draw of DeepSMOTE's counts."""
    X, y, X_test, y_test = load(data, class_counts(data), seed, args.validate)
    features = VAETransformer(
        features="hidden", max_epochs=args.epochs_features, random_state=seed
    ).fit(X)
    Z_test = features.transform(X_test)
    records = []
    for name, X_more, y_more in treated(data, X, y, seed, args):
        weight = "balanced" if name == "class weights" else None
        pixels = as_rows(X_more), y_more, as_rows(X_test)
        tried = {"SVC on pixels": svc(*pixels, weight)}
        if name == "nothing":
            tried["SVC on VAE hidden"] = svc(features.transform(X), y, Z_test)
        if name in BOTH:
            Z = features.transform(X_more)
            tried["weighted SVC on pixels"] = svc(*pixels, "balanced", C=3)
            tried["weighted SVC on VAE hidden"] = svc(Z, y_more, Z_test, "balanced", C=3)
        for classifier, predicted in tried.items():
            record = {"data": data, "treatment": name, "classifier": classifier, "draw": seed}
            records.append({**record, "images": len(X_more), **scores(y_test, predicted)})
            print(records[-1], flush=True)
    return records


def shaped(data: str, seed: int, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Score treatments in front of ``VAETransformer(label_weight=1)`` and a weighted SVC."""
    X, y, X_test, y_test = load(data, class_counts(data), seed, args.validate)
    records = []
    for name, X_more, y_more in treated(data, X, y, seed, args, SHAPED):
        epochs = max(1, round(args.epochs_shaped * len(X) / len(X_more)))  # as many steps for all
        features = VAETransformer(
            label_weight=1.0, features="hidden", max_epochs=epochs, random_state=seed
        ).fit(X_more, y_more)
        Z, Z_test = features.transform(X_more), features.transform(X_test)
        predicted = svc(Z, y_more, Z_test, "balanced", C=1)
        record = {"data": data, "treatment": name, "draw": seed, "images": len(X_more)}
        record["classifier"] = "weighted SVC on VAE hidden, labels seen"
        records.append({**record, **scores(y_test, predicted)})
        print(records[-1], flush=True)
    return records


def network(data: str, seed: int, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Score treatments with the CNN, which shifts (flips) in every step."""
    X, y, X_test, y_test = load(data, class_counts(data), seed, args.validate)
    records = []
    for name, X_more, y_more in treated(data, X, y, seed, args, NETWORK):
        predicted = cnn(X_more, y_more, X_test, usual(data), seed)
        record = {"data": data, "treatment": name, "draw": seed, "images": len(X_more)}
        record["classifier"] = "CNN, shifts (flips)"
        records.append({**record, **scores(y_test, predicted)})
        print(records[-1], flush=True)
    return records


def few(data: str, seed: int, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Score 10, 50 and 200 images a class with synthetic ones 1, 5 and 20 times as many."""
    records = []
    for n in args.per_class:
        X, y, X_test, y_test = load(data, (n,) * 10, seed, args.validate)
        sets: dict[tuple[str, float], Rows] = {("nothing", 0): (X, y)}
        for name, settings in few_ways(data, X, seed, args).items():
            for times in args.times:
                if times * n <= args.most and (not args.only or name in args.only):
                    sampler = VAEAugmenter(n_new=times, random_state=seed, **settings())
                    if "unlabelled" in name:
                        sets[name, times] = with_unlabelled(sampler, X, y, data, seed)
                    else:
                        sets[name, times] = sampler.fit_resample(X, y)
        for (name, times), (X_more, y_more) in sets.items():
            record = {"data": data, "per class": n, "treatment": name, "n_new": times, "draw": seed}
            found = scores(y_test, svc(as_rows(X_more), y_more, as_rows(X_test)))
            records.append({**record, "classifier": "SVC on pixels", **found})
            print(records[-1], flush=True)
    return records


def few_ways(data: str, X: np.ndarray, seed: int, args: argparse.Namespace) -> dict[str, Any]:
    """Return functions for the settings of each treatment; they train what they need, once."""
    template = VAETransformer(augment=None, random_state=seed)
    own = cache(lambda: FrozenEstimator(template.fit(X)))
    pretrained = partial(pretrained_vae, data, args.epochs_pretrained)
    unlabelled = Interpolation(n_neighbors=50, unlabelled=True)
    makers: dict[str, tuple[Callable[[], Any], Any]] = {
        "VAE of these, posterior": (own, "posterior"),
        "VAE of these, interpolation": (own, "interpolation"),
        "VAE of these, deformation": (lambda: template, "deformation"),
        "VAE pre-trained, posterior": (pretrained, "posterior"),
        "VAE pre-trained, interpolation": (pretrained, "interpolation"),
        "VAE pre-trained, unlabelled neighbours": (pretrained, unlabelled),
    }
    moves = {"shifts (flips)": usual(data), "geometric": STRENGTH}

    def settings(vae: Callable[[], Any], method: Any, transforms: Any = None) -> dict[str, Any]:
        return {"vae": vae(), "method": method, "transforms": transforms}

    ways = {name: partial(settings, lambda: None, "bootstrap", t) for name, t in moves.items()}
    for maker, (vae, method) in makers.items():
        ways[maker] = partial(settings, vae, method)
        for name, transforms in moves.items():
            ways[f"{maker} + {name}"] = partial(settings, vae, method, transforms)
    return ways


def with_unlabelled(sampler: VAEAugmenter, X, y, data: str, seed: int) -> Rows:
    """Resample beside 20,000 unlabelled training images; return without these."""
    others = fetch_images(data, download_if_missing=False).data
    others = others[np.random.default_rng([11, seed]).permutation(len(others))[:20_000]]
    part = np.concatenate([y, np.full(len(others), -1)])
    X_more, y_more = sampler.fit_resample(np.concatenate([X, others]), part)
    return X_more[y_more != -1], y_more[y_more != -1]


@cache
def pretrained_vae(data: str, epochs: int) -> FrozenEstimator:
    """Return a VAE trained on all training images, without labels."""
    X = fetch_images(data, download_if_missing=False).data
    return FrozenEstimator(VAETransformer(max_epochs=epochs, random_state=0).fit(X))


def load(data: str, counts: tuple[int, ...], seed: int, validate: bool):
    """Return the images and labels of a draw, and those to score on."""
    X, y = fetch_images(data, return_X_y=True, download_if_missing=False)
    train, valid = draw_rows(y, counts, seed, validate)
    if validate:
        return X[train], y[train], X[valid], y[valid]
    test = fetch_images(data, subset="test", return_X_y=True, download_if_missing=False)
    return X[train], y[train], *test


class OnlineNet(NeuralNetClassifier):
    """Trains on fresh views beside each batch, with ``SHARE`` of the loss, as Exemplar VAE does."""

    def __init__(self, *args: Any, views: Any = None, **kw: Any):
        self.views = views
        super().__init__(*args, **kw)

    @property
    def _viewing(self) -> bool:
        return self.views is not None and self.module_.training

    def infer(self, x: torch.Tensor, **fit_params: Any) -> torch.Tensor:
        """Return logits of images 0 to 255; while training also those of their views, below."""
        x = x[:, None].float() / 255
        with torch.autocast("cpu", torch.bfloat16, enabled=self.module_.training):
            if self._viewing:
                x = torch.cat([x, self.views(x)])
            return self.module_(x).float()

    def get_loss(self, y_pred: torch.Tensor, y_true: torch.Tensor, **kw: Any) -> torch.Tensor:
        """Return the weighted loss of the batch and of its views."""
        if not self._viewing:
            return super().get_loss(y_pred, y_true, **kw)
        real, new = (self.criterion_(part, y_true) for part in y_pred.chunk(2))
        return (1 - SHARE) * real + SHARE * new


def mlp(n_units: int) -> nn.Sequential:
    """Return the permutation-invariant network of Exemplar VAE's experiment, of any width."""
    return nn.Sequential(
        *(nn.Flatten(), nn.Linear(784, n_units), nn.ReLU()),
        *(nn.Linear(n_units, n_units), nn.ReLU(), nn.Linear(n_units, 10)),
    )


def online(data: str, seed: int, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Score the MLP without and with fresh images in every step: synthetic, transformed, both."""
    X, y, X_test, y_test = load(data, (ALL,) * 10, seed, args.validate)
    records = []
    for name, make in online_views(X, y, seed, args).items():
        if args.only and name not in args.only:
            continue
        start = time.perf_counter()
        views = make()
        print(f"{data} seed {seed}, {name}: {time.perf_counter() - start:.0f} s", flush=True)
        torch.manual_seed(seed)
        start = time.perf_counter()
        net = OnlineNet(
            mlp,
            module__n_units=args.online_units,
            views=views,
            criterion=nn.CrossEntropyLoss,
            criterion__label_smoothing=0.1,
            optimizer=torch.optim.SGD,
            optimizer__momentum=0.9,
            lr=0.1,
            batch_size=100,
            max_epochs=args.online_epochs,
            iterator_train=Batches,
            iterator_train__shuffle=True,
            train_split=None,
            verbose=0,
            callbacks=[linear_decay(args.online_epochs * -(-len(X) // 100))],
        )
        net.fit(ArrayDataset(X, torch.as_tensor(y)), None)
        seconds = time.perf_counter() - start
        predicted = net.predict(X_test)
        record = {"data": data, "treatment": name, "classifier": "MLP", "units": args.online_units}
        record |= {"draw": seed, "epochs": args.online_epochs, "seconds": seconds}
        record |= scores(y_test, predicted)
        records.append({**record, "error": 100 * float(np.mean(predicted != y_test))})
        print(records[-1], flush=True)
    return records


def online_views(
    X: np.ndarray, y: np.ndarray, seed: int, args: argparse.Namespace
) -> dict[str, Callable[[], Any]]:
    """Return functions for the views of each treatment; they train what they need, once."""

    @cache
    def posterior() -> PosteriorViews:
        settings = {"network": MLP((1000, 500)), "beta": 5.0, "augment": None}
        vae = VAETransformer(40, max_epochs=args.epochs, random_state=seed, **settings)
        return PosteriorViews(vae.fit(X))

    @cache
    def deformation() -> VAEAugmenter:
        vae = VAETransformer(random_state=seed)
        return VAEAugmenter(vae=vae, method="deformation", n_new=1, random_state=seed).fit(X, y)

    def deformations(transforms: Any = None) -> DeformationViews:
        return DeformationViews(deformation().set_params(transforms=transforms))

    geometric = AUGMENTATIONS["geometric"].strengthened(STRENGTH)
    return {
        "nothing": lambda: None,
        "posterior views": posterior,
        "deformation views": deformations,
        "deformation views + flips": lambda: deformations(Augment(flip=True)),
        "geometric": lambda: geometric,
        "geometric, posterior views": lambda: Compose([geometric, posterior()]),
    }


def cost(data: str, seed: int, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Time fit_resample against its VAE's training, and generation against bare loops."""
    X, y, _, _ = load(data, class_counts(data), seed, validate=True)
    template = VAETransformer(augment=None, max_epochs=args.epochs_pretrained, random_state=seed)
    records: list[dict[str, Any]] = []
    for method in ("auto", "deformation"):
        start = time.perf_counter()
        sampler = VAEAugmenter(vae=template, method=method, random_state=seed)
        sampler.fit_resample(X, y)
        seconds = time.perf_counter() - start
        epochs = sum(row["dur"] for row in sampler.vae_.history_)  # of the same call: clocks drift
        what = f"fit_resample, {method} / its VAE's {args.epochs_pretrained} epochs"
        timed = {"seconds": seconds, "against": epochs, "ratio": seconds / epochs}
        records.append({"data": data, "what": what} | timed)
        print(records[-1], flush=True)

    images = np.random.default_rng(seed).integers(0, 256, (2000, 32, 32, 3), dtype=np.uint8)
    vae = VAETransformer(128, network="conv", augment=None, max_epochs=1, random_state=seed)
    frozen = FrozenEstimator(vae.fit(images))
    n = 50_000
    for method in ("density", "posterior", "interpolation", "deformation"):
        source = vae if method == "deformation" else frozen
        sampler = VAEAugmenter(vae=source, method=method, n_new=1, random_state=seed)
        sampler.fit(images, np.arange(2000) % 2)
        bare = partial(bare_loop, method, sampler.vae_.module_, images, n, seed)
        measured = ratio(bare, lambda s=sampler: s.sample(n, y=1), repeats=3)
        what = f"bare loop / sample, {n:,} images 32 x 32 x 3, {method}"
        records.append({"data": "noise", "what": what} | measured)
        print(records[-1], flush=True)
    return records


def bare_loop(method: str, model: Any, images: np.ndarray, n: int, seed: int) -> np.ndarray:
    """Return n images of a model and of nothing else: decoded codes, or deformed images."""
    codes = torch.randn(n, 128, generator=torch.Generator().manual_seed(seed))
    out = np.empty((n, *images.shape[1:]), np.uint8)
    with torch.inference_mode():
        for start in range(0, n, 1000):
            z = codes[start : start + 1000]
            if method == "deformation":
                rows = np.arange(start, start + len(z)) % len(images)
                x = model.deformed(torch.from_numpy(images[rows]).permute(0, 3, 1, 2) / 255, z)
            else:
                x = model.conditional(z).mean
            x = (x.permute(0, 2, 3, 1) * 255).round().clamp(0, 255)
            out[start : start + 1000] = x.to(torch.uint8).numpy()
    return out


def ratio(one: Callable[[], Any], other: Callable[[], Any], repeats: int) -> dict[str, float]:
    """Return the median seconds of two calls, taken in turn, and their ratio."""
    seconds = np.empty((repeats, 2))
    for i in range(repeats):
        for j, call in enumerate((one, other)):
            start = time.perf_counter()
            call()
            seconds[i, j] = time.perf_counter() - start
    first, second = np.median(seconds, axis=0)
    return {"seconds": float(first), "against": float(second), "ratio": float(first / second)}


def picture(data: str, args: argparse.Namespace) -> None:
    """Draw real and synthetic images of each class, and the nearest real image of each."""
    import matplotlib.pyplot as plt

    X, y, _, _ = load(data, class_counts(data), 0, validate=True)
    template = image_maker(0, args)
    vae = FrozenEstimator(template.fit(X))
    templates = {"conditional": template, "deformation": deforming(template)}
    columns: dict[str, np.ndarray] = {
        "real": np.stack([X[np.flatnonzero(y == c)[0]] for c in range(10)])
    }
    flat = as_rows(X)
    for method in ("posterior", "interpolation", "density", *templates):
        source = templates.get(method, vae)
        sampler = VAEAugmenter(vae=source, method=method, random_state=0).fit(X, y)
        new = np.stack([sampler.sample(1, y=c)[0] for c in range(10)])
        nearest = NearestNeighbors(n_neighbors=1).fit(flat).kneighbors(as_rows(new))[1][:, 0]
        columns |= {method: new, f"nearest to\n{method}": X[nearest]}
    figure, axes = plt.subplots(10, len(columns), figsize=(len(columns), 10.4), squeeze=True)
    for row, c in zip(axes, range(10), strict=True):
        row[0].set_ylabel(f"{class_counts(data)[c]:,}", rotation=0, ha="right", va="center")
        for axis, (name, images) in zip(row, columns.items(), strict=True):
            axis.imshow(images[c], cmap="gray_r")
            axis.set(xticks=[], yticks=[])
            if c == 0:
                axis.set_title(name, fontsize=7)
    figure.tight_layout(pad=0.2)
    figure.savefig(IMAGES / f"augmentation_{data}.png", dpi=80)


PARTS = {
    "unbalanced": unbalanced,
    "shaped": shaped,
    "network": network,
    "few": few,
    "online": online,
    "cost": cost,
}


def table(records: list[dict[str, Any]]) -> str:
    """Return mean ± standard deviation over draws."""
    keys = ("data", "per class", "classifier", "treatment", "n_new")
    groups: dict[tuple, list[dict[str, Any]]] = {}
    for record in records:
        groups.setdefault(tuple(record.get(k, "") for k in keys), []).append(record)
    rows = []
    for key, found in groups.items():
        row = dict(zip(keys, key, strict=True))
        for score in ("ACSA", "GM", "F1"):
            values = [record[score] for record in found]
            row[score] = f"{np.mean(values):.2f} ± {np.std(values):.2f}"
        rows.append(row)
    columns = [k for k in keys if any(row[k] != "" for row in rows)]
    return markdown_table(rows, [*columns, "ACSA", "GM", "F1"])


def main() -> None:
    """Run the benchmark and write its JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=[*PARTS, "picture"], default="unbalanced")
    parser.add_argument("--data", nargs="+", default=["mnist", "fashion_mnist"])
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--validate", action="store_true", help="score on training images")
    parser.add_argument("--only", nargs="+", help="only these treatments")
    parser.add_argument("--per-class", nargs="+", type=int, default=[10, 50, 200])
    parser.add_argument("--times", nargs="+", type=float, default=[1.0, 5.0, 20.0], help="n_new")
    parser.add_argument("--most", type=int, default=1000, help="largest n_new x images a class")
    parser.add_argument("--network", default="mlp", help="of the VAE that makes images")
    parser.add_argument("--epochs", type=int, default=30, help="of the VAE that makes images")
    parser.add_argument("--epochs-features", type=int, default=12, help="of the one for features")
    parser.add_argument("--epochs-shaped", type=int, default=20, help="of the one that sees labels")
    parser.add_argument("--epochs-pretrained", type=int, default=10)
    parser.add_argument("--online-epochs", type=int, default=100)
    parser.add_argument("--online-units", type=int, default=1024, help="a hidden layer")
    parser.add_argument("--out")
    args = parser.parse_args()
    if args.part == "picture":
        for data in args.data:
            picture(data, args)
        return
    part = PARTS[args.part]
    out, records = args.out or f"augmentation_{args.part}", []
    for data in args.data:
        for seed in range(args.draws):
            records += part(data, seed, args)
            payload = {"environment": environment(), "args": vars(args), "results": records}
            if not args.validate:
                write_json(out, payload)
    if args.part == "cost":
        print(markdown_table(records, ["data", "what", "seconds", "against", "ratio"]))
    else:
        print(table(records))


if __name__ == "__main__":
    main()

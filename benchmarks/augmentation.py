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
from collections.abc import Callable, Iterator
from functools import cache, cached_property, partial
from itertools import product
from typing import Any

import numpy as np
import torch
from _common import RESULTS, Part, Record, pivot, run, seconds, watch
from _shared import as_rows, load, rbf
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

from sklearn_vae import VAEAugmenter, VAETransformer
from sklearn_vae.augmentation import AUGMENTATIONS, Augment
from sklearn_vae.input._batches import Batches
from sklearn_vae.input._rows import ArrayDataset
from sklearn_vae.nn import MLP
from sklearn_vae.synthesis import DeformationViews, Interpolation, PosteriorSampling, PosteriorViews

GREY_COUNTS = (4000, 2000, 1000, 750, 500, 350, 200, 100, 60, 40)
COLOUR_COUNTS = (4500, 2000, 1000, 800, 600, 500, 400, 250, 150, 80)
FILL = 1000
ALL = 10_000  # more than any class has
STRENGTH = 0.5  # of the geometric transforms
CNN_PASSES = 100_000
SHARE = 0.6  # of the loss, for online views
IMAGES = RESULTS.parents[1] / "docs" / "images"
Rows = tuple[np.ndarray, np.ndarray]
Predictions = Iterator[tuple[str, np.ndarray]]
Classify = Callable[..., Predictions]
"""Predictions by classifier, from a draw and a treatment's name, images and labels."""


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


def trained(net: type, X: np.ndarray, y: np.ndarray, batch_size: int, epochs: int, **kw: Any):
    """Train a classifier with skorch, at a rate that falls."""
    steps = epochs * -(-len(X) // batch_size)
    settings = {"batch_size": batch_size, "max_epochs": epochs, "callbacks": [linear_decay(steps)]}
    settings |= {"iterator_train": Batches, "iterator_train__shuffle": True, "verbose": 0}
    settings |= {"criterion": nn.CrossEntropyLoss, "train_split": None, **kw}
    return net(**settings).fit(ArrayDataset(X, torch.as_tensor(y)), None)


def cnn(X: np.ndarray, y: np.ndarray, X_test: np.ndarray, augment: Augment, seed: int):
    """Train the CNN for as many image passes whatever the size of X; return its predictions."""
    torch.manual_seed(seed)
    epochs = max(1, round(CNN_PASSES / len(X)))
    settings = {"module": SmallCNN, "module__augment": augment, "lr": 1e-3}
    settings["optimizer"] = torch.optim.Adam
    net = trained(NeuralNetClassifier, X, y, 64, epochs, **settings)
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


def treatments(draw: Draw, vae: VAETransformer, n_new: dict[Any, int]) -> dict[str, Any]:
    """Return each treatment's function of (X, y)."""
    template, seed = draw.maker, draw.seed

    def augmented(**settings: Any) -> Callable[[np.ndarray, np.ndarray], Rows]:
        settings = {"vae": FrozenEstimator(vae), "n_new": n_new, "random_state": seed, **settings}
        return VAEAugmenter(**settings).fit_resample

    moved = usual(draw.data)
    return {
        "nothing": lambda X, y: (X, y),
        "class weights": lambda X, y: (X, y),
        "random over-sampling": augmented(method="bootstrap"),
        "SMOTE on pixels": lambda X, y: smote(X, y, seed),
        "shifts (flips)": augmented(method="bootstrap", augment=moved),
        "geometric": augmented(method="bootstrap", augment=STRENGTH),
        "VAE posterior": augmented(method="posterior"),
        "VAE posterior, decoder alone": augmented(method=PosteriorSampling(residual=False)),
        "VAE interpolation": augmented(method="interpolation"),
        "VAE density": augmented(method="density"),
        "VAE conditional": augmented(vae=template, method="conditional"),
        "VAE deformation": augmented(vae=deforming(template), method="deformation"),
        "VAE posterior + shifts (flips)": augmented(method="posterior", augment=moved),
        "VAE posterior + geometric": augmented(method="posterior", augment=STRENGTH),
    }


BOTH = ("class weights", "geometric", "VAE posterior + geometric")
"""Treatments that are also tried with weights for the classes and a smaller C, on pixels and on
hidden features of a VAE of the same images."""
CHOSEN = ("nothing", "random over-sampling", "VAE posterior")
"""Treatments that are tried in front of a VAE that sees the labels, and of the CNN."""


# -- the parts -------------------------------------------------------------------------------------


class Draw:
    """The images and labels of a draw from a training set, and those to score on.

    Without counts they are those of DeepSMOTE's experiments.
    """

    def __init__(
        self, data: str, seed: int, args: argparse.Namespace, counts: tuple[int, ...] = ()
    ) -> None:
        self.data, self.seed, self.args = data, seed, args
        self.counts = counts or (GREY_COUNTS if "mnist" in data else COLOUR_COUNTS)
        X, y = load(data)
        rng = np.random.default_rng([7, seed])
        order = [rng.permutation(np.flatnonzero(y == c)) for c in range(len(self.counts))]
        # images that validate are never trained on, 500 of each class
        most = [len(rows) - (500 if args.validate else 0) for rows in order]
        counts = [min(n) for n in zip(self.counts, most, strict=True)]
        train = np.concatenate([rows[:n] for rows, n in zip(order, counts, strict=True)])
        valid = np.concatenate([rows[-500:] for rows in order])
        self.X, self.y = X[train], y[train]
        self.X_test, self.y_test = (X[valid], y[valid]) if args.validate else load(data, "test")

    @cached_property
    def maker(self) -> VAETransformer:
        """The VAE that makes images, untrained."""
        settings = {"max_epochs": self.args.epochs, "random_state": self.seed}
        return VAETransformer(network=self.args.network, augment=None, **settings)

    @cached_property
    def features(self) -> VAETransformer:
        """A VAE for features, trained on the draw."""
        settings = {"max_epochs": self.args.epochs_features, "random_state": self.seed}
        return VAETransformer(features="hidden", **settings).fit(self.X)

    def record(self, predicted: np.ndarray, **more: Any) -> Record:
        """Return what predictions are worth."""
        return {"data": self.data, "draw": self.seed, **more, **scores(self.y_test, predicted)}


def draws(args: argparse.Namespace, counts: tuple[int, ...] = ()) -> Iterator[Draw]:
    """Yield each data set's draws."""
    if args.validate and not args.out:
        raise SystemExit("--validate takes --out: these are no results.")
    for data, seed in product(args.data, range(args.draws)):
        yield Draw(data, seed, args, counts)


def unbalanced(classify: Classify, names: tuple[str, ...] = ()) -> Part:
    """Return a part that scores classifiers on each draw of DeepSMOTE's counts.

    Tried are the treatments in ``--only``, else in names, else all.
    """

    def part(args: argparse.Namespace) -> Iterator[Record]:
        wanted = args.only or names
        for draw in draws(args):
            vae, n_new = clone(draw.maker).fit(draw.X), fill_up(draw.y)
            for name, treat in treatments(draw, vae, n_new).items():
                if not wanted or name in wanted:
                    X, y = treat(draw.X, draw.y)
                    for classifier, predicted in classify(draw, name, X, y):
                        same = {"classifier": classifier, "images": len(X)}
                        yield draw.record(predicted, treatment=name, **same)

    return part


def on_pixels_and_features(draw: Draw, name: str, X: np.ndarray, y: np.ndarray) -> Predictions:
    """Yield SVC on pixels, and on the features of a VAE of the draw; with and without weights."""
    rows, rows_test = as_rows(X), as_rows(draw.X_test)
    yield "SVC on pixels", svc(rows, y, rows_test, "balanced" if name == "class weights" else None)
    if name == "nothing" or name in BOTH:
        Z, Z_test = draw.features.transform(X), draw.features.transform(draw.X_test)
    if name == "nothing":
        yield "SVC on VAE hidden", svc(Z, y, Z_test)
    if name in BOTH:
        yield "weighted SVC on pixels", svc(rows, y, rows_test, "balanced", C=3)
        yield "weighted SVC on VAE hidden", svc(Z, y, Z_test, "balanced", C=3)


def behind_labels(draw: Draw, name: str, X: np.ndarray, y: np.ndarray) -> Predictions:
    """Yield a weighted SVC behind ``VAETransformer(label_weight=1)``; as many steps for all."""
    epochs = max(1, round(draw.args.epochs_shaped * len(draw.X) / len(X)))
    settings = {"max_epochs": epochs, "random_state": draw.seed}
    vae = VAETransformer(label_weight=1.0, features="hidden", **settings).fit(X, y)
    predicted = svc(vae.transform(X), y, vae.transform(draw.X_test), "balanced", C=1)
    yield "weighted SVC on VAE hidden, labels seen", predicted


def by_network(draw: Draw, name: str, X: np.ndarray, y: np.ndarray) -> Predictions:
    """Yield the CNN, which shifts (flips) in every step."""
    yield "CNN, shifts (flips)", cnn(X, y, draw.X_test, usual(draw.data), draw.seed)


def few(args: argparse.Namespace) -> Iterator[Record]:
    """Score 10, 50 and 200 images a class with synthetic ones 1, 5 and 20 times as many."""
    for n in args.per_class:
        for draw in draws(args, (n,) * 10):
            sets: dict[tuple[str, float], Rows] = {("nothing", 0): (draw.X, draw.y)}
            for (name, settings), times in product(few_ways(draw).items(), args.times):
                if times * n <= args.most and (not args.only or name in args.only):
                    sampler = VAEAugmenter(n_new=times, random_state=draw.seed, **settings())
                    resample = with_unlabelled if "unlabelled" in name else resampled
                    sets[name, times] = resample(sampler, draw)
            for (name, times), (X, y) in sets.items():
                predicted = svc(as_rows(X), y, as_rows(draw.X_test))
                more = {"per class": n, "treatment": name, "n_new": times}
                yield draw.record(predicted, classifier="SVC on pixels", **more)


def few_ways(draw: Draw) -> dict[str, Any]:
    """Return functions for the settings of each treatment; they train what they need, once."""
    template = VAETransformer(augment=None, random_state=draw.seed)
    own = cache(lambda: FrozenEstimator(template.fit(draw.X)))
    pretrained = partial(pretrained_vae, draw.data, draw.args.epochs_pretrained)
    unlabelled = Interpolation(n_neighbors=50, unlabelled=True)
    makers: dict[str, tuple[Callable[[], Any], Any]] = {
        "VAE of these, posterior": (own, "posterior"),
        "VAE of these, interpolation": (own, "interpolation"),
        "VAE of these, deformation": (lambda: template, "deformation"),
        "VAE pre-trained, posterior": (pretrained, "posterior"),
        "VAE pre-trained, interpolation": (pretrained, "interpolation"),
        "VAE pre-trained, unlabelled neighbours": (pretrained, unlabelled),
    }
    moves = {"shifts (flips)": usual(draw.data), "geometric": STRENGTH}

    def settings(vae: Callable[[], Any], method: Any, augment: Any = None) -> dict[str, Any]:
        return {"vae": vae(), "method": method, "augment": augment}

    ways = {name: partial(settings, lambda: None, "bootstrap", t) for name, t in moves.items()}
    for maker, (vae, method) in makers.items():
        ways[maker] = partial(settings, vae, method)
        for name, augment in moves.items():
            ways[f"{maker} + {name}"] = partial(settings, vae, method, augment)
    return ways


def resampled(sampler: VAEAugmenter, draw: Draw) -> Rows:
    """Return the draw's images and synthetic ones."""
    return sampler.fit_resample(draw.X, draw.y)


def with_unlabelled(sampler: VAEAugmenter, draw: Draw) -> Rows:
    """Resample beside 20,000 unlabelled training images; return without these."""
    others, _ = load(draw.data)
    others = others[np.random.default_rng([11, draw.seed]).permutation(len(others))[:20_000]]
    y = np.concatenate([draw.y, np.full(len(others), -1)])
    X, y = sampler.fit_resample(np.concatenate([draw.X, others]), y)
    return X[y != -1], y[y != -1]


@cache
def pretrained_vae(data: str, epochs: int) -> FrozenEstimator:
    """Return a VAE trained on all training images, without labels."""
    X, _ = load(data)
    return FrozenEstimator(VAETransformer(max_epochs=epochs, random_state=0).fit(X))


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


def online(args: argparse.Namespace) -> Iterator[Record]:
    """Score the MLP without and with fresh images in every step: synthetic, transformed, both."""
    for draw in draws(args, (ALL,) * 10):
        for name, make in online_views(draw).items():
            if args.only and name not in args.only:
                continue
            settings = {"module": mlp, "module__n_units": args.online_units, "views": make()}
            settings |= {"optimizer": torch.optim.SGD, "optimizer__momentum": 0.9, "lr": 0.1}
            settings["criterion__label_smoothing"] = 0.1
            torch.manual_seed(draw.seed)
            spent = watch()
            net = trained(OnlineNet, draw.X, draw.y, 100, args.online_epochs, **settings)
            more = {"treatment": name, "classifier": "MLP", "units": args.online_units}
            more |= {"epochs": args.online_epochs, "seconds": spent()}
            predicted = net.predict(draw.X_test)
            more["error"] = 100 * float(np.mean(predicted != draw.y_test))
            yield draw.record(predicted, **more)


def online_views(draw: Draw) -> dict[str, Callable[[], Any]]:
    """Return functions for the views of each treatment; they train what they need, once."""

    def posterior() -> PosteriorViews:
        settings = {"network": MLP((1000, 500)), "beta": 5.0, "augment": None}
        settings |= {"max_epochs": draw.args.epochs, "random_state": draw.seed}
        return PosteriorViews(VAETransformer(40, **settings).fit(draw.X))

    @cache
    def deformation() -> VAEAugmenter:
        how = {"method": "deformation", "n_new": 1, "random_state": draw.seed}
        vae = VAETransformer(random_state=draw.seed)
        return VAEAugmenter(vae=vae, **how).fit(draw.X, draw.y)

    def deformations(augment: Any = None) -> DeformationViews:
        return DeformationViews(deformation().set_params(augment=augment))

    return {
        "nothing": lambda: None,
        "posterior views": posterior,
        "deformation views": deformations,
        "deformation views + flips": lambda: deformations(Augment(flip=True)),
        "geometric": lambda: AUGMENTATIONS["geometric"].strengthened(STRENGTH),
    }


def cost(args: argparse.Namespace) -> Iterator[Record]:
    """Time fit_resample against its VAE's training, and generation against bare loops."""
    for draw, method in product(draws(args), ("auto", "deformation")):
        settings = {"max_epochs": args.epochs_pretrained, "random_state": draw.seed}
        vae = VAETransformer(augment=None, **settings)
        sampler = VAEAugmenter(vae=vae, method=method, random_state=draw.seed)
        spent = seconds(partial(resampled, sampler, draw))
        epochs = sum(row["dur"] for row in sampler.vae_.history_)  # of the same call: clocks drift
        what = f"fit_resample, {method} / its VAE's {args.epochs_pretrained} epochs"
        yield {"data": draw.data, "what": what, **compared(spent, epochs)}
    images = np.random.default_rng(0).integers(0, 256, (2000, 32, 32, 3), dtype=np.uint8)
    vae = VAETransformer(128, network="conv", augment=None, max_epochs=1, random_state=0)
    frozen = FrozenEstimator(vae.fit(images))
    n = 50_000
    for method in ("density", "posterior", "interpolation", "deformation"):
        source = vae if method == "deformation" else frozen
        sampler = VAEAugmenter(vae=source, method=method, n_new=1, random_state=0)
        sampler.fit(images, np.arange(2000) % 2)
        bare = partial(bare_loop, method, sampler.vae_.module_, images, n)
        calls = (bare, partial(sampler.sample, n, y=1))
        times = np.median([[seconds(call) for call in calls] for _ in range(3)], axis=0)
        what = f"bare loop / sample, {n:,} images 32 x 32 x 3, {method}"
        yield {"data": "noise", "what": what, **compared(*times)}


def compared(one: float, other: float) -> dict[str, float]:
    """Return two times and their ratio."""
    return {"seconds": float(one), "against": float(other), "ratio": float(one / other)}


def bare_loop(method: str, model: Any, images: np.ndarray, n: int) -> np.ndarray:
    """Return n images of a model and of nothing else: decoded codes, or deformed images."""
    codes = torch.randn(n, 128, generator=torch.Generator().manual_seed(0))
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


def pictures(args: argparse.Namespace) -> Iterator[Record]:
    """Draw the picture of each data set; there are no records."""
    for data in args.data:
        picture(Draw(data, 0, args))
    yield from ()


def picture(draw: Draw) -> None:
    """Draw real and synthetic images of each class, and the nearest real image of each."""
    import matplotlib.pyplot as plt

    X, y, template = draw.X, draw.y, draw.maker
    vae = FrozenEstimator(clone(template).fit(X))
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
        row[0].set_ylabel(f"{draw.counts[c]:,}", rotation=0, ha="right", va="center")
        for axis, (name, images) in zip(row, columns.items(), strict=True):
            axis.imshow(images[c], cmap="gray_r")
            axis.set(xticks=[], yticks=[])
            if c == 0:
                axis.set_title(name, fontsize=7)
    figure.tight_layout(pad=0.2)
    figure.savefig(IMAGES / f"augmentation_{draw.data}.png", dpi=80)


def table(records: list[Record]) -> list[Record]:
    """Return mean ± standard deviation over draws."""
    keys = ("data", "per class", "classifier", "treatment", "n_new")
    return pivot(records, [k for k in keys if k in records[0]], None, ("ACSA", "GM", "F1"))


if __name__ == "__main__":
    run(
        __doc__,
        "augmentation",
        {
            "unbalanced": (unbalanced(on_pixels_and_features), table),
            "shaped": (unbalanced(behind_labels, CHOSEN), table),
            "network": (unbalanced(by_network, CHOSEN), table),
            "few": (few, table),
            "online": (online, table),
            "cost": (cost, list),
            "picture": (pictures, list),
        },
        data=["mnist", "fashion_mnist"],
        draws=5,
        validate=(False, "score on training images; with --out"),
        only=([str], "only these treatments"),
        per_class=[10, 50, 200],
        times=([1.0, 5.0, 20.0], "n_new"),
        most=(1000, "largest n_new x images a class"),
        network=("mlp", "of the VAE that makes images"),
        epochs=(30, "of the VAE that makes images"),
        epochs_features=(12, "of the one for features"),
        epochs_shaped=(20, "of the one that sees labels"),
        epochs_pretrained=10,
        online_epochs=100,
        online_units=(1024, "a hidden layer"),
    )

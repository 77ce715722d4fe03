"""Scores of the places of an image, and the image's score from its worst places."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..input._pictures import Form, Pictures
from ..input._row_keys import row_keys
from ..model._codec import Codec
from ._cross_fit import N_FOLDS, Calibrated, CrossFitted, RowFolds, measure
from ._places import Cutter, Layout, Places
from ._statistics import LOCAL, STATISTICS, TINY

TRAINED_ROWS = 20_000
"""Places, of all images together, that VAEs and densities are fitted to."""
WORST = 0.02
"""Share of an image's places that its score is the mean of."""
MEDIANS = (0.025, 0.975)
"""Quantiles of the training images' medians that images are compared within."""
PLACES = 32
"""Places each way for which means and spreads are kept, at most."""
PRIOR_IMAGES = 3
"""Images that the mean and spread over all places count as, beside those of one place."""
FARTHEST = 1e9
"""What is more unusual than that is as unusual as that; squares of it can be summed."""


class UsualByPlace:
    """Mean and spread of how unusual a place is, over images; edges differ from the middle.

    By relative position, so that images may differ in size; a few neighbouring places together.

    Parameters
    ----------
    maps : sequence of ndarray of shape (down, across)
        How unusual the places of each training image are, by what has not seen it.
    folds : ndarray of shape (n,)
        Of the images: fold k has the means and spreads of the others.
    """

    def __init__(self, maps: Sequence[np.ndarray], folds: np.ndarray) -> None:
        grid = tuple(min(side, PLACES) for side in maps[0].shape)
        sums = np.zeros((N_FOLDS, 2, *grid))
        for found, fold in zip(maps, folds, strict=True):
            powers = torch.from_numpy(np.stack([found, np.square(found)]).astype(np.float64))
            sums[fold] += F.adaptive_avg_pool2d(powers, grid).numpy()
        counts = np.bincount(folds, minlength=N_FOLDS)
        self.moments = [
            self._moments(sums.sum(0) - sums[k], counts.sum() - counts[k]) for k in range(N_FOLDS)
        ]

    @staticmethod
    def _moments(sums: np.ndarray, n: int) -> Tensor:
        """Return the mean of each place, and the spread, shape (2, down, across)."""
        everywhere = sums.mean((1, 2), keepdims=True) / n
        powers = (sums + PRIOR_IMAGES * everywhere) / (n + PRIOR_IMAGES)
        smooth = F.avg_pool2d(torch.from_numpy(powers), 3, 1, 1, count_include_pad=False)
        variance = (smooth[1] - smooth[0].square()).clamp(min=0)
        return torch.stack([smooth[0], variance.sqrt().clamp(min=TINY)])

    def __call__(self, maps: np.ndarray, k: int) -> np.ndarray:
        """Return maps (n, down, across) in spreads above the mean, as fold k has them."""
        size = maps.shape[1:]
        resized = F.interpolate(self.moments[k][None], size, mode="bilinear", align_corners=False)
        mean, spread = resized[0].numpy()
        return (maps - mean) / spread


class UsualLevel:
    """How far the worst places of an image go along with its median one, as exposure has them.

    What training images say of it: a line through the two, and the range of medians. An image is
    forgiven that much, and no more: one that is strange all over stays strange.

    Parameters
    ----------
    worst, medians : ndarray of shape (n,)
        Of training images, each by what has not seen it.
    folds : ndarray of shape (n,)
        Of the images: fold k has the line of the others.
    """

    def __init__(self, worst: np.ndarray, medians: np.ndarray, folds: np.ndarray) -> None:
        self.slopes, self.ranges = np.zeros(N_FOLDS), np.zeros((N_FOLDS, 2))
        for k in range(N_FOLDS):
            m, w = medians[folds != k], worst[folds != k]
            slope = np.mean((m - m.mean()) * (w - w.mean())) / (m.var() + TINY)
            self.slopes[k] = slope.clip(0, 1)
            self.ranges[k] = np.quantile(m, MEDIANS)

    def __call__(self, maps: np.ndarray) -> np.ndarray:
        """Return what to take off maps (folds, n, down, across) by fold: (folds, n, 1, 1)."""
        medians = np.median(maps, (2, 3), keepdims=True)
        low, high = self.ranges.T.reshape(2, -1, 1, 1, 1)
        return self.slopes.reshape(-1, 1, 1, 1) * medians.clip(low, high)


@dataclass
class Scale:
    """One way to cut images, with VAEs and densities of the places.

    Attributes
    ----------
    cutter : Cutter
    codecs : list of Codec
        The VAEs.
    fitted : dict of str to CrossFitted
        Scores of places, by method.
    usual : dict of str to UsualByPlace
        What is usual where, by method.
    """

    cutter: Cutter
    codecs: list[Codec]
    fitted: dict[str, CrossFitted]
    usual: dict[str, UsualByPlace] = field(default_factory=dict)

    def unusual(self, places: Places, methods: Sequence[str]) -> dict[str, np.ndarray]:
        """Return how unusual places are by each method and model: (models, n, down, across)."""
        parts = [(codec, LOCAL[method]) for method in methods for codec in self.codecs]
        statistics = iter(measure(places, parts))
        return {
            method: self._unusual(method, [next(statistics) for _ in self.codecs], places)
            for method in methods
        }

    def _unusual(self, method: str, statistics: Sequence[np.ndarray], places: Places) -> np.ndarray:
        unusual = -self.fitted[method].by_model(statistics).clip(-FARTHEST, FARTHEST)
        return unusual.reshape(-1, places.n_images, *places.layout.grid).astype(np.float32)


Trained = tuple[list[Codec], dict[str, CrossFitted]]
Train = Callable[[np.ndarray, np.ndarray, Cutter], Trained]
"""From rows, their folds and what cut them to VAEs and scores."""


class LocalScores:
    """Scores of images from those of their places.

    The places of an image are scored by the density of each fold's model, in spreads above what is
    usual at that place. The maps of all scales are averaged, and the image's usual level taken off.
    The worst places' mean is the image's score by that model. A new image has the mean over models,
    a training image the score of the one that has not seen it.

    Parameters
    ----------
    pictures : Pictures
        The training images.
    cutters : sequence of Cutter
        One a scale.
    folds : ndarray of shape (n,)
        Of the images.
    train : callable
        Trains the VAEs of a scale.
    random_state : RandomState
        Draws the places to train on.
    """

    def __init__(
        self,
        pictures: Pictures,
        cutters: Sequence[Cutter],
        folds: np.ndarray,
        train: Train,
        random_state: np.random.RandomState,
    ) -> None:
        self.form: Form = pictures.form
        keys, drawn = _draw(pictures, cutters, random_state)
        self.folds = RowFolds(keys, folds)
        self.scales: list[Scale] = []
        self.levels: dict[str, UsualLevel] = {}
        for cutter, (rows, images) in zip(cutters, drawn, strict=True):
            codecs, fitted = train(rows, folds[images], cutter)
            self.scales.append(Scale(cutter, codecs, fitted))
        del drawn
        self.ranks = self._calibrate(pictures, folds)

    def score(self, pictures: Pictures, method: str) -> np.ndarray:
        """Return how normal each image is, shape (n,)."""
        scores = [
            self._own(_worst(found), folds) for found, folds, _ in self._found(pictures, method)
        ]
        return -np.concatenate(scores)

    def maps(self, pictures: Pictures, method: str) -> list[np.ndarray]:
        """Return how unusual each pixel of each image is."""
        maps: list[np.ndarray] = []
        for found, folds, (layout, sides) in self._found(pictures, method):
            down, across = map(_between, layout, map(np.arange, sides))
            own = self._own(found, folds)
            maps.extend((down @ each @ across.T).astype(np.float32) for each in own)
        return maps

    def _found(
        self, pictures: Pictures, method: str
    ) -> Iterator[tuple[np.ndarray, np.ndarray, tuple[Layout, tuple[int, int]]]]:
        """Yield maps by fold (folds, n, down, across), folds of images, and where places are."""
        for _, images in pictures.chunks():
            folds = self.folds(row_keys(images))
            cuts = [scale.cutter(images) for scale in self.scales]
            unusual = [
                scale.unusual(cut, [method])[method]
                for scale, cut in zip(self.scales, cuts, strict=True)
            ]
            layouts = [cut.layout for cut in cuts]
            sides = images.shape[2], images.shape[3]
            merged = self._merged(unusual, layouts, method)
            yield merged - self.levels[method](merged), folds, (_finest(layouts), sides)

    def _merged(
        self, unusual: Sequence[np.ndarray], layouts: Sequence[Layout], method: str
    ) -> np.ndarray:
        """Return the mean over scales of maps in their spreads, (folds, n, down, across)."""
        total: Any = 0.0
        finest = _finest(layouts)
        for scale, found, layout in zip(self.scales, unusual, layouts, strict=True):
            usual = scale.usual[method]
            each = np.stack([usual(found[k % len(found)], k) for k in range(N_FOLDS)])
            if layout is not finest:
                down, across = map(_between, layout, finest)
                each = down @ each @ across.T
            total = total + each
        return np.asarray(total) / len(layouts)

    @staticmethod
    def _own(by_fold: np.ndarray, folds: np.ndarray) -> np.ndarray:
        """Return the mean over folds, and for known images what their own fold's model has."""
        own: np.ndarray = by_fold.mean(0)
        known = np.flatnonzero(folds >= 0)
        own[known] = by_fold[folds[known], known]
        return own

    def _calibrate(self, pictures: Pictures, folds: np.ndarray) -> dict[str, Calibrated]:
        """Learn what is usual at each place; return the ranks of training images' scores."""
        held: list[list[dict[str, np.ndarray]]] = [[] for _ in self.scales]
        layouts: list[list[Layout]] = []
        for start, images in pictures.chunks():
            cuts = [scale.cutter(images) for scale in self.scales]
            for maps, scale, cut in zip(held, self.scales, cuts, strict=True):
                found = scale.unusual(cut, [*STATISTICS])
                for i in range(len(images)):
                    fold = folds[start + i]
                    # Copies: views would keep the maps of all models.
                    maps.append({m: each[fold % len(each), i].copy() for m, each in found.items()})
            layouts.extend([[cut.layout for cut in cuts]] * len(images))
        ranks = {}
        for method in STATISTICS:
            for maps, scale in zip(held, self.scales, strict=True):
                scale.usual[method] = UsualByPlace([found[method] for found in maps], folds)
            worst, medians = np.empty(len(folds)), np.empty(len(folds))
            for i, layout in enumerate(layouts):
                unusual = [maps[i][method][None, None] for maps in held]
                own = self._merged(unusual, layout, method)[folds[i]]
                worst[i], medians[i] = _worst(own)[0], np.median(own)
            self.levels[method] = level = UsualLevel(worst, medians, folds)
            low, high = level.ranges[folds].T
            ranks[method] = Calibrated(level.slopes[folds] * medians.clip(low, high) - worst)
        return ranks


def _draw(
    pictures: Pictures, cutters: Sequence[Cutter], random_state: np.random.RandomState
) -> tuple[np.ndarray, list[tuple[np.ndarray, np.ndarray]]]:
    """Return the images' keys, and for each cutter rows of all images with the image of each."""
    each = -(-TRAINED_ROWS // len(pictures))
    keys: list[np.ndarray] = []
    rows: list[list[np.ndarray]] = [[] for _ in cutters]
    origin: list[list[np.ndarray]] = [[] for _ in cutters]
    for start, images in pictures.chunks():
        keys.append(row_keys(images))
        for cutter, found, numbers in zip(cutters, rows, origin, strict=True):
            places = cutter(images)
            n = len(places) // len(images)
            for i in range(len(images)):
                chosen = np.sort(random_state.permutation(n)[:each]) + i * n
                found.append(places.take(torch.from_numpy(chosen)).numpy())
                numbers.append(np.full(len(chosen), start + i))
    drawn = [
        (np.concatenate(found), np.concatenate(numbers))
        for found, numbers in zip(rows, origin, strict=True)
    ]
    return np.concatenate(keys), drawn


def _finest(layouts: Sequence[Layout]) -> Layout:
    """Return the layout of most places."""
    return max(layouts, key=lambda layout: prod(layout.grid))


def _between(centres: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Return the weights of linear interpolation, (len(at), len(centres)); edges go on."""
    one_each = np.eye(len(centres))
    return np.stack([np.interp(at, centres, one) for one in one_each], 1)


def _worst(maps: np.ndarray) -> np.ndarray:
    """Return the mean of the largest values of maps (..., down, across)."""
    values = maps.reshape(*maps.shape[:-2], -1)
    k = max(1, round(WORST * values.shape[-1]))
    return np.partition(values, -k, axis=-1)[..., -k:].mean(-1)

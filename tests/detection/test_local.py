"""VAEDetector with patches: defects found where they are, in images of any size."""

import pickle

import numpy as np
import pytest
import torch
from helpers import tiny
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from torch import nn
from torch.utils.data import TensorDataset

from sklearn_vae import BackboneTransformer, VAEDetector
from sklearn_vae.detection import _local
from sklearn_vae.detection._local import UsualByPlace, UsualLevel, _between, _worst
from sklearn_vae.detection._places import Cells, Windows
from sklearn_vae.nn import MLP, LinearBase


def cloth(n, rng, height=32, width=32):
    """Return n images of cloth, uint8."""
    rows, columns = np.mgrid[:height, :width]
    a, b = rng.uniform(0, 6, (2, n, 1, 1))
    threads = 60 * np.sin(0.7 * columns + a) * np.sin(0.6 * rows + b)
    noise = rng.normal(0, 8, threads.shape)
    return (127 + threads + noise).clip(0, 255).astype(np.uint8)


def stained(X, rng):
    """Return copies with a stain each, and where it is."""
    X = X.copy()
    where = np.stack([rng.integers(2, side - 8, len(X)) for side in X.shape[1:]], 1)
    for x, (r, c) in zip(X, where, strict=True):
        x[r : r + 6, c : c + 6] = x[r : r + 6, c : c + 6] // 3
    return X, where


def of_windows(**changes):
    network = LinearBase(MLP((16,)))
    return tiny(z_dim=8, network=network, likelihood="gaussian", max_epochs=2, **changes)


def module():
    """A network of random weights whose cells are 4 x 4 pixels."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 12, 4, 4), nn.ReLU(), nn.Conv2d(12, 12, 3, 1, 1))


def backbone(**changes):
    return BackboneTransformer(module(), pool=None, device="cpu", precision="float32", **changes)


@pytest.fixture(scope="module", autouse=True)
def _few_places():
    """Train on fewer places than usual, for the sake of time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_local, "TRAINED_ROWS", 1500)
        yield


@pytest.fixture(scope="module")
def sets():
    rng = np.random.default_rng(0)
    X, good = cloth(40, rng), cloth(30, rng)
    bad, where = stained(cloth(30, rng), rng)
    return X, good, bad, where


@pytest.fixture(scope="module")
def fitted(sets):
    return VAEDetector(of_windows(), method="reconstruction", patches=8).fit(sets[0])


@pytest.fixture(scope="module")
def of_cells(sets):
    return VAEDetector(tiny(z_dim=4), patches=backbone()).fit(sets[0])


@pytest.mark.parametrize("method", ["path", "elbo", "reconstruction"])
def test_stains_are_found_by_windows(sets, fitted, method):
    _, good, bad, _ = sets
    detector = pickle.loads(pickle.dumps(fitted)).set_params(method=method)
    scores = detector.score_samples(np.concatenate([good, bad]))
    assert roc_auc_score(np.repeat([1, 0], 30), scores) > 0.9
    assert (detector.predict(good) == -1).mean() < 0.4
    p = detector.p_values(bad)
    assert np.median(p) < 0.1
    assert p.min() >= 1 / 41


def test_stains_are_found_by_cells(sets, of_cells):
    _, good, bad, _ = sets
    scores = of_cells.score_samples(np.concatenate([good, bad]))
    assert roc_auc_score(np.repeat([1, 0], 30), scores) > 0.8
    assert of_cells.score_map(bad).shape == bad.shape


def test_the_map_shows_where(sets, fitted):
    _, _, bad, where = sets
    maps = fitted.score_map(bad)
    assert maps.shape == bad.shape
    assert maps.dtype == np.float32
    worst = np.array([np.unravel_index(m.argmax(), m.shape) for m in maps])
    assert np.mean(np.abs(worst - (where + 2.5)).max(1) < 6) > 0.8


@pytest.mark.parametrize("which", ["fitted", "of_cells"])
def test_images_of_several_sizes(which, sets, request, tmp_path):
    detector, rng = request.getfixturevalue(which), np.random.default_rng(1)
    X = [cloth(1, rng, *size)[0] for size in ((32, 32), (48, 40), (40, 80))]
    scores, maps = detector.score_samples(X), detector.score_map(X)
    assert [m.shape for m in maps] == [x.shape for x in X]
    one_by_one = [detector.score_samples(x[None])[0] for x in X]
    assert_allclose(scores, one_by_one, rtol=1e-4)
    paths = [tmp_path / f"{i}.png" for i in range(3)]
    for x, path in zip(X, paths, strict=True):
        Image.fromarray(x).save(path)
    assert_allclose(detector.score_samples(paths), scores, rtol=1e-6)
    dataset = TensorDataset(torch.from_numpy(sets[1]))
    assert_allclose(detector.score_samples(dataset), detector.score_samples(sets[1]), rtol=1e-4)


def test_fit_to_files_of_several_sizes(tmp_path):
    rng, paths = np.random.default_rng(2), []
    for i in range(12):
        paths.append(str(tmp_path / f"{i}.png"))
        Image.fromarray(cloth(1, rng, 24 + i, 30)[0]).save(paths[-1])
    detector = VAEDetector(of_windows(), patches=8, contamination=0.2).fit(paths)
    assert detector.predict(paths).shape == (12,)
    assert len(detector.score_map(paths[:2])) == 2


def test_training_images_are_scored_by_what_has_not_seen_them(sets, fitted):
    X = sets[0]
    assert_allclose(np.sort(fitted.score_samples(X)), fitted._ranks["reconstruction"].calibration)
    rate = (clone(fitted).set_params(contamination=0.2).fit_predict(X) == -1).mean()
    assert abs(rate - 0.2) < 0.03


def test_the_seed_fixes_the_scores(sets):
    X, good, *_ = sets
    a, b = (VAEDetector(of_windows(), patches=8).fit(X).score_samples(good) for _ in range(2))
    assert_array_equal(a, b)


def test_several_kinds_are_averaged(sets):
    X, good, bad, _ = sets
    detector = VAEDetector(tiny(z_dim=4, network=LinearBase(MLP((16,)))), patches=[8, backbone()])
    detector.fit(X)
    assert len(detector.vaes_) == 4
    scores = detector.score_samples(np.concatenate([good, bad]))
    assert roc_auc_score(np.repeat([1, 0], 30), scores) > 0.8


def test_a_frozen_vae_of_windows_and_of_cells(sets):
    X, good, bad, _ = sets
    windows = cloth(400, np.random.default_rng(3), 8, 8)
    cells = backbone().fit(good).transform(good).reshape(-1, 12)
    for vae, patches in ((of_windows().fit(windows), 8), (tiny().fit(cells), backbone())):
        detector = VAEDetector(FrozenEstimator(vae), method="reconstruction", patches=patches)
        scores = detector.fit(X).score_samples(np.concatenate([good, bad]))
        assert roc_auc_score(np.repeat([1, 0], 30), scores) > 0.75
    with pytest.raises(ValueError, match=r"16 x 16 pixels.*\(8, 8\)"):
        VAEDetector(FrozenEstimator(of_windows().fit(windows)), patches=16).fit(X)


def test_searches_and_pipelines(sets):
    X = sets[0]
    search = GridSearchCV(
        VAEDetector(of_windows(), patches=backbone()),
        {"patches__layers": ["0", "2"]},
        scoring=lambda detector, X, y=None: detector.score_samples(X).mean(),
        cv=2,
    ).fit(X)
    assert search.best_params_["patches__layers"] in ("0", "2")
    brighter = FunctionTransformer(lambda X: X // 2 + 100)
    piped = make_pipeline(brighter, VAEDetector(of_windows(), patches=8)).fit(X)
    assert piped.predict(X).shape == (40,)


def test_colour_images():
    X = np.stack([cloth(20, np.random.default_rng(i)) for i in range(3)], -1)
    detector = VAEDetector(of_windows(), patches=16).fit(X)
    assert detector.score_map(X[:2]).shape == (2, 32, 32)
    first = VAEDetector(of_windows(), patches=16).fit(np.moveaxis(X, -1, 1))
    assert_allclose(first.score_samples(np.moveaxis(X, -1, 1)), detector.score_samples(X))


def test_what_cannot_be_cut_is_refused(sets, fitted, tmp_path):
    X = sets[0]
    for patches, message in (
        (4, "patches"),
        ([8, "16"], "ints of 8 pixels"),
        ([], "patches is empty"),
        (40, r"32 pixels a side.*patches=40"),
        (backbone().set_params(pool="mean"), "Set pool=None"),
        (backbone(preprocessing=lambda x: x[..., 4:-4, 4:-4].float()), "cuts off the edges"),
    ):
        with pytest.raises(ValueError, match=message):
            VAEDetector(of_windows(), patches=patches).fit(X)
    two = VAEDetector(FrozenEstimator(of_windows().fit(cloth(50, np.random.default_rng(0), 8, 8))))
    with pytest.raises(ValueError, match="2 entries"):
        two.set_params(patches=[8, 16]).fit(X)
    with pytest.raises(ValueError, match="patches need images"):
        VAEDetector(of_windows(), patches=8).fit(X.reshape(40, -1))
    with pytest.raises(ValueError, match=r"at least 4"):
        VAEDetector(of_windows(), patches=8).fit(X[:3])
    mixed = [X[0], np.stack([X[1]] * 3, -1), X[2], X[3]]
    with pytest.raises(ValueError, match=r"X\[1\] has 3 channel"):
        VAEDetector(of_windows(), patches=8).fit(mixed)
    with pytest.raises(ValueError, match=r"the images of fit have 1 of uint8"):
        fitted.score_samples(X / 255)
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"broken.png cannot be read"):
        fitted.score_samples([str(broken)])
    with pytest.raises(FileNotFoundError, match=r"missing.png"):
        fitted.score_samples(["missing.png"])
    with pytest.raises(ValueError, match="use score_map"):
        fitted.error_map(X)
    with pytest.raises(ValueError, match="patches=None"):
        VAEDetector(tiny()).fit(X).score_map(X)


def test_a_failed_fit_leaves_the_detector_as_it_was(sets, fitted):
    X, good, *_ = sets
    detector = pickle.loads(pickle.dumps(fitted))
    before = detector.score_samples(good)
    with pytest.raises(ValueError, match="channel"):
        detector.fit([*X[:20], np.stack([X[0]] * 3, -1)])
    assert_array_equal(detector.score_samples(good), before)


def test_windows_are_what_slices_are():
    X = torch.arange(2 * 3 * 12 * 19).reshape(2, 3, 12, 19).float()
    places = Windows(8)(X)
    assert places.layout.grid == (2, 4)  # from 0, 4 down; from 0, 4, 8, 11 across
    assert_array_equal(places.layout.across, [3.5, 7.5, 11.5, 14.5])
    rows = places.rows(0, len(places))
    assert rows.shape == (16, 8, 8, 3)
    assert_array_equal(rows[8 + 4 + 3], X[1, :, 4:12, 11:19].movedim(0, -1))
    halves = Windows(16)(torch.rand(1, 1, 16, 16).mul(255).to(torch.uint8))
    assert halves.rows(0, 1).shape == (1, 8, 8)
    mean = halves.images.float().reshape(8, 2, 8, 2).mean((1, 3)) / 255
    assert_allclose(halves.rows(0, 1)[0], mean, rtol=1e-5)


def test_cells_of_another_size_are_those_of_a_fit_to_it(sets):
    X = torch.from_numpy(sets[0][:3, None])
    wide = torch.cat([X, X], 3)
    assert_allclose(
        Cells(backbone().fit(X.numpy()))(wide).cells,
        backbone().fit(wide.numpy()).transform(wide.numpy()).reshape(-1, 12),
        rtol=1e-5,
        atol=1e-6,
    )


def test_a_place_is_compared_with_the_same_place_elsewhere():
    rng = np.random.default_rng(0)
    usual, spread = rng.uniform(0, 9, (6, 8)), 2.0
    usual = np.repeat(np.repeat(usual[::3, ::4], 3, 0), 4, 1)  # neighbours count, too
    maps = [usual + rng.normal(0, spread, usual.shape) for _ in range(4000)]
    by_place = UsualByPlace(maps, np.arange(4000) % 4)
    mean, found = by_place.moments[0].numpy()
    assert_allclose(mean[1, 1], usual[1, 1], atol=0.1)
    assert_allclose(found[1, 1], spread, rtol=0.05)
    z = by_place(np.stack(maps), 2)
    assert_allclose(z[:, 1, 1].mean(), 0, atol=0.1)


def test_an_image_is_forgiven_what_goes_along_with_its_median():
    rng = np.random.default_rng(0)
    medians = rng.normal(size=400)
    worst = 3 + 0.5 * medians + rng.normal(0, 0.1, 400)
    level = UsualLevel(worst, medians, np.arange(400) % 4)
    assert_allclose(level.slopes, 0.5, atol=0.03)
    maps = np.ones((4, 2, 3, 3)) * np.array([1.0, 50.0])[:, None, None]
    taken = level(maps)
    assert_allclose(taken[:, 0].ravel(), level.slopes)
    assert_allclose(taken[:, 1].ravel(), level.slopes * level.ranges[:, 1])  # no more than usual


def test_the_worst_places_count():
    values = np.arange(400.0).reshape(1, 20, 20)
    assert_allclose(_worst(values), np.mean(np.arange(392, 400)))
    assert_allclose(_worst(values[:, :3, :3]), values[0, 2, 2])


def test_between_centres_lies_the_line():
    weights = _between(np.array([1.0, 3.0]), np.arange(5))
    assert_allclose(weights @ [10, 20], [10, 10, 15, 20, 20])


def test_a_pixel_counts_as_often_as_windows_show_it(sets):
    for size, (height, width) in ((8, (16, 16)), (8, (8, 8)), (9, (30, 25)), (16, (64, 40))):
        cutter = Windows(size)
        seen = np.zeros((height, width))
        for y in cutter.offsets(height):
            for x in cutter.offsets(width):
                seen[y : y + size, x : x + size] += 1
        assert cutter.overlap(height, width) == pytest.approx(seen.mean())
    X = sets[0][:4, :16, :16]
    fitted = VAEDetector(of_windows().set_params(max_epochs="auto"), patches=8, contamination=0.3)
    assert [vae.n_iter_ for vae in fitted.fit(X).vaes_] == [round(200 / 2.25)] * 2

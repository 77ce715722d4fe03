"""What holds for every display: axes, estimators that it looks into, what it leaves alone."""

import sys

import numpy as np
import pytest
import torch
from helpers import synthetic_images, tiny, weights
from matplotlib import pyplot as plt
from numpy.testing import assert_array_equal
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler

from sklearn_vae import VAEDetector
from sklearn_vae.inspection import (
    ErrorMapDisplay,
    InterpolationDisplay,
    LatentDisplay,
    ReconstructionDisplay,
    SampleDisplay,
    TrainingCurveDisplay,
    TraversalDisplay,
)

OF_IMAGES = {
    "reconstruction": lambda vae, X, **kw: ReconstructionDisplay.from_estimator(vae, X, **kw),
    "sample": lambda vae, X, **kw: SampleDisplay.from_estimator(vae, n_samples=4, **kw),
    "traversal": lambda vae, X, **kw: TraversalDisplay.from_estimator(vae, X, **kw),
    "interpolation": lambda vae, X, **kw: InterpolationDisplay.from_estimator(
        vae, X[:2], X[2:4], **kw
    ),
}
OF_ANY = {
    "latent": lambda vae, X, **kw: LatentDisplay.from_estimator(
        vae, X, np.arange(len(X)) % 3, **kw
    ),
    "training": lambda vae, X, **kw: TrainingCurveDisplay.from_estimator(vae, **kw),
}
WITH_VAE = {**OF_IMAGES, **OF_ANY}
each = pytest.mark.parametrize("draw", WITH_VAE.values(), ids=WITH_VAE)


def detector(vae, X):
    return VAEDetector(FrozenEstimator(vae)).fit((0.9 * X).astype(X.dtype))  # not seen


def error_map(vae, X, **kw):
    return ErrorMapDisplay.from_estimator(detector(vae, X), X, **kw)


everything = pytest.mark.parametrize(
    "draw", [*WITH_VAE.values(), error_map], ids=[*WITH_VAE, "error_map"]
)


def drawn(display):
    """Return the numbers that a display shows."""
    if hasattr(display, "im_"):
        return [display.im_.get_array()]
    if hasattr(display, "scatter_"):
        return [display.scatter_.get_offsets(), display.scatter_.get_array()]
    return [line.get_xydata() for line in display.lines_["loss"].values()]


def assert_same(a, b):
    for x, y in zip(drawn(a), drawn(b), strict=True):
        assert_array_equal(np.ma.filled(x, -1), np.ma.filled(y, -1))


@everything
def test_the_given_axes_are_used_and_no_others(fitted, images, ax, draw):
    bystanders = [a for a in ax.figure.axes if a is not ax]
    display = draw(fitted, images[:20], ax=ax)
    display.figure_.canvas.draw()
    assert display.figure_ is ax.figure
    assert ax.has_data()
    assert not any(a.has_data() for a in bystanders)
    assert len(plt.get_fignums()) == 1
    if hasattr(display, "ax_"):
        assert display.ax_ is ax
    else:
        assert list(display.axes_) == [ax]


@everything
def test_without_axes_there_is_one_figure_of_its_own(fitted, images, draw):
    mine = plt.figure()
    display = draw(fitted, images[:20])
    display.figure_.canvas.draw()  # layout warnings are errors
    assert plt.get_fignums() == [mine.number, display.figure_.number]
    assert not mine.axes


@everything
def test_plot_again_returns_self_and_draws_the_same(fitted, images, ax, draw):
    display = draw(fitted, images[:20])
    first = drawn(display)
    assert display.plot(ax=ax) is display
    for before, after in zip(first, drawn(display), strict=True):
        assert_array_equal(np.ma.filled(before, -1), np.ma.filled(after, -1))


@everything
def test_data_weights_and_random_states_stay_as_they_are(images, draw):
    vae = tiny().fit(images)
    X, before = images[:20].copy(), weights(vae)
    attributes, state = set(vars(vae)), torch.get_rng_state()
    draw(vae, X)
    assert_array_equal(X, images[:20])
    assert set(vars(vae)) == attributes
    assert all(torch.equal(w, before[name]) for name, w in weights(vae).items())
    assert torch.equal(torch.get_rng_state(), state)


@each
def test_it_finds_the_vae_in_pipelines_and_frozen_estimators(images, labels, draw):
    halved = images / 2  # the pipeline's first step doubles
    pipeline = Pipeline(
        [
            ("double", FunctionTransformer(lambda X: X * 2)),
            ("nothing", "passthrough"),
            ("vae", tiny()),
            ("head", LogisticRegression()),
        ]
    ).fit(halved, labels)
    vae = pipeline["vae"]
    alone = draw(vae, images[:20])
    frozen = make_pipeline(FunctionTransformer(lambda X: X * 2), FrozenEstimator(vae))
    for holder in (pipeline, frozen, make_pipeline(pipeline[:2], make_pipeline(vae))):
        assert_same(draw(holder, halved[:20]), alone)
    assert_same(draw(FrozenEstimator(vae), images[:20]), alone)
    assert_same(draw(FrozenEstimator(pipeline), halved[:20]), alone)


def test_the_error_map_finds_the_detector_in_a_pipeline(images):
    pipeline = make_pipeline(
        FunctionTransformer(lambda X: X * 2), VAEDetector(tiny(), random_state=0)
    )
    pipeline.fit(images / 2)
    through = ErrorMapDisplay.from_estimator(pipeline, images / 2)
    alone = ErrorMapDisplay.from_estimator(FrozenEstimator(pipeline[-1]), images)
    assert_same(through, alone)
    assert_array_equal(through.errors, pipeline[-1].error_map(images[:10]))


@each
def test_what_holds_no_vae_is_refused_with_a_remedy(fitted, images, labels, draw):
    with pytest.raises(TypeError, match=r"needed.*got LogisticRegression.*Pass the fitted VAETr"):
        draw(LogisticRegression().fit(images.reshape(200, -1), labels), images[:20])
    with pytest.raises(TypeError, match=r"got VAEDetector\. Pass its vae_"):
        draw(detector(fitted, images), images[:20])
    pipeline = make_pipeline(FrozenEstimator(fitted), LogisticRegression())
    search = GridSearchCV(pipeline, {"logisticregression__C": [1]}, cv=2).fit(images, labels)
    with pytest.raises(TypeError, match=r"got GridSearchCV\. Pass its best_estimator_"):
        draw(search, images[:20])
    with pytest.raises(NotFittedError):
        draw(tiny(), images[:20])
    assert not plt.get_fignums()


def test_the_error_map_wants_a_detector(fitted, images):
    with pytest.raises(TypeError, match=r"got VAETransformer.*VAEDetector\(FrozenEstimator\(vae\)"):
        ErrorMapDisplay.from_estimator(fitted, images)
    with pytest.raises(NotFittedError):
        ErrorMapDisplay.from_estimator(VAEDetector(), images)
    assert not plt.get_fignums()


@pytest.mark.parametrize("draw", [*OF_IMAGES.values(), error_map], ids=[*OF_IMAGES, "error_map"])
def test_a_vae_of_vectors_has_no_images(rows, draw):
    vae = tiny().fit(rows - 0.5)
    with pytest.raises(ValueError, match=r"rows of 64 values.*image_shape=\(height, width"):
        draw(vae, rows[:20] - 0.5)
    assert not plt.get_fignums()


@pytest.mark.parametrize("draw", OF_ANY.values(), ids=OF_ANY)
def test_what_needs_no_images_takes_a_vae_of_vectors(rows, draw):
    assert draw(tiny().fit(rows - 0.5), rows[:20] - 0.5).figure_.axes


@everything
def test_a_missing_matplotlib_is_named_with_its_extra(fitted, images, monkeypatch, draw):
    display = draw(fitted, images[:20])
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    name = type(display).__name__
    with pytest.raises(ImportError, match=rf"{name}.plot.*pip install \"sklearn-vae\[plot\]\""):
        display.plot()
    with pytest.raises(ImportError, match=rf"{name}.from_estimator.*\"sklearn-vae\[plot\]\""):
        draw(fitted, images[:20])


@pytest.mark.parametrize("draw", [*OF_IMAGES.values(), error_map], ids=[*OF_IMAGES, "error_map"])
@pytest.mark.parametrize(
    "shape, dtype",
    [((9, 12), "uint8"), ((9, 12, 3), "uint8"), ((3, 9, 12), "float32"), ((9, 12, 4), "float64")],
    ids=str,
)
def test_images_of_every_kind_are_drawn_at_their_aspect(shape, dtype, draw):
    X = synthetic_images(30, *shape, dtype=dtype)
    flat = X.reshape(30, -1)
    display = draw(tiny().fit(X), X)
    assert_same(draw(tiny(image_shape=shape).fit(flat), flat), display)
    display.figure_.canvas.draw()
    corners = display.ax_.transData.transform([(0, 0), (1, 1)])
    width, height = np.abs(corners[1] - corners[0])
    assert height / width == pytest.approx(9 / 12, rel=0.02)


@pytest.mark.parametrize("draw", [*OF_IMAGES.values(), error_map], ids=[*OF_IMAGES, "error_map"])
def test_other_channels_than_one_three_or_four_are_refused(draw):
    X = synthetic_images(30, 9, 9, 2)
    with pytest.raises(ValueError, match="2 channels"):
        draw(tiny().fit(X), X)
    assert not plt.get_fignums()


@pytest.mark.parametrize("draw", OF_IMAGES.values(), ids=OF_IMAGES)
def test_keywords_reach_matplotlib(fitted, images, draw):
    display = draw(fitted, images, cmap="magma", vmax=0.5)
    assert display.im_.get_cmap().name == "magma"
    assert display.im_.get_clim() == (0, 0.5)
    assert draw(fitted, images).im_.get_clim() == (0, 1)


def test_data_frames_torch_tensors_datasets_and_lists(images, rows):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(rows, columns=[f"p{i}" for i in range(64)])
    of_rows = tiny(image_shape=(8, 8)).fit(frame)
    expected = of_rows.reconstruct(frame)
    display = ReconstructionDisplay.from_estimator(of_rows, frame)  # no warning of names
    assert_array_equal(display.reconstructions, expected[:10])
    X = torch.from_numpy(images.astype(np.float32))
    vae = tiny().fit(X)
    of_tensor = ReconstructionDisplay.from_estimator(vae, X)
    assert_array_equal(of_tensor.images, X[:10].numpy())
    for other in (torch.utils.data.TensorDataset(X), X.numpy(), X.tolist()):
        assert_same(ReconstructionDisplay.from_estimator(vae, other), of_tensor)


def test_a_scaler_before_the_vae_is_applied(rows):
    pipeline = make_pipeline(MinMaxScaler(clip=True), tiny(image_shape=(8, 8))).fit(rows * 16 - 3)
    display = ReconstructionDisplay.from_estimator(pipeline, rows * 16 - 3, n_images=5)
    assert_array_equal(display.images, pipeline[0].transform(rows * 16 - 3)[:5])

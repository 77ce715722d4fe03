"""ONNX models do what the estimators do, by another runtime: onnxruntime."""

import copy
import sys
from contextlib import suppress
from functools import cache, partial
from importlib import import_module

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
import skl2onnx
import torch
from helpers import same_weights, synthetic_images, tiny, weights
from imblearn.pipeline import make_pipeline as make_imblearn_pipeline
from PIL import Image
from skl2onnx.common.data_types import FloatTensorType, UInt8TensorType
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import BaggingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from torchvision.models import SqueezeNet1_1_Weights

import sklearn_vae.onnx
from sklearn_vae import BackboneTransformer, VAEAugmenter, VAEClassifier, VAEDetector
from sklearn_vae.datasets import ImageReader
from sklearn_vae.model import IAF
from sklearn_vae.nn import Conv, Patches, ResNet
from sklearn_vae.onnx import to_onnx

SMALL = Conv((4, 8), batch_norm=True)
not_by_the_oldest = pytest.mark.skipif(
    torch.__version__.startswith("2.6."),
    reason="torch 2.6 cannot export it, or not without warnings",
)

CASES = {  # maps of 16 x 18 and 8 x 9 do not divide into 4 x 4
    "conv": ((33, 36, 3), "uint8", {"network": "conv", "features": "hidden"}),
    "large": ((66, 70, 3), "uint8", {"network": "auto", "features": "hidden"}),
    "resnet": ((10, 12), "uint8", {"network": ResNet((4, 8)), "features": "hidden"}),
    "patches": ((12, 13, 3), "uint8", {"network": Patches(SMALL, 5), "features": "hidden"}),
    "symmetric": ((11, 12), "uint8", {"network": SMALL, "symmetry": "both"}),
    "conv-bn": ((16, 14), "float64", {"network": "conv-bn", "likelihood": "bce+mse"}),
    "mlp": ((5,), "float64", {"network": "mlp", "features": "mean+std"}),
    "flow": ((8, 8), "float32", {"posterior": IAF(n_hidden=9), "features": "mean+std"}),
    "integers": ((4,), "float64", {"network": "mlp"}),
    "flattened": ((300,), "uint8", {"network": SMALL, "image_shape": (10, 10, 3)}),
    "bool": ((9, 8), "bool", {"features": "hidden", "likelihood": "discretized-logistic"}),
}


@pytest.fixture(scope="module", autouse=True)
def _one_registry():
    """torch's exporter reads the sources of its operators anew for each model: once will do."""
    with pytest.MonkeyPatch.context() as patch:
        with suppress(ImportError, AttributeError):  # what is private there may go
            registry = import_module("torch.onnx._internal.exporter._registration").ONNXRegistry
            patch.setattr(registry, "from_torchlib", staticmethod(cache(registry.from_torchlib)))
        yield


def fit(name):
    shape, dtype, changes = CASES[name]
    X = synthetic_images(24, *shape, dtype=dtype)
    if name == "mlp":
        X = X * [1, 10, 100, 1e-3, 5] + [0, 5, -1e4, 1, 3]
    if name == "integers":
        X = (X * 1000).astype(np.uint16)
    return tiny(**changes, lr=0.01).fit(X), X


def run(model, X):
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    (source,) = session.get_inputs()
    return session.run(None, {source.name: X})


def check_export(model, names, opset):
    (source,), (target,) = model.graph.input, model.graph.output
    assert (source.name, target.name) == names
    assert model.opset_import[0].version == opset
    bare = copy.deepcopy(model)
    del bare.graph.initializer[:]  # of twenty megabytes of weights, some may spell anything
    assert b".py" not in bare.SerializeToString()  # traces of this machine


@pytest.mark.parametrize(
    "name", ["conv", "conv-bn", "symmetric", "mlp", "flow", "integers", "flattened"]
)
def test_the_encoder_is_transform(name, capfd):
    vae, X = fit(name)
    before, state, generator = dict(vars(vae)), weights(vae), torch.get_rng_state()
    model = to_onnx(vae)
    assert capfd.readouterr() == ("", "")
    assert vars(vae) == before
    assert same_weights(vae, state)
    assert torch.equal(torch.get_rng_state(), generator)
    check_export(model, ("X", "Z"), 18)
    for n in (1, 7):
        Z = vae.transform(X[:n])
        (found,) = run(model, X[:n])
        assert (found.dtype, found.shape) == (Z.dtype, Z.shape)
        np.testing.assert_allclose(found, Z, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "name", ["conv", pytest.param("large", marks=not_by_the_oldest), "conv-bn", "mlp", "bool"]
)
def test_the_decoder_is_inverse_transform(name):
    vae, _ = fit(name)
    model = to_onnx(vae, "decoder", target_opset=20)
    check_export(model, ("Z", "X"), 20)
    for n in (1, 7):
        Z = np.random.default_rng(n).normal(size=(n, 3)).astype(np.float32)
        X = vae.inverse_transform(Z)
        (found,) = run(model, Z)
        assert (found.dtype, found.shape) == (X.dtype, X.shape)
        if X.dtype.kind == "f":
            np.testing.assert_allclose(found, X, atol=1e-4 * np.ptp(X))
        else:  # rounding may tip at one half
            assert (found == X).mean() > 0.999
            assert np.abs(found.astype(float) - X).max() <= 1


@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_the_default_device_of_torch_changes_nothing(fitted, part):
    expected = to_onnx(fitted, part=part).SerializeToString()
    with torch.device("meta"):
        assert to_onnx(fitted, part=part).SerializeToString() == expected


def test_what_cannot_be_exported_is_refused(fitted):
    with pytest.raises(TypeError, match=r"Pipeline.*register"):
        to_onnx(make_pipeline(fitted))
    with pytest.raises(NotFittedError):
        to_onnx(tiny())
    with pytest.raises(ValueError, match="part='generator'"):
        to_onnx(fitted, "generator")
    with pytest.raises(ValueError, match=r"target_opset=17: .* 18 or later"):
        to_onnx(fitted, target_opset=17)
    with pytest.raises(ValueError, match="features='median'"):
        to_onnx(copy.copy(fitted).set_params(features="median"))


@pytest.fixture(scope="module")
def registered():
    sklearn_vae.onnx.register()
    sklearn_vae.onnx.register()  # twice is as good as once


# skl2onnx 1.20 reads probA_, deprecated in scikit-learn 1.9.
@pytest.mark.filterwarnings("ignore:Attribute `prob[AB]_` was deprecated:FutureWarning")
@pytest.mark.usefixtures("registered")
def test_a_pipeline_with_svc_becomes_one_file(images, labels, fitted):
    pipeline = make_pipeline(FrozenEstimator(fitted), StandardScaler(), SVC()).fit(images, labels)
    model = skl2onnx.to_onnx(pipeline, images[:1], options={"zipmap": False})
    assert model.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.DOUBLE
    for n in (1, 7, 200):
        found, scores = run(model, images[:n])
        np.testing.assert_array_equal(found, pipeline.predict(images[:n]))
        np.testing.assert_allclose(scores, pipeline.decision_function(images[:n]), atol=1e-4)
    assert len(np.unique(found)) > 3


@pytest.mark.usefixtures("registered")
def test_two_vaes_in_one_file():
    X = synthetic_images(60, 8, 9, 3, dtype="uint8")
    y = np.digitize(X.mean((1, 2, 3)), [110, 145])
    union = make_union(tiny(network=SMALL), tiny(z_dim=2, random_state=1, features="mean+std"))
    pipeline = make_pipeline(union, LogisticRegression(max_iter=1000)).fit(X, y)
    model = skl2onnx.to_onnx(pipeline, X[:1], options={"zipmap": False})
    assert model.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8
    for n in (1, 7, 60):
        found, probabilities = run(model, X[:n])
        np.testing.assert_array_equal(found, pipeline.predict(X[:n]))
        np.testing.assert_allclose(probabilities, pipeline.predict_proba(X[:n]), atol=1e-4)
    assert len(np.unique(found)) > 1


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize(
    ("types", "match"),
    [
        ([("X", FloatTensorType())], r"shape \[\],.*\[None, 8, 8\]"),
        ([("X", FloatTensorType([None, 64]))], r"\[None, 64\].*\[None, 8, 8\]"),
        ([("X", UInt8TensorType([None, 8, 8]))], "dtype uint8.*fitted on float64"),
        ([("a", FloatTensorType([None, 8, 8])), ("b", FloatTensorType([None, 1]))], "got 2.*numpy"),
    ],
)
def test_input_types_that_do_not_fit_are_refused(fitted, types, match):
    with pytest.raises(ValueError, match=match):
        skl2onnx.to_onnx(fitted, initial_types=types)


FLAT = {"image_shape": (8, 8)}


def augmented(classifier, **changes):
    """A classifier on real and synthetic rows of 8 x 8 pixels."""
    settings = {"vae": tiny(**FLAT), "n_new": 2, "random_state": 0}
    return VAEAugmenter(classifier, **{**settings, **changes})


INSIDE = {
    "augmenter": lambda: augmented(make_pipeline(tiny(**FLAT), LogisticRegression())),
    "search": lambda: GridSearchCV(augmented(LogisticRegression()), {"n_new": [1, 2]}, cv=2),
    "pipeline": lambda: make_pipeline(
        StandardScaler(with_std=False), augmented(LogisticRegression(), vae=tiny())
    ),
    "bagging": lambda: BaggingClassifier(augmented(LogisticRegression()), 2, random_state=0),
    "calibrated": lambda: make_pipeline(
        tiny(**FLAT), CalibratedClassifierCV(LogisticRegression(), cv=2)
    ),
}


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize("name", INSIDE)
def test_what_is_inside_is_converted(name, rows, labels):
    X, y = rows.astype(np.float32), labels % 3
    model = INSIDE[name]().fit(X, y)
    found, _ = run(skl2onnx.to_onnx(model, X[:1]), X)
    np.testing.assert_array_equal(found, model.predict(X))
    assert len(np.unique(found)) > 1


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize(
    "inner",
    [StandardScaler(), LogisticRegression(), make_pipeline(tiny(**FLAT), LogisticRegression())],
    ids=lambda inner: type(inner).__name__,
)
def test_frozen_estimators_of_all_kinds_are_converted(inner, rows, labels):
    X, y = rows.astype(np.float32), labels % 3
    model = FrozenEstimator(inner.fit(X, y))
    if not hasattr(model, "predict"):
        model = make_pipeline(model, LogisticRegression()).fit(X, y)
    np.testing.assert_array_equal(run(skl2onnx.to_onnx(model, X[:1]), X)[0], model.predict(X))


@not_by_the_oldest
@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize(
    ("form", "classes"),
    [("images", [3, 5, 8]), ("rows", ["a", "b", "c"]), ("behind a step", [1.0, 2.0, 3.0])],
)
def test_a_classifier_is_converted(form, classes, rows, labels):
    X = rows.astype(np.float32)
    steps = [StandardScaler()] if form == "behind a step" else []
    vae = tiny(image_shape=(8, 8)) if form == "images" else tiny()
    y = np.array(classes, dtype=object)[labels % 3]
    y[::2] = -1
    model = make_pipeline(*steps, VAEClassifier(vae, random_state=0)).fit(X, y)
    options = {"zipmap": False} if form == "behind a step" else None  # arrays come out either way
    found, probabilities = run(skl2onnx.to_onnx(model, X[:1], options=options), X)
    np.testing.assert_allclose(probabilities, model.predict_proba(X), atol=1e-5)
    np.testing.assert_array_equal(found, model.predict(X))
    with pytest.raises(TypeError, match=r"register\(\) once, then skl2onnx.to_onnx\(classifier"):
        to_onnx(model[-1])


@pytest.mark.usefixtures("registered")
def test_options_reach_what_is_inside(rows, labels):
    X = rows.astype(np.float32)
    model = augmented(LogisticRegression()).fit(X, labels % 3)
    _, probabilities = run(
        skl2onnx.to_onnx(model, X[:1], options={id(model): {"zipmap": False}}), X
    )
    np.testing.assert_allclose(probabilities, model.predict_proba(X), atol=1e-5)


@pytest.mark.usefixtures("registered")
def test_remedies_for_other_estimators_work(rows, labels, fitted):
    """Each message is followed as it is written."""
    X, y = rows.astype(np.float32), labels % 3

    def message(call, estimator):
        with pytest.raises(TypeError) as error:
            call(estimator)
        return str(error.value)

    def convert(estimator):
        return skl2onnx.to_onnx(estimator, X[:1])

    detector = VAEDetector(tiny(**FLAT), method="elbo").fit(X)
    for call in (to_onnx, convert):
        assert "VAEDetector has no ONNX form" in message(call, detector)
        assert "to_onnx(vae) for vae in detector.vaes_" in message(call, detector)
    for vae in detector.vaes_:
        np.testing.assert_allclose(run(to_onnx(vae), X)[0], vae.transform(X), atol=1e-4)
    frozen = FrozenEstimator(fitted)
    assert "to_onnx(frozen.estimator)" in message(to_onnx, frozen)
    check_export(to_onnx(frozen.estimator), ("X", "Z"), 18)
    augmenter = augmented(LogisticRegression()).fit(X, y)
    assert "skl2onnx.to_onnx(augmenter.estimator_, X[:1])" in message(to_onnx, augmenter)
    convert(augmenter.estimator_)
    pipeline = make_imblearn_pipeline(
        StandardScaler(), augmented(None, vae=tiny()), LogisticRegression()
    )
    pipeline.fit(X, y)
    for call in (to_onnx, convert):
        assert "Convert the pipeline that it is in" in message(call, pipeline[1])
    np.testing.assert_array_equal(run(convert(pipeline), X)[0], pipeline.predict(X))
    options = {id(pipeline): {"zipmap": False}}
    _, probabilities = run(skl2onnx.to_onnx(pipeline, X[:1], options=options), X)
    np.testing.assert_allclose(probabilities, pipeline.predict_proba(X), atol=1e-5)


@pytest.mark.usefixtures("registered")
def test_what_stands_behind_a_reader_of_files_is_converted(tmp_path, rows):
    paths = np.array([str(tmp_path / f"{i}.png") for i in range(12)])
    for path, row in zip(paths, rows, strict=False):
        Image.fromarray((255 * row).astype(np.uint8).reshape(8, 8)).save(path)
    pipeline = make_pipeline(ImageReader(8, mode="L"), tiny()).fit(paths)
    for refused in (partial(skl2onnx.to_onnx, pipeline, paths[:1]), partial(to_onnx, pipeline[0])):
        with pytest.raises(TypeError, match=r"Convert what is behind it: pipeline\[1:\], with"):
            refused()
    X = pipeline[0].transform(paths)
    (found,) = run(skl2onnx.to_onnx(pipeline[1:], X[:1]), X)
    np.testing.assert_allclose(found, pipeline.transform(paths), atol=1e-4)


@pytest.mark.usefixtures("registered")
def test_remedies_for_inputs_and_opsets_work(rows, labels, fitted):
    frame = pd.DataFrame(rows.astype(np.float32)).add_prefix("p")
    pipeline = make_pipeline(tiny(**FLAT), LogisticRegression()).fit(frame, labels % 3)
    with pytest.raises(ValueError, match=r"got 64.*convert with X\[:1\]\.to_numpy\(\)"):
        skl2onnx.to_onnx(pipeline, frame[:1])
    model = skl2onnx.to_onnx(pipeline, frame[:1].to_numpy())
    np.testing.assert_array_equal(run(model, frame.to_numpy())[0], pipeline.predict(frame))
    with pytest.raises(
        ValueError, match=r"initial_types=\[\('X', \.\.\.TensorType\(\[None, 8, 8\]"
    ):
        skl2onnx.to_onnx(fitted, initial_types=[("X", FloatTensorType([None, 64]))])
    skl2onnx.to_onnx(fitted, initial_types=[("X", FloatTensorType([None, 8, 8]))])
    with pytest.raises(ValueError, match=r"target_opset=99: .*made 18\. Ask for that"):
        to_onnx(fitted, target_opset=99)
    assert to_onnx(fitted, target_opset=18).opset_import[0].version == 18


@pytest.mark.parametrize("name", ["onnx", "onnxscript"])
def test_a_missing_package_names_the_extra(monkeypatch, name):
    monkeypatch.delitem(sys.modules, "sklearn_vae.onnx")
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=rf"{name}.*sklearn-vae\[onnx\]"):
        import_module("sklearn_vae.onnx")


def test_a_missing_converter_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "skl2onnx", None)
    with pytest.raises(ImportError, match=r"skl2onnx.*sklearn-vae\[onnx\]"):
        sklearn_vae.onnx.register()


def test_integers_that_float32_would_round_keep_their_digits():
    X = np.random.default_rng(0).integers(0, 100_000, (200, 3)) + 1_700_000_000_000
    vae = tiny().fit(X)
    session = onnxruntime.InferenceSession(to_onnx(vae).SerializeToString())
    (Z,) = session.run(None, {"X": X})
    np.testing.assert_allclose(Z, vae.transform(X), atol=1e-5)


def to_16(x):
    """Resize as a user's preprocessing may, antialiased."""
    how = {"mode": "bicubic", "antialias": True}
    return (torch.nn.functional.interpolate(x.float(), (16, 16), **how).clamp(0, 255) - 127) / 128


def convolutions():
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 6, 3, 2, 1), torch.nn.ReLU(inplace=True), torch.nn.Conv2d(6, 8, 3, 2, 1)
    )


EXACT = {"device": "cpu", "precision": "float32"}
BACKBONES = {
    "module": lambda: BackboneTransformer(convolutions(), **EXACT),
    "layers": lambda: BackboneTransformer(convolutions(), layers=["0", "1"], **EXACT),
    "resized": lambda: BackboneTransformer(convolutions(), preprocessing=to_16, **EXACT),
    "by name": lambda: BackboneTransformer(
        "squeezenet1_1",
        weights=None,
        layers="features.3",
        **EXACT,
        preprocessing=SqueezeNet1_1_Weights.DEFAULT.transforms(resize_size=40, crop_size=32),
    ),
}


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize(
    "name", ["module", *(pytest.param(n, marks=not_by_the_oldest) for n in [*BACKBONES][1:])]
)
def test_a_backbone_is_converted(name):
    X = synthetic_images(7, 20, 24, 3, dtype="uint8")
    backbone = BACKBONES[name]().fit(X)
    (features,) = run(skl2onnx.to_onnx(backbone, X[:1], target_opset=18), X)
    expected = backbone.transform(X)
    np.testing.assert_allclose(features, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


@pytest.mark.usefixtures("registered")
def test_a_backbone_a_vae_and_a_head_are_one_model():
    X = synthetic_images(40, 20, 24, 3, dtype="uint8")
    vae = tiny(likelihood="gaussian")
    pipeline = make_pipeline(BACKBONES["module"](), vae, LogisticRegression())
    pipeline.fit(X, np.arange(40) % 2)
    model = skl2onnx.to_onnx(pipeline, X[:1], target_opset=18, options={"zipmap": False})
    _, probabilities = run(model, X)
    np.testing.assert_allclose(probabilities, pipeline.predict_proba(X), atol=1e-4)

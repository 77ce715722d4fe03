"""ONNX models do what the estimators do, by another runtime: onnxruntime."""

import copy
import sys
from importlib import import_module

import numpy as np
import onnx
import onnxruntime
import pytest
import skl2onnx
import torch
from helpers import same_weights, synthetic_images, tiny, weights
from skl2onnx.common.data_types import FloatTensorType, UInt8TensorType
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import sklearn_vae.onnx
from sklearn_vae.model import IAF
from sklearn_vae.nn import Conv, Patches, ResNet
from sklearn_vae.onnx import to_onnx

SMALL = Conv((4, 8), batch_norm=True)

CASES = {  # maps of 16 x 18 and 8 x 9 do not divide into 4 x 4
    "conv": ((33, 36, 3), "uint8", {"network": "conv", "features": "hidden"}),
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


@pytest.mark.parametrize("name", ["conv", "conv-bn", "mlp", "bool"])
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


def test_refuses_an_opset_that_torch_cannot_write(fitted):
    with pytest.raises(ValueError, match="target_opset=99"):
        to_onnx(fitted, target_opset=99)

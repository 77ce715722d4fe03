"""The estimators' contract on input that nobody thought of.

For any shape, dtype, stride, label kind and combination of parameters there are two outcomes. One
is an error before any training, that names a parameter or a remedy. The other is finite results of
the right shape, the same for the same seed and after a pickle round trip, row by row, X untouched.
"""

import pickle
import re
import warnings

import numpy as np
import pytest
from helpers import budget, same_weights
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from torch import nn

from sklearn_vae import (
    BackboneTransformer,
    VAEAugmenter,
    VAEClassifier,
    VAEDetector,
    VAETransformer,
)
from sklearn_vae.nn import MLP, Conv
from sklearn_vae.training._net import VAENet

QUICK = {"z_dim": 3, "max_epochs": 1, "device": "cpu"}
RANDOM = settings(
    max_examples=budget(40),
    deadline=None,
    derandomize=budget(1) == 1,  # the same cases in every run of the suite, others in a long one
    database=None,
    suppress_health_check=list(HealthCheck),
)
REMEDY = re.compile(
    r"\b(use|set|pass|give|choose|scale|divide|convert|mend|drop|leave|label|need|make|add|clip|map|"
    r"reshape|stack|encode|impute|instead|required|undo|replace|recode|take|let)\b|\bX\b[.)[ ]",
    re.IGNORECASE,
)
"""What to do, or an expression in X that does it."""
ALLOWED = (ValueError, TypeError, FloatingPointError, MemoryError)


# -- inputs --------------------------------------------------------------------------------------


@st.composite
def shapes(draw):
    n = draw(st.sampled_from([17, 8, 5, 3, 2, 1]))
    h, w = draw(st.sampled_from([8, 9, 12, 7])), draw(st.sampled_from([8, 11]))
    c = draw(st.integers(1, 5))
    usual = [(n, h, w), (n, h, w, c), (n, c, h, w), (n, h * w)]
    rare = [(n, 33, 8 * w // 3 + 10), (n, 1), (n, 5), (n,), (h, w, c, n, 2)]
    return draw(st.sampled_from([*usual * 4, *rare]))


RANGES = {
    "unit": lambda rng, shape: rng.random(shape),
    "levels": lambda rng, shape: rng.integers(0, 256, shape).astype(float),
    "binary": lambda rng, shape: (rng.random(shape) < 0.3).astype(float),
    "signed": lambda rng, shape: rng.random(shape) * 2 - 1,
    "wide": lambda rng, shape: rng.normal(3, 100, shape),
    "constant": lambda rng, shape: np.full(shape, 0.5),
    "zero": lambda rng, shape: np.zeros(shape),
    "huge": lambda rng, shape: rng.normal(0, 1e30, shape),
    "tiny": lambda rng, shape: rng.random(shape) * 1e-30,
    "nan": lambda rng, shape: np.where(rng.random(shape) < 0.1, np.nan, 0.5),
    "inf": lambda rng, shape: np.where(rng.random(shape) < 0.1, np.inf, 0.5),
}
DTYPES = ("u1", "?", "f2", "f4", "f8", ">f4", ">f8", "i1", "u2", "i2", "i8", "g", "O", "c8", "U5")


def strided(X, how):
    """Return the same values in another layout of memory."""
    if how == "F":
        return np.asfortranarray(X)
    if how == "reversed":
        return X[::-1].copy()[::-1]
    if how == "every second":
        return np.repeat(X, 2, axis=0)[::2]
    if how == "last axis":
        return np.repeat(X, 2, axis=-1)[..., ::2]
    if how == "read-only":
        X = X.copy()
        X.setflags(write=False)
    if how == "broadcast":
        return np.broadcast_to(X[:1], X.shape)
    return X


SANE = (("u1", "levels"), ("?", "binary"), ("f2", "unit"), ("f4", "unit"), ("f8", "unit"))


@st.composite
def arrays(draw):
    """Return an array that looks like images in half of the cases, else of anything."""
    shape, any_dtype = draw(shapes()), st.sampled_from(DTYPES[:5] * 4 + DTYPES)
    sane = st.sampled_from(SANE)
    dtype, kind = draw(st.one_of(sane, st.tuples(any_dtype, st.sampled_from(list(RANGES)))))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        X = RANGES[kind](rng, shape)
        if np.dtype(dtype).kind in "ui":
            X = np.nan_to_num(X, nan=0, posinf=9, neginf=0)
        X = X.astype(dtype)
    how = ("C", "C", "F", "reversed", "every second", "last axis", "read-only", "broadcast")
    return strided(X, draw(st.sampled_from(how)))


LABELS = {
    "none": lambda n, rng: None,
    "ints": lambda n, rng: np.arange(n) % 2,
    "some unlabelled": lambda n, rng: np.where(np.arange(n) % 3, np.arange(n) % 2, -1),
    "strings": lambda n, rng: np.array(["cat", "dog"])[np.arange(n) % 2],
    "objects": lambda n, rng: np.array(["cat", -1, "dog"], object)[np.arange(n) % 3],
    "text of -1": lambda n, rng: np.array(["cat", "-1", "dog"])[np.arange(n) % 3],
    "bools": lambda n, rng: np.arange(n) % 2 == 0,
    "floats": lambda n, rng: (np.arange(n) % 3).astype(float),
    "real": lambda n, rng: rng.random(n),
    "nan": lambda n, rng: np.where(np.arange(n) % 3, np.arange(n) % 2, np.nan),
    "None": lambda n, rng: np.array([0, None, 1], object)[np.arange(n) % 3],
    "one": lambda n, rng: np.zeros(n, int),
    "signs": lambda n, rng: np.where(np.arange(n) % 2, 1, -1),
    "one-hot": lambda n, rng: np.eye(2, dtype=int)[np.arange(n) % 2],
    "column": lambda n, rng: (np.arange(n) % 2)[:, None],
    "short": lambda n, rng: np.arange(max(1, n - 1)) % 2,
    "multilabel": lambda n, rng: np.ones((n, 3), int),
}
PARAMETERS = {
    "z_dim": st.sampled_from([1, 3, 40]),
    "network": st.sampled_from(["auto", "mlp", MLP((8,)), Conv((4,)), Conv((4,), batch_norm=True)]),
    "image_shape": st.sampled_from([None, None, (8, 8), (8, 8, 1), (3, 8, 8)]),
    "likelihood": st.sampled_from(
        ["auto", "bernoulli", "gaussian", "gaussian-learnt", "discretized-logistic", "bce+mse"]
    ),
    "prior": st.sampled_from(["normal", "normal", "mixture", "vamp"]),
    "posterior": st.sampled_from(["normal", "normal", "iaf"]),
    "beta": st.sampled_from([0, 1.0, 10]),
    "kl_warmup": st.sampled_from([0, 2]),
    "free_bits": st.sampled_from([0, 0.1]),
    "importance_samples": st.sampled_from([1, 1, 2]),
    "label_weight": st.sampled_from([0, 0, 1.0]),
    "contrastive_weight": st.sampled_from([0, 0, 1.0]),
    "augment": st.sampled_from(["auto", None, "geometric", "natural", "strong", 0.1]),
    "features": st.sampled_from(["mean", "mean+std", "hidden"]),
    "symmetry": st.sampled_from([None, None, "horizontal", "both"]),
    "batch_size": st.sampled_from([1, 2, 5, 256]),
    "lr_schedule": st.sampled_from(["cosine", "constant"]),
    "optimizer": st.sampled_from(["adam", "sgd"]),
    "validation_fraction": st.sampled_from([None, None, 0, 0.4]),
    "patience": st.sampled_from([None, None, 1]),
    "precision": st.sampled_from(["float32", "bfloat16", "auto"]),
    "verbose": st.just(0),
}


@st.composite
def parameters(draw):
    """Return some of the parameters, the others at their defaults: most combinations can work."""
    names = draw(st.sets(st.sampled_from(sorted(PARAMETERS)), max_size=6))
    return {name: draw(PARAMETERS[name]) for name in sorted(names)}


@st.composite
def data(draw):
    X = draw(arrays())
    rng = np.random.default_rng(0)
    return X, LABELS[draw(st.sampled_from(sorted(LABELS)))](len(X), rng)


def tripled(x):
    """Preprocessing that grows images and works in place."""
    return x.float().mul_(2).repeat_interleave(3, -1)


# -- the contract --------------------------------------------------------------------------------


@pytest.fixture
def trainings(monkeypatch):
    """Trainings that have begun."""
    begun = []
    train = VAENet.train

    def noted(self, *args):
        begun.append(self)
        return train(self, *args)

    monkeypatch.setattr(VAENet, "train", noted)
    return begun


def copies(*values):
    return [None if v is None else (v.tobytes(), v.dtype, v.shape) for v in values]


def fitted(estimator, X, y, trainings):
    """Return the fitted estimator, or None where it says before any training why not."""
    del trainings[:]
    before = copies(X, y) if X.dtype != object else None
    unfitted = set(vars(estimator))
    refused = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            estimator.fit(X, y)
        except ALLOWED as error:
            refused = error
    if before is not None:
        assert copies(X, y) == before
    if refused is None:
        return estimator
    assert set(vars(estimator)) == unfitted
    message = str(refused)
    if not isinstance(refused, FloatingPointError):  # which training itself finds
        assert not trainings, f"after training: {refused!r}"
        names = estimator.get_params(deep=True)
        named = any(re.search(rf"\b{name}\b", message) for name in names)
        assert named or REMEDY.search(message), message
    assert len(message) < 1000, message
    return None


def equal(a, b, **tolerance):
    a, b = np.asarray(a), np.asarray(b)
    assert a.shape == b.shape
    if tolerance:
        np.testing.assert_allclose(a.astype(float), b.astype(float), **tolerance)
    else:
        np.testing.assert_array_equal(a, b)


def finite(values, *shape):
    values = np.asarray(values)
    assert values.shape == shape
    assert np.isfinite(values.astype(float)).all()


@RANDOM
@given(data=data(), params=parameters())
def test_a_transformer_refuses_or_works(trainings, data, params):
    X, y = data
    vae = VAETransformer(**{**QUICK, "random_state": 0, **params})
    if fitted(vae, X, y, trainings) is None:
        return
    n = len(X)
    Z = vae.transform(X)
    finite(Z, n, len(vae.get_feature_names_out()))
    finite(vae.reconstruct(X), *X.shape)
    if vae.spec_.dtype in ("uint8", "bool", "float16", "float32", "float64"):
        assert vae.reconstruct(X).dtype == vae.spec_.dtype
    finite(vae.sample(3, random_state=0), 3, *X.shape[1:])
    finite(vae.inverse_transform(np.zeros((2, vae.z_dim))), 2, *X.shape[1:])
    scores = vae.score_samples(X)
    finite(scores, n)
    again = clone(vae)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        again.fit(X, y)
    assert same_weights(vae, again)
    loaded = pickle.loads(pickle.dumps(vae))
    equal(loaded.transform(X), Z)
    equal(loaded.score_samples(X), scores)
    some = np.arange(n)[:: 2 if n > 1 else 1]
    scale = np.abs(Z).max()
    equal(vae.transform(X[some]), Z[some], rtol=1e-4, atol=1e-5 * scale + 1e-12)
    equal(vae.score_samples(X[some]), scores[some], rtol=1e-3, atol=1e-3)


@RANDOM
@given(
    data=data(),
    method=st.sampled_from(["path", "elbo", "reconstruction", "latent"]),
    contamination=st.sampled_from([0.01, 0.1, 0.5]),
    params=parameters(),
)
def test_a_detector_refuses_or_works(trainings, data, method, contamination, params):
    X, _ = data
    template = VAETransformer(**{**QUICK, **params})
    detector = VAEDetector(template, method=method, contamination=contamination, random_state=0)
    if fitted(detector, X, None, trainings) is None:
        return
    scores = detector.score_samples(X)
    finite(scores, len(X))
    assert set(detector.predict(X)) <= {-1, 1}
    equal(detector.predict(X) == 1, detector.decision_function(X) >= 0)
    equal(pickle.loads(pickle.dumps(detector)).score_samples(X), scores)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        equal(clone(detector).fit(X).score_samples(X), scores)
    if detector.n_features_in_ > 1 and X.ndim > 2:
        errors = detector.error_map(X)
        assert len(errors) == len(X)
        assert np.isfinite(errors).all()


@RANDOM
@given(
    data=data(),
    n_new=st.sampled_from(["balance", 1, 0.5, 2.0, "not minority"]),
    method=st.sampled_from(["auto", "posterior", "interpolate", "density", "conditional"]),
    wrap=st.booleans(),
    params=parameters(),
)
def test_an_augmenter_refuses_or_works(trainings, data, n_new, method, wrap, params):
    X, y = data
    template = VAETransformer(**{**QUICK, **params})
    several = y is not None and y.ndim == 1 and len({*map(str, y)} - {"-1"}) > 1
    classifier = LogisticRegression(max_iter=5) if wrap and several else None
    augmenter = VAEAugmenter(classifier, vae=template, n_new=n_new, method=method, random_state=0)
    if fitted(augmenter, X, y, trainings) is None:
        return
    label = augmenter.classes_[0]
    finite(augmenter.sample(3, y=label), 3, *X.shape[1:])
    if classifier is not None:
        assert set(augmenter.predict(X)) <= set(augmenter.classes_)
        assert np.isfinite(augmenter.score(X, y)) or y.ndim > 1
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        X_out, y_out = augmenter.fit_resample(X, y)
        X_again, y_again = clone(augmenter).fit_resample(X, y)
    equal(X_out[: len(X)], X)
    equal(y_out[: len(y)], y)
    assert len(X_out) == len(y_out) == len(X) + augmenter.is_synthetic_.sum()
    finite(X_out, *X_out.shape)
    equal(X_again, X_out)
    equal(y_again, y_out)


@RANDOM
@given(data=data(), params=parameters())
def test_a_classifier_refuses_or_works(trainings, data, params):
    X, y = data
    template = VAETransformer(**{**QUICK, **params})
    classifier = VAEClassifier(template, random_state=0)
    if fitted(classifier, X, y, trainings) is None:
        return
    n, classes = len(X), classifier.classes_.tolist()
    p = classifier.predict_proba(X)
    finite(p, n, len(classes))
    np.testing.assert_allclose(p.sum(1), 1)
    finite(classifier.predict_log_proba(X), n, len(classes))
    assert set(classifier.predict(X).tolist()) <= set(classes)
    assert -1 not in classes
    assert 0 <= classifier.score(X, y) <= 1
    equal(pickle.loads(pickle.dumps(classifier)).predict_proba(X), p)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        equal(clone(classifier).fit(X, y).predict_proba(X), p)
    some = np.arange(n)[::2]
    equal(classifier.predict_proba(X[some]), p[some], rtol=1e-3, atol=1e-4)


@RANDOM
@given(
    X=arrays(),
    layers=st.sampled_from([None, "0", ["1", "0"], "5", []]),
    pool=st.sampled_from(["mean", None]),
    image_shape=st.sampled_from([None, None, (8, 8), (8, 8, 1), (3, 8, 8)]),
    precision=st.sampled_from(["float32", "bfloat16", "auto"]),
    preprocessing=st.sampled_from([None, None, tripled]),
)
def test_a_backbone_refuses_or_works(trainings, X, **params):
    module = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU(inplace=True))
    backbone = BackboneTransformer(module, device="cpu", **params)
    if fitted(backbone, X, None, trainings) is None:
        return
    Z = backbone.transform(X)
    finite(Z, len(X), *Z.shape[1:])
    assert Z[0].size == len(backbone.get_feature_names_out())
    equal(pickle.loads(pickle.dumps(backbone)).transform(X), Z)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        equal(clone(backbone).fit(X).transform(X), Z)
    some = np.arange(len(X))[::2]
    equal(backbone.transform(X[some]), Z[some], rtol=1e-3, atol=1e-4)

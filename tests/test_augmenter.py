"""VAEAugmenter's contract, over every method and container."""

import contextlib
import pickle
import warnings

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from helpers import QUICK, Trained, synthetic_images, tiny
from imblearn.ensemble import BalancedBaggingClassifier
from imblearn.pipeline import make_pipeline as make_imblearn_pipeline
from polars.testing import assert_frame_equal, assert_series_equal
from sklearn.base import BaseEstimator, ClassifierMixin, clone, is_classifier
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_digits
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier, VotingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.svm import SVC
from torchvision.transforms import v2

from sklearn_vae import VAEAugmenter, VAEDetector, VAETransformer
from sklearn_vae.input._rows import ArrayDataset
from sklearn_vae.synthesis import (
    METHODS,
    Conditional,
    Deformation,
    Density,
    Interpolation,
    PosteriorSampling,
    QualityGate,
)

ON_ROWS = [name for name in METHODS if name != "deformation"]
COUNTS = {0: 30, 1: 20, 2: 5, 3: 2}


def augmenter(**changes):
    return VAEAugmenter(**{"vae": tiny(), "random_state": 0, **changes})


@pytest.fixture(scope="module")
def unbalanced():
    """57 digits of four classes, 30 of the first and 2 of the last."""
    X, y = load_digits(return_X_y=True)
    rows = np.concatenate([np.flatnonzero(y == c)[:n] for c, n in COUNTS.items()])
    return X[rows].reshape(-1, 8, 8) / 16, y[rows]


def count(y):
    return dict(zip(*np.unique(y, return_counts=True), strict=True))


# -- what comes out --------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", ["uint8", "bool", "float32", "float64"])
@pytest.mark.parametrize("shape", [(9, 8), (9, 8, 3), (3, 9, 8), (72,)])
def test_originals_first_exact_counts_and_range(method, dtype, shape):
    image_shape = (9, 8) if method == "deformation" and len(shape) == 1 else None
    X = synthetic_images(24, *shape, dtype=dtype)
    y = np.array(["a"] * 14 + ["b"] * 7 + ["c"] * 3)
    before = X.copy()
    sampler = augmenter(method=method, vae=tiny(image_shape=image_shape))
    X_out, y_out = sampler.fit_resample(X, y)
    assert X_out.dtype == X.dtype
    assert X_out.shape[1:] == X.shape[1:]
    np.testing.assert_array_equal(X, before)
    np.testing.assert_array_equal(X_out[:24], X)
    np.testing.assert_array_equal(y_out[:24], y)
    assert count(y_out) == {"a": 14, "b": 14, "c": 14}
    assert sampler.sampling_strategy_ == {"a": 0, "b": 7, "c": 11}
    np.testing.assert_array_equal(sampler.is_synthetic_, np.arange(len(X_out)) >= 24)
    assert X_out.min() >= X.min() or dtype == "uint8" or len(shape) > 1
    if dtype.startswith("float"):
        assert X_out.min() >= 0
        assert X_out.max() <= 1
        assert np.isfinite(X_out).all()


@pytest.mark.parametrize("method", ON_ROWS)
def test_vectors_stay_within_the_range_of_their_columns(method, rng):
    X = rng.normal(size=(40, 3)) * [1, 100, 0] + [0, -500, 7]
    X_out, _ = augmenter(method=method, n_new=2.0).fit_resample(X, np.arange(40) % 2)
    assert len(X_out) == 120
    assert (X_out >= X.min(0)).all()
    assert (X_out <= X.max(0)).all()


@pytest.mark.parametrize("method", METHODS)
def test_sources_are_rows_of_the_class(method, unbalanced):
    X, y = unbalanced
    sampler = augmenter(method=method)
    _, y_out = sampler.fit_resample(X, y)
    source = sampler.source_indices_
    np.testing.assert_array_equal(source[: len(X)], np.arange(len(X)))
    if method == "density":
        assert (source[len(X) :] == -1).all()
    else:
        np.testing.assert_array_equal(y[source[len(X) :]], y_out[len(X) :])


@pytest.mark.parametrize("method", METHODS)
def test_same_seed_same_rows_whatever_the_callers_state(method, unbalanced):
    X, y = unbalanced
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002 (the global state is the point)
    first, _ = augmenter(method=method, augment="geometric").fit_resample(X, y)
    torch.manual_seed(2)
    np.random.seed(2)  # noqa: NPY002
    state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    second, _ = augmenter(method=method, augment="geometric").fit_resample(X, y)
    np.testing.assert_array_equal(first, second)
    assert torch.equal(torch.get_rng_state(), state[0])
    np.testing.assert_array_equal(np.random.get_state()[1], state[1])  # noqa: NPY002
    other, _ = augmenter(method=method, augment="geometric", random_state=1).fit_resample(X, y)
    assert not np.array_equal(first, other)


def test_rows_do_not_depend_on_how_many_are_decoded_at_once(unbalanced, monkeypatch):
    X, y = unbalanced
    vae = FrozenEstimator(tiny().fit(X))
    whole, _ = augmenter(vae=vae, n_new=30).fit_resample(X, y)
    monkeypatch.setattr("sklearn_vae.input._chunks.rows_at_once", lambda shape: 17)
    parts, _ = augmenter(vae=vae, n_new=30).fit_resample(X, y)
    np.testing.assert_allclose(parts, whole, atol=1e-6)


def test_only_rows_passed_to_fit_are_used(unbalanced, monkeypatch):
    """No synthetic row of a fold comes from its held-out images."""
    X, y = unbalanced
    seen = []

    def spy(self, start, stop):
        seen.append(self.X[start:stop].reshape(stop - start, -1))
        return rows(self, start, stop)

    def spy_too(self, index):
        seen.append(self.X[index].reshape(len(index), -1))
        return take(self, index)

    rows, take = ArrayDataset.rows, ArrayDataset.take
    monkeypatch.setattr(ArrayDataset, "rows", spy)
    monkeypatch.setattr(ArrayDataset, "take", spy_too)
    held_out = np.zeros(len(X), bool)
    held_out[::5] = True
    wrapped = augmenter(
        estimator=make_pipeline(FunctionTransformer(_flatten), KNeighborsClassifier(1)), n_new=1.0
    )
    wrapped.fit(X[~held_out], y[~held_out])
    marks = {row.tobytes() for row in X[held_out].reshape(held_out.sum(), -1)}
    marks -= {row.tobytes() for row in X[~held_out].reshape((~held_out).sum(), -1)}
    assert marks
    encoded = {row.tobytes() for rows in seen for row in rows}
    assert encoded
    assert not encoded & marks
    assert wrapped.source_indices_.max() < (~held_out).sum()


def _flatten(X):
    return X.reshape(len(X), -1)


# -- containers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("index", ["range", "numbers", "names"])
def test_pandas_keeps_columns_dtypes_and_index(index, rng):
    X = pd.DataFrame(
        {"a": rng.random(12).astype("float32"), "n": rng.integers(0, 9, 12), "b": rng.random(12)}
    )
    y = pd.Series(pd.Categorical(["u"] * 8 + ["v"] * 4), name="kind")
    if index == "numbers":
        X.index = y.index = rng.permutation(12) * 10
    elif index == "names":
        X.index = y.index = [f"row {i}" for i in range(12)]
    sampler = augmenter()
    X_out, y_out = sampler.fit_resample(X, y)
    pd.testing.assert_frame_equal(X_out.iloc[:12], X, check_index_type=False)
    pd.testing.assert_series_equal(y_out.iloc[:12], y, check_index_type=False)
    assert X_out.dtypes.tolist() == X.dtypes.tolist()
    assert X_out.index.is_unique
    pd.testing.assert_index_equal(X_out.index, y_out.index)
    assert (y_out.iloc[12:] == "v").all()
    assert sampler.feature_names_in_.tolist() == ["a", "n", "b"]


def test_lists_and_tensors_come_back_as_such(rows, labels):
    X, y = rows[:60], labels[:60]
    expected, y_expected = augmenter(n_new=2).fit_resample(X, y)
    X_list, y_list = augmenter(n_new=2).fit_resample(X.tolist(), y.tolist())
    assert isinstance(X_list, list)
    np.testing.assert_array_equal(np.array(X_list), expected)
    assert y_list == y_expected.tolist()
    X_torch, y_torch = augmenter(n_new=2).fit_resample(torch.tensor(X), torch.tensor(y))
    assert X_torch.dtype == torch.float64
    np.testing.assert_array_equal(X_torch, expected)
    np.testing.assert_array_equal(y_torch, y_expected)


@pytest.fixture(scope="module")
def tables(rows, labels):
    """The same 60 rows of two classes as frames of pandas and of polars, with a column of names."""
    X, y = rows[:60], np.where(labels[:60] > 5, "high", "low")
    names = [f"p{i}" for i in range(64)]
    pandas = pd.DataFrame(X, columns=names), pd.Series(y, name="size")
    return pandas, (pl.DataFrame(X, schema=names), pl.Series("size", y))


def test_polars_goes_in_and_comes_out(tables):
    (X, y), (X_polars, y_polars) = tables
    expected, y_expected = augmenter(n_new=2).fit_resample(X, y)
    sampler = augmenter(n_new=2)
    X_out, y_out = sampler.fit_resample(X_polars, y_polars)
    assert_frame_equal(X_out, pl.DataFrame(expected.to_numpy(), schema=list(X), orient="row"))
    assert_series_equal(y_out, pl.Series("size", y_expected.to_numpy()))
    assert sampler.feature_names_in_.tolist() == list(X)


@pytest.mark.parametrize("share", [0, 0.3], ids=["labelled", "part"])
def test_columns_are_found_by_name_inside_and_behind(tables, share):
    names = list(tables[0][0])
    found = []
    for X, y in tables:
        part = np.where(np.arange(60) < 60 * share, -1, np.asarray(y).astype(object) == "low")
        classifier = make_pipeline(
            make_column_transformer((tiny(image_shape=(8, 8)), names)), LogisticRegression()
        )
        wrapper = augmenter(estimator=classifier, n_new=2).fit(X, part)
        found.append(wrapper.predict_proba(X))
        plain = augmenter(estimator=LogisticRegression(), n_new=2).fit(X, part)
        plain.predict(X)  # without a warning about names, which would be an error here
        assert plain.estimator_.feature_names_in_.tolist() == names
        behind = make_imblearn_pipeline(augmenter(n_new=2), classifier).fit(X, y)
        found.append(behind.predict_proba(X))
    np.testing.assert_allclose(found[0], found[2])
    np.testing.assert_allclose(found[1], found[3])


@pytest.mark.parametrize("estimator", [tiny(), VAEDetector(tiny())])
def test_a_table_without_rows_names_the_remedy(tables, estimator):
    X, _ = tables[1]
    with pytest.raises(TypeError, match=r"LazyFrame.*X\.collect\(\)"):
        estimator.fit(X.lazy())
    clone(estimator).fit(X.lazy().collect())


def test_tables_that_cannot_grow_are_refused_before_training(tables):
    (X, y), (X_polars, y_polars) = tables
    Trained.trainings = 0
    for changes in ({}, {"estimator": SVC()}):
        estimator = augmenter(vae=tiny(callbacks=[Trained()]), **changes)
        with pytest.raises(TypeError, match=r"polars LazyFrame.*X\.collect\(\)"):
            estimator.fit(X_polars.lazy(), y_polars)
        with pytest.raises(TypeError, match=r"pyarrow Table.*X\.to_pandas\(\)"):
            estimator.fit(pa.Table.from_pandas(X), y)
    with pytest.raises(TypeError, match=r"pyarrow \w*StringArray.*y\.to_pandas\(\)"):
        augmenter(vae=tiny(callbacks=[Trained()])).fit_resample(X, pa.array(y))
    assert Trained.trainings == 0


@pytest.mark.parametrize("kind", ["arrays", "tensors"])
def test_what_is_behind_takes_a_list_of_images(kind, unbalanced):
    X, y = unbalanced
    X = (X * 255).astype(np.uint8)
    given = list(X) if kind == "arrays" else list(torch.from_numpy(X))
    out, _ = augmenter(n_new=2).fit_resample(given, y)
    expected, _ = augmenter(n_new=2).fit_resample(X, y)
    found = np.asarray(out) if kind == "arrays" else torch.stack(out).numpy()
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, expected)
    pipeline = make_imblearn_pipeline(augmenter(n_new=2), tiny(), LogisticRegression())
    np.testing.assert_array_equal(
        clone(pipeline).fit(given, y).predict(X), clone(pipeline).fit(X, y).predict(X)
    )


def test_columns_and_one_hot_labels_keep_their_shape(rows, labels):
    X, y = rows[:60], labels[:60]
    _, column = augmenter(n_new=1).fit_resample(X, y[:, None])
    assert column.shape == (70, 1)
    one_hot = np.eye(10, dtype=int)[y]
    _, more = augmenter(n_new=1).fit_resample(X, one_hot)
    np.testing.assert_array_equal(more.argmax(1), column[:, 0])


def test_one_hot_columns_without_rows_are_no_classes(rows):
    y = np.zeros((60, 3), int)
    y[:40, 0] = y[40:, 2] = 1
    _, more = augmenter(n_new={2: 5}).fit_resample(rows[:60], y)
    assert more[60:].sum(0).tolist() == [0, 0, 5]


@pytest.mark.parametrize("method", ["posterior", "interpolation"])
@pytest.mark.parametrize("dtype", [np.float64, np.int64])
def test_columns_far_from_zero_keep_their_spread(method, dtype, rng):
    X = np.stack([1.7e9 + rng.normal(0, 20, 200), 9 * rng.normal(size=200)], 1).astype(dtype)
    X_out, _ = augmenter(method=method, n_new=100).fit_resample(X, np.arange(200) % 2)
    new = X_out[200:].astype(float)
    assert X_out.dtype == dtype
    assert (new.std(0) > 0.5 * X.std(0)).all()
    assert len(np.unique(new[:, 0])) > 50


def test_fitted_attributes_are_those_of_the_last_fit(unbalanced, rows, labels):
    sampler = augmenter(method="bootstrap")
    sampler.fit_resample(pd.DataFrame(rows[:60]).add_prefix("p"), labels[:60])
    assert sampler.n_features_in_ == len(sampler.feature_names_in_) == 64
    sampler.fit(np.repeat(unbalanced[0], 2, axis=1), unbalanced[1])
    assert sampler.n_features_in_ == 128
    for name in ("feature_names_in_", "is_synthetic_", "source_indices_"):
        assert not hasattr(sampler, name)


@pytest.mark.parametrize("kind", [str, bool, object, np.float64])
def test_labels_of_any_kind(kind, rows, labels):
    y = labels[:60] > 6
    y = np.where(y, "high", "low").astype(object) if kind is object else y.astype(kind)
    sampler = augmenter(n_new={y[0]: 3})
    _, y_out = sampler.fit_resample(rows[:60], y)
    assert y_out.dtype == y.dtype
    assert (y_out[60:] == y[0]).all()
    assert len(y_out) == 63
    assert sampler.sample(2, y=y[0]).shape == (2, 64)


def test_memory_mapped_and_read_only_input(tmp_path, unbalanced):
    X, y = unbalanced
    joblib.dump(X, tmp_path / "X")
    mapped = joblib.load(tmp_path / "X", mmap_mode="r")
    out, _ = augmenter().fit_resample(mapped, y)
    np.testing.assert_array_equal(out, augmenter().fit_resample(X, y)[0])


# -- how many --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "n_new, expected",
    [
        ("balance", {0: 0, 1: 10, 2: 25, 3: 28}),
        ("auto", {0: 0, 1: 10, 2: 25, 3: 28}),
        ("all", {0: 0, 1: 10, 2: 25, 3: 28}),
        ("not majority", {0: 0, 1: 10, 2: 25, 3: 28}),
        ("not minority", {0: 0, 1: 10, 2: 25, 3: 0}),
        ("minority", {0: 0, 1: 0, 2: 0, 3: 28}),
        (0.5, {0: 15, 1: 10, 2: 3, 3: 1}),
        (4, {0: 4, 1: 4, 2: 4, 3: 4}),
        (np.int64(4), {0: 4, 1: 4, 2: 4, 3: 4}),
        ({2: 7, 3: 1.5}, {0: 0, 1: 0, 2: 7, 3: 3}),
        (lambda y: {0: int((y == 3).sum())}, {0: 2, 1: 0, 2: 0, 3: 0}),
    ],
)
def test_n_new(n_new, expected, unbalanced):
    X, y = unbalanced
    sampler = augmenter(n_new=n_new, method="bootstrap")
    _, y_out = sampler.fit_resample(X, y)
    assert sampler.sampling_strategy_ == expected
    assert count(y_out) == {c: COUNTS[c] + n for c, n in expected.items()}


@pytest.mark.parametrize(
    "n_new, message",
    [
        ("majority", "n_new='majority'; use one of balance, auto"),
        (-1, "n_new has -1"),
        (-0.5, "n_new has -0.5"),
        (float("nan"), "n_new has nan"),
        (float("inf"), "n_new has inf"),
        (True, "n_new has True"),
        ({9: 3}, "asks for class 9; y has the classes"),
        ({0: "many"}, "n_new has 'many'"),
        (lambda y: 7, "returned 7; return a dict"),
    ],
)
def test_bad_n_new_is_refused(n_new, message, unbalanced):
    with pytest.raises(ValueError, match=message):
        augmenter(n_new=n_new).fit_resample(*unbalanced)


def test_balanced_classes_are_said_to_get_nothing(rows, labels):
    X, y = rows[:20], np.arange(20) % 2
    with pytest.warns(UserWarning, match="asks for no synthetic rows"):
        X_out, _ = augmenter().fit_resample(X, y)
    assert len(X_out) == 20


def test_unlabelled_rows_teach_the_vae_and_pass_through(unbalanced):
    X, y = unbalanced
    part = y.copy()
    part[::2] = -1
    for dtype in (int, float, object):
        sampler = augmenter()
        X_out, y_out = sampler.fit_resample(X, part.astype(dtype))
        np.testing.assert_array_equal(X_out[: len(X)], X)
        np.testing.assert_array_equal(y_out[: len(X)], part)
        assert -1 not in sampler.classes_
        assert -1 not in y_out[len(X) :]
    few = augmenter().fit(X[part != -1], part[part != -1])
    assert not np.array_equal(
        few.vae_.module_.posterior_head.bias.detach(),
        sampler.vae_.module_.posterior_head.bias.detach(),
    )
    wrapped = augmenter(estimator=make_pipeline(FunctionTransformer(_flatten), SVC()))
    wrapped.fit(X, part)
    assert wrapped.classes_.tolist() == [0, 1, 2, 3]
    assert wrapped.estimator_.classes_.tolist() == [0, 1, 2, 3]
    assert len(wrapped.is_synthetic_) == 4 * max(count(part[part != -1]).values())


# -- methods ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["auto", "posterior", "conditional", "bootstrap"])
def test_a_class_of_a_single_row_works(method, unbalanced):
    X, y = (part[:-1] for part in unbalanced)
    _, y_out = augmenter(method=method).fit_resample(X, y)
    assert count(y_out)[3] == 30


@pytest.mark.parametrize("method", ["interpolation", "density", "deformation"])
def test_a_class_of_a_single_row_is_refused_with_the_remedy(method, unbalanced):
    X, y = (part[:-1] for part in unbalanced)
    with pytest.raises(ValueError, match=r"Class .*3.* has 1 row.*method='auto'"):
        augmenter(method=method).fit_resample(X, y)


def test_a_single_row_interpolates_with_its_unlabelled_neighbours(unbalanced):
    X, y = (part[:-1] for part in unbalanced)
    partly = np.where(np.isin(y, [1, 2]), -1, y)
    made = augmenter(method=Interpolation(unlabelled=True), n_new=5)
    _, y_out = made.fit_resample(X, partly)
    assert y_out[len(y) :].tolist() == [0] * 5 + [3] * 5
    parents = made.methods_[1].neighbors_
    assert (partly[parents] == -1).all()
    with pytest.raises(ValueError, match="has 1 row"):  # nothing beside it
        made.fit_resample(X, y)


@pytest.mark.parametrize("residual", [False, True])
def test_posterior_with_no_spread_gives_each_row_or_its_reconstruction(residual, unbalanced):
    X, y = unbalanced
    vae = tiny().fit(X)
    method = PosteriorSampling(spread=0, residual=residual)
    sampler = augmenter(vae=FrozenEstimator(vae), method=method, n_new=1.0)
    out, _ = sampler.fit_resample(X, y)
    source = sampler.source_indices_[len(X) :]
    expected = X if residual else vae.reconstruct(X)
    np.testing.assert_allclose(out[len(X) :], expected[source], atol=1e-5)
    assert sorted(source) == list(range(len(X)))


def test_interpolation_against_its_formula(rng):
    """Two rows a class, so that each is the other's neighbour; t follows from the codes."""
    X = rng.random((4, 8, 8))
    vae = tiny().fit(X)
    mean = vae.transform(X)
    for residual in (False, True):
        method = Interpolation(residual=residual)
        sampler = augmenter(vae=FrozenEstimator(vae), method=method, n_new=1).fit(X, [0, 0, 1, 1])
        draws = sampler.methods_[1].draw(6, np.random.RandomState(0))
        t = draws.weights[:, 1:]
        i, j = draws.parents.T
        assert set(i) == set(j) == {2, 3}
        np.testing.assert_allclose(draws.Z, (1 - t) * mean[i] + t * mean[j], rtol=1e-5)
        np.testing.assert_array_equal(draws.source, np.where(t[:, 0] > 0.5, j, i))
        expected = vae.inverse_transform(draws.Z)
        if residual:
            lost = X - vae.reconstruct(X)
            t = t[:, :, None]
            expected = (expected + (1 - t) * lost[i] + t * lost[j]).clip(0, 1)
        new = sampler.sample(6, y=1, random_state=0)
        np.testing.assert_allclose(new, expected, atol=1e-5)


def test_parameters_of_method_and_vae_can_be_searched(unbalanced):
    X, y = unbalanced
    sampler = augmenter(method=Interpolation(n_neighbors=2)).set_params(
        method__n_neighbors=3, vae__z_dim=2
    )
    sampler.fit(X, y)
    assert sampler.methods_[0].neighbors_.shape == (30, 3)
    assert sampler.vae_.z_dim == 2
    with pytest.raises(ValueError, match="spread"):
        augmenter(method=PosteriorSampling(spread=-1)).fit(X, y)


def test_conditional_decoder_follows_the_label(rng):
    """Two kinds of images, codes of either, decoded as either class."""
    X = rng.random((200, 8, 8), dtype=np.float32) * 0.2
    y = np.arange(200) % 2
    X[y == 0, :4] += 0.7
    X[y == 1, 4:] += 0.7
    vae = tiny(max_epochs=60, lr=1e-2, beta=20.0)  # leaves z next to nothing
    sampler = augmenter(vae=vae, method=Conditional(), n_new=1).fit(X, y)
    codes = sampler.vae_.codec_.posterior(ArrayDataset(X))[0]
    for label, half in ((0, slice(0, 4)), (1, slice(4, 8))):
        new = sampler.vae_.generate(codes, label=label)
        rest = np.delete(new, np.r_[half], axis=1)
        assert (new[:, half].mean((1, 2)) > rest.mean((1, 2))).mean() > 0.95


def test_a_frozen_vae_is_used_as_it_is(unbalanced):
    X, y = unbalanced
    vae = tiny().fit(X)
    before = pickle.dumps(vae)
    sampler = augmenter(vae=FrozenEstimator(vae)).fit(X, y)
    assert sampler.vae_ is vae
    assert pickle.dumps(vae) == before
    template = tiny().fit(X)
    assert augmenter(vae=template).fit(X, y).vae_ is not template
    for method in ("conditional", "deformation"):
        with pytest.raises(ValueError, match="a frozen one"):
            augmenter(vae=FrozenEstimator(vae), method=method).fit(X, y)
    with pytest.raises(ValueError, match="shape"):
        augmenter(vae=FrozenEstimator(vae)).fit(X[:, :, :4].repeat(3, 2), y)


def test_deformations_of_what_is_no_image_are_refused_before_training(rng):
    trainings = Trained.trainings
    sampler = augmenter(method="deformation", n_new=3, vae=tiny(callbacks=[Trained()]))
    with pytest.raises(ValueError, match=r"method='deformation' deforms images.*image_shape"):
        sampler.fit_resample(rng.normal(size=(40, 3)), np.arange(40) % 2)
    encoder = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.Flatten())
    decoder = torch.nn.Sequential(torch.nn.LazyLinear(64), torch.nn.Unflatten(1, (1, 8, 8)))
    sampler.set_params(vae__network=(encoder, decoder))
    with pytest.raises(ValueError, match=r"a pair of images as 2 channels"):
        sampler.fit_resample(rng.random((40, 8, 8)), np.arange(40) % 2)
    assert Trained.trainings == trainings


def test_deformations_are_of_the_row_by_what_the_class_knows(unbalanced):
    """Each is what the VAE makes of its source by the code of a pair of the same class."""
    X, y = unbalanced
    sampler = augmenter(method=Deformation(n_neighbors=3, spread=0.0)).fit(X, y)
    new = sampler.sample(30, y=0)
    (rows,) = np.nonzero(y == 0)
    still = sampler.vae_.generate(np.zeros((30, 3)), rows=X[rows])
    np.testing.assert_allclose(np.sort(new.sum((1, 2))), np.sort(still.sum((1, 2))), rtol=1e-5)
    method = sampler.methods_[3]
    assert method.mean_.shape == (2, 3, 3)  # two rows, one neighbour thrice
    np.testing.assert_array_equal(method.mean_[:, 0], method.mean_[:, 2])


# -- augmentation and the gate ---------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["uint8", "float64", "bool"])
@pytest.mark.parametrize("shape", [(8, 9), (8, 9, 3), (3, 8, 9)])
def test_augmentation_changes_each_image_by_its_own_draw(dtype, shape):
    X = np.zeros((30, *shape), dtype)
    rows, columns = [axis for axis, side in enumerate(shape) if side > 3]
    middle = [slice(None)] * (1 + len(shape))
    middle[1 + rows] = middle[1 + columns] = slice(3, 5)
    X[tuple(middle)] = 1 if dtype != "uint8" else 255
    shift = v2.RandomAffine(0, translate=(0.25, 0.25))
    sampler = augmenter(method="bootstrap", augment=shift, n_new=30)
    new = sampler.fit_resample(X, np.arange(30) % 2)[0][30:]
    assert new.dtype == X.dtype
    assert {float(x.sum(dtype=float)) for x in new} == {float(X[0].sum(dtype=float))}  # moved whole
    assert len(np.unique(new.reshape(60, -1), axis=0)) > 5


@contextlib.contextmanager
def refused_before_training(message):
    """Yield a VAE that must not be trained before the block raises."""
    Trained.trainings = 0
    with pytest.raises(ValueError, match=message):
        yield tiny(callbacks=[Trained()])
    assert Trained.trainings == 0


def test_augmentation_that_cannot_work_are_refused(rows, images, labels):
    with pytest.raises(ValueError, match="is for images"):
        augmenter(augment="geometric", method="bootstrap").fit_resample(rows, labels)
    with pytest.raises(ValueError, match="is for images"):  # it would clip any range to [0, 1]
        augmenter(augment=_flip, method="bootstrap").fit_resample(rows, labels)
    with refused_before_training("the size must stay") as vae:
        augmenter(vae=vae, augment=v2.CenterCrop(4), n_new=1).fit_resample(images, labels)


class _Ones(DummyClassifier):
    """Assigns everything to class 1."""

    def __init__(self):
        super().__init__(strategy="constant", constant=1)


def test_gate_drops_what_misses_its_class(images, labels):
    X, y = images[:60], labels[:60]
    gate = QualityGate(_Ones(), min_distance=0, max_rounds=3)
    sampler = augmenter(gate=gate, n_new={0: 4, 1: 4})
    with pytest.warns(UserWarning, match=r"missing, by class: \{0: 4\}"):
        _, y_out = sampler.fit_resample(X, y)
    assert count(y_out[60:]) == {1: 4}
    dropped = {"asked": 4, "drawn": 12, "misassigned": 12, "copies": 0, "kept": 0}
    assert sampler.gate_report_[0] == dropped
    assert sampler.gate_report_[1] == {**dropped, "drawn": 4, "misassigned": 0, "kept": 4}
    assert len(sampler.source_indices_) == len(sampler.is_synthetic_) == len(y_out)
    with pytest.warns(UserWarning, match="missing"):
        assert sampler.sample(3, y=0).shape == (0, 8, 8)


def test_gate_drops_copies(images, labels):
    X, y = images[:60], labels[:60]
    settings = {"method": "bootstrap", "gate": QualityGate(_Ones(), max_rounds=2), "n_new": {1: 9}}
    sampler = augmenter(**settings)
    with pytest.warns(UserWarning, match="missing"):
        X_out, _ = sampler.fit_resample(X, y)
    assert len(X_out) == 60
    assert sampler.gate_report_[1]["copies"] == 18
    X_out, _ = augmenter(**settings, augment=_flip).fit_resample(X, y)
    assert len(X_out) == 69  # mirror images are none


def _flip(x):
    return x.flip(-1)


def test_gate_knows_copies_where_real_rows_are_there_twice(images, labels):
    X, y = np.repeat(images[:30], 2, axis=0), np.repeat(labels[:30], 2)
    sampler = augmenter(method="bootstrap", gate=QualityGate(_Ones(), max_rounds=1), n_new={1: 9})
    with pytest.warns(UserWarning, match="missing"):
        sampler.fit_resample(X, y)
    assert sampler.gate_report_[1]["copies"] == 9


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"gate": QualityGate(max_rounds=0)}, "max_rounds"),
        ({"method": PosteriorSampling(spread=-1)}, "spread"),
        ({"gate": True}, "asks a classifier, but y has one class, 'a'"),
    ],
)
def test_bad_methods_and_gates_are_refused_before_training(changes, message, images):
    with refused_before_training(message) as vae:
        augmenter(vae=vae, n_new=2, **changes).fit_resample(images[:20], ["a"] * 20)


def test_gate_keeps_what_is_good(rng):
    X = np.concatenate([rng.normal(-5, 1, (50, 4)), rng.normal(5, 1, (20, 4))])
    sampler = augmenter(vae=tiny(max_epochs=40, lr=1e-2), gate=True)
    X_out, _ = sampler.fit_resample(X, np.repeat([0, 1], [50, 20]))
    assert len(X_out) == 100
    assert (X_out[70:].mean(1) > 0).all()
    assert sampler.gate_report_[1]["kept"] == 30


# -- the wrapper -----------------------------------------------------------------------------------


def test_wrapped_classifier_offers_what_it_has(unbalanced):
    X, y = (part.reshape(len(part), *s) for part, s in zip(unbalanced, ((64,), ()), strict=True))
    wrapped = augmenter(estimator=LogisticRegression(max_iter=500)).fit(X, y)
    assert is_classifier(wrapped)
    assert not hasattr(wrapped, "fit_resample")
    with pytest.raises(AttributeError, match="fit_resample") as error:
        _ = VAEAugmenter(VAETransformer(2)).fit_resample
    assert "A VAE goes in by name: vae=" in str(error.value.__cause__)
    assert not hasattr(wrapped, "transform")
    np.testing.assert_array_equal(wrapped.predict(X), wrapped.estimator_.predict(X))
    np.testing.assert_array_equal(wrapped.predict_proba(X), wrapped.estimator_.predict_proba(X))
    np.testing.assert_array_equal(wrapped.predict(torch.tensor(X)), wrapped.predict(X))
    assert wrapped.score(X, y) == wrapped.estimator_.score(X, y)
    assert not hasattr(augmenter(estimator=SVC()), "predict_proba")
    sampler = augmenter()
    for name in ("predict", "predict_proba", "decision_function", "score", "transform"):
        assert not hasattr(sampler, name)


def test_wrapper_fits_on_what_the_sampler_returns(unbalanced):
    X, y = unbalanced
    X = X.reshape(len(X), -1)
    wrapped = augmenter(estimator=KNeighborsClassifier(1)).fit(X, y)
    X_out, y_out = augmenter().fit_resample(X, y)
    np.testing.assert_array_equal(wrapped.estimator_._fit_X, X_out)
    np.testing.assert_array_equal(wrapped.estimator_.classes_[wrapped.estimator_._y], y_out)


def test_images_for_a_classifier_of_rows_are_refused_before_training(unbalanced):
    with pytest.raises(ValueError, match="Put a VAETransformer before it"):
        augmenter(estimator=SVC()).fit(*unbalanced)
    augmenter(estimator=make_pipeline(tiny(), SVC())).fit(*unbalanced)


PIPELINE = make_pipeline(tiny(max_epochs=1), SVC())


class _Own(ClassifierMixin, BaseEstimator):
    """A classifier of the user's, which has no table of constraints."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return np.full(len(X), self.classes_[0])


@pytest.mark.parametrize(
    "estimator",
    [
        GridSearchCV(PIPELINE, {"svc__C": [1]}, cv=2),
        VotingClassifier([("a", PIPELINE), ("b", PIPELINE)]),
        make_pipeline(FeatureUnion([("a", tiny()), ("b", tiny(z_dim=2))]), SVC()),
        _Own(),
    ],
    ids=["search", "voting", "union", "own"],
)
def test_estimators_of_images_inside_others_work(estimator, unbalanced):
    X, y = unbalanced
    wrapped = augmenter(estimator=estimator, method="bootstrap").fit(X, y)
    assert wrapped.predict(X[:3]).shape == (3,)


def test_searches_of_row_classifiers_are_refused_for_images(unbalanced):
    with pytest.raises(ValueError, match="Put a VAETransformer before it"):
        augmenter(estimator=GridSearchCV(SVC(), {"C": [1]})).fit(*unbalanced)


def test_a_frozen_classifier_is_used_as_it_is(unbalanced):
    X, y = unbalanced[0].reshape(-1, 64), unbalanced[1]
    fitted = LogisticRegression(max_iter=500).fit(X, y)
    wrapped = augmenter(estimator=FrozenEstimator(fitted), method="bootstrap").fit(X, y)
    np.testing.assert_array_equal(wrapped.predict(X), fitted.predict(X))


@pytest.mark.parametrize("estimator", [SVC(C=-1), make_pipeline(tiny(), SVC(C=-1))])
def test_bad_parameters_of_the_classifier_are_refused_before_training(estimator, unbalanced):
    Trained.trainings = 0
    vae = tiny(callbacks=[Trained()])
    X, y = unbalanced
    with pytest.raises(ValueError, match="The 'C' parameter of SVC"):
        augmenter(estimator=estimator, vae=vae).fit(X.reshape(len(X), -1), y)
    assert Trained.trainings == 0


def test_grid_search_over_everything_in_a_plain_pipeline(rows, labels):
    X, y = rows[:90], labels[:90] % 3
    pipeline = Pipeline([("augmented", augmenter(estimator=SVC()))])
    grid = {
        "augmented__vae__z_dim": [2, 3],
        "augmented__n_new": ["balance", 1.0],
        "augmented__estimator__C": [1, 10],
    }
    search = GridSearchCV(pipeline, grid, cv=2, error_score="raise").fit(X, y)
    assert len(search.cv_results_["params"]) == 8
    assert search.score(X, y) > 0.5
    assert cross_val_predict(pipeline, X, y, cv=2).shape == (90,)


def test_imblearn_pipeline(unbalanced):
    X, y = unbalanced
    pipeline = make_imblearn_pipeline(augmenter(), tiny(), SVC())
    pipeline.fit(X, y)
    assert pipeline.predict(X).shape == y.shape  # samplers act in fit only
    search = GridSearchCV(pipeline, {"vaeaugmenter__n_new": [0.5, 1.0]}, cv=2, error_score="raise")
    assert search.fit(X, y).best_score_ > 0


def test_imblearns_ensembles_count_by_n_new(rows, labels):
    """Each bag grows its own classes, by a VAE of its own rows."""
    X, y = rows, np.array(["a", "b", "c"])[np.minimum(labels, 2)]
    sampler = augmenter(vae=tiny(image_shape=(8, 8)))
    bags = BalancedBaggingClassifier(LogisticRegression(), 2, sampler=sampler, random_state=0)
    bags.fit(X, y)
    assert (bags.predict(X) == y).mean() > 0.9
    for pipeline in bags.estimators_:
        sampler = pipeline[0]
        drawn, most = (~sampler.is_synthetic_).sum(), len(sampler.is_synthetic_) / 3
        assert drawn == len(X)
        real = {c: most - n for c, n in sampler.sampling_strategy_.items()}
        assert sum(real.values()) == len(X)  # three classes, filled up to the largest
        assert max(real.values()) == most
    assert bags.estimators_[0][0].vae_ is not bags.estimators_[1][0].vae_


def test_search_in_parallel(rows, labels):
    wrapped = augmenter(estimator=SVC(), n_new=0.5)
    grid = {"n_new": [0.5, 1.0]}
    alone, side_by_side = (
        GridSearchCV(wrapped, grid, cv=2, n_jobs=n, error_score="raise").fit(
            rows[:60], labels[:60] % 2
        )
        for n in (1, 2)
    )
    np.testing.assert_array_equal(
        alone.cv_results_["mean_test_score"], side_by_side.cv_results_["mean_test_score"]
    )


# -- persistence and manners -----------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_joblib_round_trip(method, tmp_path, unbalanced):
    sampler = augmenter(method=method).fit(*unbalanced)
    joblib.dump(sampler, tmp_path / "sampler")
    again = joblib.load(tmp_path / "sampler")
    np.testing.assert_allclose(again.sample(5, y=2), sampler.sample(5, y=2), atol=1e-6)
    assert not np.array_equal(sampler.sample(5, y=2), sampler.sample(5, y=2, random_state=7))


def test_clone_forgets_and_repr_shows(unbalanced):
    sampler = augmenter(method=Density(n_components=2)).fit(*unbalanced)
    fresh = clone(sampler)
    assert not hasattr(fresh, "vae_")
    assert "Density(n_components=2)" in repr(fresh)
    assert "VAETransformer" in fresh._repr_html_()


def test_warnings_point_at_the_users_line(rows, labels):
    y, classifier = labels % 2, KNeighborsClassifier(1)
    gate = QualityGate(_Ones(), max_rounds=1, min_distance=0)
    sampler = augmenter(method="bootstrap", gate=gate, n_new=2)
    wrapper = augmenter(method="bootstrap", gate=gate, n_new=2, estimator=classifier)
    idle = augmenter(method="bootstrap", n_new=0)
    for call in (
        lambda: sampler.fit_resample(rows, y),
        lambda: sampler.sample(y=0),
        lambda: wrapper.fit(rows, y),
        lambda: idle.fit(rows, y),
        lambda: idle.fit_resample(rows, y),
    ):
        with pytest.warns(UserWarning, match=r"are missing|no synthetic rows") as record:
            call()
        assert {warning.filename for warning in record} == {__file__}


@pytest.mark.parametrize("n", [0, -1, 1.5, True, "3"])
def test_sample_refuses_bad_numbers_and_classes(n, unbalanced):
    sampler = augmenter(method="bootstrap").fit(*unbalanced)
    with pytest.raises(ValueError, match="give an int"):
        sampler.sample(n, y=0)
    with pytest.raises(ValueError, match="not one of the classes"):
        sampler.sample(2, y="zero")


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"method": "smote"}, "The 'method' parameter"),
        ({"vae": SVC()}, "The 'vae' parameter"),
        ({"n_new": 0.5, "gate": QualityGate(min_distance=-1)}, "min_distance"),
        ({"vae": tiny(image_shape=(3, 3))}, "image_shape"),
        ({"vae": tiny(z_dim=0)}, "z_dim"),
    ],
)
def test_what_cannot_work_leaves_a_fitted_augmenter_as_it_was(changes, message, unbalanced):
    sampler = augmenter().fit(*unbalanced)
    before = sampler.sample(4, y=1)
    kept = {name: getattr(sampler, name) for name in changes}
    sampler.set_params(**changes)
    with pytest.raises(ValueError, match=message):
        sampler.fit(*unbalanced)
    sampler.set_params(**kept)
    np.testing.assert_array_equal(sampler.sample(4, y=1), before)


def test_bad_labels_are_refused(unbalanced):
    X, y = unbalanced
    with pytest.raises(ValueError, match="requires y"):
        augmenter().fit_resample(X, None)
    with pytest.raises(ValueError, match="one label for each sample"):
        augmenter().fit_resample(X, y[:-1])
    with pytest.raises(ValueError, match="all rows are -1"):
        augmenter().fit_resample(X, np.full(len(X), -1))
    with pytest.raises(ValueError, match="one class only"):
        augmenter(estimator=SVC(), n_new=1).fit(X.reshape(len(X), -1), np.where(y == 0, 1, -1))
    with pytest.raises(TypeError, match="synthetic rows are appended"):
        augmenter().fit_resample(torch.utils.data.TensorDataset(torch.tensor(X)), y)
    with pytest.raises(ValueError, match="NaN"):
        augmenter().fit_resample(np.where(X > 0.9, np.nan, X), y)


@pytest.mark.parametrize("classifier", [SVC(), LogisticRegression(), make_pipeline(tiny(), SVC())])
def test_one_class_is_refused_before_training_where_the_classifier_does(rows, classifier):
    with refused_before_training(r"one class only, 'a', which \w+\(\) refuses: .*class") as vae:
        augmenter(estimator=classifier, vae=vae, n_new=2).fit(rows[:20], ["a"] * 20)


def test_one_class_is_left_to_classifiers_that_take_it(rows):
    wrapper = augmenter(estimator=KNeighborsClassifier(1), n_new=2).fit(rows[:20], ["a"] * 20)
    assert wrapper.predict(rows[:3]).tolist() == ["a"] * 3


def test_seed_reaches_vae_and_classifier_only_where_theirs_is_none(unbalanced):
    X, y = unbalanced
    unseeded = VAETransformer(**{**QUICK, "random_state": None})
    a, b = (augmenter(vae=unseeded).fit(X, y) for _ in range(2))
    assert isinstance(a.vae_.random_state, int)
    np.testing.assert_array_equal(a.sample(3, y=0), b.sample(3, y=0))
    assert augmenter(vae=tiny(random_state=5)).fit(X, y).vae_.random_state == 5


@pytest.fixture(scope="module")
def frame(unbalanced):
    X, y = unbalanced
    return pd.DataFrame(X.reshape(len(X), -1), columns=[f"p{i}" for i in range(64)]), y


def test_a_frozen_vae_looks_at_the_names_of_columns(frame):
    X, y = frame
    frozen = FrozenEstimator(tiny().fit(X))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        augmenter(vae=frozen, n_new=1).fit_resample(X, y)
        augmenter(n_new=1).fit(X, y).vae_.transform(X)
    with pytest.raises(ValueError, match="feature names should match"):
        augmenter(vae=frozen, n_new=1).fit(X.iloc[:, ::-1], y)


def test_the_gates_classifier_is_seeded(frame):
    X, y = frame
    gate = QualityGate(RandomForestClassifier(3), max_rounds=2)
    method = PosteriorSampling(spread=4, residual=False)
    once, again = (
        augmenter(method=method, n_new=20, gate=gate).fit(X, y).gate_.classifier_ for _ in range(2)
    )
    np.testing.assert_array_equal(once.predict_proba(X.values), again.predict_proba(X.values))


@pytest.mark.parametrize(
    ("classifier", "message"), [(SVC(), "takes rows"), (SVC(C=-1.0), "'C' parameter")]
)
def test_the_gates_classifier_is_refused_before_training(unbalanced, classifier, message):
    X, y = unbalanced
    X = X if message == "takes rows" else X.reshape(len(X), -1)
    Trained.trainings = 0
    with pytest.raises(ValueError, match=message):
        augmenter(vae=tiny(callbacks=[Trained()]), gate=QualityGate(classifier)).fit(X, y)
    assert Trained.trainings == 0


def test_a_list_of_names_with_unlabelled_rows_stays_one(unbalanced):
    X, y = unbalanced
    names = [-1 if i % 3 == 0 else f"digit {c}" for i, c in enumerate(y)]
    _, more = augmenter(n_new=1).fit_resample(X, names)
    assert isinstance(more, list)
    assert more[: len(names)] == names
    assert set(more[len(names) :]) == set(names) - {-1}


def test_numbers_as_objects_reach_the_classifier_as_numbers(frame):
    X, y = frame
    y = np.where(np.arange(len(y)) % 4 == 0, -1, y).astype(object)
    fitted = augmenter(estimator=LogisticRegression(max_iter=1000), n_new=1).fit(X, y)
    assert set(fitted.predict(X)) <= {0, 1, 2, 3}


def test_big_endian_images_can_be_transformed(unbalanced):
    X, y = unbalanced
    little, big = (
        augmenter(method="bootstrap", augment="geometric", n_new=2).fit_resample(
            X.astype(dtype), y
        )[0]
        for dtype in ("<f4", ">f4")
    )
    np.testing.assert_array_equal(little, big)


def test_bfloat16_images_can_be_predicted(unbalanced):
    X, y = unbalanced
    X = torch.tensor(X.reshape(len(X), -1)).bfloat16()
    estimator = augmenter(estimator=LogisticRegression(max_iter=1000), n_new=1).fit(X, y)
    assert estimator.predict(X).shape == y.shape


def test_of_many_classes_the_gate_takes_the_quicker_classifier(rng):
    means = 10 * rng.normal(size=(120, 16))
    y = np.repeat(np.arange(120), 6)
    codes = means[y] + rng.normal(size=(720, 16))
    gate = QualityGate(min_distance=0).fit(codes, codes, y)
    assert isinstance(gate.classifier_, LinearDiscriminantAnalysis)
    assert gate.assigned(codes[6:12], codes[6:12], 1).all()
    assert not gate.assigned(codes[6:12], codes[6:12], 2).any()
    few = QualityGate(min_distance=0).fit(codes[::3], codes[::3], y[::3])  # two rows a class
    assert isinstance(few.classifier_, LogisticRegression)

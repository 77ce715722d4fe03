"""The transformer as one step among scikit-learn's own."""

import pickle
from collections import Counter

import joblib
import numpy as np
import pandas as pd
import pytest
from helpers import Anonymous, CountFits, Log, Run, Trained, same_weights, tiny, weights
from sklearn import config_context
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import get_scorer
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    StratifiedKFold,
    cross_val_predict,
    cross_val_score,
)
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.svm import SVC
from torch import nn

from sklearn_vae import VAEAugmenter, VAEClassifier, VAEDetector, VAETransformer
from sklearn_vae.model import BCEMSE, Gaussian
from sklearn_vae.nn import MLP, Conv
from sklearn_vae.training import _cache

HEADS = [
    {"head": [SVC()], "head__C": [1, 10], "vae__z_dim": [2, 4]},
    {"head": [LogisticRegression(max_iter=500)], "head__C": [1, 10], "vae__z_dim": [2, 4]},
]


def search(images, labels, *, vae=None, grid=HEADS, **changes):
    pipeline = Pipeline([("vae", vae or tiny()), ("head", SVC())], **changes.pop("pipeline", {}))
    return GridSearchCV(pipeline, grid, cv=2, error_score="raise", **changes).fit(images, labels)


def test_search_over_latent_dimensions_and_heads_in_two_processes(images, labels):
    alone = search(images, labels)
    parallel = search(images, labels, n_jobs=2)
    np.testing.assert_allclose(
        parallel.cv_results_["mean_test_score"], alone.cv_results_["mean_test_score"], atol=0.02
    )
    assert len(alone.cv_results_["params"]) == 8
    best = parallel.best_estimator_
    assert best[0].module_.z_dim == best[0].z_dim == parallel.best_params_["vae__z_dim"]
    np.testing.assert_array_equal(
        parallel.predict(images), best[1].predict(best[0].transform(images))
    )
    assert parallel.best_score_ > 0.25  # chance is 0.1


def test_processes_find_each_others_results_in_the_cache(images, labels, tmp_path):
    vae = tiny(callbacks=[CountFits(str(tmp_path / "fits"))])
    cached = {"vae": vae, "pipeline": {"memory": str(tmp_path / "cache")}}
    # joblib writes a function's code into the first cache of a process only; without the code
    # in this one, new processes would fit once more. Clearing a cache makes joblib write it.
    joblib.Memory(cached["pipeline"]["memory"], verbose=0).clear(warn=False)
    alone = search(images, labels, **cached)
    fits = (tmp_path / "fits").read_text()
    parallel = search(images, labels, n_jobs=2, **cached)
    assert (tmp_path / "fits").read_text() == fits  # no training at all
    np.testing.assert_array_equal(
        parallel.cv_results_["mean_test_score"], alone.cv_results_["mean_test_score"]
    )


CACHEABLE = {
    "names": {},
    "instances": {"network": Conv(channels=(4,)), "likelihood": Gaussian(scale=0.3)},
}


@pytest.mark.parametrize("kind", CACHEABLE)
def test_a_cached_pipeline_trains_once_per_fold_and_latent_dimension(
    images, labels, tmp_path, kind
):
    vae = tiny(**CACHEABLE[kind], callbacks=[CountFits(str(tmp_path / "fits"))])
    result = search(images, labels, vae=vae, pipeline={"memory": str(tmp_path / "cache")})
    fits = Counter((tmp_path / "fits").read_text().split())
    expected = Counter({"2": 2, "4": 2})  # two folds, whatever the head
    expected[str(result.best_params_["vae__z_dim"])] += 1  # the last fit on all rows
    assert fits == expected


def test_the_memory_of_a_vae_trains_once_whatever_is_made_of_it(
    images, labels, tmp_path, monkeypatch
):
    vae = tiny(callbacks=[CountFits(str(tmp_path / "fits"))], memory=str(tmp_path / "cache"))
    grid = {
        "vae__features": ["mean", "mean+std", "hidden"],
        "vae__symmetry": [None, "horizontal"],
        "vae__verbose": [0, 1],
        "head__C": [1, 10],
    }
    result = search(images, labels, vae=vae, grid=grid)
    assert (tmp_path / "fits").read_text().split() == ["3"] * 3  # two folds, and all rows
    best = result.best_estimator_[0]
    straight = clone(best).set_params(memory=None, callbacks=None, verbose=0).fit(images)
    assert same_weights(best, straight)
    np.testing.assert_array_equal(best.transform(images), straight.transform(images))
    assert best.history_[-1]["train_loss"] == straight.history_[-1]["train_loss"]
    again = clone(best).set_params(features="mean", symmetry=None).fit(images, labels)
    np.testing.assert_array_equal(
        again.transform(images),
        straight.codec_.posterior(straight.codec_.read(images, names_of=straight))[0],
    )
    assert (tmp_path / "fits").read_text().split() == ["3"] * 3
    vae.set_params(beta=2.0).fit(images, labels)  # another training
    assert (tmp_path / "fits").read_text().split() == ["3"] * 4
    monkeypatch.setattr(_cache, "version", lambda name: "9.9")
    vae.fit(images, labels)  # of another version
    assert (tmp_path / "fits").read_text().split() == ["3"] * 5


def test_a_vae_out_of_its_memory_goes_on(images, rows, tmp_path):
    settings = {"memory": str(tmp_path), "warm_start": True}
    first = tiny(**settings).fit(images)
    second = tiny(**settings).fit(images)
    assert same_weights(first, second)
    assert same_weights(second.fit(images), tiny(warm_start=True).fit(images).fit(images))
    assert same_weights(first, tiny().fit(images))
    with pytest.raises(ValueError, match=r"symmetry='both' flips images"):
        tiny(memory=str(tmp_path), symmetry="both").fit(rows)
    named = pd.DataFrame(rows).add_prefix("p")
    for _ in range(2):
        assert tiny(memory=str(tmp_path)).fit(named).feature_names_in_[0] == "p0"


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_memory_that_is_no_folder_is_refused_before_training(images, labels, tmp_path, place):
    (tmp_path / "file").touch()
    vae = tiny(memory=str(tmp_path / place), callbacks=[CountFits(str(tmp_path / "fits"))])
    for estimator in (vae, VAEDetector(vae), VAEClassifier(vae), VAEAugmenter(vae=vae, n_new=2)):
        fit = getattr(estimator, "fit_resample", estimator.fit)
        with pytest.raises(ValueError, match=r"^memory: .*file.* cannot be made a folder"):
            fit(images, labels)
    assert not (tmp_path / "fits").exists()


def test_what_is_recalled_has_nothing_of_the_fit_before(images, rows, labels, tmp_path):
    for X, first in ((images, {"label_weight": 1.0}), (pd.DataFrame(rows).add_prefix("p"), {})):
        vae, straight = tiny(**first).fit(X, labels), tiny(label_weight=0.0)
        vae.set_params(memory=str(tmp_path), label_weight=0.0).fit(np.asarray(X))
        straight.fit(np.asarray(X))
        assert vars(vae).keys() == vars(straight).keys() - {"net_"}
    # The first optimiser's state is of another shape, which torch does not notice: it crashed.
    vae = tiny().fit(images).set_params(memory=str(tmp_path), z_dim=3).fit(images)
    assert same_weights(
        vae.partial_fit(images),
        pickle.loads(pickle.dumps(tiny(z_dim=3).fit(images))).partial_fit(images),
    )


@pytest.mark.parametrize("kind", CACHEABLE)
def test_equal_estimators_have_equal_hashes(kind):
    # What joblib's caches, and so Pipeline(memory=...), look results up by.
    estimator = tiny(**CACHEABLE[kind])
    assert joblib.hash(clone(estimator)) == joblib.hash(clone(estimator))
    changed = clone(estimator).set_params(z_dim=7)
    assert joblib.hash(changed) != joblib.hash(clone(estimator))


def test_halving_search_with_epochs_as_its_resource(images, labels):
    halving = HalvingGridSearchCV(
        Pipeline([("vae", tiny()), ("head", SVC())]),
        {"head__C": [0.1, 1, 10, 100]},
        resource="vae__max_epochs",
        min_resources=1,
        max_resources=4,
        factor=2,
        cv=2,
        random_state=0,
        error_score="raise",
    ).fit(images, labels)
    assert halving.n_resources_ == [1, 2, 4]
    assert halving.best_estimator_[0].n_iter_ == 4


def test_cross_validation_fits_anew_in_every_fold(images, labels):
    pipeline = make_pipeline(tiny(), SVC())
    predicted = cross_val_predict(pipeline, images, labels, cv=2)
    by_hand = np.empty_like(labels)
    for train, test in StratifiedKFold(2).split(images, labels):
        vae = tiny().fit(images[train])
        svc = SVC().fit(vae.transform(images[train]), labels[train])
        by_hand[test] = svc.predict(vae.transform(images[test]))
    np.testing.assert_array_equal(predicted, by_hand)
    assert (predicted == labels).mean() > 0.25  # chance is 0.1
    assert not hasattr(pipeline[0], "module_")


def test_union_with_pca_and_names_of_the_columns(rows):
    union = FeatureUnion([("vae", tiny(image_shape=(8, 8))), ("pca", PCA(2, random_state=0))])
    out = union.fit_transform(rows)
    np.testing.assert_allclose(
        out[:, :3], tiny(image_shape=(8, 8)).fit(rows).transform(rows), atol=1e-6
    )
    assert list(union.get_feature_names_out()) == [
        *(f"vae__vaetransformer{i}" for i in range(3)),
        *("pca__pca0", "pca__pca1"),
    ]


def test_columns_of_two_images(rows):
    both = np.hstack([rows, rows[::-1]])
    vae = tiny(image_shape=(8, 8))
    columns = ColumnTransformer(
        [("left", vae, slice(0, 64)), ("right", clone(vae), slice(64, 128))]
    )
    out = columns.fit_transform(both)
    assert out.shape == (200, 6)
    np.testing.assert_allclose(out[:, :3], vae.fit(rows).transform(rows), atol=1e-6)


@pytest.mark.parametrize(("features", "columns"), [("mean", 3), ("mean+std", 6), ("hidden", 16)])
def test_pandas_output_and_feature_names(images, features, columns):
    estimator = tiny(features=features).set_output(transform="pandas").fit(images)
    frame = estimator.transform(images)
    names = [f"vaetransformer{i}" for i in range(columns)]
    assert list(frame.columns) == list(estimator.get_feature_names_out()) == names
    plain = clone(estimator).set_output(transform="default").fit_transform(images)
    assert isinstance(plain, np.ndarray)
    np.testing.assert_array_equal(frame.to_numpy(), plain)


def test_metadata_routing_passes_weights_to_the_head(images, labels):
    weight = np.linspace(0.01, 2, 200)
    with config_context(enable_metadata_routing=True):
        head = SVC().set_fit_request(sample_weight=True)
        pipeline = make_pipeline(tiny(), head)
        pipeline.fit(images, labels, sample_weight=weight)
        decision = pipeline.decision_function(images)
        scores = cross_val_score(
            pipeline,
            images,
            labels,
            cv=2,
            scoring=get_scorer("accuracy").set_score_request(sample_weight=True),
            params={"sample_weight": weight},
            error_score="raise",
        )
    Z = tiny().fit(images).transform(images)
    expected = SVC().fit(Z, labels, sample_weight=weight).decision_function(Z)
    np.testing.assert_allclose(decision, expected, atol=1e-6)
    assert np.isfinite(scores).all()


def test_a_frozen_pretrained_model_keeps_its_weights_in_a_search(images, labels):
    pretrained = tiny().fit(images)
    before, Z = weights(pretrained), pretrained.transform(images)
    pipeline = make_pipeline(FrozenEstimator(pretrained), SVC())
    grid = {"svc__C": [1, 10]}
    frozen = GridSearchCV(pipeline, grid, cv=2, error_score="raise").fit(images[:100], labels[:100])
    assert same_weights(pretrained, before)
    inside = frozen.best_estimator_[0]
    np.testing.assert_array_equal(inside.transform(images), Z)
    by_hand = GridSearchCV(SVC(), {"C": [1, 10]}, cv=2).fit(Z[:100], labels[:100])
    np.testing.assert_array_equal(frozen.predict(images), by_hand.predict(Z))


def test_a_pretrained_model_may_be_tuned_further(images):
    pretrained = tiny(warm_start=True).fit(images)
    before = weights(pretrained)
    pipeline = make_pipeline(pretrained).fit(images[:50])
    assert pipeline[0].n_iter_ == 4
    assert not same_weights(pretrained, before)


PARAMETERS = {
    "network": [
        MLP(hidden=(8,)),
        Conv(channels=(4,), batch_norm=True),
        (nn.Linear(4, 2), nn.Linear(2, 4)),
        "conv-bn",
    ],
    "likelihood": [Gaussian(scale=0.1), Gaussian(), BCEMSE(), "bce+mse"],
    "callbacks": [[CountFits("path")], [("name", CountFits("path"))], None],
    "augment": ["geometric", 0.5, np.flip, None],
    "image_shape": [(8, 8), [8, 8, 1]],
    "random_state": [0, np.random.RandomState(3), None],
    "max_epochs": [3, "auto"],
    "validation_fraction": [0.2, None],
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in PARAMETERS.items() for value in values]
)
def test_clone_keeps_every_parameter(name, value):
    original = VAETransformer(**{name: value})
    copied = clone(original)
    assert getattr(original, name) is value  # as passed, never changed
    new, old = copied.get_params(deep=False), original.get_params(deep=False)
    assert new.keys() == old.keys()
    if name == "random_state" and isinstance(value, np.random.RandomState):
        assert new[name].randint(1000) == np.random.RandomState(3).randint(1000)
    elif name == "callbacks" and value:
        unwrap = [cb[1] if isinstance(cb, tuple) else cb for cb in new[name]]
        assert [(type(cb), cb.path) for cb in unwrap] == [(CountFits, "path")]
    elif name == "network" and isinstance(value, tuple):
        assert all(
            np.array_equal(a.weight.detach(), b.weight.detach())
            for a, b in zip(new[name], value, strict=True)
        )
    else:
        assert new[name] == value
    assert repr(copied)
    assert copied._repr_html_()


def test_clone_of_a_fitted_estimator_is_unfitted(fitted):
    assert not [name for name in vars(clone(fitted)) if name.endswith("_")]


@pytest.mark.parametrize("callback", [Log(Run()), Anonymous()])
def test_a_cached_step_names_the_callback_that_cannot_be_pickled(
    images, labels, tmp_path, callback
):
    trained = Trained.trainings
    vae = tiny(callbacks=[Trained(), ("mine", callback)])
    with pytest.raises(TypeError, match=r"callback mine cannot be pickled .*callbacks=None"):
        make_pipeline(vae, SVC(), memory=str(tmp_path)).fit(images, labels)
    assert Trained.trainings == trained
    make_pipeline(vae.set_params(callbacks=None), SVC(), memory=str(tmp_path)).fit(images, labels)

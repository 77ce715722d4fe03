"""scikit-learn's own callbacks, which came with 1.9: a fit and its epochs are tasks."""

import copy
import pickle

import numpy as np
import pytest
from helpers import same_weights, tiny
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline

from sklearn_vae import VAEAugmenter, VAEClassifier, VAEDetector
from sklearn_vae.nn import Conv

callback = pytest.importorskip("sklearn.callback", reason="scikit-learn before 1.9 has none")


class Record:
    """Writes down what happens; is handed on to the steps of a pipeline."""

    max_propagation_depth = None

    def __init__(self, stop=None, fail=None):
        self.log, self.transformed, self.stop, self.fail = [], [], stop, fail

    def setup(self, estimator, context):
        self.log.append("setup")

    def teardown(self, estimator, context):
        self.log.append("teardown")

    def on_fit_task_begin(self, estimator, context, *, X=None, y=None):
        path = context.estimator_name, context.task_name, context.task_id, context.max_subtasks
        self.log.append(("begin", *path, np.shape(X), np.shape(y)))
        if context.task_name == "epoch" and context.task_id == self.fail:
            raise RuntimeError("full disk")

    def on_fit_task_end(self, estimator, context):
        self.log.append(("end", context.estimator_name, context.task_name, context.task_id))
        return context.task_name == "epoch" and context.task_id == self.stop


def epoch(i, shape):
    begin = ("begin", "VAETransformer", "epoch", i, 0, shape, (200,))
    return [begin, ("end", "VAETransformer", "epoch", i)]


def fit(n, task_id, shape, epochs):
    begin = ("begin", "VAETransformer", "fit", task_id, n, shape, (200,))
    tasks = [task for i in range(epochs) for task in epoch(i, shape)]
    return [begin, *tasks, ("end", "VAETransformer", "fit", task_id)]


def test_epochs_are_tasks_of_the_fit(images, labels):
    record = Record()
    vae = tiny(max_epochs=3).set_callbacks(record).fit(images, labels)
    assert record.log == ["setup", *fit(3, 0, (200, 8, 8), 3), "teardown"]
    assert same_weights(vae, tiny(max_epochs=3).fit(images, labels))  # which it does not change
    assert not hasattr(vae, "_callback_fit_ctx")
    vae.set_params(warm_start=True, max_epochs=1).fit(images, labels)
    assert record.log.count("setup") == record.log.count("teardown") == 2
    assert vae.n_iter_ == 4


def test_a_callback_may_end_the_training(images, labels):
    record = Record(stop=1)
    vae = tiny(max_epochs=5).set_callbacks(record).fit(images, labels)
    assert vae.n_iter_ == 2
    assert record.log == ["setup", *fit(5, 0, (200, 8, 8), 2), "teardown"]


def test_callbacks_are_torn_down_after_a_failure(images, labels):
    vae = tiny().fit(images)
    record = Record(fail=1)
    before = vars(vae.set_callbacks(record)).copy()
    with pytest.raises(RuntimeError, match="full disk"):
        vae.fit(images, labels)
    assert record.log[-1] == "teardown"
    assert vars(vae) == before


def test_partial_fit_is_a_fit_of_one_epoch(images, labels):
    record = Record()
    vae = tiny().set_callbacks(record).partial_fit(images, labels)
    assert record.log == ["setup", *fit(1, 0, (200, 8, 8), 1), "teardown"]
    vae.partial_fit(images, labels)
    assert record.log.count("teardown") == 2


def test_a_pipeline_hands_them_on(rows, labels):
    record = Record()
    pipeline = make_pipeline(tiny(), LogisticRegression())
    pipeline.set_callbacks(record).fit(rows, labels)  # without a warning, which would be an error
    log = [task for task in record.log if "LogisticRegression" not in task]
    inside = fit(2, 0, (200, 64), 2)
    root = ("begin", "Pipeline", "fit", 0, 2, (200, 64), (200,))
    assert log == ["setup", root, *inside, ("end", "Pipeline", "fit", 0), "teardown"]
    assert not hasattr(pipeline[0], "_skl_callbacks")


def test_copies_share_them(images, labels):
    record = Record()
    vae = tiny().set_callbacks(record)
    cross_val_score(vae, images, labels, cv=2, error_score="raise")
    assert record.log.count("setup") == record.log.count("teardown") == 2
    assert clone(vae)._skl_callbacks == [record]
    fitted = copy.deepcopy(vae.fit(images))
    assert vae.net_.get_params()["callbacks__AroundEpochs__begin"] is None  # it held the data
    assert same_weights(pickle.loads(pickle.dumps(fitted)), vae)


@pytest.mark.parametrize(
    "network", [None, Conv((4, 8), batch_norm=True)], ids=["mlp", "batch norm"]
)
def test_a_monitor_scores_each_epoch_as_if_it_were_the_last(images, labels, network):
    changes = {} if network is None else {"network": network}
    vae = tiny(max_epochs=2, lr_schedule="constant", features="hidden", **changes)

    def score(estimator, X, y=None):
        return float(estimator.score(X)) + float(estimator.transform(X).sum())

    monitor = callback.ScoringMonitor(scoring={"score": score})
    vae.set_callbacks(monitor).fit(images, labels)
    rows = monitor.get_logs(select="most_recent").data
    found = [row["score"] for row in rows if row["task_name"] == "epoch"]
    alone = [clone(vae).set_callbacks().set_params(max_epochs=n).fit(images) for n in (1, 2)]
    np.testing.assert_allclose(found, [score(each, images) for each in alone], rtol=1e-6)
    assert same_weights(vae, alone[1])
    assert not monitor._estimator_scorers  # which would keep the estimator alive


def tasks(record):
    """Return what began, and how many tasks it was to have."""
    return [
        (*entry[1:3], entry[4])
        for entry in record.log
        if entry[0] == "begin" and entry[2] != "epoch"
    ]


VAE_FIT = ("VAETransformer", "fit", 2)


def test_a_detector_hands_them_on_to_its_vaes(images, labels):
    record = Record()
    detector = VAEDetector(tiny(), random_state=0).set_callbacks(record).fit(images)
    assert tasks(record) == [("VAEDetector", "fit", 2), VAE_FIT, VAE_FIT]
    assert [entry[:2] for entry in record.log].count(("end", "VAETransformer")) == 2 + 2 * 2
    assert record.log[-2:] == [("end", "VAEDetector", "fit", 0), "teardown"]
    assert not any(hasattr(vae, "_skl_callbacks") for vae in detector.vaes_)
    plain = VAEDetector(tiny(), random_state=0).fit(images)
    np.testing.assert_array_equal(detector.score_samples(images), plain.score_samples(images))
    record.log.clear()
    detector.set_params(vae=FrozenEstimator(detector.vae_)).fit(1 - images)
    assert record.log.count("teardown") == 1
    assert tasks(record) == [("VAEDetector", "fit", 0)]


def test_a_classifier_hands_them_on_to_its_vae(images, labels):
    record = Record()
    classifier = VAEClassifier(tiny(), random_state=0).set_callbacks(record).fit(images, labels)
    assert tasks(record) == [("VAEClassifier", "fit", 1), VAE_FIT]
    assert record.log[-2:] == [("end", "VAEClassifier", "fit", 0), "teardown"]
    assert not hasattr(classifier.vae_, "_skl_callbacks")
    record.log.clear()
    classifier.set_params(vae=FrozenEstimator(classifier.vae_)).fit(1 - images, labels)
    assert tasks(record) == [("VAEClassifier", "fit", 0)]


@pytest.mark.parametrize(
    "method, n_parts, parts",
    [
        ("posterior", 1, [VAE_FIT]),
        ("conditional", 1, []),  # one task: its epochs are no estimator's
        ("deformation", 1, []),
        ("bootstrap", 0, []),
    ],
)
def test_an_augmenter_hands_them_on_to_vae_and_classifier(images, labels, method, n_parts, parts):
    record = Record()
    sampler = VAEAugmenter(vae=tiny(), method=method, n_new=1).set_callbacks(record)
    sampler.fit_resample(images, labels)
    assert tasks(record) == [("VAEAugmenter", "fit", n_parts), *parts]
    assert record.log[-2:] == [("end", "VAEAugmenter", "fit", 0), "teardown"]
    record.log.clear()
    pipeline = make_pipeline(tiny(), LogisticRegression(max_iter=500))
    wrapper = clone(sampler).set_params(estimator=pipeline).fit(images, labels)
    last = [("Pipeline", "fit", 2), VAE_FIT]
    began = [task for task in tasks(record) if task[1] == "fit" and "Logistic" not in task[0]]
    assert began == [("VAEAugmenter", "fit", n_parts + 1), *parts, *last]
    assert not hasattr(wrapper.estimator_, "_skl_callbacks")


def test_a_pipeline_and_a_search_hand_them_on_to_both(rows, labels):
    record = Record()
    wrapper = VAEAugmenter(LogisticRegression(max_iter=500), vae=tiny(), n_new=1)
    search = GridSearchCV(make_pipeline("passthrough", wrapper), {"vaeaugmenter__n_new": [1]}, cv=2)
    search.set_callbacks(record).fit(rows, labels)
    assert tasks(record).count(("VAEAugmenter", "fit", 2)) == 3
    assert tasks(record).count(VAE_FIT) == 3
    assert record.log.count("teardown") == 1


BARS = {
    "VAE": lambda: tiny(),
    "pipeline": lambda: make_pipeline(tiny(), LogisticRegression(max_iter=500)),
    "search": lambda: GridSearchCV(tiny(), {"lr": [1e-3, 1e-2]}, cv=2),
    "detector": lambda: VAEDetector(tiny(), random_state=0),
    "classifier": lambda: VAEClassifier(tiny(), random_state=0),
    "augmenter": lambda: VAEAugmenter(LogisticRegression(max_iter=500), vae=tiny(), n_new=1),
}


@pytest.mark.parametrize("name", BARS)
def test_the_progress_bar_of_scikit_learn(rows, labels, name, capsys):
    pytest.importorskip("rich")
    depth = None if name == "search" else 1
    estimator = BARS[name]().set_callbacks(callback.ProgressBar(max_propagation_depth=depth))
    estimator.fit(rows, labels)
    shown = capsys.readouterr().out
    assert f"{type(estimator).__name__} - fit" in shown
    assert "VAETransformer" in shown
    assert "100%" in shown
    pickle.loads(pickle.dumps(estimator))


def test_in_the_list_of_skorchs_they_are_refused_with_the_remedy(images):
    record = Record()
    vae = tiny(callbacks=[record])
    with pytest.raises(TypeError, match=r"'Record'.*estimator\.set_callbacks\(callback\)"):
        vae.fit(images)
    vae.set_params(callbacks=None).set_callbacks(record).fit(images)
    assert record.log[-1] == "teardown"

"""The wrapped classifier's methods: there where it has them, signature and docstring included."""

import inspect

import numpy as np
import pytest
from helpers import tiny
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import LinearSVC

from sklearn_vae import VAEAugmenter

ON_ROWS = ("predict", "predict_proba", "predict_log_proba", "decision_function")


@pytest.fixture(scope="module")
def wrapper(rows, labels):
    classifier = LogisticRegression(max_iter=500)
    return VAEAugmenter(classifier, method="bootstrap", n_new=1, random_state=0).fit(rows, labels)


@pytest.mark.parametrize("name", [*ON_ROWS, "score"])
def test_the_class_tells_signature_and_docstring(name):
    method = getattr(VAEAugmenter, name)
    expected = ["self", "X", "y"] if name == "score" else ["self", "X"]
    assert [*inspect.signature(method).parameters] == expected
    assert method.__name__ == name
    assert "Parameters\n" in inspect.getdoc(method)


@pytest.mark.parametrize("name", ON_ROWS)
def test_results_are_the_classifiers(name, wrapper, rows):
    expected = getattr(wrapper.estimator_, name)(rows)
    np.testing.assert_array_equal(getattr(wrapper, name)(rows), expected)
    np.testing.assert_array_equal(getattr(wrapper, name)(X=rows), expected)
    with pytest.raises(TypeError, match="positional argument"):
        getattr(wrapper, name)(rows, rows)


@pytest.mark.parametrize("classifier", [LinearSVC(), KNeighborsClassifier(), None])
@pytest.mark.parametrize("name", [*ON_ROWS, "score"])
def test_they_are_there_where_the_classifier_has_them(name, classifier):
    wrapper = VAEAugmenter(classifier, vae=tiny())
    assert hasattr(wrapper, name) == hasattr(classifier, name)


def test_a_score_is_of_labelled_rows_alone(wrapper, rows, labels):
    known = np.arange(len(labels)) % 3 > 0
    expected = wrapper.estimator_.score(rows[known], labels[known])
    assert wrapper.score(rows, y=np.where(known, labels, -1)) == expected
    with pytest.raises(ValueError, match="all rows are -1"):
        wrapper.score(rows, np.full(len(rows), -1))

"""TrainingCurveDisplay: its lines are the history."""

import pytest
from helpers import tiny
from matplotlib import pyplot as plt
from numpy.testing import assert_array_equal

from sklearn_vae.inspection import TrainingCurveDisplay


@pytest.fixture(scope="module")
def vae(images):
    return tiny(max_epochs=4, validation_fraction=0.2).fit(images)


@pytest.mark.parametrize("terms", ["loss", ["log_likelihood", "kl"], ["kl", "loss"]], ids=str)
def test_the_lines_are_the_history(vae, terms):
    display = TrainingCurveDisplay.from_estimator(vae, terms=terms)
    names = [terms] if isinstance(terms, str) else terms
    assert list(display.lines_) == names
    assert len(display.axes_) == len(names)
    for axis, term in zip(display.axes_, names, strict=True):
        assert list(axis.lines) == list(display.lines_[term].values())
        for side in ("train", "valid"):
            line = display.lines_[term][side]
            assert_array_equal(line.get_xdata(), [1, 2, 3, 4])
            assert_array_equal(line.get_ydata(), [row[f"{side}_{term}"] for row in vae.history_])
        labels = [text.get_text() for text in axis.get_legend().get_texts()]
        assert labels == ["training", "validation"]
        assert "nats" in axis.get_ylabel()


def test_without_validation_there_is_one_line(fitted):
    display = TrainingCurveDisplay.from_history(fitted.history_, color="red")
    assert list(display.lines_["loss"]) == ["train"]
    assert display.lines_["loss"]["train"].get_color() == "red"


def test_one_axes_per_term(vae):
    axes = plt.subplots(2, 1)[1]
    display = TrainingCurveDisplay.from_estimator(vae, terms=["log_likelihood", "kl"], ax=axes)
    assert list(display.axes_) == list(axes)
    with pytest.raises(ValueError, match=r"1 axes for 2 terms.*plt.subplots\(1, 2\)"):
        TrainingCurveDisplay.from_estimator(vae, terms=["log_likelihood", "kl"], ax=axes[0])


def test_refusals(vae):
    with pytest.raises(ValueError, match="terms='elbo'; use one or more of loss, log_lik"):
        TrainingCurveDisplay.from_estimator(vae, terms="elbo")
    with pytest.raises(ValueError, match="terms is empty"):
        TrainingCurveDisplay.from_estimator(vae, terms=[])
    with pytest.raises(ValueError, match="history is empty"):
        TrainingCurveDisplay.from_history([])
    with pytest.raises(ValueError, match=r"history lacks \['train_kl'\]"):
        TrainingCurveDisplay.from_history([{"epoch": 1, "train_loss": 2.0}], terms="kl")
    assert not plt.get_fignums()

"""Labels that shape the latent space: label_weight above 0, -1 for unlabelled."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from helpers import Interrupt, RecordRows, same_weights, synthetic_images, tiny, weights
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.semi_supervised import LabelSpreading, SelfTrainingClassifier
from sklearn.svm import SVC
from torch.utils.data import TensorDataset

from sklearn_vae import VAEAugmenter
from sklearn_vae.input._batches import Batches
from sklearn_vae.input._labels import class_numbers, read_labels
from sklearn_vae.input._rows import ArrayDataset
from sklearn_vae.model._label_loss import label_loss
from sklearn_vae.nn import Conv


@pytest.fixture(scope="module")
def spots():
    """Return noisy images whose class is one faint spot, which no VAE of 3 dimensions keeps."""
    rng = np.random.default_rng(0)
    X = rng.uniform(0, 1, (400, 8, 8)).astype(np.float32)
    y = np.arange(400) % 2
    X[:, 3:5, 3:5] = 0.5 + 0.3 * (2 * y - 1)[:, None, None] * rng.uniform(0.2, 1, (400, 1, 1))
    return X, y


def accuracy(vae, X, y):
    """Of a linear head, fitted on the first half, on the second."""
    Z = vae.transform(X)
    return LogisticRegression(C=100).fit(Z[:200], y[:200]).score(Z[200:], y[200:])


LEARNING = {"max_epochs": 30, "lr": 0.01, "label_weight": 1.0}


@pytest.mark.filterwarnings("ignore:No latent dimension is in use")  # without labels
def test_labels_bring_into_the_mean_what_the_images_alone_do_not(spots):
    X, y = spots
    half = np.where(np.arange(400) < 200, y, -1)
    assert accuracy(tiny(**LEARNING | {"label_weight": 0}).fit(X, half), X, y) < 0.8
    assert accuracy(tiny(**LEARNING).fit(X, half), X, y) > 0.9


def test_pseudo_labels_are_what_the_model_makes_of_the_clean_images(spots, monkeypatch):
    X, y = spots
    calls = []

    def record(logits, y, clean=None):
        calls.append((len(logits), y, clean))
        return label_loss(logits, y, clean)

    monkeypatch.setattr("sklearn_vae.training._net.label_loss", record)
    few = np.where(np.arange(400) < 20, y, -1)
    vae = tiny(label_weight=1, batch_size=100, max_epochs=1, lr=1e-9, augment=lambda x: 1 - x)
    vae.fit(X, few)  # at a vanishing rate: the weights stay
    n, known, clean = calls[0]
    assert n == len(known) == 120  # a fifth on top, as a twentieth has labels in any case
    assert clean.shape == (100, 2)
    assert not clean.requires_grad
    with torch.no_grad():
        expected = vae.module_.class_logits(vae.module_.scaling(torch.from_numpy(X)))
    distance = torch.cdist(torch.cat([c[2] for c in calls]), expected)
    assert float(distance.min(1).values.max()) < 1e-3  # each one is that of a clean image
    calls.clear()
    vae.fit(X, y)
    assert {(n, clean) for n, _, clean in calls} == {(100, None)}


def test_by_default_labels_change_nothing(spots):
    X, y = spots
    a, b = tiny().fit(X, y), tiny().fit(X)
    assert same_weights(a, b)
    assert not hasattr(a, "classes_")


@pytest.mark.parametrize("names", [["no", "yes"], [False, True], [3.0, 7.0]])
def test_what_classes_are_called_is_all_the_same(spots, names):
    X, y = spots
    a, b = tiny(label_weight=1).fit(X, y), tiny(label_weight=1).fit(X, np.array(names)[y])
    assert same_weights(a, b)
    assert b.classes_.tolist() == names


def test_strings_may_be_mixed_with_minus_one(spots):
    X, y = spots
    few = np.where(np.arange(400) < 20, y, -1)
    named = np.array([-1, "no", "yes"], dtype=object)[few + 1]
    a, b = tiny(label_weight=1).fit(X, few), tiny(label_weight=1).fit(X, named)
    assert same_weights(a, b)
    assert b.classes_.tolist() == ["no", "yes"]


def test_every_batch_brings_labelled_rows():
    X = np.arange(40, dtype=np.float32)[:, None]
    classes = torch.full((40,), -1)
    classes[[3, 7, 11]] = torch.tensor([0, 1, 0])
    rows = torch.utils.data.Subset(ArrayDataset(X, classes), range(5, 40))  # leaves row 3 out
    seen = []
    for batch in Batches(rows, 10, shuffle=True, labelled_share=0.65):  # 2 of 35 have one
        (x, y), own = batch, batch.n
        assert own in (10, 5)
        assert len(x) == own + 6
        assert set(x[own:, 0].tolist()) <= {7.0, 11.0}
        np.testing.assert_array_equal(y, classes[x[:, 0].long()])
        seen += x[:own, 0].tolist()
    assert sorted(seen) == list(range(5, 40))


def test_labels_of_the_validation_split_are_not_learnt_from(spots):
    X, _ = spots
    y = np.full(400, -1)
    y[:8] = [0, 1] * 4  # too few of each class to stratify: the split does not depend on y
    y[:2] = [0, 1]
    quick = {"label_weight": 1, "validation_fraction": 0.25, "max_epochs": 3}
    fitted = tiny(**quick).fit(X, y)
    held = fitted.history_[-1]["valid_label_loss"]
    assert held > 0
    assert fitted.history_[-1]["train_label_loss"] > 0


def test_history_has_the_loss_in_its_parts(spots):
    X, y = spots
    row = tiny(label_weight=0.5, beta=2.0).fit(X, y).history_[-1]
    expected = 2 * row["train_kl"] - row["train_log_likelihood"]
    expected += 0.5 * 64 * row["train_label_loss"]
    assert row["train_loss"] == pytest.approx(expected, rel=1e-5)


def test_a_model_trained_without_labels_goes_on_with_them(spots):
    X, y = spots
    few = np.where(np.arange(400) < 200, y, -1)
    vae = tiny(max_epochs=10, warm_start=True).fit(X)
    before = weights(vae)
    vae.set_params(label_weight=1, max_epochs=30, lr=0.01).fit(X, few)
    assert vae.n_iter_ == 40
    assert before.keys() < weights(vae).keys()
    assert accuracy(vae, X, y) > 0.9
    vae.set_params(max_epochs=1).fit(X, few)  # and the optimiser's state fits again
    assert vae.n_iter_ == 41


@pytest.mark.parametrize("how", ["refused", "Ctrl-C"])
def test_a_failed_start_with_labels_leaves_a_model_without_them(spots, how):
    X, y = spots
    # Refused because of BatchNorm, or interrupted, when the class head is already there.
    vae = tiny(network=Conv((4,), batch_norm=True), warm_start=True).fit(X)
    before = weights(vae)
    callbacks = [Interrupt()] if how == "Ctrl-C" else None
    batch_size = 64 if how == "Ctrl-C" else 1
    vae.set_params(label_weight=1, callbacks=callbacks, batch_size=batch_size)
    with pytest.raises(KeyboardInterrupt if how == "Ctrl-C" else ValueError):
        vae.fit(X, y)
    assert same_weights(vae, before)
    vae.set_params(callbacks=None)
    assert same_weights(pickle.loads(pickle.dumps(vae)), before)


def test_chunks_without_labels_go_on_with_guesses(spots):
    X, y = spots
    vae = tiny(label_weight=1, lr=0.01, max_epochs=20).fit(X, y)
    vae.partial_fit(X, np.full(len(X), -1))
    assert vae.history_[-1]["train_label_loss"] > 0
    assert accuracy(vae, X, y) > 0.9


@pytest.mark.parametrize(
    "y", [np.array(["a", None] * 20, object), [[1], [1, 2]] * 20, [np.nan, 1.0] * 20]
)
def test_without_label_weight_no_y_can_end_a_fit(y):
    X = synthetic_images(40, 8, 8)
    assert same_weights(
        tiny(validation_fraction=0.3).fit(X, y), tiny(validation_fraction=0.3).fit(X)
    )


@pytest.mark.parametrize("names", [["no", "yes"], [0, 2], [1, 0, 2], ["1", "0"]])
def test_other_classes_get_a_head_of_their_own(spots, names):
    X, y = spots
    vae = tiny(label_weight=1, warm_start=True).fit(X, y)
    others = np.array(names)[y if len(names) == 2 else np.arange(400) % 3]
    before, how = weights(vae), {"lr": 1e-12, "lr_schedule": "constant", "max_epochs": 1}
    vae.set_params(**how).fit(X, others)
    assert vae.classes_.tolist() == sorted(names)
    assert vae.n_iter_ == 3
    after = weights(vae)
    assert after["class_head.weight"].shape == (len(names), 3)
    assert not np.array_equal(after["class_head.weight"], before["class_head.weight"])
    for name, value in before.items():  # the rest went on, by steps of next to nothing
        if "class_head" not in name and "feature" not in name:
            np.testing.assert_allclose(after[name], value, atol=1e-6)
    state = vae.net_.optimizer_.state_dict()["state"]
    assert {float(s["step"]) for s in state.values()} == {7}  # begins with the new head
    vae.fit(X, others)  # and goes on with it
    assert {float(s["step"]) for s in vae.net_.optimizer_.state_dict()["state"].values()} == {14}


def test_a_new_head_learns_and_is_saved(spots):
    X, y = spots
    vae = tiny(label_weight=1, warm_start=True).fit(X, y % 2)
    names = np.array(["dark", "light"])[y]
    vae.set_params(max_epochs=20, lr=0.01).fit(X, names)
    loaded = pickle.loads(pickle.dumps(vae))
    assert loaded.classes_.tolist() == ["dark", "light"]
    assert same_weights(loaded, vae)
    assert accuracy(loaded, X, y) > 0.9


@pytest.mark.parametrize("y", [[0] * 400, [-1] * 400])
def test_known_classes_keep_their_head(spots, y):
    X, labels = spots
    vae = tiny(label_weight=1, warm_start=True).fit(X, labels)
    before = weights(vae)
    vae.set_params(lr=1e-12, lr_schedule="constant", max_epochs=1).fit(X, np.array(y))
    assert vae.classes_.tolist() == [0, 1]
    np.testing.assert_allclose(
        weights(vae)["class_head.weight"], before["class_head.weight"], atol=1e-6
    )


def test_a_failed_start_with_other_classes_leaves_the_old(spots):
    X, y = spots
    vae = tiny(label_weight=1, warm_start=True).fit(X, y)
    before = weights(vae)
    vae.set_params(callbacks=[Interrupt()])
    with pytest.raises(KeyboardInterrupt):
        vae.fit(X, np.arange(400) % 3)
    assert vae.classes_.tolist() == [0, 1]
    assert same_weights(weights(vae), before)


def test_chunks(spots):
    X, y = spots
    vae = tiny(label_weight=1, lr=0.01)
    for _ in range(15):
        for start in (0, 200):
            vae.partial_fit(X[start : start + 200], y[start : start + 200])
    assert accuracy(vae, X, y) > 0.9
    with pytest.raises(ValueError, match=r"classes \[2\].*head for\s+\[0, 1\].*warm_start=True"):
        vae.partial_fit(X[:9], np.array([0, 1, 2] * 3))


def test_round_trip(spots, tmp_path):
    import joblib

    X, y = spots
    vae = tiny(label_weight=1).fit(X, y)
    joblib.dump(vae, tmp_path / "vae.joblib")
    loaded = joblib.load(tmp_path / "vae.joblib")
    assert same_weights(vae, loaded)
    assert loaded.classes_.tolist() == [0, 1]
    np.testing.assert_array_equal(vae.transform(X), loaded.transform(X))


def test_a_torch_dataset_with_labels_beside_it(spots):
    X, y = spots
    a = tiny(label_weight=1).fit(X, y)
    b = tiny(label_weight=1).fit(TensorDataset(torch.from_numpy(X)[:, None]), y)
    assert same_weights(a, b)


def test_conditional_networks_and_importance_weights_train_with_labels(spots):
    X, y = spots
    few = np.where(np.arange(400) < 40, y, -1)
    net = Conv((4, 8), batch_norm=True)
    vae = tiny(label_weight=1, network=net, augment="geometric", importance_samples=2).fit(X, few)
    assert np.isfinite(vae.transform(X)).all()


@pytest.mark.parametrize(
    "head",
    [
        SelfTrainingClassifier(SVC(), max_iter=0),
        SelfTrainingClassifier(LogisticRegression()),
        LabelSpreading(kernel="knn", n_neighbors=30),
    ],
    ids=["SVC", "LogisticRegression", "LabelSpreading"],
)
def test_heads_that_know_minus_one_complete_a_pipeline(spots, head):
    X, y = spots
    few = np.where(np.arange(300) < 200, y[:300], -1)
    pipeline = make_pipeline(tiny(**LEARNING), head).fit(X[:300], few)
    assert pipeline.score(X[300:], y[300:]) > 0.9


@pytest.mark.filterwarnings("ignore:No latent dimension is in use")  # without labels
def test_a_search_tunes_the_weight(spots):
    X, y = spots
    pipeline = make_pipeline(tiny(**LEARNING), LogisticRegression())
    grid = {"vaetransformer__label_weight": [0, 1.0]}
    search = GridSearchCV(pipeline, grid, cv=2).fit(X, y)
    assert search.best_params_ == {"vaetransformer__label_weight": 1.0}


REFUSED = {
    "no labels": (None, r"y is None.*label_weight=0"),
    "all unlabelled": (np.full(400, -1), r"two classes or more, but y has\s+\[\]"),
    "one class": (
        np.where(np.arange(400) < 9, 4, -1),
        r"one class only, 4, beside -1.*np\.where\(np\.asarray\(y\) == -1, 0, y\)",
    ),
    "one class for all": (np.full(400, 4), r"two classes or more, but y has\s+\[4\]"),
    "numbers": (np.linspace(0, 1, 400), r"[Uu]nknown label type"),
    "too few": (np.arange(30) % 2, r"400 samples, but y has shape \(30,\)"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_labels_that_cannot_work_are_refused_and_leave_the_model_alone(spots, name):
    X, y = spots
    vae = tiny(label_weight=1).fit(X, y)
    before = weights(vae)
    bad, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        vae.fit(X, bad)
    assert same_weights(before, weights(vae))
    assert vae.classes_.tolist() == [0, 1]


def test_no_label_left_for_training(spots):
    X, _ = spots
    y = np.full(400, -1)
    y[:2] = 0, 1
    vae = tiny(label_weight=1, validation_fraction=0.9, max_epochs=1)
    rows = RecordRows()
    vae.set_params(callbacks=[rows], label_weight=0).fit(X)
    held_out = vae.net_.callbacks_[-1][1].valid_[:2]
    y = np.full(400, -1)
    y[held_out] = 0, 1  # the split goes by random_state alone: two classes are too few for more
    with pytest.raises(ValueError, match="all are in the validation split"):
        vae.set_params(label_weight=1).fit(X, y)


def test_class_numbers():
    classes, numbers = class_numbers(np.array([5, -1, 2, 5]))
    assert classes.tolist() == [2, 5]
    assert numbers.tolist() == [1, -1, 0, 1]
    _, numbers = class_numbers(np.array([-1, 5]), np.array([2, 5]))
    assert numbers.tolist() == [-1, 1]


def test_minus_one_among_names_in_a_list_is_no_class(rows):
    names = ["a" if i % 2 else "b" for i in range(200)]
    names[:30] = [-1] * 30
    assert read_labels(names).tolist() == names
    assert tiny(label_weight=1.0).fit(rows, names).classes_.tolist() == ["a", "b"]


def test_numbers_as_objects_are_numbers():
    labels = read_labels(np.array([0, 1, -1, 2], dtype=object))
    assert labels.dtype.kind == "i"
    assert labels.tolist() == [0, 1, -1, 2]


# -- what y is ---------------------------------------------------------------------------------

CLASSES = np.arange(24) % 3
SOME = np.where(np.arange(24) % 4 == 3, -1, CLASSES)
NAMES = np.array(["a", "b", "c"], object)
NAMED = np.where(SOME < 0, -1, NAMES[CLASSES])
X24 = synthetic_images(24, 64)
KINDS = {
    "bool": (CLASSES > 0, [False, True]),
    "int8": (CLASSES.astype(np.int8), [0, 1, 2]),
    "uint8": (CLASSES.astype(np.uint8), [0, 1, 2]),
    "float": (SOME.astype(np.float32), [0.0, 1.0, 2.0]),
    "text": (NAMES[CLASSES].astype(str), ["a", "b", "c"]),
    "objects": (NAMED, ["a", "b", "c"]),
    "list": (NAMED.tolist(), ["a", "b", "c"]),
    "tuple": (tuple(SOME.tolist()), [0, 1, 2]),
    "bool and -1": (np.array([-1 if v < 0 else bool(v) for v in SOME], object), [0, 1]),
    "column": (SOME[:, None], [0, 1, 2]),
    "frame": (pd.DataFrame({"y": SOME}), [0, 1, 2]),
    "Series": (pd.Series(NAMED), ["a", "b", "c"]),
    "categorical": (pd.Series(NAMED, dtype="category"), ["a", "b", "c"]),
    "categorical numbers": (pd.Series(SOME, dtype="category"), [0, 1, 2]),
    "Int64": (pd.Series(SOME, dtype="Int64"), [0, 1, 2]),
    "boolean": (pd.Series(CLASSES > 0, dtype="boolean"), [False, True]),
    "string": (pd.Series(NAMES[CLASSES], dtype="string"), ["a", "b", "c"]),
    "polars": (pl.Series(SOME), [0, 1, 2]),
    "polars text": (pl.Series(NAMES[CLASSES].tolist()), ["a", "b", "c"]),
    "polars frame": (pl.DataFrame({"y": SOME}), [0, 1, 2]),
    "Arrow": (pa.array(SOME), [0, 1, 2]),
    "tensor": (torch.tensor(SOME), [0, 1, 2]),
    "list of tensors": (list(torch.tensor(SOME)), [0, 1, 2]),
}


@pytest.mark.parametrize("name", KINDS)
def test_labels_in_any_container_have_their_classes_and_unlabelled_rows(name):
    y, classes = KINDS[name]
    labels = read_labels(y)
    assert labels.shape == (24,)
    found, numbers = class_numbers(labels)
    assert found.tolist() == classes
    assert [type(v) for v in found.tolist()] == [type(v) for v in classes]
    marked = not isinstance(classes[0], bool) and name not in ("int8", "uint8", "text", "string")
    marked = marked and name != "polars text"
    expected = SOME if marked else CLASSES
    np.testing.assert_array_equal(numbers, np.where(expected < len(classes), expected, 1))


def fits(y):
    """All fits that read labels."""
    rows = X24[: len(y)]
    return {
        "label_weight": lambda: tiny(label_weight=1, max_epochs=1).fit(rows, y),
        "partial_fit": lambda: tiny(label_weight=1).partial_fit(rows, y),
        "sampler": lambda: VAEAugmenter(vae=tiny(max_epochs=1), n_new=2).fit(rows, y),
        "fit_resample": lambda: VAEAugmenter(vae=tiny(max_epochs=1), n_new=2).fit_resample(rows, y),
        "wrapper": lambda: VAEAugmenter(SVC(), vae=tiny(max_epochs=1), n_new=2).fit(rows, y),
    }


def without(kind, values=None):
    return [kind, *(NAMES[CLASSES].tolist() if values is None else values)[1:]]


NUMBERS = CLASSES.astype(float).tolist()
MISSING = {
    "NaN": np.array(without(np.nan, NUMBERS)),
    "NaN in a list": without(np.nan, NUMBERS),
    "NaN in a tensor": torch.tensor(without(np.nan, NUMBERS)),
    "NaN among names": without(np.nan),
    "None": without(None),
    "None among numbers": without(None, NUMBERS),
    "pd.NA": np.array(without(pd.NA), object),
    "NaT": np.array(without(pd.NaT), object),
    "Series": pd.Series(without(None)),
    "string": pd.Series(without(None), dtype="string"),
    "Int64": pd.Series(without(None, NUMBERS), dtype="Int64"),
    "boolean": pd.Series(without(None, (CLASSES > 0).tolist()), dtype="boolean"),
    "categorical": pd.Series(without(None), dtype="category"),
    "categorical numbers": pd.Series(without(None, NUMBERS), dtype="category"),
    "polars": pl.Series(without(None, NUMBERS)),
    "polars text": pl.Series(without(None)),
    "Arrow in pandas": pd.Series(without(None, NUMBERS), dtype=pd.ArrowDtype(pa.float64())),
    "frame": pd.DataFrame({"y": without(np.nan, NUMBERS)}),
}
TEXT = [("-1" if v < 0 else "abc"[v]) for v in SOME]
TEXT_MARKS = {
    "array": np.array(TEXT),
    "mixture": np.array([-1 if v == "-1" else v for v in TEXT]),
    "floats": np.array([-1.0 if v == "-1" else v for v in TEXT]),
    "NaN": np.array([np.nan if v == "-1" else v for v in TEXT]),
    "objects": np.array(TEXT, object),
    "list": TEXT,
    "Series": pd.Series(TEXT),
    "categorical": pd.Series(TEXT, dtype="category"),
    "Arrow": pd.Series(TEXT, dtype=pd.ArrowDtype(pa.string())),
    "polars": pl.Series(TEXT),
}
OTHER_LABELS = {
    "text and numbers": (np.array([1, "a"] * 12, object), "Make all text"),
    "text and numbers in a list": ([1, "a", -1] * 8, "Make all text"),
    "ragged": ([[1], [1, 2]] * 12, "several lengths"),
    "masked": (np.ma.array(CLASSES, mask=CLASSES == 0), r"masked values.*y\.filled\(-1\)"),
}


def follow(message, y):
    return eval(message.split(": ")[-1].removesuffix("."), {"np": np, "pd": pd, "y": y})


def refused(y, message):
    """Check that no fit takes y; return what was said."""
    for call in fits(y).values():
        with pytest.raises(ValueError, match=message) as caught:
            call()
    return str(caught.value)


@pytest.mark.parametrize("name", MISSING)
def test_missing_labels_are_refused_and_the_remedy_marks_them(name):
    y = MISSING[name]
    message = refused(y, r"missing values \(NaN, None, pd\.NA or NaT\) in 1 of 24.*number -1")
    labels = read_labels(follow(message, y))
    _, numbers = class_numbers(labels)
    assert numbers[0] == -1
    assert (numbers[1:] >= 0).all()


@pytest.mark.parametrize("name", TEXT_MARKS)
def test_text_that_was_minus_one_is_refused_and_the_remedy_marks_it(name):
    y = TEXT_MARKS[name]
    message = refused(y, r"holds the text '(-1|-1\.0|nan)', which would be a class.*number -1")
    classes, numbers = class_numbers(read_labels(follow(message, y)))
    assert classes.tolist() == ["a", "b", "c"]
    np.testing.assert_array_equal(numbers, SOME)


@pytest.mark.parametrize("name", OTHER_LABELS)
def test_labels_of_several_kinds_are_refused(name):
    y, message = OTHER_LABELS[name]
    said = refused(y, message)
    if "text" in name:
        classes, _ = class_numbers(read_labels(follow(said, y)))
        assert classes.tolist() == ["1", "a"]


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "uint64"])
def test_minus_one_in_an_unsigned_dtype_is_refused_and_the_remedy_brings_it_back(dtype):
    y = SOME.astype(dtype)
    message = refused(y, f"y is {dtype} and holds {np.iinfo(dtype).max}, .* beside 0 to 2")
    classes, numbers = class_numbers(read_labels(follow(message, y)))
    assert classes.tolist() == [0, 1, 2]
    np.testing.assert_array_equal(numbers, SOME)


@pytest.mark.parametrize(
    "classes", [[0, 255], [0, 127, 255], [7, 200, 255], [*range(256)], [*range(10)], [255]]
)
def test_other_classes_in_an_unsigned_dtype_are_classes(classes):
    assert (
        class_numbers(read_labels(np.repeat(np.array(classes, np.uint8), 3)))[0].tolist() == classes
    )


def test_one_label_is_no_y():
    for y in (3, "a", np.array(3)):
        with pytest.raises(ValueError, match="Give one label per row"):
            read_labels(y)


@pytest.mark.parametrize(
    "y",
    [
        2 * (CLASSES > 0) - 1,
        2.0 * (CLASSES > 0) - 1,
        (2 * (CLASSES > 0) - 1).tolist(),
        pd.Series(2 * (CLASSES > 0) - 1),
        torch.tensor(2 * (CLASSES > 0) - 1),
        (CLASSES > 0) - 1,
        np.array(["a" if v else -1 for v in CLASSES], object),
    ],
)
def test_minus_one_beside_one_class_is_refused_and_the_remedy_recodes(y):
    message = refused(y, r"one class only, .*, beside -1, which means unlabelled")
    classes, numbers = class_numbers(read_labels(follow(message, y)))
    assert len(classes) == 2
    np.testing.assert_array_equal(numbers == numbers[0], CLASSES == 0)


def test_unlabelled_rows_are_counted_and_told_under_verbose(capsys):
    vae = tiny(label_weight=1, max_epochs=1).fit(X24, SOME)
    assert vae.n_unlabelled_ == 6
    assert vae.fit(X24, CLASSES).n_unlabelled_ == 0
    assert not hasattr(vae.set_params(label_weight=0).fit(X24, SOME), "n_unlabelled_")
    assert capsys.readouterr().out == ""
    line = "y: 6 of 24 rows are -1, unlabelled\n"
    tiny(label_weight=1, max_epochs=1, verbose=2).fit(X24, SOME)
    assert capsys.readouterr().out.count(line) == 1
    tiny(label_weight=1, max_epochs=1, verbose=2).fit(X24, CLASSES)
    assert "unlabelled" not in capsys.readouterr().out
    for weight in (0, 1):
        teacher = tiny(label_weight=weight, max_epochs=1, verbose=2)
        for estimator in (None, SVC()):
            fitted = VAEAugmenter(estimator, vae=teacher, n_new=2).fit(X24, SOME)
            assert fitted.n_unlabelled_ == 6
            assert capsys.readouterr().out.count(line) == 1


def test_a_wrapper_refuses_one_hot_labels_and_its_scores_are_numbers():
    wrapper = VAEAugmenter(SVC(), vae=tiny(max_epochs=1), n_new=2, random_state=0)
    one_hot = np.eye(3, dtype=int)[CLASSES]
    for y in (one_hot, one_hot.astype(float), pd.DataFrame(one_hot), torch.tensor(one_hot)):
        with pytest.raises(ValueError, match=r"one-hot.*np\.asarray\(y\)\.argmax\(1\)") as caught:
            wrapper.fit(X24, y)
        np.testing.assert_array_equal(follow(str(caught.value), y), CLASSES)
    fitted = wrapper.fit(X24, CLASSES)
    with pytest.raises(ValueError, match="one-hot"):
        fitted.score(X24, one_hot)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.filterwarnings("ignore:A column-vector y")
def test_scores_are_of_the_labelled_rows(name):
    y, _ = KINDS[name]
    wrapper = VAEAugmenter(SVC(), vae=tiny(max_epochs=1), n_new=2, random_state=0).fit(X24, y)
    labels = read_labels(y)
    known = class_numbers(labels)[1] >= 0
    expected = np.mean(wrapper.predict(X24)[known] == labels[known])
    assert wrapper.score(X24, y) == pytest.approx(expected)


def test_cross_validation_over_unlabelled_rows_gives_numbers():
    wrapper = VAEAugmenter(SVC(), vae=tiny(max_epochs=1), n_new=2, random_state=0)
    for y in (SOME, NAMED):
        folds = KFold(3, shuffle=True, random_state=0)
        assert np.isfinite(cross_val_score(wrapper, X24, y, cv=folds)).all()
    with pytest.raises(ValueError, match="all rows are -1"):
        wrapper.fit(X24, SOME).score(X24[:2], [-1, -1])

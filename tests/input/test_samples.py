"""Containers that people keep images in: they work as the array does, or the remedy is named."""

import io
from collections import UserList, deque
from pathlib import Path

import dask.array
import h5py
import numpy as np
import pandas as pd
import PIL.Image
import polars as pl
import pyarrow as pa
import pytest
import torch
import torchvision.transforms.v2
import zarr
from helpers import Trained, synthetic_images, tiny
from PIL import Image
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from sklearn_vae import VAEAugmenter, VAEDetector
from sklearn_vae.input._samples import dense

X = synthetic_images(24, 8, 8, dtype="uint8")
Y = np.arange(24) % 2
FLAT = X.reshape(24, -1)


def objects(images):
    """An array of objects, one image each."""
    array = np.empty(len(images), object)
    for i, image in enumerate(images):
        array[i] = image
    return array


def nested(dtype):
    return pl.Series("x", X.tolist(), dtype=dtype)


STACKED = {
    "object array": lambda: objects(X),
    "column of objects": lambda: objects(X)[:, None],
    "Series": lambda: pd.Series(list(X), index=np.arange(24) / 2),
    "frame of one column": lambda: pd.DataFrame({"image": list(X)}),
    "list": lambda: list(X),
    "tuple": lambda: tuple(X),
    "deque": lambda: deque(X),
    "UserList": lambda: UserList(X),
    "list of tensors": lambda: [torch.tensor(x) for x in X],
    "lists of tensors": lambda: [list(torch.tensor(x)) for x in X],
    "list of Pillow's": lambda: [Image.fromarray(x) for x in X],
    "Series of Pillow's": lambda: pd.Series([Image.fromarray(x) for x in X]),
    "polars lists": lambda: nested(pl.List(pl.List(pl.UInt8))),
    "polars arrays": lambda: nested(pl.Array(pl.UInt8, (8, 8))),
    "polars frame": lambda: pl.DataFrame({"image": nested(pl.Array(pl.UInt8, (8, 8)))}),
    "polars objects": lambda: pl.Series("x", list(X), dtype=pl.Object),
    "Arrow lists": lambda: pa.array(X.tolist(), pa.list_(pa.list_(pa.uint8()))),
    "Arrow table": lambda: pa.table({"x": pa.array(X.tolist(), pa.list_(pa.list_(pa.uint8())))}),
}


@pytest.fixture(scope="module")
def vae():
    return tiny().fit(X)


@pytest.fixture(scope="module")
def augmenter():
    wrapped = make_pipeline(tiny(), SVC())
    return VAEAugmenter(wrapped, vae=tiny(), n_new=2, random_state=0).fit(X, Y)


@pytest.fixture(scope="module")
def detector():
    return VAEDetector(tiny()).fit(X)


@pytest.mark.parametrize("name", STACKED)
def test_containers_of_images_work_as_the_array_does(name, vae, augmenter):
    make = STACKED[name]
    np.testing.assert_array_equal(tiny().fit(make()).transform(make()), vae.transform(X))
    np.testing.assert_array_equal(augmenter.predict(make()), augmenter.predict(X))


FRAMES = ["polars lists", "polars arrays", "polars frame", "polars objects"]


@pytest.mark.parametrize("name", ["object array", "Series", "frame of one column", *FRAMES])
def test_synthetic_images_come_in_the_users_container(name):
    sampler = VAEAugmenter(vae=tiny(), n_new=3, random_state=0)
    expected = sampler.fit_resample(X, Y)[0]
    given = STACKED[name]()
    found = sampler.fit_resample(given, Y)[0]
    assert type(found) is type(given)
    cells = found.to_series() if isinstance(found, pl.DataFrame) else found
    cells = cells.to_list() if name in FRAMES else list(np.asarray(cells).ravel())
    np.testing.assert_array_equal(np.stack(cells), expected)


def test_sparse_columns_of_pandas_are_read():
    unit = FLAT / 255 * (FLAT > 100)
    frame = pd.DataFrame(unit).astype(pd.SparseDtype(float, 0.0))
    expected = tiny().fit(unit).transform(unit)
    found = tiny().fit(frame)
    np.testing.assert_array_equal(found.transform(frame), expected)


def test_only_sparse_columns_are_made_dense():
    frame = pd.DataFrame({"s": pd.arrays.SparseArray([0.0, 1.0]), "d": [1.5, 2.5]})
    out = dense(frame)
    assert [dtype.kind for dtype in out.dtypes] == ["f", "f"]
    assert not any(hasattr(dtype, "fill_value") for dtype in out.dtypes)
    series = pd.Series([1.0, 2.0])
    assert dense(series) is series


def test_bfloat16_and_gradients_do_not_matter():
    unit = torch.tensor(X / 255).bfloat16()
    expected = tiny().fit(unit.float().numpy()).transform(unit.float().numpy())
    for given in (unit, list(unit), [x.requires_grad_() for x in unit.float()]):
        np.testing.assert_array_equal(tiny().fit(given).transform(given), expected)


class Items(Dataset):
    def __init__(self, item):
        self.item = item

    def __len__(self):
        return 24

    def __getitem__(self, i):
        if i >= 24:
            raise IndexError
        return self.item(i)


class Stream(IterableDataset):
    def __len__(self):
        return 24

    def __iter__(self):
        return iter(torch.tensor(X))


class NoDataset:
    def __len__(self):
        return 24

    def __getitem__(self, i):
        return {"image": X[i]}


def png(x):
    file = io.BytesIO()
    Image.fromarray(x).save(file, "PNG")
    return file.getvalue()


def stored():
    file = h5py.File(io.BytesIO(), "w")
    return file.create_dataset("x", data=X)


READER = r"ImageReader\(size=32\) in front.*load_image_folder"
WHOLE = r"read as a whole.*np\.asarray\(X\).*np\.load\(path, mmap_mode='r'\)"
SEVERAL = r"several sizes: \(8, 8\), \(9, 9\)\. Resize"
REFUSED = {
    "column beside others": (lambda: pd.DataFrame({"image": list(X), "a": 1}), r"X\['image'\]"),
    "list of several sizes": (lambda: [np.zeros((8, 8)), np.zeros((9, 9))] * 12, SEVERAL),
    "objects of several sizes": (
        lambda: objects([np.zeros((8, 8)), np.zeros((9, 9))] * 12),
        SEVERAL,
    ),
    "tensors of several sizes": (lambda: [torch.zeros(8, 8), torch.zeros(9, 9)] * 12, SEVERAL),
    "several modes": (
        lambda: [Image.fromarray(X[0]), Image.fromarray(X[0]).convert("RGB")] * 12,
        r"\(8, 8\), \(8, 8, 3\)\. Give each as many channels.*convert\('RGB'\)",
    ),
    "palettes": (lambda: [Image.fromarray(X[0]).convert("P")] * 24, r"mode 'P'.*convert\('RGB'\)"),
    "rows of several lengths": (lambda: [[1, 2], [3]] * 12, "Rows need one length"),
    "one of Pillow's": (lambda: Image.fromarray(X[0]), r"one image.*\[X\]"),
    "DataLoader": (lambda: DataLoader(TensorDataset(torch.tensor(X))), r"loader\.dataset"),
    "DataLoader of a stream": (lambda: DataLoader(Stream()), r"here X\.dataset\.$"),
    "Dataset of dicts": (lambda: Items(lambda i: {"image": X[i]}), r"keys \['image'\].*Wrap it"),
    "Dataset of paths": (lambda: Items(lambda i: "a.png"), r"ImageReader\(size=32\)"),
    "Dataset of several sizes": (lambda: Items(lambda i: torch.zeros(8, 8 + i % 2)), "Resize"),
    "no torch Dataset": (NoDataset, r"derives from torch\.utils\.data\.Dataset"),
    "list of paths": (lambda: ["a.png"] * 24, READER),
    "array of paths": (lambda: np.array(["a.png"] * 24), READER),
    "column of an array of paths": (lambda: np.array([["a.png"]] * 24), READER),
    "objects that are paths": (lambda: np.array(["a.png"] * 24, object), READER),
    "Series of paths": (lambda: pd.Series(["a.png"] * 24), READER),
    "frame with paths": (lambda: pd.DataFrame({"a": 1.0, "path": ["a.png"] * 24}), READER),
    "polars paths": (lambda: pl.Series(["a.png"] * 24), READER),
    "Arrow paths": (lambda: pa.array(["a.png"] * 24), READER),
    "Path objects": (lambda: [Path("a.png")] * 24, READER),
    "one path": (lambda: "images", READER),
    "bytes": (lambda: [png(x) for x in X], r"PIL\.Image\.open\(io\.BytesIO\(x\)\)"),
    "generator": (lambda: (x for x in X), r"only once.*np\.stack\(\[np\.asarray\(x\) for x in X\]"),
    "map": (lambda: map(np.asarray, X), r"only once.*np\.stack"),
    "lazy frame": (lambda: pl.DataFrame(FLAT).lazy(), "LazyFrame"),
    "None": (lambda: None, "X is None"),
    "None among images": (lambda: [*X[1:], None], "None among its samples"),
    "dict": (lambda: {"image": X, "label": Y}, r"keys \['image', 'label'\]"),
    "list of dicts": (lambda: [{"image": x} for x in X], r"keys \['image'\]"),
    "masked": (lambda: np.ma.array(X, mask=X > 100), r"X\.filled\(0\)"),
    "sparse tensor": (lambda: torch.tensor(FLAT).float().to_sparse(), r"X\.to_dense\(\)"),
    "dates": (lambda: np.zeros((24, 3), "M8[s]"), r"datetime64\[s\]"),
    "frame with dates": (
        lambda: pd.DataFrame({"a": 1.0, "day": pd.date_range("2020", periods=24)}),
        "Column 'day' of X holds Timestamp. Pass numbers",
    ),
    "pairs": (lambda: [(x, 0) for x in X], r"pairs.*\[x\[0\] for x in X\]"),
    "pairs of Pillow's": (lambda: [(Image.fromarray(x), 0) for x in X], r"\[x\[0\] for x in X\]"),
    "NaN among images": (lambda: objects([*X[1:], np.nan]), "missing values, among its samples"),
    "list of Datasets": (lambda: [Items(lambda i: X[i])], "Pass one Dataset"),
    "empty list": (list, "0 sample"),
    "number": (lambda: 5, "of type int"),
    "class": (lambda: np.ndarray, "of type type"),
    "wide float": (lambda: X.astype(np.longdouble) / 255, r"X\.astype\(np\.float64\)"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_other_containers_are_refused_before_training_with_the_remedy(
    name, vae, augmenter, detector
):
    if name == "wide float" and np.longdouble is np.float64:
        pytest.skip("This platform has no wider float.")
    make, message = REFUSED[name]
    trainings = Trained.trainings
    new = tiny(callbacks=[Trained()])
    sampler = VAEAugmenter(vae=new, n_new=2)
    wrapper = VAEAugmenter(make_pipeline(new, SVC()), vae=new, n_new=2)
    calls = [new.fit, new.partial_fit, VAEDetector(new).fit]
    if name != "wide float":
        calls += [vae.transform, vae.score_samples, vae.reconstruct, vae.partial_fit]
        calls += [detector.predict, augmenter.predict]
    for call in calls:
        with pytest.raises((TypeError, ValueError), match=message) as caught:
            call(make())
        assert len(str(caught.value)) < 500
    for call in (sampler.fit_resample, wrapper.fit):
        if isinstance(make(), Dataset | DataLoader) or name.startswith("Arrow"):
            message = "synthetic rows are appended"
        with pytest.raises((TypeError, ValueError), match=message):
            call(make(), Y)
    assert Trained.trainings == trainings
    assert "module_" not in vars(new)


@pytest.mark.parametrize("make", [stored, lambda: zarr.array(X), lambda: dask.array.from_array(X)])
def test_a_sampler_refuses_what_it_would_read_as_a_whole(make, augmenter):
    for call in (VAEAugmenter(vae=tiny(), n_new=2).fit_resample, augmenter.fit):
        with pytest.raises(TypeError, match=WHOLE):
            call(make(), Y)


@pytest.mark.parametrize(
    "data",
    [
        Items(lambda i: torch.tensor(X[i])),
        Items(lambda i: (X[i], 3)),
        Items(lambda i: {"label": 3, "pixels": X[i]}),
        Items(lambda i: (Image.fromarray(X[i]), 3)),
        Items(lambda i: X[i].tolist()),
        DataLoader(Items(lambda i: [X[i]])),
        Stream(),
    ],
)
def test_what_reads_a_dataset_for_the_augmenter_fits_its_items(data):
    with pytest.raises(TypeError, match="Load the Dataset's images: ") as caught:
        VAEAugmenter(vae=tiny(), n_new=2).fit(data, Y)
    expression = str(caught.value).split(": ")[-1].removesuffix(".")
    np.testing.assert_array_equal(eval(expression, {"np": np, "X": data}), X)


COLOUR = synthetic_images(24, 8, 9, 3)
SHAPES = {
    "one image": (X, X[0], X[:1]),
    "one colour image": (COLOUR, COLOUR[0], COLOUR[:1]),
    "one image for rows": (FLAT, X[0], FLAT[:1]),
    "images for rows": (FLAT, X, FLAT),
    "rows for images": (X, FLAT, X),
    "one channel too many": (X, X[..., None], X),
    "channels first": (COLOUR, COLOUR.transpose(0, 3, 1, 2), COLOUR),
    "channels last": (COLOUR.transpose(0, 3, 1, 2), COLOUR, COLOUR.transpose(0, 3, 1, 2)),
}


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize(
    "form",
    [
        np.asarray,
        lambda X: torch.tensor(np.array(X)),
        list,
        lambda X: pd.DataFrame(X) if X.ndim == 2 else X,
    ],
)
def test_the_remedy_for_another_shape_can_be_followed(name, form):
    fitted, given, expected = SHAPES[name]
    vae = tiny(image_shape=(8, 8) if fitted is FLAT else None).fit(fitted)
    given = form(given)
    for method in (vae.transform, vae.partial_fit):
        with pytest.raises(ValueError, match="fitted on samples of shape") as caught:
            method(given)
        expression = str(caught.value).split(": ")[-1].removesuffix(".")
        followed = eval(expression, {"np": np, "X": given})
        np.testing.assert_array_equal(vae.transform(followed), vae.transform(expected))


@pytest.mark.parametrize(
    "form", [list, torch.tensor, lambda X: pd.Series(list(X)), lambda X: X.astype(object)]
)
@pytest.mark.parametrize("kind", ["int64", "float32"])
def test_remedies_of_a_fitted_wrapper_name_the_users_x(form, kind, augmenter):
    given = form(X.astype(kind))
    with pytest.raises(ValueError, match="convert X") as caught:
        augmenter.predict(given)
    expression = str(caught.value).split("for example by ")[-1].removesuffix(".")
    followed = eval(expression, {"np": np, "torch": torch, "X": given})
    np.testing.assert_array_equal(augmenter.predict(followed), augmenter.predict(X))


SEVERAL_SIZES = {
    "uint8": [X[0], X[0, :, :7]],
    "bool": [X[0] > 9, X[0, :, :7] > 9],
    "float": [X[0] / 255, X[0, :, :7] / 255],
    "levels of Python's": [X[0].tolist(), X[0, :, :7].tolist()],
    "tensors": [torch.tensor(X[0]), torch.tensor(X[0, :, :7])],
    "tensors of floats": [torch.tensor(X[0] / 255), torch.tensor(X[0, :, :7] / 255)],
    "colour of floats": [COLOUR[0], COLOUR[0, :, :8]],
    "channels first": [torch.tensor(COLOUR[0]).movedim(-1, 0), torch.zeros(3, 9, 9)],
    "Pillow's": [Image.fromarray(X[0]), Image.fromarray(X[0, :, :7])],
}


@pytest.mark.parametrize("name", SEVERAL_SIZES)
def test_the_remedy_for_several_sizes_can_be_followed(name):
    given = SEVERAL_SIZES[name] * 4
    with pytest.raises(ValueError, match="several sizes") as caught:
        tiny().fit(given)
    expression = str(caught.value).split("Resize each: ")[-1].removesuffix(".")
    modules = {"np": np, "PIL": PIL, "torch": torch, "torchvision": torchvision}
    resized = [eval(expression, modules | {"width": 8, "height": 8, "x": x}) for x in given]
    assert {np.shape(x)[-2:] for x in resized} == {(8, 8)}
    if np.shape(given[0]) == (8, 8):
        same = np.asarray(given[0]).astype(np.asarray(resized[0]).dtype)
        np.testing.assert_array_equal(resized[0], same)


def test_the_augmenter_and_the_detector_say_so_too(augmenter, detector):
    for method in (augmenter.predict, detector.predict):
        with pytest.raises(ValueError, match=r"one image.*X\[None\]"):
            method(X[0])

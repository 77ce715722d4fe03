"""Tables with the interface of Hugging Face's datasets: the one column of images is read."""

import numpy as np
import pytest
import torch
from helpers import same_weights, synthetic_images, tiny
from PIL import Image

X = synthetic_images(70, 8, 8, dtype="uint8")


class Feature:
    def __init__(self, kind):
        self._type = kind


class Table:
    """What datasets.Dataset has of it: columns by name, rows by number or list of these."""

    def __init__(self, columns, kinds):
        self.columns, self.features = columns, {k: Feature(v) for k, v in kinds.items()}

    @property
    def column_names(self):
        return list(self.columns)

    def select_columns(self, names):
        kinds = {name: self.features[name]._type for name in names}
        return Table({name: self.columns[name] for name in names}, kinds)

    def __len__(self):
        return len(next(iter(self.columns.values())))

    def __getitem__(self, rows):
        if isinstance(rows, list):
            return {name: [column[i] for i in rows] for name, column in self.columns.items()}
        assert isinstance(rows, int)
        return {name: column[rows] for name, column in self.columns.items()}


class Undecodable:
    def __getitem__(self, i):
        raise AssertionError("a column that nobody asked for")


def table(images, kind="Image", **others):
    columns = {"image": images, "label": Undecodable(), **others}
    return Table(columns, {"image": kind, "label": "ClassLabel"} | dict.fromkeys(others, "Image"))


FORMS = {
    "Pillow": table([Image.fromarray(x) for x in X]),
    "arrays": table(list(X), "Array2D"),
    "tensors": table(list(torch.tensor(X))),
    "lists": table([x.tolist() for x in X.astype(bool)], "Array2D"),
}


@pytest.mark.parametrize("name", FORMS)
def test_the_images_are_read(name):
    images = X.astype(bool) if name == "lists" else X
    vae = tiny().fit(images)
    assert same_weights(tiny().fit(FORMS[name]), vae)
    np.testing.assert_array_equal(vae.transform(FORMS[name]), vae.transform(images))
    np.testing.assert_array_equal(vae.score_samples(FORMS[name]), vae.score_samples(images))


def test_a_table_of_several_columns_of_images_or_none_is_refused():
    with pytest.raises(ValueError, match=r"2 columns of images.*'mask'.*X\.select_columns"):
        tiny().fit(table(list(X), mask=list(X)))
    with pytest.raises(ValueError, match=r"0 columns of images.*cast_column"):
        tiny().fit(table(["a.png"] * 70, "Value"))
    with pytest.raises(ValueError, match=r"mode 'P'.*convert\('RGB'\)"):
        tiny().fit(table([Image.fromarray(x).convert("P") for x in X]))

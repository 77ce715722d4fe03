"""load_image_folder: which files, in which order, of which class."""

import os
import pickle

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image

from sklearn_vae.datasets import ImageReader, load_image_folder


def write(root, *names, grey=0):
    """Write small grey images, in folders as needed."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (10, 9), grey).save(root / name)


def relative(root, paths):
    return [os.path.relpath(path, root).replace(os.sep, "/") for path in paths]


@pytest.fixture
def pets(tmp_path):
    write(tmp_path, "dog/b.png", "dog/a.JPG", "cat/x/1.tif", "cat/0.png", "new/z.bmp")
    write(tmp_path, ".hidden/a.png", "cat/.thumb.png", "cat/.git/a.png")
    (tmp_path / "cat" / "notes.txt").write_text("not an image")
    (tmp_path / "readme.txt").write_text("neither")
    return tmp_path


def test_a_class_per_subfolder(pets):
    bunch = load_image_folder(pets)
    wanted = ["cat/0.png", "cat/x/1.tif", "dog/a.JPG", "dog/b.png", "new/z.bmp"]
    assert relative(pets, bunch.data) == wanted
    assert_array_equal(bunch.target, np.array([0, 0, 1, 1, 2]), strict=True)
    assert_array_equal(bunch.target_names, ["cat", "dog", "new"])
    assert_array_equal(bunch.filenames, bunch.data)
    assert bunch.data.dtype.kind == "U"
    assert "5 images" in bunch.DESCR
    assert "2 of 'cat', 2 of 'dog', 1 of 'new'" in bunch.DESCR
    assert all(os.path.isfile(path) for path in bunch.data)


def test_the_order_is_not_the_file_systems(pets, monkeypatch):
    kept = load_image_folder(pets).data
    walk = os.walk

    def backwards(*args, **kwargs):
        for here, folders, files in walk(*args, **kwargs):
            folders.sort(reverse=True)
            yield here, folders, sorted(files, reverse=True)

    monkeypatch.setattr(os, "walk", backwards)
    assert_array_equal(load_image_folder(pets).data, kept)


def test_unlabelled_folder(pets):
    bunch = load_image_folder(str(pets), unlabelled="cat")
    assert relative(pets, bunch.data)[-2:] == ["cat/0.png", "cat/x/1.tif"]
    assert_array_equal(bunch.target, [0, 0, 1, -1, -1])
    assert_array_equal(bunch.target_names, ["dog", "new"])
    assert "2 without a class" in bunch.DESCR
    with pytest.raises(ValueError, match=r"unlabelled='old'.*\['cat', 'dog', 'new'\]"):
        load_image_folder(pets, unlabelled="old")


def test_a_flat_folder_is_unlabelled(tmp_path):
    write(tmp_path, "b.png", "a.png")
    (tmp_path / "masks").mkdir()
    bunch = load_image_folder(tmp_path)
    assert relative(tmp_path, bunch.data) == ["a.png", "b.png"]
    assert_array_equal(bunch.target, np.array([-1, -1]), strict=True)
    assert bunch.target_names.shape == (0,)


def test_numbers_are_ordered_as_numbers(tmp_path):
    write(tmp_path, *(f"{k}/a.png" for k in range(11)))
    bunch = load_image_folder(tmp_path)
    assert_array_equal(bunch.target_names, [str(k) for k in range(11)])
    write(tmp_path, "x/a.png")
    assert_array_equal(load_image_folder(tmp_path).target_names[:3], ["0", "1", "10"])


def test_classes_of_the_training_set(pets, tmp_path):
    train = load_image_folder(pets)
    test = tmp_path / "test"
    write(test, "dog/a.png", "new/b.png")
    (test / "cat").mkdir()
    bunch = load_image_folder(test, target_names=train.target_names)
    assert_array_equal(bunch.target, [1, 2])
    assert_array_equal(bunch.target_names, train.target_names)
    assert "0 of 'cat'" in bunch.DESCR
    with pytest.raises(ValueError, match=r"classes \['dog'\].*target_names=\['Dog', 'new'\]"):
        load_image_folder(test, target_names=["Dog", "new"])
    with pytest.raises(ValueError, match="twice"):
        load_image_folder(test, target_names=["dog", "new", "dog"])


def test_folders_without_images(pets):
    (pets / "owl").mkdir()
    with pytest.raises(ValueError, match=r"\['owl'\].*hold no image.*target_names"):
        load_image_folder(pets)
    (pets / "owl").rmdir()
    write(pets, "stray.png")
    with pytest.raises(ValueError, match=r"stray\.png.*unlabelled"):
        load_image_folder(pets)


def test_no_image_at_all(tmp_path):
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(ValueError, match=r"holds no image.*\.jpeg"):
        load_image_folder(tmp_path)
    (tmp_path / "cat").mkdir()
    with pytest.raises(ValueError, match="holds no image"):
        load_image_folder(tmp_path)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load_image_folder(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"notes\.txt.*neither a folder nor \.csv"):
        load_image_folder(tmp_path / "notes.txt")


def test_a_folder_that_may_not_be_read_is_an_error(pets, monkeypatch):
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("x"):
            raise PermissionError(f"not allowed: {path}")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(PermissionError, match="not allowed"):
        load_image_folder(pets)


# -- tables ----------------------------------------------------------------------------------------


def table(root, text, encoding="utf-8"):
    (root / "list.csv").write_text(text, encoding=encoding)
    return root / "list.csv"


def test_a_table_keeps_its_order(pets, monkeypatch):
    path = table(
        pets, f"label,path\ndog,dog/b.png\n,new/z.bmp\ncat,{pets / 'cat/0.png'}\n-1,cat/0.png"
    )
    monkeypatch.chdir("/")  # relative to the table, not to the working directory
    bunch = load_image_folder(path)
    assert relative(pets, bunch.data) == ["dog/b.png", "new/z.bmp", "cat/0.png", "cat/0.png"]
    assert_array_equal(bunch.target, np.array([1, -1, 0, -1]), strict=True)
    assert_array_equal(bunch.target_names, ["cat", "dog"])


def test_columns_and_names_of_a_table(pets):
    path = table(pets, 'file,kind\n"dog/b.png",Ünbekannt\ncat/0.png, Katze\n', "utf-8-sig")
    X, y = load_image_folder(
        path, path_column="file", label_column="kind", unlabelled="Ünbekannt", return_X_y=True
    )
    assert relative(pets, X) == ["dog/b.png", "cat/0.png"]
    assert_array_equal(y, [-1, 0])
    bunch = load_image_folder(path, path_column="file", label_column=None)
    assert_array_equal(bunch.target, [-1, -1])
    names = ["Hund", "Katze", "Ünbekannt"]
    bunch = load_image_folder(path, path_column="file", label_column="kind", target_names=names)
    assert_array_equal(bunch.target, [2, 1])


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("file,label\na,b", ValueError, r"no column 'path', but \['file', 'label'\]"),
        ("path;label\na;b", ValueError, r"no column 'path', but \['path;label'\].*commas"),
        ("path\na", ValueError, "no column 'label'.*label_column"),
        ("", ValueError, "no column 'path'"),
        ("path,label\n", ValueError, "no rows"),
        ("path,label\ncat/0.png,cat\n,cat", ValueError, "line 3: no path"),
        ("path,label\ncat/0.png,cat\ngone.png,cat", FileNotFoundError, r"1 of 2 paths.*gone\.png"),
    ],
)
def test_tables_that_are_refused(pets, text, error, message):
    with pytest.raises(error, match=message):
        load_image_folder(table(pets, text))


# -- pixels ----------------------------------------------------------------------------------------


def test_reading_at_once(tmp_path):
    write(tmp_path, "a/0.png", grey=7)
    write(tmp_path, "b/0.png", grey=9)
    bunch = load_image_folder(tmp_path, reader=ImageReader(mode="L"))
    wanted = np.stack([np.full((9, 10), 7), np.full((9, 10), 9)]).astype(np.uint8)
    assert_array_equal(bunch.data, wanted, strict=True)
    assert relative(tmp_path, bunch.filenames) == ["a/0.png", "b/0.png"]
    X, y = load_image_folder(tmp_path, reader=ImageReader(mode="L"), return_X_y=True)
    assert_array_equal(X, wanted, strict=True)
    assert_array_equal(y, [0, 1])
    assert_array_equal(pickle.loads(pickle.dumps(bunch)).data, wanted)


@pytest.mark.parametrize(
    "wrong", [{"container_path": None}, {"reader": "yes"}, {"unlabelled": 1}, {"path_column": None}]
)
def test_parameters_are_checked_as_scikit_learn_does(wrong, tmp_path):
    name = next(iter(wrong))
    with pytest.raises(ValueError, match=f"The '{name}' parameter of load_image_folder"):
        load_image_folder(**{"container_path": tmp_path, **wrong})

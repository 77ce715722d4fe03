"""load_image_folder: which files, in which order, of which class."""

import contextlib
import os
import pickle
import shutil

import numpy as np
import pandas as pd
import pytest
from helpers import budget, mutate, needs_links
from numpy.testing import assert_array_equal
from PIL import Image, ImageFile

from sklearn_vae.datasets import ImageReader, load_image_folder
from sklearn_vae.datasets._pixels import formats


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
    for name in ("Thumbs.db", "desktop.ini", ".DS_Store"):
        (tmp_path / "cat" / name).write_text("not an image, and not worth a word")
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
    scandir = os.scandir

    def backwards(path):
        with scandir(path) as entries:
            return contextlib.nullcontext(sorted(entries, key=lambda entry: entry.name)[::-1])

    monkeypatch.setattr(os, "scandir", backwards)
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
    (pets / "owl" / "0.xcf").write_bytes(b"0")
    with pytest.raises(ValueError, match=r"\['owl'\].*hold no image.*1 files.*1 x \.xcf"):
        load_image_folder(pets)
    shutil.rmtree(pets / "owl")
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
    with pytest.raises(FileNotFoundError, match=r"'nowhere'.*Relative paths start at \S+"):
        load_image_folder("nowhere")
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


# -- what is taken, what is left out ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "form"),
    [
        *((f"1.{ending}", "JPEG") for ending in ("jfif", "jpe", "JFIF", "jpeg")),
        *((f"1.{ending}", "JPEG2000") for ending in ("jp2", "j2k", "jpx", "jpf", "jpc", "j2c")),
        *(("1.avif", "AVIF"), ("1.webp", "WEBP"), ("1.apng", "PNG"), ("1.pnm", "PPM")),
        *(("1.heic", "JPEG"), ("1.heif", "JPEG"), ("1.eps", "EPS"), ("1.ico", "ICO")),
        *(("image", "PNG"), ("1.2.840.113619", "PNG"), ("notes", None), ("1.txt", None)),
    ],
)
def test_every_file_is_read_or_counted(tmp_path, name, form):
    if form == "AVIF" and form not in formats():
        pytest.skip("Pillow was built without AVIF")
    write(tmp_path, "cat/0.png", "dog/0.png", grey=7)
    path = tmp_path / "cat" / name
    if form is None:
        path.write_text("no image, but long enough for a header. " * 9)
    else:
        Image.new("RGB", (10, 9), (7, 7, 7)).save(path, format=form)
    if name in ("1.heic", "1.heif", "1.eps", "1.ico", "1.txt", "notes"):
        why = "no image and without ending" if name == "notes" else f".{name[2:]}"
        message = rf"1 files in .* are left out \(1 x {why}\)"
        with pytest.warns(UserWarning, match=message) as caught:
            bunch = load_image_folder(tmp_path)
        assert caught[0].filename == __file__
        assert ("pip install pillow-heif" in str(caught[0].message)) == name.startswith("1.he")
        assert relative(tmp_path, bunch.data) == ["cat/0.png", "dog/0.png"]
        assert bunch.DESCR.endswith(" 1 files are left out.")
    else:
        bunch = load_image_folder(tmp_path, reader=ImageReader(mode="L"))
        assert relative(tmp_path, bunch.filenames) == ["cat/0.png", f"cat/{name}", "dog/0.png"]
        assert np.abs(bunch.data.astype(int) - 7).max() <= 2
        assert "left out" not in bunch.DESCR


@needs_links
def test_what_is_left_out_is_counted_by_kind(tmp_path):
    write(tmp_path, "cat/0.png", "dog/0.png")
    for name in ("cat/a.txt", "cat/x/b.TXT", "dog/c.json", "outside.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / "dog" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "dog" / "self").symlink_to(tmp_path / "dog" / "self")
    with pytest.warns(UserWarning, match="left out") as caught:
        bunch = load_image_folder(tmp_path)
    assert len(caught) == 1
    message = str(caught[0].message)
    assert "5 files in" in message
    assert "(2 x .txt, 2 x broken link, 1 x .json)" in message
    assert len(bunch.data) == 2


def test_flat_folder_counts_too(tmp_path):
    write(tmp_path, "0.png")
    (tmp_path / "1.heic").write_bytes(b"")
    with pytest.warns(UserWarning, match=r"1 x \.heic"):
        bunch = load_image_folder(tmp_path)
    assert relative(tmp_path, bunch.data) == ["0.png"]
    (tmp_path / "0.png").unlink()
    with pytest.raises(ValueError, match=r"holds no image(.|\n)*1 x \.heic.*pillow-heif"):
        load_image_folder(tmp_path)


class OwnFormat(ImageFile.ImageFile):
    """What a plugin for HEIF registers: here, of one grey level."""

    format = "HEIF"

    def _open(self):
        self.fp.read(12)
        self._mode, self._size = "L", (10, 9)
        self.tile = [("raw", (0, 0, 10, 9), 12, "L")]


@pytest.fixture
def heif_plugin(monkeypatch):
    Image.init()
    for registry in ("OPEN", "ID", "EXTENSION"):
        monkeypatch.setattr(Image, registry, getattr(Image, registry).copy())
    Image.register_open("HEIF", OwnFormat, lambda prefix: prefix[4:12] == b"ftypheic")
    Image.register_extension("HEIF", ".heic")


def heic(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\0\0\0\x18ftypheic" + bytes([9]) * 90)
    return path


def test_heif_where_a_plugin_is_registered(tmp_path, heif_plugin):
    heic(tmp_path / "cat" / "0.heic")
    bunch = load_image_folder(tmp_path, reader=ImageReader(mode="L"))
    assert_array_equal(bunch.data, np.full((1, 9, 10), 9, np.uint8), strict=True)


def test_heif_without_a_plugin(tmp_path):
    path = heic(tmp_path / "0.heic")
    with pytest.raises(ValueError, match=r"0\.heic: HEIF .*pip install pillow-heif"):
        ImageReader().transform([path])


# -- links -----------------------------------------------------------------------------------------


@needs_links
def test_links_are_followed(tmp_path):
    root = tmp_path / "root"
    write(tmp_path, "outside/0.png", "outside/deep/1.png", "owls/2.png")
    write(root, "cat/0.png", "dog/0.png")
    (root / "cat" / "more").symlink_to(tmp_path / "outside")
    (root / "owl").symlink_to(tmp_path / "owls")
    (root / "dog" / "one.png").symlink_to(tmp_path / "outside" / "0.png")
    bunch = load_image_folder(root)
    assert relative(root, bunch.data) == [
        *("cat/0.png", "cat/more/0.png", "cat/more/deep/1.png"),
        *("dog/0.png", "dog/one.png", "owl/2.png"),
    ]
    assert_array_equal(bunch.target, [0, 0, 0, 1, 1, 2])


@needs_links
def test_links_in_circles_and_twice(tmp_path):
    """Every image once, under its real folder's name where that is below the root."""
    write(tmp_path, "cat/z/0.png", "dog/1.png")
    for name, goal in (("a", "z"), ("b", ".."), ("c", "../cat"), ("z/up", ".."), ("z/on", "../a")):
        (tmp_path / "cat" / name).symlink_to(goal)
    bunch = load_image_folder(tmp_path)
    assert relative(tmp_path, bunch.data) == ["cat/z/0.png", "dog/1.png"]


@needs_links
def test_a_folder_of_two_classes(tmp_path):
    """It is listed once; that it is left out of the other class is said."""
    write(tmp_path, "cat/0.png", "dog/z/1.png")
    (tmp_path / "cat" / "a").symlink_to(tmp_path / "dog" / "z")
    with pytest.warns(UserWarning, match="1 x folder of 'cat' that is listed as 'dog'"):
        bunch = load_image_folder(tmp_path)
    assert relative(tmp_path, bunch.data) == ["cat/0.png", "dog/z/1.png"]
    shutil.rmtree(tmp_path / "dog")
    (tmp_path / "cat" / "a").unlink()
    (tmp_path / "dog").symlink_to("cat")
    with pytest.raises(ValueError, match=r"'dog' and 'cat' in .* are one folder, by a link"):
        load_image_folder(tmp_path)


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
        (
            "path,label\ncat/0.png,cat\n\ngone.png,cat",
            FileNotFoundError,
            r"list\.csv: 1 of 2 paths are not files: gone\.png \(line 4\)",
        ),
        ("path,label,path\na,b,c", ValueError, "more than one column 'path'"),
        ("path,label\ncat/0.png,cat, black", ValueError, "line 2: 3 values for 2 .*quotes"),
        ('path,label\ncat/0.png,"cat\ndog/b.png,dog', ValueError, r"list\.csv, line 3: "),
    ],
)
def test_tables_that_are_refused(pets, text, error, message):
    with pytest.raises(error, match=message):
        load_image_folder(table(pets, text))


@pytest.mark.parametrize(
    ("labels", "names", "target"),
    [
        ("1.0 2.0 10.0 ''", ["1", "2", "10"], [0, 1, 2, -1]),  # pandas: integers, one missing
        ("1 10.0 2 nan", ["1", "2", "10"], [0, 2, 1, -1]),
        ("-1.0 -1 NaN 3", ["3"], [-1, -1, -1, 0]),
        ("<NA> -1. cat dog", ["cat", "dog"], [-1, -1, 0, 1]),
        ("10.0 2.0 v -1.0", ["10.0", "2.0", "v"], [0, 1, 2, -1]),  # names, not numbers
        ("0.5 10 2.0 -3", ["-3", "0.5", "2", "10"], [1, 3, 2, 0]),
        ("02 1 10 02", ["1", "02", "10"], [1, 0, 2, 1]),
        ("none NA null None", ["NA", "None", "none", "null"], [2, 0, 3, 1]),
    ],
)
def test_labels_of_a_table(pets, labels, names, target):
    rows = [f"cat/0.png,{label}" for label in labels.replace("''", '""').split(" ")]
    bunch = load_image_folder(table(pets, "\n".join(["path,label", *rows])))
    assert_array_equal(bunch.target_names, names)
    assert_array_equal(bunch.target, target)


def test_labels_that_pandas_wrote(pets):
    frame = pd.DataFrame({"path": ["cat/0.png"] * 4, "label": [2, None, 10, 1]})
    frame.to_csv(pets / "list.csv", index=False)
    bunch = load_image_folder(pets / "list.csv")
    assert_array_equal(bunch.target_names, ["1", "2", "10"])
    assert_array_equal(bunch.target, [1, -1, 2, 0])
    for given in (["10", "2", "1"], [10.0, 2.0, 1.0], np.array([10, 2, 1])):
        bunch = load_image_folder(pets / "list.csv", target_names=given)
        assert_array_equal(bunch.target_names, ["10", "2", "1"])
        assert_array_equal(bunch.target, [1, -1, 0, 2])
    bunch = load_image_folder(pets / "list.csv", unlabelled="10")
    assert_array_equal(bunch.target, [1, -1, -1, 0])


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "latin-1", "cp1252", "utf-16-le"]
)
def test_encodings(pets, encoding):
    path = table(pets, "path,label\ncat/0.png,Kätzchen\ndog/b.png,Öhi\n", encoding)
    marked = encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-32")
    bunch = load_image_folder(path, encoding=None if marked else encoding)
    assert_array_equal(bunch.target_names, ["Kätzchen", "Öhi"])
    assert_array_equal(load_image_folder(path, encoding=encoding).target, [0, 1])
    if not marked:
        message = r"list\.csv, line \d: .*utf-8.*Pass the encoding .*encoding='latin-1'"
        with pytest.raises(ValueError, match=message):
            load_image_folder(path)


def test_the_line_of_what_is_not_text(pets):
    path = table(pets, "path,label\ncat/0.png,cat\ndog/b.png,Öhi\n", "latin-1")
    with pytest.raises(ValueError, match=r"list\.csv, line 3: the text is not utf-8"):
        load_image_folder(path)
    with pytest.raises(ValueError, match=r"encoding='latin1x': unknown encoding"):
        load_image_folder(path, encoding="latin1x")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_table_mutations(pets, encoding):
    """A damaged table is read, or refused by an error that names it."""
    rng = np.random.default_rng(0)
    rows = [f'"cat/0.png",{k}.0,ä' for k in range(9)] + ["dog/b.png,,", "cat/0.png,nan,"]
    path = table(pets, "\n".join(["path,label,note", *rows]), encoding)
    whole = path.read_bytes()
    read = 0
    for _ in range(budget(150)):
        path.write_bytes(mutate(whole, rng))
        try:
            bunch = load_image_folder(path)
        except (ValueError, FileNotFoundError) as error:
            message = str(error)
        else:
            message = str(path)
            read += 1
            assert len(bunch.data) == len(bunch.target)
            assert bunch.target.max() < len(bunch.target_names)
        assert message.startswith(str(path))
        assert len(message) < 1500
    assert 10 < read < budget(140)


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

"""The paths and classes of image files, from a folder or a table."""

from __future__ import annotations

import codecs
import csv
import io
import os
import re
import warnings
from collections import Counter, deque
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
from sklearn.utils import Bunch

from ..utils._sklearn_compat import HasMethods, validate_params
from ._reader import check_files

MARKS = {  # UTF-32's begins with UTF-16's
    "utf-32": (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE),
    "utf-16": (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE),
}
"""What a table starts with by its encoding."""
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
MISSING = {"", "nan", "<na>"}
"""What NumPy and pandas write where there is no label, in small letters."""
LITTER = {"thumbs.db", "ehthumbs.db", "desktop.ini"}
"""What Windows leaves in folders of images, in small letters."""


@overload
def load_image_folder(
    container_path: str | os.PathLike[str],
    *,
    target_names: Any = ...,
    unlabelled: str | None = ...,
    path_column: str = ...,
    label_column: str | None = ...,
    encoding: str | None = ...,
    reader: Any = ...,
    return_X_y: Literal[False] = ...,
) -> Bunch: ...
@overload
def load_image_folder(
    container_path: str | os.PathLike[str],
    *,
    target_names: Any = ...,
    unlabelled: str | None = ...,
    path_column: str = ...,
    label_column: str | None = ...,
    encoding: str | None = ...,
    reader: Any = ...,
    return_X_y: Literal[True],
) -> tuple[np.ndarray, np.ndarray]: ...
@validate_params(
    {
        "container_path": [str, os.PathLike],
        "target_names": ["array-like", None],
        "unlabelled": [str, None],
        "path_column": [str],
        "label_column": [str, None],
        "encoding": [str, None],
        "reader": [HasMethods("transform"), None],
        "return_X_y": ["boolean"],
    },
    prefer_skip_nested_validation=True,
)
def load_image_folder(
    container_path: str | os.PathLike[str],
    *,
    target_names: Any = None,
    unlabelled: str | None = None,
    path_column: str = "path",
    label_column: str | None = "label",
    encoding: str | None = None,
    reader: Any = None,
    return_X_y: bool = False,
) -> Bunch | tuple[np.ndarray, np.ndarray]:
    """Load the paths and classes of a folder or table of images (classification).

    What comes back are paths, which :class:`ImageReader` turns into images as the first step of a
    pipeline; with ``reader`` they are read at once.

    Parameters
    ----------
    container_path : str or path-like
        - A folder with a subfolder for each class. Images in folders below it belong to the
          class, too.
        - A folder of images without subfolders: none has a class.
        - A ``.csv`` file, comma-separated, with a header; relative paths in it start at its
          folder.

    target_names : array-like of str, default=None
        All classes, in the order that ``target`` counts them. Pass the training set's to load
        a test set that may lack some. None is those found, in the order of the alphabet, or of
        the numbers where all are numbers.

    unlabelled : str, default=None
        Subfolder, or label in the table, of images without a class.

    path_column : str, default="path"
        Column of the table that holds the paths.

    label_column : str, default="label"
        Column of the table that holds the classes. None where there are none. An empty
        label, nan, and -1 (or -1.0) mean no class. Where all labels are numbers, 2.0 is 2, as
        pandas writes integers beside a missing one. Other words, such as NA or none, are
        classes; name one by ``unlabelled``.

    encoding : str, default=None
        Encoding of the table, such as ``"latin-1"`` or ``"cp1252"``. None is the one whose mark
        the file starts with (UTF-8, UTF-16, UTF-32), otherwise UTF-8.

    reader : ImageReader, default=None
        Reads the images at once: ``reader=ImageReader(size=32)``.

    return_X_y : bool, default=False
        Return ``(data, target)`` instead of a Bunch.

    Returns
    -------
    images : :class:`~sklearn.utils.Bunch`
        data : ndarray of shape (n,), str
            Paths, below ``container_path`` as given. With ``reader`` the images, uint8, (n,
            height, width) or (n, height, width, channels).
        target : ndarray of shape (n,), int64
            Index into ``target_names``; -1, scikit-learn's mark for unlabelled rows, where
            there is no class.
        target_names : ndarray of shape (n_classes,), str
            Names of the classes.
        filenames : ndarray of shape (n,), str
            The paths.
        DESCR : str
            How many images there are of which class.

    (data, target) : tuple
        With ``return_X_y=True``.

    Raises
    ------
    FileNotFoundError
        When the folder or table, or a file that the table names, does not exist.
    ValueError
        When there is no image, and when images lie beside class folders. For a class folder without
        images (but for ``target_names``), and for two that are one by a link. For a class that
        ``target_names`` lacks. For a table without the columns, in another encoding, or with a row
        of more values than columns.

    Warns
    -----
    UserWarning
        When visible files of the folders are left out: how many, and why.

    See Also
    --------
    sklearn.datasets.load_files : The same for text files.

    Notes
    -----
    Files of a folder are sorted by class, then path: shuffle them before a split that is not
    stratified. Rows of a table keep their order.

    Of a folder, the files are taken whose names end as those of the formats do that
    :class:`ImageReader` reads here: with a plugin for HEIF, ``.heic``, too. A name without an
    ending, or with a number for one, as exported DICOM files have, is judged by its content. A
    table may name any file. Hidden files and folders are left out.

    Links to folders are followed, and each real folder is listed once: as itself, before any link
    to it.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from sklearn_vae.datasets import ImageReader, load_image_folder
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("apple/0.png", "apple/1.png", "pear/0.png", "new/0.png"):
    ...         path = Path(folder) / name
    ...         path.parent.mkdir(exist_ok=True)
    ...         Image.new("RGB", (40, 30), "green").save(path)
    ...     fruit = load_image_folder(folder, unlabelled="new", reader=ImageReader(size=16))
    >>> fruit.data.shape, fruit.target, fruit.target_names
    ((4, 16, 16, 3), array([ 0,  0,  1, -1]), array(['apple', 'pear'], dtype='<U5'))
    """
    root = Path(container_path).expanduser()
    given = None if target_names is None else [str(name) for name in target_names]
    left_out: Counter[str] = Counter()
    if root.is_dir():
        paths, labels, left_out = _read_folder(root, unlabelled, empty_classes=given is not None)
    elif root.is_file():
        text = _decode(root, encoding)
        paths, labels = _read_table(root, text, path_column, label_column, unlabelled)
        if all(NUMBER.fullmatch(name) for name in (*labels, *(given or [])) if name is not None):
            labels = [name if name is None else _plain(name) for name in labels]
            given = None if given is None else [_plain(name) for name in given]
    else:
        here = "" if root.is_absolute() else f" Relative paths start at {Path.cwd()}."
        raise FileNotFoundError(f"container_path={str(root)!r} is no folder and no file.{here}")
    if left_out:
        warnings.warn(_say_left_out(left_out, root).lstrip(), UserWarning, stacklevel=3)
    found = Counter(labels)
    classes = _order(found) if given is None else given
    if len({*classes}) < len(classes):
        raise ValueError(f"target_names={classes!s:.300} holds a class twice.")
    index: dict[str | None, int] = {None: -1, **{name: i for i, name in enumerate(classes)}}
    if unknown := sorted(str(name) for name in found if name not in index):
        raise ValueError(
            f"{root} holds the classes {unknown!s:.300}, which target_names={classes!s:.300} "
            "lacks. Add them, take them away, or name one as unlabelled."
        )
    filenames = np.array([str(path) for path in paths])
    target = np.array([index[name] for name in labels], dtype=np.int64)
    data = filenames if reader is None else reader.transform(filenames)
    if return_X_y:
        return data, target
    counts = [f"{found[name]} of {name!r}" for name in classes]
    counts += [f"{found[None]} without a class"] if found[None] else []
    dropped = f" {left_out.total()} files are left out." if left_out else ""
    about = f"{len(paths)} images, listed by {root}: {', '.join(counts)}.{dropped}"
    names = np.array(classes, dtype=str)
    return Bunch(data=data, target=target, target_names=names, filenames=filenames, DESCR=about)


def _read_folder(
    root: Path, unlabelled: str | None, *, empty_classes: bool
) -> tuple[list[Path], list[str | None], Counter[str]]:
    """Return paths, class folders (None for those without a class), and what is left out."""
    loose, folders, left_out = _list(root)
    if unlabelled is not None and unlabelled not in folders:
        names = _order(folders)
        raise ValueError(f"unlabelled={unlabelled!r} is no folder of {root}: {names!s:.300}.")
    held, below = _list_below({name: folders[name] for name in _order(folders)}, root)
    if not any(held.values()):
        if loose:
            return loose, [None] * len(loose), left_out
        from ._pixels import extensions

        raise ValueError(
            f"{root} holds no image; images are visible files that end in "
            f"{', '.join(sorted(extensions()))}.{_say_left_out(left_out + below, root)}"
        )
    if loose:
        raise ValueError(
            f"{root} holds folders, which are taken for classes, and images beside them, such as "
            f"{loose[0].name}. Move these to a folder; name it as unlabelled if they have no class."
        )
    if unlabelled is not None:
        held[None] = held.pop(unlabelled)  # last
    empty = [name for name, paths in held.items() if not paths and name is not None]
    if empty and not empty_classes:
        raise ValueError(
            f"The folders {empty!s:.300} in {root} hold no image. Take them away, or set "
            f"target_names to the classes that there are.{_say_left_out(below, root)}"
        )
    labels = [name for name, paths in held.items() for _ in paths]
    return [path for paths in held.values() for path in paths], labels, below


def _list_below(
    folders: dict[str, Path], root: Path
) -> tuple[dict[str | None, list[Path]], Counter[str]]:
    """Return the images in each class's folder and all below it, sorted, and what is left out.

    Real folders come first and links last, so that what both lead to is listed as itself.
    """
    owner: dict[str, str | None] = {os.path.realpath(root): None}
    for name, folder in folders.items():
        other = owner.setdefault(os.path.realpath(folder), name)
        if other != name:
            pair = f"{name!r} and {other or '.'!r}"
            raise ValueError(f"{pair} in {root} are one folder, by a link. Remove one.")
    held: dict[str | None, list[Path]] = {name: [] for name in folders}
    left_out: Counter[str] = Counter()
    queue, listed = deque(folders.items()), set[str]()
    while queue:
        name, folder = queue.popleft()
        place = os.path.realpath(folder)
        other = owner.setdefault(place, name)
        if other == name and place not in listed:
            listed.add(place)
            images, below, left = _list(folder)
            held[name] += images
            left_out += left
            for path in below.values():
                (queue.append if path.is_symlink() else queue.appendleft)((name, path))
        elif other not in (name, None):
            left_out[f"folder of {name!r} that is listed as {other!r}"] += 1
    return {name: sorted(paths) for name, paths in held.items()}, left_out


def _list(folder: Path) -> tuple[list[Path], dict[str, Path], Counter[str]]:
    """Return a folder's visible images and folders, sorted, and why which files are left out."""
    from ._pixels import extensions, is_image  # here, because importing Pillow takes its time

    images, folders, left_out = [], {}, Counter[str]()
    known = extensions()
    with os.scandir(folder) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        name, path = entry.name, folder / entry.name
        if name.startswith(".") or name.lower() in LITTER:
            continue
        kind = path if entry.is_symlink() else entry  # a path takes links in circles for nothing
        ending = path.suffix.lower()
        unnamed = not ending.strip(".0123456789")
        if kind.is_dir():
            folders[name] = path
        elif not kind.is_file():
            left_out["broken link" if entry.is_symlink() else "no regular file"] += 1
        elif ending in known or (unnamed and is_image(str(path))):
            images.append(path)
        else:
            left_out["no image and without ending" if unnamed else ending] += 1
    return images, folders, left_out


def _say_left_out(left_out: Counter[str], root: Path) -> str:
    """Return a sentence for a message, if there is anything to say."""
    if not left_out:
        return ""
    kinds = ", ".join(f"{count} x {why}" for why, count in left_out.most_common(10))
    heif = {".heic", ".heif", ".hif"} & {*left_out}
    plugin = " HEIF takes pip install pillow-heif, then pillow_heif.register_heif_opener()."
    return (
        f" {left_out.total()} files in {root} are left out ({kinds:.300}), as ImageReader "
        f"does not read them here. Convert those that are images.{plugin if heif else ''}"
    )


def _read_table(
    table: Path, text: str, path_column: str, label_column: str | None, unlabelled: str | None
) -> tuple[list[Path], list[str | None]]:
    """Return paths and labels of a CSV file, row by row."""
    paths: list[Path] = []
    names: list[str] = []
    labels: list[str | None] = []
    no_class = {"-1", _plain(unlabelled or "-1")}
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [name.strip() for name in next(rows, [])]
        for name in (path_column, label_column):
            if name is not None and header.count(name) != 1:
                raise ValueError(
                    f"{table} has {'more than one' if name in header else 'no'} column {name!r}, "
                    f"but {str(header)[:300]}. Set path_column and label_column (None for images "
                    "without classes), and separate columns by commas."
                )
        for values in filter(None, rows):
            line = f"{table}, line {rows.line_num}"
            if any(values[len(header) :]):
                what = f"{len(values)} values for {len(header)} columns"
                raise ValueError(f"{line}: {what}. Put quotes around values that hold commas.")
            row = dict(zip(header, map(str.strip, values), strict=False))
            if not (path := row.get(path_column)):
                raise ValueError(f"{line}: no path.")
            paths.append(table.parent / path)
            names.append(f"{path} (line {rows.line_num})")
            label = "" if label_column is None else row.get(label_column, "")
            nothing = label.lower() in MISSING or _plain(label) in no_class
            labels.append(None if nothing else label)
    except csv.Error as error:
        raise ValueError(f"{table}, line {rows.line_num}: {error}.") from error
    if not paths:
        raise ValueError(f"{table} has a header, but no rows.")
    check_files(paths, names, table.parent, f"{table}: ")
    return paths, labels


def _decode(table: Path, encoding: str | None) -> str:
    """Return the text of a .csv file, or say where it is none."""
    if table.suffix.lower() != ".csv":
        raise ValueError(f"container_path={str(table)!r} is a file, but neither a folder nor .csv.")
    data = table.read_bytes()
    if encoding is None:
        encoding = next((name for name, mark in MARKS.items() if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding).removeprefix("\ufeff")
        before, zero, _ = text.partition("\0")
        if not zero:
            return text
        line, why = before.count("\n") + 1, "it holds a zero"
    except LookupError as error:
        raise ValueError(f"encoding={encoding!r}: {error}. Try 'utf-8' or 'latin-1'.") from None
    except UnicodeError as error:
        at = getattr(error, "start", 0)
        line, why = data[:at].count(b"\n") + 1, error.args[-1]
    raise ValueError(
        f"{table}, line {line}: the text is not {encoding} ({why}). Pass the encoding that it was "
        "saved in, such as encoding='latin-1', 'cp1252' or 'utf-16-le', or save it as UTF-8."
    )


def _plain(number: str) -> str:
    """Return 2.0 as 2; anything else as it is."""
    if NUMBER.fullmatch(number) and not number.lstrip("+-").isdecimal():
        value = float(number)
        return str(int(value)) if value.is_integer() else number
    return number


def _order(names: Iterable[str | None]) -> list[str]:
    """Return names of classes as numbers or letters go; None is none."""
    known = [name for name in names if name is not None]
    numbers = all(NUMBER.fullmatch(name) for name in known)
    return sorted(known, key=lambda name: (float(name) if numbers else 0, name))

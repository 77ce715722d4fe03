"""The paths and classes of image files, from a folder or a table."""

from __future__ import annotations

import csv
import os
from collections import Counter
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from sklearn.utils import Bunch
from sklearn.utils._param_validation import HasMethods, validate_params

from ._reader import check_files

EXTENSIONS = {
    *(".bmp", ".dcm", ".dicom", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm"),
    *(".tif", ".tiff", ".webp"),
}
"""What marks a file of a folder as an image, in small letters."""

Labelled = tuple[list[Path], list[str | None]]


@validate_params(
    {
        "container_path": [str, os.PathLike],
        "target_names": ["array-like", None],
        "unlabelled": [str, None],
        "path_column": [str],
        "label_column": [str, None],
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
        - A ``.csv`` file, UTF-8, comma-separated, with a header; relative paths in it start at
          its folder.

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
        label, and -1, mean no class.

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
        When there is no image, when images lie beside class folders, for a class folder without
        images (but for ``target_names``), for a class that ``target_names`` lacks, and for a table
        without the columns.

    See Also
    --------
    sklearn.datasets.load_files : The same for text files.

    Notes
    -----
    Files of a folder are sorted by class, then path: shuffle them before a split that is not
    stratified. Rows of a table keep their order. Hidden files and folders are left out, and so are
    files of a folder whose names do not end in bmp, dcm, dicom, gif, jpeg, jpg, pbm, pgm, png, ppm,
    tif, tiff or webp; a table may name any.

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
    if root.is_dir():
        paths, labels = _read_folder(root, unlabelled, empty_classes=target_names is not None)
    elif root.is_file():
        paths, labels = _read_table(root, path_column, label_column, unlabelled)
    else:
        raise FileNotFoundError(f"container_path={str(root)!r} is neither a folder nor a file.")
    found = Counter(labels)
    classes = _order(found) if target_names is None else [str(name) for name in target_names]
    index: dict[str | None, int] = {name: i for i, name in enumerate(classes)}
    if len(index) < len(classes):
        raise ValueError(f"target_names={classes} holds a class twice.")
    index[None] = -1
    if unknown := sorted(str(name) for name in found if name not in index):
        raise ValueError(
            f"{root} holds the classes {unknown}, which target_names={classes} lacks. Add them, "
            "take them away, or name one as unlabelled."
        )
    filenames = np.array([str(path) for path in paths])
    target = np.array([index[name] for name in labels], dtype=np.int64)
    data = filenames if reader is None else reader.transform(filenames)
    if return_X_y:
        return data, target
    counts = [f"{found[name]} of {name!r}" for name in classes]
    counts += [f"{found[None]} without a class"] if found[None] else []
    return Bunch(
        data=data,
        target=target,
        target_names=np.array(classes, dtype=str),
        filenames=filenames,
        DESCR=f"{len(paths)} images, listed by {root}: {', '.join(counts)}.",
    )


def _read_folder(root: Path, unlabelled: str | None, *, empty_classes: bool) -> Labelled:
    """Return paths and class folders, or None for those without a class."""
    folders = {path.name: path for path in root.iterdir() if path.is_dir() and not _hidden(path)}
    if unlabelled is not None and unlabelled not in folders:
        raise ValueError(
            f"unlabelled={unlabelled!r}, but {root} has the folders {_order(folders)}."
        )
    loose = sorted(path for path in root.iterdir() if path.is_file() and _is_image(path))
    held = {name: _images_below(folders[name]) for name in _order(folders)}
    if not loose and not any(held.values()):
        raise ValueError(
            f"{root} holds no image; images are visible files that end in "
            f"{', '.join(sorted(EXTENSIONS))}."
        )
    if not any(held.values()):
        return loose, [None] * len(loose)
    if loose:
        raise ValueError(
            f"{root} holds folders, which are taken for classes, and images beside them, such as "
            f"{loose[0].name}. Move these to a folder of their own, and name it by unlabelled if "
            "they have no class."
        )
    empty = [name for name, paths in held.items() if not paths and name != unlabelled]
    if empty and not empty_classes:
        raise ValueError(
            f"The folders {empty} in {root} hold no image. Take them away, or set target_names to "
            "the classes that there are."
        )
    if unlabelled is not None:
        held[unlabelled] = held.pop(unlabelled)  # last
    pairs = [
        (path, None if name == unlabelled else name) for name, each in held.items() for path in each
    ]
    return [path for path, _ in pairs], [label for _, label in pairs]


def _images_below(folder: Path) -> list[Path]:
    """Return the images in a folder and all folders below it, sorted."""

    def refuse(error: OSError) -> NoReturn:  # os.walk passes by what it may not read
        raise error

    paths = []
    for here, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not _hidden(Path(name))]
        paths += [path for name in files if _is_image(path := Path(here, name))]
    return sorted(paths)


def _read_table(
    table: Path, path_column: str, label_column: str | None, unlabelled: str | None
) -> Labelled:
    """Return paths and labels of a CSV file, row by row."""
    if table.suffix.lower() != ".csv":
        raise ValueError(f"container_path={str(table)!r} is a file, but neither a folder nor .csv.")
    paths: list[Path] = []
    labels: list[str | None] = []
    with table.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.DictReader(file)
        for name in (path_column, label_column):
            if name is not None and name not in (rows.fieldnames or ()):
                raise ValueError(
                    f"{table} has no column {name!r}, but {list(rows.fieldnames or ())}. Set "
                    "path_column and label_column (None for images without classes), and separate "
                    "columns by commas."
                )
        for row in rows:
            path = (row[path_column] or "").strip()
            if not path:
                raise ValueError(f"{table}, line {rows.line_num}: no path.")
            paths.append(table.parent / path)
            label = "" if label_column is None else (row[label_column] or "").strip()
            labels.append(None if label in ("", "-1", unlabelled) else label)
    if not paths:
        raise ValueError(f"{table} has a header, but no rows.")
    check_files([str(path) for path in paths])
    return paths, labels


def _order(names: Any) -> list[str]:
    """Return names of classes as numbers or letters go; None is none."""
    known = [name for name in names if name is not None]
    numbers = all(name.isdecimal() for name in known)
    return sorted(known, key=lambda name: (int(name) if numbers else 0, name))


def _hidden(path: Path) -> bool:
    return path.name.startswith(".")


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in EXTENSIONS and not _hidden(path)

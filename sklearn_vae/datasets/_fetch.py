"""Image sets from a data home: ``NAME.npz`` files or torchvision's own downloads."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from functools import partial
from math import prod
from pathlib import Path
from typing import Any, Literal, get_args, overload
from zipfile import ZipFile

import numpy as np
from numpy.lib.format import read_array, read_array_header_1_0, read_array_header_2_0, read_magic
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.utils import Bunch

from ..utils._memory import memory_explained
from ..utils._sklearn_compat import StrOptions, validate_params

SOURCES = {
    "digits": "UCI handwritten digits, test part, 8 x 8 (Alpaydin, Kaynak, 1998), of scikit-learn; "
    "levels 0 to 16 divided by 16. The split is stratified, 25 % for testing, random_state=0.",
    "mnist": "MNIST handwritten digits (LeCun, Cortes, Burges, 1998).",
    "fashion_mnist": "Fashion-MNIST, articles of Zalando (Xiao, Rasul, Vollgraf, 2017).",
    "kmnist": "Kuzushiji-MNIST, cursive Japanese characters (Clanuwat et al., 2018).",
    "cifar10": "CIFAR-10, tiny colour photographs (Krizhevsky, 2009).",
    "svhn": "SVHN, street view house numbers (Netzer et al., 2011); for non-commercial use only.",
}
"""What ``DESCR`` begins with, by name; all but digits are torchvision's."""

Subset = Literal["train", "val", "test", "all"]
PARTS = ("train", "val", "test")
DIGITS = list("0123456789")
REMEDY = "Copy the files again from where they are whole, or delete them and download."

Parts = dict[str, tuple[np.ndarray, np.ndarray]]
"""Images and labels of each part that there is."""
Files = dict[Path, str | None]
"""Files of a set with the published checksums."""


@overload
def fetch_images(
    name: str,
    *,
    subset: Subset = ...,
    data_home: str | os.PathLike[str] | None = ...,
    download_if_missing: bool = ...,
    return_X_y: Literal[False] = ...,
) -> Bunch: ...
@overload
def fetch_images(
    name: str,
    *,
    subset: Subset = ...,
    data_home: str | os.PathLike[str] | None = ...,
    download_if_missing: bool = ...,
    return_X_y: Literal[True],
) -> tuple[np.ndarray, np.ndarray]: ...
@validate_params(
    {
        "name": [str],
        "subset": [StrOptions(set(get_args(Subset)))],
        "data_home": [str, os.PathLike, None],
        "download_if_missing": ["boolean"],
        "return_X_y": ["boolean"],
    },
    prefer_skip_nested_validation=True,
)
def fetch_images(
    name: str,
    *,
    subset: Subset = "train",
    data_home: str | os.PathLike[str] | None = None,
    download_if_missing: bool = True,
    return_X_y: bool = False,
) -> Bunch | tuple[np.ndarray, np.ndarray]:
    """Load a set of labelled images, downloading it where necessary (classification).

    Parameters
    ----------
    name : str
        ``"digits"``, which is embedded in scikit-learn; ``"mnist"``, ``"fashion_mnist"``,
        ``"kmnist"``, ``"cifar10"`` or ``"svhn"``, which torchvision can download. Or NAME of a
        ``NAME.npz`` file in the data home, which also goes before torchvision's download.

    subset : {"train", "val", "test", "all"}, default="train"
        Part to load. ``"val"`` is for npz files with such a part. ``"all"`` is the training,
        validation and test part one after the other.

    data_home : str or path-like, default=None
        Folder of the files. None is the environment variable ``SKLEARN_VAE_DATA``, or
        ``~/sklearn_vae_data`` where it is not set. See Notes.

    download_if_missing : bool, default=True
        False raises an OSError where the images are not in the data home.

    return_X_y : bool, default=False
        Return ``(data, target)`` instead of a Bunch.

    Returns
    -------
    images : :class:`~sklearn.utils.Bunch`
        data : ndarray of shape (n, height, width) or (n, height, width, 3), uint8
            Grey or RGB images, 0 to 255. ``"digits"`` are float32 in [0, 1], (n, 8, 8).
        target : ndarray of shape (n,), int64
            Index into ``target_names``.
        target_names : ndarray of shape (n_classes,), str
            Names of the classes. Of an npz file without names, the labels that it holds.
        DESCR : str
            What the images are.

    (data, target) : tuple
        With ``return_X_y=True``.

    Raises
    ------
    ValueError
        For a name that is neither known nor a file in the data home, and for a part that the set
        lacks. For an npz file that is damaged, cut short or without the arrays named in Notes.
    OSError
        When the images are missing and ``download_if_missing=False``, or the download fails; when
        torchvision's files are damaged, cut short, or do not have a label for each image.

    Notes
    -----
    A data home holds either or both of

    - ``NAME.npz``: arrays ``X_train``, ``y_train``, ``X_test``, ``y_test``, optionally ``X_val``,
      ``y_val`` and ``classes``, read without pickles. Labels are integers of any type, of shape
      (n,) or (n, 1). With ``classes`` they count its names. Without, the classes are the labels
      that any part holds: of 3, 7 and 20, ``target`` is 0, 1 and 2 and ``target_names`` are "3",
      "7" and "20". Such a file may be a selection of the official set: see who made it before
      comparing figures.
    - what torchvision's MNIST, FashionMNIST, KMNIST, CIFAR10 and SVHN keep under their ``root``.

    Nothing is cached in memory: keep the result rather than calling again.

    References
    ----------
    - MNIST: LeCun, Bottou, Bengio, Haffner, "Gradient-based learning applied to document
      recognition", Proc. IEEE 86, 1998.
    - Fashion-MNIST: Xiao, Rasul, Vollgraf, 2017, https://arxiv.org/abs/1708.07747
    - KMNIST: Clanuwat et al., "Deep learning for classical Japanese literature", 2018,
      https://arxiv.org/abs/1812.01718
    - CIFAR-10: Krizhevsky, "Learning multiple layers of features from tiny images", 2009.
    - SVHN: Netzer et al., "Reading digits in natural images with unsupervised feature learning",
      NIPS workshop, 2011. For non-commercial use only.

    Examples
    --------
    >>> from sklearn_vae.datasets import fetch_images
    >>> digits = fetch_images("digits")
    >>> digits.data.shape, digits.data.dtype, float(digits.data.max())
    ((1347, 8, 8), dtype('float32'), 1.0)
    >>> X_test, y_test = fetch_images("digits", subset="test", return_X_y=True)
    >>> X_test.shape, y_test.shape
    ((450, 8, 8), (450,))
    """
    home = Path(data_home or os.environ.get("SKLEARN_VAE_DATA") or "~/sklearn_vae_data")
    home = home.expanduser()
    wanted = PARTS if subset == "all" else (subset,)
    if name == "digits":
        parts, names = _read_digits()
    elif (home / f"{name}.npz").is_file():
        parts, names = _read_npz(home / f"{name}.npz", wanted)
    elif name in SOURCES:
        parts, names = _read_torchvision(name, wanted, home, download=download_if_missing)
    else:
        held = sorted(path.stem for path in home.glob("*.npz")) or "no NAME.npz files"
        raise ValueError(
            f"name={name!r:.100} is not a known set of images. Known are {sorted(SOURCES)}, and "
            f"the data home {home} holds {held!s:.300}. Put NAME.npz there, or set data_home."
        )
    found = [parts[part] for part in wanted if part in parts]
    if not found:
        raise ValueError(f"{name!r} has no {subset!r} part; use subset='train', 'test' or 'all'.")
    images, labels = zip(*found, strict=True)
    with memory_explained(lambda: f"joining the parts of {name!r}. Fetch one: subset='train'."):
        data = images[0] if len(images) == 1 else np.concatenate(images)
    target = np.concatenate(labels).astype(np.int64, copy=False)
    if return_X_y:
        return data, target
    source = SOURCES.get(name, f"{name}, from a file of the user.")
    size = " x ".join(map(str, data.shape[1:]))
    description = f"{source} Here: {subset}, {len(data)} images of {size}, {len(names)} classes."
    return Bunch(data=data, target=target, target_names=np.asarray(names), DESCR=description)


def _read_digits() -> tuple[Parts, Any]:
    digits = load_digits()
    images = (digits.images / 16).astype(np.float32)
    X_train, X_test, y_train, y_test = train_test_split(
        images, digits.target, test_size=0.25, stratify=digits.target, random_state=0
    )
    return {"train": (X_train, y_train), "test": (X_test, y_test)}, DIGITS


SAVE = "save arrays of numbers, and classes as an array of str"


class UnfitError(ValueError):
    """What an intact archive holds does not make a set of labelled images."""


def _read_npz(path: Path, wanted: tuple[str, ...]) -> tuple[Parts, Any]:
    try:
        with ZipFile(path) as archive:
            arrays = {name.removesuffix(".npy") for name in archive.namelist()}
            held = [part for part in PARTS if {f"X_{part}", f"y_{part}"} & arrays]
            needed = {f"{axis}_{part}" for axis in "Xy" for part in {*held, "train", "test"}}
            if missing := sorted(needed - arrays):
                raise UnfitError(f"it lacks {missing}; it holds {sorted(arrays)[:20]}")
            labels = {part: _read_array(archive, f"y_{part}") for part in held}
            images = {p: _read_array(archive, f"X_{p}") for p in wanted if p in held}
            names = _read_array(archive, "classes") if "classes" in arrays else None
        labels, names = _number_classes(labels, names)
        parts = {part: (X, labels[part]) for part, X in images.items()}
        _check_images(parts)
    except MemoryError as error:  # the archive does hold as much: see _read_array
        raise MemoryError(f"{path}: {error}") from error
    except UnfitError as error:
        raise ValueError(f"{path} cannot be used: {error}.") from None
    except Exception as error:  # zip, zlib and NumPy answer damage with errors of every kind
        why = f"damaged or cut short ({type(error).__name__}: {str(error)[:200]}). {REMEDY}"
        raise ValueError(f"{path} cannot be used: {why}") from error
    return parts, names


def _read_array(archive: ZipFile, key: str) -> np.ndarray:
    """Return an array of an npz file; refuse objects, and a header that promises other bytes.

    NumPy allocates what the header says before it reads: a damaged one may ask for terabytes.
    """
    member = archive.getinfo(f"{key}.npy")
    with archive.open(member) as file:
        version = read_magic(file)
        read_header = read_array_header_1_0 if version == (1, 0) else read_array_header_2_0
        shape, _, dtype = read_header(file)
        held = member.file_size - file.tell()
        if dtype.hasobject:
            raise UnfitError(f"{key} is an array of Python objects (allow_pickle=False); {SAVE}")
        if prod(shape) * dtype.itemsize != held:
            raise ValueError(f"{key} has shape {shape} and type {dtype}, but {held} bytes")
        file.seek(0)
        array: np.ndarray = read_array(file)
    return array


def _number_classes(
    labels: dict[str, np.ndarray], names: np.ndarray | None
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return the labels as places among the names, and the names.

    Labels without names count what there is, as 20,000,000 need not be the last of as many.
    """
    labels = {part: _check_labels(part, y) for part, y in labels.items()}
    found = np.unique(np.concatenate([y.ravel() for y in labels.values()]))
    if names is None:
        places = {part: np.searchsorted(found, y) for part, y in labels.items()}
        return places, np.array([str(label) for label in found], dtype=str)
    if names.ndim != 1:
        raise UnfitError(f"classes has shape {names.shape}; it is one name for each class")
    if found.size and len(names) <= found[-1]:
        raise UnfitError(f"it names {len(names)} classes, but has labels up to {found[-1]}")
    try:
        return labels, names.astype(str)
    except ValueError as error:
        raise UnfitError(f"classes of type {names.dtype} cannot be names ({error})") from error


def _check_labels(part: str, y: np.ndarray) -> np.ndarray:
    """Return labels of any integer type as uint64, a column of them as (n,)."""
    if y.dtype.kind not in "iub" or (y.size and y.min() < 0):
        what = f"holds {y.min()}" if y.dtype.kind == "i" else f"is {y.dtype}"
        raise UnfitError(f"y_{part} {what}; labels are integers from 0, as np.unique's inverse")
    return (y[:, 0] if y.shape[1:] == (1,) else y).astype(np.uint64)


def _check_images(parts: Parts) -> None:
    """Refuse images that are no numbers, do not match their labels, or differ between parts."""
    for part, (X, y) in parts.items():
        if X.dtype.kind not in "iubf" or X.ndim < 2:
            what = f"X_{part} is {X.dtype} of shape {X.shape}"
            raise UnfitError(f"{what}; images are numbers, (n, height, width[, 3])")
        if y.shape != X.shape[:1]:
            raise UnfitError(f"its {part} part has {len(X)} images with labels of shape {y.shape}")
    kinds = {part: f"{X.dtype} of {X.shape[1:]}" for part, (X, _) in parts.items()}
    if len(set(kinds.values())) > 1:
        raise UnfitError(f"the images of its parts differ: {kinds}; load one part at a time")


def _read_torchvision(
    name: str, wanted: tuple[str, ...], home: Path, *, download: bool
) -> tuple[Parts, Any]:
    from torchvision import datasets  # here, because importing it takes seconds

    kind = getattr(datasets, "FashionMNIST" if name == "fashion_mnist" else name.upper())
    parts, names, svhn = {}, DIGITS, name == "svhn"
    for part in (part for part in wanted if part != "val"):
        files = _files(kind, part, home)
        which = {"split": part} if svhn else {"train": part == "train"}
        found = _open(partial(kind, home, **which), home, files, download=download)
        X = np.ascontiguousarray(found.data.transpose(0, 2, 3, 1) if svhn else found.data)
        y = np.asarray(found.labels if svhn else found.targets)
        if y.shape != X.shape[:1] or not np.isin(y, range(10)).all():
            raise OSError(
                f"{name} has {len(X)} images in its {part} part and {len(y)} labels, "
                f"{np.unique(y)[:20]}, where each image has one of 0 to 9. {REMEDY} They are "
                f"{', '.join(str(path) for path in files if path.is_file())}."
            )
        parts[part] = X, y
        names = [c.partition(" - ")[0] for c in getattr(found, "classes", names)]  # "0 - zero"
    return parts, names


def _open(read: Callable[..., Any], home: Path, files: Files, *, download: bool) -> Any:
    """Return torchvision's data set, first without a download."""
    for path, md5 in files.items():
        if md5 is None and path.is_file():
            _check_idx(path)
    with warnings.catch_warnings():
        # CIFAR-10's files were pickled with align=0; NumPy 2.4.0 to 2.4.4 warn of that.
        warnings.filterwarnings("ignore", r"dtype\(\): align should be passed")
        try:
            return read(download=False)
        except RuntimeError as error:  # missing, or not what the checksums say
            what = _what_is_wrong(files, home)
            if not download:
                raise OSError(f"{what}, and download_if_missing=False.") from error
        try:
            return read(download=True)
        except (OSError, RuntimeError) as error:
            why = f"downloading them failed: {str(error)[:300]}"
            raise OSError(f"{what}, and {why}. Set data_home to where they are.") from error


def _what_is_wrong(files: Files, home: Path) -> str:
    """Name the files that are there, but not what was published; otherwise they are missing."""
    from torchvision.datasets.utils import check_integrity

    bad = [path for path, md5 in files.items() if path.is_file() and not check_integrity(path, md5)]
    if not bad:
        return f"The images are not in the data home {home}"
    held = ", ".join(f"{path} ({path.stat().st_size} bytes)" for path in bad)
    return f"Cut short or corrupted, as checksums are not the published ones: {held}"


def _files(kind: Any, part: str, home: Path) -> Files:
    """Return the files that torchvision reads or unpacks, with checksums where it keeps any."""
    if hasattr(kind, "split_list"):  # SVHN
        _, filename, md5 = kind.split_list[part]
        return {home / filename: md5}
    if hasattr(kind, "base_folder"):  # CIFAR-10
        listed = [*kind.train_list, *kind.test_list, [kind.meta["filename"], kind.meta["md5"]]]
        files = {home / kind.base_folder / filename: md5 for filename, md5 in listed}
        return files | {home / kind.filename: kind.tgz_md5}
    raw, stem = home / kind.__name__ / "raw", "train" if part == "train" else "t10k"
    unpacked = [(f"{stem}-images-idx3-ubyte", None), (f"{stem}-labels-idx1-ubyte", None)]
    return {raw / filename: md5 for filename, md5 in [*unpacked, *kind.resources]}


def _check_idx(path: Path) -> None:
    """Refuse an idx file that has not the bytes that its header counts.

    torchvision has no checksums of what it unpacks.
    """
    n_dims = 3 if "images" in path.name else 1
    head = 4 + 4 * n_dims
    with path.open("rb") as file:
        magic, *sizes = np.frombuffer(file.read(head).ljust(head, b"\0"), ">i4").tolist()
    held, wanted = path.stat().st_size, head + prod(sizes)
    known = magic == 2048 + n_dims
    if held < head or (known and held < wanted):
        raise OSError(f"{path} is cut short: it has {held} of {wanted} bytes. {REMEDY}")
    if not known or held > wanted:
        what = f"it starts with {magic}, sizes {sizes}, and has {held} bytes"
        raise OSError(f"{path} is damaged: {what}. {REMEDY}")

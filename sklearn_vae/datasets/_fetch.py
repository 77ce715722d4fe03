"""Image sets from a data home: ``NAME.npz`` files or torchvision's own downloads."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.utils import Bunch
from sklearn.utils._param_validation import StrOptions, validate_params

TORCHVISION = {
    "mnist": "MNIST",
    "fashion_mnist": "FashionMNIST",
    "kmnist": "KMNIST",
    "cifar10": "CIFAR10",
    "svhn": "SVHN",
}
"""Class in ``torchvision.datasets`` by name here."""

SOURCES = {
    "digits": "UCI optical recognition of handwritten digits, test part, 8 x 8 (Alpaydin, "
    "Kaynak, 1998), embedded in scikit-learn; grey levels 0 to 16 divided by 16. The split is "
    "stratified, 25 % for testing, random_state=0.",
    "mnist": "MNIST handwritten digits (LeCun, Cortes, Burges, 1998).",
    "fashion_mnist": "Fashion-MNIST, articles of Zalando (Xiao, Rasul, Vollgraf, 2017).",
    "kmnist": "Kuzushiji-MNIST, cursive Japanese characters (Clanuwat et al., 2018).",
    "cifar10": "CIFAR-10, tiny colour photographs (Krizhevsky, 2009).",
    "svhn": "SVHN, cropped street view house numbers (Netzer et al., 2011); for non-commercial "
    "use only.",
}
"""What ``DESCR`` begins with, by name."""

PARTS = ("train", "val", "test")

Parts = list[tuple[np.ndarray, np.ndarray]]


@validate_params(
    {
        "name": [str],
        "subset": [StrOptions({*PARTS, "all"})],
        "data_home": [str, os.PathLike, None],
        "download_if_missing": ["boolean"],
        "return_X_y": ["boolean"],
    },
    prefer_skip_nested_validation=True,
)
def fetch_images(
    name: str,
    *,
    subset: str = "train",
    data_home: str | os.PathLike[str] | None = None,
    download_if_missing: bool = True,
    return_X_y: bool = False,
) -> Bunch | tuple[np.ndarray, np.ndarray]:
    """Load a set of labelled images, downloading it where necessary (classification).

    Parameters
    ----------
    name : str
        ``"digits"``, which is embedded in scikit-learn; ``"mnist"``, ``"fashion_mnist"``,
        ``"kmnist"``, ``"cifar10"`` or ``"svhn"``, which torchvision can download; or NAME of a
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
            Names of the classes.
        DESCR : str
            What the images are.

    (data, target) : tuple
        With ``return_X_y=True``.

    Raises
    ------
    ValueError
        For a name that is neither known nor a file in the data home, for a part that the set
        lacks, and for an npz file that is damaged or without the arrays named in Notes.
    OSError
        When the images are missing and ``download_if_missing=False``, or the download fails.

    Notes
    -----
    A data home holds either or both of

    - ``NAME.npz``: arrays ``X_train``, ``y_train``, ``X_test``, ``y_test``, optionally ``X_val``,
      ``y_val`` and ``classes`` (names; else the numbers), read without pickles. Such a file may
      be a selection of the official set: see who made it before comparing figures.
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
        parts, names = _read_digits(wanted)
    elif (home / f"{name}.npz").is_file():
        parts, names = _read_npz(home / f"{name}.npz", wanted)
    elif name in TORCHVISION:
        parts, names = _read_torchvision(name, wanted, home, download=download_if_missing)
    else:
        held = sorted(path.stem for path in home.glob("*.npz"))
        raise ValueError(
            f"name={name!r} is not a known set of images. Known are {sorted(SOURCES)}, and the "
            f"data home {home} holds {held or 'no NAME.npz files'}. Put a file {name}.npz there, "
            "or set data_home or the environment variable SKLEARN_VAE_DATA to where it is."
        )
    if not parts:
        raise ValueError(f"{name!r} has no {subset!r} part; use subset='train', 'test' or 'all'.")
    images, labels = zip(*parts, strict=True)
    data = images[0] if len(images) == 1 else np.concatenate(images)
    target = np.concatenate(labels).astype(np.int64, copy=False)
    if return_X_y:
        return data, target
    source = SOURCES.get(name, f"{name}, from a file of the user.")
    size = " x ".join(map(str, data.shape[1:]))
    description = f"{source} Here: {subset}, {len(data)} images of {size}, {len(names)} classes."
    return Bunch(data=data, target=target, target_names=np.asarray(names), DESCR=description)


def _read_digits(wanted: tuple[str, ...]) -> tuple[Parts, Any]:
    digits = load_digits()
    images = (digits.images / 16).astype(np.float32)
    X_train, X_test, y_train, y_test = train_test_split(
        images, digits.target, test_size=0.25, stratify=digits.target, random_state=0
    )
    parts = {"train": (X_train, y_train), "test": (X_test, y_test)}
    return [parts[part] for part in wanted if part in parts], [str(k) for k in digits.target_names]


def _read_npz(path: Path, wanted: tuple[str, ...]) -> tuple[Parts, Any]:
    try:
        with path.open("rb") as file, np.load(file) as arrays:
            held = [p for p in PARTS if {f"X_{p}", f"y_{p}"} & {*arrays}]
            needed = {f"{axis}_{part}" for axis in "Xy" for part in {*held, "train", "test"}}
            if missing := sorted(needed.difference(arrays)):
                raise ValueError(f"it lacks {missing}; it holds {sorted(arrays)}")
            labels = {part: arrays[f"y_{part}"] for part in held}
            parts = [(arrays[f"X_{p}"], labels[p]) for p in wanted if p in held]
            names = arrays.get("classes")
    except (EOFError, OSError, ValueError, BadZipFile) as error:
        raise ValueError(f"{path} cannot be used: {error}.") from error
    for X, y in parts:
        if y.shape != X.shape[:1]:
            raise ValueError(f"{path} has {len(X)} images with labels of shape {y.shape}.")
    for part, y in labels.items():
        if y.dtype.kind not in "iu" or (y.size and y.min() < 0):
            raise ValueError(f"{path}: y_{part} is {y.dtype}; labels are integers from 0.")
    n_classes = max(int(y.max(initial=-1)) for y in labels.values()) + 1
    if names is None:
        return parts, [str(k) for k in range(n_classes)]
    if len(names) < n_classes:
        raise ValueError(f"{path} names {len(names)} classes, but has labels to {n_classes - 1}.")
    return parts, names


def _read_torchvision(
    name: str, wanted: tuple[str, ...], home: Path, *, download: bool
) -> tuple[Parts, Any]:
    from torchvision import datasets  # here, because importing it takes seconds

    kind = getattr(datasets, TORCHVISION[name])
    parts, names = [], [str(k) for k in range(10)]
    for part in wanted:
        if part == "val":
            continue
        which = {"split": part} if name == "svhn" else {"train": part == "train"}
        found = _open(partial(kind, home, **which), home, download=download)
        images = np.asarray(found.data)
        if name == "svhn":
            images = images.transpose(0, 2, 3, 1)
        targets = found.labels if name == "svhn" else found.targets
        parts.append((np.ascontiguousarray(images), np.asarray(targets)))
        names = [c.partition(" - ")[0] for c in getattr(found, "classes", names)]  # "0 - zero"
    return parts, names


def _open(make: Callable[..., Any], home: Path, *, download: bool) -> Any:
    """Return torchvision's data set, first without a download."""
    with warnings.catch_warnings():
        # CIFAR-10's files were pickled with align=0; NumPy 2.4.0 to 2.4.4 warn of that.
        warnings.filterwarnings("ignore", r"dtype\(\): align should be passed")
        try:
            return make(download=False)
        except RuntimeError as error:  # missing, or not what the checksums say
            if not download:
                raise OSError(
                    f"The images are not in the data home {home} ({error}), and "
                    "download_if_missing=False."
                ) from error
        try:
            return make(download=True)
        except (OSError, RuntimeError) as error:
            raise OSError(
                f"The images are not in the data home {home}, and downloading them failed: "
                f"{error}. Set data_home or SKLEARN_VAE_DATA to a folder that holds them."
            ) from error

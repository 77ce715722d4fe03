"""File paths in, images out: the first step of a pipeline on image files."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from itertools import takewhile
from math import prod
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import Tags

from ..utils._doc_link import DocLinkMixin
from ..utils._memory import memory_explained
from ..utils._sklearn_compat import AT_LEAST_1, StrOptions, fit_context, get_output_config

if TYPE_CHECKING:
    from torch.utils.data import Dataset

Aspect = Literal["crop", "pad", "stretch"]
Mode = Literal["L", "RGB", "RGBA"]
OnError = Literal["raise", "blank"]
MODES = {"L": (), "RGB": (3,), "RGBA": (4,)}
"""What a mode adds to the shape of an image."""
NAMED = 100
"""Unreadable files that one message names, at most."""


class ImageReader(TransformerMixin, DocLinkMixin, BaseEstimator):
    """Read image files: from an array-like of paths to uint8 images of one size and mode.

    The first step of a pipeline on files, so that cross-validation and searches hand around paths
    rather than pixels. It learns nothing: the images depend on the files and parameters alone, the
    same at prediction as in training, and it works without a call to fit.

    Parameters
    ----------
    size : int, (int, int) or None, default=None
        Pixels of the images returned: the side of a square, or (height, width). None leaves
        images as they are; they must then agree.

    aspect : {"crop", "pad", "stretch"}, default="crop"
        What becomes of an image whose sides relate otherwise than ``size``. ``"crop"`` cuts off
        what is too much, half on either side. ``"pad"`` keeps all of it within black (with
        ``"RGBA"``: transparent) bars. ``"stretch"`` changes its proportions. No effect without
        ``size``.

    mode : {"L", "RGB", "RGBA"}, default="RGB"
        Grey levels, colour, or colour with opacity. It is fixed, rather than taken from the
        files, so that one grey file among the new ones does not change what the next step gets.

    errors : {"raise", "blank"}, default="raise"
        Of files that exist but cannot be read as images. ``"raise"`` reads all others, then
        raises an error with the name and reason of each. ``"blank"`` gives zeros in their place,
        as a transformer cannot leave out rows, and the same list as a warning.

    n_jobs : int, default=None
        Threads that read. None is 1, but for a ``joblib.parallel_config``; -1 is one for each
        core.

    lazy : bool, default=False
        Return a ``torch.utils.data.Dataset`` that reads each file when it is asked for, not
        an array of all: for a VAE on more images than memory holds. Needs ``size``. ``n_jobs`` and
        ``verbose`` have no part in it; the VAE's ``loader_workers`` read.

    verbose : int, default=0
        Above 0: a progress bar.

    See Also
    --------
    load_image_folder : The paths and classes of a folder or table of images.

    Notes
    -----
    Formats are told by content, not by name. Pillow reads BMP, GIF, JPEG, PNG, PBM/PGM/PPM, TIFF
    and WebP, and AVIF and JPEG 2000 where it was built with them. It reads HEIF (HEIC) where a
    plugin is registered: ``pillow_heif.register_heif_opener()``, in each process that reads.
    pydicom reads DICOM (``pip install "sklearn-vae[dicom]"``). Other formats that Pillow knows are
    refused: some run external programs. Of files with several frames or pages, the first is read.

    - EXIF orientation is applied.
    - Transparent pixels of ``"L"`` and ``"RGB"`` are seen before white, as on a page.
    - CMYK is converted, colour profiles are ignored.
    - 16-bit levels lose their lower 8 bits, whatever the image holds, so that levels compare
      between images. 12-bit values in a 16-bit TIFF hence come out almost black: multiply them
      by 16 beforehand. Signed, 32-bit and floating-point greys, which have no white, are refused.
    - DICOM greys go through the file's modality LUT or rescale slope, then its first VOI LUT or
      window. Without one, the whole range of the stored bits becomes 0 to 255. ``MONOCHROME1`` is
      inverted, so that larger is brighter. Empty tags, a rescale slope of 0 (with its intercept)
      and a window without a width count as absent, as they do for viewers. Of several values, the
      first is taken. An enhanced file's are those of its first frame. Of a deflated file, 16 MiB
      are inflated before the pixels, at most.
    - Resizing is bilinear over the area that a new pixel covers (antialiased). Large JPEGs are
      decoded at a fraction of their size, though at least twice the one asked for.
    - A file that unpacks to more than ``PIL.Image.MAX_IMAGE_PIXELS`` counts as unreadable.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from sklearn_vae.datasets import ImageReader
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     paths = [Path(folder) / "red.png", Path(folder) / "grey.jpg"]
    ...     Image.new("RGB", (60, 40), "red").save(paths[0])
    ...     Image.new("L", (30, 30), 128).save(paths[1])
    ...     X = ImageReader(size=(16, 24)).transform(paths)
    >>> X.shape, X.dtype
    ((2, 16, 24, 3), dtype('uint8'))
    >>> X[:, 0, 0].tolist()
    [[255, 0, 0], [128, 128, 128]]

    In a pipeline, ``make_pipeline(ImageReader(size=32), VAETransformer(), SVC())`` fits and
    predicts on paths.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "size": [AT_LEAST_1, tuple, list, None],
        "aspect": [StrOptions(set(get_args(Aspect)))],
        "mode": [StrOptions(set(MODES))],
        "errors": [StrOptions(set(get_args(OnError)))],
        "n_jobs": [Integral, None],
        "lazy": ["boolean"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        size: int | tuple[int, int] | None = None,
        *,
        aspect: Aspect = "crop",
        mode: Mode = "RGB",
        errors: OnError = "raise",
        n_jobs: int | None = None,
        lazy: bool = False,
        verbose: int = 0,
    ) -> None:
        self.size = size
        self.aspect = aspect
        self.mode = mode
        self.errors = errors
        self.n_jobs = n_jobs
        self.lazy = lazy
        self.verbose = verbose

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> ImageReader:
        """Check the parameters and that X holds paths; no file is opened.

        Parameters
        ----------
        X : array-like of shape (n,) or (n, 1)
            Paths, as :meth:`transform` takes them.
        y : Ignored
            Not used; present for the scikit-learn API.

        Returns
        -------
        self : object
            The estimator itself.
        """
        self._height_and_width()
        read_paths(X)
        return self

    def transform(self, X: Any) -> Any:
        """Read the files, or with ``lazy`` see that they are there.

        Parameters
        ----------
        X : array-like of shape (n,) or (n, 1), of str or path-like
            Paths: a list, an array, a column of a data frame. Relative ones start at the
            working directory.

        Returns
        -------
        images : ndarray of shape (n, h, w), (n, h, w, 3) or (n, h, w, 4), uint8; or Dataset
            With mode ``"L"``, ``"RGB"`` or ``"RGBA"``; in the order of X. Where ``set_output``
            asks for a frame of pandas or polars, its one column ``"image"`` holds the images,
            and one of pandas has the index of X. With ``lazy`` a Dataset of such images.

        Raises
        ------
        FileNotFoundError
            When files do not exist, before any is read.
        ValueError
            When X does not hold paths, when images differ in size and ``size`` is None, and for
            unreadable files, unless ``errors="blank"``. For ``lazy`` without ``size`` or with a
            frame as output; what is unreadable is then told when it is read.
        ImportError
            For a DICOM file where pydicom is missing.
        MemoryError
            Naming the file, where memory runs out; such a file is not blanked.
        """
        self._validate_params()
        size = self._height_and_width()
        paths = read_paths(X)
        check_files(paths, paths, Path())
        if self.lazy:
            return self._to_be_read(paths, size)
        images, unreadable = self._read(paths, size)
        if unreadable:
            lines = [f"\n  {path}: {why}" for path, why in list(unreadable.items())[:NAMED]]
            if len(unreadable) > NAMED:
                lines.append(f"\n  and {len(unreadable) - NAMED} more")
            message = f"{len(unreadable)} of {len(paths)} files cannot be read:{''.join(lines)}\n"
            if self.errors == "raise" or images is None:
                raise ValueError(f"{message}Leave them out, or set errors='blank' for zeros.")
            warnings.warn(f"{message}Their rows are zeros.", UserWarning, stacklevel=3)
        assert images is not None  # there are paths, and not all of them failed
        return _as_column(images) if self._gives_frames() else images

    def _read(
        self, paths: list[str], size: tuple[int, int] | None
    ) -> tuple[np.ndarray | None, dict[str, str]]:
        """Return the images, None where none could be read, and why which files could not."""
        images = None if size is None else _blank(len(paths), (*size, *MODES[self.mode]))
        unreadable, first, other = {}, "", ""
        wanted = takewhile(lambda _: not other, paths)
        jobs = (delayed(try_to_read)(path, size, self.aspect, self.mode) for path in wanted)
        results = Parallel(self.n_jobs, require="sharedmem", return_as="generator")(jobs)
        if self.verbose:
            from tqdm.auto import tqdm  # which in a notebook without ipywidgets warns

            results = tqdm(results, "Reading images", len(paths), unit="file")
        for i, result in enumerate(results):
            if isinstance(result, str):
                unreadable[paths[i]] = result
                continue
            said = "{} has {} x {}".format(paths[i], *result.shape)
            if images is None:
                images, first = _blank(len(paths), result.shape), said
            if result.shape == images.shape[1:]:
                images[i] = result
            else:  # raise after the threads have ended: they end soon
                other = other or said
        if other:
            raise ValueError(
                f"The images differ in size (h x w): {first} pixels, {other}. Set size."
            )
        return images, unreadable

    def _to_be_read(self, paths: list[str], size: tuple[int, int] | None) -> Dataset:
        """Return the images as a Dataset."""
        from ._files import ImageFiles  # here, because importing torch takes its time

        if size is None:
            raise ValueError(
                "size=None takes the files' own size, which lazy=True does not read. Set size."
            )
        if self._gives_frames():
            raise ValueError(
                "lazy=True fills no data frame. Set lazy=False, or set_output('default')."
            )
        return ImageFiles(paths, size, self.aspect, self.mode, self.errors)

    def _height_and_width(self) -> tuple[int, int] | None:
        """Return ``size`` as (height, width)."""
        if self.size is None:
            return None
        sides = self.size if isinstance(self.size, (tuple, list)) else [self.size] * 2
        if len(sides) != 2 or not all(isinstance(s, Integral) and s >= 1 for s in sides):
            say = "give the side of a square or (height, width) in pixels, ints >= 1, or None"
            raise ValueError(f"size={self.size!r}: {say}.")
        return int(sides[0]), int(sides[1])

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return a name for each value of an image, as the next step of a pipeline counts them.

        Where ``set_output`` asks for a frame, the name of its one column.

        Parameters
        ----------
        input_features : Ignored
            Not used; present for the scikit-learn API.

        Returns
        -------
        names : ndarray of shape (h * w * channels,) or (1,), object
            ``imagereader0``, ``imagereader1``, ...; or ``image``.

        Raises
        ------
        ValueError
            Where ``size`` is None, as the files then decide how many there are.
        """
        if self._gives_frames():
            return np.array(["image"], dtype=object)
        size = self._height_and_width()
        if size is None:
            raise ValueError(
                "With size=None the number of pixels is unknown. Set size to name them."
            )
        n = prod((*size, *MODES[self.mode]))
        return np.array([f"imagereader{i}" for i in range(n)], dtype=object)

    def _gives_frames(self) -> bool:
        """Whether scikit-learn is to wrap what transform returns (set_output or set_config)."""
        return get_output_config("transform", self)["dense"] != "default"

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Tags:
        """Return scikit-learn's tags: strings go in, and nothing has to be fitted."""
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False  # of numbers, as the common checks have them
        tags.transformer_tags.preserves_dtype = []
        tags.requires_fit = False
        return tags


def _blank(n: int, shape: tuple[int, ...]) -> np.ndarray:
    """Return n black images."""
    h, w = shape[:2]
    with memory_explained(lambda: f"reading {n} images of {h} x {w} pixels. Set a smaller size."):
        return np.zeros((n, *shape), np.uint8)


def _as_column(images: np.ndarray) -> np.ndarray:
    """Return the images as objects, (n, 1): one column of a frame."""
    column = np.empty((len(images), 1), dtype=object)
    column[:, 0] = list(images)
    return column


def read_paths(X: Any) -> list[str]:
    """Return an array-like of paths as strings, or say what is wrong with it."""
    if isinstance(X, (str, bytes, os.PathLike)):
        raise ValueError(
            f"X is a single path, {X!r:.100}; pass a list of paths, [X], or a folder's, "
            "load_image_folder(X).data."
        )
    values = np.asarray(X.to_numpy() if hasattr(X, "to_numpy") else X, dtype=object)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim == 0:
        raise ValueError(f"X is a {type(X).__name__}; pass a list, array or column of paths.")
    if values.ndim != 1:
        shape = values.shape
        raise ValueError(
            f"X has shape {shape}: pass the column of the paths; pixels need no reader."
        )
    if len(values) == 0:
        raise ValueError("X has 0 sample(s); pass at least one path.")
    for i, value in enumerate(values):
        if not isinstance(value, (str, os.PathLike)):
            raise ValueError(f"X[{i}] is {value!r:.100}, not a path: a str or pathlib.Path.")
    return [os.fspath(value) for value in values]


def check_files(
    paths: Sequence[str | Path], names: Sequence[str], base: Path, prefix: str = ""
) -> None:
    """Refuse paths that are no files, naming the first few; relative ones start at the base."""
    missing = [name for path, name in zip(paths, names, strict=True) if not os.path.isfile(path)]
    if missing:
        shown = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
        raise FileNotFoundError(
            f"{prefix}{len(missing)} of {len(paths)} paths are not files: {shown} (Relative paths "
            f"start at {base.resolve()}.)"
        )


def try_to_read(
    path: str, size: tuple[int, int] | None, aspect: str, mode: str
) -> np.ndarray | str:
    """Return the image, or why there is none."""
    from ._pixels import read_image  # here, because importing Pillow takes its time

    try:
        return read_image(path, size, aspect, mode)
    except ImportError:  # not the file's fault
        raise
    except MemoryError as error:  # neither: no more is asked for than the file has, or its pixels
        raise MemoryError(f"{path}: no memory left to read it ({error})") from error
    except Exception as error:  # decoders answer damage with exceptions of every kind
        kind = "" if type(error) is ValueError else f"{type(error).__name__}: "
        return f"{kind}{str(error)[:300]}"

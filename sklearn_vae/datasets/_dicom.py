"""The first frame of a DICOM file as an 8-bit image, by pydicom."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from math import isfinite
from struct import unpack
from typing import BinaryIO

import numpy as np
from PIL import Image

from ._pixels import check_pixels

try:
    from pydicom import Dataset, dcmread
    from pydicom.dataset import FileMetaDataset
    from pydicom.filereader import read_dataset
    from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi_lut, pixel_array
    from pydicom.pixels.utils import get_expected_length
    from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian
except ImportError as error:
    raise ImportError('DICOM takes pydicom 3: pip install "sklearn-vae[dicom]"') from error

PREAMBLE = 132
"""Bytes before the file meta information."""
INFLATED = 2**24
"""Bytes that a deflated file may have before its pixels."""
PIXEL_DATA = {0x7FE00008, 0x7FE00009, 0x7FE00010}
"""Tags of floats, doubles and integers."""


def read_dicom(file: BinaryIO) -> Image.Image:
    """Return the image as a viewer first shows it: modality LUT, first VOI LUT or window."""
    file.seek(PREAMBLE)
    meta = read_dataset(file, False, True, stop_when=lambda tag, *_: tag >> 16 != 2)
    syntax = meta.TransferSyntaxUID
    if syntax == DeflatedExplicitVRLittleEndian:
        ds = _read_deflated(file.read())
    else:
        file.seek(0)
        ds = dcmread(file, stop_before_pixels=True)
        _check_size(ds)
        if not syntax.is_encapsulated:
            head = file.read(8 if syntax.is_implicit_VR else 12)
            _add_frame(ds, head, file.read, little_endian=syntax.is_little_endian)
    pixels = pixel_array(file if syntax.is_encapsulated else ds, index=0)  # this frame only
    if pixels.dtype.kind == "f":
        raise ValueError("floating-point pixels have no range that says white")
    _take_from_groups(ds)
    _leave_out_what_says_nothing(ds)
    low, high = 0.0, 2.0**ds.BitsStored - 1
    if ds.PhotometricInterpretation == "PALETTE COLOR":
        pixels = apply_color_lut(pixels, ds)
        high = float(np.iinfo(pixels.dtype).max)
    elif pixels.ndim == 2:
        pixels = apply_modality_lut(pixels, ds)
        if "VOILUTSequence" in ds:
            pixels = np.rint(pixels).astype(np.int32)  # rescaled ones are floats: no index
        pixels = apply_voi_lut(pixels, ds)
        low, high = _grey_range(ds)
    levels = np.rint((pixels - low) / (high - low) * 255).clip(0, 255).astype(np.uint8)
    inverted = ds.PhotometricInterpretation == "MONOCHROME1"
    return Image.fromarray(255 - levels if inverted else levels)


def _read_deflated(packed: bytes) -> Dataset:
    """Return the header and the first frame; inflate no more than these take.

    pydicom inflates all there is, which may be a thousand times the file's size.
    """
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    file = io.BytesIO(inflater.decompress(packed, INFLATED))
    ds = read_dataset(file, False, True, stop_when=lambda tag, *_: tag in PIXEL_DATA)
    head = file.read(12)
    if not head and not inflater.eof:
        raise ValueError(f"its header inflates to more than {INFLATED} bytes, or is cut short")
    _check_size(ds)

    def inflate(size: int) -> bytes:
        held = file.read(size)
        left = size - len(held)
        return held + (inflater.decompress(inflater.unconsumed_tail, left) if left else b"")

    _add_frame(ds, head, inflate)
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return ds


def _add_frame(
    ds: Dataset, head: bytes, read: Callable[[int], bytes], *, little_endian: bool = True
) -> None:
    """Add the first frame's pixels, which come after the head of their element."""
    if len(head) < 8:
        raise ValueError("a DICOM file without pixels, or cut short before them")
    ds.NumberOfFrames = 1
    length = get_expected_length(ds)
    pixels = read(length)
    if len(pixels) < length:
        raise ValueError(f"cut short: {len(pixels)} bytes of pixels, where one frame has {length}")
    group, element = unpack("<HH" if little_endian else ">HH", head[:4])
    ds.add_new(group << 16 | element, "OW" if len(head) == 8 else head[4:6].decode(), pixels)


def _check_size(ds: Dataset) -> None:
    if not (ds.get("Rows") and ds.get("Columns")):
        raise ValueError("a DICOM file without an image")
    check_pixels(ds.Columns, ds.Rows)


def _take_from_groups(ds: Dataset) -> None:
    """Set what an enhanced file says of all its frames, and of the first, as other files say it."""
    for name in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        group = _first(ds, name)
        for part in ("PixelValueTransformationSequence", "FrameVOILUTSequence"):
            ds.update(_first(group, part))


def _first(ds: Dataset, name: str) -> Dataset:
    """Return a sequence's first item."""
    return next(iter(ds.get(name) or []), Dataset())


def _leave_out_what_says_nothing(ds: Dataset) -> None:
    """Take away empty tables, rescale tags and windows, as viewers do; leave one number of each.

    A slope of 0 or a window narrower than a level would make all pixels the same: DCMTK
    (dimomod.cc, dimoimg.cc) ignores them, too.
    """
    for name in ("ModalityLUTSequence", "VOILUTSequence"):
        item = _first(ds, name)
        if name in ds and not (item.get("LUTDescriptor") and item.get("LUTData")):
            del ds[name]
    table = "ModalityLUTSequence" in ds
    least = 1 if ds.get("VOILUTFunction", "LINEAR") == "LINEAR" else 1e-9
    _keep(ds, "RescaleSlope", "RescaleIntercept", lambda slope: slope != 0 and not table)
    _keep(ds, "WindowWidth", "WindowCenter", lambda width: width >= least)


def _keep(ds: Dataset, name: str, other: str, says: Callable[[float], bool]) -> None:
    """Leave one number of each element, or neither where they say nothing."""
    number, second = _number(ds, name), _number(ds, other)
    for each, value in ((name, number), (other, second)):
        ds.pop(each, None)
        if number is not None and second is not None and says(number):
            setattr(ds, each, value)


def _number(ds: Dataset, name: str) -> float | None:
    """Return a tag's first value."""
    values = [value for value in np.ravel(ds.get(name)).tolist() if value not in (None, "")]
    if values and not isfinite(float(values[0])):
        raise ValueError(f"{name} is {values[0]}")
    return float(values[0]) if values else None


def _grey_range(ds: Dataset) -> tuple[float, float]:
    """Return what the LUTs' output lies between (as pydicom's windows do), by the header alone."""
    for name in ("VOILUTSequence", "ModalityLUTSequence"):
        if name in ds:
            return 0.0, 2.0 ** ds[name].value[0].LUTDescriptor[2] - 1
    low = -(2.0 ** (ds.BitsStored - 1)) if ds.PixelRepresentation else 0.0
    high = low + 2.0**ds.BitsStored - 1
    slope, intercept = float(ds.get("RescaleSlope", 1)), float(ds.get("RescaleIntercept", 0))
    ends = low * slope + intercept, high * slope + intercept
    return ends if "WindowWidth" in ds else (min(ends), max(ends))  # windows turn with the slope

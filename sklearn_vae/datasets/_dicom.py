"""The first frame of a DICOM file as an 8-bit image, by pydicom."""

from __future__ import annotations

from typing import BinaryIO

import numpy as np
from PIL import Image

from ._pixels import check_pixels

try:
    from pydicom import Dataset, dcmread
    from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi_lut, pixel_array
except ImportError as error:
    raise ImportError(
        'Reading DICOM files takes pydicom 3 or later: pip install "sklearn-vae[dicom]".'
    ) from error


def read_dicom(file: BinaryIO) -> Image.Image:
    """Return the image as a viewer first shows it: modality LUT, first VOI LUT or window."""
    ds = dcmread(file)
    if "Rows" not in ds or "Columns" not in ds:
        raise ValueError("a DICOM file without an image")
    check_pixels(ds.Columns, ds.Rows)
    pixels = pixel_array(ds, index=0)
    if ds.PhotometricInterpretation == "PALETTE COLOR":
        pixels = apply_color_lut(pixels, ds)
        low, high = 0.0, float(np.iinfo(pixels.dtype).max)
    elif pixels.ndim == 3:
        low, high = 0.0, 2.0**ds.BitsStored - 1
    else:
        pixels = apply_modality_lut(pixels, ds)
        if ds.get("VOILUTSequence"):
            pixels = np.rint(pixels).astype(np.int32)  # rescaled ones are floats: no index
        pixels = apply_voi_lut(pixels, ds)
        low, high = _grey_range(ds)
    levels = np.rint((pixels - low) / (high - low) * 255).astype(np.uint8)
    return Image.fromarray(
        255 - levels if ds.PhotometricInterpretation == "MONOCHROME1" else levels
    )


def _grey_range(ds: Dataset) -> tuple[float, float]:
    """Return what the LUTs' output lies between (as pydicom's windows do), by the header alone."""
    for name in ("VOILUTSequence", "ModalityLUTSequence"):
        if ds.get(name):
            return 0.0, 2.0 ** ds[name].value[0].LUTDescriptor[2] - 1
    low = -(2.0 ** (ds.BitsStored - 1)) if ds.PixelRepresentation else 0.0
    high = low + 2.0**ds.BitsStored - 1
    slope, intercept = float(ds.get("RescaleSlope", 1)), float(ds.get("RescaleIntercept", 0))
    return low * slope + intercept, high * slope + intercept

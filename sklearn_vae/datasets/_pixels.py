"""One image file as uint8 pixels: decoding, orientation, colour and size, by Pillow."""

from __future__ import annotations

import io
import os
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError, features

FORMATS = {"AVIF", "BMP", "GIF", "HEIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP"}
"""What Pillow may open: others run external programs, or have decoders that few images test."""
BRANDS = {
    **dict.fromkeys((b"avif", b"avis"), "AVIF, which this build of Pillow cannot read"),
    **dict.fromkeys(
        (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"),
        "HEIF (HEIC): pip install pillow-heif, then pillow_heif.register_heif_opener()",
    ),
}
"""What a file without a decoder is, by its brand (ISO/IEC 14496-12, box ftyp)."""
READ_WHOLE = 2**24
"""Bytes up to which a file is read as a whole: decoders ask for few bytes, many times."""
SHARPNESS = 2
"""A JPEG is decoded at no less than so many times the size asked for."""
GREY = {"1", "L", "LA", "La", "I", "F", "I;16", "I;16B", "I;16L"}
"""Pillow's modes without colour."""
PHOTOMETRIC, TILE = 262, (322, 323)
"""TIFF's tags PhotometricInterpretation; TileWidth and TileLength."""


def formats() -> list[str]:
    """Return those formats that Pillow, as it was built and with plugins registered, can read."""
    able = {*Image.registered_extensions().values()} & {*Image.OPEN}
    if not features.check("jpg_2000"):  # Pillow registers the format either way
        able.discard("JPEG2000")
    return sorted(FORMATS & able)


def extensions() -> set[str]:
    """Return what names of files that can be read end in, in small letters."""
    able = formats()
    held = {ending for ending, name in Image.registered_extensions().items() if name in able}
    return {*held, ".dcm", ".dicom"}


def is_image(path: str) -> bool:
    """Whether the file starts as one that read_image takes."""
    with open(path, "rb") as file:
        if file.read(132)[128:] == b"DICM":
            return True
        try:
            with Image.open(file, formats=formats()):
                return True
        except (Image.DecompressionBombError, Image.DecompressionBombWarning):
            return True  # an image, which the reader refuses by name
        except Exception:  # as many kinds as there are decoders
            return False


def is_grey(path: str) -> bool:
    """Whether the file's image has levels of grey alone; True of what no image can be told of."""
    try:
        with Image.open(path, formats=formats()) as image:
            return image.mode in GREY
    except Exception:  # DICOM, or a file that the reader refuses by name
        return True


class BoundedFile(io.BufferedReader):
    """A file of which no more is read than there is.

    Python allocates what ``read`` is asked for, and damaged lengths ask for gigabytes.
    """

    def __init__(self, path: str) -> None:
        super().__init__(io.FileIO(path))
        self._length = os.fstat(self.fileno()).st_size

    def read(self, size: int | None = -1, /) -> bytes:
        """Read at most what is left."""
        left = max(0, self._length - self.tell())
        return super().read(left if size is None or size < 0 else min(size, left))


def _opened(path: str) -> BinaryIO:
    """Return a file of which no more is read than there is."""
    with open(path, "rb") as file:
        length = os.fstat(file.fileno()).st_size
        return io.BytesIO(file.read(length)) if length <= READ_WHOLE else BoundedFile(path)


def read_image(path: str, size: tuple[int, int] | None, aspect: str, mode: str) -> np.ndarray:
    """Return the file's (first) image as uint8 (h, w) or (h, w, channels); see ImageReader."""
    with _opened(path) as file:
        head = file.read(132)
        if not head:
            raise ValueError("the file is empty")
        if head[128:] == b"DICM":
            from ._dicom import read_dicom  # here, because pydicom is optional

            image = read_dicom(file)
        else:
            image = _open(file, head, size)
        return np.asarray(_resize(_convert(image, mode), size, aspect))


def check_pixels(width: int, height: int) -> None:
    """Refuse an image of more pixels than Pillow takes for an honest one."""
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and width * height > limit:
        remedy = "raise PIL.Image.MAX_IMAGE_PIXELS if you trust the file"
        raise ValueError(f"{width} x {height} pixels are over the limit of {limit}; {remedy}")


def _open(file: BinaryIO, head: bytes, size: tuple[int, int] | None) -> Image.Image:
    """Return the first frame as the camera was held."""
    able = formats()
    try:
        image = Image.open(file, formats=able)
    except UnidentifiedImageError:
        brand = BRANDS.get(head[8:12], "") if head[4:8] == b"ftyp" else ""
        if brand and brand[:4] not in able:
            raise ValueError(brand) from None
        raise ValueError(f"neither DICOM nor intact {', '.join(able)}") from None
    check_pixels(*image.size)  # Pillow itself only warns up to twice its limit
    tags = getattr(image, "tag_v2", {})
    check_pixels(*(int(np.max(tags.get(side, 0))) for side in TILE))  # decoded as a whole
    if size is not None:  # JPEG decodes to 1/2, 1/4, 1/8 of its size in a fraction of the time
        image.draft(None, (SHARPNESS * max(size),) * 2)  # both sides: it may yet be turned
    ImageOps.exif_transpose(image, in_place=True)
    return image


def _convert(image: Image.Image, mode: str) -> Image.Image:
    """Return an image of 8 bits a channel in the mode, transparency over white."""
    # Pillow's 32-bit mode, but 16 bits in the file: PGM, and PNG before Pillow 10.3.
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM")):
        levels = (np.asarray(image) >> 8).astype(np.uint8)
        white_is_zero = getattr(image, "tag_v2", {}).get(PHOTOMETRIC) == 0  # TIFF; 8 bits: Pillow's
        image = Image.fromarray(255 - levels if white_is_zero else levels)
    elif image.mode in ("I", "F"):
        raise ValueError("signed, 32-bit or floating-point pixels have no range that says white")
    if mode != "RGBA" and image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image if image.mode == mode else image.convert(mode)


def _resize(image: Image.Image, size: tuple[int, int] | None, aspect: str) -> Image.Image:
    """Return the image in the size (height, width)."""
    if size is None or size == image.size[::-1]:
        return image
    box, method = size[::-1], Image.Resampling.BILINEAR  # over all pixels that a new one covers
    if aspect == "crop":
        return ImageOps.fit(image, box, method)
    return ImageOps.pad(image, box, method) if aspect == "pad" else image.resize(box, method)

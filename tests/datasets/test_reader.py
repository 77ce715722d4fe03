"""ImageReader: exact pixels of every format, what is refused, and its life in pipelines."""

import pickle
import struct
import sys
import tracemalloc
import warnings
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pydicom
import pytest
from helpers import budget, mutate, tiny
from numpy.testing import assert_array_equal
from PIL import Image, JpegImagePlugin
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
    generate_uid,
)
from sklearn import config_context
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import SkipTestWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_checks, get_tags
from sklearn.utils.validation import check_is_fitted

from sklearn_vae.datasets import ImageReader, load_image_folder
from sklearn_vae.datasets._pixels import formats


def pixels(*shape, seed=0, dtype=np.uint8):
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max + 1, shape, dtype=dtype)


def smooth(h, w):
    """Return an RGB image without detail: a ramp of its own for each channel."""
    y, x = np.mgrid[0 : 1 : h * 1j, 0 : 1 : w * 1j]
    return np.round(np.stack([x, y, (x + y) / 2], -1) * 255).astype(np.uint8)


def save(path, image, **options):
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    image.save(path, **options)
    return str(path)


def read(path, *, mode="RGB", **params):
    """Return the one image."""
    return ImageReader(mode=mode, **params).transform([path])[0]


# -- formats ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tif", "a.ppm", "a.webp", "misnamed.jpg"])
def test_lossless_formats_are_exact(tmp_path, name):
    X = pixels(11, 17, 3)
    options = {"lossless": True} if name == "a.webp" else {}
    form = "png" if name == "misnamed.jpg" else None
    assert_array_equal(read(save(tmp_path / name, X, format=form, **options)), X, strict=True)


def test_jpeg_is_near(tmp_path):
    X = smooth(40, 60)
    assert np.abs(read(save(tmp_path / "a.jpg", X, quality=95)).astype(int) - X).mean() < 3


@pytest.mark.parametrize(("name", "form"), [("a.avif", "AVIF"), ("a.jp2", "JPEG2000")])
def test_formats_that_pillow_may_be_built_with(tmp_path, name, form):
    if form not in formats():
        pytest.skip(f"Pillow was built without {form}")
    X = smooth(40, 60)
    path = save(tmp_path / name, X, **({"quality": 95} if form == "AVIF" else {}))
    worst = 8 if form == "AVIF" else 0  # JPEG 2000 is lossless by default
    assert np.abs(read(path).astype(int) - X).max() <= worst
    assert_array_equal(read(save(tmp_path / "misnamed.png", X, format=form)).shape, X.shape)


def test_16_bits_of_jpeg_2000(tmp_path):
    X = pixels(9, 10, dtype=np.uint16)
    path = save(tmp_path / "a.jp2", X)
    assert_array_equal(read(path, mode="L"), X >> 8)


def test_a_format_that_this_pillow_cannot_read(tmp_path, monkeypatch):
    """As a build without AVIF registers it: for a word of warning, but with no file endings."""
    path = tmp_path / "a.avif"
    path.write_bytes(b"\0\0\0\x20ftypavif" + bytes(200))
    Image.init()
    left = {ending: name for ending, name in Image.EXTENSION.items() if name != "AVIF"}
    monkeypatch.setattr(Image, "EXTENSION", left)
    with pytest.raises(ValueError, match=r"a\.avif: AVIF, which this build of Pillow cannot read"):
        read(path)


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.tif", "a.png"])
def test_the_first_frame(tmp_path, name):
    first, second = (Image.new("RGB", (12, 10), colour) for colour in ("red", "blue"))
    options = {"lossless": True} if name == "a.webp" else {}
    path = save(tmp_path / name, first, save_all=True, append_images=[second], **options)
    with Image.open(path) as image:
        assert image.n_frames == 2
    assert np.all(read(path) == [255, 0, 0])


def test_modes(tmp_path):
    rgb, grey = pixels(9, 10, 3), pixels(9, 10)
    colour, levels = save(tmp_path / "c.png", rgb), save(tmp_path / "g.png", grey)
    luma = rgb @ [0.299, 0.587, 0.114]  # ITU-R 601
    assert np.abs(read(colour, mode="L") - luma).max() <= 0.5 + 1e-3
    assert_array_equal(read(levels, mode="L"), grey, strict=True)
    assert_array_equal(read(levels), np.stack([grey] * 3, -1), strict=True)
    opaque = np.full((9, 10, 1), 255, np.uint8)
    assert_array_equal(read(colour, mode="RGBA"), np.concatenate([rgb, opaque], -1), strict=True)
    both = ImageReader(mode="L").transform([colour, levels])
    assert both.shape == (2, 9, 10)  # whatever the files are


def test_black_and_white(tmp_path):
    X = pixels(9, 10) > 128
    path = save(tmp_path / "a.png", Image.fromarray(X))
    assert_array_equal(read(path, mode="L"), X.astype(np.uint8) * 255)


def test_transparency_is_seen_before_white(tmp_path):
    X = pixels(9, 10, 4)
    path = save(tmp_path / "a.png", X)
    opacity = X[..., 3:] / 255
    over = X[..., :3] * opacity + 255 * (1 - opacity)
    assert np.abs(read(path).astype(int) - over).max() <= 1
    assert_array_equal(read(path, mode="RGBA"), X)
    grey = save(tmp_path / "la.png", Image.fromarray(X).convert("LA"))
    assert np.abs(read(grey, mode="L") - over @ [0.299, 0.587, 0.114]).max() <= 2


def test_palettes(tmp_path):
    index = pixels(9, 10) % 4
    palette = pixels(4, 3, seed=1)
    image = Image.new("P", (10, 9))
    image.putdata(index.ravel().tolist())
    image.putpalette(palette.ravel().tolist())
    assert_array_equal(read(save(tmp_path / "a.png", image)), palette[index])
    palette[2] = 255  # what is transparent becomes white
    path = save(tmp_path / "t.png", image, transparency=2)
    assert_array_equal(read(path), palette[index])
    assert_array_equal(read(path, mode="RGBA")[..., 3] == 0, index == 2)


def test_cmyk(tmp_path):
    X = pixels(9, 10, 4)
    image = Image.merge("CMYK", [Image.fromarray(X[..., k]) for k in range(4)])
    path = save(tmp_path / "a.tif", image)
    ink = X.astype(float) / 255
    wanted = 255 * (1 - ink[..., :3]) * (1 - ink[..., 3:])
    assert np.abs(read(path) - wanted).max() <= 2
    assert read(path, mode="L").shape == (9, 10)


TURNS = {  # what each EXIF orientation asks for, as NumPy says it
    1: lambda x: x,
    2: np.fliplr,
    3: lambda x: np.rot90(x, 2),
    4: np.flipud,
    5: lambda x: x.swapaxes(0, 1),
    6: lambda x: np.rot90(x, -1),
    7: lambda x: np.rot90(x.swapaxes(0, 1), 2),
    8: np.rot90,
}


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.tif"])
@pytest.mark.parametrize("orientation", TURNS)
def test_exif_orientation(tmp_path, name, orientation):
    X = pixels(9, 12, 3) if name != "a.jpg" else smooth(9, 12)
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"a.webp": {"lossless": True}, "a.jpg": {"quality": 100, "subsampling": 0}}
    path = save(tmp_path / name, X, exif=exif, **options.get(name, {}))
    shown = read(path)
    wanted = TURNS[orientation](X)
    assert shown.shape == wanted.shape
    assert np.abs(shown.astype(int) - wanted).max() <= (3 if name == "a.jpg" else 0)


@pytest.mark.parametrize("name", ["a.tif", "a.png", "a.pgm"])
def test_16_bits_lose_the_lower_8(tmp_path, name):
    X = pixels(9, 10, dtype=np.uint16)
    assert X.max() > 60000
    stored = np.int32 if name == "a.pgm" else np.uint16  # Pillow 10.1 writes no other 16-bit PGM
    path = save(tmp_path / name, X.astype(stored))
    assert_array_equal(read(path, mode="L"), (X >> 8).astype(np.uint8), strict=True)
    assert_array_equal(read(path)[..., 1], X >> 8)
    # Not stretched to what it holds.
    dark = save(tmp_path / f"dark {name}", (X >> 8).astype(stored))
    assert not read(dark, mode="L").any()


def test_16_bits_of_big_endian_tiff(tmp_path):
    X = pixels(9, 10, dtype=np.uint16)
    path = save(tmp_path / "a.tif", Image.frombytes("I;16B", (10, 9), X.astype(">u2").tobytes()))
    assert_array_equal(read(path, mode="L"), X >> 8)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_tiff_whose_white_is_zero(tmp_path, dtype):
    X = pixels(9, 10, dtype=dtype)
    path = Path(save(tmp_path / "a.tif", X))
    data = bytearray(path.read_bytes())
    at = data.find(struct.pack("<HHI", 262, 3, 1))  # PhotometricInterpretation
    struct.pack_into("<H", data, at + 8, 0)
    path.write_bytes(data)
    top = np.iinfo(dtype).max
    wanted = (top - X) >> (8 * (np.dtype(dtype).itemsize - 1))
    assert_array_equal(read(path, mode="L"), wanted)


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_greys_without_a_white_are_refused(tmp_path, dtype):
    path = save(tmp_path / "a.tif", np.ones((9, 10), dtype))
    with pytest.raises(ValueError, match=r"a\.tif.*no range"):
        read(path)


# -- size ------------------------------------------------------------------------------------------


def test_sizes_and_shapes(tmp_path):
    path = save(tmp_path / "a.png", pixels(30, 50, 3))
    assert read(path, size=16).shape == (16, 16, 3)
    for size in ((16, 24), [16, 24], (np.int64(16), 24)):
        assert read(path, size=size).shape == (16, 24, 3)
    assert read(path, size=(30, 50), aspect="pad").shape == (30, 50, 3)
    for aspect in ("crop", "pad", "stretch"):  # nothing to do
        assert_array_equal(read(path, size=(30, 50), aspect=aspect), pixels(30, 50, 3))


def test_crop_is_the_middle(tmp_path):
    X = pixels(20, 50, 3)
    path = save(tmp_path / "a.png", X)
    assert_array_equal(read(path, size=20), X[:, 15:35])
    path = save(tmp_path / "b.png", X.swapaxes(0, 1))
    assert_array_equal(read(path, size=20), X.swapaxes(0, 1)[15:35])


def test_pad_keeps_all_of_it(tmp_path):
    X = pixels(20, 40, 3)
    path = save(tmp_path / "a.png", X)
    padded = read(path, size=40, aspect="pad")
    assert_array_equal(padded[10:30], X)
    assert not padded[:10].any()
    assert not padded[30:].any()
    assert not read(path, size=40, aspect="pad", mode="RGBA")[:10].any()  # transparent


def test_stretch_and_averages(tmp_path):
    """An antialiased half size is a weighted mean, and no pixel is left out."""
    X = np.zeros((40, 80), np.uint8)
    X[:, ::2] = 200  # every other column: sampling alone would give 0 or 200
    half = read(save(tmp_path / "a.png", X), mode="L", size=20, aspect="stretch")
    assert np.all(np.abs(half[:, 2:-2].astype(int) - 100) < 15)
    left = np.zeros((40, 80), np.uint8)
    left[:, :40] = 255
    shown = read(save(tmp_path / "b.png", left), mode="L", size=20, aspect="stretch")
    assert np.all(shown[:, :9] == 255)
    assert np.all(shown[:, 11:] == 0)


@pytest.mark.parametrize("aspect", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_jpegs_decoded_at_a_fraction_look_the_same(tmp_path, monkeypatch, aspect, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    X = smooth(400, 640) // 2 + np.kron(pixels(40, 64, 3) // 4, np.ones((10, 10, 1), np.uint8))
    path = save(tmp_path / "a.jpg", X, quality=95, exif=exif)
    decoded = []
    draft = JpegImagePlugin.JpegImageFile.draft

    def watched(self, mode, size):
        result = draft(self, mode, size)
        decoded.append(self.size)
        return result

    monkeypatch.setattr(JpegImagePlugin.JpegImageFile, "draft", watched)
    quick = read(path, size=(32, 48), aspect=aspect)
    monkeypatch.setattr(JpegImagePlugin.JpegImageFile, "draft", lambda *args: None)
    full = read(path, size=(32, 48), aspect=aspect)
    assert decoded == [(160, 100)]
    difference = np.abs(quick.astype(int) - full)
    assert difference.mean() < 1.5
    assert difference.max() < 20


def test_images_that_differ_in_size_need_one(tmp_path):
    paths = [save(tmp_path / f"{k}.png", pixels(9, 10)) for k in range(3)]
    paths.append(save(tmp_path / "other.png", pixels(12, 8)))
    paths.append(save(tmp_path / "later.png", pixels(7, 7)))  # the first that differs is named
    message = r"0\.png has 9 x 10 pixels.*other\.png has 12 x 8\. Set size"
    for n_jobs in (1, 2):
        with pytest.raises(ValueError, match=message):
            ImageReader(n_jobs=n_jobs).transform(paths * 20)
    assert ImageReader(9).transform(paths).shape == (5, 9, 9, 3)


# -- DICOM -----------------------------------------------------------------------------------------


def dicom(path, stored, bits=16, interpretation="MONOCHROME2", **elements):
    """Write stored values, (h, w) or (h, w, 3), or frames (n, h, w) with NumberOfFrames."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = generate_uid()
    colour = stored.ndim == 3 and "NumberOfFrames" not in elements
    ds.Rows, ds.Columns = stored.shape[:2] if colour else stored.shape[-2:]
    ds.SamplesPerPixel = 3 if colour else 1
    if colour:
        ds.PlanarConfiguration = 0
    ds.BitsAllocated = stored.dtype.itemsize * 8
    ds.BitsStored, ds.HighBit = bits, bits - 1
    ds.PixelRepresentation = int(stored.dtype.kind == "i")
    ds.PhotometricInterpretation = interpretation
    for name, value in elements.items():
        setattr(ds, name, value)
    ds.PixelData = stored.tobytes()
    ds["PixelData"].VR = "OB" if stored.dtype.itemsize == 1 else "OW"
    ds.save_as(path, enforce_file_format=True)
    return str(path)


RAMP = np.arange(96, dtype=np.uint8).reshape(8, 12) * 2


def lut(values, first, depth):
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [len(values), first, depth])
    item.add_new("LUTData", "US", values)
    return Sequence([item])


def test_dicom_of_8_bits_is_exact_and_monochrome1_inverted(tmp_path):
    assert_array_equal(read(dicom(tmp_path / "a.dcm", RAMP, 8), mode="L"), RAMP, strict=True)
    path = dicom(tmp_path / "b.dcm", RAMP, 8, "MONOCHROME1")
    assert_array_equal(read(path, mode="L"), 255 - RAMP, strict=True)
    assert read(path).shape == (8, 12, 3)
    assert read(path, size=8).shape == (8, 8, 3)


def test_dicom_is_told_by_content(tmp_path):
    path = dicom(tmp_path / "IM0001", RAMP, 8)
    assert_array_equal(read(path, mode="L"), RAMP)


@pytest.mark.parametrize("interpretation", ["MONOCHROME1", "MONOCHROME2"])
def test_dicom_window(tmp_path, interpretation):
    """A CT in Hounsfield units: the standard's linear window (PS3.3 C.11.2.1.2), by hand."""
    stored = np.linspace(0, 4095, 96).round().astype(np.uint16).reshape(8, 12)
    path = dicom(
        tmp_path / "a.dcm", stored, 12, interpretation,
        RescaleSlope=1, RescaleIntercept=-1024, WindowCenter=[40, 600], WindowWidth=[400, 1600],
    )  # fmt: skip
    hounsfield = stored - 1024.0
    shown = np.clip((hounsfield - (40 - 0.5)) / (400 - 1) + 0.5, 0, 1) * 255
    wanted = 255 - shown if interpretation == "MONOCHROME1" else shown
    assert np.abs(read(path, mode="L") - wanted).max() <= 0.5 + 1e-6


@pytest.mark.parametrize("dtype", [np.uint16, np.int16])
def test_dicom_without_a_window_shows_all_stored_bits(tmp_path, dtype):
    low = -2048 if dtype == np.int16 else 0
    stored = (np.linspace(0, 4095, 96).round().reshape(8, 12) + low).astype(dtype)
    for name, part in (("all", stored), ("dark", stored // 4)):  # not stretched to what it holds
        path = dicom(tmp_path / name, part, 12, RescaleSlope=2, RescaleIntercept=100)
        wanted = (part.astype(float) - low) / 4095 * 255
        assert np.abs(read(path, mode="L") - wanted).max() <= 0.5 + 1e-6


def test_dicom_lookup_tables(tmp_path):
    values = (np.arange(256) ** 2 // 16).tolist()  # 12 bits: 0 to 4064
    path = dicom(tmp_path / "a.dcm", RAMP, 8, VOILUTSequence=lut(values, 0, 12))
    wanted = np.array(values)[RAMP] / 4095 * 255
    assert np.abs(read(path, mode="L") - wanted).max() <= 0.5 + 1e-6
    rescaled = dicom(
        tmp_path / "c.dcm", RAMP, 8, VOILUTSequence=lut(values, 10, 12),
        RescaleSlope=1, RescaleIntercept=10,
    )  # fmt: skip
    assert_array_equal(read(rescaled), read(path))
    modality = lut(values, 0, 16)
    modality[0].ModalityLUTType = "US"
    path = dicom(tmp_path / "b.dcm", RAMP, 8, ModalityLUTSequence=modality)
    assert np.abs(read(path, mode="L") - np.array(values)[RAMP] / 65535 * 255).max() <= 0.5 + 1e-6


def test_dicom_colour(tmp_path):
    X = pixels(8, 12, 3)
    assert_array_equal(read(dicom(tmp_path / "a.dcm", X, 8, "RGB")), X, strict=True)
    index = (RAMP % 4).astype(np.uint8)
    tables = pixels(3, 4, seed=2, dtype=np.uint16)
    elements = {}
    for colour, each in zip(("Red", "Green", "Blue"), tables, strict=True):
        elements[f"{colour}PaletteColorLookupTableDescriptor"] = [4, 0, 16]
        elements[f"{colour}PaletteColorLookupTableData"] = each.tobytes()
    path = dicom(tmp_path / "p.dcm", index, 8, "PALETTE COLOR", **elements)
    assert np.abs(read(path) - tables[:, index].transpose(1, 2, 0) / 257).max() <= 0.5 + 1e-6


@pytest.mark.parametrize("frames", [1, 3])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless]
)
def test_dicom_transfer_syntaxes(tmp_path, syntax, dtype, frames):
    top = np.iinfo(dtype).max
    stored = pixels(frames, 8, 12, dtype=dtype)
    counted = {"NumberOfFrames": frames}
    path = dicom(tmp_path / "a.dcm", stored, 8 * stored.itemsize, **counted)
    ds = pydicom.dcmread(path)
    if syntax == RLELossless:
        ds.compress(syntax)
    else:
        ds.file_meta.TransferSyntaxUID = syntax
        if not syntax.is_little_endian:
            ds["PixelData"].value = stored.astype(stored.dtype.newbyteorder(">")).tobytes()
    implicit, little = syntax.is_implicit_VR, syntax.is_little_endian
    pydicom.dcmwrite(tmp_path / "b.dcm", ds, implicit_vr=implicit, little_endian=little)
    got = read(tmp_path / "b.dcm", mode="L")
    assert np.abs(got - stored[0] / top * 255).max() <= 0.5 + 1e-6


def test_dicom_of_floats(tmp_path):
    ds = pydicom.dcmread(dicom(tmp_path / "a.dcm", RAMP.astype(np.uint32), 32))
    del ds.PixelData
    ds.FloatPixelData = (RAMP * 1e9).astype(np.float32).tobytes()
    ds.save_as(tmp_path / "b.dcm")
    with pytest.raises(ValueError, match=r"b\.dcm: floating-point pixels have no range"):
        read(tmp_path / "b.dcm")


def test_dicom_first_frame(tmp_path):
    path = dicom(tmp_path / "a.dcm", np.stack([RAMP, RAMP[::-1]]), 8, NumberOfFrames=2)
    assert_array_equal(read(path, mode="L"), RAMP)


@pytest.mark.parametrize("where", ["Shared", "PerFrame"])
def test_dicom_of_the_enhanced_kind_goes_through_its_first_frames_window(tmp_path, where):
    stored = np.stack([WIDE, WIDE[::-1]])
    rescale, window = Dataset(), Dataset()
    rescale.RescaleSlope, rescale.RescaleIntercept, rescale.RescaleType = 2, -1024, "HU"
    window.WindowCenter, window.WindowWidth = 40, 400
    first, second = Dataset(), Dataset()
    first.PixelValueTransformationSequence = Sequence([rescale])
    first.FrameVOILUTSequence = Sequence([window])
    groups = {f"{where}FunctionalGroupsSequence": Sequence([first, second])}
    path = dicom(tmp_path / "a.dcm", stored, 12, NumberOfFrames=2, **groups)
    tags = {"RescaleSlope": 2, "RescaleIntercept": -1024, "WindowCenter": 40, "WindowWidth": 400}
    seen = read(path)
    assert_array_equal(seen, read(dicom(tmp_path / "b.dcm", WIDE, 12, **tags)))
    assert len(np.unique(seen)) > 2


def test_images_that_no_memory_holds(tmp_path):
    path = save(tmp_path / "a.png", RAMP)
    with pytest.raises(MemoryError, match=r"reading 1 images of 100000000 x 100000000 .*smaller"):
        ImageReader(10**8).transform([path])


def test_dicom_that_is_damaged_huge_or_no_image(tmp_path, monkeypatch):
    path = Path(dicom(tmp_path / "a.dcm", RAMP, 8))
    (tmp_path / "cut.dcm").write_bytes(path.read_bytes()[:-50])
    with pytest.raises(ValueError, match=r"cut\.dcm: cut short: 46 bytes .* has 96"):
        read(tmp_path / "cut.dcm")
    report = pydicom.dcmread(path)
    for name in ("PixelData", "Rows", "Columns"):
        delattr(report, name)
    report.save_as(tmp_path / "report.dcm")
    with pytest.raises(ValueError, match=r"report\.dcm: a DICOM file without an image"):
        read(tmp_path / "report.dcm")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 90)
    with pytest.raises(ValueError, match=r"12 x 8 pixels.*limit of 90"):
        read(path)


WIDE = np.linspace(0, 4095, 96).round().astype(np.uint16).reshape(8, 12)


def shown(part, low=0.0, high=4095.0):
    return (part.astype(float) - low) / (high - low) * 255


@pytest.mark.parametrize(
    "tags",
    [
        {"RescaleSlope": None, "RescaleIntercept": None},
        {"RescaleSlope": "", "RescaleIntercept": ""},
        {"RescaleSlope": None, "RescaleIntercept": -1024},
        {"RescaleSlope": 2, "RescaleIntercept": None},
        {"RescaleSlope": 2},
        {"RescaleSlope": 0, "RescaleIntercept": -1024},  # DCMTK, too, ignores the two
        {"RescaleSlope": 0, "RescaleIntercept": 0},
        {"ModalityLUTSequence": Sequence([]), "VOILUTSequence": Sequence([])},
        {"VOILUTSequence": Sequence([Dataset()])},
        {"WindowCenter": None, "WindowWidth": None},
        {"WindowCenter": 40, "WindowWidth": None},
        {"WindowCenter": 40, "WindowWidth": 0},
        {"NumberOfFrames": None},
    ],
    ids=str,
)
def test_dicom_tags_that_say_nothing(tmp_path, tags):
    path = dicom(tmp_path / "a.dcm", WIDE, 12, **tags)
    assert np.abs(read(path, mode="L") - shown(WIDE)).max() <= 0.5 + 1e-6
    window = {"WindowCenter": 1000, "WindowWidth": 400} | {
        name: value for name, value in tags.items() if "Window" not in name
    }
    path = dicom(tmp_path / "b.dcm", WIDE, 12, **window)
    wanted = np.clip((WIDE - (1000 - 0.5)) / (400 - 1) + 0.5, 0, 1) * 255
    assert np.abs(read(path, mode="L") - wanted).max() <= 0.5 + 1e-6


def test_dicom_tags_of_several_values(tmp_path):
    """The first counts, as of windows."""
    tags = {"WindowCenter": [40, 600], "WindowWidth": [400, 1600]}
    one = dicom(tmp_path / "1.dcm", WIDE, 12, RescaleSlope=1, RescaleIntercept=-1024, **tags)
    tags |= {"RescaleSlope": [1, 3], "RescaleIntercept": [-1024, 0]}
    assert_array_equal(read(dicom(tmp_path / "2.dcm", WIDE, 12, **tags)), read(one))


def test_dicom_negative_slope_turns_the_greys(tmp_path):
    """Larger values of the modality are brighter, with a window and without."""
    path = dicom(tmp_path / "a.dcm", WIDE, 12, RescaleSlope=-2, RescaleIntercept=100)
    assert np.abs(read(path, mode="L") - (255 - shown(WIDE))).max() <= 0.5 + 1e-6
    tags = {"WindowCenter": -4000, "WindowWidth": 2001}
    path = dicom(tmp_path / "b.dcm", WIDE, 12, RescaleSlope=-2, RescaleIntercept=100, **tags)
    wanted = np.clip((WIDE * -2.0 + 100 - (-4000 - 0.5)) / 2000 + 0.5, 0, 1) * 255
    assert np.abs(read(path, mode="L") - wanted).max() <= 0.5 + 1e-6


def deflated(path, stored, *, extra=b"", cut=None, **elements):
    """Write stored values deflated; extra lies behind the pixels."""
    ds = pydicom.dcmread(dicom(path, stored, stored.dtype.itemsize * 8, **elements))
    whole = path.read_bytes()
    ds.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    ds.save_as(path, enforce_file_format=True)
    head = path.read_bytes()
    length = int.from_bytes(head[140:144], "little") + 144  # the meta information's
    at = int.from_bytes(whole[140:144], "little") + 144
    packer = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    packed = packer.compress(whole[at:] + extra) + packer.flush()
    path.write_bytes(head[:length] + packed[:cut])
    return path


@pytest.mark.parametrize("stored", [RAMP, WIDE, np.stack([RAMP] * 3, -1)])
def test_dicom_deflated(tmp_path, stored):
    kind = "RGB" if stored.ndim == 3 else "MONOCHROME2"
    path = deflated(tmp_path / "a.dcm", stored, interpretation=kind)
    wanted = read(dicom(tmp_path / "b.dcm", stored, stored.dtype.itemsize * 8, kind))
    assert_array_equal(read(path), wanted)
    frames = np.stack([stored, stored[::-1]])
    if stored.ndim == 2:
        assert_array_equal(read(deflated(tmp_path / "c.dcm", frames, NumberOfFrames=2)), wanted)
    with pytest.raises(ValueError, match=r"d\.dcm: cut short: \d+ bytes of pixels"):
        read(deflated(tmp_path / "d.dcm", pixels(30, 30), cut=-100))
    with pytest.raises(ValueError, match=r"e\.dcm: "):
        read(deflated(tmp_path / "e.dcm", stored, cut=20, interpretation=kind))


@pytest.mark.parametrize("where", ["pixels", "behind", "before", "at first"])
def test_dicom_bombs_are_not_inflated(tmp_path, where):
    """No more than 16 MiB before the pixels, and the pixels of one frame."""
    many = bytes(2**26)
    if where == "pixels":
        stored = np.zeros((1024, 256, 256), np.uint8)
        path = deflated(tmp_path / "a.dcm", stored, NumberOfFrames=1024)
    elif where == "behind":
        path = deflated(tmp_path / "a.dcm", RAMP, extra=b"\xfc\xff\xfc\xffOB\0\0\0\0\0\x10" + many)
    elif where == "before":
        path = deflated(tmp_path / "a.dcm", RAMP, EncapsulatedDocument=many)
    else:
        path = deflated(tmp_path / "a.dcm", RAMP, PrivateDataElementDescription="a" * 2**25)
    del many
    assert path.stat().st_size < 2**20
    tracemalloc.start()
    try:
        if where in ("before", "at first"):
            with pytest.raises(ValueError, match=r"a\.dcm: its header inflates to more than"):
                read(path)
        else:
            wanted = np.zeros((256, 256), np.uint8) if where == "pixels" else RAMP
            assert_array_equal(read(path, mode="L"), wanted)
        assert tracemalloc.get_traced_memory()[1] < 3 * 2**24
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("tag", [b"\x28\0\x04\0CS", b"\x08\0\x16\0UI"])
@pytest.mark.parametrize("length", [2**32 - 2, 2**31, 2**28])
def test_dicom_length_that_is_damaged(tmp_path, tag, length):
    """No memory is asked for that the file does not fill; the other files are read."""
    path = Path(dicom(tmp_path / "a.dcm", RAMP, 8))
    data = path.read_bytes()
    assert data.count(tag) == 1
    at = data.index(tag)
    longer = data[: at + 4] + b"OB\0\0" + length.to_bytes(4, "little") + data[at + 8 :]
    path.write_bytes(longer)
    good = dicom(tmp_path / "b.dcm", RAMP, 8)
    tracemalloc.start()
    try:
        with pytest.warns(UserWarning, match=r"1 of 2 files cannot be read:\n.*a\.dcm: "):
            X = ImageReader(mode="L", errors="blank").transform([path, good])
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()
    assert_array_equal(X, np.stack([0 * RAMP, RAMP]), strict=True)


def test_out_of_memory_names_the_file_and_is_not_blanked(tmp_path, monkeypatch):
    path = save(tmp_path / "a.png", pixels(9, 10))

    def full(*args):
        raise MemoryError("no 3 GB")

    monkeypatch.setattr(Image.Image, "load", full)
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", full)
    with pytest.raises(MemoryError, match=r"a\.png: no memory left to read it \(no 3 GB\)"):
        read(path, size=8, errors="blank")


def test_dicom_without_pydicom(tmp_path, monkeypatch):
    path = dicom(tmp_path / "a.dcm", RAMP, 8)
    monkeypatch.setitem(sys.modules, "pydicom", None)
    monkeypatch.delitem(sys.modules, "sklearn_vae.datasets._dicom", raising=False)
    for errors in ("raise", "blank"):
        with pytest.raises(ImportError, match=r'pip install "sklearn-vae\[dicom\]"'):
            read(path, errors=errors)


# -- files that are no images ----------------------------------------------------------------------


def huge_png(path, width, height):
    """Write a PNG of a few hundred bytes whose header promises width x height pixels."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    packed = zlib.compress(b"\0" * 100)
    data = chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    Path(path).write_bytes(b"\x89PNG\r\n\x1a\n" + data)
    return str(path)


def tiled_tiff(path, image, tile):
    """Write a TIFF of zeros, (w, h) pixels in one deflated tile of another size."""
    data = zlib.compress(bytes(tile[0] * tile[1]), 9)
    tags = {256: image[0], 257: image[1], 258: 8, 259: 8, 262: 1, 277: 1, 322: tile[0]}
    tags |= {323: tile[1], 324: 8, 325: len(data)}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    start = b"II*\0" + struct.pack("<I", 8 + len(data))
    path.write_bytes(start + data + struct.pack("<H", len(tags)) + entries + bytes(4))
    return str(path)


def test_tiff_of_a_tile_that_is_larger_than_the_image(tmp_path, monkeypatch):
    path = tiled_tiff(tmp_path / "a.tif", (9, 8), (64, 48))
    assert_array_equal(read(path, mode="L"), np.zeros((8, 9), np.uint8), strict=True)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 3000)
    with pytest.raises(ValueError, match=r"a\.tif: 64 x 48 pixels .* limit of 3000"):
        read(path)


@pytest.fixture
def broken(tmp_path):
    """Files that cannot be read, by what their message says."""
    jpeg = Path(save(tmp_path / "whole.jpg", pixels(64, 64, 3)))
    (tmp_path / "cut.jpg").write_bytes(jpeg.read_bytes()[:-1500])
    png = Path(save(tmp_path / "whole.png", pixels(64, 64, 3)))
    (tmp_path / "cut.png").write_bytes(png.read_bytes()[:-1500])
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "text.png").write_text("not an image at all, but long enough for a header" * 10)
    (tmp_path / "page.eps").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EOF\n")
    huge_png(tmp_path / "bomb.png", 60000, 60000)
    return {
        "cut.jpg": "truncated",
        "cut.png": "truncated",
        "empty.png": "the file is empty",
        "text.png": "neither DICOM nor intact",
        "page.eps": "neither DICOM nor intact",  # Pillow would start a program
        "bomb.png": "exceeds limit",
    }


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_every_unreadable_file_is_named_with_its_reason(tmp_path, broken, n_jobs):
    paths = [tmp_path / name for name in (*broken, "whole.png", "whole.jpg")]
    with pytest.raises(ValueError, match="6 of 8 files cannot be read") as error:
        ImageReader(n_jobs=n_jobs).transform(paths)
    lines = str(error.value).splitlines()
    assert len(lines) == 8
    for line, (name, why) in zip(lines[1:], broken.items(), strict=False):
        assert f"{tmp_path / name}: " in line
        assert why in line
    assert "errors='blank'" in lines[-1]


@pytest.mark.parametrize("size", [None, 32])
def test_blank_rows(tmp_path, broken, size):
    paths = [tmp_path / name for name in ("cut.jpg", "whole.png", "text.png", "whole.jpg")]
    with pytest.warns(UserWarning, match=r"2 of 4 files(.|\n)*cut\.jpg(.|\n)*text\.png") as said:
        X = ImageReader(size, errors="blank").transform(paths)
    assert said[0].filename == __file__
    assert not X[[0, 2]].any()
    assert_array_equal(X[[1, 3]], ImageReader(size).transform(np.array(paths)[[1, 3]]))


def test_nothing_but_broken_files(tmp_path, broken):
    reader = ImageReader(errors="blank")
    with pytest.raises(ValueError, match="1 of 1 files cannot be read"):
        reader.transform([tmp_path / "empty.png"])
    with pytest.warns(UserWarning, match="1 of 1"):
        X = reader.set_params(size=8).transform([tmp_path / "empty.png"])
    assert_array_equal(X, np.zeros((1, 8, 8, 3), np.uint8), strict=True)


def test_files_that_are_read_when_they_are_asked_for(tmp_path, monkeypatch):
    paths = [save(tmp_path / f"{k}.png", pixels(12, 10, 3, seed=k)) for k in range(20)]
    reader = ImageReader((8, 8), lazy=True)
    X = ImageReader((8, 8)).transform(paths)
    files = reader.transform(np.array(paths))
    assert len(files) == 20
    assert_array_equal(files[3], X[3], strict=True)
    assert_array_equal(pickle.loads(pickle.dumps(files))[3], X[3])
    monkeypatch.setattr(ImageReader, "_read", None)
    pipeline = make_pipeline(reader, tiny()).fit(paths)
    assert_array_equal(pipeline.transform(paths), tiny().fit(X).transform(X))


def test_files_that_are_read_later_and_cannot_be(tmp_path, broken):
    paths = [tmp_path / "whole.jpg", tmp_path / "cut.jpg"]
    with pytest.raises(ValueError, match=r"cut\.jpg cannot be read: .*truncated(.|\n)*blank"):
        ImageReader(8, lazy=True).transform(paths)[1]
    files = ImageReader(8, mode="L", lazy=True, errors="blank").transform(paths)
    with pytest.warns(UserWarning, match=r"cut\.jpg cannot be read(.|\n)*zeros"):
        assert_array_equal(files[1], np.zeros((8, 8), np.uint8), strict=True)
    with pytest.raises(FileNotFoundError, match="1 of 1"):
        ImageReader(8, lazy=True).transform([tmp_path / "none.png"])
    with pytest.raises(ValueError, match=r"size=None.*Set size"):
        ImageReader(lazy=True).transform(paths)
    with pytest.raises(ValueError, match=r"lazy=True fills no data frame"):
        ImageReader(8, lazy=True).set_output(transform="pandas").transform(paths)


def test_long_lists_are_cut(tmp_path):
    paths = []
    for k in range(103):
        paths.append(tmp_path / f"{k}.png")
        paths[-1].write_bytes(b"")
    with pytest.raises(ValueError, match=r"103 of 103(.|\n)*99\.png: (.|\n)*and 3 more"):
        ImageReader().transform(paths)


@pytest.mark.parametrize("strict", [True, False])
def test_bombs_between_pillows_warning_and_its_error(tmp_path, monkeypatch, strict):
    path = save(tmp_path / "a.png", pixels(10, 15))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with warnings.catch_warnings():
        warnings.simplefilter("error" if strict else "ignore", Image.DecompressionBombWarning)
        filters = list(warnings.filters)
        with pytest.raises(ValueError, match=r"a\.png: .*limit of 100"):
            read(path)
        assert warnings.filters == filters
    assert Image.MAX_IMAGE_PIXELS == 100
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)  # the user's own decision
    assert read(path).shape == (10, 15, 3)


def test_missing_files_are_named_before_any_is_read(tmp_path):
    empty = tmp_path / "empty.png"
    empty.write_bytes(b"")
    paths = [empty, *(tmp_path / f"gone {k}.png" for k in range(7)), tmp_path]
    with pytest.raises(FileNotFoundError, match=r"8 of 9 paths are not files: .*gone 0.*, \.\.\."):
        ImageReader().transform(paths)
    with pytest.raises(FileNotFoundError, match=r"a/b\.png \(Relative paths start at "):
        ImageReader(errors="blank").transform(["a/b.png"])


@pytest.mark.parametrize(
    ("X", "message"),
    [
        ("a.png", r"single path, 'a\.png'; pass a list of paths, \[X\]"),
        (Path("a.png"), "single path"),
        ([], "0 sample"),
        (np.zeros((0, 1), object), "0 sample"),
        (b"GIF89a" * 9999, r"single path, b'GIF.{90,100}; pass"),
        (["a" * 9, b"GIF89a" * 9999], r"X\[1\] is b'GIF.{90,100}, not a path"),
        ([1, 2], r"X\[0\] is 1, not a path"),
        (["a.png", None], r"X\[1\] is None"),
        (pd.Series(["a.png", np.nan]), r"X\[1\] is nan"),
        (np.array([["a", "b"]]), r"shape \(1, 2\).*column of the paths"),
        (np.zeros((3, 8, 8)), r"shape \(3, 8, 8\).*pixels need no reader"),
        ({"a.png": 1}, "X is a dict; pass a list"),
        ((name for name in ["a.png"]), "X is a generator; pass a list"),
        (np.array("a.png"), "X is a ndarray; pass a list"),
    ],
)
@pytest.mark.parametrize("method", ["fit", "transform"])
def test_what_is_no_list_of_paths(X, message, method):
    with pytest.raises(ValueError, match=message):
        getattr(ImageReader(), method)(X)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"size": 0}, "'size' parameter"),
        ({"size": 8.5}, "'size' parameter"),
        ({"size": (8, 8, 3)}, r"size=\(8, 8, 3\): give the side"),
        ({"size": (8, 0)}, r"size=\(8, 0\): give the side"),
        ({"size": (8.5, 8)}, r"size=\(8\.5, 8\): give the side"),
        ({"aspect": "fit"}, "'aspect' parameter"),
        ({"mode": "CMYK"}, "'mode' parameter"),
        ({"errors": "ignore"}, "'errors' parameter"),
        ({"n_jobs": 1.5}, "'n_jobs' parameter"),
    ],
)
@pytest.mark.parametrize("method", ["fit", "transform"])
def test_parameters_that_cannot_be(tmp_path, params, message, method):
    path = save(tmp_path / "a.png", pixels(9, 10))
    with pytest.raises(ValueError, match=message):
        getattr(ImageReader(**params), method)([path])


# -- damage of every kind --------------------------------------------------------------------------


def samples(folder):
    """Return a small file of every format that is read here."""
    X = pixels(24, 20, 3) // 4 + smooth(24, 20) // 2
    files = [
        save(folder / f"a.{ending}", X)
        for ending in ("bmp", "gif", "jp2", "jpg", "png", "ppm", "tif", "webp")
    ]
    files.append(save(folder / "lzw.tif", X, compression="tiff_lzw"))
    if "AVIF" in formats():
        files.append(save(folder / "a.avif", X))
    wide = {"RescaleSlope": 1, "RescaleIntercept": -10, "WindowCenter": 40, "WindowWidth": 400}
    files.append(dicom(folder / "a.dcm", X[..., 0].astype(np.uint16), 12, **wide))
    files.append(dicom(folder / "rgb.dcm", X, 8, "RGB"))
    files.append(deflated(folder / "d.dcm", X[..., 0]))
    files.append(dicom(folder / "lut.dcm", X[..., 0], 8, VOILUTSequence=lut([*range(256)], 0, 8)))
    return [Path(path) for path in files]


def test_mutations(tmp_path):
    """A damaged file gives an image, or its name and a reason: never another error."""
    rng = np.random.default_rng(0)
    reader = ImageReader((12, 10), errors="blank")
    refused = 0
    for whole in samples(tmp_path):
        data = whole.read_bytes()
        assert read(whole).any()
        broken = []
        for k in range(budget(20)):
            broken.append(whole.with_name(f"{k} {whole.name}"))
            broken[-1].write_bytes(mutate(data, rng))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            X = reader.transform(broken)
        assert X.shape == (len(broken), 12, 10, 3)
        said = "\n".join(
            str(each.message) for each in caught if "cannot be read" in str(each.message)
        )
        lines = {line.split(": ")[0].strip(): line for line in said.splitlines() if ": " in line}
        for path, image in zip(broken, X, strict=True):
            refused += str(path) in lines
            assert str(path) not in lines or not image.any()
            assert len(lines.get(str(path), "")) < 2000
    assert refused > 20


# -- containers, scikit-learn ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def shades(tmp_path_factory):
    """A folder of 12 dark and 12 bright images, of several sizes and formats."""
    root = tmp_path_factory.mktemp("shades")
    for k in range(24):
        kind, level = ("bright", 200) if k % 2 else ("dark", 40)
        (root / kind).mkdir(exist_ok=True)
        X = pixels(12 + k % 3, 14, 3, seed=k) // 8 + np.uint8(level)
        save(root / kind / f"{k:02d}.{('png', 'jpg', 'bmp')[k % 3]}", X)
    return load_image_folder(root)


@pytest.mark.parametrize(
    "kind",
    [
        list,
        lambda X: [Path(x) for x in X],
        tuple,
        lambda X: X.astype(object),
        lambda X: X[:, None],
        pd.Series,
        lambda X: pd.Series(X, index=np.arange(len(X))[::-1], dtype=object),
        lambda X: pd.DataFrame({"path": X}),
        lambda X: pd.DataFrame({"path": [Path(x) for x in X]}),
    ],
)
def test_containers(shades, kind):
    wanted = ImageReader(8).transform(shades.data)
    assert wanted.shape == (24, 8, 8, 3)
    assert_array_equal(ImageReader(8).fit_transform(kind(shades.data)), wanted, strict=True)


def test_threads_change_nothing(shades):
    one = ImageReader((9, 11), mode="L").transform(shades.data)
    assert_array_equal(
        ImageReader((9, 11), mode="L", n_jobs=2).transform(shades.data), one, strict=True
    )
    for path, image in zip(shades.data, one, strict=True):  # each row its own file
        assert_array_equal(read(path, mode="L", size=(9, 11)), image)


def test_progress(shades, capsys):
    ImageReader(8, verbose=1).transform(shades.data)
    assert "24/24" in capsys.readouterr().err
    ImageReader(8).transform(shades.data)
    assert capsys.readouterr() == ("", "")


DATA_FREE = [
    "check_estimator_cloneable",
    "check_estimator_tags_renamed",
    "check_valid_tag_types",
    "check_estimator_repr",
    "check_no_attributes_set_in_init",
    "check_do_not_raise_errors_in_init_or_set_params",
    "check_mixin_order",
    "check_parameters_default_constructible",
    "check_get_params_invariance",
    "check_set_params",
]


@pytest.mark.parametrize("name", DATA_FREE)
def test_sklearn_checks_that_need_no_numbers(name):
    getattr(estimator_checks, name)("ImageReader", ImageReader())


def test_sklearn_skips_the_checks_on_numbers():
    with pytest.warns(SkipTestWarning, match="string=True"):
        checks = list(estimator_checks.estimator_checks_generator(ImageReader(), legacy=True))
    assert [check.func.__name__ for _, check in checks] == ["check_estimator_cloneable"]
    assert not get_tags(ImageReader()).requires_fit


def test_stateless(shades):
    reader = ImageReader(8, mode="L")
    before = dict(vars(reader))
    X = reader.transform(shades.data)
    check_is_fitted(reader)
    assert_array_equal(reader.fit(shades.data[:1]).transform(shades.data), X)
    assert vars(reader) == before
    for other in (clone(reader), pickle.loads(pickle.dumps(reader))):
        assert_array_equal(other.transform(shades.data), X)
    assert "ImageReader" in reader._repr_html_()


def test_names_of_the_values():
    names = ImageReader((8, 9)).get_feature_names_out()
    assert names.shape == (8 * 9 * 3,)
    assert list(names[:2]) == ["imagereader0", "imagereader1"]
    assert len(ImageReader(8, mode="L").get_feature_names_out(["path"])) == 64
    with pytest.raises(ValueError, match="size=None"):
        ImageReader().get_feature_names_out()


def test_grid_search_on_paths(shades):
    pipeline = make_pipeline(ImageReader(8), tiny(), LogisticRegression())
    grid = {"imagereader__mode": ["L", "RGB"]}
    search = GridSearchCV(pipeline, grid, cv=2, n_jobs=2, error_score="raise")
    search.fit(list(shades.data), shades.target)
    assert search.best_score_ > 0.9
    again = pickle.loads(pickle.dumps(search.best_estimator_))
    assert_array_equal(again.predict(shades.data), search.predict([Path(p) for p in shades.data]))


@pytest.mark.parametrize("kind", ["pandas", "polars"])
def test_frames_of_images(shades, kind):
    """One column of images; of pandas with the index of the paths."""
    wanted = ImageReader(8, mode="L").transform(shades.data)
    reader = ImageReader(8, mode="L").set_output(transform=kind)
    index = pd.Index(np.arange(24)[::-1] * 3)
    frames = [
        pd.Series(shades.data, index=index),
        pd.DataFrame({"path": shades.data}, index=index),
        list(shades.data),
        pl.DataFrame({"path": shades.data}),
    ]
    for k, X in enumerate(frames):
        for out in (reader.transform(X), clone(reader).fit_transform(X)):
            assert type(out).__module__.startswith(kind)
            assert list(out.columns) == list(reader.get_feature_names_out()) == ["image"]
            assert_array_equal(np.stack(list(out["image"])), wanted, strict=True)
            if kind == "pandas":
                assert list(out.index) == list(index if k < 2 else range(24))
    with config_context(transform_output=kind):
        assert type(ImageReader(8).transform(shades.data)).__module__.startswith(kind)
    assert type(reader.set_output(transform="default").transform(shades.data)) is np.ndarray


@pytest.mark.parametrize("kind", ["pandas", "polars"])
@pytest.mark.parametrize("column", ["path", ["path"]])
def test_a_part_of_a_frame_beside_other_columns(shades, column, kind):
    """As after train_test_split: the index is neither complete nor in order."""
    size = np.linspace(0, 1, 24)
    frame = pd.DataFrame({"path": shades.data, "size": size})
    train, test, y, _ = train_test_split(frame, shades.target, random_state=0)
    if kind == "polars":
        train, test = pl.from_pandas(train), pl.from_pandas(test)
    images = make_pipeline(ImageReader(8, mode="L"), tiny())
    both = ColumnTransformer([("image", images, column), ("rest", StandardScaler(), ["size"])])
    wanted = both.fit(train).transform(test)
    both.set_output(transform=kind).fit(train)
    out = both.transform(test)
    names = [*(f"image__vaetransformer{k}" for k in range(3)), "rest__size"]
    assert list(out.columns) == list(both.get_feature_names_out()) == names
    assert_array_equal(out.to_numpy(), wanted)
    if kind == "pandas":
        assert list(out.index) == list(test.index)
    model = make_pipeline(both, LogisticRegression())
    search = GridSearchCV(model, {"logisticregression__C": [1]}, cv=2, error_score="raise")
    assert search.fit(train, y).best_score_ > 0.7


@pytest.mark.parametrize("column", ["path", ["path"]])
def test_beside_other_columns(shades, column):
    frame = pd.DataFrame({"path": shades.data, "size": np.linspace(0, 1, 24)})
    images = make_pipeline(ImageReader(8, mode="L"), tiny())
    both = ColumnTransformer([("image", images, column), ("rest", StandardScaler(), ["size"])])
    Z = both.fit_transform(frame.set_index(np.arange(24)[::-1]))
    assert_array_equal(Z[:, :3].astype(np.float32), images.fit(shades.data).transform(shades.data))
    model = make_pipeline(both, LogisticRegression()).fit(frame, shades.target)
    assert model.score(frame, shades.target) > 0.9
    out = both.set_output(transform="pandas").fit_transform(frame)
    names = [*(f"image__vaetransformer{k}" for k in range(3)), "rest__size"]
    assert list(out.columns) == list(both.get_feature_names_out()) == names
    assert_array_equal(out.to_numpy(), Z)

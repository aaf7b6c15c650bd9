"""DICOM: in the units of the device, whichever end is white."""

import io
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gantool.data.pieces import pieces_of
from gantool.data.pixels import numbers
from gantool.errors import GantoolError
from gantool.images import to_uint8
from test_data_numbers import ramp, read


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANTOOL_CACHE", str(tmp_path_factory.mktemp("cache")))


def save_dicom(path: Path, pixels: np.ndarray, **more: object) -> None:
    """Of 12 bits in 16, unless told otherwise."""
    pydicom = pytest.importorskip("pydicom")
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

    meta = FileMetaDataset()
    meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = ExplicitVRLittleEndian, SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    file = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    file.Rows, file.Columns = pixels.shape[-2:]
    file.SamplesPerPixel, file.PhotometricInterpretation = 1, "MONOCHROME2"
    file.BitsAllocated, file.BitsStored, file.HighBit = 8 * pixels.itemsize, 12, 11
    file.PixelRepresentation = int(pixels.dtype.kind == "i")
    for key, value in more.items():
        setattr(file, key, value)
    file.PixelData = pixels.tobytes()
    file.save_as(path, enforce_file_format=True)


def test_dicom_is_read_in_its_own_units(tmp_path: Path) -> None:
    save_dicom(tmp_path / "a.dcm", ramp(4095, np.uint16))
    save_dicom(tmp_path / "b.dcm", ramp(4095, np.uint16), PhotometricInterpretation="MONOCHROME1")
    images = read(tmp_path).images.int()
    assert images[0, 0, 0, 0] == 0 and images[0, 0, -1, -1] == 255 and (images[0] + images[1] - 255).abs().max() <= 1
    frames = np.stack([ramp(4095, np.uint16)] * 3)
    save_dicom(tmp_path / "a.dcm", frames, NumberOfFrames=3, RescaleSlope=1, RescaleIntercept=-1024)
    (tmp_path / "b.dcm").unlink()
    with pytest.raises(GantoolError, match="no agreed range"):
        read(tmp_path)
    assert read(tmp_path, range=[-1024, 3071]).images.shape == (3, 1, 8, 8)


def test_the_range_that_is_advised_is_of_the_files_own_bits(tmp_path: Path) -> None:
    save_dicom(tmp_path / "a.dcm", ramp(200, np.uint16))
    with pytest.raises(GantoolError, match=r"is 200 where 0 is black and 4095 white: set dataset.range=\[0,200\]"):
        read(tmp_path)


WHITE_IS_0: dict[str, tuple[Any, dict[str, Any], list[float] | str]] = {  # pixels, tags, dataset.range
    "12 bits": (np.uint16, {}, "full"),
    "8 bits": (np.uint8, {"BitsStored": 8, "HighBit": 7}, "full"),
    "a range": (np.uint16, {}, [0, 4095]),
    "rescaled": (np.uint16, {"RescaleSlope": 2, "RescaleIntercept": -1024}, [-1024, 7166]),
    "signed": (np.int16, {}, [-2048, 2047]),
    "signed, rescaled": (np.int16, {"RescaleSlope": 2, "RescaleIntercept": 10}, [-4086, 4104]),
}


@pytest.mark.parametrize("kind", WHITE_IS_0)
def test_dicom_whose_white_is_0_is_alike_in_every_file(kind: str, tmp_path: Path) -> None:
    dtype, tags, told = WHITE_IS_0[kind]
    for name, tone in (("a", "MONOCHROME1"), ("b", "MONOCHROME2")):
        for file, top in enumerate((20, 100)):  # each file's own extremes are others
            save_dicom(tmp_path / f"{name}{file}.dcm", ramp(top, dtype), PhotometricInterpretation=tone, **tags)
    images = to_uint8(read(tmp_path, range=told, bits=None).images).int()
    assert (images[:2] + images[2:] - 255).abs().max() <= 1


@pytest.mark.parametrize("tone", ["MONOCHROME1", "MONOCHROME2"])
def test_signed_dicom_has_no_agreed_range(tone: str, tmp_path: Path) -> None:
    save_dicom(tmp_path / "a.dcm", ramp(-1000, np.int16), PhotometricInterpretation=tone)
    with pytest.raises(GantoolError, match="16-bit signed integers have no agreed range"):
        read(tmp_path, bits=None)


COLOURS = np.random.default_rng(0).integers(0, 256, (256, 3), np.uint16)


@pytest.mark.parametrize(("bits", "frames"), [(8, 1), (16, 1), (16, 3)])
def test_dicom_of_a_palette_has_its_colours(bits: int, frames: int, tmp_path: Path) -> None:
    """Numbers of colours mean nothing in grey."""
    lut = (COLOURS * (257 if bits == 16 else 1)).astype(f"u{bits // 8}")
    tags: dict[str, object] = {"PhotometricInterpretation": "PALETTE COLOR", "BitsStored": 8, "HighBit": 7}
    for name, plane in zip(("Red", "Green", "Blue"), lut.T, strict=True):
        tags[f"{name}PaletteColorLookupTableDescriptor"] = [256, 0, bits]
        tags[f"{name}PaletteColorLookupTableData"] = plane.tobytes()
    shown = np.random.default_rng(1).integers(0, 256, (frames, 8, 8), np.uint8)
    save_dicom(tmp_path / "a.dcm", shown if frames > 1 else shown[0], NumberOfFrames=frames, **tags)
    images = read(tmp_path, None).images
    assert (images.numpy() == COLOURS[shown].transpose(0, 3, 1, 2)).all()
    luma = COLOURS[shown] @ np.array([0.299, 0.587, 0.114])
    assert abs(read(tmp_path).images[:, 0].numpy() - luma).max() <= 1


def test_a_palette_that_is_missing_or_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    tags: dict[str, Any] = {"PhotometricInterpretation": "PALETTE COLOR"}
    save_dicom(tmp_path / "a.dcm", ramp(255, np.uint16), **tags)
    with pytest.raises(GantoolError, match=r"a.dcm \(No suitable Palette"):
        read(tmp_path)
    for name in ("Red", "Green", "Blue"):
        tags |= {f"{name}PaletteColorLookupTableDescriptor": [512, 0, 8]}
        tags |= {f"{name}PaletteColorLookupTableData": bytes(512)}
    save_dicom(tmp_path / "a.dcm", ramp(511, np.uint16), **tags)
    with pytest.raises(GantoolError, match="more than 256 colours with 8 bits: save it as PNG"):
        read(tmp_path)


PAGES = np.random.default_rng(2).integers(0, 4096, (32, 64, 64), np.uint16)


def save_tiff(path: Path) -> None:
    pages = [Image.fromarray(page) for page in PAGES]
    pages[0].save(path, save_all=True, append_images=pages[1:])


def save_packed(path: Path, syntax: str) -> None:
    """As `syntax` has it."""
    pydicom = pytest.importorskip("pydicom")
    save_dicom(path, PAGES, NumberOfFrames=len(PAGES))
    file = pydicom.dcmread(path)
    if syntax == "RLELossless":
        file.compress(pydicom.uid.RLELossless)
    file.file_meta.TransferSyntaxUID = getattr(pydicom.uid, syntax)
    file.save_as(path, enforce_file_format=True)


STACKS: dict[str, Callable[[Path], None]] = {
    "a.tif": save_tiff,
    "plain.dcm": lambda path: save_dicom(path, PAGES, NumberOfFrames=len(PAGES)),
    "rle.dcm": lambda path: save_packed(path, "RLELossless"),
    "deflated.dcm": lambda path: save_packed(path, "DeflatedExplicitVRLittleEndian"),
}


@pytest.mark.parametrize("name", STACKS)
def test_one_of_many_pages_is_read_alone(name: str, tmp_path: Path) -> None:
    """A stack may be larger than the memory, and its pages are read one by one: neither takes all of them."""
    STACKS[name](tmp_path / name)
    in_memory = io.BytesIO((tmp_path / name).read_bytes())
    for page in (0, 5, 31):  # the first time modules are imported too
        for place in (tmp_path / name, in_memory):
            in_memory.seek(0)
            assert (numbers(place, name, page).values[..., 0] == PAGES[page]).all()
    pieces_of(tmp_path, [name], None)
    for work in (lambda: numbers(tmp_path / name, name, 31), lambda: pieces_of(tmp_path, [name], None)):
        tracemalloc.start()
        work()
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert most < PAGES.nbytes / 2 or name.startswith("deflated")


def test_a_list_of_frames_decodes_none(tmp_path: Path) -> None:
    save_dicom(tmp_path / "a.dcm", PAGES, NumberOfFrames=len(PAGES))
    content = (tmp_path / "a.dcm").read_bytes()
    (tmp_path / "a.dcm").write_bytes(content[: -PAGES.nbytes // 2])  # who decodes it fails
    assert len(pieces_of(tmp_path, ["a.dcm"], None)) == len(PAGES)
    with pytest.raises(GantoolError, match=r"16 damaged images: a.dcm\[16\]"):
        read(tmp_path, range=[0, 4095])

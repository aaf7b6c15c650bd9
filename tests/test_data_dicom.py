"""DICOM: in the units of the device, whichever end is white."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

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

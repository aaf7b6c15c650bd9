"""Every kind of image file where pixels are kept as numbers: of more than 8 bits, or with a range."""

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from gantool.data.arrays import ORIENTATION, read_numbers
from gantool.data.cache import prepare
from gantool.data.fitting import Fitting
from gantool.data.folder import Folder
from gantool.errors import GantoolError
from gantool.images import to_uint8
from gantool.logging.grid import save_png
from test_data_kinds import MEANT, prepared, values


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANTOOL_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.mark.parametrize("bits", [None, 16])  # null: what the command hands over; 16: a set with a deeper file
@pytest.mark.parametrize("kind", MEANT)
def test_what_is_meant_keeps_its_brightness_as_numbers_too(kind: str, bits: int | None, tmp_path: Path, capsys) -> None:
    draw, mean, told = MEANT[kind]
    draw(tmp_path / "0")
    for channels in (1, 3):
        assert prepared(tmp_path, channels=channels, fitting=Fitting(bits=bits)) == pytest.approx(mean, abs=10)
        said = capsys.readouterr().err
        assert "nearly black" not in said and "bright" not in said and (told in said or "white" not in told)


@pytest.mark.parametrize("how", [{}, {"bits": None}, {"range": "full"}, {"range": "auto"}, {"range": [0, 65535]}])
def test_white_is_0_turns_sixteen_bits_too(how: dict[str, Any], tmp_path: Path) -> None:
    pixels = np.linspace(0, 65535, 576).reshape(24, 24).astype(np.uint16)
    for white in (0, 1):
        Image.fromarray(pixels).save(tmp_path / f"{white}.tif", tiffinfo={262: white})
    images = to_uint8(prepare(Folder(str(tmp_path), resolution=24, fitting=Fitting(**how))).images).int()
    assert (images[0] + images[1] - 255).abs().max() <= 1 and images[1, 0, 0, 0] <= 1


@pytest.mark.parametrize("how", [{"range": "auto"}, {"range": [0, 100]}, {"range": "full", "bits": 16}])
@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_opacity_is_no_brightness_in_a_range(mode: str, how: dict[str, Any], tmp_path: Path) -> None:
    pixels = np.full((24, 24, len(mode)), 50, np.uint8)
    pixels[0, :, :-1], pixels[1, :, :-1] = 100, 0
    pixels[..., -1] = 255
    pixels[12:] = 200, *[0] * (len(mode) - 1)  # a colour that is hidden
    Image.fromarray(pixels).save(tmp_path / "0.png")
    rows = to_uint8(prepare(Folder(str(tmp_path), resolution=24, fitting=Fitting(**how))).images)[0, :, :, 0]
    top = 255 if how["range"] == "full" else 100
    expected = [100 * 255 // top, 0, 50 * 255 / top, 255]
    assert all((rows[:, row] - value).abs().max() <= 1 for row, value in zip((0, 1, 2, 23), expected, strict=True))


@pytest.mark.parametrize("turn", range(1, 9))
def test_a_deep_png_is_turned_as_a_plain_one(turn: int, tmp_path: Path) -> None:
    shades = np.arange(0, 240, 4, dtype=np.uint8).reshape(4, 5, 3)
    exif = Image.Exif()
    exif[ORIENTATION] = turn
    Image.fromarray(shades).save(tmp_path / "plain.png", exif=exif)
    plain = (tmp_path / "plain.png").read_bytes()
    save_png(
        torch.from_numpy(shades.astype(np.int64) * 257 - 32768).permute(2, 0, 1).to(torch.int16), tmp_path / "deep.png"
    )
    deep = (tmp_path / "deep.png").read_bytes()
    at = plain.index(b"eXIf") - 4
    size = int.from_bytes(plain[at : at + 4], "big") + 12
    (tmp_path / "deep.png").write_bytes(deep[:33] + plain[at : at + size] + deep[33:])
    for name in ("plain", "deep"):
        made, *_ = read_numbers(tmp_path / f"{name}.png", None, ("PNG",))
        assert made.dtype == (np.uint16 if name == "deep" else np.uint8)
        expected = np.asarray(ImageOps.exif_transpose(Image.open(tmp_path / "plain.png")))
        assert (made == expected.astype(int) * (257 if name == "deep" else 1)).all()


def deep_tiff(pixels: np.ndarray) -> bytes:
    """Of three colours, which PIL does not write."""
    strip, (height, width, _) = pixels.astype("<u2").tobytes(), pixels.shape
    tags = [(256, 3, 1, width), (257, 3, 1, height), (258, 3, 3, 8 + len(strip)), (259, 3, 1, 1), (262, 3, 1, 2)]
    tags += [(273, 4, 1, 8), (277, 3, 1, 3), (278, 3, 1, height), (279, 4, 1, len(strip))]
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    head = struct.pack("<2sHI", b"II", 42, 8 + len(strip) + 6)
    return head + strip + struct.pack("<3H", 16, 16, 16) + struct.pack("<H", len(tags)) + entries + b"\0" * 4


DEEP = {".ppm": lambda pixels: b"P6 24 24 65535\n" + pixels.astype(">u2").tobytes(), ".tif": deep_tiff}


@pytest.mark.parametrize("ending", DEEP)
def test_deep_colours_that_cannot_be_kept_are_told(ending: str, tmp_path: Path, capsys) -> None:
    """PIL reads the higher eight bits of them."""
    (tmp_path / f"0{ending}").write_bytes(DEEP[ending](values(65535, 24, 24, 3, dtype=np.uint16)))
    for bits in (None, 8):
        made = prepare(Folder(str(tmp_path), resolution=24, fitting=Fitting(bits=bits)))
        assert made.images.dtype == torch.uint8 and made.images.float().mean() == pytest.approx(127.5, abs=3)
    assert "  colours read with 8 of their 16 bits (PNG and .npy keep all): 1\n" in capsys.readouterr().err
    for fitting, fix in ((Fitting(bits=16), "set dataset.bits=8, or save PNG"), (Fitting(range="auto"), "save PNG")):
        with pytest.raises(GantoolError, match=rf"0\.\w+ .*16-bit colours of \w+ are read with 8: {fix}"):
            prepare(Folder(str(tmp_path), resolution=24, fitting=fitting))
    full = prepare(Folder(str(tmp_path), resolution=24, fitting=Fitting(range="full", bits=8)))  # read by another way
    assert full.images.float().mean() == pytest.approx(127.5, abs=3)
    assert "colours read with 8 of their 16 bits" in capsys.readouterr().err


@pytest.mark.parametrize("channels", [2, 4])
def test_opacity_that_is_asked_for_is_kept(channels: int, tmp_path: Path) -> None:
    pixels = values(255, 24, 24, channels)
    Image.fromarray(pixels, {2: "LA", 4: "RGBA"}[channels]).save(tmp_path / "0.png")
    np.save(tmp_path / "1.npy", pixels)
    images = prepare(Folder(str(tmp_path), resolution=24, channels=channels)).images
    assert all((image.permute(1, 2, 0).numpy() == pixels).all() for image in images)


def test_a_tiff_of_12_bits_reaches_white(tmp_path: Path) -> None:
    strip = b"\xff" * 8 * 12  # 8x8 pixels
    tags = [(256, 8), (257, 8), (258, 12), (259, 1), (262, 1), (273, 8), (277, 1), (278, 8), (279, len(strip))]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, held) for tag, held in tags)
    head = struct.pack("<2sHI", b"II", 42, 8 + len(strip))
    (tmp_path / "0.tif").write_bytes(head + strip + struct.pack("<H", len(tags)) + entries + b"\0" * 4)
    for bits in (8, None):
        assert prepared(tmp_path, fitting=Fitting(bits=bits)) == 255

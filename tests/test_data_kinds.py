"""Every kind of image file: read as it is meant, or told of, or refused in one line that names the fix."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gantool.data.cache import prepare
from gantool.data.folder import Folder
from gantool.data.two_sided import Paired
from gantool.errors import GantoolError
from gantool.images import to_uint8

Draw = Callable[[Path], object]  # makes one file of the path without its ending


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANTOOL_CACHE", str(tmp_path_factory.mktemp("cache")))


def values(top: int, *shape: int, dtype: type = np.uint8, seed: int = 0) -> np.ndarray:
    """Noise that has every value from 0 to `top` as often, so that its mean is no chance; the same for one seed."""
    shape = shape or (24, 24)
    even = np.linspace(0, top, int(np.prod(shape))).round()
    return np.random.default_rng(seed).permutation(even).reshape(shape).astype(dtype)


def grey(top: int, ending: str, dtype: type = np.uint16, **more: Any) -> Draw:
    return lambda path: Image.fromarray(values(top, dtype=dtype)).save(path.with_suffix(ending), **more)


def colours(mode: str, ending: str, height: int = 24, width: int = 24) -> Draw:
    channels = len(Image.new(mode, (1, 1)).getbands())
    pixels = values(255, height, width, channels).tobytes()
    return lambda path: Image.frombytes(mode, (width, height), pixels).save(path.with_suffix(ending))


def deep_png(top: int, channels: int) -> Draw:
    """16 bits in each of several channels, which PIL does not write."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    def save(path: Path) -> None:
        rows = b"".join(b"\0" + row.tobytes() for row in values(top, 24, 24, channels, dtype=np.uint16).astype(">u2"))
        head = struct.pack(">IIBBBBB", 24, 24, 16, {2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
        parts = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
        path.with_suffix(".png").write_bytes(b"\x89PNG\r\n\x1a\n" + parts)

    return save


def several(ending: str, kind: str | None = None) -> Draw:
    frames = [Image.fromarray(values(255, 24, 24, 3, seed=seed)) for seed in range(3)]
    return lambda path: frames[0].save(path.with_suffix(ending), kind, save_all=True, append_images=frames[1:])


def alpha(opaque: int) -> Draw:
    pixels = np.dstack([values(255, 24, 24, 3), np.full((24, 24), opaque, np.uint8)])
    return lambda path: Image.fromarray(pixels).save(path.with_suffix(".png"))


def prepared(folder: Path, **settings: Any) -> float:
    return to_uint8(prepare(Folder(str(folder), resolution=24, **settings)).images).float().mean().item()


DARK = {  # what is not to become nearly black, and what the refusal says
    "10 bits, png": (grey(1023, ".png"), "10 of 16 bits; save them with their values multiplied by 64"),
    "10 bits, tif": (grey(1023, ".tif"), "multiplied by 64"),
    "10 bits, pgm": (grey(1023, ".pgm"), "multiplied by 64"),
    "12 bits, png": (grey(4095, ".png"), "12 of 16 bits; save them with their values multiplied by 16"),
    "12 bits, tif": (grey(4095, ".tif"), "multiplied by 16"),
    "12 bits, pgm": (grey(4095, ".pgm"), "multiplied by 16"),
    "12 bits, colours": (deep_png(4095, 3), "12 of 16 bits"),
    "8 bits in 16": (grey(255, ".png"), "8 of 16 bits"),
    "12 bits, compressed tif": (grey(4095, ".tif", compression="tiff_lzw"), "12 of 16 bits"),
    "a mask of 0 and 1": (grey(1, ".png", np.uint8), "1 of 8 bits; save them with their values multiplied by 255"),
    "labels of 10 kinds": (grey(9, ".bmp", np.uint8), "4 of 8 bits"),
}


@pytest.mark.parametrize("bright", [0, 20])
@pytest.mark.parametrize("kind", DARK)
def test_what_would_be_nearly_black_is_refused(kind: str, bright: int, tmp_path: Path) -> None:
    draw, told = DARK[kind]
    for index in range(2):
        draw(tmp_path / f"{index}")
    if " bits" in kind:  # the others are of 8 bits too
        for index in range(bright):
            grey(255, ".jpg", np.uint8)(tmp_path / f"bright{index}")
    for _ in range(2):  # the second time from the cache
        with pytest.raises(GantoolError, match=r"would be nearly black, such as .*/[01]\.") as error:
            prepared(tmp_path)
        assert told in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(("bits", "factor"), [(13, 8), (14, 4), (15, 2)])
@pytest.mark.parametrize("ending", [".png", ".tif"])
def test_a_range_that_is_half_used_is_told(bits: int, factor: int, ending: str, tmp_path: Path, capsys) -> None:
    grey(2**bits - 1, ending)(tmp_path / "0")
    prepared(tmp_path)
    assert f"the largest value uses {bits} of 16 bits; save them with" in (said := capsys.readouterr().err)
    assert f"multiplied by {factor}\n" in said


def test_dark_images_among_bright_ones_are_told_of(tmp_path: Path, capsys) -> None:
    for index in range(8):
        grey(255, ".png", np.uint8)(tmp_path / f"{index}")
    prepared(tmp_path)
    assert "black" not in capsys.readouterr().err
    grey(3, ".png", np.uint8)(tmp_path / "dark")
    prepared(tmp_path)
    assert f"note: 1 of 9 8-bit images are nearly black, such as {tmp_path}/dark.png" in capsys.readouterr().err


REFUSED = {
    "float": (
        grey(1, ".tif", np.float32),
        "floating-point pixels have no agreed range: save the image with 8 or 16 bits",
    ),
    "32 bits": (grey(4095, ".tif", np.int32), "32-bit integers have no agreed range: save the image with 8 or 16 bits"),
    "signed": (grey(30_000, ".tif", tiffinfo={339: 2}), "16-bit signed integers have no agreed range"),
    "gif": (several(".gif"), "3 frames or pages: save each as a file of its own"),
    "webp": (several(".webp"), "3 frames"),
    "png": (several(".png"), "3 frames"),
    "avif": (several(".avif"), "3 frames"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_meant_is_refused_or_left_out(kind: str, tmp_path: Path, capsys) -> None:
    draw, told = REFUSED[kind]
    draw(tmp_path / "bad")
    grey(255, ".jpg", np.uint8)(tmp_path / "good")
    with pytest.raises(GantoolError, match=r"1 damaged image: bad\.\w+ \(.*on_bad_image=skip") as error:
        prepared(tmp_path)
    assert told in str(error.value) and "\n" not in str(error.value)
    assert len(prepare(Folder(str(tmp_path)), on_bad_image="skip").images) == 1
    assert "left out" in capsys.readouterr().err


MEANT = {  # mean brightness of noise, and what is told
    "16 bits": (grey(65535, ".png"), 127.5, "1 PNG I;16 16-bit"),
    "16 bits, tif": (grey(65535, ".tif"), 127.5, "1 TIFF I;16 16-bit"),
    "16 bits, white is 0": (grey(65535, ".tif", tiffinfo={262: 0}), 127.5, "1 TIFF I;16 16-bit"),
    "16 bits, colours": (deep_png(65535, 3), 127.5, "1 PNG RGB 16-bit"),
    "16 bits, colours and alpha": (deep_png(65535, 4), 191, "laid on white where transparent: 1"),
    "16 bits, grey and alpha": (deep_png(65535, 2), 191, "laid on white where transparent: 1"),
    "grey": (colours("L", ".png"), 127.5, "1 PNG L 8-bit"),
    "black and white": (
        lambda path: Image.fromarray(values(1) > 0).save(path.with_suffix(".png")),
        127.5,
        "1 PNG 1 1-bit",
    ),
    "colours": (colours("RGB", ".webp"), 127.5, "1 WEBP RGB 8-bit"),
    "alpha": (colours("RGBA", ".png"), 191, "laid on white where transparent: 1"),
    "grey and alpha": (colours("LA", ".png"), 191, "laid on white where transparent: 1"),
    "opaque alpha": (alpha(255), 127.5, "1 PNG RGBA 8-bit"),
    "hidden alpha": (alpha(0), 255, "wholly transparent, so white: 1"),
    "cmyk": (colours("CMYK", ".tif"), 63.75, "1 TIFF CMYK 8-bit"),
    "palette": (lambda path: Image.fromarray(values(255)).convert("P").save(path.with_suffix(".gif")), 127.5, "1 GIF"),
    "two views": (several(".jpg", "MPO"), 127.5, "the first of several views was taken: 1"),
    "misnamed": (lambda path: Image.fromarray(values(255)).save(path.with_suffix(".jpg"), "PNG"), 127.5, "1 PNG L"),
}


@pytest.mark.parametrize("kind", MEANT)
def test_what_is_meant_keeps_its_brightness_and_is_told(kind: str, tmp_path: Path, capsys) -> None:
    draw, mean, told = MEANT[kind]
    draw(tmp_path / "0")
    assert prepared(tmp_path) == pytest.approx(mean, abs=10)
    said = capsys.readouterr().err
    assert told in said and "black" not in said and "bright" not in said
    prepared(tmp_path)
    assert capsys.readouterr().err.startswith("folder: 1 image: 1 ")  # from the cache in one line, and notes


@pytest.mark.parametrize(("shape", "kept"), [((64, 256), 25), ((256, 64), 25), ((64, 160), 40)])
def test_a_crop_that_loses_most_is_told(shape: tuple[int, int], kept: int, tmp_path: Path, capsys) -> None:
    for index in range(3):
        colours("RGB", ".png", *shape)(tmp_path / f"{index}")
    prepared(tmp_path)
    said = capsys.readouterr().err
    assert f"typical picture ({shape[1]}x{shape[0]}) is {kept} % of it, the rest is lost: crop the pictures" in said
    assert "cropped to the centre" not in said, "it is told once"


def test_halves_are_measured_each_by_itself(tmp_path: Path, capsys) -> None:
    for index in range(3):
        colours("RGB", ".png", 24, 48)(tmp_path / f"{index}")
    prepare(Paired(str(tmp_path), resolution=24))
    assert "lost" not in (said := capsys.readouterr().err) and "sizes 24x24" in said


def test_other_oddities_are_counted(tmp_path: Path, capsys) -> None:
    for index in range(9):
        colours("RGB", ".png")(tmp_path / f"{index}")
    colours("L", ".png", 12, 12)(tmp_path / "grey")
    Image.new("RGB", (24, 24), "red").save(tmp_path / "red.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(values(255, 24, 24, 3)).save(tmp_path / "turned.png", exif=exif)
    prepared(tmp_path)
    said = capsys.readouterr().err
    for line in (
        "folder: 12 images: 11 PNG RGB 8-bit, 1 PNG L 8-bit\n",
        "  sizes 12x12 to 24x24, typically 24x24\n",
        "  smaller than dataset.resolution and so enlarged: 1\n",
        "  turned as EXIF says: 1\n",
        "note: 1 of 12 images are grey, the others have colours\n",
        "note: 1 of 12 images are a single flat colour\n",
    ):
        assert line in said
    prepared(tmp_path, channels=1)
    assert "colours turned to grey: 11" in capsys.readouterr().err


@pytest.mark.parametrize("opaque", [0, 255])
def test_images_without_any_difference_are_told_of(opaque: int, tmp_path: Path, capsys) -> None:
    for index in range(3):
        if opaque:
            Image.new("RGB", (24, 24)).save(tmp_path / f"{index}.png")
        else:
            alpha(0)(tmp_path / f"{index}")
    prepared(tmp_path)
    said = capsys.readouterr().err
    assert "note: 3 of 3 images are a single flat colour" in said
    assert ("3 of 3 8-bit images are nearly black" in said) == bool(opaque)


def test_greyscale_alone_is_advised_of(tmp_path: Path, capsys) -> None:
    colours("L", ".png")(tmp_path / "0")
    prepared(tmp_path)
    assert "note: all images are grey: dataset.channels=1" in capsys.readouterr().err
    prepared(tmp_path, channels=1)
    assert "note" not in capsys.readouterr().err

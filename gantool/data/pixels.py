"""From an image file or array to what is stored: square, at the final resolution, (channels, height, width) uint8."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile, ImageOps, TiffImagePlugin

from gantool.data.source import Damaged, Decoded, Seen
from gantool.errors import GantoolError

_ORIENTATION = 0x0112  # of EXIF
_BITS, _PHOTOMETRIC, _SAMPLE_FORMAT = 258, 262, 339  # of TIFF
_NO_RANGE = "have no agreed range: save it with 8 or 16 bits, black 0 and white 255 or 65535"

# What the endings of images stand for, and no other: PIL has other programs run for some (EPS).
_FORMATS = ("PNG", "JPEG", "MPO", "WEBP", "BMP", "DIB", "GIF", "TIFF", "PPM", "AVIF")


@cache
def formats() -> tuple[str, ...]:
    """Those that this PIL can read."""
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def fit(image: Image.Image, resolution: int, channels: int) -> np.ndarray:
    """The centre square of the short side, resized with PIL's antialiased Lanczos filter (as NVlabs prepare theirs)."""
    image = image.convert("L" if channels == 1 else "RGB")
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    image = image.crop((left, top, left + side, top + side))
    if side != resolution:
        image = image.resize((resolution, resolution), Image.Resampling.LANCZOS)
    pixels = np.asarray(image)
    return pixels[None] if channels == 1 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def fit_array(pixels: np.ndarray, resolution: int, channels: int) -> np.ndarray:
    """As `fit`, of a square (H, W) or (H, W, 3) uint8."""
    if pixels.shape == (resolution, resolution) and channels == 1:  # as it is: thirty times faster than through PIL
        return pixels[None]
    if pixels.shape == (resolution, resolution, channels):
        return pixels.transpose(2, 0, 1)
    return fit(Image.fromarray(pixels), resolution, channels)


def open_image(path: Path) -> tuple[Image.Image, Seen]:
    """One file as L or RGB, and what it held: turned as its EXIF says, transparency on white, 16 bits scaled to 8.

    Raises an exception of PIL's choosing for a damaged file, ValueError for one that cannot be meant: several frames or
    pages, numbers without an agreed range.
    """
    with Image.open(path, formats=formats()) as file:
        kind, mode, size, bits, remarks = file.format or "", file.mode, file.size, _bits(file), []
        tags = file.tag_v2 if isinstance(file, TiffImagePlugin.TiffImageFile) else {}
        if (frames := getattr(file, "n_frames", 1)) > 1:
            if kind != "MPO":
                raise ValueError(f"{frames} frames or pages: save each as a file of its own")
            remarks.append("the first of several views was taken")
        if mode == "F":
            raise ValueError(f"floating-point pixels {_NO_RANGE}")
        if bits > 16 or 2 in np.atleast_1d(tags.get(_SAMPLE_FORMAT, 1)):
            raise ValueError(f"{bits}-bit {'' if bits > 16 else 'signed '}integers {_NO_RANGE}")
        if file.getexif().get(_ORIENTATION, 1) != 1:
            remarks.append("turned as EXIF says")
        image = ImageOps.exif_transpose(file)
        if image.mode.startswith("I"):  # PIL would clip 16 bits at 255; it has 32-bit names for some 16-bit files
            values, top = np.asarray(image).astype(np.int64), 2**bits - 1
            values = top - values if tags.get(_PHOTOMETRIC) == 0 else values  # white is 0: PIL turns only 8 bits
            peak = values.max() / top
            image = Image.fromarray(((values * 255 + top // 2) // top).clip(0, 255).astype(np.uint8))
        else:
            if image.has_transparency_data:
                image = image.convert("RGBA")
                least, most = image.getchannel("A").getextrema()
                if least != 255:
                    remarks.append("laid on white where transparent" if most else "wholly transparent, so white")
                image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
            if image.mode not in ("L", "RGB"):
                image = image.convert("L" if image.mode == "1" else "RGB")
            peak = np.max(image.getextrema()) / 255
        return image, Seen(str(path), kind, mode, bits, size, float(peak), tuple(remarks))


def _bits(file: Image.Image) -> int:
    """Bits of a channel as they are stored; of colours PIL keeps only the higher eight."""
    if isinstance(file, TiffImagePlugin.TiffImageFile):
        return int(np.max(file.tag_v2.get(_BITS, 1)))
    tiles = file.tile if isinstance(file, ImageFile.ImageFile) else []
    args = tiles[0].args if tiles else ""
    raw = args if isinstance(args, str) else str(args[0]) if args else ""
    if file.mode.startswith("I") or (";16" in raw and not raw.startswith("BGR")):
        return 16
    return 1 if file.mode == "1" else 8


def decode(path: Path, resolution: int, channels: int) -> tuple[np.ndarray, tuple[Seen, ...]]:
    """One file as (channels, resolution, resolution) uint8, and what it held; raises as `open_image` does."""
    image, seen = open_image(path)
    return fit(image, resolution, channels), (seen,)


def decode_files(
    root: Path, names: Sequence[str], labels: Sequence[int], resolution: int, channels: int
) -> Iterator[Decoded | Damaged]:
    """Decode root/name for every name, in order."""
    return decode_each(names, labels, lambda name: decode(root / name, resolution, channels))


def decode_each(
    names: Sequence[str], labels: Sequence[int], pixels: Callable[[str], tuple[np.ndarray, tuple[Seen, ...]]]
) -> Iterator[Decoded | Damaged]:
    """The `pixels` of every name, in order, on all cores (PIL leaves the interpreter lock while it works)."""

    def read(name: str, label: int) -> Decoded | Damaged:
        try:
            made, seen = pixels(name)
            return Decoded(made, label, seen)
        except Exception as error:  # PIL's plugins raise OSError, SyntaxError, ValueError, struct.error, ...
            if isinstance(error, OSError) and error.errno:  # the disk's fault or a missing file, not the image's
                raise GantoolError(f"cannot read {error.filename or name}: {error.strerror}") from error
            return Damaged(name, str(error) or type(error).__name__)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(names), 1024):  # bounds what is decoded ahead
            yield from pool.map(read, names[start : start + 1024], labels[start : start + 1024])

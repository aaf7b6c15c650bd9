"""From an image file or array to what is stored: at the final resolution, (channels, height, width)."""

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from PIL import Image, ImageOps, TiffImagePlugin

from gantool.data.arrays import (
    ARRAYS,
    DICOM,
    ORIENTATION,
    PHOTOMETRIC,
    SAMPLE_FORMAT,
    Numbers,
    extra,
    one_image,
    read_dicom,
    read_numbers,
    stored_bits,
)
from gantool.data.files import suffix
from gantool.data.fitting import NO_RANGE, PLAIN, Fitting, about_alpha, channels_of, extremes, on_white
from gantool.data.source import Seen
from gantool.errors import GantoolError
from gantool.shapes import Resolution, sides

LOST = "colours read with 8 of their 16 bits (PNG and .npy keep all)"
HEIC = (".heic", ".heif", ".hif")

# What the endings of images stand for, and no other: PIL has other programs run for some (EPS).
_FORMATS = ("PNG", "JPEG", "MPO", "WEBP", "BMP", "DIB", "GIF", "TIFF", "PPM", "AVIF")


@cache
def formats() -> tuple[str, ...]:
    """Those that this PIL can read."""
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def formats_of(name: str) -> tuple[str, ...]:
    """Those that a file of this name may have; raises GantoolError for HEIC where its extra is missing."""
    if suffix(name) not in HEIC:
        return formats()
    extra("pillow_heif", "a HEIC picture").register_heif_opener()
    return ("HEIF",)


def fit(image: Image.Image, resolution: Resolution | None, channels: int, fitting: Fitting = PLAIN) -> np.ndarray:
    """(channels, height, width) uint8: placed as `fitting` says, by default the centre square of the short side, and
    resized with PIL's antialiased Lanczos filter (as NVlabs prepare theirs)."""
    image = fitting.place(image.convert("L" if channels == 1 else "RGB"), resolution)
    pixels = np.asarray(image)
    return pixels[None] if channels == 1 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def fit_array(pixels: np.ndarray, resolution: Resolution, channels: int, fitting: Fitting = PLAIN) -> np.ndarray:
    """As `fit`, of (H, W) or (H, W, 3) uint8, one of a set of images of one size; raises GantoolError where that is
    smaller than `fitting.crop`."""
    as_it_is = pixels.shape[:2] == sides(resolution) and fitting.crop is None
    if as_it_is and pixels.ndim == 2 and channels == 1:  # thirty times faster than through PIL
        return pixels[None]
    if as_it_is and pixels.ndim == 3 and channels == pixels.shape[2]:
        return pixels.transpose(2, 0, 1)
    try:
        return fit(Image.fromarray(pixels), resolution, channels, fitting)
    except ValueError as error:
        raise GantoolError(f"images have {error}: choose a smaller one") from error


def open_image(path: Path | BinaryIO, name: str) -> tuple[Image.Image, Seen]:
    """One file, called `name`, as L or RGB, and what it held: turned as its EXIF says, transparency on white, 16 bits
    scaled to 8.

    Raises an exception of PIL's choosing for a damaged file, ValueError for one that cannot be meant: several frames or
    pages, numbers without an agreed range.
    """
    with Image.open(path, formats=formats_of(name)) as file:
        kind, mode, size, bits, remarks = file.format or "", file.mode, file.size, stored_bits(file), []
        tags = file.tag_v2 if isinstance(file, TiffImagePlugin.TiffImageFile) else {}
        if (frames := getattr(file, "n_frames", 1)) > 1:
            if kind != "MPO":
                raise ValueError(f"{frames} frames or pages: save each as a file of its own")
            remarks.append("the first of several views was taken")
        if mode == "F":
            raise ValueError(f"floating-point pixels {NO_RANGE}")
        if bits > 16 or 2 in np.atleast_1d(tags.get(SAMPLE_FORMAT, 1)):
            raise ValueError(f"{bits}-bit {'' if bits > 16 else 'signed '}integers {NO_RANGE}")
        if file.getexif().get(ORIENTATION, 1) != 1:
            remarks.append("turned as EXIF says")
        image = ImageOps.exif_transpose(file)
        if image.mode.startswith("I"):  # PIL would clip 16 bits at 255; it has 32-bit names for some 16-bit files
            values, top = np.asarray(image).astype(np.int64), 2**bits - 1
            values = top - values if tags.get(PHOTOMETRIC) == 0 else values  # white is 0: PIL turns only 8 bits
            peak = values.max() / top
            image = Image.fromarray(((values * 255 + top // 2) // top).clip(0, 255).astype(np.uint8))
        else:
            if image.has_transparency_data:
                image = image.convert("RGBA")
                remarks += about_alpha(np.asarray(image.getchannel("A")))
                image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
            if image.mode not in ("L", "RGB"):
                image = image.convert("L" if image.mode == "1" else "RGB")
            if bits > 8 and kind in ("TIFF", "PPM"):
                remarks.append(LOST)
            peak = np.max(image.getextrema()) / 255
        return image, Seen(name, kind, mode, bits, size, float(peak), tuple(remarks))


class Piece(NamedTuple):
    """One image of a file that may hold several: its page, or None for the whole of it; STACK: pages are channels."""

    name: str
    page: int | None = None

    def __str__(self) -> str:
        return self.name if self.page in (None, STACK) else f"{self.name}[{self.page}]"


STACK = -1


def numbers(place: Path | BinaryIO, name: str, page: int | None) -> Numbers:
    """One image of a file called `name`."""
    ending = suffix(name)
    if ending in ARRAYS:
        if not isinstance(place, Path):
            raise ValueError("arrays are read from a folder: unpack them")
        values = one_image(place, page or 0)
        return Numbers(values, ending[1:].upper(), str(values.dtype))
    if ending in DICOM:
        made, top = read_dicom(place, page or 0)
        return Numbers(made, "DICOM", str(made.dtype), top)
    return read_numbers(place, page, formats_of(name))


def decode(
    place: Path | BinaryIO,
    resolution: Resolution | None,
    channels: int,
    fitting: Fitting = PLAIN,
    *,
    name: str = "",
    page: int | None = None,
    found: tuple[float, float] | None = None,
    halves: bool = False,
) -> tuple[np.ndarray, tuple[Seen, ...]]:
    """One image, called `name`, as (channels, height, width) uint8, or int16 for 16 bits, and what it held; `found`:
    the least and greatest number in its set; `resolution` None: its own size; `halves`: its left and its right half,
    each an image of so many channels, in one. What is transparent lies on white, but where the opacity is one of the
    channels asked for. Raises as `open_image` does."""
    name = name or str(place)
    plain = fitting.range is None and fitting.bits != 16 and channels in (1, 3) and page is None
    if plain and suffix(name) not in (*ARRAYS, *DICOM):
        image, seen = open_image(place, name)
        if not halves:
            return fit(image, resolution, channels, fitting), (seen,)
        middle, height = _middle(image.width, image.height), image.height
        views = [image.crop((left, 0, left + middle, height)) for left in (0, middle)]
        pixels = np.concatenate([fit(view, resolution, channels, fitting) for view in views])
        return pixels, (replace(seen, size=(middle, height)),) * 2
    values, kind, mode, top, alpha, bits = numbers(place, name, page)
    dtype, remarks = values.dtype, ()
    if alpha and channels in (1, 3):
        remarks = about_alpha(values[..., -1])
        values = on_white(values, fitting.span(dtype, found, top)[1])
    if bits > 8:
        if fitting.bits == 16 or fitting.range not in (None, "full"):
            fix = "save PNG or .npy" if fitting.range else "set dataset.bits=8, or save PNG or .npy"
            raise ValueError(f"{bits}-bit colours of {kind} are read with 8: {fix}")
        remarks = (*remarks, LOST)
    used = extremes(values)
    values = channels_of(values, channels)
    span = fitting.span(dtype, found, top)
    peak = min(max((used[1] - span[0]) / (span[1] - span[0]), 0.0), 1.0)
    height, width = values.shape[:2]
    width = _middle(width, height) if halves else width
    pixels = [fitting.store(view, resolution, span) for view in np.split(values, 2 if halves else 1, 1)]
    seen = Seen(name, kind, mode, 8 * dtype.itemsize, (width, height), peak, remarks, used, span)
    return np.concatenate(pixels), (seen,) * len(pixels)


def _middle(width: int, height: int) -> int:
    if 2 * width < 3 * height or width % 2:
        raise ValueError(f"{width}x{height} pixels are not two images side by side")
    return width // 2

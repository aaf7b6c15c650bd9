"""From an image file or array to what is stored: square, at the final resolution, (channels, height, width) uint8."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from gantool.data.source import Damaged, Decoded
from gantool.errors import GantoolError


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


def opened(path: Path) -> Image.Image:
    """One file: turned as its EXIF says, transparency on white, 16 bits scaled to 8, the first frame of an animation.

    Raises an exception of PIL's choosing for a damaged file.
    """
    with Image.open(path) as file:
        image = ImageOps.exif_transpose(file)
        if image.mode.startswith("I"):  # PIL would clip 16 bits at 255; it has 32-bit names for some 16-bit files
            image = Image.fromarray(((np.asarray(image).astype(np.int64) + 128) // 257).clip(0, 255).astype(np.uint8))
        elif image.mode == "F":
            raise ValueError("floating-point pixels have no agreed range")
        elif image.has_transparency_data:
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        return image


def decode(path: Path, resolution: int, channels: int) -> np.ndarray:
    """One file as (channels, resolution, resolution) uint8; raises as `opened` does."""
    return fit(opened(path), resolution, channels)


def decode_files(
    root: Path, names: Sequence[str], labels: Sequence[int], resolution: int, channels: int
) -> Iterator[Decoded | Damaged]:
    """Decode root/name for every name, in order."""
    return decode_each(names, labels, lambda name: decode(root / name, resolution, channels))


def decode_each(
    names: Sequence[str], labels: Sequence[int], pixels: Callable[[str], np.ndarray]
) -> Iterator[Decoded | Damaged]:
    """The `pixels` of every name, in order, on all cores (PIL leaves the interpreter lock while it works)."""

    def read(name: str, label: int) -> Decoded | Damaged:
        try:
            return Decoded(pixels(name), label)
        except Exception as error:  # PIL's plugins raise OSError, SyntaxError, ValueError, struct.error, ...
            if isinstance(error, OSError) and error.errno:  # the disk's fault or a missing file, not the image's
                raise GantoolError(f"cannot read {error.filename or name}: {error.strerror}") from error
            return Damaged(name, str(error) or type(error).__name__)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(names), 1024):  # bounds what is decoded ahead
            yield from pool.map(read, names[start : start + 1024], labels[start : start + 1024])

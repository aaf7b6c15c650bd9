"""How a picture of any size and range becomes one that is stored: cut, resized, and as 8 or 16 bits."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from gantool.errors import GantoolError, check_choice
from gantool.shapes import Resolution, sides

NO_RANGE = "have no agreed range: save the image with 8 or 16 bits, or set dataset.range=auto, full or [black,white]"


@dataclass(frozen=True)
class Fitting:
    """`crop`: the centre of so many pixels is cut out first. `fit`: what does not have the proportions of the result is
    cropped to its centre, padded with black, or stretched. `range`: the values of black and white, 'full' for those of
    the type (0 and 1 of floats), 'auto' for the least and the greatest in the set; None: as 'full', and not of floats
    and more than 16 bits. `bits` of the stored pixels: 8, 16, or None: 16 where the first file has more than 8."""

    fit: str = "crop"
    crop: Resolution | None = None
    range: str | Sequence[float] | None = None
    bits: int | None = 8

    def __post_init__(self) -> None:
        check_choice("dataset.fit", self.fit, ("crop", "pad", "stretch"))
        if isinstance(self.range, str):
            check_choice("dataset.range", self.range, ("auto", "full"))
        elif self.range is not None and not (len(self.range) == 2 and self.range[0] < self.range[1]):
            listed = ",".join(f"{value:g}" for value in self.range)
            raise GantoolError(f"dataset.range=[{listed}]: should be the values of black and white, such as [0,4095]")

    def plain(self, name: str) -> "Fitting":
        """The same for a set of 8 bits; raises GantoolError where more is asked for than it has."""
        if self.range is not None or self.bits == 16:
            asked = "dataset.bits=16" if self.range is None else f"dataset.range={self.range}"
            raise GantoolError(f"{asked}: images of {name} have 8 bits; leave it out, or take dataset=folder")
        return replace(self, bits=8)

    def place(self, image: Image.Image, resolution: Resolution | None, black: float = 0) -> Image.Image:
        """An image of any mode at the size of `resolution`, None: its own; raises ValueError where it is smaller than
        `crop`."""
        if resolution is None:
            return image
        height, width = sides(resolution)
        if self.crop is not None:
            high, wide = sides(self.crop)
            if image.width < wide or image.height < high:
                raise ValueError(f"{image.width}x{image.height} pixels, fewer than dataset.crop={self.crop}")
            image = _centre(image, wide, high)
        if self.fit == "crop":
            scale = min(image.width / width, image.height / height)
            image = _centre(image, max(round(width * scale), 1), max(round(height * scale), 1))
        elif self.fit == "pad":
            scale = max(image.width / width, image.height / height)
            inner = (max(round(image.width / scale), 1), max(round(image.height / scale), 1))
            inside = _resized(image, inner)
            image = Image.new(image.mode, (width, height), black if image.mode == "F" else 0)
            image.paste(inside, ((width - inner[0]) // 2, (height - inner[1]) // 2))
        return _resized(image, (width, height))

    def kept(self, size: tuple[int, int], resolution: Resolution) -> float:
        """The part of a picture of `size`, width and height, that is not cut away."""
        width, height = self._cut(size)
        part = width * height
        if self.fit == "crop":
            high, wide = sides(resolution)
            part = wide * high * min(width / wide, height / high) ** 2
        return part / (size[0] * size[1])

    def enlarges(self, size: tuple[int, int], resolution: Resolution) -> bool:
        """Whether a picture of `size`, width and height, gets more pixels than it has, in any direction."""
        (width, height), (high, wide) = self._cut(size), sides(resolution)
        narrow, low = width < wide, height < high
        return narrow and low if self.fit == "pad" else narrow or low

    def _cut(self, size: tuple[int, int]) -> tuple[int, int]:
        """Width and height of what `crop` leaves of a picture."""
        if self.crop is None:
            return size
        height, width = sides(self.crop)
        return width, height

    def store(self, values: np.ndarray, resolution: Resolution | None, span: tuple[float, float]) -> np.ndarray:
        """(H, W, C) numbers as (C, height, width) uint8, or int16 for 16 bits (0 to 65535, less 32768), the first of
        `span` black, the last white."""
        low, high = span
        planes = [Image.fromarray(values[..., c].astype(np.float32)) for c in range(values.shape[2])]
        placed = np.stack([np.asarray(self.place(plane, resolution, low), np.float64) for plane in planes])
        light = ((placed - low) / (high - low)).clip(0, 1)
        if self.bits == 16:
            return (np.round(light * 65535) - 32768).astype(np.int16)
        return np.round(light * 255).astype(np.uint8)

    def span(self, dtype: np.dtype, found: tuple[float, float] | None, top: float | None = None) -> tuple[float, float]:
        """The values of black and white of a file with such numbers; `found` are the least and greatest in the set,
        `top` is the greatest that its format allows. Raises ValueError where there is no agreed range."""
        if self.range == "auto":
            assert found is not None, "who reads with range=auto has looked"
            low, high = found
            return low, high if high > low else low + 1
        if self.range is not None and self.range != "full":
            return float(self.range[0]), float(self.range[1])
        if dtype.kind == "b":
            return 0.0, 1.0
        if dtype.kind == "f":
            if self.range is None:
                raise ValueError(f"floating-point pixels {NO_RANGE}")
            return 0.0, 1.0
        bits = 8 * dtype.itemsize
        if self.range is None and (bits > 16 or dtype.kind == "i"):
            raise ValueError(f"{bits}-bit {'' if bits > 16 else 'signed '}integers {NO_RANGE}")
        return float(np.iinfo(dtype).min), float(np.iinfo(dtype).max if top is None else top)


PLAIN = Fitting()


def channels_of(values: np.ndarray, channels: int) -> np.ndarray:
    """(H, W, C) with another number of channels: grey repeated, colours weighed as their luma, alpha left out. Raises
    ValueError where that makes no sense."""
    has = values.shape[2]
    if has == channels:
        return values
    if has == 1 and channels == 3:
        return values.repeat(3, 2)
    if has in (3, 4) and channels == 1:
        return values[..., :3].astype(np.float64) @ np.array([[0.299], [0.587], [0.114]])
    if (has, channels) in ((4, 3), (2, 1)):
        return values[..., :channels]
    raise ValueError(f"{has} channels where dataset.channels={channels}")


def on_white(values: np.ndarray, white: float) -> np.ndarray:
    """(H, W, C) whole numbers, the last channel how opaque it is, without that and laid on `white`."""
    share = values[..., -1:] / np.iinfo(values.dtype).max
    return values[..., :-1] * share + white * (1 - share)


def about_alpha(alpha: np.ndarray) -> tuple[str, ...]:
    """What to remark of an image that is so opaque."""
    if alpha.min() == np.iinfo(alpha.dtype).max:
        return ()
    return ("laid on white where transparent" if alpha.any() else "wholly transparent, so white",)


def turned(values: np.ndarray, orientation: int) -> np.ndarray:
    """(H, W, C) as EXIF's orientation, 1 to 8, says."""
    if orientation in (5, 6, 7, 8):
        values = values.swapaxes(0, 1)
    values = values[:, ::-1] if orientation in (2, 3, 6, 7) else values
    return values[::-1] if orientation in (3, 4, 7, 8) else values


def extremes(values: np.ndarray) -> tuple[float, float]:
    """The least and the greatest; raises ValueError for numbers that are not finite."""
    low, high = float(values.min()), float(values.max())
    if not math.isfinite(low + high):
        raise ValueError("some of its pixels are not finite numbers")
    return low, high


def _centre(image: Image.Image, width: int, height: int) -> Image.Image:
    if image.size == (width, height):
        return image
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))


def _resized(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    return image if image.size == size else image.resize(size, Image.Resampling.LANCZOS)

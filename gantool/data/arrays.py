"""Pixels as numbers, of any type and number of channels: arrays of numpy, DICOM, the pages of a TIFF, deep PNG."""

import io
import warnings
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, ImageOps

from gantool.errors import GantoolError

ARRAYS, DICOM, STACKS = (".npy", ".npz"), (".dcm", ".dicom"), (".tif", ".tiff")
MOST = 16  # channels
_EXTRAS = {"pydicom": "dicom", "pillow_heif": "heic"}


def extra(module: str, why: str) -> Any:
    """An optional package; raises GantoolError that names the extra which brings it."""
    import importlib

    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise GantoolError(f"{why} needs {module}: pip install 'gantool[{_EXTRAS[module]}]'") from error


def read_array(path: Path) -> np.ndarray:
    """Images (N, H, W, C) of an array file, memory-mapped where it can be. Nothing in it is unpickled.

    .npy or .npz ('images', 'arr_0', or the only one) of (N, H, W, C), (N, H, W), (H, W, C) or (H, W). Raises ValueError
    for others, and OSError.
    """
    loaded = np.load(path, mmap_mode=None if path.suffix == ".npz" else "r", allow_pickle=False)
    if isinstance(loaded, np.ndarray):
        return _as_images(loaded)
    with loaded:
        name = next((n for n in ("images", "arr_0") if n in loaded.files), loaded.files[0] if loaded.files else None)
        if name is None or (len(loaded.files) > 1 and name not in ("images", "arr_0")):
            raise ValueError(f"arrays {', '.join(loaded.files) or 'none'}: name that of the images 'images'")
        return _as_images(loaded[name])


def _as_images(array: np.ndarray) -> np.ndarray:
    if array.dtype.kind not in "biuf":
        raise ValueError(f"an array of {array.dtype} is no image: save numbers")
    if array.ndim == 2:
        array = array[None, :, :, None]
    elif array.ndim == 3:
        array = array[None] if array.shape[2] <= MOST < min(array.shape[:2]) else array[..., None]
    if array.ndim != 4 or not 1 <= array.shape[3] <= MOST:
        shape = "x".join(map(str, array.shape))
        raise ValueError(f"an array of {shape} is no (N, H, W, C) of 1 to {MOST} channels: save it so")
    return array


_kept = lru_cache(maxsize=2)(read_array)  # of an .npz, which is unpacked whole


def read_dicom(source: BinaryIO | Path) -> tuple[np.ndarray, float | None]:
    """Images (N, H, W, C), in the units of the device where the file has them, and the greatest value that its bits
    allow where not. Raises ValueError for a file without pixels."""
    pydicom = extra("pydicom", "a DICOM file")
    try:
        file = pydicom.dcmread(source)
        pixels = file.pixel_array
    except (AttributeError, NotImplementedError, RuntimeError, KeyError) as error:
        raise ValueError(str(error) or type(error).__name__) from error
    colours = int(file.get("SamplesPerPixel", 1)) > 1
    several = int(file.get("NumberOfFrames", 1) or 1) > 1
    pixels = pixels if colours else pixels[..., None]
    pixels = pixels if several else pixels[None]
    slope, offset = float(file.get("RescaleSlope", 1) or 1), float(file.get("RescaleIntercept", 0) or 0)
    top: float | None = 2.0 ** int(file.get("BitsStored", 8 * pixels.itemsize)) - 1
    if (slope, offset) != (1, 0):
        pixels, top = (pixels * slope + offset).astype(np.float32), None
    if file.get("PhotometricInterpretation") == "MONOCHROME1":  # white is 0
        pixels = (top if top is not None else pixels.max() + pixels.min()) - pixels.astype(np.float64)
        pixels = pixels.astype(np.uint16 if top is not None else np.float32)
    return pixels, top


def read_numbers(path: Path | BinaryIO, page: int | None, formats: tuple[str, ...]) -> tuple[np.ndarray, str, str]:
    """One page of a picture, or of all (-1) as channels, as (H, W, C) numbers of its own type, its format and mode.

    Raises what PIL does, ValueError where there are several pages and none is chosen.
    """
    content = path.read_bytes() if isinstance(path, Path) else path.read()
    with Image.open(io.BytesIO(content), formats=formats) as file:
        kind, mode = file.format or "", file.mode
        frames = getattr(file, "n_frames", 1)
        if page is None and frames > 1 and kind != "MPO":
            raise ValueError(f"{frames} frames or pages: save each as a file of its own")
        if page == -1:
            pages = [_page(file, index, content) for index in range(frames)]
            return np.concatenate(pages, 2), kind, mode
        return _page(file, page or 0, content), kind, mode


def _page(file: Image.Image, page: int, content: bytes) -> np.ndarray:
    """(H, W, C)."""
    file.seek(page)
    image, kind = ImageOps.exif_transpose(file), file.format
    if kind == "PNG" and content[24] == 16 and image.mode not in ("I", "I;16", "I;16B"):
        return _deep_png(content)  # PIL keeps the higher eight bits of colours
    if image.mode in ("1", "P"):
        image = image.convert("L" if image.mode == "1" else "RGBA" if image.has_transparency_data else "RGB")
    elif image.mode not in ("L", "LA", "RGB", "RGBA", "F") and not image.mode.startswith("I"):
        image = image.convert("RGB")
    values = np.asarray(image)
    if image.mode == "I" and values.min() >= 0 and values.max() < 2**16 and kind in ("PNG", "PPM"):
        values = values.astype(np.uint16)
    return values if values.ndim == 3 else values[..., None]


def _deep_png(content: bytes) -> np.ndarray:
    import torch
    from torchvision.io import ImageReadMode, decode_png

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # there is no other in what gantool brings
        made = decode_png(torch.frombuffer(bytearray(content), dtype=torch.uint8), ImageReadMode.UNCHANGED)
    return made.permute(1, 2, 0).numpy()


def one_image(path: Path, page: int) -> np.ndarray:
    """(H, W, C), one of an array file."""
    return np.asarray(_kept(path)[page] if path.suffix == ".npz" else read_array(path)[page])

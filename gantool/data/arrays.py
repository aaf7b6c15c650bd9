"""Pixels as numbers, of any type and number of channels: arrays of numpy, DICOM, the pages of a TIFF, deep PNG."""

import math
import warnings
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, BinaryIO, NamedTuple

import numpy as np
from PIL import Image, ImageFile, ImageOps, TiffImagePlugin

from gantool.data.files import Status
from gantool.data.fitting import turned
from gantool.data.memory import machine_memory
from gantool.errors import GantoolError

ARRAYS, DICOM, STACKS = (".npy", ".npz"), (".dcm", ".dicom"), (".tif", ".tiff")
BITS, PHOTOMETRIC, SAMPLE_FORMAT = 258, 262, 339  # of TIFF
ORIENTATION = 0x0112  # of EXIF
MOST = 16  # channels
_EXTRAS = {"pydicom": "dicom", "pillow_heif": "heic"}


class Numbers(NamedTuple):
    """One image as (H, W, C) numbers of its own type, its format and mode, the greatest value that its format allows
    where that is not the type's, whether the last channel says how opaque it is, and the bits of colours of which PIL
    keeps eight, else 8."""

    values: np.ndarray
    kind: str
    mode: str
    top: float | None = None
    alpha: bool = False
    bits: int = 8


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
    return _as_images(_loaded(path))


def count_images(path: Path) -> int:
    """How many `read_array` gives, as the head of the file says: nothing is unpacked. Raises as that does."""
    return len(_as_images(_loaded(path, only_head=True)))


def _loaded(path: Path, *, only_head: bool = False) -> np.ndarray:
    """As it is in the file; `only_head`: what an .npz holds without its values."""
    loaded = np.load(path, mmap_mode=None if path.suffix == ".npz" else "r", allow_pickle=False)
    if isinstance(loaded, np.ndarray):
        return loaded
    with loaded:
        name = next((n for n in ("images", "arr_0") if n in loaded.files), loaded.files[0] if loaded.files else None)
        if name is None or (len(loaded.files) > 1 and name not in ("images", "arr_0")):
            raise ValueError(f"arrays {', '.join(loaded.files) or 'none'}: call the one with the images 'images'")
        with loaded.zip.open(name if name in loaded.zip.namelist() else f"{name}.npy") as file:
            shape, dtype = _head(file)
        if (size := math.prod(shape) * dtype.itemsize) > (most := machine_memory() / 2):
            half = f"{most / 1e9:,.1f} GB is half the memory"
            raise ValueError(f"{size / 1e9:,.1f} GB once unpacked, and {half}: save .npy")
        return np.broadcast_to(np.zeros((), dtype), shape) if only_head else loaded[name]


def _head(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and type of an array; raises ValueError where it is none, or one that holds no numbers."""
    version = np.lib.format.read_magic(file)
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(version)
    if read is None:  # fields with names that are no ASCII
        raise ValueError("an array of records is not an image: save numbers")
    shape, _, dtype = read(file)
    return shape, dtype


def _as_images(array: np.ndarray) -> np.ndarray:
    if array.dtype.kind not in "biuf":
        raise ValueError(f"an array of {array.dtype} is not an image: save numbers")
    if array.ndim == 2:
        array = array[None, :, :, None]
    elif array.ndim == 3:
        if array.shape[0] in (3, 4) and min(array.shape[1:]) > 4:
            number, shape = array.shape[0], "x".join(map(str, array.shape))
            either = f"one image with its channels first or {number} grey ones: save (H, W, C) or (N, H, W, 1)"
            raise ValueError(f"an array of shape {shape} may be {either}")
        array = array[None] if array.shape[2] <= MOST < min(array.shape[:2]) else array[..., None]
    if array.ndim != 4 or not 1 <= array.shape[3] <= MOST:
        shape = "x".join(map(str, array.shape))
        raise ValueError(f"an array of shape {shape} is not (N, H, W, C) with 1 to {MOST} channels: save it as that")
    if len(array) and not array.size:
        raise ValueError("an array of images without pixels")
    return array


@lru_cache(maxsize=2)
def _kept(path: Path, status: Status) -> np.ndarray:
    """Of an .npz, which is unpacked whole: as long as it is the same file."""
    return read_array(path)


def forget() -> None:
    """Frees the memory of what was unpacked."""
    _kept.cache_clear()


def read_dicom(source: BinaryIO | Path, frame: int = 0) -> tuple[np.ndarray, float | None]:
    """One frame (H, W, C), in the units of the device where the file has them and in the colours of its palette, and
    the greatest value that its bits allow where there are no units and no sign. Only this frame is decoded. Raises
    ValueError for a file without pixels."""
    pydicom = extra("pydicom", "a DICOM file")
    try:
        file = pydicom.dcmread(source, stop_before_pixels=True)
        packed = file.file_meta.get("TransferSyntaxUID") == pydicom.uid.DeflatedExplicitVRLittleEndian
        if packed and not isinstance(source, Path):
            source.seek(0)
        pixels = pydicom.pixels.pixel_array(pydicom.dcmread(source) if packed else source, index=frame)
        tone = file.get("PhotometricInterpretation")
        if tone == "PALETTE COLOR":
            return _coloured(pixels, file, pydicom)
    except (AttributeError, NotImplementedError, RuntimeError, KeyError) as error:
        raise ValueError(str(error) or type(error).__name__) from error
    pixels = pixels if pixels.ndim == 3 else pixels[..., None]
    slope, offset = float(file.get("RescaleSlope", 1) or 1), float(file.get("RescaleIntercept", 0) or 0)
    signed, most = pixels.dtype.kind == "i", 2 ** int(file.get("BitsStored", 8 * pixels.itemsize)) - 1
    if tone == "MONOCHROME1":  # white is 0
        pixels = ~pixels if signed else most - pixels  # by what its bits allow: alike in every file
    top = None if signed else float(most)
    if (slope, offset) != (1, 0):
        pixels, top = (pixels * slope + offset).astype(np.float32), None
    return pixels, top


def _coloured(pixels: np.ndarray, file: Any, pydicom: Any) -> tuple[np.ndarray, float]:
    """(H, W) numbers of a palette as their colours, and the greatest value of these."""
    colours = pydicom.pixels.apply_color_lut(pixels, file)[..., :3]  # without the opacity that some have
    count, _, bits = file.RedPaletteColorLookupTableDescriptor
    if colours.itemsize == 1 and not 0 < count <= 256:  # pydicom keeps the lower eight bits of their numbers
        raise ValueError("a palette of more than 256 colours with 8 bits: save it as PNG")
    return colours, float(2**bits - 1)


def dicom_frames(source: BinaryIO | Path) -> int:
    """How many there are, as its head says."""
    pydicom = extra("pydicom", "a DICOM file")
    file = pydicom.dcmread(source, stop_before_pixels=True, specific_tags=["NumberOfFrames"])
    return int(file.get("NumberOfFrames", 1) or 1)


def read_numbers(path: Path | BinaryIO, page: int | None, formats: tuple[str, ...]) -> Numbers:
    """One page of a picture, or all (-1) as channels.

    Raises what PIL does, ValueError where there are several pages and none is chosen.
    """
    with Image.open(path, formats=formats) as file:
        kind, mode = file.format or "", file.mode
        content = _content(path) if kind == "PNG" else b""  # a stack of many pages may be larger than the memory
        frames = getattr(file, "n_frames", 1)
        if page is None and frames > 1 and kind != "MPO":
            raise ValueError(f"{frames} frames or pages: save each as a file of its own")
        if page == -1:
            pages = [_page(file, index, content) for index in range(frames)]
            tops = {page.top for page in pages}
            values = np.concatenate([page.values for page in pages], 2)
            top = tops.pop() if len(tops) == 1 else None
            return Numbers(values, kind, mode, top, bits=max(page.bits for page in pages))
        return _page(file, page or 0, content)._replace(kind=kind, mode=mode)


def _content(source: Path | BinaryIO) -> bytes:
    """All of it; PIL reads on from where it is."""
    if isinstance(source, Path):
        return source.read_bytes()
    place = source.tell()
    source.seek(0)
    content = source.read()
    source.seek(place)
    return content


def _page(file: Image.Image, page: int, content: bytes) -> Numbers:
    file.seek(page)
    turn, kind, bits = file.getexif().get(ORIENTATION, 1), file.format, stored_bits(file)
    image = ImageOps.exif_transpose(file)
    if kind == "PNG" and content[24] == 16 and image.mode not in ("I", "I;16", "I;16B"):
        values = turned(_deep_png(content), turn)  # PIL keeps the higher eight bits of colours
        return Numbers(values, "PNG", image.mode, alpha=values.shape[2] in (2, 4))
    whole = image.mode.startswith("I")
    bits = 8 if whole or image.mode == "F" else bits
    if image.has_transparency_data and not whole:
        image = image.convert("LA" if image.mode in ("1", "L", "LA", "La") else "RGBA")
    elif image.mode not in ("L", "RGB", "F") and not whole:
        image = image.convert("L" if image.mode == "1" else "RGB")
    values, top = np.asarray(image), None
    if image.mode == "I" and values.min() >= 0 and values.max() < 2**16 and kind in ("PNG", "PPM"):
        values = values.astype(np.uint16)
    if whole and isinstance(file, TiffImagePlugin.TiffImageFile):
        values, top = _of_tiff(values, file.tag_v2)
    values = values if values.ndim == 3 else values[..., None]
    return Numbers(values, kind or "", image.mode, top, image.mode in ("LA", "RGBA"), bits)


def _of_tiff(values: np.ndarray, tags: TiffImagePlugin.ImageFileDirectory_v2) -> tuple[np.ndarray, float | None]:
    """Whole numbers where the greater is the brighter, and the greatest that up to 16 bits without a sign allow."""
    bits, white_is_0 = int(np.max(tags.get(BITS, 1))), tags.get(PHOTOMETRIC) == 0  # PIL turns only 8 bits
    if bits > 16 or 2 in np.atleast_1d(tags.get(SAMPLE_FORMAT, 1)):
        return ~values if white_is_0 else values, None
    top = 2**bits - 1
    return top - values if white_is_0 else values, float(top)


def stored_bits(file: Image.Image) -> int:
    """Of a channel in the file; of colours PIL keeps only the higher eight."""
    if isinstance(file, TiffImagePlugin.TiffImageFile):
        return int(np.max(file.tag_v2.get(BITS, 1)))
    tiles = file.tile if isinstance(file, ImageFile.ImageFile) else []
    args = tiles[0].args if tiles else ""
    raw, *rest = (args,) if isinstance(args, str) else args or ("",)
    deep_ppm = file.format == "PPM" and rest and isinstance(rest[0], int) and rest[0] > 255  # its greatest value
    if file.mode.startswith("I") or deep_ppm or (";16" in str(raw) and not str(raw).startswith("BGR")):
        return 16
    return 1 if file.mode == "1" else 8


def _deep_png(content: bytes) -> np.ndarray:
    import torch
    from torchvision.io import ImageReadMode, decode_png

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # there is no other in what gantool brings
        made = decode_png(torch.frombuffer(bytearray(content), dtype=torch.uint8), ImageReadMode.UNCHANGED)
    return made.permute(1, 2, 0).numpy()


def one_image(path: Path, page: int) -> np.ndarray:
    """(H, W, C), one of an array file."""
    unpacked = path.suffix == ".npz"
    return np.asarray((_kept(path, Status.of(path.stat())) if unpacked else read_array(path))[page])

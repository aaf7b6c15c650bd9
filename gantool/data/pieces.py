"""Which images a file holds: one, or the pages of a TIFF, the frames of a DICOM, the rows of an array."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from PIL import Image

from gantool.data.archive import Archive
from gantool.data.arrays import ARRAYS, DICOM, STACKS, count_images, dicom_frames, extra
from gantool.data.decoding import opened
from gantool.data.files import few, suffix
from gantool.data.pixels import HEIC, STACK, Piece, formats_of, numbers, open_image
from gantool.errors import GantoolError


def pieces_of(root: Path | Archive, names: Sequence[str], channels: int | None) -> list[Piece]:
    """The images in the files of `names`, in order. The pages of a TIFF are images, or where there are as many as
    `channels` asks for, its channels. Raises GantoolError where a file needs an extra that is missing, and where there
    is no image in any."""
    pieces = [piece for name in names for piece in _pieces(root, name, channels)]
    if not pieces:
        place = root.path if isinstance(root, Archive) else root
        raise GantoolError(f"{place}: no image is in {few(names)}: put some in, or name other files")
    return pieces


def _pieces(root: Path | Archive, name: str, channels: int | None) -> list[Piece]:
    ending = suffix(name)
    if ending in HEIC:
        extra("pillow_heif", name)
    if ending in DICOM:
        extra("pydicom", name)
    if ending not in (*ARRAYS, *STACKS, *DICOM) or (isinstance(root, Archive) and ending in ARRAYS):
        return [Piece(name)]
    count = 1
    with suppress(Exception):  # whatever is wrong with it: reading it will say
        count = _count(*opened(root, name), ending)
    if count == 1:
        return [Piece(name)]
    if ending in STACKS and channels == count:
        return [Piece(name, STACK)]
    return [Piece(name, page) for page in range(count)]


def _count(place: object, name: str, ending: str) -> int:
    if ending in ARRAYS and isinstance(place, Path):
        return count_images(place)
    if ending in DICOM:
        return dicom_frames(place)  # pyright: ignore
    with Image.open(place, formats=formats_of(name)) as file:  # pyright: ignore
        return getattr(file, "n_frames", 1)


def first_of(root: Path | Archive, piece: Piece) -> tuple[int, int]:
    """The channels that the first image brings where nothing else is asked, and the bits to store it with: 16 where it
    has more than 8."""
    ending = suffix(piece.name)
    with suppress(Exception):  # reading it will say
        place, name = opened(root, piece.name)
        if ending in (*ARRAYS, *DICOM) or piece.page is not None:
            values, *_ = numbers(place, name, piece.page)
            has = values.shape[2] if ending in (*ARRAYS, *DICOM) or piece.page == STACK else 3
            return has, 16 if values.dtype.itemsize > 1 else 8
        if ending in (".png", *STACKS, ".pgm", ".ppm"):
            with Image.open(place, formats=formats_of(name)) as file:
                if file.mode == "F":
                    return 3, 16
            seen = open_image(opened(root, piece.name)[0], name)[1]
            return 3, 16 if seen.bits > 8 and (seen.kind == "PNG" or seen.mode.startswith("I")) else 8
    return 3, 8

"""Many images as one."""

import json
import math
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from gantool.files import whole
from gantool.images import shown, to_uint8
from gantool.screen import cut
from gantool.screen import shown as shown_text

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

SIDE, MOST = 512, 4  # a grid's longer side is enlarged to so many pixels at least, but not more than so many times
_LONGEST = 24  # characters of a name
LINE = 64  # grey between the images: tells black digits' edges without drawing the eye


def grid(images: Tensor, columns: int = 8, padding: int = 2) -> Tensor:
    """(1 or 3, H', W') uint8 on the CPU from (N, C, H, W), float in [-1, 1] or stored; filled row by row."""
    images = to_uint8(shown(images.detach())).cpu()
    count, channels, height, width = images.shape
    if count == 1:
        return images[0]
    columns = min(columns, count)
    rows, height, width = -(-count // columns), height + padding, width + padding
    cells = images.new_full((rows * columns, channels, height, width), LINE)
    cells[:count, :, padding:, padding:] = images
    lines = cells.view(rows, columns, channels, height, width).permute(2, 0, 3, 1, 4)
    filled = lines.reshape(channels, rows * height, columns * width)
    return nn.functional.pad(filled, (0, padding, 0, padding), value=LINE)


def save_grid(image: Tensor, path: Path, rows: Sequence[str] = ()) -> None:
    """Write one (C, H, W) uint8 grid, enlarged by a whole number where it is too small to be looked at.

    What its `rows` are, from the top, is kept in the file, as JSON in a text called "rows".
    """
    save_png(enlarged(image), path, rows)


def enlarged(image: Tensor) -> Tensor:
    """A (C, H, W) grid, by a whole number where it is too small to be looked at."""
    times = min(MOST, -(-SIDE // max(image.shape[1:])))
    return image.repeat_interleave(times, 1).repeat_interleave(times, 2)


def with_row_names(image: Tensor, names: Sequence[str]) -> Tensor:
    """A (C, H, W) uint8 grid with the names of its rows on the left."""
    if not names:
        return image
    strip = _strip(names, image.shape[1], _font(image.shape[1] / len(names)), end=True)
    return torch.cat([strip.expand(len(image), -1, -1), image], 2)


def with_column_names(image: Tensor, names: Sequence[str]) -> Tensor:
    """A (C, H, W) uint8 grid with the names of its columns above, upright where they are too wide for these."""
    if not names:
        return image
    cell, width = image.shape[2] / len(names), image.shape[2]
    font = _font(cell)
    if max(map(font.getlength, map(_short, names))) <= cell - 4:
        size = round(font.size) + 8
        parts = [
            _strip([name], size, font, width=round((i + 1) * cell) - round(i * cell)) for i, name in enumerate(names)
        ]
        strip = torch.cat(parts, 2)
    else:
        strip = _strip(names, width, font).rot90(1, (1, 2))
    return torch.cat([strip.expand(len(image), -1, -1), image], 1)


def _font(cell: float) -> "FreeTypeFont":
    from PIL import ImageFont

    font = ImageFont.load_default(min(16.0, max(9.0, cell / 3)))
    assert not isinstance(font, ImageFont.ImageFont)  # which is without a size
    return font


def _short(name: str) -> str:
    return cut(shown_text(name), _LONGEST)


def _strip(names: Sequence[str], height: int, font: "FreeTypeFont", *, width: int = 0, end: bool = False) -> Tensor:
    """(1, height, width) of names below one another, white on the grid's grey: in the middle of a `width`, or else as
    wide as they need, from the left or to the right `end`."""
    from PIL import Image, ImageDraw

    texts = [_short(name) for name in names]
    anchor, margin = "mm" if width else "rm" if end else "lm", 6
    width = width or math.ceil(max(map(font.getlength, texts))) + 2 * margin
    sheet = Image.new("L", (width, height), LINE)
    x = {"mm": width / 2, "rm": width - margin, "lm": margin}[anchor]
    for place, text in enumerate(texts):
        ImageDraw.Draw(sheet).text((x, (place + 0.5) * height / len(texts)), text, 255, font, anchor)
    return torch.from_numpy(np.array(sheet))[None]


def save_png(image: Tensor, path: Path, rows: Sequence[str] = ()) -> None:
    """Write one (C, H, W) image as it is stored, uint8 or 16 bits; more channels than a PNG has as they are shown."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    text = PngInfo()
    if rows:
        text.add_text("rows", json.dumps(list(rows)))
    image = image if image.shape[0] in (1, 3, 4) else shown(image[None])[0]
    array = image.cpu().permute(1, 2, 0).contiguous().numpy()
    with whole(path) as partial:
        if array.dtype == np.int16:
            partial.write_bytes(_deep_png((array.astype(np.int32) + 32768).astype(">u2")))
        else:
            Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array).save(
                partial, "PNG", compress_level=3, pnginfo=text
            )


def _deep_png(array: np.ndarray) -> bytes:
    """(H, W, 1, 3 or 4) big-endian numbers of 16 bits as a PNG, which PIL does not write of colours."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    height, width, channels = array.shape
    rows = b"".join(b"\0" + row.tobytes() for row in array)
    head = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 3: 2, 4: 6}[channels], 0, 0, 0)
    parts = [chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(rows, 3)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)

"""Many images as one."""

import json
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import Tensor, nn

from gantool.files import whole
from gantool.images import shown, to_uint8

SIDE, MOST = 512, 4  # a grid's longer side is enlarged to so many pixels at least, but not more than so many times
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
    times = min(MOST, -(-SIDE // max(image.shape[1:])))
    save_png(image.repeat_interleave(times, 1).repeat_interleave(times, 2), path, rows)


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

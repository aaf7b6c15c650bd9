"""Many images as one."""

from pathlib import Path

import torch
from torch import Tensor, nn

from gantool.files import whole

SIDE, MOST = 512, 4  # a grid's longer side is enlarged to so many pixels at least, but not more than so many times
LINE = 64  # grey between the images: tells black digits' edges without drawing the eye


def grid(images: Tensor, columns: int = 8, padding: int = 2) -> Tensor:
    """(C, H', W') uint8 on the CPU from (N, C, H, W), float in [-1, 1] or uint8; filled row by row."""
    images = to_uint8(images.detach()).cpu()
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


def to_uint8(images: Tensor) -> Tensor:
    """0 .. 255 from float in [-1, 1], rounded and clipped; uint8 comes back as it is."""
    if images.dtype == torch.uint8:
        return images
    return ((images.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def save_grid(image: Tensor, path: Path) -> None:
    """Write one (C, H, W) uint8 grid, enlarged by a whole number where it is too small to be looked at."""
    times = min(MOST, -(-SIDE // max(image.shape[1:])))
    save_png(image.repeat_interleave(times, 1).repeat_interleave(times, 2), path)


def save_png(image: Tensor, path: Path) -> None:
    """Write one (C, H, W) uint8 image, C 1 or 3."""
    from PIL import Image

    array = image.cpu().permute(1, 2, 0).contiguous().numpy()
    with whole(path) as partial:
        Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array).save(partial, compress_level=3)

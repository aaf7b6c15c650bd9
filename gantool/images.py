"""Pixels as they are stored (uint8, or int16: 16 bits from 0 to 65535, less 32768), as floats in [-1, 1], and shown."""

import torch
import torch.nn.functional as F
from torch import Tensor

_HALF = 32768


def normalise(images: Tensor) -> Tensor:
    """Stored pixels to float32 in [-1, 1]."""
    if images.dtype == torch.int16:
        return images.float().add_(_HALF).mul_(2 / 65535).sub_(1)
    return images.float().mul_(2 / 255).sub_(1)


def to_uint8(images: Tensor) -> Tensor:
    """0 .. 255 from float in [-1, 1], rounded and clipped, or from 16 bits; uint8 comes back as it is."""
    if images.dtype == torch.uint8:
        return images
    images = normalise(images) if images.dtype == torch.int16 else images
    return ((images.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def to_stored(images: Tensor, bits: int) -> Tensor:
    """Float in [-1, 1] as pixels of 8 or 16 bits."""
    if bits == 8:
        return to_uint8(images)
    return ((images.double() + 1) * 32767.5).round().clamp(0, 65535).sub(_HALF).to(torch.int16)


def colours(images: Tensor) -> Tensor:
    """(N, C, H, W) with 1 or 3 channels: of two the first, of more the first three."""
    return images[:, :1] if images.shape[1] == 2 else images[:, :3]


def shown(images: Tensor) -> Tensor:
    """(N, C, H, W) as people see them, 1 or 3 channels: of four the first three, of other numbers a mosaic."""
    count, channels, height, width = images.shape
    if channels in (1, 3, 4):
        return images[:, :3]
    columns = round(channels**0.5 + 0.49)
    rows = -(-channels // columns)
    padded = F.pad(images, (0, 0, 0, 0, 0, rows * columns - channels))
    tiles = padded.view(count, rows, columns, height, width).transpose(2, 3)
    return tiles.reshape(count, 1, rows * height, columns * width)

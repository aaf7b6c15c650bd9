"""Images zoomed, mirrored, moved and turned, each by its own numbers."""

import torch
import torch.nn.functional as F
from torch import Tensor


def zoom(images: Tensor, size: tuple[int, int], corners: Tensor) -> Tensor:
    """Images (N, C, H, W) enlarged to `size`, bicubic as PIL has it, and cropped at `corners` (N, 2), in pixels from
    the upper left."""
    large = F.interpolate(images.float(), size, mode="bicubic", antialias=True)
    crops = _taken(large, *(_line(images, axis) + corners[:, axis, None] for axis in (0, 1)))
    limits = torch.iinfo(images.dtype)
    return crops.round_().clamp_(limits.min, limits.max).to(images.dtype)


def _line(images: Tensor, axis: int) -> Tensor:
    """The numbers of the rows, or of the columns."""
    return torch.arange(images.shape[2 + axis], device=images.device)


def _taken(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """The pixels of images (N, C, H, W) in `rows` (N, h) and `columns` (N, w): (N, C, h, w)."""
    pixels = (rows[:, :, None] * images.shape[3] + columns[:, None, :]).flatten(1)  # (N, h * w)
    taken = images.flatten(2).gather(2, pixels[:, None].expand(-1, images.shape[1], -1))
    return taken.unflatten(2, (rows.shape[1], columns.shape[1]))


def flip(images: Tensor, chosen: Tensor) -> Tensor:
    """Images (N, C, H, W) mirrored where `chosen` (N,); four times as fast as torch.where for uint8 on a CPU."""
    number = torch.arange(len(images), device=images.device)
    return torch.cat([images, images.flip(3)]).index_select(0, number + len(images) * chosen)


def shift(images: Tensor, offsets: Tensor) -> Tensor:
    """Images (N, C, H, W) padded by reflection and cropped at `offsets` (N, 2) from the centre, in pixels."""
    places = []
    for axis, size in enumerate(images.shape[2:]):
        place = _line(images, axis) + offsets[:, axis, None]
        places.append(size - 1 - (size - 1 - place.abs()).abs())
    return _taken(images, *places)


def rotate(images: Tensor, degrees: Tensor) -> Tensor:
    """Images (N, C, H, W) turned by `degrees` (N,) around their centres, reflecting at the border."""
    angle = degrees.deg2rad()
    zero = torch.zeros_like(angle)
    ratio = images.shape[2] / images.shape[3]  # places go from -1 to 1 both ways, whatever the sides are
    across, down = -angle.sin() * ratio, angle.sin() / ratio
    rows = [torch.stack([angle.cos(), across, zero], 1), torch.stack([down, angle.cos(), zero], 1)]
    grid = F.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)

"""ADA's transformations (Karras 2020, appendix B), each for every image by itself with some chance.

All that is drawn for an image is one row of numbers, and its places and colours change once, by the product of its
transformations written out: on a GPU each operation on so few numbers costs as much as one on the images. Where the
authors resample at twice the size behind a wavelet filter, one bicubic sampling does here, so that what is shrunk is
not filtered.
"""

import math
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import chain
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from gantool.batch import Draws

# A row of numbers, each 0 where nothing happens: two moves, mirror (1), quarter turn, rotations before and after the
# change of aspect, sizes (log2); hue, luma flip (1), light, and contrast and saturation (log2).
GEOMETRY = 10  # of them come first
# The part whose chance each has, once for the two numbers of a move, and its spread; those of 0 are uniform.
OWNERS = (*("blit", "geometry", "blit", "blit"), *4 * ["geometry"], *5 * ["color"])
ROTATIONS = (4, 5)  # of the chances: so that either of the two happens with `chance`


def draw(draws: Draws, p: Tensor, policy: Mapping[str, float], height: int, width: int) -> Tensor:
    """(N, 15) numbers for images of these sides, of parts that happen with probability `p` times their share in
    `policy`. A move is by a part of the side along which it goes, in units of half the longer one."""
    shares = [policy.get(part, 0.0) for part in OWNERS]
    exponents = [0.5 if place in ROTATIONS else 1.0 for place in range(len(OWNERS))]
    # Uniform: a move in whole pixels, mirror, quarter turn, luma flip, to be rounded; two rotations, hue.
    slopes, starts = [width / 4, height / 4, 2, 4, 2, 2, 2, 2], [-width / 8, -height / 8, -0.5, -0.5, -0.5, -1, -1, -1]
    long = max(height, width)
    moves = [2 / long, 2 / long, 0.25 * width / long, 0.25 * height / long]
    factors = [*moves, 1, math.pi / 2, math.pi, math.pi, 0.2, 0.2, math.pi, 1, 0.2, 0.5, 1]
    lists = (shares, exponents, slopes, starts, factors)
    constants = on_device([*chain(*lists)], p.device).split([len(part) for part in lists])
    share, exponent, slope, start, factor = constants
    uniform, normal = draws.rand(len(OWNERS) + len(slopes)), draws.randn(len(factors) - len(slopes))
    chances, uniform = uniform.split([len(OWNERS), len(slopes)], 1)
    happens = chances < 1 - (1 - p * share) ** exponent
    uniform = torch.addcmul(start, uniform, slope)
    uniform[:, :5].round_()
    moves, mirrors, luma, angles, hue = uniform.split([2, 2, 1, 2, 1], 1)
    numbers = torch.cat([moves, normal[:, :2], mirrors, angles, normal[:, 2:4], hue, luma, normal[:, 4:]], 1)
    return numbers * factor * torch.cat([happens[:, :1], happens[:, :2], happens[:, 1:]], 1)


def on_device(numbers: Sequence[float], device: torch.device) -> Tensor:
    """(N,) float32, put there once: nothing waits for it, and a graph of an update needs no copy."""
    return _on_device(tuple(numbers), device)


@cache  # all are kept: a graph goes on reading where they lie
def _on_device(numbers: tuple[float, ...], device: torch.device) -> Tensor:
    return torch.tensor(numbers).to(device, non_blocking=True)


def turn(angle: Tensor) -> Tensor:
    """(...) -> (..., 2, 2) rotations."""
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([cos, -sin, sin, cos], -1).unflatten(-1, (2, 2))


def geometry(numbers: Tensor) -> Tensor:
    """(N, 10) -> (N, 2, 3) from a place in the result, (x, y, 1) with x and y from -1 to 1, to that in the image:
    mirror @ quarter turn @ first move @ size @ rotation @ aspect @ rotation @ second move."""
    moves, mirror, quarter, before, after, size, aspect = numbers.split([4, 1, 1, 1, 1, 1, 1], 1)
    first, second, last = turn(torch.cat([quarter, quarter + before, after], 1)).unbind(1)
    scales = torch.cat([size + aspect, size - aspect], 1).exp2()
    whole = joined(second * scales[:, None], last)
    moved = torch.stack([first, whole], 1) * moves.view(-1, 2, 1, 2)
    back = torch.cat([whole, moved.sum((1, 3))[..., None]], 2)
    back[:, 0].mul_(1 - 2 * mirror)
    return back


def joined(a: Tensor, b: Tensor) -> Tensor:
    """The product of (N, 2, 2) matrices, which no TF32 rounds."""
    return (a[..., None] * b[:, None]).sum(2)


def resample(images: Tensor, back: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, C, H, W), from where `back` (N, 2, 3) says, in units of half the longer side, mirrored at the
    border."""
    grid = F.affine_grid(proportioned(back, images), list(images.shape), align_corners=False)
    return _Sampled.apply(images, grid)


def proportioned(back: Tensor, images: Tensor) -> Tensor:
    """(N, 2, 3) in units of half the longer side, where turns keep shapes, as places from -1 to 1 on either side."""
    height, width = images.shape[2:]
    if height == width:
        return back
    long = max(height, width)
    sides = on_device([1, height / width, long / width, width / height, 1, long / height], back.device)
    return back * sides.view(2, 3)


class _Sampled(torch.autograd.Function):
    """Bicubic sampling, linear in the images: unlike torch's own, it can be differentiated by them twice."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, grid: Tensor) -> Tensor:
        ctx.save_for_backward(grid)
        ctx.shape = images.shape
        return F.grid_sample(images, grid, mode="bicubic", padding_mode="reflection", align_corners=False)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _Spread.apply(gradient, *ctx.saved_tensors, ctx.shape), None


class _Spread(torch.autograd.Function):
    """The transpose of _Sampled: each pixel of the result goes back to where it was read."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, grid: Tensor, shape: torch.Size) -> Tensor:
        ctx.save_for_backward(grid)
        any_images, bicubic, reflection = gradient.new_zeros(shape), 2, 2
        spread = torch.ops.aten.grid_sampler_2d_backward
        return spread(gradient, any_images, grid, bicubic, reflection, False, [True, False])[0]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return _Sampled.apply(gradient, *ctx.saved_tensors), None, None


def recolor(images: Tensor, numbers: Tensor) -> Tensor:
    """(N, C, H, W), (N, 5) -> (N, C, H, W): light is added, contrast multiplies; then the grey part changes its sign
    under a luma flip, and the rest turns about the line of greys by the hue and moves from it by the saturation.

    One channel is grey; other numbers than 1 and 3 are no colours, and stay.
    """
    if images.shape[1] not in (1, 3):
        return images
    hue, luma, light, contrast, saturation = numbers[:, :, None, None].unbind(1)
    whole, rest = torch.stack([contrast, contrast + saturation]).exp2()
    grey = whole * (1 - 2 * luma)
    if images.shape[1] == 1:
        return torch.addcmul((grey * light)[..., None], images, grey[..., None])
    third = 2 * math.pi / 3
    thirds = on_device([0, third, -third, -third, 0, third, third, -third, 0], hue.device).view(3, 3)
    mix = torch.addcmul(grey / 3, rest, (hue + thirds).cos(), value=2 / 3)  # (N, 3, 3)
    return torch.baddbmm(grey * light, mix, images.flatten(2)).view_as(images)


def cutout(images: Tensor, draws: Draws, chance: Tensor) -> Tensor:
    """(N, C, H, W) with a box of half the size set to zero, which may reach over the border."""
    row, column, happens = draws.rand(3).split(1, 1)
    places = ((torch.arange(size, device=images.device) + 0.5) / size for size in images.shape[2:])
    rows, columns = ((place - centre).abs() < 0.25 for place, centre in zip(places, (row, column), strict=True))
    return images * ~(rows[:, :, None] & columns[:, None, :] & (happens < chance)[:, :, None])[:, None]


def only(chosen: Tensor, changed: Tensor, images: Tensor) -> Tensor:
    """Images (N, C, H, W), bit for bit the same but for those `chosen` (N,)."""
    return torch.where(chosen[:, None, None, None], changed, images)

"""ADA's transformations (Karras 2020, appendix B), each for every image by itself with some chance.

Places are (x, y, 1) with x and y from -1 to 1, colours (r, g, b, 1); both are changed by the product of matrices. Where
the authors resample at twice the size behind a wavelet filter, one bicubic sampling does here, so that what is shrunk
is not filtered.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from gantool.batch import Draws


def sometimes(draws: Draws, chance: Tensor, value: Tensor, otherwise: float) -> Tensor:
    """(N,) `value` with probability `chance`."""
    return torch.where(draws.rand() < chance, value, otherwise)


def matrix(*rows: tuple[Tensor | float, ...]) -> Tensor:
    """(N, k, k) from k rows of k numbers or (N,) tensors."""
    like = next(entry for row in rows for entry in row if isinstance(entry, Tensor))
    full = [[entry if isinstance(entry, Tensor) else torch.full_like(like, entry) for entry in row] for row in rows]
    return torch.stack([torch.stack(row, -1) for row in full], -2)


def scale(x: Tensor, y: Tensor | float) -> Tensor:
    """(N, 3, 3)."""
    return matrix((x, 0, 0), (0, y, 0), (0, 0, 1))


def rotate(angle: Tensor) -> Tensor:
    """(N, 3, 3)."""
    cos, sin = angle.cos(), angle.sin()
    return matrix((cos, -sin, 0), (sin, cos, 0), (0, 0, 1))


def translate(x: Tensor, y: Tensor) -> Tensor:
    """(N, 3, 3)."""
    return matrix((1, 0, x), (0, 1, y), (0, 0, 1))


def blit(draws: Draws, chance: Tensor, size: int) -> Tensor:
    """(N, 3, 3) from a place in the result to that in the image: mirror, quarter turns, moves by whole pixels."""
    flip = sometimes(draws, chance, 1.0 - 2 * draws.randint(2), 1.0)
    turns = sometimes(draws, chance, draws.randint(4).float(), 0.0)
    moves = draws.rand() < chance
    x, y = (torch.where(moves, 2 / size * ((2 * draws.rand() - 1) * size / 8).round(), 0.0) for _ in range(2))
    return scale(flip, 1) @ rotate(math.pi / 2 * turns) @ translate(x, y)


def warp(draws: Draws, chance: Tensor) -> Tensor:
    """(N, 3, 3) from a place in the result to that in the image: size, rotation, aspect, rotation, place."""
    before_or_after = 1 - (1 - chance).sqrt()  # so that either rotation happens with `chance`
    size = sometimes(draws, chance, torch.exp2(0.2 * draws.randn()), 1.0)
    before, after = (sometimes(draws, before_or_after, math.pi * (2 * draws.rand() - 1), 0.0) for _ in range(2))
    aspect = sometimes(draws, chance, torch.exp2(0.2 * draws.randn()), 1.0)
    moves = draws.rand() < chance
    x, y = (torch.where(moves, 2 * 0.125 * draws.randn(), 0.0) for _ in range(2))
    return scale(size, size) @ rotate(before) @ scale(aspect, 1 / aspect) @ rotate(after) @ translate(x, y)


def resample(images: Tensor, back: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, C, H, W), from where `back` says, in units of half the longer side, mirrored at the border;
    the identity changes no bit."""
    grid = F.affine_grid(proportioned(back, images)[:, :2], list(images.shape), align_corners=False)
    moved = _Sampled.apply(images, grid)
    return torch.where(differs(back)[:, None, None, None], moved, images)


def proportioned(back: Tensor, images: Tensor) -> Tensor:
    """(N, 3, 3) in units of half the longer side, where turns keep shapes, as places from -1 to 1 on either side."""
    height, width = images.shape[2:]
    if height == width:
        return back
    sides = back.new_tensor([width, height, max(height, width)]) / max(height, width)
    return back * sides / sides[:, None]


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


def identity(like: Tensor, size: int = 4) -> Tensor:
    """(size, size)."""
    return torch.eye(size, dtype=like.dtype, device=like.device)


def greys(like: Tensor) -> Tensor:
    """(4, 4) projection on the line of greys."""
    luma = like.new_tensor([1.0, 1.0, 1.0, 0.0])
    return torch.outer(luma, luma) / 3


def flip_luma(flip: Tensor) -> Tensor:
    """(N, 4, 4): where `flip` is 1, light becomes dark and hues stay."""
    return identity(flip) - 2 * flip[:, None, None] * greys(flip)


def turn_hue(angle: Tensor) -> Tensor:
    """(N, 4, 4): colours turn about the line of greys (Rodrigues' formula)."""
    along, eye, a = greys(angle), identity(angle), 1 / math.sqrt(3)
    cross = angle.new_tensor([[0, -a, a, 0], [a, 0, -a, 0], [-a, a, 0, 0], [0, 0, 0, 0]])
    along[3, 3] = 1
    angle = angle[:, None, None]
    return along + angle.cos() * (eye - along) + angle.sin() * cross


def stretch_saturation(factor: Tensor) -> Tensor:
    """(N, 4, 4): colours move away from the line of greys, or to it."""
    along, eye = greys(factor), identity(factor)
    along[3, 3] = 1
    return along + factor[:, None, None] * (eye - along)


def shade(light: Tensor, contrast: Tensor) -> Tensor:
    """(N, 4, 4): `light` is added, then all is multiplied by `contrast`."""
    c, b = contrast, contrast * light
    return matrix((c, 0, 0, b), (0, c, 0, b), (0, 0, c, b), (0, 0, 0, 1))


def color(draws: Draws, chance: Tensor) -> Tensor:
    """(N, 4, 4) from a colour in the image to that in the result: brightness, contrast, luma flip, hue, saturation."""
    light = sometimes(draws, chance, 0.2 * draws.randn(), 0.0)
    contrast = sometimes(draws, chance, torch.exp2(0.5 * draws.randn()), 1.0)
    flip = sometimes(draws, chance, draws.randint(2).float(), 0.0)
    angle = sometimes(draws, chance, math.pi * (2 * draws.rand() - 1), 0.0)
    factor = sometimes(draws, chance, torch.exp2(draws.randn()), 1.0)
    return stretch_saturation(factor) @ turn_hue(angle) @ flip_luma(flip) @ shade(light, contrast)


def recolor(images: Tensor, change: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, C, H, W); one channel counts as grey, which no hue or saturation changes; other numbers than
    1 and 3 are no colours, and stay."""
    if images.shape[1] not in (1, 3):
        return images
    pixels = images.expand(-1, 3, -1, -1).flatten(2)
    changed = change[:, :3, :3] @ pixels + change[:, :3, 3:]
    changed = changed.unflatten(2, images.shape[2:])[:, : images.shape[1]]
    return torch.where(differs(change)[:, None, None, None], changed, images)


def cutout(images: Tensor, draws: Draws, chance: Tensor) -> Tensor:
    """(N, C, H, W) with a box of half the size set to zero, which may reach over the border."""
    places = ((torch.arange(size, device=images.device) + 0.5) / size for size in images.shape[2:])
    rows, columns = ((place - draws.rand(1)).abs() < 0.25 for place in places)  # (N, H), (N, W)
    happens = (draws.rand() < chance)[:, None, None]
    return images * ~(rows[:, :, None] & columns[:, None, :] & happens)[:, None]


def differs(change: Tensor) -> Tensor:
    """(N,) whether each (k, k) matrix is another than the identity."""
    return (change != identity(change, change.shape[-1])).flatten(1).any(1)

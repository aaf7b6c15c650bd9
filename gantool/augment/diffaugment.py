"""DiffAugment (Zhao 2020): the same differentiable augmentation of real and fake images, in every turn."""

from collections.abc import Sequence

import torch
from torch import Tensor

from gantool.batch import Draws
from gantool.errors import check_choice
from gantool.game import Augment


class DiffAugment(Augment):
    """Augments images (N, C, H, W) in [-1, 1] by the parts of `policy` in order; an empty policy changes nothing.

    'color', of one channel or three: brightness by up to 0.5 either way, saturation times 0 to 2, contrast times 0.5 to
    1.5. 'translation': by up to an eighth of the size, zeros moving in. 'cutout': a square of half the size set to
    zero.
    Beside the paper's, 'mirror': left and right change places in half of the images.
    """

    def __init__(self, policy: Sequence[str] = ("color", "translation", "cutout")) -> None:
        for part in policy:
            check_choice("augment.policy", part, PARTS)
        self.policy = list(policy)

    def __call__(self, images: Tensor, draws: Draws) -> Tensor:
        for part in self.policy:
            images = PARTS[part](images, draws)
        return images


def _color(images: Tensor, draws: Draws) -> Tensor:
    if images.shape[1] not in (1, 3):
        return images  # no colours
    brightness, saturation, contrast = draws.rand(3, 1, 1, 1).unbind(1)
    images = images + (brightness - 0.5)
    grey = images.mean(1, keepdim=True)
    images = (images - grey) * (saturation * 2) + grey
    mean = images.mean((1, 2, 3), keepdim=True)
    return (images - mean) * (contrast + 0.5) + mean


def _translation(images: Tensor, draws: Draws, ratio: float = 0.125) -> Tensor:
    height, width = images.shape[2:]
    rows, columns = _moved(height, draws, ratio)[:, :, None], _moved(width, draws, ratio)[:, None, :]
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)  # (N, H, W)
    # Going round instead of clamping: no pixel is read twice, so the backward pass is deterministic.
    place = (rows % height * width + columns % width).flatten(1)[:, None].expand(-1, images.shape[1], -1)
    return images.flatten(2).gather(2, place).view_as(images) * inside[:, None]


def _moved(size: int, draws: Draws, ratio: float) -> Tensor:
    """(N, size) where each row or column comes from, outside 0 .. size - 1 for what moves in."""
    reach = int(size * ratio + 0.5)
    return torch.arange(size, device=draws.device) + draws.randint(2 * reach + 1, 1) - reach


def _cutout(images: Tensor, draws: Draws, ratio: float = 0.5) -> Tensor:
    inside = []
    for axis in (2, 3):
        size = images.shape[axis]
        length = int(size * ratio + 0.5)
        # Centres reach the border, as in the paper's code.
        start = draws.randint(size + 1 - length % 2, 1) - length // 2
        place = torch.arange(size, device=images.device)
        inside.append((place >= start) & (place < start + length))  # (N, size)
    return images * ~(inside[0][:, None, :, None] & inside[1][:, None, None, :])


def _mirror(images: Tensor, draws: Draws) -> Tensor:
    return torch.where(draws.rand(1, 1, 1) < 0.5, images.flip(3), images)


PARTS = {"mirror": _mirror, "color": _color, "translation": _translation, "cutout": _cutout}

"""DCGAN (Radford, Metz & Chintala 2016): convolutional networks for 32, 64 and 128 pixels.

Follows the authors' Torch code: width 64, the widest layer at 4x4, no norm beside the image, ReLU in the generator,
LeakyReLU 0.2 in the discriminator, every weight drawn from N(0, 0.02).
"""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from gantool.errors import check_choice
from gantool.networks.activations import LeakyReLU
from gantool.networks.layers import (
    DoublingConv2d,
    FromPixel,
    HeadedDiscriminator,
    LabelledLatent,
    LabelPlane,
    MinibatchStd,
    Projection,
    SelfAttention,
    ToPixel,
    check_attention,
    chosen_condition,
    finish,
)
from gantool.networks.norms import BIASED, NORMS, norm_2d
from gantool.shapes import Resolution, first_map

UPSAMPLES = ("transposed", "nearest", "pixelshuffle")


def level_widths(resolution: Resolution, width: int) -> tuple[list[int], tuple[int, int]]:
    """Channels after each doubling, [width * 4, width * 2, width] for 32 pixels, and the first map, 4x4.

    Raises GantoolError for a resolution other than 32, 64, 128 and rectangles (shapes.py).
    """
    levels, first = first_map(resolution, "dcgan", range(3, 6))
    return [width * 2**level for level in reversed(range(levels))], first


def upsample(kind: str, c_in: int, c_out: int, *, bias: bool) -> nn.Module:
    """Doubles the sides: (N, c_in, H, W) -> (N, c_out, 2H, 2W)."""
    if kind == "transposed":
        return nn.ConvTranspose2d(c_in, c_out, 4, 2, 1, bias=bias)
    if kind == "nearest":
        return nn.Sequential(nn.Identity(), DoublingConv2d(c_in, c_out, bias=bias))  # as checkpoints name it
    return nn.Sequential(nn.Conv2d(c_in, 4 * c_out, 3, 1, 1, bias=bias), nn.PixelShuffle(2))  # Shi 2016


def attend(channels: int, side: int, attention: int | None) -> list[nn.Module]:
    """Self-attention if maps of `side` pixels are the ones that are to have it."""
    return [SelfAttention(channels)] if side == attention else []


class Generator(nn.Module):
    """Latent -> image. `norm`: batch, layer, instance, spectral or none; `upsampling`: transposed, nearest or
    pixelshuffle; `attention`: self-attention (Zhang 2019) on maps of so many pixels, such as 16."""

    def __init__(
        self,
        *,
        latent_dim: int,
        resolution: Resolution,
        channels: int,
        num_classes: int = 0,
        width: int = 64,
        norm: str = "batch",
        upsampling: str = "transposed",
        attention: int | None = None,
    ) -> None:
        super().__init__()
        check_choice("model.generator.norm", norm, NORMS)
        check_choice("model.generator.upsampling", upsampling, UPSAMPLES)
        widths, first = level_widths(resolution, width)
        sides = [min(first) << level for level in range(len(widths))]
        check_attention("model.generator.attention", attention, sides)
        bias = norm in BIASED
        self.latent = LabelledLatent(latent_dim, num_classes)
        layers = [
            FromPixel(self.latent.dim, widths[0], first, bias=bias),
            norm_2d(norm, widths[0]),
            nn.ReLU(inplace=True),
            *attend(widths[0], sides[0], attention),
        ]
        for (c_in, c_out), side in zip(pairwise(widths), sides[1:], strict=True):
            layers += [upsample(upsampling, c_in, c_out, bias=bias), norm_2d(norm, c_out), nn.ReLU(inplace=True)]
            layers += attend(c_out, side, attention)
        self.layers = nn.Sequential(*layers, upsample(upsampling, widths[-1], channels, bias=True))
        finish(self, norm)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """(N, latent_dim), (N,) -> (N, C, R, R) float32 in [-1, 1]."""
        return torch.tanh(self.layers(self.latent(z, labels)[:, :, None, None]).float())


class Discriminator(HeadedDiscriminator):
    """Image -> raw score. `norm` and `attention` as in the generator; `condition`: how it is told the label: projection
    (Miyato & Koyama 2018), concat (Mirza 2014) or none, by default projection where there are classes; `minibatch_std`
    images share the standard deviation appended to the last maps; 0: none."""

    def __init__(
        self,
        *,
        resolution: Resolution,
        channels: int,
        num_classes: int = 0,
        width: int = 64,
        norm: str = "batch",
        condition: str | None = None,
        attention: int | None = None,
        minibatch_std: int = 0,
    ) -> None:
        super().__init__()
        check_choice("model.discriminator.norm", norm, NORMS)
        condition = chosen_condition(condition, num_classes)
        widths, self.last_map = level_widths(resolution, width)
        widths = widths[::-1]
        sides = [min(self.last_map) << level for level in reversed(range(len(widths)))]
        check_attention("model.discriminator.attention", attention, sides)
        bias = norm in BIASED
        self.sees_label = concat = condition == "concat"
        self.label_plane = LabelPlane(resolution, num_classes) if concat else None
        layers: list[nn.Module] = [nn.Conv2d(channels + concat, widths[0], 4, 2, 1), LeakyReLU(0.2)]
        layers += attend(widths[0], sides[0], attention)
        for (c_in, c_out), side in zip(pairwise(widths), sides[1:], strict=True):
            layers += [
                nn.Conv2d(c_in, c_out, 4, 2, 1, bias=bias),
                norm_2d(norm, c_out),
                LeakyReLU(0.2),
                *attend(c_out, side, attention),
            ]
        self.layers = nn.Sequential(*layers, *([MinibatchStd(minibatch_std)] if minibatch_std else []))
        last = widths[-1] + bool(minibatch_std)
        self.head = ToPixel(last, 1, self.last_map)
        self.feature_dim = last * math.prod(self.last_map)
        self.projection = Projection(last, num_classes) if condition == "projection" else None
        finish(self, norm)

    def features(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """The last maps."""
        if self.label_plane is not None:
            images = self.label_plane(images, labels)
        return self.layers(images).flatten(1)

    def score(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        maps = features.unflatten(1, (-1, *self.last_map))
        score = self.head(maps).flatten(1)
        if self.projection is not None:
            score = score + self.projection(maps.sum((2, 3)), labels)
        return score.float()

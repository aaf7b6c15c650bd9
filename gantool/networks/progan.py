"""ProGAN (Karras 2018): networks that hold all their blocks from the start and use those of their `stage`."""

import math
from itertools import pairwise
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gantool.hosted import staying
from gantool.networks.activations import rectified
from gantool.networks.layers import HeadedDiscriminator, LabelledLatent, MinibatchStd, Projection
from gantool.shapes import Resolution, first_map

LEVELS = range(12)  # doublings of the first map


def level_widths(resolution: Resolution, width: int) -> tuple[list[int], tuple[int, int]]:
    """Channels at 4x4, 8x8, ...: `width` up to 32x32, then halved at each doubling; and the first map, 4x4."""
    levels, first = first_map(resolution, "progan", LEVELS)
    return [max(1, width >> max(0, level - 3)) for level in range(levels + 1)], first


class Scaled(nn.Module):
    """A convolution (`size` 0: a linear layer) of N(0, 1) weights scaled by gain / sqrt(fan in) at run time."""

    def __init__(self, c_in: int, c_out: int, size: int = 3, gain: float = math.sqrt(2)) -> None:
        super().__init__()
        shape = (c_out, c_in, size, size) if size else (c_out, c_in)
        self.weight, self.bias = nn.Parameter(torch.randn(shape)), nn.Parameter(torch.zeros(c_out))
        self.scale, self.size = gain / math.sqrt(c_in * max(size, 1) ** 2), size

    def forward(self, x: Tensor) -> Tensor:
        """(N, c_in, H, W) -> (N, c_out, H, W), or (N, c_in) -> (N, c_out)."""
        weight = self.weight * self.scale
        return F.conv2d(x, weight, self.bias, padding=self.size // 2) if self.size else F.linear(x, weight, self.bias)


def pixel_norm(x: Tensor) -> Tensor:
    """Divides each pixel's features (dimension 1) by their root mean square, in float32."""
    return x * torch.rsqrt(x.float().square().mean(1, keepdim=True) + 1e-8).to(x.dtype)


class Generator(nn.Module):
    """Latent -> image at the resolution of `stage`. No tanh: the paper's output is linear, so it is clamped only in
    evaluation mode, where gradients are not wanted."""

    stage: Tensor

    def __init__(
        self, *, latent_dim: int, resolution: Resolution, channels: int, num_classes: int = 0, width: int = 64
    ) -> None:
        super().__init__()
        widths, self.map = level_widths(resolution, width)
        self.latent = LabelledLatent(latent_dim, num_classes)
        self.first = Scaled(self.latent.dim, widths[0] * math.prod(self.map), 0, math.sqrt(2) / 4)
        self.blocks = nn.ModuleList(
            nn.ModuleList([Scaled(c_in, c), Scaled(c, c)] if level else [Scaled(c, c)])
            for level, (c_in, c) in enumerate(zip([0, *widths], widths, strict=False))
        )
        self.images = nn.ModuleList(Scaled(c, channels, 1, 1.0) for c in widths)
        self.register_buffer("stage", torch.tensor(float(len(widths) - 1)))

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        with staying(self, "stage"):
            return super()._apply(fn, recurse)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """(N, latent_dim), (N,) -> (N, C, r, r) float32; in [-1, 1] in evaluation mode."""
        stage = float(self.stage)
        low, high = math.floor(stage), math.ceil(stage)
        x = self.first(pixel_norm(self.latent(z, labels))).unflatten(1, (-1, *self.map))
        x = coarse = pixel_norm(F.leaky_relu(x, 0.2))
        for level in range(high + 1):
            coarse = x
            if level:
                x = F.interpolate(x, scale_factor=2.0)
            for layer in self.blocks[level].children():
                x = pixel_norm(F.leaky_relu(layer(x), 0.2))
        image = self.images[high](x).float()
        if high > low:
            before = F.interpolate(self.images[low](coarse).float(), scale_factor=2.0)
            image = before + (stage - low) * (image - before)
        return image if self.training else image.clamp(-1, 1)


class Discriminator(HeadedDiscriminator):
    """Image at the resolution of `stage` -> raw score. Minibatch standard deviation mixes the images of a group of
    `minibatch_std` (0: none), though the gradient penalty is meant for scores of single images; the paper uses both all
    the same."""

    stage: Tensor

    def __init__(
        self, *, resolution: Resolution, channels: int, num_classes: int = 0, width: int = 64, minibatch_std: int = 4
    ) -> None:
        super().__init__()
        widths, last = level_widths(resolution, width)
        self.images = nn.ModuleList(Scaled(channels, c, 1) for c in widths)
        self.blocks = nn.ModuleList(nn.ModuleList([Scaled(c, c), Scaled(c, c_out)]) for c_out, c in pairwise(widths))
        self.std = MinibatchStd(minibatch_std) if minibatch_std else nn.Identity()
        self.conv = Scaled(widths[0] + bool(minibatch_std), widths[0])
        self.dense = Scaled(widths[0] * math.prod(last), widths[0], 0)
        self.head = Scaled(widths[0], 1, 0, 1.0)
        self.feature_dim = widths[0]
        self.projection = Projection(widths[0], num_classes) if num_classes else None
        self.register_buffer("stage", torch.tensor(float(len(widths) - 1)))

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        with staying(self, "stage"):
            return super()._apply(fn, recurse)

    def features(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """(N, C, r, r), (N,) -> (N, feature_dim)."""
        stage = float(self.stage)
        low, high = math.floor(stage), math.ceil(stage)
        x = rectified(self.images[high](images), 0.2)
        for level in range(high, 0, -1):
            for layer in self.blocks[level - 1].children():
                x = rectified(layer(x), 0.2)
            x = F.avg_pool2d(x, 2)
            if level == high > low:
                before = rectified(self.images[low](F.avg_pool2d(images, 2)), 0.2)
                x = before + (stage - low) * (x - before)
        x = rectified(self.conv(self.std(x)), 0.2)
        return rectified(self.dense(x.flatten(1)), 0.2)

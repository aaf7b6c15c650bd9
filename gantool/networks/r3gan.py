"""R3GAN (Huang 2024, arXiv 2501.05441): residual networks without normalisation, for 4, 8, 16, ... pixels.

Follows the authors' code. Blocks are a 1x1, a grouped 3x3 (16 channels a group) and a 1x1 convolution, twice as wide
inside, with LeakyReLU 0.2 between. Weights start as N(0, gain / sqrt(fan in)); as in Fixup (Zhang 2019) the gain of a
block's first two convolutions falls with the number of blocks, and its last one starts at zero. Resampling is by the
filter (1, 3, 3, 1), zeros outside. The generator starts from a learnt 4x4 basis that the latent scales by channel, the
discriminator ends in a weighted sum over each channel's 4x4. Images have no tanh: clamped only in evaluation mode.
"""

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gantool.errors import GantoolError
from gantool.networks.activations import LeakyReLU
from gantool.networks.layers import HeadedDiscriminator, LabelTable, Projection, chosen_condition
from gantool.shapes import Resolution, first_map

CONDITIONS = ("projection", "none")
SLOPE = 0.2
GAIN = math.sqrt(2 / (1 + SLOPE**2))  # keeps the variance of what passes a LeakyReLU
LEVELS = range(12)  # doublings of the first map
PER_GROUP = 16  # channels of a group


def level_widths(resolution: Resolution, width: int, full_until: int) -> list[int]:
    """Channels at 4x4, 8x8, ...: `width` up to `full_until` pixels, then halved at each doubling.

    Raises GantoolError for a resolution that is no power of two and no rectangle of shapes.py, and for channels that
    cannot be put in groups.
    """
    levels, _ = first_map(resolution, "r3gan", LEVELS)
    widths = [width * full_until // max(full_until, 4 << level) for level in range(levels + 1)]
    if any(2 * channels > PER_GROUP and 2 * channels % PER_GROUP for channels in widths) or not all(widths):
        raise GantoolError(f"model.*.width={width}: the channels of each level, {widths}, should be multiples of 8")
    return widths


@torch.no_grad()
def scaled(layer: nn.Conv2d | nn.Linear, gain: float = 1.0) -> nn.Module:
    """`layer` with weights N(0, gain / sqrt(fan in)) and biases 0 (He 2015)."""
    layer.weight.normal_(0, gain / math.sqrt(layer.weight[0].numel()))
    if layer.bias is not None:
        layer.bias.zero_()
    return layer


class Block(nn.Module):
    """Adds 1x1, grouped 3x3, 1x1 convolutions of the features to them; `depth` blocks are in the whole network."""

    def __init__(self, channels: int, depth: int) -> None:
        super().__init__()
        wide, gain = 2 * channels, GAIN * depth**-0.25
        groups = max(1, wide // PER_GROUP)
        self.layers = nn.Sequential(
            scaled(nn.Conv2d(channels, wide, 1), gain),
            LeakyReLU(SLOPE),
            scaled(nn.Conv2d(wide, wide, 3, 1, 1, groups=groups), gain),
            LeakyReLU(SLOPE),
            scaled(nn.Conv2d(wide, channels, 1, bias=False), 0.0),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) -> (N, channels, H, W)."""
        return x + self.layers(x)


class Upsample(nn.Module):
    """Doubles the sides with the filter (1, 3, 3, 1) in both directions, zeros outside."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, 2H, 2W)."""
        x = F.interpolate(F.pad(x, [1] * 4), scale_factor=2.0, mode="bilinear")  # a transposed convolution is slow
        return x[:, :, 2:-2, 2:-2]


class Downsample(nn.Module):
    """Halves the sides with the filter (1, 3, 3, 1) in both directions, zeros outside."""

    kernel: Tensor

    def __init__(self) -> None:
        super().__init__()
        taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
        self.register_buffer("kernel", (taps[:, None] * taps)[None, None], persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H/2, W/2)."""
        channels = x.shape[1]
        with torch.autocast(x.device.type, enabled=False):  # a CPU is slow at such convolutions in bfloat16
            kernel = self.kernel.expand(channels, 1, 4, 4)
            return F.conv2d(x.float(), kernel, stride=2, padding=1, groups=channels).to(x.dtype)


def change_channels(c_in: int, c_out: int) -> nn.Module:
    """A 1x1 convolution where the numbers of channels differ."""
    return scaled(nn.Conv2d(c_in, c_out, 1, bias=False)) if c_in != c_out else nn.Identity()


class Generator(nn.Module):
    """Latent -> image."""

    def __init__(
        self,
        *,
        latent_dim: int,
        resolution: Resolution,
        channels: int,
        num_classes: int = 0,
        width: int = 768,
        full_until: int = 32,
        blocks: int = 2,
    ) -> None:
        super().__init__()
        widths = level_widths(resolution, width, full_until)
        depth = blocks * len(widths)
        self.embed = LabelTable(num_classes, latent_dim) if num_classes else None
        if self.embed is not None:
            nn.init.normal_(self.embed.weight, 0, num_classes**-0.5)
        self.basis = nn.Parameter(torch.randn(widths[0], *first_map(resolution, "r3gan", LEVELS)[1]))
        self.scale = scaled(nn.Linear(latent_dim * (2 if num_classes else 1), widths[0], bias=False))
        layers: list[nn.Module] = [Block(widths[0], depth) for _ in range(blocks)]
        for c_in, c_out in pairwise(widths):
            layers += [change_channels(c_in, c_out), Upsample(), *(Block(c_out, depth) for _ in range(blocks))]
        self.layers = nn.Sequential(*layers, scaled(nn.Conv2d(widths[-1], channels, 1, bias=False)))

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """(N, latent_dim), (N,) -> (N, C, R, R) float32; in [-1, 1] in evaluation mode."""
        if self.embed is not None:
            z = torch.cat([z, self.embed(labels)], 1)
        image = self.layers(self.basis * self.scale(z)[:, :, None, None]).float()
        return image if self.training else image.clamp(-1, 1)


class Discriminator(HeadedDiscriminator):
    """Image -> raw score. With `condition` projection the score is the inner product of features and the label's
    embedding alone, unlike in Miyato & Koyama 2018."""

    def __init__(
        self,
        *,
        resolution: Resolution,
        channels: int,
        num_classes: int = 0,
        width: int = 768,
        full_until: int = 32,
        blocks: int = 2,
        condition: str | None = None,
    ) -> None:
        super().__init__()
        condition = chosen_condition(condition, num_classes, CONDITIONS)
        widths = level_widths(resolution, width, full_until)[::-1]
        depth = blocks * len(widths)
        layers: list[nn.Module] = [scaled(nn.Conv2d(channels, widths[0], 1, bias=False))]
        for c_in, c_out in pairwise(widths):
            layers += [*(Block(c_in, depth) for _ in range(blocks)), Downsample(), change_channels(c_in, c_out)]
        last = widths[-1]
        layers += [Block(last, depth) for _ in range(blocks)]
        self.layers = nn.Sequential(*layers)
        self.basis = nn.Parameter(torch.randn(last, *first_map(resolution, "r3gan", LEVELS)[1]) / 4)
        self.feature_dim = last
        self.projection = Projection(last, num_classes) if condition == "projection" else None
        self.head = scaled(nn.Linear(last, 1 if self.projection is None else last, bias=False))
        if self.projection is not None:
            nn.init.normal_(self.projection.embed.weight, 0, (num_classes * last) ** -0.5)

    def features(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return (self.layers(images) * self.basis).sum((2, 3))

    def score(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        score = self.head(features)
        return (score if self.projection is None else self.projection(score, labels)).float()

"""Residual networks of SNGAN (Miyato 2018, tables 3 and 4) and WGAN-GP (Gulrajani 2017): 32, 64 and 128 pixels.

BigGAN's discriminator is this one in its `layout`, with width 64 or 96 and `attention`, which is SAGAN's (Zhang 2019).

SNGAN at 32 pixels has width 64 in the generator (256 channels throughout) and 32 in the discriminator (128); at 64 and
128 pixels 64 in both. The 1x1 shortcuts are convolved where the image is smallest, which commutes with nearest
upsampling and average pooling.
"""

import math
from collections.abc import Callable
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gantool.errors import GantoolError, check_choice
from gantool.networks.activations import rectified
from gantool.networks.conditional import ConditionalBatchNorm, PlainNorm
from gantool.networks.layers import (
    DoublingConv2d,
    HalvingConv2d,
    HeadedDiscriminator,
    LabelTable,
    MinibatchStd,
    Projection,
    SelfAttention,
    apply_spectral_norm,
    check_attention,
    chosen_condition,
)
from gantool.networks.norms import NORMS, norm_2d
from gantool.shapes import Resolution, first_map
from gantool.shapes import sides as sides_of

Widths = dict[int, tuple[int, ...]]
CONDITIONS = ("projection", "none")
INITIALISATIONS = ("xavier", "orthogonal", "normal")
GENERATOR = {32: (4, 4, 4, 4), 64: (16, 8, 4, 2, 1), 128: (16, 16, 8, 4, 2, 1)}  # times width, from 4x4 on
DISCRIMINATOR = {32: (4, 4, 4, 4), 64: (1, 2, 4, 8, 16), 128: (1, 2, 4, 8, 16, 16)}  # times width, block by block
HALVINGS = {"sngan": {32: 2, 64: 5, 128: 5}, "biggan": {32: 2, 64: 4, 128: 5}}  # in a discriminator's first blocks


def table(widths: Widths, resolution: Resolution, width: int, model: str) -> tuple[list[int], tuple[int, int]]:
    """Channels block by block, and a generator's first map. Raises GantoolError for other sizes than shapes.py has."""
    levels, first = first_map(resolution, model, range(3, 6))
    return [width * times for times in widths[4 << levels]], first


class UpBlock(nn.Module):
    """Doubles the sides: norm, ReLU, upsample, convolve, norm, ReLU, convolve, beside a 1x1 shortcut; `attend`s at its
    end."""

    def __init__(self, c_in: int, c_out: int, norm: Callable[[int], nn.Module], *, attend: bool = False) -> None:
        super().__init__()
        self.norms = nn.ModuleList([norm(c_in), norm(c_out)])
        self.first = DoublingConv2d(c_in, c_out)
        self.second = nn.Conv2d(c_out, c_out, 3, 1, 1)
        self.shortcut = nn.Conv2d(c_in, c_out, 1)
        self.attention = SelfAttention(c_out) if attend else nn.Identity()

    def forward(self, x: Tensor, condition: Tensor | None) -> Tensor:
        """(N, c_in, H, W) -> (N, c_out, 2H, 2W)."""
        y = self.first(F.relu(self.norms[0](x, condition)))
        y = self.second(F.relu(self.norms[1](y, condition)))
        return self.attention(y + F.interpolate(self.shortcut(x), scale_factor=2.0))


class DownBlock(nn.Module):
    """ReLU, convolve to `hidden` channels, ReLU, convolve, average, beside a shortcut; the `first` block begins without
    norm and ReLU; `attend`s at its end."""

    def __init__(
        self, c_in: int, hidden: int, c_out: int, norm: str, *, halve: bool, first: bool, attend: bool = False
    ) -> None:
        super().__init__()
        self.halve, self.is_first = halve, first
        self.norms = nn.ModuleList([nn.Identity() if first else norm_2d(norm, c_in), norm_2d(norm, hidden)])
        self.first = nn.Conv2d(c_in, hidden, 3, 1, 1)
        self.second = HalvingConv2d(hidden, c_out) if halve else nn.Conv2d(hidden, c_out, 3, 1, 1)
        self.shortcut = nn.Conv2d(c_in, c_out, 1) if halve or c_in != c_out else nn.Identity()
        self.attention = SelfAttention(c_out) if attend else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(N, c_in, H, W) -> (N, c_out, H/2, W/2), or (N, c_out, H, W) if it does not halve."""
        y = x if self.is_first else rectified(self.norms[0](x))
        y = self.second(rectified(self.norms[1](self.first(y))))
        if self.halve:
            x = F.avg_pool2d(x, 2)
        return self.attention(self.shortcut(x) + y)


@torch.no_grad()
def initialise(network: nn.Module, how: str) -> None:
    """Draws every weight; biases start at 0.

    'xavier': uniform (Glorot 2010), gain sqrt 2 for the 3x3 convolutions of blocks, conditional norms at 1, as SNGAN's
    authors do; 'orthogonal' (Saxe 2014), as BigGAN; 'normal': N(0, 0.02), as BigGAN's authors on CIFAR-10.
    """
    for name, module in network.named_modules():
        if isinstance(module, (nn.Conv2d, nn.Linear, nn.Embedding)):
            if how == "xavier":
                in_block = isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3) and name != "image"
                nn.init.xavier_uniform_(module.weight, math.sqrt(2) if in_block else 1.0)
                if isinstance(module, nn.Embedding) and name.endswith((".gain", ".bias")):  # of a conditional norm
                    nn.init.zeros_(module.weight)
            elif how == "orthogonal":
                nn.init.orthogonal_(module.weight)
            else:
                nn.init.normal_(module.weight, 0.0, 0.02)
        if isinstance(module, (nn.Conv2d, nn.Linear)) and module.bias is not None:
            nn.init.zeros_(module.bias)


def up_blocks(
    widths: list[int], norm: Callable[[int], nn.Module], attention: int | None, first: tuple[int, int]
) -> nn.ModuleList:
    """The blocks from the `first` map on, with self-attention after the one that makes maps of `attention` pixels."""
    sides = [2 * min(first) << level for level in range(len(widths) - 1)]
    check_attention("model.generator.attention", attention, sides)
    return nn.ModuleList(
        UpBlock(c_in, c_out, norm, attend=side == attention)
        for (c_in, c_out), side in zip(pairwise(widths), sides, strict=True)
    )


class Generator(nn.Module):
    """Latent -> image; labels choose the gains and biases of every block's batch norm. `norm`: batch (alone where there
    are labels), layer, instance, spectral or none; `attention`: self-attention on maps of so many pixels."""

    def __init__(
        self,
        *,
        latent_dim: int,
        resolution: Resolution,
        channels: int,
        num_classes: int = 0,
        width: int = 64,
        norm: str = "batch",
        attention: int | None = None,
    ) -> None:
        super().__init__()
        check_choice("model.generator.norm", norm, NORMS)
        if num_classes and norm != "batch":
            raise GantoolError(f"model.generator.norm={norm}: labels need norm=batch; set it, or conditional=false")
        widths, self.first = table(GENERATOR, resolution, width, "resnet")

        def block_norm(size: int) -> nn.Module:
            if not num_classes:
                return PlainNorm(norm, size)
            return ConditionalBatchNorm(size, LabelTable(num_classes, size), LabelTable(num_classes, size))

        self.start = nn.Linear(latent_dim, widths[0] * math.prod(self.first))
        self.blocks = up_blocks(widths, block_norm, attention, self.first)
        self.norm = norm_2d(norm, widths[-1])
        self.image = nn.Conv2d(widths[-1], channels, 3, 1, 1)
        initialise(self, "xavier")
        if norm == "spectral":
            apply_spectral_norm(self)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """(N, latent_dim), (N,) -> (N, C, R, R) float32 in [-1, 1]."""
        x = self.start(z).unflatten(1, (-1, *self.first))
        for block in self.blocks:
            x = block(x, labels)
        return torch.tanh(self.image(F.relu(self.norm(x))).float())


class Discriminator(HeadedDiscriminator):
    """Image -> raw score: blocks, ReLU, the sum (Miyato 2018) or mean (Gulrajani 2017) over the last maps, as `pooling`
    says, and the projection of the label, unless `condition` is none. `norm` and `attention` as in the generator;
    `initialisation`: xavier, orthogonal or normal.

    `layout`: sngan (between its convolutions a block has the channels of its input, all five halve at 64 pixels) or
    biggan (those of its output, four halve); at 32 pixels they are alike. `minibatch_std` images share the standard
    deviation that is appended to the last maps; 0: none is.
    """

    def __init__(
        self,
        *,
        resolution: Resolution,
        channels: int,
        num_classes: int = 0,
        width: int = 32,
        norm: str = "spectral",
        condition: str | None = None,
        attention: int | None = None,
        initialisation: str = "xavier",
        minibatch_std: int = 0,
        layout: str = "biggan",
        pooling: str = "sum",
    ) -> None:
        super().__init__()
        check_choice("model.discriminator.norm", norm, NORMS)
        condition = chosen_condition(condition, num_classes, CONDITIONS)
        check_choice("model.discriminator.initialisation", initialisation, INITIALISATIONS)
        check_choice("model.discriminator.layout", layout, HALVINGS)
        check_choice("model.discriminator.pooling", pooling, ("sum", "mean"))
        widths, first = table(DISCRIMINATOR, resolution, width, "resnet")
        short = min(sides_of(resolution))
        sides = [short >> level for level in range(1, HALVINGS[layout][4 * short // min(first)] + 1)]
        check_attention("model.discriminator.attention", attention, sides)
        inner = [widths[0], *widths] if layout == "sngan" else widths  # between the convolutions of a block
        attended = sides.index(attention) if attention else None
        self.blocks = nn.Sequential(
            *(
                DownBlock(c_in, hidden, c_out, norm, halve=i < len(sides), first=i == 0, attend=i == attended)
                for i, (c_in, hidden, c_out) in enumerate(zip([channels, *widths], inner, widths, strict=False))
            ),
            *([MinibatchStd(minibatch_std)] if minibatch_std else []),
        )
        self.pooling = pooling
        self.feature_dim = last = widths[-1] + bool(minibatch_std)
        self.head = nn.Linear(last, 1)
        self.projection = Projection(last, num_classes) if condition == "projection" else None
        initialise(self, initialisation)
        if norm == "spectral":
            apply_spectral_norm(self)

    def features(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        maps = rectified(self.blocks(images))
        return maps.sum((2, 3)) if self.pooling == "sum" else maps.mean((2, 3))

"""The original GAN's fully connected networks (Goodfellow 2014), for any resolution and number of channels.

Two hidden layers' idea kept, with the parts that later work settled on: LeakyReLU in place of maxout and sigmoid units,
batch normalisation in the generator, weights drawn as torch does (Kaiming uniform).
"""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from gantool.errors import check_choice
from gantool.networks.activations import LeakyReLU
from gantool.networks.layers import (
    HeadedDiscriminator,
    LabelledLatent,
    LabelTable,
    Projection,
    apply_spectral_norm,
    chosen_condition,
)
from gantool.networks.norms import NORMS, norm_1d
from gantool.shapes import Resolution, sides


def hidden_layers(sizes: list[int], norm: str, dropout: float) -> list[nn.Module]:
    """Linear, norm, LeakyReLU 0.2 and dropout between each two of `sizes`; the first layer has no norm."""
    layers: list[nn.Module] = []
    for i, (before, after) in enumerate(pairwise(sizes)):
        layers += [nn.Linear(before, after), norm_1d(norm if i else "none", after), LeakyReLU(0.2)]
        layers += [nn.Dropout(dropout)] if dropout else []
    return layers


class Generator(nn.Module):
    """Latent -> image. `norm`: batch, layer, instance, spectral or none."""

    def __init__(
        self,
        *,
        latent_dim: int,
        resolution: Resolution,
        channels: int,
        num_classes: int = 0,
        hidden: list[int],
        norm: str = "batch",
    ) -> None:
        super().__init__()
        check_choice("model.generator.norm", norm, NORMS)
        self.shape = (channels, *sides(resolution))
        self.latent = LabelledLatent(latent_dim, num_classes)
        layers = hidden_layers([self.latent.dim, *hidden], norm, dropout=0.0)
        self.layers = nn.Sequential(*layers, nn.Linear(hidden[-1], channels * math.prod(sides(resolution))))
        if norm == "spectral":
            apply_spectral_norm(self)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """(N, latent_dim), (N,) -> (N, C, R, R) float32 in [-1, 1]."""
        return torch.tanh(self.layers(self.latent(z, labels)).float()).view(-1, *self.shape)


class Discriminator(HeadedDiscriminator):
    """Image -> raw score. `norm` as in the generator; `condition`: how it is told the label: projection, concat or
    none, by default projection where there are classes."""

    def __init__(
        self,
        *,
        resolution: Resolution,
        channels: int,
        num_classes: int = 0,
        hidden: list[int],
        norm: str = "none",
        dropout: float = 0.0,
        condition: str | None = None,
    ) -> None:
        super().__init__()
        check_choice("model.discriminator.norm", norm, NORMS)
        condition = chosen_condition(condition, num_classes)
        self.sees_label = concat = condition == "concat"
        self.embed = LabelTable(num_classes, hidden[0]) if concat else None
        pixels = channels * math.prod(sides(resolution))
        self.layers = nn.Sequential(*hidden_layers([pixels + concat * hidden[0], *hidden], norm, dropout))
        self.head = nn.Linear(hidden[-1], 1)
        self.feature_dim = hidden[-1]
        self.projection = Projection(hidden[-1], num_classes) if condition == "projection" else None
        if norm == "spectral":
            apply_spectral_norm(self)

    def features(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """The last hidden layer."""
        pixels = images.flatten(1)
        if self.embed is not None:
            pixels = torch.cat([pixels, self.embed(labels).to(pixels.dtype)], 1)
        return self.layers(pixels)

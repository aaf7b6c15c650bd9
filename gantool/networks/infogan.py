"""InfoGAN's networks for MNIST (Chen 2016, table 1): 28 pixels, or another multiple of 4.

Follows the paper, and its authors' code in what it leaves open: images in [0, 1] inside, biases before norms, every
weight drawn from N(0, 0.02).
"""

import math

import torch
from torch import Tensor, nn

from gantool.errors import check_choice
from gantool.networks.activations import LeakyReLU
from gantool.networks.layers import (
    HeadedDiscriminator,
    LabelledLatent,
    Projection,
    chosen_condition,
    finish,
)
from gantool.networks.norms import NORMS, norm_1d, norm_2d
from gantool.shapes import Resolution, multiples

CONDITIONS = ("projection", "none")


def smallest_map(resolution: Resolution) -> tuple[int, int]:
    """Height and width of the smallest maps; raises GantoolError for a resolution that cannot be halved twice."""
    height, width = multiples(resolution, 4, "model=infogan-mnist takes multiples of 4, such as 28")
    return height // 4, width // 4


class Generator(nn.Module):
    """Latent -> image. `width`: channels of the last hidden maps, 64 in the paper; `norm`: batch, layer, instance,
    spectral or none."""

    def __init__(
        self,
        *,
        latent_dim: int,
        resolution: Resolution,
        channels: int,
        num_classes: int = 0,
        width: int = 64,
        norm: str = "batch",
    ) -> None:
        super().__init__()
        check_choice("model.generator.norm", norm, NORMS)
        first, hidden = smallest_map(resolution), 16 * width
        maps = 2 * width * math.prod(first)
        self.latent = LabelledLatent(latent_dim, num_classes)
        self.layers = nn.Sequential(
            *[nn.Linear(self.latent.dim, hidden), norm_1d(norm, hidden), nn.ReLU(inplace=True)],
            *[nn.Linear(hidden, maps), norm_1d(norm, maps), nn.ReLU(inplace=True)],
            nn.Unflatten(1, (2 * width, *first)),
            *[nn.ConvTranspose2d(2 * width, width, 4, 2, 1), norm_2d(norm, width), nn.ReLU(inplace=True)],
            nn.ConvTranspose2d(width, channels, 4, 2, 1),
        )
        finish(self, norm)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """(N, latent_dim), (N,) -> (N, C, R, R) float32 in [-1, 1]."""
        logits = self.layers(self.latent(z, labels)).float()
        return torch.tanh(logits / 2)  # twice the paper's sigmoid, less 1


class Discriminator(HeadedDiscriminator):
    """Image -> raw score, from the features that the recognizer reads too. `width`: channels of the first maps, 64 in
    the paper; `norm` as in the generator; `condition`: projection or none, by default projection where there are
    classes."""

    def __init__(
        self,
        *,
        resolution: Resolution,
        channels: int,
        num_classes: int = 0,
        width: int = 64,
        norm: str = "batch",
        condition: str | None = None,
    ) -> None:
        super().__init__()
        check_choice("model.discriminator.norm", norm, NORMS)
        condition = chosen_condition(condition, num_classes, CONDITIONS)
        maps = 2 * width * math.prod(smallest_map(resolution))
        self.feature_dim = last = 16 * width
        self.layers = nn.Sequential(
            *[nn.Conv2d(channels, width, 4, 2, 1), LeakyReLU(0.1)],
            *[nn.Conv2d(width, 2 * width, 4, 2, 1), norm_2d(norm, 2 * width), LeakyReLU(0.1)],
            *[nn.Flatten(), nn.Linear(maps, last), norm_1d(norm, last), LeakyReLU(0.1)],
        )
        self.head = nn.Linear(last, 1)
        self.projection = Projection(last, num_classes) if condition == "projection" else None
        finish(self, norm)

    def features(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.layers((images + 1) / 2)

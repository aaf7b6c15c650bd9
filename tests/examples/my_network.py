"""A network of one's own: gantool hands in latent_dim, resolution, channels and num_classes as far as it takes them."""

import torch
from torch import Tensor, nn


class Generator(nn.Module):
    """(N, latent_dim) -> (N, channels, resolution, resolution) in [-1, 1]."""

    def __init__(self, latent_dim: int, resolution: int, channels: int, width: int = 64) -> None:
        super().__init__()
        self.start = nn.Linear(latent_dim, width * (resolution // 4) ** 2)
        self.unflatten = nn.Unflatten(1, (width, resolution // 4, resolution // 4))
        self.layers = nn.Sequential(nn.ReLU(), nn.Conv2d(width, channels * 16, 3, 1, 1), nn.PixelShuffle(4))

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        return torch.tanh(self.layers(self.unflatten(self.start(z))).float())

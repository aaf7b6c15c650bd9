"""Norms that a condition may scale and shift, called alike."""

import torch
from torch import Tensor, nn

from gantool.networks.norms import norm_2d


class ConditionalBatchNorm(nn.Module):
    """Batch norm whose gains (1 + gain) and biases are functions of a condition (Dumoulin 2017, Miyato & Koyama 2018).

    `gain` and `bias` map the condition to (N, channels).
    """

    def __init__(self, channels: int, gain: nn.Module, bias: nn.Module) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.gain, self.bias = gain, bias

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """(N, channels, H, W), the condition -> (N, channels, H, W)."""
        return torch.addcmul(
            self.bias(condition)[:, :, None, None].to(x.dtype),
            self.norm(x),
            (1 + self.gain(condition))[:, :, None, None].to(x.dtype),
        )


class PlainNorm(nn.Module):
    """A norm without a condition, called as one that has it."""

    def __init__(self, norm: str, channels: int) -> None:
        super().__init__()
        self.norm = norm_2d(norm, channels)

    def forward(self, x: Tensor, condition: Tensor | None) -> Tensor:
        """(N, channels, H, W) -> (N, channels, H, W)."""
        return self.norm(x)

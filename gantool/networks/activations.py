"""Rectifiers that leave out their second derivative, which is zero: what gradient penalties go through."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class LeakyReLU(nn.LeakyReLU):
    """max(x, slope * x), in place."""

    def __init__(self, slope: float) -> None:
        super().__init__(slope, inplace=True)

    def forward(self, input: Tensor) -> Tensor:
        """(N, ...) -> the same."""
        return rectified(input, self.negative_slope, inplace=True)


def rectified(x: Tensor, slope: float = 0.0, *, inplace: bool = False) -> Tensor:
    """max(x, slope * x) of (N, ...), slope from 0 to 1.

    As torch does it, but where it may be differentiated twice, as by a gradient penalty: torch makes zeros of the
    derivative that is none, adds them up and sends them back through the layers before.
    """
    # Penalties are taken outside of autocast and of the compiler.
    if x.requires_grad and not torch.is_autocast_enabled(x.device.type) and not torch.compiler.is_compiling():
        return _Rectified.apply(x, slope, inplace)
    return _torchs(x, slope, inplace)


def _torchs(x: Tensor, slope: float, inplace: bool) -> Tensor:
    return F.leaky_relu(x, slope, inplace) if slope else F.relu(x, inplace)


class _Rectified(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, slope: float, inplace: bool) -> Tensor:
        if inplace:
            ctx.mark_dirty(x)
        made = _torchs(x, slope, inplace)
        ctx.save_for_backward(made)
        ctx.slope = slope
        return made

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
        (made,) = ctx.saved_tensors
        return _Gradient.apply(gradient, made.detach(), ctx.slope), None, None


class _Gradient(torch.autograd.Function):
    """Linear in the gradient, so that it is its own."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, made: Tensor, slope: float) -> Tensor:
        ctx.save_for_backward(made)
        ctx.slope = slope
        return torch.ops.aten.leaky_relu_backward(gradient, made, slope, True)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
        return _Gradient.apply(gradient, *ctx.saved_tensors, ctx.slope), None, None

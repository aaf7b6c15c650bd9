"""What networks normalise features by."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

NORMS = ("batch", "layer", "instance", "spectral", "none")
BIASED = ("spectral", "none")  # a convolution before the other norms needs no bias: they subtract it


def norm_2d(norm: str, channels: int) -> nn.Module:
    """Normalises (N, channels, H, W). 'layer' is over all of an image's features, scaled per channel (Gulrajani 2017);
    'spectral' and 'none' leave features alone."""
    kinds: dict[str, Callable[[int], nn.Module]]
    kinds = {"batch": nn.BatchNorm2d, "layer": LayerNorm, "instance": InstanceNorm}
    return kinds.get(norm, nn.Identity)(channels)


def norm_1d(norm: str, features: int) -> nn.Module:
    """Normalises (N, features); instance norm has nothing to average over there and is layer norm."""
    kinds = {"batch": nn.BatchNorm1d, "layer": nn.LayerNorm, "instance": nn.LayerNorm}
    return kinds.get(norm, nn.Identity)(features)


_SMALL = 256  # places in a map


class InstanceNorm(nn.InstanceNorm2d):
    """Normalises each channel of each image by itself (Ulyanov 2016), with a scale and shift per channel.

    On a CPU large maps go image by image through the kernel of batch norm, which takes channels_last as it is; of small
    maps that loop is most of the time, and copying them there and back is not. On a GPU it is group norm's kernel.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, affine=True)

    def forward(self, input: Tensor) -> Tensor:
        """(N, channels, H, W) -> the same."""
        if input.device.type == "cuda":
            return normalised(input, self.num_features, self.weight, self.bias, self.eps)
        if input.device.type != "cpu" or torch.compiler.is_compiling():  # a traced loop would fix the number of images
            return super().forward(input)
        if input.shape[2:].numel() <= _SMALL:
            channels_last = input.is_contiguous(memory_format=torch.channels_last)
            order = torch.channels_last if channels_last else torch.contiguous_format
            made = normalised(input.contiguous(), self.num_features, self.weight, self.bias, self.eps)
            return made.contiguous(memory_format=order)
        images = input.split(1)
        return torch.cat([F.batch_norm(x, None, None, self.weight, self.bias, training=True) for x in images])


class LayerNorm(nn.GroupNorm):
    """Normalises each image over all its features, with a scale and shift per channel (Gulrajani 2017)."""

    def __init__(self, channels: int) -> None:
        super().__init__(1, channels)

    def forward(self, input: Tensor) -> Tensor:
        """(N, channels, H, W) -> the same."""
        return normalised(input, 1, self.weight, self.bias, self.eps)


def normalised(x: Tensor, groups: int, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """(N, channels, ...) -> the same, each image by itself in groups of channels: one, or as many as channels.

    As torch does it, but where it may be differentiated twice, as by a gradient penalty: torch writes the gradient of
    that gradient as more than a hundred operations, this as 19.
    """
    kind = x.device.type  # others have no kernel for the backward pass
    once = torch.is_autocast_enabled(kind) or torch.compiler.is_compiling()  # penalties are taken outside of both
    if once or kind not in ("cpu", "cuda") or not torch.is_grad_enabled():
        return F.group_norm(x, groups, weight, bias, eps)
    return _Normalised.apply(x, weight, bias, groups, eps)


class _Normalised(torch.autograd.Function):
    """h * weight + bias, where h is x less its mean over the group, divided by the deviation there."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, groups: int, eps: float) -> Tensor:
        x = _laid_out(x, x)
        made, mean, inverse = torch.native_group_norm(x, weight, bias, *_sizes(x), groups, eps)
        ctx.save_for_backward(x, weight, mean, inverse)
        ctx.rest = groups, eps
        return made

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
        return *_Gradients.apply(gradient, *ctx.saved_tensors, *ctx.rest), None, None


class _Gradients(torch.autograd.Function):
    """The gradients of _Normalised by x, weight and bias; differentiable once more.

    That by x is P(gradient * weight), where P(v) = inverse * (v - mean(v) - h * mean(h * v)) is its own transpose.
    """

    @staticmethod
    def forward(
        ctx: Any, gradient: Tensor, x: Tensor, weight: Tensor, mean: Tensor, inverse: Tensor, groups: int, eps: float
    ) -> tuple[Tensor, ...]:
        gradient = _laid_out(gradient, x)
        found = _transposed(gradient, x, mean, inverse, weight, groups)
        ctx.save_for_backward(gradient, x, weight, mean, inverse, found[0])
        ctx.rest = groups, eps
        ctx.set_materialize_grads(False)
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_x: Tensor | None, by_weight: Tensor | None, by_bias: Tensor | None) -> tuple[Any, ...]:
        (gradient, x, weight, mean, inverse, found), (groups, eps) = ctx.saved_tensors, ctx.rest
        within = [*range(1 if groups == 1 else 2, x.ndim)]  # axes of a group
        by_x = torch.zeros_like(x) if by_x is None else _laid_out(by_x, x)
        h = torch.native_group_norm(x, None, None, *_sizes(x), groups, eps)[0]
        back = _transposed(by_x, x, mean, inverse, None, groups)[0]
        pairs = ((by_x, found), (gradient * _as_features(weight, x), h), (by_x, h))
        sums = torch.stack([(a * b).sum(within, keepdim=True) for a, b in pairs])
        # found = inverse * (g - mean(g) - h * mean(g * h)), g = gradient * weight: x stands in inverse and in each h.
        by_inverse, by_first_h, by_second_h = sums * (inverse * (-groups / x[0].numel())).view_as(sums[0])
        to_x = (h * by_inverse).addcmul_(back, by_first_h).addcmul_(found, by_second_h)
        to_gradient = back * _as_features(weight, x)
        to_weight = (back * gradient).sum([axis for axis in range(x.ndim) if axis != 1])
        if by_weight is not None:
            to_gradient += h * _as_features(by_weight, x)
            to_x += _transposed(gradient * _as_features(by_weight, x), x, mean, inverse, None, groups)[0]
        if by_bias is not None:
            to_gradient += _as_features(by_bias, x)
        return to_gradient, to_x, to_weight, *[None] * 4


def _transposed(
    gradient: Tensor, x: Tensor, mean: Tensor, inverse: Tensor, weight: Tensor | None, groups: int
) -> tuple[Tensor, Tensor, Tensor]:
    """What comes back to x, to the weight and to the bias."""
    mask = [True, weight is not None, weight is not None]
    return torch.ops.aten.native_group_norm_backward(gradient, x, mean, inverse, weight, *_sizes(x), groups, mask)


def _laid_out(tensor: Tensor, like: Tensor) -> Tensor:
    """As the kernels take it."""
    if like.device.type == "cpu" and like.is_contiguous(memory_format=torch.channels_last):
        return tensor.contiguous(memory_format=torch.channels_last)
    return tensor.contiguous()


def _sizes(x: Tensor) -> tuple[int, int, int]:
    """Images, channels and places."""
    return len(x), x.shape[1], x.shape[2:].numel()


def _as_features(values: Tensor, x: Tensor) -> Tensor:
    """(channels,) beside x."""
    return values.view(-1, *[1] * (x.ndim - 2))

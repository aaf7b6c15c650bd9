"""Batch norm whose statistics are of the batches of all ranks, so that they train as one process does.

torch's SyncBatchNorm is for GPUs only and has no second derivative. Ranks may have shares of unequal size.
"""

from types import MethodType

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from gantool.errors import GantoolError
from gantool.ranks import world


class _OverRanks(torch.autograd.Function):
    """Over the ranks, and so its gradient, as often as one likes."""

    @staticmethod
    def forward(ctx: object, values: Tensor) -> Tensor:
        total = values.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:
        return _OverRanks.apply(gradient.contiguous())


def synchronise(game: nn.Module) -> None:
    """Lets every batch norm of `game` see the batches of all ranks while it trains."""
    for norm in _norms(game):
        norm.forward = MethodType(_forward, norm)


def check_synchronised(game: nn.Module, microbatch: int | None) -> None:
    """Raises GantoolError where there is nothing to synchronise, or a rank's batch goes through in parts, whose numbers
    may differ."""
    if world() == 1:
        raise GantoolError("trainer.sync_batch_norm=true is for several ranks: start with torchrun, or leave it out")
    if not _norms(game):
        raise GantoolError("trainer.sync_batch_norm=true: these networks have no batch norm; leave it out")
    if microbatch is not None:
        raise GantoolError("trainer.sync_batch_norm=true: leave trainer.microbatch out: ranks may split unequally")


def _norms(game: nn.Module) -> list[_BatchNorm]:
    return [module for module in game.modules() if isinstance(module, _BatchNorm)]


def _forward(norm: _BatchNorm, input: Tensor) -> Tensor:
    if not norm.training:
        return type(norm).forward(norm, input)
    axes = [axis for axis in range(input.ndim) if axis != 1]
    shape = [1, -1] + [1] * (input.ndim - 2)
    with torch.autocast(input.device.type, enabled=False):
        values = input.float()
        number = values.new_full((), values.numel() / values.shape[1])
        dist.all_reduce(number)
        mean = _OverRanks.apply(values.sum(axes)) / number
        centred = values - mean.view(shape)
        variance = _OverRanks.apply(centred.square().sum(axes)) / number
        made = centred * (variance + norm.eps).rsqrt().view(shape)
        if norm.weight is not None:
            made = made * norm.weight.view(shape) + norm.bias.view(shape)
    if norm.running_mean is not None and norm.running_var is not None and norm.num_batches_tracked is not None:
        assert norm.momentum is not None, "no network here has a plain mean"
        with torch.no_grad():
            norm.num_batches_tracked += 1
            norm.running_mean.lerp_(mean, norm.momentum)
            norm.running_var.lerp_(variance * number / (number - 1), norm.momentum)
    return made.to(input.dtype)

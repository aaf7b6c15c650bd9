"""Weights, moments and averages in parts, one a rank (ZeRO, Rajbhandari 2020): for trainer.parallel=sharded.

Weights are whole while a round is played and looked at, and each rank steps and keeps its part of them. Not by torch's
fully_shard, which frees weights between the two backward passes of a gradient penalty ("data is not allocated yet")
unless they stay whole through a player's turn, and then gives no more than this, for any module and to the same bits
as data parallel. DTensor's tensor parallelism gives gradients of gradients that are 64 % off without a word, and stages
of a pipeline break spectral norm and have no gradient by the image.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from gantool.errors import GantoolError
from gantool.ranks import gathered, rank, world

_ALIGNED = 16  # numbers: where a tensor may begin, so that kernels are those of tensors on their own


class Shards:
    """Float tensors in one row of numbers, of which each rank keeps an equal part: they are empty while it is not
    gathered. `pieces`: what of them this rank has, as (number of the tensor, first of its numbers, numbers)."""

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self.tensors = list(tensors)
        self.layouts, end = [], 0
        for tensor in self.tensors:
            self.layouts.append((tensor.shape, tensor.stride(), end))
            end += -(-tensor.numel() // _ALIGNED) * _ALIGNED
        size = -(-end // (_ALIGNED * world())) * _ALIGNED
        self.first = rank() * size
        like = self.tensors[0]
        self.part = torch.zeros(size, dtype=like.dtype, device=like.device)
        self.whole: Tensor | None = torch.zeros(size * world(), dtype=like.dtype, device=like.device)
        for tensor, view in zip(self.tensors, self._views(self.whole), strict=True):
            view.copy_(tensor.detach())
            tensor.data = view
        self.keep()
        self.pieces: list[tuple[int, int, nn.Parameter]] = []
        for number, (shape, _, begin) in enumerate(self.layouts):
            low, high = max(begin, self.first), min(begin + shape.numel(), self.first + size)
            if low < high:
                own = nn.Parameter(self.part[low - self.first : high - self.first], requires_grad=False)
                self.pieces.append((number, low - begin, own))

    def _views(self, row: Tensor) -> list[Tensor]:
        return [row.as_strided(shape, stride, begin) for shape, stride, begin in self.layouts]

    @torch.no_grad()
    def keep(self) -> None:
        """Takes this rank's part from the whole."""
        assert self.whole is not None, "it is gathered"
        self.part.copy_(self.whole[self.first : self.first + len(self.part)])

    @torch.no_grad()
    def gather(self) -> None:
        """Makes the tensors whole, from the parts of all ranks."""
        fresh = self.whole is None
        if self.whole is None:
            self.whole = self.part.new_empty(len(self.part) * world())
        dist.all_gather([*self.whole.chunk(world())], self.part)
        for tensor, view in zip(self.tensors, self._views(self.whole), strict=True) if fresh else ():
            tensor.data = view

    def release(self) -> None:
        """Leaves the tensors empty."""
        self.whole = None
        for tensor in self.tensors:
            tensor.data = self.part.new_empty(0)

    def cut(self, number: int, start: int, count: int, tensor: Tensor) -> Tensor:
        """(count,) of a tensor that is laid out as that `number` is, from its number `start` on."""
        shape, stride, _ = self.layouts[number]
        row = tensor.new_empty(shape.numel())
        row.as_strided(shape, stride).copy_(tensor)
        return row[start : start + count]

    @torch.no_grad()
    def take_gradients(self) -> None:
        """Moves the gradients from the tensors to this rank's pieces."""
        for number, start, piece in self.pieces:
            gradient = self.tensors[number].grad
            piece.grad = None if gradient is None else self.cut(number, start, len(piece), gradient)
        for tensor in self.tensors:
            tensor.grad = None

    def joined(self, own: dict) -> dict:
        """The state of an optimizer of the whole tensors, on the first rank and the CPU, from those of all ranks' for
        their pieces; `own` is this rank's."""
        shares = gathered([(self.pieces[place][0], kept) for place, kept in _on_cpu(own["state"]).items()])
        found: dict[int, dict[str, list[Any]]] = {}
        for number, kept in (item for share in shares for item in share):
            for name, value in kept.items():
                found.setdefault(number, {}).setdefault(name, []).append(value)
        state = {n: {name: self._join(n, values) for name, values in found[n].items()} for n in sorted(found)}
        return {"state": state, "param_groups": [{**own["param_groups"][0], "params": [*range(len(self.tensors))]}]}

    def _join(self, number: int, values: list[Any]) -> Any:
        if not isinstance(values[0], Tensor) or not values[0].ndim:
            return values[0]  # a count of steps
        shape, stride, _ = self.layouts[number]
        return torch.cat(values).as_strided(shape, stride)


def _on_cpu(state: dict[int, dict[str, Any]]) -> dict[int, dict[str, Any]]:
    return {
        place: {name: value.cpu() if isinstance(value, Tensor) else value for name, value in kept.items()}
        for place, kept in state.items()
    }


def check_stepwise(make: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer], player: str) -> None:
    """Raises GantoolError for an optimizer whose step of one number depends on others of its tensor."""
    start, gradient = torch.linspace(-1, 2, 24).view(4, 6), torch.linspace(3, 0.1, 24).view(4, 6)
    whole, parts = [nn.Parameter(start.clone())], [nn.Parameter(part.clone()) for part in start.flatten().split(9)]
    for parameters, gradients in ((whole, [gradient]), (parts, gradient.flatten().split(9))):
        optimizer = make(parameters)
        for _ in range(2):
            for parameter, value in zip(parameters, gradients, strict=True):
                parameter.grad = value.clone()
            optimizer.step()
    if not torch.allclose(whole[0].flatten(), torch.cat([*parts]), atol=1e-6):
        raise GantoolError(
            f"trainer.parallel=sharded: the {player}'s optimizer looks at whole tensors, so that its step cannot be "
            "shared; take optimizer=adam, adamw, rmsprop or sgd"
        )

"""The averaged generator: an exponential moving average of the weights (Karras 2018; Yazici 2019)."""

import copy
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from gantool.errors import GantoolError
from gantool.game import Progress
from gantool.schedules import Schedule
from gantool.training.shards import Shards

_RAMP = 20  # images seen for one of half-life
_STATISTICS = ("running_mean", "running_var")


class EMA:
    """A copy of `generators` that follows them with a half-life in images.

    Early on the half-life is a twentieth of the images seen, so that the first random weights are soon forgotten
    (Karras 2020b); one that is a schedule says so itself (Huang 2024). Batch norm's running statistics are averaged
    like weights with `average_buffers` (Brock 2019), else copied (Karras 2020b); all other buffers, such as counts,
    stages and spectral norm's vectors, are copied. The copy is always in eval mode. Raises GantoolError where there are
    no statistics to average.
    """

    def __init__(self, generators: nn.ModuleDict, half_life: int | Schedule, *, average_buffers: bool = False) -> None:
        self.generators = cast(nn.ModuleDict, copy.deepcopy(generators).eval().requires_grad_(False))
        self.half_life, self.averaged = half_life, _STATISTICS if average_buffers else ()
        self.shards: list[tuple[Shards, Shards]] = []  # of the averages, and of what they follow
        self.alone: list[tuple[Tensor, Tensor]] = []  # beside shards: what no player learns, as it is frozen
        if average_buffers and not any(name.endswith(_STATISTICS) for name, _ in generators.named_buffers()):
            raise GantoolError("trainer.ema_buffers=average: this generator has no batch norm; leave it out")

    def share(self, live: nn.ModuleDict, players: Sequence[Shards]) -> None:
        """From now on this rank averages its part of the weights, as `players` share those of `live`. Raises
        GantoolError for a player that owns generators and more."""
        twins = {id(now): mean for now, mean in zip(live.parameters(), self.generators.parameters(), strict=True)}
        for shards in players:
            owned = [twins[id(tensor)] for tensor in shards.tensors if id(tensor) in twins]
            if owned and len(owned) < len(shards.tensors):
                raise GantoolError("trainer.parallel=sharded: a player owns generators and more; take parallel=data")
            self.shards += [(Shards(owned), shards)] if owned else []
        shared = {id(tensor) for shards in players for tensor in shards.tensors}
        self.alone = [(twins[id(now)], now) for now in live.parameters() if id(now) not in shared]

    def unshare(self) -> None:
        """All ranks have the whole averages again."""
        for own, _ in self.shards:
            own.gather()
        self.shards, self.alone = [], []

    def reaches_half_life(self, total: int) -> bool:
        """Whether the half-life is as long as asked for by the end of a run of `total` images."""
        return callable(self.half_life) or self.half_life <= total / _RAMP

    @torch.no_grad()
    def update(self, live: nn.ModuleDict, progress: Progress) -> None:
        """Moves the average towards `live` by the images of the last round."""
        shown = progress.nimg - progress.previous
        if callable(self.half_life):
            half_life = max(self.half_life(progress.nimg, progress.total), 1e-8)
        else:
            half_life = min(self.half_life, progress.nimg / _RAMP)
        pairs: list[tuple[Tensor, Tensor]] = [(own.part, followed.part) for own, followed in self.shards]
        pairs = pairs + self.alone or [*zip(self.generators.parameters(), live.parameters(), strict=True)]
        means, values = [mean for mean, _ in pairs], [now for _, now in pairs]
        copies: dict[tuple[bool, torch.device], tuple[list[Tensor], list[Tensor]]] = {}  # one kernel for all alike
        for (name, mean), now in zip(self.generators.named_buffers(), live.buffers(), strict=True):
            if name.endswith(self.averaged):
                means.append(mean)
                values.append(now)
            else:
                kept, copied = copies.setdefault((now.is_floating_point(), now.device), ([], []))
                kept.append(mean)
                copied.append(now)
        for kept, copied in copies.values():
            torch._foreach_copy_(kept, copied)  # pyright: ignore[reportPrivateImportUsage]
        torch._foreach_lerp_(  # pyright: ignore[reportPrivateImportUsage]
            means, values, 1 - 0.5 ** (shown / half_life)
        )

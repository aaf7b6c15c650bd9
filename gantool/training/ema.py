"""The averaged generator: an exponential moving average of the weights (Karras 2018; Yazici 2019)."""

import copy
from typing import cast

import torch
from torch import nn

from gantool.game import Progress
from gantool.schedules import Schedule


class EMA:
    """A copy of `generators` that follows them with a half-life in images.

    Early on the half-life is a twentieth of the images seen, so that the first random weights are soon forgotten
    (Karras 2020b); one that is a schedule says so itself (Huang 2024). Buffers (batch norm's statistics) are copied.
    The copy is always in eval mode.
    """

    def __init__(self, generators: nn.ModuleDict, half_life: int | Schedule) -> None:
        self.generators = cast(nn.ModuleDict, copy.deepcopy(generators).eval().requires_grad_(False))
        self.half_life = half_life

    @torch.no_grad()
    def update(self, live: nn.ModuleDict, progress: Progress) -> None:
        """Moves the average towards `live` by the images of the last round."""
        shown = progress.nimg - progress.previous
        if callable(self.half_life):
            half_life = max(self.half_life(progress.nimg, progress.total), 1e-8)
        else:
            half_life = min(self.half_life, progress.nimg / 20)
        torch._foreach_lerp_(  # pyright: ignore[reportPrivateImportUsage]  # one kernel for all weights
            list(self.generators.parameters()), list(live.parameters()), 1 - 0.5 ** (shown / half_life)
        )
        for mean, now in zip(self.generators.buffers(), live.buffers(), strict=True):
            mean.copy_(now)

"""Growth of the resolution while training (ProGAN, Karras 2018)."""

import math
from collections.abc import Mapping
from dataclasses import replace

import torch.nn.functional as F
from torch import Tensor

from gantool.errors import GantoolError
from gantool.game import Progress
from gantool.shapes import Resolution, first_map, sides


class Progressive:
    """Equal turns of a stable and a fading phase from `start` to `resolution` pixels; the last one stays to the end.

    `growing` is the fraction of the run after which the final resolution is whole, so that a longer
    `trainer.duration` stretches every phase. `batch_sizes`: images in a batch by resolution; null: the usual size.
    `reset_optimizers`: their moments are forgotten where a phase begins, fading or stable (the authors' code).
    """

    def __init__(
        self,
        *,
        resolution: Resolution,
        start: int = 4,
        growing: float = 0.5,
        batch_sizes: Mapping[int, int | None] | None = None,
        reset_optimizers: bool = False,
    ) -> None:
        levels, _ = first_map(resolution, "progan", range(12))
        short = 4 << levels  # counted as a square whose first map is 4x4
        if start not in (4, 8) or short < start:
            raise GantoolError(f"model.growth.start={start}: growth starts at 4 or 8 and doubles to dataset.resolution")
        if not 0 < growing <= 1:
            raise GantoolError(f"model.growth.growing={growing}: a fraction of the run, above 0 and at most 1")
        self.size, self.growing, self.reset_optimizers = sides(resolution), growing, reset_optimizers
        self.first, self.last = start.bit_length() - 3, levels
        sizes = {int(side): size for side, size in (batch_sizes or {}).items()}  # a typed key is text, and comes last
        self.batch_sizes = {side: size for side, size in sizes.items() if size}
        for side, size in self.batch_sizes.items():
            if not start <= side <= short:
                raise GantoolError(
                    f"model.growth.batch_sizes.{side}={size}: the run goes from {start} to {short} pixels"
                )

    def stage(self, progress: Progress) -> float:
        """0 at 4x4, 1 at 8x8, 0.5 half-way between; in steps of 1/4096, which float32 holds exactly."""
        done = progress.nimg / max(progress.total, 1) / self.growing * (self.last - self.first)
        level = math.floor(done)
        faded = max(0.0, 2 * (done - level) - 1)
        return min(float(self.last), self.first + level + math.floor(faded * 4096) / 4096)

    def begins_anew(self, progress: Progress) -> bool:
        """Whether optimizers are to forget what they know before this round, the first of a phase."""
        if not self.reset_optimizers or not progress.rounds:
            return False
        now, before = self.stage(progress), self.stage(replace(progress, nimg=progress.previous))
        return (math.floor(now), math.ceil(now)) != (math.floor(before), math.ceil(before))

    def batch_size(self, stage: float, size: int) -> int:
        """Images in a batch at `stage`."""
        return self.batch_sizes.get(4 * 2 ** math.ceil(stage), size)

    def smallest_batch(self, size: int) -> int:
        """Over all resolutions."""
        return min(self.batch_size(float(stage), size) for stage in range(self.first, self.last + 1))

    def shrink(self, images: Tensor, stage: float) -> Tensor:
        """(N, C, R, R) -> the stage's resolution; while it fades in, mixed with half that resolution."""
        factor = 2 ** (self.last - math.ceil(stage))
        images = F.avg_pool2d(images, factor) if factor > 1 else images
        alpha = stage - math.floor(stage)
        if not alpha:
            return images
        coarse = F.interpolate(F.avg_pool2d(images, 2), scale_factor=2.0)
        return coarse + alpha * (images - coarse)

    def enlarge(self, images: Tensor, stage: float) -> Tensor:
        """(N, C, r, r) -> (N, C, R, R), nearest."""
        return images if images.shape[2:] == self.size else F.interpolate(images, size=self.size)

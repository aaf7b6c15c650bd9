"""The numbers of training itself: kept on the device round by round, checked, and averaged for the log."""

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler

from gantool.errors import GantoolError
from gantool.game import Game, Progress
from gantool.logging.record import Record
from gantool.training.optimization import PlayerOptimizer
from gantool.training.ranks import average
from gantool.training.update import Measured


class Breakdown(GantoolError):
    """A run that cannot go on from where it is; the state before may, with a lower rate."""


class Measurements:
    """Collects what each update measured; as a monitor, hands back the means since it was last called.

    `memory` is all its state: plain, the same on every rank, and part of the checkpoint, so that the log of a run that
    goes on is that of one that was never stopped.
    """

    def __init__(
        self,
        optimizers: dict[str, PlayerOptimizer],
        interval: int,
        memory: dict[str, Any],
        *,
        nimg: int = 0,
        scaler: GradScaler | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.interval, self.optimizers, self.clock = interval, optimizers, clock
        self.scaler = scaler if scaler is not None and scaler.is_enabled() else None
        self.round: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}  # updates of this round, by tag
        self.scores: dict[str, Tensor] = {}  # of the last update that had any
        self.memory = memory
        for name in ("sums", "counts", "latest"):  # latest: what was handed back last
            memory.setdefault(name, {})
        self.started, self.nimg = clock(), nimg

    @property
    def latest(self) -> dict[str, float]:
        """The scalars that were handed back last, by tag."""
        return self.memory["latest"]

    def add(self, player: str, measured: Measured) -> None:
        """Takes in one update of `player`."""
        total = torch.stack(list(measured.terms.values())).sum()
        values = {f"loss/{player}/{term}": value for term, value in measured.terms.items()}
        values[f"loss/{player}/total"] = total
        norm = measured.gradient_norm
        # A scaler skips the steps whose gradients overflowed.
        values[f"gradient_norm/{player}"] = norm if self.scaler is None else norm.nan_to_num(0, 0, 0)
        means = {side: scores.mean() * measured.share for side, scores in measured.scores.items()}
        values |= {f"discriminator_score/{side}": mean for side, mean in means.items()}
        self.scores |= measured.scores
        for tag, value in values.items():
            self.round[tag] = self.round.get(tag, 0) + value  # nan and inf survive a sum
            self.counts[tag] = self.counts.get(tag, 0) + 1

    def end_round(self, progress: Progress) -> None:
        """Takes the round into the sums. Raises GantoolError, on all ranks, that names what of it is not finite."""
        values = torch.stack([value.float() for value in self.round.values()])
        average([values])
        finite, counts = torch.isfinite(values), self.counts
        tags, self.round, self.counts = list(self.round), {}, {}
        if self.scaler is not None and self.scaler.get_scale() < 1:
            raise breakdown("gradients in fp16", progress)
        if not bool(finite.all()):
            wrong = [tag for tag, sound in zip(tags, finite.tolist(), strict=True) if not sound]
            raise breakdown(", ".join(wrong), progress)
        sums, summed = self.memory["sums"], self.memory["counts"]
        for tag, value in zip(tags, values.unbind(), strict=True):
            sums[tag], summed[tag] = sums.get(tag, 0) + value, summed.get(tag, 0) + counts[tag]

    def __call__(self, game: Game, generators: nn.ModuleDict, progress: Progress) -> Record:
        sums, counts = self.memory["sums"], self.memory["counts"]
        means = torch.stack([sums[tag] / counts[per_update(tag)] for tag in counts])
        scalars = dict(zip(counts, means.tolist(), strict=True))
        for name, optimizer in self.optimizers.items():
            scalars[f"learning_rate/{name}"] = optimizer.optimizer.param_groups[0]["lr"]
            if optimizer.beta2 is not None:
                scalars[f"beta2/{name}"] = optimizer.optimizer.param_groups[0]["betas"][1]
        scalars |= game.scalars()
        self.memory.update(sums={}, counts={}, latest=scalars)
        now = self.clock()
        speed = (progress.nimg - self.nimg) / (now - self.started)
        self.started, self.nimg = now, progress.nimg
        scalars = scalars | {"speed/images_per_second": speed}
        return Record(scalars, histograms={f"discriminator_score/{k}": v for k, v in self.scores.items()})


def per_update(tag: str) -> str:
    """The tag whose count is that of a player's updates: a lazy term is zero in those that it sits out."""
    head, _, _ = tag.rpartition("/")
    return f"{head}/total" if tag.startswith("loss/") else tag


def breakdown(what: str, progress: Progress) -> Breakdown:
    """The error that ends a run whose numbers are no numbers any more."""
    return Breakdown(
        f"training broke down at {progress.nimg} images: {what} not finite; the checkpoints before are sound: "
        "resume= with a lower optimizer.lr, optimizer.clip_norm=1 or trainer.precision=fp32"
    )

"""The numbers of training itself: kept on the device round by round, checked, and averaged for the log."""

import time
from collections.abc import Callable

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
    """Collects what each update measured; as a monitor, hands back the means since it was last called."""

    def __init__(
        self,
        optimizers: dict[str, PlayerOptimizer],
        interval: int,
        *,
        nimg: int = 0,
        scaler: GradScaler | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.interval, self.optimizers, self.clock = interval, optimizers, clock
        self.scaler = scaler if scaler is not None and scaler.is_enabled() else None
        self.round: dict[str, Tensor] = {}
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}
        self.scores: dict[str, Tensor] = {}  # of the last update that had any
        self.latest: dict[str, float] = {}  # what was handed back last
        self.started, self.nimg = clock(), nimg

    def add(self, player: str, measured: Measured) -> None:
        """Takes in one update of `player`."""
        total = torch.stack(list(measured.terms.values())).sum()
        values = {f"loss/{player}/{term}": value for term, value in measured.terms.items()}
        values[f"loss/{player}/total"] = total
        norm = measured.gradient_norm
        # A scaler skips the steps whose gradients overflowed.
        values[f"gradient_norm/{player}"] = norm if self.scaler is None else norm.nan_to_num(0, 0, 0)
        values |= {f"discriminator_score/{side}": scores.mean() for side, scores in measured.scores.items()}
        self.scores |= measured.scores
        for tag, value in values.items():
            self.sums[tag] = self.sums.get(tag, 0) + value
            self.counts[tag] = self.counts.get(tag, 0) + 1
            self.round[tag] = self.round.get(tag, 0) + value  # nan and inf survive a sum

    def check_finite(self, progress: Progress) -> None:
        """Raises GantoolError that names what is not finite in this round."""
        values = torch.stack([value.float() for value in self.round.values()])
        finite = torch.isfinite(values)
        tags, self.round = list(self.round), {}
        if self.scaler is not None and self.scaler.get_scale() < 1:
            raise breakdown("gradients in fp16", progress)
        if not bool(finite.all()):
            wrong = [tag for tag, sound in zip(tags, finite.tolist(), strict=True) if not sound]
            raise breakdown(", ".join(wrong), progress)

    def __call__(self, game: Game, generators: nn.ModuleDict, progress: Progress) -> Record:
        means = [self.sums[tag] / self.counts[per_update(tag)] for tag in self.counts]
        packed = torch.stack([mean.float() for mean in means])
        average([packed])
        scalars = dict(zip(self.counts, packed.tolist(), strict=True))
        for name, optimizer in self.optimizers.items():
            scalars[f"learning_rate/{name}"] = optimizer.optimizer.param_groups[0]["lr"]
            if optimizer.beta2 is not None:
                scalars[f"beta2/{name}"] = optimizer.optimizer.param_groups[0]["betas"][1]
        scalars |= game.scalars()
        now = self.clock()
        scalars["speed/images_per_second"] = (progress.nimg - self.nimg) / (now - self.started)
        self.started, self.nimg = now, progress.nimg
        self.sums, self.counts, self.latest = {}, {}, scalars
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

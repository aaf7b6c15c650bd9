"""The numbers of training itself: kept on the device round by round, checked, and averaged for the log."""

import time

import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler

from gantool.errors import GantoolError
from gantool.game import Game, Outcome, Progress
from gantool.logging.record import Record
from gantool.training.optimization import PlayerOptimizer
from gantool.training.ranks import average


class Breakdown(GantoolError):
    """A run that cannot go on from where it is; the state before may, with a lower rate."""


class Measurements:
    """Collects what each update measured; as a monitor, hands back the means since it was last called."""

    def __init__(
        self, optimizers: dict[str, PlayerOptimizer], interval: int, *, nimg: int = 0, scaler: GradScaler | None = None
    ) -> None:
        self.interval, self.optimizers = interval, optimizers
        self.scaler = scaler if scaler is not None and scaler.is_enabled() else None
        self.sums: dict[str, dict[str, Tensor]] = {}  # by player and tag, since they were last handed back
        self.updates: dict[str, int] = {}  # of each player; a lazy term is zero in those that it sits out
        self.scores: dict[str, Tensor] = {}  # of the last update that had any
        self.latest: dict[str, float] = {}  # what was handed back last
        self.started, self.nimg = time.perf_counter(), nimg

    def add(self, player: str, outcome: Outcome, norm: Tensor) -> None:
        """Takes in one update of `player` and the norm of its gradient."""
        values = {f"loss/{player}/{term}": value for term, value in outcome.terms.items()}
        values[f"loss/{player}/total"] = torch.stack(list(outcome.terms.values())).sum()
        # A scaler skips the steps whose gradients overflowed.
        values[f"gradient_norm/{player}"] = norm if self.scaler is None else norm.nan_to_num(0, 0, 0)
        values |= {f"discriminator_score/{side}": scores.mean() for side, scores in outcome.scores.items()}
        self.scores |= outcome.scores
        sums = self.sums.setdefault(player, {})
        for tag, value in values.items():
            sums[tag] = sums.get(tag, 0) + value
        self.updates[player] = self.updates.get(player, 0) + 1

    def check_finite(self, progress: Progress) -> None:
        """Raises GantoolError that names what is not finite; nan and inf survive a sum."""
        sums = {tag: value for sums in self.sums.values() for tag, value in sums.items()}
        finite = torch.isfinite(torch.stack([value.float() for value in sums.values()]))
        if self.scaler is not None and self.scaler.get_scale() < 1:
            raise breakdown("gradients in fp16", progress)
        if not bool(finite.all()):
            wrong = [tag for tag, sound in zip(sums, finite.tolist(), strict=True) if not sound]
            raise breakdown(", ".join(wrong), progress)

    def __call__(self, game: Game, generators: nn.ModuleDict, progress: Progress) -> Record:
        means = {tag: total / self.updates[player] for player, sums in self.sums.items() for tag, total in sums.items()}
        packed = torch.stack([mean.float() for mean in means.values()])
        average([packed])
        scalars = dict(zip(means, packed.tolist(), strict=True))
        for name, optimizer in self.optimizers.items():
            scalars[f"learning_rate/{name}"] = optimizer.optimizer.param_groups[0]["lr"]
            if optimizer.beta2 is not None:
                scalars[f"beta2/{name}"] = optimizer.optimizer.param_groups[0]["betas"][1]
        scalars |= game.scalars()
        now = time.perf_counter()
        scalars["speed/images_per_second"] = (progress.nimg - self.nimg) / (now - self.started)
        self.started, self.nimg = now, progress.nimg
        self.sums, self.updates, self.latest = {}, {}, scalars
        return Record(scalars, histograms={f"discriminator_score/{k}": v for k, v in self.scores.items()})


def breakdown(what: str, progress: Progress) -> Breakdown:
    """The error that ends a run whose numbers are no numbers any more."""
    return Breakdown(
        f"training broke down at {progress.nimg} images: {what} not finite; the checkpoints before are sound: "
        "resume= with a lower optimizer.lr, optimizer.clip_norm=1 or trainer.precision=fp32"
    )

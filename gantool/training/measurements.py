"""The numbers of training itself: kept on the device round by round, checked, and averaged for the log."""

import time
from typing import Any

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
    ) -> None:
        self.interval, self.optimizers, self.memory = interval, optimizers, memory
        self.scaler = scaler if scaler is not None and scaler.is_enabled() else None
        self.round: dict[tuple[str, str], Tensor] = {}  # by player and tag
        self.scores: dict[str, Tensor] = {}  # of the last update that had any
        # Sums by player and tag, and updates of each player (a lazy term is zero in those that it sits out), since they
        # were last handed back; and what was.
        for name in ("sums", "updates", "latest"):
            memory.setdefault(name, {})
        self.started, self.nimg = time.perf_counter(), nimg

    @property
    def latest(self) -> dict[str, float]:
        """The scalars that were handed back last, by tag."""
        return self.memory["latest"]

    def add(self, player: str, outcome: Outcome, norm: Tensor) -> None:
        """Takes in one update of `player` and the norm of its gradient."""
        values = {f"loss/{player}/{term}": value for term, value in outcome.terms.items()}
        values[f"loss/{player}/total"] = torch.stack(list(outcome.terms.values())).sum()
        # A scaler skips the steps whose gradients overflowed.
        values[f"gradient_norm/{player}"] = norm if self.scaler is None else norm.nan_to_num(0, 0, 0)
        values |= {f"discriminator_score/{side}": scores.mean() for side, scores in outcome.scores.items()}
        self.scores |= outcome.scores
        for tag, value in values.items():
            self.round[player, tag] = self.round.get((player, tag), 0) + value  # nan and inf survive a sum
        self.memory["updates"][player] = self.memory["updates"].get(player, 0) + 1

    def end_round(self, progress: Progress) -> None:
        """Takes the round into the sums. Raises GantoolError, on all ranks, that names what of it is not finite."""
        values = torch.stack([value.float() for value in self.round.values()])
        average([values])
        if self.scaler is not None and self.scaler.get_scale() < 1:
            raise breakdown("gradients in fp16", progress)
        finite = torch.isfinite(values)
        if not bool(finite.all()):
            wrong = [tag for (_, tag), sound in zip(self.round, finite.tolist(), strict=True) if not sound]
            raise breakdown(", ".join(wrong), progress)
        for (player, tag), value in zip(self.round, values.unbind(), strict=True):
            sums = self.memory["sums"].setdefault(player, {})
            sums[tag] = sums.get(tag, 0) + value
        self.round = {}

    def __call__(self, game: Game, generators: nn.ModuleDict, progress: Progress) -> Record:
        sums, updates = self.memory["sums"], self.memory["updates"]
        means = {tag: total / updates[player] for player in sums for tag, total in sums[player].items()}
        scalars = dict(zip(means, torch.stack(list(means.values())).tolist(), strict=True))
        for name, optimizer in self.optimizers.items():
            scalars[f"learning_rate/{name}"] = optimizer.optimizer.param_groups[0]["lr"]
            if optimizer.beta2 is not None:
                scalars[f"beta2/{name}"] = optimizer.optimizer.param_groups[0]["betas"][1]
        scalars |= game.scalars()
        self.memory |= {"sums": {}, "updates": {}, "latest": scalars}
        now = time.perf_counter()
        speed = {"speed/images_per_second": (progress.nimg - self.nimg) / (now - self.started)}
        self.started, self.nimg = now, progress.nimg
        return Record(scalars | speed, histograms={f"discriminator_score/{k}": v for k, v in self.scores.items()})


def breakdown(what: str, progress: Progress) -> Breakdown:
    """The error that ends a run whose numbers are not numbers any more."""
    return Breakdown(
        f"training broke down at {progress.nimg} images: {what} not finite; a lower optimizer.lr, "
        "optimizer.clip_norm=1 or trainer.precision=fp32 may help"
    )

"""The numbers of training itself: kept on the device for a few rounds, then checked and averaged for the log."""

import math
import time
from typing import Any

import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler

from gantool.errors import GantoolError
from gantool.game import Game, Outcome, Progress
from gantool.logging.record import Record
from gantool.ranks import average
from gantool.training.optimization import PlayerOptimizer

CHECKED = 16  # rounds after which what they measured is looked at, if nothing asked for it before


class Breakdown(GantoolError):
    """A run that cannot go on from where it is; the state before may, with a lower rate."""


class Measurements:
    """Collects what each update measured; as a monitor, hands back the means since it was last called.

    The numbers of a round stay on the device, as one tensor, until `check` fetches those of all rounds since the last
    one at once: training does not wait for them. `memory` is all the state: plain, the same on every rank, and part of
    the checkpoint, so that the log of a run that goes on is that of one that was never stopped.
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
        self.round: list[tuple[str, str, Tensor]] = []  # player, tag, scalar
        self.rounds: list[tuple[int, list[tuple[str, str]], Tensor]] = []  # nimg, players and tags, their scalars
        self.scores: dict[str, Tensor] = {}  # of the last update that had any
        # Sums by player and tag, and updates of each player (a lazy term is zero in those that it sits out), since they
        # were last handed back; and what was.
        for name in ("sums", "updates", "latest"):
            memory.setdefault(name, {})
        for sums in memory["sums"].values():  # which were tensors in earlier checkpoints
            sums.update({tag: float(total) for tag, total in sums.items()})
        self.started, self.nimg = time.perf_counter(), nimg

    @property
    def latest(self) -> dict[str, float]:
        """The scalars that were handed back last, by tag."""
        return self.memory["latest"]

    @property
    def latest_at(self) -> int:
        """Images seen when they were."""
        return self.memory.get("latest_at", 0)

    def add(self, player: str, outcome: Outcome, norm: Tensor) -> None:
        """Takes in one update of `player` and the norm of its gradient."""
        values = {f"loss/{player}/{term}": value for term, value in outcome.terms.items()}
        # A scaler skips the steps whose gradients overflowed.
        values[f"gradient_norm/{player}"] = norm if self.scaler is None else norm.nan_to_num(0, 0, 0)
        values |= {f"discriminator_score/{side}": scores.mean() for side, scores in outcome.scores.items()}
        self.scores |= outcome.scores
        self.round += [(player, tag, value) for tag, value in values.items()]
        self.memory["updates"][player] = self.memory["updates"].get(player, 0) + 1

    def end_round(self, progress: Progress) -> None:
        """Takes in the round that began at `progress`."""
        values = torch.stack([value for _, _, value in self.round])
        average([values])
        self.rounds.append((progress.nimg, [(player, tag) for player, tag, _ in self.round], values))
        self.round = []

    def check(self, game: Game) -> None:
        """Takes the rounds since the last check into the sums. Raises Breakdown, on all ranks, that names what of them
        or of the weights is not finite: to be called before anything is made of the state."""
        if not self.rounds:
            return
        found = [values for _, _, values in self.rounds]
        weights = nn.utils.get_total_norm(list(game.parameters())).to(found[0].device)
        *values, norm = torch.cat([*found, weights[None]]).tolist()
        rounds, self.rounds = self.rounds, []
        if self.scaler is not None and self.scaler.get_scale() < 1:
            raise breakdown("gradients in fp16", rounds[-1][0])
        rest = iter(values)
        for nimg, names, _ in rounds:
            measured = list(zip(names, rest, strict=False))
            if wrong := [tag for (_, tag), value in measured if not math.isfinite(value)]:
                raise breakdown(", ".join(dict.fromkeys(wrong)), nimg)
            for (player, tag), value in measured:
                sums = self.memory["sums"].setdefault(player, {})
                sums[tag] = sums.get(tag, 0.0) + value
        if not math.isfinite(norm):
            raise breakdown("weights", rounds[-1][0])

    def __call__(self, game: Game, generators: nn.ModuleDict, progress: Progress) -> Record:
        self.check(game)
        scalars: dict[str, float] = {}
        for player, sums in self.memory["sums"].items():
            means = {tag: total / self.memory["updates"][player] for tag, total in sums.items()}
            terms = [mean for tag, mean in means.items() if tag.startswith("loss/")]
            scalars |= means | {f"loss/{player}/total": sum(terms)}
        for name, optimizer in self.optimizers.items():
            scalars[f"learning_rate/{name}"] = optimizer.optimizer.param_groups[0]["lr"]
            if optimizer.beta2 is not None:
                scalars[f"beta2/{name}"] = optimizer.optimizer.param_groups[0]["betas"][1]
        scalars |= game.scalars()
        self.memory |= {"sums": {}, "updates": {}, "latest": scalars, "latest_at": progress.nimg}
        now = time.perf_counter()
        speed = {"speed/images_per_second": (progress.nimg - self.nimg) / (now - self.started)}
        self.started, self.nimg = now, progress.nimg
        return Record(scalars | speed, histograms={f"discriminator_score/{k}": v for k, v in self.scores.items()})


def breakdown(what: str, nimg: int) -> Breakdown:
    """The error that ends a run whose numbers are not numbers any more."""
    return Breakdown(
        f"training broke down at {nimg} images: {what} not finite; a lower optimizer.lr, "
        "optimizer.clip_norm=1 or trainer.precision=fp32 may help"
    )

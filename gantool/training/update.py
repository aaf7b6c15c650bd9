"""One update of one player: everything mechanical between a batch and a step, once, for all games."""

from dataclasses import dataclass

import torch
from torch import Tensor

from gantool.game import Batch, Game, Player
from gantool.training.hardware import Precision
from gantool.training.optimization import PlayerOptimizer
from gantool.training.randomness import seed_everything
from gantool.training.ranks import average


@dataclass(frozen=True)
class Measured:
    """What one update leaves for the log: detached scalars by term, score vectors, and the gradient's norm."""

    terms: dict[str, Tensor]
    scores: dict[str, Tensor]
    gradient_norm: Tensor


def update(
    game: Game,
    player: Player,
    optimizer: PlayerOptimizer,
    batch: Batch,
    *,
    precision: Precision,
    microbatch: int | None,
    seed: tuple[object, ...],
) -> Measured:
    """Minimises the player's loss on `batch` by one step.

    The batch goes through in parts of `microbatch` images. Each part, on each rank, starts from the same `seed` and
    takes its own rows of the numbers drawn (see Batch), so that the cut does not change the result.
    """
    game.requires_grad_(False)  # no gradient is computed for networks that do not move now
    for network in player.networks:
        network.requires_grad_(True)
    optimizer.optimizer.zero_grad(set_to_none=True)
    terms: dict[str, Tensor] = {}
    scores: dict[str, list[Tensor]] = {}
    for part in batch.split(microbatch or len(batch)):
        share = len(part) / len(batch)
        seed_everything(*seed)
        with precision.autocast():
            outcome = player.loss(part)
        loss = torch.stack(list(outcome.terms.values())).sum() * share
        precision.scaler.scale(loss).backward()
        for name, term in outcome.terms.items():
            terms[name] = terms.get(name, 0) + term.detach() * share
        for name, score in outcome.scores.items():
            scores.setdefault(name, []).append(score)
    average([p.grad for p in optimizer.parameters if p.grad is not None])
    norm = optimizer.step(precision)
    player.after_update()
    return Measured(terms, {name: torch.cat(parts) for name, parts in scores.items()}, norm)

"""One update of one player: everything mechanical between a batch and a step, once, for all games."""

from collections.abc import Callable

import torch
from torch import Tensor

from gantool.batch import Batch
from gantool.game import Outcome
from gantool.randomness import seed_torch
from gantool.ranks import average, world
from gantool.training.state import State

# What plays the passes of a part, as `differentiate` does.
Passes = Callable[[State, str, Batch, float], Outcome]


def differentiate(state: State, name: str, part: Batch, share: float) -> Outcome:
    """Adds the gradients of the loss of the player called `name` on a part of a batch, `share` times, to those that its
    parameters have. Returns the part's outcome, detached."""
    optimizer, precision = state.optimizers[name], state.precision
    with precision.autocast():
        outcome = state.game.players[name].loss(part)
    terms = {term: value.to(precision.device).reshape(()) for term, value in outcome.terms.items()}  # (1,) will do
    first, *rest = terms.values()
    loss = precision.scaler.scale(sum(rest, first))
    # For a gradient that is handed in, torch imports sympy, which takes half a second. `inputs`: not the images that a
    # penalty differentiates by, which are leaves too.
    (loss if share == 1 else loss * share).backward(inputs=optimizer.parameters)
    return Outcome({term: value.detach() for term, value in terms.items()}, outcome.scores)


def update(
    state: State,
    name: str,
    batch: Batch,
    *,
    microbatch: int | None,
    seed: tuple[object, ...],
    passes: Passes = differentiate,
) -> tuple[Outcome, Tensor]:
    """Minimises the loss of the player called `name` on `batch` by one step. Returns the outcome of the whole batch,
    detached, and the norm of its gradient.

    The batch goes through in parts of `microbatch` images. Each part, on each rank, starts from the same `seed` and
    takes its own rows of the numbers drawn (see Batch), so that the cut does not change the result, also where the
    ranks' shares are not equal. Except where the images of a part are seen together: batch norm, the groups of
    minibatch standard deviation, feature matching's means, the agreement of invariant-information, DRAGAN's spread,
    top-k's share; and what happens once a forward: dropout's mask, spectral norm's one iteration (tests/test_parts.py
    has the list).
    """
    player, optimizer, precision = state.game.players[name], state.optimizers[name], state.precision
    for other in state.optimizers.values():  # no gradient is computed for networks that do not move now
        for parameter in other.parameters:
            parameter.requires_grad = False
    for parameter in optimizer.parameters:
        parameter.requires_grad, parameter.grad = True, None
    parts: list[tuple[Outcome, float]] = []
    for part in batch.split(microbatch or len(batch)):
        share = len(part) * world() / batch.total  # gradients and terms are then averaged over the ranks
        seed_torch(*seed)
        parts.append((passes(state, name, part, share), share))
    average([p.grad for p in optimizer.parameters if p.grad is not None])
    norm = optimizer.step(precision)
    player.after_update()
    optimizer.keep()
    return _whole(parts), norm.to(precision.device)


def _whole(parts: list[tuple[Outcome, float]]) -> Outcome:
    """The outcome of a batch from those of its parts, and what share of it each is."""
    first, share = parts[0]
    if len(parts) == 1 and share == 1:
        return first
    terms = {name: torch.stack([outcome.terms[name] * share for outcome, share in parts]).sum() for name in first.terms}
    return Outcome(terms, {side: torch.cat([outcome.scores[side] for outcome, _ in parts]) for side in first.scores})

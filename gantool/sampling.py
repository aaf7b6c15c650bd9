"""Images that a game makes, block by block: the same ones for a command, a score and a grid of one seed."""

import copy
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

import torch
from torch import Tensor, nn

from gantool.batch import Draws, Request
from gantool.errors import GantoolError
from gantool.game import Game
from gantool.games.gan import GAN
from gantool.images import normalise, to_stored
from gantool.logging.progress import Block
from gantool.randomness import forked, seed_torch

Network = TypeVar("Network", bound=nn.Module)
BLOCK = 100  # images that share a seed: an image depends on its number, not on the batch it was made in


@torch.no_grad()
def sampled(
    game: Game,
    generators: nn.ModuleDict,
    device: torch.device,
    *,
    num: int,
    seed: int,
    labels: Tensor | None = None,
    truncation: float | None = None,
    batch_size: int = BLOCK,
    firsts: Iterable[int] | None = None,
    bits: int = 8,
) -> Iterator[Block]:
    """(n, C, H, W) of 8 or 16 `bits` as they are stored (images.py), on the CPU, and their labels, until there are
    `num`. `labels` (at least num,) of a conditional game; at most `batch_size` images go through the generator at once.
    `firsts`: the numbers of the first images of the blocks that are wanted, multiples of BLOCK; None: all. Seeds
    torch."""
    for first in range(0, num, BLOCK) if firsts is None else firsts:
        count = min(BLOCK, num - first)
        asked = None if labels is None else filled(labels[first : first + BLOCK], BLOCK)
        request = Request(Draws(BLOCK, device), None if asked is None else asked.to(device), truncation=truncation)
        made = []
        for part in request.split(batch_size):
            if part.draws.offset < count:
                seed_torch("sample", seed, first)  # each part takes its own rows of the same draws
                made.append(to_stored(game.sample(part, generators), bits).cpu())
        yield torch.cat(made)[:count], None if asked is None else asked[:count]


@torch.no_grad()
def standing(
    game: Game,
    generators: nn.ModuleDict,
    device: torch.device,
    passes: int,
    *,
    seed: int,
    pool: int | Tensor = 0,
    truncation: float | None = None,
) -> nn.ModuleDict:
    """A copy of `generators` with standing statistics (Brock 2019): its batch norm has the mean and variance of
    `passes` batches of 100 images, of latents as they will be sampled and of random labels: of so many classes, or of
    a `pool` of vectors. 0 passes: the same generators. Seeds torch; raises GantoolError where there is no batch norm.
    """
    if not passes:
        return generators
    check_standing(game, passes)
    made = gathering(generators)
    for number in range(passes):
        seed_torch("standing", seed, number)
        draws = Draws(BLOCK, device)
        if isinstance(pool, Tensor):
            labels = pool.to(device)[draws.randint(len(pool))]
        else:
            labels = draws.randint(pool) if pool else None
        game.sample(Request(draws, labels, truncation=truncation), made)
    return made.eval()


def gathering(network: Network) -> Network:
    """A copy whose batch norm gathers its mean and variance anew, over the batches that it is shown until .eval()."""
    made = copy.deepcopy(network)
    for norm in batch_norms(made):
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over the passes
        norm.train()
    return made


def check_standing(game: Game, passes: int) -> None:
    """Raises GantoolError where a game has no standing statistics to gather and `passes` ask for them."""
    if passes and (game.translates or not batch_norms(game.generators)):
        lack = "translates images" if game.translates else "has a generator without batch norm"
        raise GantoolError(f"standing_statistics={passes}: this model {lack}; leave it out")


def check_truncation(game: Game, truncation: float | None) -> None:
    """Raises GantoolError where the latents of a game cannot be truncated."""
    if truncation is not None and isinstance(game, GAN):
        cpu = torch.device("cpu")
        with forked(cpu):
            game.latent.sample(Draws(2, cpu), truncation)


def batch_norms(network: nn.Module) -> list[nn.modules.batchnorm._BatchNorm]:
    """Those that keep statistics."""
    norms = (module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm))
    return [norm for norm in norms if norm.running_mean is not None]


@torch.no_grad()
def translated(
    network: nn.Module,
    images: Iterable[Tensor],
    device: torch.device,
    *,
    seed: int,
    batch_size: int,
    first: int = 0,
    bits: int = 8,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of sources and translations, (n, C, H, W) on the CPU, the latter of 8 or 16 `bits`, of (C, H, W) images
    as they are stored, the number `first` and those after it. Dropout, pix2pix's noise, goes by batch. Seeds torch."""
    rest = iter(images)
    done = first
    while batch := list(islice(rest, batch_size)):
        seed_torch("translate", seed, done)
        source = torch.stack(batch)
        yield source, to_stored(network(normalise(source.to(device))), bits).cpu()
        done += len(batch)


def filled(labels: Tensor, count: int) -> Tensor:
    """`count` labels: these, from the start again where they are not enough."""
    return labels[torch.arange(count, device=labels.device) % len(labels)]

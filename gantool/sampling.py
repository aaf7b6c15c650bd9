"""Images that a game makes, block by block: the same ones for a command, a score and a grid of one seed."""

from collections.abc import Iterable, Iterator
from itertools import islice

import torch
from torch import Tensor, nn

from gantool.batch import Draws, Request
from gantool.game import Game
from gantool.logging.grid import to_uint8
from gantool.logging.progress import Block
from gantool.randomness import seed_torch

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
) -> Iterator[Block]:
    """(n, C, H, W) uint8 on the CPU and their labels, until there are `num`. `labels` (at least num,) of a conditional
    game; at most `batch_size` images go through the generator at once. Seeds torch."""
    for first in range(0, num, BLOCK):
        count = min(BLOCK, num - first)
        asked = None if labels is None else filled(labels[first : first + BLOCK], BLOCK)
        request = Request(Draws(BLOCK, device), None if asked is None else asked.to(device), truncation=truncation)
        made = []
        for part in request.split(batch_size):
            if part.draws.offset < count:
                seed_torch("sample", seed, first)  # each part takes its own rows of the same draws
                made.append(to_uint8(game.sample(part, generators)).cpu())
        yield torch.cat(made)[:count], None if asked is None else asked[:count]


@torch.no_grad()
def translated(
    network: nn.Module, images: Iterable[Tensor], device: torch.device, *, seed: int, batch_size: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of sources and translations, (n, C, H, W) uint8 on the CPU, of (C, H, W) uint8 images. Dropout, pix2pix's
    noise, goes by batch. Seeds torch."""
    rest = iter(images)
    done = 0
    while batch := list(islice(rest, batch_size)):
        seed_torch("translate", seed, done)
        source = torch.stack(batch)
        yield source, to_uint8(network(source.to(device).float() / 127.5 - 1)).cpu()
        done += len(batch)


def filled(labels: Tensor, count: int) -> Tensor:
    """(count,) labels: these, from the start again where they are not enough."""
    return labels.repeat(-(-count // len(labels)))[:count]

"""What games that translate images share: their turns, and the grids they show."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from gantool.batch import Batch
from gantool.game import Progress, Turn
from gantool.games.adversary import Adversary

_COLUMNS = 8
SHOWN = 16  # images of a batch


def turn_without_latent(
    adversary: Adversary, real: Tensor, fake: Tensor, see: Callable[[Tensor], Tensor], batch: Batch, progress: Progress
) -> Turn:
    """A turn, which `see` augments, of a game whose generators start from images: no latent, no labels."""
    before, z = adversary.before(real, fake, see), real.new_empty(len(real), 0)
    return Turn(see(real), see(fake), None, z, batch, progress, before=before)


def source_of(batch: Batch) -> Tensor:
    """(N, C, H, W) images that are to be translated."""
    assert batch.source is not None, "the data set has two sides, as a game that translates needs them"
    return batch.source


def strips(views: Sequence[Tensor]) -> tuple[Tensor, int]:
    """Views (N, C, H, W) of the same images below each other: a row of the first view, one of the second, ...; then
    the next images. Returns all of them in this order and the columns of their grid; at most 16 images."""
    num = len(views[0])
    columns = min(_COLUMNS, num)
    num = min(SHOWN, num) // columns * columns
    rows = zip(*(view[:num].split(columns) for view in views), strict=True)
    return torch.cat([torch.cat(row) for row in rows]), columns

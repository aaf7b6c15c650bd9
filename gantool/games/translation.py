"""What games that translate images share: the grids they show, and what they cannot be given."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from gantool.errors import GantoolError

_COLUMNS = 8
_SHOWN = 16  # images


def strips(views: Sequence[Tensor]) -> tuple[Tensor, int]:
    """Views (N, C, H, W) of the same images below each other: a row of the first view, one of the second, ...; then
    the next images. Returns all of them in this order and the columns of their grid; at most 16 images."""
    num = len(views[0])
    columns = min(_COLUMNS, num)
    num = min(_SHOWN, num) // columns * columns
    rows = zip(*(view[:num].split(columns) for view in views), strict=True)
    return torch.cat([torch.cat(row) for row in rows]), columns


def first_images(batch: Tensor) -> Tensor:
    """Those of a batch that `strips` shows."""
    return batch[:_SHOWN]


def refuse_auxiliaries(auxiliaries: Mapping[str, object] | None, game: str) -> None:
    """Raises GantoolError where there are any: they read latents, labels and features that `game` has not."""
    if auxiliaries:
        names = ", ".join(auxiliaries)
        raise GantoolError(f"auxiliary={names}: model={game} has no latent, labels or features to read; leave it out")

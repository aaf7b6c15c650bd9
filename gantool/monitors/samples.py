"""Grids of generated images from fixed latents or sources: the same at every point of a run, so one sees them grow."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from gantool.game import Batch, Game, Progress
from gantool.logging.grid import grid
from gantool.logging.record import Record

_COLUMNS = 8  # unconditional: 8 rows of 8
_CLASS_COLUMNS = 10  # conditional: a row per class
_MAX_CLASSES = 20
_SEARCHED = 32  # reals looked at per class to fill its row, and no more than 1024 in all


class SampleGrid:
    """samples/generated every `interval` images, and samples/real once, before the first round; beside them, or alone
    where images are translated, the game's own pictures.

    `fixed(count)` gives that many real images, always the same ones (data.Stream.fixed). With `num_classes` (0 for an
    unconditional game) both grids have a row per class, of at most 20 classes.
    """

    name = "samples"

    def __init__(self, fixed: Callable[[int], Batch], *, interval: int, seed: int = 0, num_classes: int = 0) -> None:
        self.interval, self.seed = interval, seed
        if num_classes:
            self.columns = _CLASS_COLUMNS
            self.batch = rows_by_class(fixed(min(_SEARCHED * num_classes, 1024)), num_classes)
        else:
            self.columns = _COLUMNS
            self.batch = fixed(_COLUMNS**2)

    @torch.no_grad()
    def __call__(self, game: Game, generators: nn.ModuleDict, progress: Progress) -> Record:
        """(C, H, W) uint8 grids of what `generators` make of the fixed latents."""
        device = self.batch.images.device
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(self.seed)
            images = {}
            if self.batch.source is None:
                images["samples/generated"] = grid(game.sample(self.batch, generators), self.columns)
            for picture, (made, columns) in game.pictures(self.batch, generators).items():
                images[f"samples/{picture}"] = grid(made, columns)
        if progress.nimg == 0 and self.batch.source is None:
            images["samples/real"] = grid(self.batch.images, self.columns)
        return Record(images=images)


def rows_by_class(batch: Batch, num_classes: int, columns: int = _CLASS_COLUMNS) -> Batch:
    """`columns` images of each class in turn; a class with fewer repeats them, one without any has black images."""
    labels = batch.labels
    assert labels is not None, "a conditional game has labelled data"
    classes = range(min(num_classes, _MAX_CLASSES))
    images = [_first(batch.images[labels == label], columns, batch.images) for label in classes]
    rows = torch.arange(len(classes), device=labels.device).repeat_interleave(columns)
    return Batch(torch.cat(images), rows)


def _first(images: Tensor, count: int, like: Tensor) -> Tensor:
    if len(images) == 0:
        return like.new_full((count, *like.shape[1:]), -1)
    return images[torch.arange(count, device=images.device) % len(images)]

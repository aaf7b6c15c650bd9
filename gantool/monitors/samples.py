"""Grids of generated images from fixed latents or sources: the same at every point of a run, so one sees them grow."""

from collections.abc import Sequence

import torch
from torch import nn

from gantool.data.fixed import CLASS_COLUMNS, COLUMNS, Fixed, fixed_images
from gantool.game import Game, Progress
from gantool.logging.grid import grid
from gantool.logging.record import Record
from gantool.randomness import forked


class SampleGrid:
    """samples/generated, and samples/real once, before the first round; beside them, or alone where images are
    translated, the game's own pictures.

    `fixed(count)` gives that many real images, always the same ones (data.Stream.fixed). With `num_classes` (0 for an
    unconditional game) both grids have a row per class, of at most 20 classes, by name where `class_names` has
    them.
    """

    def __init__(
        self,
        fixed: Fixed,
        num_classes: int = 0,
        latent_seed: int = 0,
        class_names: Sequence[str] = (),
    ) -> None:
        labels = fixed(1).labels
        num_classes = 0 if labels is not None and labels.is_floating_point() else num_classes  # vectors have no rows
        self.latent_seed, self.columns = latent_seed, CLASS_COLUMNS if num_classes else COLUMNS
        self.batch = fixed_images(fixed, num_classes)
        self.rows = list(class_names[: len(self.batch.images) // CLASS_COLUMNS]) if num_classes else []

    def __call__(self, game: Game, generators: nn.ModuleDict, progress: Progress) -> Record:
        """(C, H, W) uint8 grids of what `generators` make of the fixed latents."""
        with forked(self.batch.images.device):
            torch.manual_seed(self.latent_seed)
            images = {}
            if self.batch.source is None:
                images["samples/generated"] = grid(game.sample(self.batch.request, generators), self.columns)
            for picture, (made, columns) in game.pictures(self.batch, generators).items():
                images[f"samples/{picture}"] = grid(made, columns)
        if progress.nimg == 0 and self.batch.source is None:
            images["samples/real"] = grid(self.batch.images, self.columns)
        rows = {tag: self.rows for tag in ("samples/generated", "samples/real") if tag in images and self.rows}
        return Record(images=images, rows=rows)

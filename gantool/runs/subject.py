"""What an analysis is about: a run of a GAN and the images it was trained on."""

from dataclasses import dataclass

import torch
from torch import Tensor

from gantool.data.image_set import ImageSet
from gantool.errors import GantoolError
from gantool.games.gan import GAN
from gantool.runs.sampling import chosen_classes
from gantool.runs.trained import TrainedRun


@dataclass(frozen=True)
class Subject:
    """A run whose game is a GAN."""

    run: TrainedRun
    game: GAN
    classes: list[int]  # that its images take in turn; [] for an unconditional run
    image_set: ImageSet

    @property
    def headline(self) -> str:
        """Which run at which point, for the titles of figures."""
        return f"{self.run.folder.name} at {self.run.nimg / 1000:g} kimg"

    def pool(self, only: list[int]) -> Tensor:
        """(n,) rows of the training images, of the classes in `only` where it names any."""
        labels = self.image_set.labels
        if labels is None or not only:
            return torch.arange(len(self.image_set.images))
        return torch.isin(labels, torch.tensor(only)).nonzero()[:, 0]


def open_subject(run: TrainedRun, asked: list[int] | int | None, command: str) -> Subject:
    """The run with the images it was trained on; raises GantoolError for another kind of game, and for an unknown
    class in `asked`."""
    if not isinstance(run.game, GAN):
        raise GantoolError(f"{run.folder} is a CycleGAN or pix2pix run: gantool {command} needs a latent")
    classes = chosen_classes(run, asked)
    return Subject(run, run.game, classes, run.images())

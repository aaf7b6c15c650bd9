"""What an analysis is about: a run of a GAN and the images it was trained on."""

from dataclasses import dataclass

import torch
from torch import Tensor

from gantool.data.image_set import ImageSet
from gantool.games.gan import GAN
from gantool.runs.labelled import Asked
from gantool.runs.sampling import chosen_labels
from gantool.runs.trained import TrainedRun


@dataclass(frozen=True)
class Subject:
    """A run whose game is a GAN."""

    run: TrainedRun
    game: GAN
    labels: Tensor | None  # (n,) classes or (n, K) vectors that its images take in turn; None: unconditional
    image_set: ImageSet

    @property
    def classes(self) -> list[int]:
        """Those that its images take in turn; [] for an unconditional run, and where labels are vectors."""
        return [] if self.labels is None or self.labels.ndim > 1 else self.labels.tolist()

    @property
    def headline(self) -> str:
        """Which run at which point, for the titles of figures."""
        return f"{self.run.folder.name} at {self.run.nimg / 1000:g} kimg"

    def names(self, label: Tensor | None) -> list[str]:
        """['zebra'] for a class, [] for none and for a vector."""
        return [] if label is None or label.ndim else [self.image_set.class_names[int(label)]]

    def pool(self, only: list[int]) -> Tensor:
        """(n,) rows of the training images, of the classes in `only` where it names any."""
        labels = self.image_set.classes
        if labels is None or not only:
            return torch.arange(len(self.image_set.images))
        return torch.isin(labels, torch.tensor(only)).nonzero()[:, 0]


def open_subject(run: TrainedRun, asked: Asked, command: str) -> Subject:
    """The run with the images it was trained on; raises GantoolError for another kind of game, and for an unknown
    class in `asked`."""
    return Subject(run, run.gan(command), chosen_labels(run, asked), run.images())

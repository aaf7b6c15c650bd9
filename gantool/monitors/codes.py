"""How well generated images are of the class asked for, and how well a code of the latent tells classes that nobody
showed the generator (InfoGAN, Chen 2016)."""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from gantool.batch import Batch, Draws, Request
from gantool.data.image_set import ImageSet
from gantool.errors import DoesNotApply
from gantool.game import Game, Progress
from gantool.images import normalise, to_uint8
from gantool.logging.record import Record
from gantool.metrics.features import Features
from gantool.randomness import forked

_ROUNDS = 20  # traversals looked at: 20 of ten latents and ten values are 2,000 images
_BATCH = 100


class Described(Protocol):
    """A data set, prepared or not."""

    @property
    def name(self) -> str: ...
    @property
    def class_names(self) -> Sequence[str]: ...
    @property
    def vectors(self) -> object: ...  # its labels where they are, or whether they are; None, False: they are classes


def check_label_agreement(features: Features, data: Described, num_classes: int) -> None:
    """Raises DoesNotApply where LabelAgreement does not."""
    if not num_classes:
        raise DoesNotApply("monitor=labels is for conditional models: add model.conditional=true, or leave it out")
    check_classes("labels", features, data)


def check_code_agreement(features: Features, data: Described, game: Game, num_classes: int) -> None:
    """Raises DoesNotApply where CodeAgreement does not."""
    if not game.codes:
        raise DoesNotApply("monitor=codes is for latents with categorical codes: add model/latent=structured")
    if num_classes:
        raise DoesNotApply("monitor=codes: with model.conditional=true the label is the class; leave it out")
    check_classes("codes", features, data)


def check_classes(monitor: str, features: Features, data: Described) -> None:
    """Raises DoesNotApply unless the features' classifier knows the classes of the data set."""
    vectors = data.vectors is not None and data.vectors is not False
    if vectors or not features.class_names or list(features.class_names) != list(data.class_names):
        raise DoesNotApply(
            f"monitor={monitor} needs a classifier that knows the classes of {data.name}; that of "
            f"features={features.name} does not: choose features=classifier, or leave it out"
        )


class LabelAgreement:
    """codes/label: the share of 2,000 generated images that the features' classifier takes for the class asked for.

    The labels come in turn. Raises DoesNotApply for a game that is not told labels, or where the classifier's classes
    are not those of the data set.
    """

    def __init__(
        self, features: Features, image_set: ImageSet, device: torch.device, num_classes: int, seed: int = 0
    ) -> None:
        check_label_agreement(features, image_set, num_classes)
        self.features, self.seed, self.device, self.num_classes = features.to(device), seed, device, num_classes

    def __call__(self, game: Game, generators: nn.ModuleDict, progress: Progress) -> Record:
        """The scalar and how it was measured."""
        rounds = (torch.arange(_ROUNDS * _BATCH, device=self.device) % self.num_classes).split(_BATCH)
        right = 0
        with forked(self.device):
            torch.manual_seed(self.seed)
            for labels in rounds:
                made = to_uint8(game.sample(Request(Draws(_BATCH, self.device), labels), generators))
                right += int((self.features(made)[1].argmax(1) == labels).sum())
        protocol = {"classifier": self.features.name, "num_fake": _BATCH * _ROUNDS, "ema": True}
        return Record(scalars={"codes/label": right / (_BATCH * _ROUNDS)}, protocol=protocol)


class CodeAgreement:
    """codes/<code>: the share of generated images whose class is the one that their code's value stands for.

    The features' classifier names the class; which value stands for which class is the best one-to-one matching. The
    same images decide the matching and the share. Raises DoesNotApply for a latent without categorical codes, for a
    game that is told labels, or where the classifier's classes are not those of the data set.
    """

    def __init__(
        self, features: Features, image_set: ImageSet, device: torch.device, game: Game, num_classes: int, seed: int = 0
    ) -> None:
        check_code_agreement(features, image_set, game, num_classes)
        self.features, self.seed, self.device = features.to(device), seed, device
        self.images = normalise(image_set.images[:10])

    def __call__(self, game: Game, generators: nn.ModuleDict, progress: Progress) -> Record:
        """Scalars codes/category0, ...."""
        batch = Batch(self.images.to(self.device))
        seen: dict[str, list[Tensor]] = {}
        with forked(self.device):
            torch.manual_seed(self.seed)
            for _ in range(_ROUNDS):
                for code, (made, columns) in game.pictures(batch, generators).items():
                    if code in game.codes:
                        predicted = self.features(to_uint8(made))[1].argmax(1)
                        seen.setdefault(code, []).append(predicted.view(-1, columns))
        shares = {f"codes/{code}": agreement(torch.cat(rows, 1)) for code, rows in seen.items()}
        protocol = {"classifier": self.features.name, "matching": "one-to-one, on the same images", "ema": True}
        return Record(scalars=shares, protocol=protocol)


def agreement(predicted: Tensor) -> float:
    """Share of (values, n) predicted classes that are their row's, under the best one-to-one matching of rows."""
    from scipy.optimize import linear_sum_assignment

    values, count = predicted.shape
    classes = max(values, int(predicted.max()) + 1)
    counts = torch.stack([torch.bincount(row, minlength=classes) for row in predicted.cpu()])
    rows, columns = linear_sum_assignment(counts.numpy(), maximize=True)
    return float(counts[rows, columns].sum()) / (values * count)

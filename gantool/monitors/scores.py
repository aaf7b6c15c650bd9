"""Scores the averaged generators while they train."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn

from gantool.data.image_set import ImageSet
from gantool.data.source import Source
from gantool.data.two_sided import TwoSided
from gantool.errors import GantoolError
from gantool.game import Game, Progress
from gantool.logging.progress import Block
from gantool.logging.record import Record
from gantool.metrics.features import Features
from gantool.metrics.score import Score, by_name, check_labels
from gantool.metrics.scorer import Scorer
from gantool.randomness import forked
from gantool.ranks import mine
from gantool.sampling import BLOCK, check_standing, sampled, standing, translated

NUM = 5000  # images that are made for a score where nothing else is said


class Scores:
    """Makes `num` images, those of `gantool sample` with the same seed, and scores them against the data set. The ranks
    have a share of the work each.

    Labels are as frequent as in the data set. Of a game that translates, each source is translated once. The same
    generators always get the same scores, and those that gantool evaluate gives them. `standing_statistics`: passes in
    which batch norm's are gathered anew (see gantool.sampling.standing).
    """

    def __init__(
        self,
        features: Features,
        scores: Mapping[str, Score],
        image_set: ImageSet,
        device: torch.device,
        game: Game,
        num_classes: int = 0,
        num: int = NUM,
        batch_size: int = 100,
        seed: int = 0,
        standing_statistics: int = 0,
    ) -> None:
        check_standing(game, standing_statistics)
        self.passes = standing_statistics
        self.more: dict[str, object] = {"ema": True, "truncation": None, "standing_statistics": self.passes}
        vectors = image_set.kept_vectors  # what the run has of them once it is trained, for the same scores
        self.pool = num_classes if vectors is None or not num_classes else vectors
        if image_set.source is not None:
            num = min(num, len(image_set.source))
        self.scorer = Scorer(features, scores, image_set, num=num, batch_size=batch_size, seed=seed, device=device)
        check_conditional(self.scorer.scores, num_classes)

    def how(self) -> dict[str, object]:
        """The protocol but for the floor; known before any network runs."""
        return {**self.scorer.how(), **self.more}

    def __call__(self, game: Game, generators: nn.ModuleDict, progress: Progress) -> Record:
        """Scalars metrics/<score> and margin/<score> with their protocol."""
        device = self.scorer.device
        with forked(device):
            how = {"seed": self.scorer.seed, "pool": self.pool}
            generators = standing(game, generators, device, self.passes, **how)
            scores, margins = self.scorer.score_with_margins(made(game, generators, self.scorer))
        scalars = {f"metrics/{name}": value for name, value in scores.items()}
        scalars |= {f"margin/{name}": value for name, value in margins.items()}
        return Record(scalars, protocol=self.scorer.protocol(**self.more))


def check_conditional(scores: Mapping[str, Score], num_classes: int) -> None:
    """Raises GantoolError for scores, by name, that need labels where generated images have none."""
    if names := [name for name, score in scores.items() if score.needs_labels and not num_classes]:
        raise GantoolError(f"{', '.join(names)} needs a conditional model: add model.conditional=true, or leave it out")


def foreseen(
    features: Features, scores: Mapping[str, Score], source: Source | TwoSided, num: int, num_classes: int
) -> dict[str, Score]:
    """The scores of a run by their names; raises GantoolError for what shows before its images are read."""
    found = by_name(features, scores)
    for name, score in found.items():
        labels = source.num_classes > 0
        check_labels(name, score, source.name, labels=labels, classes=labels and not source.vectors)
        if num < (least := max(score.fewest, 1)):
            raise GantoolError(f"num={num}: {name} needs at least {least} images a side: take more, or leave it out")
    check_conditional(found, num_classes)
    return found


def made(game: Game, generators: nn.ModuleDict, scorer: Scorer, truncation: float | None = None) -> Iterator[Block]:
    """The images that are to be scored, this rank's share of them. Seeds torch."""
    settings: dict[str, Any] = {"seed": scorer.seed, "batch_size": scorer.batch_size}
    if not game.translates:
        settings |= {"labels": scorer.labels(scorer.num), "firsts": mine(range(0, scorer.num, BLOCK))}
        yield from sampled(game, generators, scorer.device, num=scorer.num, truncation=truncation, **settings)
        return
    source = scorer.image_set.source
    assert source is not None, "the data set has two sides, as the game translates"
    network = next(iter(generators.values()))  # from side A to side B
    for first in mine(range(0, scorer.num, scorer.batch_size)):
        batch = source[first : min(first + scorer.batch_size, scorer.num)]
        yield from ((made, None) for _, made in translated(network, batch, scorer.device, first=first, **settings))

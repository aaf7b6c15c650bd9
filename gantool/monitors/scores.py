"""Scores the averaged generators while they train."""

from collections.abc import Callable
from itertools import islice

import torch
from torch import Tensor, nn

from gantool.game import Batch, Game, Progress
from gantool.logging.record import Record
from gantool.metrics.scorer import Scorer


class Scores:
    """Samples `scorer.num_samples` images and scores them; the same generators always get the same scores.

    Labels are drawn as the data set has them; `truncation` keeps latents within so many standard deviations. Of a game
    that translates, each source is translated once.
    """

    name = "scores"

    def __init__(self, scorer: Scorer, interval: int, truncation: float | None = None) -> None:
        self.scorer = scorer
        self.interval = interval
        self.truncation = truncation

    @torch.no_grad()
    def __call__(self, game: Game, generators: nn.ModuleDict, progress: Progress) -> Record:
        """Scalars metrics/<score> with their protocol."""
        device = self.scorer.device
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(self.scorer.seed)
            batches = self._translated() if game.translates else self._drawn()
            scores, protocol = self.scorer.score(lambda count: game.sample(batches(count), generators))
        return Record(
            scalars={f"metrics/{name}": value for name, value in scores.items()}, protocol={**protocol, "ema": True}
        )

    def _drawn(self) -> Callable[[int], Batch]:
        """Real images drawn with replacement, so that their labels follow the data set's distribution."""
        images, labels = self.scorer.image_set.images, self.scorer.image_set.labels

        def draw(count: int) -> Batch:
            rows = torch.randint(len(images), (count,))
            chosen = None if labels is None else labels[rows].to(self.scorer.device)
            return Batch(self._reals(images, rows), chosen, truncation=self.truncation)

        return draw

    def _translated(self) -> Callable[[int], Batch]:
        """The sources one after the other."""
        source = self.scorer.image_set.source
        assert source is not None, "the data set has two sides, as the game translates"
        rows = iter(range(len(source)))

        def take(count: int) -> Batch:
            images = self._reals(source, torch.tensor(list(islice(rows, count))))
            return Batch(images, source=images)

        return take

    def _reals(self, images: Tensor, rows: Tensor) -> Tensor:
        return images[rows].to(self.scorer.device).float() / 127.5 - 1

"""Scores the averaged generators while they train."""

import torch
from torch import Tensor, nn

from gantool.game import Batch, Game, Progress
from gantool.logging.record import Record
from gantool.metrics.scorer import Scorer


class Scores:
    """Samples `scorer.num_samples` images and scores them; the same generators always get the same scores.

    Labels are drawn as the data set has them; `truncation` keeps latents within so many standard deviations.
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
            scores, protocol = self.scorer.score(lambda count: game.sample(self._batch(count), generators))
        return Record(
            scalars={f"metrics/{name}": value for name, value in scores.items()}, protocol={**protocol, "ema": True}
        )

    def _batch(self, count: int) -> Batch:
        """Real images drawn with replacement, so that their labels follow the data set's distribution."""
        images, labels = self.scorer.image_set.images, self.scorer.image_set.labels
        rows = torch.randint(len(images), (count,))
        device = self.scorer.device
        reals: Tensor = images[rows].to(device).float() / 127.5 - 1
        return Batch(reals, None if labels is None else labels[rows].to(device), truncation=self.truncation)

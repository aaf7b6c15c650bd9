"""How well generated images are of the class asked for, and how well a code of the latent tells classes that nobody
showed the generator (InfoGAN, Chen 2016)."""

import torch
from torch import nn

from gantool.game import Batch, Game, Progress
from gantool.logging.grid import to_uint8
from gantool.logging.record import Record
from gantool.metrics.scorer import Scorer

_ROUNDS = 20  # traversals looked at: 20 of ten latents and ten values are 2,000 images
_BATCH = 100


class LabelAgreement:
    """codes/label: the share of 2,000 generated images that the scorer's classifier takes for the class asked for.

    The labels come in turn. For conditional games whose classes are those of the classifier.
    """

    name = "labels"

    def __init__(self, scorer: Scorer, interval: int) -> None:
        self.scorer, self.interval = scorer, interval

    @torch.no_grad()
    def __call__(self, game: Game, generators: nn.ModuleDict, progress: Progress) -> Record:
        """The scalar and how it was measured."""
        images, num_classes = self.scorer.image_set.images, self.scorer.image_set.num_classes
        device = self.scorer.device
        labels = torch.arange(_BATCH, device=device) % num_classes
        right = 0
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(self.scorer.seed)
            for _ in range(_ROUNDS):
                batch = Batch(torch.zeros(_BATCH, *images.shape[1:], device=device), labels)
                made = to_uint8(game.sample(batch, generators))
                right += int((self.scorer.features(made)[1].argmax(1) == labels).sum())
        protocol = {"classifier": self.scorer.features.name, "num_fake": _BATCH * _ROUNDS, "ema": True}
        return Record(scalars={"codes/label": right / (_BATCH * _ROUNDS)}, protocol=protocol)


class CodeAgreement:
    """codes/<code>: the share of generated images whose class is the one that their code's value stands for.

    The scorer's classifier names the class; which value stands for which class is the best one-to-one matching. The
    same images decide the matching and the share.
    """

    name = "codes"

    def __init__(self, scorer: Scorer, interval: int) -> None:
        self.scorer, self.interval = scorer, interval

    @torch.no_grad()
    def __call__(self, game: Game, generators: nn.ModuleDict, progress: Progress) -> Record:
        """Scalars codes/category0, ...; none for a latent without categorical codes."""
        images = self.scorer.image_set.images
        device = self.scorer.device
        seen: dict[str, list[torch.Tensor]] = {}
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(self.scorer.seed)
            for _ in range(_ROUNDS):
                labels = None if self.scorer.image_set.labels is None else self.scorer.image_set.labels[:10].to(device)
                batch = Batch(torch.zeros(10, *images.shape[1:], device=device), labels)
                for code, (made, columns) in game.pictures(batch, generators).items():
                    if code.startswith("category"):
                        predicted = self.scorer.features(to_uint8(made))[1].argmax(1)
                        seen.setdefault(code, []).append(predicted.view(-1, columns))
        shares = {f"codes/{code}": agreement(torch.cat(rows, 1)) for code, rows in seen.items()}
        protocol = {"classifier": self.scorer.features.name, "matching": "one-to-one, on the same images", "ema": True}
        return Record(scalars=shares, protocol=protocol if shares else {})


def agreement(predicted: torch.Tensor) -> float:
    """Share of (values, n) predicted classes that are their row's, under the best one-to-one matching of rows."""
    from scipy.optimize import linear_sum_assignment

    values, count = predicted.shape
    classes = max(values, int(predicted.max()) + 1)
    counts = torch.stack([torch.bincount(row, minlength=classes) for row in predicted.cpu()])
    rows, columns = linear_sum_assignment(counts.numpy(), maximize=True)
    return float(counts[rows, columns].sum()) / (values * count)

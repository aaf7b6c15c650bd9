"""Terms that hold a discriminator to like scores of like images, and to scores near those of other times."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gantool.batch import Draws
from gantool.errors import GantoolError
from gantool.game import Turn
from gantool.steady import check_steady


@dataclass(frozen=True)
class Consistency:
    """real_weight * (D(x) - D(T(x)))^2 of real images and fake_weight * the same of fake ones: balanced consistency
    regularisation (bCR, Zhao 2021); with `fake_weight` 0, CR (Zhang 2020). Of raw scores, as the papers have it.

    `transform` is T: (N, C, H, W) images and their random numbers -> the same. The images are as the discriminator sees
    them, so after an augmentation.
    """

    transform: Callable[[Tensor, Draws], Tensor]
    real_weight: float = 10.0
    fake_weight: float = 10.0
    every: int = 1
    player: Literal["discriminator"] = "discriminator"
    allow_batch_norm: bool = True

    def __post_init__(self) -> None:
        check_steady(self.transform, "regularizer.consistency.transform")

    def __call__(self, network: nn.Module, turn: Turn) -> Tensor:
        sides = [
            (self.real_weight, turn.real, turn.labels, turn.real_score),
            (self.fake_weight, turn.fake, turn.fake_labels, turn.fake_score),
        ]
        terms = []
        for weight, images, labels, score in sides:
            if weight:
                moved = network(self.transform(images, turn.batch.draws), labels)
                score = network(images, labels) if score is None else score
                terms.append(weight * (score - moved).square().mean())
        if not terms:
            raise GantoolError("regularizer.consistency: both weights are 0: give one of them, or leave it out")
        return torch.stack(terms).sum()


@dataclass(frozen=True)
class LatentConsistency:
    """weight * (D(G(z)) - D(G(z + noise)))^2, noise ~ N(0, `spread`): the discriminator's part of zCR (Zhao 2021)."""

    weight: float = 5.0
    spread: float = 0.03
    every: int = 1
    player: Literal["discriminator"] = "discriminator"
    allow_batch_norm: bool = True

    def __call__(self, network: nn.Module, turn: Turn) -> Tensor:
        near, far = (network(images, turn.fake_labels) for images in _neighbours(turn, self.spread))
        return self.weight * (near - far).square().mean()


@dataclass(frozen=True)
class LatentDiversity:
    """-weight * (G(z) - G(z + noise))^2: the generator's part of zCR (Zhao 2021), which wants other images of other
    latents."""

    weight: float = 0.5
    spread: float = 0.03
    every: int = 1
    player: Literal["generator"] = "generator"
    allow_batch_norm: bool = True

    def __call__(self, network: nn.Module, turn: Turn) -> Tensor:
        near, far = _neighbours(turn, self.spread)
        return -self.weight * (near - far).square().mean()


def _neighbours(turn: Turn, spread: float) -> tuple[Tensor, Tensor]:
    """(N, C, H, W) images of the turn's latents and of ones nearby, neither augmented."""
    if turn.generate is None:
        raise GantoolError("regularizer=zcr perturbs latents, and this model has none: leave it out")
    noise = spread * turn.batch.draws.randn(*turn.z.shape[1:])
    return turn.generate(turn.z), turn.generate(turn.z + noise)


class LeCam(nn.Module):
    """weight * (relu(D(x) - f)^2 + relu(r - D(G(z)))^2), where r and f are moving averages of the scores of real and
    fake images (Tseng 2021, equation 5, with the relu of the authors' code), from `start` rounds on.

    The averages move once a round, by the mean score of its images, so that the parts of a batch and the ranks see the
    same ones; the first are the first round's means, and until then there is no term.
    """

    player: Literal["discriminator"] = "discriminator"
    allow_batch_norm = True
    averages: Tensor  # (2,) of real and fake scores
    sums: Tensor  # (3,) of this round's real and fake scores, and their number
    round: Tensor

    def __init__(self, weight: float = 0.3, decay: float = 0.99, start: int = 1000, every: int = 1) -> None:
        super().__init__()
        if not 0 <= decay < 1 or start < 0:
            raise GantoolError(f"regularizer.lecam: decay={decay} should be 0 to below 1, start={start} 0 or more")
        self.weight, self.decay, self.start, self.every = weight, decay, start, every
        self.register_buffer("averages", torch.zeros(2))
        self.register_buffer("sums", torch.zeros(3))
        self.register_buffer("round", torch.zeros((), dtype=torch.int64))

    def forward(self, network: nn.Module, turn: Turn) -> Tensor:
        """A scalar; `turn` has scores."""
        if turn.real_score is None or turn.fake_score is None or turn.generate is None:
            raise GantoolError("regularizer=lecam is for models that make images from noise: leave it out")
        if network.training:
            self._move(turn.real_score.detach().float(), turn.fake_score.detach().float(), turn.progress.rounds)
        real, fake = self.averages
        above, below = F.relu(turn.real_score - fake).square().mean(), F.relu(real - turn.fake_score).square().mean()
        return self.weight * float(turn.progress.rounds >= self.start) * (above + below) * self.averages.any()

    def _move(self, real: Tensor, fake: Tensor, number: int) -> None:
        """Notes the scores of round `number`, after those of the one before have gone into the averages."""
        fresh = (self.round != number) & (self.sums[2] > 0)
        mean = self.sums[:2] / self.sums[2].clamp(min=1)
        decay = self.decay if number > self.start else 0.0  # until then the last round's, as the authors have it
        moved = torch.where(self.averages.any(), torch.lerp(mean, self.averages, decay), mean)
        self.averages.copy_(torch.where(fresh, moved, self.averages))
        count = real.new_full((), real.numel())
        self.sums.mul_(self.round == number).add_(torch.stack([real.sum(), fake.sum(), count]))
        self.round.fill_(number)

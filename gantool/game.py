"""The vocabulary: what a GAN says about itself. Who plays, what each player minimises, and how to sample."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Protocol

import torch
from torch import Tensor, nn

from gantool.errors import GantoolError


@dataclass(frozen=True)
class Progress:
    """Where a run stands. Time is images: everything that is due or scheduled is a function of `nimg`."""

    nimg: int = 0  # real images shown to the discriminator, over all ranks
    rounds: int = 0  # rounds played: one update of the generator each
    previous: int = 0  # nimg before the last round
    total: int = 0  # nimg at which the run ends

    @property
    def done(self) -> bool:
        """True once the run has seen all its images."""
        return self.nimg >= self.total

    def crossed(self, interval: int) -> bool:
        """True if the last round passed a multiple of `interval` images."""
        return self.nimg // interval > self.previous // interval

    def advance(self, shown: int) -> "Progress":
        """The progress after a round that showed `shown` images."""
        return replace(self, nimg=self.nimg + shown, rounds=self.rounds + 1, previous=self.nimg)


@dataclass
class Batch:
    """Real images and their place in the run.

    `rand`, `randn` and `randint` draw for the whole batch over all ranks and give the rows of this part, so a batch
    that is cut into micro-batches or spread over ranks sees the same random numbers as one that is whole.
    """

    images: Tensor  # (N, C, H, W) float32 in [-1, 1]
    labels: Tensor | None = None  # (N,) int64 class indices
    source: Tensor | None = None  # (N, C, H, W) images to translate
    position: int = 0  # nimg at the first image of the whole batch
    offset: int = 0  # index of this part's first image in the whole batch
    total: int = 0  # images in the whole batch over all ranks; 0: this part is all of it
    truncation: float | None = None  # latents are to stay within this many standard deviations; None: as they fall

    def __post_init__(self) -> None:
        self.total = self.total or len(self.images)

    def __len__(self) -> int:
        return len(self.images)

    @property
    def step(self) -> int:
        """How many batches of this size came before it in the run."""
        return self.position // self.total

    def split(self, size: int) -> "list[Batch]":
        """Parts of at most `size` images that remember their offset."""
        parts = []
        for start in range(0, len(self), size):
            rows = {f.name: getattr(self, f.name) for f in fields(self)}
            rows = {k: v[start : start + size] if isinstance(v, Tensor) else v for k, v in rows.items()}
            parts.append(Batch(**{**rows, "offset": self.offset + start}))
        return parts

    def randn(self, *shape: int) -> Tensor:
        """(N, *shape) standard normal."""
        return self._rows(torch.randn(self.total, *shape, device=self.images.device))

    def rand(self, *shape: int) -> Tensor:
        """(N, *shape) uniform in [0, 1)."""
        return self._rows(torch.rand(self.total, *shape, device=self.images.device))

    def randint(self, high: int, *shape: int) -> Tensor:
        """(N, *shape) int64 uniform in 0 .. high - 1."""
        return self._rows(torch.randint(high, (self.total, *shape), device=self.images.device))

    def _rows(self, whole: Tensor) -> Tensor:
        return whole[self.offset : self.offset + len(self)]


@dataclass
class Turn:
    """All that one term of a loss may look at during one update."""

    real: Tensor  # (N, C, H, W) in [-1, 1]
    fake: Tensor  # (N, C, H, W) in [-1, 1]
    labels: Tensor | None  # (N,) int64; None for an unconditional game
    z: Tensor  # (N, latent dim)
    batch: Batch  # where the real images came from; draws this turn's random numbers
    progress: Progress


@dataclass(frozen=True)
class Outcome:
    """What a player's loss returns: `terms` are scalars whose sum it minimises, `scores` are only logged."""

    terms: dict[str, Tensor]
    scores: dict[str, Tensor] = field(default_factory=dict)  # raw discriminator outputs, detached: "real", "fake"


@dataclass(frozen=True)
class Player:
    """One side of the game: the networks it owns and a pure loss; the loop does everything else."""

    networks: Sequence[nn.Module]
    loss: Callable[[Batch], Outcome]
    updates: int = 1  # consecutive updates in a round; n_critic for the discriminator
    after_update: Callable[[], None] = lambda: None  # a constraint, such as weight clipping

    def parameters(self) -> list[nn.Parameter]:
        """The parameters that this player's optimizer moves."""
        return [p for network in self.networks for p in network.parameters()]


class Regularizer(Protocol):
    """A term added to a player's loss; called with the network it acts on."""

    @property
    def player(self) -> str:
        """Whose loss it adds to: "discriminator", "generator" or "both"."""
        ...

    @property
    def every(self) -> int:
        """Lazy regularisation (Karras 2020): applied every k-th batch and scaled by k."""
        ...

    @property
    def allow_batch_norm(self) -> bool:
        """False: the network must score each image by itself."""
        ...

    def __call__(self, network: nn.Module, turn: Turn) -> Tensor:
        """A scalar."""
        ...


class Auxiliary(nn.Module, ABC):
    """A term beside the adversarial one, from the discriminator's features; its head moves with the discriminator."""

    needs_real = False  # True: the generator's turn looks at features of real images too

    def build(self, latent: object, discriminator: nn.Module, num_classes: int) -> None:
        """Makes the head for `discriminator.feature_dim` features. Raises GantoolError for what a game lacks."""

    @abstractmethod
    def discriminator(self, real: Tensor, fake: Tensor, turn: Turn) -> Tensor:
        """The discriminator's scalar term from (N, F) features of real and fake images."""

    @abstractmethod
    def generator(self, fake: Tensor, real: Tensor | None, turn: Turn) -> Tensor:
        """The generator's scalar term; `real` is given only where `needs_real`."""


class Loss(ABC):
    """What the players minimise, as functions of raw discriminator scores of any shape (N, ...).

    Parameters of every loss: `regularizers` by name; `constraint`, called with the discriminator after each of its
    updates; `n_critic`, discriminator updates a round; `recipe`, the settings that go with the loss (discriminator
    normalisation, learning rate, betas), read by the model and optimizer files and not used here.
    """

    needs_real_score = False  # True for relativistic losses: the generator's turn then scores real images too

    def __init__(
        self,
        regularizers: Mapping[str, Regularizer] | None = None,
        constraint: Callable[[nn.Module], None] | None = None,
        n_critic: int = 1,
        recipe: Mapping[str, object] | None = None,
    ) -> None:
        self.regularizers = dict(regularizers or {})
        self.constraint = constraint
        self.n_critic = n_critic
        self.recipe = dict(recipe or {})

    @abstractmethod
    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """The discriminator's scalar loss from its scores of real and fake images."""

    @abstractmethod
    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        """The generator's scalar loss; `real` is given only where `needs_real_score`."""


class Game(nn.Module, ABC):
    """A structure of play. It never calls backward, step, log or to(device): the loop does."""

    players: dict[str, Player]  # in order of play
    generators: nn.ModuleDict  # what is averaged, sampled and exported
    progress: Progress = Progress()
    translates = False  # True: makes images from the `source` of a batch, so the data set has two sides
    needs_pairs = False  # True: each source belongs to the image beside it

    @property
    def batches_per_round(self) -> int:
        """Real batches that one round needs."""
        return max(player.updates for player in self.players.values())

    def begin_round(self, progress: Progress) -> None:
        """Called before each round; growing games set their stage here."""
        self.progress = progress

    def batch_size(self, size: int) -> int:
        """Images in a batch of this round where the configuration says `size`; growing games have their own."""
        return size

    def pictures(self, batch: Batch, generators: nn.ModuleDict) -> dict[str, tuple[Tensor, int]]:
        """Grids worth a look beside the samples, by name: (N, C, H, W) images in [-1, 1] and the number of columns."""
        return {}

    def scalars(self) -> dict[str, float]:
        """What else of the game changes with time and is worth a curve, by tag."""
        return {}

    @abstractmethod
    def sample(self, batch: Batch, generators: nn.ModuleDict) -> Tensor:
        """(N, C, H, W) images in [-1, 1] for the labels or sources of `batch`, by these (averaged) generators."""


def check_bearable(regularizers: Mapping[str, Regularizer], network: nn.Module) -> None:
    """Raises GantoolError for a regularizer that needs a score of each image alone, on a network with batch norm."""
    if not any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in network.modules()):
        return
    for name, regularizer in regularizers.items():
        if regularizer.player in ("discriminator", "both") and not regularizer.allow_batch_norm:
            raise GantoolError(
                f"{name} differentiates the score of each image, but the discriminator has batch norm, which mixes "
                f"images: set model.discriminator.norm=layer, or force it with allow_batch_norm=true on {name}"
            )


def regularize(
    regularizers: Mapping[str, Regularizer], player: str, network: nn.Module, turn: Turn
) -> dict[str, Tensor]:
    """The regularizers' terms for one player's turn: those that are due, scaled by how rarely they are."""
    updates = turn.batch.step if player == "discriminator" else turn.progress.rounds  # of this player before this one
    return {
        name: regularizer.every * regularizer(network, turn)
        for name, regularizer in regularizers.items()
        if regularizer.player in (player, "both") and updates % regularizer.every == 0
    }

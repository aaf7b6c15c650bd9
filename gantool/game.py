"""The vocabulary: what a GAN says about itself. Who plays, what each player minimises, and how to sample."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

from torch import Tensor, nn

from gantool.batch import Batch, Before, Draws, Request
from gantool.schedules import Schedule


@dataclass(frozen=True)
class Progress:
    """Where a run stands. Time is images: everything that is due or scheduled is a function of `nimg`."""

    nimg: int = 0  # real images of the rounds' batches, which the discriminator is shown, over all ranks
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
class Turn:
    """All that one term of a loss may look at during one update."""

    real: Tensor  # (N, C, H, W) in [-1, 1]
    fake: Tensor  # (N, C, H, W) in [-1, 1]
    labels: Tensor | None  # (N,) int64 of the real images; None for an unconditional game
    z: Tensor  # (N, latent dim)
    batch: Batch  # where the real images came from; draws this turn's random numbers
    progress: Progress
    fake_labels: Tensor | None = None  # (N,) int64 that the fakes were asked for; without any, those of the real ones
    before: Before | None = None  # None where there is no augmentation
    generate: Callable[[Tensor], Tensor] | None = None  # (N, latent dim) -> images of these labels; None: not from z
    real_score: Tensor | None = None  # (N, ...) raw, in the discriminator's turn
    fake_score: Tensor | None = None

    def __post_init__(self) -> None:
        self.fake_labels = self.labels if self.fake_labels is None else self.fake_labels


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
    # Real images drawn for this player alone, times as many as in a batch of the round; they come in an order of their
    # own and do not count as shown. None: the last batches of the round, whoever else has had them.
    own_batch: float | None = None
    # Whether its optimizer forgets all moments before the round that begins here: a function of position; None: never.
    begins_anew: Callable[[Progress], bool] | None = None

    def batch_size(self, size: int) -> int:
        """Images in one of this player's batches where those of the round have `size`; at least 1."""
        return size if self.own_batch is None else max(1, round(self.own_batch * size))

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


@runtime_checkable
class FeatureDiscriminator(Protocol):
    """What a discriminator declares whose features an auxiliary may read; its score is a function of them."""

    feature_dim: int

    def features(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """(N, C, R, R) in [-1, 1], (N,) -> (N, feature_dim)."""
        ...

    def score(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        """(N, feature_dim), (N,) -> (N, ...) raw scores."""
        ...


class Auxiliary(nn.Module, ABC):
    """A term beside the adversarial one, from the discriminator's features; its head moves with the discriminator."""

    needs_real = False  # True: the generator's turn looks at features of real images too

    def build(self, latent: object, discriminator: FeatureDiscriminator, num_classes: int) -> None:
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
    updates; `n_critic`, discriminator updates a round; `top`, the share of the fakes, those that score highest, from
    which the generator learns, a number or a schedule (Sinha 2020), None: all. One with parameters of its own takes
    `**settings` beside them and hands those on, super().__init__(**settings): else it keeps these defaults.
    """

    needs_real_score = False  # True for relativistic losses: the generator's turn then scores real images too
    boundary: float | None = 0.0  # the score half-way between real and fake; None where a score alone tells nothing
    regularizers: Mapping[str, Regularizer] = {}  # nobody changes it
    constraint, n_critic, top = None, 1, None

    def __init__(
        self,
        regularizers: Mapping[str, Regularizer] | None = None,
        constraint: Callable[[nn.Module], None] | None = None,
        n_critic: int = 1,
        top: float | Schedule | None = None,
    ) -> None:
        self.regularizers = dict(regularizers or {})
        self.constraint, self.n_critic, self.top = constraint, n_critic, top

    @abstractmethod
    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """The discriminator's scalar loss from its scores of real and fake images."""

    @abstractmethod
    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        """The generator's scalar loss; `real` is given only where `needs_real_score`."""


class Augment(Protocol):
    """Changes real and fake images alike before the discriminator sees them; a module if it has a state. What it
    inherits from here a class of one's own need not say."""

    reads_scores: bool = False  # True: `observe` steers it, so the loss must have a `boundary`
    alike_on_pairs: bool = True  # an image and the one that it is paired with are changed by the same random numbers

    def __call__(self, images: Tensor, draws: Draws) -> Tensor:
        """(N, C, H, W) -> the same; `draws` gives each image its own random numbers."""
        ...

    def begin_round(self, progress: Progress) -> None:
        """Called before each round."""

    def observe(self, margins: Tensor) -> None:
        """Told, in each of the discriminator's updates, by how much the scores of real images lie above the loss's
        boundary; under a relativistic loss, above the fakes."""

    def scalars(self) -> dict[str, float]:
        """Numbers for the log by tag."""
        return {}


class Game(nn.Module, ABC):
    """A structure of play. It never calls backward, step, log or to(device): the loop does."""

    players: dict[str, Player]  # in order of play
    generators: nn.ModuleDict  # what is averaged, sampled and exported
    progress: Progress = Progress()
    translates = False  # True: makes images from the `source` of a batch, so the data set has two sides
    needs_pairs = False  # True: each source belongs to the image beside it
    losses: Sequence[Loss] = ()  # the adversarial ones, which can be compiled; set by the builder
    codes: Sequence[str] = ()  # categorical codes of the latent, by the names that they have in `pictures`

    def __init__(self) -> None:
        super().__init__()
        self.augment: Augment | None = None  # set by games that have one; its state, if any, is the game's

    @property
    def batches_per_round(self) -> int:
        """Real batches that one round needs."""
        return max(player.updates for player in self.players.values())

    def networks(self) -> dict[str, nn.Module]:
        """Every network that a player owns by its path in the game ('discriminator', 'generator'), in order of play."""
        paths = {id(module): path.removeprefix("generators.") for path, module in self.named_modules()}
        return {paths[id(network)]: network for player in self.players.values() for network in player.networks}

    def begin_round(self, progress: Progress) -> None:
        """Called before each round; growing games set their stage here."""
        self.progress = progress
        if self.augment is not None:
            self.augment.begin_round(progress)

    def batch_size(self, size: int) -> int:
        """Images in a batch of this round where the configuration says `size`; growing games have their own."""
        return size

    def smallest_batch(self, size: int) -> int:
        """Images in the smallest batch of the run where the configuration says `size`."""
        return size

    def pictures(self, batch: Batch, generators: nn.ModuleDict) -> dict[str, tuple[Tensor, int]]:
        """Grids worth a look beside the samples, by name: (N, C, H, W) images in [-1, 1] and the number of columns.
        `batch` holds a few real images, always the same."""
        return {}

    def scalars(self) -> dict[str, float]:
        """What else of the game changes with time and is worth a curve, by tag."""
        return {} if self.augment is None else self.augment.scalars()

    @abstractmethod
    def sample(self, request: Request, generators: nn.ModuleDict) -> Tensor:
        """(N, C, H, W) images in [-1, 1] as `request` asks for, by these (averaged) generators."""

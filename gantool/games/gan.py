"""One generator against one discriminator (Goodfellow 2014); what kind of GAN it is, its parts say."""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from gantool.auxiliaries import Codes
from gantool.batch import Batch, Draws, Request
from gantool.errors import GantoolError, check_members
from gantool.game import Augment, Auxiliary, Game, Loss, Outcome, Player, Progress, Regularizer, Turn
from gantool.games.adversary import Adversary, with_features


class Latent(Protocol):
    """Draws the generator's input. What a class of one's own inherits from here it need not say."""

    dim: int
    normal: int = 0  # how many of them, from the first, are normal: only between these does a great circle make sense

    def sample(self, draws: Draws, truncation: float | None = None) -> Tensor:
        """(N, dim); with a `truncation`, within so many standard deviations."""
        ...

    def traversals(self, draws: Draws) -> dict[str, tuple[Tensor, int]]:
        """Latents that show what each code means, by name: (N, dim) and the columns of their grid; {} without codes."""
        return {}


class Growth(Protocol):
    """Which resolution is trained when: `stage` counts doublings, a fraction being half-way faded in."""

    def stage(self, progress: Progress) -> float:
        """The stage of the round that begins at `progress`."""
        ...

    def batch_size(self, stage: float, size: int) -> int:
        """Images in a batch at `stage`."""
        ...

    def smallest_batch(self, size: int) -> int:
        """Images in the smallest batch of all stages."""
        ...

    def shrink(self, images: Tensor, stage: float) -> Tensor:
        """Real images as the discriminator of this stage is to see them."""
        ...

    def enlarge(self, images: Tensor, stage: float) -> Tensor:
        """What a generator of this stage made, at the final resolution."""
        ...


@runtime_checkable
class Growing(Protocol):
    """A network that holds all its blocks and uses those of its stage."""

    stage: Tensor  # a buffer: a scalar


def stage_of(network: nn.Module) -> Tensor:
    """Its stage; raises GantoolError for a network that does not grow."""
    if isinstance(network, Growing):
        return network.stage
    raise GantoolError(f"model.growth: {type(network).__qualname__} has no stage to grow by; take model=progan's")


class GAN(Game):
    """The discriminator moves first, `loss.n_critic` times; then the generator, once.

    `regularizers` add to those that the loss brings; `auxiliaries` read the discriminator's features; `augment` is
    applied to real and fake images alike; `growth` sets the `stage` of both networks; with `conditional` both are given
    the labels.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        latent: Latent,
        loss: Loss,
        regularizers: Mapping[str, Regularizer] | None = None,
        auxiliaries: Mapping[str, Auxiliary] | None = None,
        augment: Augment | None = None,
        growth: Growth | None = None,
        conditional: bool = False,
        num_classes: int = 0,
    ) -> None:
        super().__init__()
        check_members(latent, Latent, "model.latent")
        self.generators = nn.ModuleDict({"generator": generator})
        self.discriminator = discriminator
        self.latent, self.conditional, self.growth = latent, conditional, growth
        self.codes = [f"category{i}" for i in range(len(latent.categories))] if isinstance(latent, Codes) else []
        self.adversary = Adversary(discriminator, loss, regularizers, augment, auxiliaries)
        for auxiliary in self.adversary.auxiliaries.values():
            auxiliary.build(latent, with_features(discriminator, self.adversary.auxiliaries), num_classes)
        self.heads = nn.ModuleDict(self.adversary.auxiliaries)  # their weights, which move with the discriminator
        self.augment = augment  # its state, if it has one
        heads = [self.heads] if len(self.heads) else []
        constrain = self.adversary.constrain
        self.players = {
            "discriminator": Player([discriminator, *heads], self.discriminator_loss, loss.n_critic, constrain),
            "generator": Player([generator], self.generator_loss),
        }
        self.begin_round(self.progress)

    def begin_round(self, progress: Progress) -> None:
        """Tells the parts that change with time where the run stands."""
        super().begin_round(progress)
        self.adversary.begin_round(progress)
        if self.growth is not None:
            self.stage = self.growth.stage(progress)
            for network in (self.generators["generator"], self.discriminator):
                stage_of(network).fill_(self.stage)

    def batch_size(self, size: int) -> int:
        """As the growth says, if there is one."""
        return size if self.growth is None else self.growth.batch_size(self.stage, size)

    def smallest_batch(self, size: int) -> int:
        """As the growth says, if there is one."""
        return size if self.growth is None else self.growth.smallest_batch(size)

    def labels(self, labels: Tensor | None) -> Tensor | None:
        """(N,) int64 for a conditional game, else None."""
        return labels if self.conditional else None

    def turn(self, batch: Batch, *, grad: bool) -> Turn:
        """Fresh fakes beside the real images, both augmented; `grad` says if the generator is to learn from them."""
        z, labels, see = self.latent.sample(batch.draws), self.labels(batch.labels), self.adversary.see
        with torch.set_grad_enabled(grad):
            fake = see(self.generators["generator"](z, labels), batch.draws)
        real = batch.images if self.growth is None else self.growth.shrink(batch.images, self.stage)
        return Turn(see(real, batch.draws), fake, labels, z, batch, self.progress)

    def discriminator_loss(self, batch: Batch) -> Outcome:
        """The adversarial term, the auxiliaries' and the discriminator's regularizers."""
        return self.adversary.discriminator_loss(self.turn(batch, grad=False))

    def generator_loss(self, batch: Batch) -> Outcome:
        """The adversarial term, the auxiliaries' and the generator's regularizers."""
        turn = self.turn(batch, grad=True)
        terms = self.adversary.generator_terms(turn)
        return Outcome(terms | self.adversary.regularize("generator", self.generators["generator"], turn))

    def scalars(self) -> dict[str, float]:
        """What the augmentation does now."""
        return self.adversary.scalars()

    def sample(self, request: Request, generators: nn.ModuleDict) -> Tensor:
        """(N, C, H, W) images in [-1, 1] for fresh latents and the labels of `request`."""
        z = self.latent.sample(request.draws, request.truncation)
        return self.generate(z, self.labels(request.labels), generators)

    def pictures(self, batch: Batch, generators: nn.ModuleDict) -> dict[str, tuple[Tensor, int]]:
        """The traversals of the latent's codes, each image with the first label of `batch`'s rows."""
        labels = self.labels(batch.labels)
        return self.traversals(batch.draws, None if labels is None else labels[:1], generators)

    def traversals(
        self, draws: Draws, label: Tensor | None, generators: nn.ModuleDict
    ) -> dict[str, tuple[Tensor, int]]:
        """Images that show what each code of the latent means, all of one `label` (1,), and their columns."""
        return {
            name: (self.generate(z, None if label is None else label.expand(len(z)), generators), columns)
            for name, (z, columns) in self.latent.traversals(draws).items()
        }

    def generate(self, z: Tensor, labels: Tensor | None, generators: nn.ModuleDict) -> Tensor:
        """(N, C, H, W) images in [-1, 1] at the final resolution for (N, latent dim) and (N,) labels."""
        network = generators["generator"]
        images = network(z, labels)
        return images if self.growth is None else self.growth.enlarge(images, float(stage_of(network)))

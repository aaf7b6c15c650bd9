"""One generator against one discriminator (Goodfellow 2014); what kind of GAN it is, its parts say."""

from collections.abc import Mapping
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from gantool.game import (
    Auxiliary,
    Batch,
    Game,
    Loss,
    Outcome,
    Player,
    Progress,
    Regularizer,
    Turn,
    check_bearable,
    regularize,
)


class Latent(Protocol):
    """Draws the generator's input."""

    dim: int

    def sample(self, batch: Batch) -> Tensor:
        """(N, dim) for the images of `batch`."""
        ...

    def traversals(self, batch: Batch) -> dict[str, tuple[Tensor, int]]:
        """Latents that show what each code means, by name: (N, dim) and the columns of their grid; {} without codes."""
        ...


class Augment(Protocol):
    """Changes real and fake images alike before the discriminator sees them; a module if it has a state."""

    def __call__(self, images: Tensor, batch: Batch) -> Tensor:
        """`batch` draws the random numbers."""
        ...

    def begin_round(self, progress: Progress) -> None:
        """Called before each round."""
        ...

    def observe(self, real: Tensor) -> None:
        """Told the scores of real images in each of the discriminator's updates; a relativistic one's above fakes."""
        ...

    def scalars(self) -> dict[str, float]:
        """Numbers for the log by tag."""
        ...


class Growth(Protocol):
    """Which resolution is trained when: `stage` counts doublings, a fraction being half-way faded in."""

    def stage(self, progress: Progress) -> float:
        """The stage of the round that begins at `progress`."""
        ...

    def batch_size(self, stage: float, size: int) -> int:
        """Images in a batch at `stage`."""
        ...

    def shrink(self, images: Tensor, stage: float) -> Tensor:
        """Real images as the discriminator of this stage is to see them."""
        ...

    def enlarge(self, images: Tensor, stage: float) -> Tensor:
        """What a generator of this stage made, at the final resolution."""
        ...


class GAN(Game):
    """The discriminator moves first, `loss.n_critic` times; then the generator, once.

    `regularizers` add to those that the loss brings; `auxiliaries` read the discriminator's features; `augment` is
    applied to real and fake images alike; `growth` sets the `stage` of both networks; with `conditional` both are given
    the labels. `recipe` holds settings that go with the model, such as how long to train; other files of conf read it.
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
        recipe: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__()
        self.generators = nn.ModuleDict({"generator": generator})
        self.discriminator = discriminator
        self.latent, self.loss, self.conditional = latent, loss, conditional
        self.regularizers = {**loss.regularizers, **(regularizers or {})}
        check_bearable(self.regularizers, discriminator)
        self.auxiliaries = dict(auxiliaries or {})
        for auxiliary in self.auxiliaries.values():
            auxiliary.build(latent, discriminator, num_classes)
        self.heads = nn.ModuleDict(self.auxiliaries)  # their weights, which move with the discriminator
        self.augment, self.growth = augment, growth
        heads = [self.heads] if self.auxiliaries else []
        self.players = {
            "discriminator": Player([discriminator, *heads], self.discriminator_loss, loss.n_critic, self.constrain),
            "generator": Player([generator], self.generator_loss),
        }
        self.begin_round(self.progress)

    def begin_round(self, progress: Progress) -> None:
        """Tells the parts that change with time where the run stands."""
        super().begin_round(progress)
        if self.augment is not None:
            self.augment.begin_round(progress)
        if self.growth is not None:
            self.stage = self.growth.stage(progress)
            for network in (self.generators["generator"], self.discriminator):
                cast(Any, network).stage.fill_(self.stage)

    def batch_size(self, size: int) -> int:
        """As the growth says, if there is one."""
        return size if self.growth is None else self.growth.batch_size(self.stage, size)

    def constrain(self) -> None:
        """The loss's constraint on the discriminator's weights, if it has one."""
        if self.loss.constraint is not None:
            self.loss.constraint(self.discriminator)

    def labels(self, batch: Batch) -> Tensor | None:
        """(N,) int64 for a conditional game, else None."""
        return batch.labels if self.conditional else None

    def seen(self, images: Tensor, batch: Batch) -> Tensor:
        """What the discriminator sees of images."""
        return images if self.augment is None else self.augment(images, batch)

    def turn(self, batch: Batch, *, grad: bool) -> Turn:
        """Fresh fakes beside the real images, both augmented; `grad` says if the generator is to learn from them."""
        z, labels = self.latent.sample(batch), self.labels(batch)
        with torch.set_grad_enabled(grad):
            fake = self.seen(self.generators["generator"](z, labels), batch)
        real = batch.images if self.growth is None else self.growth.shrink(batch.images, self.stage)
        return Turn(self.seen(real, batch), fake, labels, z, batch, self.progress)

    def judge(self, images: Tensor, turn: Turn) -> tuple[Tensor, Any]:
        """The discriminator's score, and the features behind it where an auxiliary reads them."""
        if not self.auxiliaries:
            return self.discriminator(images, turn.labels), None
        discriminator = cast(Any, self.discriminator)
        features = discriminator.features(images, turn.labels)
        return discriminator.score(features, turn.labels), features

    def discriminator_loss(self, batch: Batch) -> Outcome:
        """The adversarial term, the auxiliaries' and the discriminator's regularizers."""
        turn = self.turn(batch, grad=False)
        real, real_features = self.judge(turn.real, turn)
        fake, fake_features = self.judge(turn.fake, turn)
        if self.augment is not None and self.training:
            self.augment.observe((real - fake if self.loss.needs_real_score else real).detach())
        terms = {"adversarial": self.loss.discriminator(real, fake)}
        for name, auxiliary in self.auxiliaries.items():
            terms[name] = auxiliary.discriminator(real_features, fake_features, turn)
        terms |= regularize(self.regularizers, "discriminator", self.discriminator, turn)
        return Outcome(terms, {"real": real.detach(), "fake": fake.detach()})

    def generator_loss(self, batch: Batch) -> Outcome:
        """The adversarial term, the auxiliaries' and the generator's regularizers."""
        turn = self.turn(batch, grad=True)
        fake, fake_features = self.judge(turn.fake, turn)
        real = real_features = None
        if self.loss.needs_real_score or any(auxiliary.needs_real for auxiliary in self.auxiliaries.values()):
            real, real_features = self.judge(turn.real, turn)
        terms = {"adversarial": self.loss.generator(fake, real)}
        for name, auxiliary in self.auxiliaries.items():
            terms[name] = auxiliary.generator(fake_features, real_features, turn)
        return Outcome(terms | regularize(self.regularizers, "generator", self.generators["generator"], turn))

    def scalars(self) -> dict[str, float]:
        """What the augmentation does now."""
        return {} if self.augment is None else self.augment.scalars()

    def sample(self, batch: Batch, generators: nn.ModuleDict) -> Tensor:
        """(N, C, H, W) images in [-1, 1] for fresh latents and the labels of `batch`."""
        return self.generate(self.latent.sample(batch), self.labels(batch), generators)

    def pictures(self, batch: Batch, generators: nn.ModuleDict) -> dict[str, tuple[Tensor, int]]:
        """The traversals of the latent's codes, each image with the first label of `batch`'s rows."""
        labels = self.labels(batch)
        return {
            name: (self.generate(z, None if labels is None else labels[:1].expand(len(z)), generators), columns)
            for name, (z, columns) in self.latent.traversals(batch).items()
        }

    def generate(self, z: Tensor, labels: Tensor | None, generators: nn.ModuleDict) -> Tensor:
        """(N, C, H, W) images in [-1, 1] at the final resolution for (N, latent dim) and (N,) labels."""
        images = generators["generator"](z, labels)
        if self.growth is None:
            return images
        return self.growth.enlarge(images, float(cast(Any, generators["generator"]).stage))

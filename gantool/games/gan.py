"""One generator against one discriminator (Goodfellow 2014); what kind of GAN it is, its parts say."""

from collections.abc import Callable, Mapping
from typing import Protocol

import torch
from torch import Tensor, nn

from gantool.game import Batch, Game, Loss, Outcome, Player, Regularizer, Turn, check_bearable, regularize


class Latent(Protocol):
    """Draws the generator's input."""

    dim: int

    def sample(self, batch: Batch) -> Tensor:
        """(N, dim) for the images of `batch`."""
        ...


class GAN(Game):
    """The discriminator moves first, `loss.n_critic` times; then the generator, once.

    `regularizers` add to those that the loss brings; `augment` is applied to real and fake images alike; with
    `conditional` both networks are given the labels. `recipe` holds settings that go with the model, such as how
    long to train; other files of conf read it.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        latent: Latent,
        loss: Loss,
        regularizers: Mapping[str, Regularizer] | None = None,
        augment: Callable[[Tensor, Batch], Tensor] | None = None,
        conditional: bool = False,
        recipe: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__()
        self.generators = nn.ModuleDict({"generator": generator})
        self.discriminator = discriminator
        self.latent, self.loss, self.conditional = latent, loss, conditional
        self.regularizers = {**loss.regularizers, **(regularizers or {})}
        check_bearable(self.regularizers, discriminator)
        self.augment = augment or (lambda images, batch: images)
        self.players = {
            "discriminator": Player([discriminator], self.discriminator_loss, loss.n_critic, self.constrain),
            "generator": Player([generator], self.generator_loss),
        }

    def constrain(self) -> None:
        """The loss's constraint on the discriminator's weights, if it has one."""
        if self.loss.constraint is not None:
            self.loss.constraint(self.discriminator)

    def labels(self, batch: Batch) -> Tensor | None:
        """(N,) int64 for a conditional game, else None."""
        return batch.labels if self.conditional else None

    def turn(self, batch: Batch, *, grad: bool) -> Turn:
        """Fresh fakes beside the real images, both augmented; `grad` says if the generator is to learn from them."""
        z, labels = self.latent.sample(batch), self.labels(batch)
        with torch.set_grad_enabled(grad):
            fake = self.augment(self.generators["generator"](z, labels), batch)
        return Turn(self.augment(batch.images, batch), fake, labels, z, batch, self.progress)

    def discriminator_loss(self, batch: Batch) -> Outcome:
        """The adversarial term and the discriminator's regularizers."""
        turn = self.turn(batch, grad=False)
        real = self.discriminator(turn.real, turn.labels)
        fake = self.discriminator(turn.fake, turn.labels)
        terms = {"adversarial": self.loss.discriminator(real, fake)}
        terms |= regularize(self.regularizers, "discriminator", self.discriminator, turn)
        return Outcome(terms, {"real": real.detach(), "fake": fake.detach()})

    def generator_loss(self, batch: Batch) -> Outcome:
        """The adversarial term and the generator's regularizers."""
        turn = self.turn(batch, grad=True)
        fake = self.discriminator(turn.fake, turn.labels)
        real = self.discriminator(turn.real, turn.labels) if self.loss.needs_real_score else None
        terms = {"adversarial": self.loss.generator(fake, real)}
        return Outcome(terms | regularize(self.regularizers, "generator", self.generators["generator"], turn))

    def sample(self, batch: Batch, generators: nn.ModuleDict) -> Tensor:
        """(N, C, H, W) images in [-1, 1] for fresh latents and the labels of `batch`."""
        return generators["generator"](self.latent.sample(batch), self.labels(batch))

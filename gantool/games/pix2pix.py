"""pix2pix (Isola 2017): a translator taught by pairs, and a discriminator that sees source and image together."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
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
from gantool.games.gan import Augment
from gantool.games.translation import first_images, refuse_auxiliaries, strips


class Pix2Pix(Game):
    """Translates `batch.source` into `batch.images`, its partners.

    The discriminator moves first, `loss.n_critic` times; then the generator, once, which is also paid `l1_weight` times
    the mean absolute error. All its randomness is the dropout in its network. `discriminator` takes the source and an
    image along the channels.
    """

    translates = needs_pairs = True

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        loss: Loss,
        l1_weight: float = 100.0,
        regularizers: Mapping[str, Regularizer] | None = None,
        auxiliaries: Mapping[str, Auxiliary] | None = None,
        augment: Augment | None = None,
        recipe: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__()
        refuse_auxiliaries(auxiliaries, "pix2pix")
        self.generators = nn.ModuleDict({"generator": generator})
        self.discriminator, self.loss, self.l1_weight, self.augment = discriminator, loss, l1_weight, augment
        self.regularizers = {**loss.regularizers, **(regularizers or {})}
        check_bearable(self.regularizers, discriminator)
        self.players = {
            "discriminator": Player([discriminator], self.discriminator_loss, loss.n_critic, self.constrain),
            "generator": Player([generator], self.generator_loss),
        }

    def begin_round(self, progress: Progress) -> None:
        """Tells the augmentation where the run stands."""
        super().begin_round(progress)
        if self.augment is not None:
            self.augment.begin_round(progress)

    def constrain(self) -> None:
        """The loss's constraint on the discriminator's weights, if it has one."""
        if self.loss.constraint is not None:
            self.loss.constraint(self.discriminator)

    def seen(self, images: Tensor, batch: Batch) -> Tensor:
        """(N, 2C, H, W): what the discriminator sees of images and their sources, both augmented alike."""
        assert batch.source is not None, "the data set has pairs, as this game needs them"
        if self.augment is None:
            return torch.cat([batch.source, images], 1)
        with torch.random.fork_rng([images.device] if images.device.type == "cuda" else []):
            source = self.augment(batch.source, batch)
        return torch.cat([source, self.augment(images, batch)], 1)  # by the same random numbers

    def turn(self, batch: Batch, made: Tensor) -> Turn:
        """The pair and what was made of its source, as the discriminator sees them."""
        no_latent = made.new_empty(len(made), 0)
        return Turn(self.seen(batch.images, batch), self.seen(made, batch), None, no_latent, batch, self.progress)

    def discriminator_loss(self, batch: Batch) -> Outcome:
        """The adversarial term and the discriminator's regularizers."""
        with torch.no_grad():
            made = self.sample(batch, self.generators)
        turn = self.turn(batch, made)
        real, fake = self.discriminator(turn.real), self.discriminator(turn.fake)
        if self.augment is not None and self.training:
            self.augment.observe(real.detach())
        terms = {"adversarial": self.loss.discriminator(real, fake)}
        terms |= regularize(self.regularizers, "discriminator", self.discriminator, turn)
        return Outcome(terms, {"real": real.detach(), "fake": fake.detach()})

    def generator_loss(self, batch: Batch) -> Outcome:
        """The adversarial term, the distance to the partner, and the generator's regularizers."""
        made = self.sample(batch, self.generators)
        turn = self.turn(batch, made)
        real = self.discriminator(turn.real) if self.loss.needs_real_score else None
        terms = {"adversarial": self.loss.generator(self.discriminator(turn.fake), real)}
        terms["l1"] = self.l1_weight * F.l1_loss(made, batch.images)
        return Outcome(terms | regularize(self.regularizers, "generator", self.generators["generator"], turn))

    def scalars(self) -> dict[str, float]:
        """What the augmentation does now."""
        return {} if self.augment is None else self.augment.scalars()

    def sample(self, batch: Batch, generators: nn.ModuleDict) -> Tensor:
        """(N, C, H, W) images in [-1, 1] for the sources of `batch`."""
        return generators["generator"](batch.source)

    def pictures(self, batch: Batch, generators: nn.ModuleDict) -> dict[str, tuple[Tensor, int]]:
        """'translated': rows of sources, of their translations, and of what these should be."""
        assert batch.source is not None, "the data set has pairs, as this game needs them"
        source = first_images(batch.source)
        views = [source, generators["generator"](source), first_images(batch.images)]
        return {"translated": strips(views)}

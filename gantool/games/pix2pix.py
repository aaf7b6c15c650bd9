"""pix2pix (Isola 2017): a translator taught by pairs, and a discriminator that sees source and image together."""

from collections.abc import Mapping
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gantool.batch import Batch, Request
from gantool.game import Augment, Game, Loss, Outcome, Player, Regularizer, Turn
from gantool.games.adversary import Adversary
from gantool.games.translation import SHOWN, source_of, strips, turn_without_latent
from gantool.randomness import forked


class Pix2Pix(Game):
    """Translates `batch.source` into `batch.images`, its partners.

    The discriminator moves first, `loss.n_critic` times; then the generator, once, which is also paid `l1_weight` times
    the mean absolute error. All its randomness is the dropout in its network. `discriminator` takes the source and an
    image along the channels. `generator_batch`: as in GAN, of pairs.
    """

    translates = needs_pairs = True

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        loss: Loss,
        l1_weight: float = 100.0,
        regularizers: Mapping[str, Regularizer] | None = None,
        augment: Augment | None = None,
        generator_batch: float | None = None,
    ) -> None:
        super().__init__()
        self.generators = nn.ModuleDict({"generator": generator})
        self.discriminator, self.augment, self.l1_weight = discriminator, augment, l1_weight
        self.adversary = Adversary(discriminator, loss, regularizers, augment)
        self.regularizers = self.adversary.with_state()
        constrain = self.adversary.constrain
        self.players = {
            "discriminator": Player([discriminator], self.discriminator_loss, loss.n_critic, constrain),
            "generator": Player([generator], self.generator_loss, own_batch=generator_batch),
        }

    def see(self, pairs: Tensor, batch: Batch) -> Tensor:
        """(N, 2C, H, W) -> the same: what the discriminator sees of sources and images; both are moved and recoloured
        alike, while noise is each one's own."""
        see, (source, images) = self.adversary.see, pairs.chunk(2, 1)
        with forked(images.device, enabled=self.augment is not None and self.augment.alike_on_pairs):
            source = see(source, batch.draws)
        return torch.cat([source, see(images, batch.draws)], 1)

    def turn(self, batch: Batch, made: Tensor) -> Turn:
        """The pair and what was made of its source, as the discriminator sees them."""
        real, fake = (torch.cat([source_of(batch), images], 1) for images in (batch.images, made))
        return turn_without_latent(self.adversary, real, fake, partial(self.see, batch=batch), batch, self.progress)

    def discriminator_loss(self, batch: Batch) -> Outcome:
        """The adversarial term and the discriminator's regularizers."""
        with torch.no_grad():
            made = self.sample(batch.request, self.generators)
        return self.adversary.discriminator_loss(self.turn(batch, made))

    def generator_loss(self, batch: Batch) -> Outcome:
        """The adversarial term, the distance to the partner, and the generator's regularizers."""
        made = self.sample(batch.request, self.generators)
        turn = self.turn(batch, made)
        terms = self.adversary.generator_terms(turn) | {"l1": self.l1_weight * F.l1_loss(made, batch.images)}
        return Outcome(terms | self.adversary.regularize("generator", self.generators["generator"], turn))

    def sample(self, request: Request, generators: nn.ModuleDict) -> Tensor:
        return generators["generator"](request.source)

    def pictures(self, batch: Batch, generators: nn.ModuleDict) -> dict[str, tuple[Tensor, int]]:
        """'translated': rows of sources, of their translations, and of what these should be."""
        source = source_of(batch)[:SHOWN]
        return {"translated": strips([source, generators["generator"](source), batch.images[:SHOWN]])}

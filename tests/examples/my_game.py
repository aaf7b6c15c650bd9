"""A game of one's own: who plays, what each player minimises, and how to sample. The loop does the rest."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from gantool.batch import Batch, Request
from gantool.game import Augment, Game, Loss, Outcome, Player, Regularizer, Turn
from gantool.games.adversary import Adversary
from gantool.latents import Latent


class Duo(Game):
    """Two generators against one discriminator, each making half of the images (as MGAN, Hoang 2018, without its
    classifier)."""

    def __init__(
        self,
        generator: Callable[[], nn.Module],
        discriminator: nn.Module,
        latent: Latent,
        loss: Loss,
        regularizers: Mapping[str, Regularizer] | None = None,
        augment: Augment | None = None,
    ) -> None:
        super().__init__()
        self.generators = nn.ModuleDict({"first": generator(), "second": generator()})
        self.discriminator, self.latent, self.augment = discriminator, latent, augment
        self.adversary = Adversary(discriminator, loss, regularizers, augment)  # all that is adversarial is in there
        constrain = self.adversary.constrain
        self.players = {
            "discriminator": Player([discriminator], self.discriminator_loss, loss.n_critic, constrain),
            "generator": Player(list(self.generators.values()), self.generator_loss),
        }

    def make(self, z: Tensor, generators: nn.ModuleDict) -> Tensor:
        halves = zip(generators.values(), z.tensor_split(2), strict=True)
        return torch.cat([generator(half) for generator, half in halves])

    def turn(self, batch: Batch) -> Turn:
        z, see = self.latent.sample(batch.draws), self.adversary.see
        fake = see(self.make(z, self.generators), batch.draws)
        return Turn(see(batch.images, batch.draws), fake, None, z, batch, self.progress)

    def discriminator_loss(self, batch: Batch) -> Outcome:
        with torch.no_grad():
            turn = self.turn(batch)
        return self.adversary.discriminator_loss(turn)

    def generator_loss(self, batch: Batch) -> Outcome:
        turn = self.turn(batch)
        terms = self.adversary.generator_terms(turn)
        return Outcome(terms | self.adversary.regularize("generator", self.generators, turn))

    def sample(self, request: Request, generators: nn.ModuleDict) -> Tensor:
        return self.make(self.latent.sample(request.draws, request.truncation), generators)

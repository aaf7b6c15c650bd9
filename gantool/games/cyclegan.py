"""CycleGAN (Zhu 2017): two translators against two discriminators, tied by what comes back after both."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gantool import shapes
from gantool.batch import Batch, Request
from gantool.errors import GantoolError
from gantool.game import Augment, Game, Loss, Outcome, Player, Regularizer, Turn
from gantool.games.adversary import Adversary
from gantool.games.image_pool import ImagePool
from gantool.games.translation import SHOWN, source_of, strips, turn_without_latent

Sides = dict[str, Tensor]  # (N, C, H, W) images in [-1, 1] of "a" and of "b"


class CycleGAN(Game):
    """Side A is `batch.source`, side B `batch.images`; the pairing of the two means nothing.

    The generators move first, once: each is paid for deceiving the other side's discriminator, for giving an image back
    after both (`cycle_weight` times the mean absolute error) and for leaving images of its own target side alone
    (`identity_weight` times as much again). Then the discriminators, `loss.n_critic` times, on a `pool_size` history of
    what the generators made, of `bits` as the data. `generator` and `discriminator` make one network at each call.
    """

    translates = True

    def __init__(
        self,
        generator: Callable[[], nn.Module],
        discriminator: Callable[[], nn.Module],
        loss: Loss,
        resolution: shapes.Resolution,
        channels: int,
        bits: int = 8,
        cycle_weight: float = 5.0,
        identity_weight: float = 0.5,
        pool_size: int = 50,
        regularizers: Mapping[str, Regularizer] | None = None,
        augment: Augment | None = None,
    ) -> None:
        super().__init__()
        if pool_size < 0:
            raise GantoolError(f"model.pool_size={pool_size}: 0 (none) or more images")
        self.generators = nn.ModuleDict({"a2b": generator(), "b2a": generator()})
        self.discriminators = nn.ModuleDict({"a": discriminator(), "b": discriminator()})
        shape = (channels, *shapes.sides(resolution))
        self.pools = nn.ModuleDict({side: ImagePool(pool_size, shape, bits) for side in "ab"})
        self.cycle_weight, self.identity_weight = cycle_weight, identity_weight
        self.augment = augment
        self.adversaries = {
            side: Adversary(network, loss, regularizers, augment) for side, network in self.discriminators.items()
        }
        for adversary in self.adversaries.values():  # what one remembers is of its own side
            adversary.regularizers = deepcopy(adversary.regularizers)
        states = {side: adversary.with_state() for side, adversary in self.adversaries.items()}
        self.regularizers = nn.ModuleDict(states)
        self.made: dict[tuple[int, int], Sides] = {}  # this round's translations, by the place of their batch
        networks = list(self.generators.values()), list(self.discriminators.values())
        self.players = {
            "generator": Player(networks[0], self.generator_loss, after_update=self.remember),
            "discriminator": Player(networks[1], self.discriminator_loss, loss.n_critic, self.constrain),
        }

    def remember(self) -> None:
        """Puts what the generators have just made, if they have, into the pools."""
        for side, pool in self.pools.items() if self.made else ():
            cast(ImagePool, pool).push(torch.cat([made[side] for made in self.made.values()]))

    def constrain(self) -> None:
        """The loss's constraint on the discriminators' weights, if it has one."""
        for adversary in self.adversaries.values():
            adversary.constrain()

    def turn(self, side: str, real: Tensor, fake: Tensor, batch: Batch) -> Turn:
        """One side of a turn, as its discriminator sees it."""
        adversary = self.adversaries[side]

        def see(images: Tensor) -> Tensor:
            return adversary.see(images, batch.draws)

        return turn_without_latent(adversary, real, fake, see, batch, self.progress)

    def translated(self, real: Sides) -> Sides:
        """Each side as made from the other."""
        return {"a": self.generators["b2a"](real["b"]), "b": self.generators["a2b"](real["a"])}

    def generator_loss(self, batch: Batch) -> Outcome:
        """For each side, the adversarial, cycle and identity terms and the generator's regularizers."""
        real = sides(batch)
        fake = self.translated(real)
        again = self.translated(fake)
        if self.training:
            self.made[batch.position, batch.offset] = {side: images.detach() for side, images in fake.items()}
        terms = {}
        for side, generator in (("a", self.generators["b2a"]), ("b", self.generators["a2b"])):
            adversary, turn = self.adversaries[side], self.turn(side, real[side], fake[side], batch)
            paid = adversary.generator_terms(turn)
            paid["cycle"] = self.cycle_weight * F.l1_loss(again[side], real[side])
            if self.identity_weight:
                kept = F.l1_loss(generator(real[side]), real[side])
                paid["identity"] = self.cycle_weight * self.identity_weight * kept
            terms |= named(side, paid | adversary.regularize("generator", generator, turn))
        return Outcome(terms)

    def discriminator_loss(self, batch: Batch) -> Outcome:
        """For each side, the adversarial term and the discriminator's regularizers."""
        real = sides(batch)
        made = self.made.pop((batch.position, batch.offset), None)
        if made is None:  # the generators had another batch of this round, or none yet
            with torch.no_grad():
                made = self.translated(real)
        terms, scores = {}, {}
        for side, adversary in self.adversaries.items():
            fake = self.pools[side](made[side], batch.draws)
            outcome = adversary.discriminator_loss(self.turn(side, real[side], fake, batch))
            terms |= named(side, outcome.terms)
            scores |= named(side, outcome.scores)
        return Outcome(terms, scores)

    def sample(self, request: Request, generators: nn.ModuleDict) -> Tensor:
        """(N, C, H, W) images in [-1, 1] of side B for the sources of `request`."""
        return generators["a2b"](request.source)

    def pictures(self, batch: Batch, generators: nn.ModuleDict) -> dict[str, tuple[Tensor, int]]:
        """'a2b' and 'b2a': rows of sources, of their translations, and of what comes back from these."""
        shown = {}
        for there, back, images in zip(("a2b", "b2a"), ("b2a", "a2b"), sides(batch).values(), strict=True):
            made = generators[there](images[:SHOWN])
            shown[there] = strips([images[:SHOWN], made, generators[back](made)])
        return shown


def sides(batch: Batch) -> Sides:
    """The images of both sides."""
    return {"a": source_of(batch), "b": batch.images}


def named(side: str, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """By names that tell the sides apart."""
    return {f"{name}_{side}": value for name, value in values.items()}

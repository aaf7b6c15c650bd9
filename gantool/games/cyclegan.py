"""CycleGAN (Zhu 2017): two translators against two discriminators, tied by what comes back after both."""

from collections.abc import Callable, Mapping
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gantool.errors import GantoolError
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
from gantool.games.image_pool import ImagePool
from gantool.games.translation import first_images, refuse_auxiliaries, strips

Sides = dict[str, Tensor]  # (N, C, H, W) images in [-1, 1] of "a" and of "b"


class CycleGAN(Game):
    """Side A is `batch.source`, side B `batch.images`; the pairing of the two means nothing.

    The generators move first, once: each is paid for deceiving the other side's discriminator, for giving an image back
    after both (`cycle_weight` times the mean absolute error) and for leaving images of its own target side alone
    (`identity_weight` times as much again). Then the discriminators, `loss.n_critic` times, on a `pool_size` history of
    what the generators made. `generator` and `discriminator` make one network at each call.
    """

    translates = True

    def __init__(
        self,
        generator: Callable[[], nn.Module],
        discriminator: Callable[[], nn.Module],
        loss: Loss,
        resolution: int,
        channels: int,
        cycle_weight: float = 5.0,
        identity_weight: float = 0.5,
        pool_size: int = 50,
        regularizers: Mapping[str, Regularizer] | None = None,
        auxiliaries: Mapping[str, Auxiliary] | None = None,
        augment: Augment | None = None,
        recipe: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__()
        refuse_auxiliaries(auxiliaries, "cyclegan")
        if pool_size < 0:
            raise GantoolError(f"model.pool_size={pool_size}: 0 (none) or more images")
        self.generators = nn.ModuleDict({"a2b": generator(), "b2a": generator()})
        self.discriminators = nn.ModuleDict({"a": discriminator(), "b": discriminator()})
        self.pools = nn.ModuleDict({side: ImagePool(pool_size, (channels, resolution, resolution)) for side in "ab"})
        self.loss, self.cycle_weight, self.identity_weight = loss, cycle_weight, identity_weight
        self.regularizers = {**loss.regularizers, **(regularizers or {})}
        for network in self.discriminators.values():
            check_bearable(self.regularizers, network)
        self.augment = augment
        self.made: dict[tuple[int, int], Sides] = {}  # this round's translations, by the place of their batch
        networks = list(self.generators.values()), list(self.discriminators.values())
        self.players = {
            "generator": Player(networks[0], self.generator_loss, after_update=self.remember),
            "discriminator": Player(networks[1], self.discriminator_loss, loss.n_critic, self.constrain),
        }

    def begin_round(self, progress: Progress) -> None:
        """Tells the augmentation where the run stands."""
        super().begin_round(progress)
        if self.augment is not None:
            self.augment.begin_round(progress)

    def remember(self) -> None:
        """Puts what the generators have just made into the pools."""
        for side, pool in self.pools.items():
            cast(ImagePool, pool).push(torch.cat([made[side] for made in self.made.values()]))

    def constrain(self) -> None:
        """The loss's constraint on the discriminators' weights, if it has one."""
        if self.loss.constraint is not None:
            for network in self.discriminators.values():
                self.loss.constraint(network)

    def seen(self, images: Tensor, batch: Batch) -> Tensor:
        """What a discriminator sees of images."""
        return images if self.augment is None else self.augment(images, batch)

    def turn(self, real: Tensor, fake: Tensor, batch: Batch) -> Turn:
        """One side of a turn, as its discriminator sees it."""
        no_latent = real.new_empty(len(real), 0)
        return Turn(self.seen(real, batch), self.seen(fake, batch), None, no_latent, batch, self.progress)

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
            discriminator, turn = self.discriminators[side], self.turn(real[side], fake[side], batch)
            real_score = discriminator(turn.real) if self.loss.needs_real_score else None
            terms[f"adversarial_{side}"] = self.loss.generator(discriminator(turn.fake), real_score)
            terms[f"cycle_{side}"] = self.cycle_weight * F.l1_loss(again[side], real[side])
            if self.identity_weight:
                kept = F.l1_loss(generator(real[side]), real[side])
                terms[f"identity_{side}"] = self.cycle_weight * self.identity_weight * kept
            added = regularize(self.regularizers, "generator", generator, turn)
            terms |= {f"{name}_{side}": term for name, term in added.items()}
        return Outcome(terms)

    def discriminator_loss(self, batch: Batch) -> Outcome:
        """For each side, the adversarial term and the discriminator's regularizers."""
        real = sides(batch)
        made = self.made.pop((batch.position, batch.offset), None)
        if made is None:  # the generators had another batch of this round, or none yet
            with torch.no_grad():
                made = self.translated(real)
        terms, scores = {}, {}
        for side, discriminator in self.discriminators.items():
            turn = self.turn(real[side], self.pools[side](made[side], batch), batch)
            real_score, fake_score = discriminator(turn.real), discriminator(turn.fake)
            if self.augment is not None and self.training:
                self.augment.observe(real_score.detach())
            terms[f"adversarial_{side}"] = self.loss.discriminator(real_score, fake_score)
            added = regularize(self.regularizers, "discriminator", discriminator, turn)
            terms |= {f"{name}_{side}": term for name, term in added.items()}
            scores |= {f"real_{side}": real_score.detach(), f"fake_{side}": fake_score.detach()}
        return Outcome(terms, scores)

    def scalars(self) -> dict[str, float]:
        """What the augmentation does now."""
        return {} if self.augment is None else self.augment.scalars()

    def sample(self, batch: Batch, generators: nn.ModuleDict) -> Tensor:
        """(N, C, H, W) images in [-1, 1] of side B for the sources of `batch`."""
        return generators["a2b"](sides(batch)["a"])

    def pictures(self, batch: Batch, generators: nn.ModuleDict) -> dict[str, tuple[Tensor, int]]:
        """'a2b' and 'b2a': rows of sources, of their translations, and of what comes back from these."""
        shown = {}
        for there, back, images in zip(("a2b", "b2a"), ("b2a", "a2b"), sides(batch).values(), strict=True):
            source = first_images(images)
            made = generators[there](source)
            shown[there] = strips([source, made, generators[back](made)])
        return shown


def sides(batch: Batch) -> Sides:
    """The images of both sides."""
    assert batch.source is not None, "the data set has two sides, as this game translates"
    return {"a": batch.source, "b": batch.images}

"""What a generator plays against: a discriminator with all that shapes its score, the same in every game."""

from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor, nn

from gantool.batch import Before, Draws
from gantool.errors import GantoolError, check_members
from gantool.game import Augment, Auxiliary, FeatureDiscriminator, Loss, Outcome, Progress, Regularizer, Turn
from gantool.networks.layers import scores_alone
from gantool.schedules import at

Scored = tuple[Tensor, Tensor | None]  # scores, and features where an auxiliary reads them


class Adversary:
    """A discriminator with its loss, regularizers (those of the loss and more), auxiliaries and augmentation.

    A game with two discriminators has two of these, which may share an augmentation. It is no module: the game
    registers the networks, under the names that they have in a checkpoint. Raises GantoolError for parts that do not
    go together.
    """

    def __init__(
        self,
        discriminator: nn.Module,
        loss: Loss,
        regularizers: Mapping[str, Regularizer] | None = None,
        augment: Augment | None = None,
        auxiliaries: Mapping[str, Auxiliary] | None = None,
    ) -> None:
        self.discriminator, self.loss, self.augment = discriminator, loss, augment
        regularizers = regularizers or {}
        if twice := [name for name in regularizers if name in loss.regularizers]:
            key = f"loss.regularizers.{twice[0]}.KEY"
            raise GantoolError(
                f"regularizer={','.join(twice)}: the loss already has it: leave it out, and set {key} instead"
            )
        self.regularizers = {**loss.regularizers, **regularizers}
        self.auxiliaries = dict(auxiliaries or {})
        for name, regularizer in self.regularizers.items():
            check_members(regularizer, Regularizer, f"regularizer.{name}")
        if augment is not None:
            check_members(augment, Augment, "augment")
            if augment.reads_scores and loss.boundary is None:
                raise GantoolError(
                    f"augment: {type(augment).__qualname__} adapts to the signs of scores, which mean nothing with "
                    f"{type(loss).__qualname__}: take augment=diffaugment, or another loss"
                )
        check_norm(self.regularizers, discriminator)
        self.at_once = scores_alone(discriminator)
        if self.auxiliaries:
            with_features(discriminator, self.auxiliaries)

    def see(self, images: Tensor, draws: Draws) -> Tensor:
        """What the discriminator sees of images."""
        return images if self.augment is None else self.augment(images, draws)

    def before(self, real: Tensor, fake: Tensor, see: Callable[[Tensor], Tensor]) -> Before | None:
        """What a turn tells of images before `see` augments them; None without an augmentation."""
        return None if self.augment is None else Before(real, fake.detach(), see)

    def score(self, images: Tensor, labels: Tensor | None) -> Scored:
        """The discriminator's score of images, and the features behind it."""
        if not self.auxiliaries:
            return self.discriminator(images, labels), None
        network = with_features(self.discriminator, self.auxiliaries)
        features = network.features(images, labels)
        return network.score(features, labels), features

    def scores(self, turn: Turn) -> tuple[Scored, Scored]:
        """What `score` says of the real and of the fake images; in one pass where no image sees another."""
        if not self.at_once:
            return self.score(turn.real, turn.labels), self.score(turn.fake, turn.fake_labels)
        labels = [labels for labels in (turn.labels, turn.fake_labels) if labels is not None]
        score, features = self.score(torch.cat([turn.real, turn.fake]), torch.cat(labels) if labels else None)
        counts = [len(turn.real), len(turn.fake)]
        real, fake = score.split(counts)
        real_features, fake_features = (None, None) if features is None else features.split(counts)
        return (real, real_features), (fake, fake_features)

    def discriminator_loss(self, turn: Turn) -> Outcome:
        """The adversarial term, the auxiliaries' and the discriminator's regularizers."""
        (real, real_features), (fake, fake_features) = self.scores(turn)
        if self.augment is not None and self.discriminator.training:
            margin = real - (fake if self.loss.needs_real_score else self.loss.boundary or 0.0)
            self.augment.observe(margin.detach())
        terms = {"adversarial": self.loss.discriminator(real, fake)}
        for name, auxiliary in self.auxiliaries.items():
            assert real_features is not None and fake_features is not None, "score gives them"
            terms[name] = auxiliary.discriminator(real_features, fake_features, turn)
        turn.real_score, turn.fake_score = real, fake
        terms |= self.regularize("discriminator", self.discriminator, turn)
        return Outcome(terms, {"real": real.detach(), "fake": fake.detach()})

    def generator_terms(self, turn: Turn) -> dict[str, Tensor]:
        """What the generator is paid for: the adversarial term and the auxiliaries'."""
        fake, fake_features = self.score(turn.fake, turn.fake_labels)
        real = real_features = None
        if self.loss.needs_real_score or any(auxiliary.needs_real for auxiliary in self.auxiliaries.values()):
            real, real_features = self.score(turn.real, turn.labels)
        terms = {"adversarial": self.loss.generator(*self.best(fake, real, turn.progress))}
        for name, auxiliary in self.auxiliaries.items():
            assert fake_features is not None, "score gives them"
            terms[name] = auxiliary.generator(fake_features, real_features, turn)
        return terms

    def best(self, fake: Tensor, real: Tensor | None, progress: Progress) -> tuple[Tensor, Tensor | None]:
        """The rows that the generator learns from: the share with the highest scores (top-k, Sinha 2020), or all."""
        if self.loss.top is None:
            return fake, real
        share = at(self.loss.top, progress.nimg, progress.total)
        kept = fake.detach().flatten(1).mean(1).topk(max(1, round(share * len(fake)))).indices
        return fake[kept], None if real is None else real[kept]

    def regularize(self, player: str, network: nn.Module, turn: Turn) -> dict[str, Tensor]:
        """The regularizers' terms for one player's turn: those that are due, scaled by how rarely they are."""
        updates = turn.batch.step if player == "discriminator" else turn.progress.rounds
        due = {name: self.regularizers[name] for name in self.due(player, updates)}
        return {name: regularizer.every * regularizer(network, turn) for name, regularizer in due.items()}

    def due(self, player: str, updates: int) -> tuple[str, ...]:
        """The regularizers of a player's update before which it has had so many."""
        return tuple(
            name
            for name, regularizer in self.regularizers.items()
            if regularizer.player in (player, "both") and updates % regularizer.every == 0
        )

    def with_state(self) -> nn.ModuleDict:
        """The regularizers that have a state, which the game registers."""
        return nn.ModuleDict({name: part for name, part in self.regularizers.items() if isinstance(part, nn.Module)})

    def constrain(self) -> None:
        """The loss's constraint on the discriminator's weights, if it has one."""
        if self.loss.constraint is not None:
            self.loss.constraint(self.discriminator)


def with_features(discriminator: nn.Module, asking: Iterable[str]) -> FeatureDiscriminator:
    """The same network; raises GantoolError that names who is `asking` where it has no features to read."""
    if isinstance(discriminator, FeatureDiscriminator):
        return discriminator
    raise GantoolError(
        f"auxiliary={','.join(asking)} reads features, and {type(discriminator).__qualname__} has none: give it "
        "feature_dim, features(images, labels) and score(features, labels), or leave the auxiliary out"
    )


def check_norm(regularizers: Mapping[str, Regularizer], network: nn.Module) -> None:
    """Raises GantoolError for a regularizer that needs a score of each image alone, on a network with batch norm."""
    if not any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in network.modules()):
        return
    for name, regularizer in regularizers.items():
        if regularizer.player in ("discriminator", "both") and not regularizer.allow_batch_norm:
            raise GantoolError(
                f"{name} differentiates the score of each image, but the discriminator has batch norm, which mixes "
                f"images: set model.discriminator.norm=layer, or force it with allow_batch_norm=true on {name}"
            )

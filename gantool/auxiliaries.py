"""Terms beside the adversarial one, read from the discriminator's features: InfoGAN, AC-GAN, feature matching."""

import math
from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gantool.batch import Draws
from gantool.errors import GantoolError
from gantool.game import Auxiliary, FeatureDiscriminator, Turn
from gantool.steady import check_steady

_HIDDEN = 128


@runtime_checkable
class Codes(Protocol):
    """A latent with codes that can be read back."""

    categories: Sequence[int]  # values of each categorical code
    continuous: int  # codes uniform in [-1, 1]

    def split(self, z: Tensor) -> list[Tensor]:
        """The noise, each categorical code, one-hot, and the continuous codes."""
        ...


def head(discriminator: FeatureDiscriminator, outputs: int) -> nn.Module:
    """One hidden layer, as InfoGAN's recognizer has on the discriminator's last features; without batch norm, so that a
    gradient penalty bears it."""
    return nn.Sequential(nn.Linear(discriminator.feature_dim, _HIDDEN), nn.LeakyReLU(0.2), nn.Linear(_HIDDEN, outputs))


class Information(Auxiliary):
    """InfoGAN (Chen 2016): a recognizer reads the latent's codes back from the images; both players are paid for it.

    Minus the term is the paper's lower bound on the mutual information of codes and images, in nats, for the
    categorical codes times `weight`, for the continuous ones times `continuous_weight`; these have a Gaussian of unit
    variance as their posterior. Wants `model/latent=structured`.

    The bound is content with any code that can be read, such as how thick and slanted a digit is. With a `transform`,
    the categorical codes are to stand for what it leaves alone: they are read from transformed images, and the
    discriminator is also paid for reading the first one alike from a real image and from the same image transformed,
    `invariance_weight` times the mutual information of the two readings (invariant information clustering, Ji 2019).
    """

    def __init__(
        self,
        weight: float = 1.0,
        continuous_weight: float = 0.1,
        transform: Callable[[Tensor, Draws], Tensor] | None = None,
        invariance_weight: float = 1.0,
    ) -> None:
        super().__init__()
        check_steady(transform, "auxiliary.information.transform")
        self.weight, self.continuous_weight = weight, continuous_weight
        self.transform, self.invariance_weight = transform, invariance_weight

    def build(self, latent: object, discriminator: FeatureDiscriminator, num_classes: int) -> None:
        """Raises GantoolError for a latent without codes."""
        if not isinstance(latent, Codes):
            raise GantoolError("auxiliary=information reads codes from the latent: add model/latent=structured")
        self.latent, self.features = latent, discriminator.features
        self.recognizer = head(discriminator, sum(self.latent.categories) + self.latent.continuous)
        if self.transform is not None and not self.latent.categories:
            raise GantoolError("auxiliary.information.transform is for a categorical code: add model.latent.categories")

    def discriminator(self, real: Tensor, fake: Tensor, turn: Turn) -> Tensor:
        term = self.generator(fake, None, turn)
        if self.transform is None:
            return term
        moved = self.moved(turn.real, turn.labels, turn)
        before, after = (self.read(features)[0].softmax(1) for features in (real, moved))
        return term - self.invariance_weight * mutual_information(before, after)

    def generator(self, fake: Tensor, real: Tensor | None, turn: Turn) -> Tensor:
        _, *codes = self.latent.split(turn.z)
        *logits, mean = self.read(fake)
        if self.transform is not None:
            *logits, _ = self.read(self.moved(turn.fake, turn.fake_labels, turn))
        terms = [
            self.weight * (F.cross_entropy(guess, code.argmax(1)) - math.log(len(code[0])))
            for guess, code in zip(logits, codes[:-1], strict=True)
        ]
        log_density = -((mean - codes[-1]).square() + math.log(2 * math.pi)) / 2
        entropy = math.log(2)  # of a uniform code in [-1, 1]
        bound = (log_density + entropy).sum(1).mean()
        return torch.stack([*terms, -self.continuous_weight * bound]).sum()

    def read(self, features: Tensor) -> tuple[Tensor, ...]:
        """(N, F) -> the logits of each categorical code, and the means of the continuous ones."""
        return self.recognizer(features).float().split([*self.latent.categories, self.latent.continuous], 1)

    def moved(self, images: Tensor, labels: Tensor | None, turn: Turn) -> Tensor:
        """The (N, F) features of transformed images."""
        assert self.transform is not None, "asked for"
        return self.features(self.transform(images, turn.batch.draws), labels)


def mutual_information(before: Tensor, after: Tensor) -> Tensor:
    """In nats, between the classes of an image and of its other view, from their (N, classes) probabilities: that of
    the joint distribution over the N pairs, either view being the first (Ji 2019). From 0 to log(classes)."""
    joint = (before[:, :, None] * after[:, None, :]).mean(0)  # not a product of matrices, which autocast would round
    joint = ((joint + joint.T) / 2).clamp(min=torch.finfo(joint.dtype).eps)
    return (joint * (joint.log() - joint.sum(0).log() - joint.sum(1, keepdim=True).log())).sum()


@runtime_checkable
class LabelledFeatures(Protocol):
    """What a discriminator declares whose features may be of the label too, so that nobody learns it from them."""

    sees_label: bool


class ClassPrediction(Auxiliary):
    """AC-GAN (Odena 2017): the discriminator also names the class, of real and of generated images; the generator is
    paid for images of the class that it was asked for. Wants `model.conditional=true`. Of labels that are vectors the
    term is the squared error of each number. The class is read through a hidden layer (`head`), where the paper
    and WGAN-GP's code have one linear layer.

    `weight` is that of the discriminator's term and, without a `generator_weight`, of the generator's. `real_only`: the
    discriminator is not taught by what the generator makes of a class.
    """

    def __init__(self, weight: float = 1.0, generator_weight: float | None = None, real_only: bool = False) -> None:
        super().__init__()
        self.weight, self.real_only = weight, real_only
        self.generator_weight = weight if generator_weight is None else generator_weight

    def build(self, latent: object, discriminator: FeatureDiscriminator, num_classes: int) -> None:
        """Raises GantoolError for an unconditional game, and for features of the label itself."""
        if not num_classes:
            raise GantoolError("auxiliary=acgan predicts the label: add model.conditional=true, on labelled data")
        if isinstance(discriminator, LabelledFeatures) and discriminator.sees_label:
            raise GantoolError(
                "auxiliary=acgan: with model.discriminator.condition=concat the discriminator sees the label that it "
                "is to name; choose none"
            )
        self.classifier = head(discriminator, num_classes)

    def discriminator(self, real: Tensor, fake: Tensor, turn: Turn) -> Tensor:
        wrong = self.weight * self._wrong(real, turn.labels)
        return wrong if self.real_only else wrong + self.weight * self._wrong(fake, turn.fake_labels)

    def generator(self, fake: Tensor, real: Tensor | None, turn: Turn) -> Tensor:
        return self.generator_weight * self._wrong(fake, turn.fake_labels)

    def _wrong(self, features: Tensor, labels: Tensor | None) -> Tensor:
        assert labels is not None, "build has checked it"
        named = self.classifier(features).float()
        return F.mse_loss(named, labels) if labels.is_floating_point() else F.cross_entropy(named, labels)


class FeatureMatching(Auxiliary):
    """Feature matching (Salimans 2016): the generator also brings its mean features to those of real images,
    |E f(real) - E f(fake)|^2, here divided by the number of features so that the weight suits any network."""

    needs_real = True

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__()
        self.weight = weight

    def discriminator(self, real: Tensor, fake: Tensor, turn: Turn) -> Tensor:
        return real.new_zeros((), dtype=torch.float32)

    def generator(self, fake: Tensor, real: Tensor | None, turn: Turn) -> Tensor:
        assert real is not None, "needs_real"
        return self.weight * (real.detach().float().mean(0) - fake.float().mean(0)).square().mean()

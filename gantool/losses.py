"""Adversarial losses, as pure functions of raw discriminator scores.

games/adversary.py puts them together with regularizers and auxiliaries.
"""

import torch.nn.functional as F
from torch import Tensor

from gantool.errors import GantoolError
from gantool.game import Loss


class Minimax(Loss):
    """The game's value itself (Goodfellow 2014, eq. 1): the generator minimises log(1 - D), which saturates."""

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return F.softplus(-real).mean() + F.softplus(fake).mean()

    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return -F.softplus(fake).mean()  # log(1 - sigmoid(s)) = -softplus(s)


class NonSaturating(Loss):
    """The generator maximises log D instead (Goodfellow 2014, section 3).

    `real_label` below 1 is one-sided label smoothing (Salimans 2016 use 0.9).
    """

    def __init__(self, *, real_label: float = 1.0, **parts) -> None:
        super().__init__(**parts)
        if not 0.5 < real_label <= 1:
            raise GantoolError(
                f"loss.real_label={real_label}: one-sided smoothing takes more than 0.5, up to 1 (none), such as 0.9"
            )
        self.real_label = real_label

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        on_real = F.binary_cross_entropy_with_logits(real, real.new_full(real.shape, self.real_label))
        return on_real + F.softplus(fake).mean()

    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return F.softplus(-fake).mean()


class LeastSquares(Loss):
    """LSGAN (Mao 2017), eq. 9: targets 0 for fake, 1 for real, 1 for the generator, each halved."""

    boundary = 0.5

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return 0.5 * ((real - 1).square().mean() + fake.square().mean())

    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return 0.5 * (fake - 1).square().mean()


class Hinge(Loss):
    """Hinge loss (Lim & Ye 2017; Miyato 2018): only scores inside the margin move the discriminator."""

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return F.relu(1 - real).mean() + F.relu(1 + fake).mean()

    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return -fake.mean()


class Wasserstein(Loss):
    """WGAN (Arjovsky 2017): the difference of mean scores; needs a constraint or a penalty to keep D Lipschitz."""

    boundary = None

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return fake.mean() - real.mean()

    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return -fake.mean()


class Relativistic(Loss):
    """RpGAN (Jolicoeur-Martineau 2018), R3GAN's loss (Huang 2024): each fake image is scored against a real one."""

    needs_real_score = True

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return F.softplus(fake - real).mean()

    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        assert real is not None, "the game scores real images too where needs_real_score"
        return F.softplus(real - fake).mean()

"""A loss of one's own."""

import torch.nn.functional as F
from torch import Tensor

from gantool.game import Loss


class Margin(Loss):
    """A smooth hinge: scores inside the margin move the discriminator most."""

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return F.softplus(1 - real).mean() + F.softplus(1 + fake).mean()

    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return F.softplus(-fake).mean()

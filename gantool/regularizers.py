"""Terms that add to any loss, and constraints applied after an update; lecam, cr, bcr and zcr are in consistency.py.

Gradient penalties are computed in float32 on the network's own (uncompiled) forward: autocast would round the
gradient's norm, and a compiled network cannot be differentiated twice. They ask how the score of one image moves with
that image, which batch norm makes a function of all the others: a discriminator with it is refused (Gulrajani 2017,
section 4) unless `allow_batch_norm` is set. The score of a patch discriminator is the sum over its patches, whose mean
the loss takes, as in the CycleGAN authors' `cal_gradient_penalty`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gantool.errors import GantoolError
from gantool.game import Turn
from gantool.schedules import Schedule, at

Side = Literal["discriminator", "generator", "both"]  # weights can be held in either network


def input_gradient(
    network: nn.Module, images: Tensor, labels: Tensor | None, see: Callable[[Tensor], Tensor] | None = None
) -> Tensor:
    """(N, C*H*W) float32 gradient of each image's score by its pixels, itself differentiable; `see` changes the images
    on their way to the network."""
    with torch.autocast(images.device.type, enabled=False):
        images = images.detach().float().requires_grad_(True)
        scores = network.forward(images if see is None else see(images), labels)
        (gradient,) = torch.autograd.grad(scores, images, torch.ones_like(scores), create_graph=True)
    return gradient.flatten(1)


def slope(
    penalty: "R1 | R2", network: nn.Module, turn: Turn, labels: Tensor | None, *, side: Literal["real", "fake"]
) -> Tensor:
    """gamma/2 * |grad D|^2 on one side's images, of these labels."""
    before = turn.before if penalty.before_augment else None
    sides, see = (turn, None) if before is None else (before, before.see)
    images = sides.real if side == "real" else sides.fake
    gamma = at(penalty.gamma, turn.progress.nimg, turn.progress.total)
    return gamma / 2 * input_gradient(network, images, labels, see).square().sum(1).mean()


@dataclass(frozen=True)
class GradientPenalty:
    """weight * (|grad D| - target)^2 on random points between real and fake (Gulrajani 2017, two-sided)."""

    weight: float = 10.0
    target: float = 1.0
    every: int = 1
    player: Literal["discriminator"] = "discriminator"
    allow_batch_norm: bool = False

    def __call__(self, network: nn.Module, turn: Turn) -> Tensor:
        between = torch.lerp(turn.real, turn.fake, turn.batch.draws.rand(1, 1, 1))
        norm = input_gradient(network, between, turn.labels).norm(dim=1)
        return self.weight * F.mse_loss(norm, torch.full_like(norm, self.target))


@dataclass(frozen=True)
class R1:
    """gamma/2 * |grad D|^2 on real images (Mescheder 2018), augmented or, with
    `before_augment`, by the pixels that go into the augmentation (Karras 2020, Huang 2024)."""

    gamma: float | Schedule = 1.0
    every: int = 1
    player: Literal["discriminator"] = "discriminator"
    allow_batch_norm: bool = False
    before_augment: bool = False

    def __call__(self, network: nn.Module, turn: Turn) -> Tensor:
        return slope(self, network, turn, turn.labels, side="real")


@dataclass(frozen=True)
class R2:
    """gamma/2 * |grad D|^2 on fake images (Mescheder 2018), augmented or, with
    `before_augment`, by the pixels that go into the augmentation (Karras 2020, Huang 2024)."""

    gamma: float | Schedule = 1.0
    every: int = 1
    player: Literal["discriminator"] = "discriminator"
    allow_batch_norm: bool = False
    before_augment: bool = False

    def __call__(self, network: nn.Module, turn: Turn) -> Tensor:
        return slope(self, network, turn, turn.fake_labels, side="fake")


@dataclass(frozen=True)
class Dragan:
    """weight * (|grad D| - 1)^2 around the real images (Kodali 2017).

    The neighbourhood follows the authors' code: x + alpha * (0.5 * std(x) * u), with alpha and u uniform in [0, 1),
    alpha drawn per image, u per pixel, and the standard deviation over this part of the batch.
    """

    weight: float = 10.0
    spread: float = 0.5
    every: int = 1
    player: Literal["discriminator"] = "discriminator"
    allow_batch_norm: bool = False

    def __call__(self, network: nn.Module, turn: Turn) -> Tensor:
        noise = self.spread * turn.real.std() * turn.batch.draws.rand(*turn.real.shape[1:])
        near = turn.real + turn.batch.draws.rand(1, 1, 1) * noise
        norm = input_gradient(network, near, turn.labels).norm(dim=1)
        return self.weight * F.mse_loss(norm, torch.ones_like(norm))


@dataclass(frozen=True)
class L1:
    """weight * sum |w| over the network's parameters of two or more dimensions (no biases or norms' scales)."""

    weight: float = 1e-5
    every: int = 1
    player: Side = "both"
    allow_batch_norm: bool = True

    def __call__(self, network: nn.Module, turn: Turn) -> Tensor:
        return self.weight * torch.stack([p.abs().sum() for p in network.parameters() if p.ndim > 1]).sum()


@dataclass(frozen=True)
class L2:
    """weight/2 * sum w^2 over the network's parameters of two or more dimensions (no biases or norms' scales)."""

    weight: float = 1e-4
    every: int = 1
    player: Side = "both"
    allow_batch_norm: bool = True

    def __call__(self, network: nn.Module, turn: Turn) -> Tensor:
        return self.weight / 2 * torch.stack([p.square().sum() for p in network.parameters() if p.ndim > 1]).sum()


@dataclass(frozen=True)
class Orthogonal:
    """weight * |W W^T o (1 - I)|^2: keeps the filters of a layer, rows of W, at right angles but not their lengths
    (Brock 2019, equation 3). Of every weight but embeddings, as it stands before spectral norm.

    In float32, from the smaller of the two Gram matrices: |W W^T| = |W^T W|, and the diagonal is that of the rows.
    (The authors' PyTorch code adds half this term's gradient.)
    """

    weight: float = 1e-4
    every: int = 1
    player: Side = "generator"
    allow_batch_norm: bool = True

    def __call__(self, network: nn.Module, turn: Turn) -> Tensor:
        modules = list(network.modules())
        embeddings = {p for m in modules if isinstance(m, nn.Embedding) for p in m.parameters()}
        transposed = {p for m in modules if isinstance(m, nn.ConvTranspose2d) for p in m.parameters()}
        terms = []
        with torch.autocast(turn.real.device.type, enabled=False):
            for parameter in network.parameters():
                if parameter.ndim > 1 and parameter not in embeddings:
                    rows = (parameter.transpose(0, 1) if parameter in transposed else parameter).flatten(1)
                    gram = rows @ rows.T if len(rows) < rows.shape[1] else rows.T @ rows
                    terms.append(gram.square().sum() - rows.square().sum(1).square().sum())
        return self.weight * torch.stack(terms).sum()


@dataclass(frozen=True)
class WeightClip:
    """A constraint: clamps every parameter that is trained to [-bound, bound] after each update (WGAN, Arjovsky
    2017)."""

    bound: float = 0.01

    def __post_init__(self) -> None:
        if self.bound <= 0:
            raise GantoolError(f"loss.constraint.bound={self.bound}: weights are clipped to a positive number")

    @torch.no_grad()
    def __call__(self, network: nn.Module) -> None:
        for parameter in network.parameters():
            if parameter.requires_grad:  # not what trainer.freeze keeps
                parameter.clamp_(-self.bound, self.bound)


@dataclass(frozen=True)
class Drift:
    """weight * score(real)^2: keeps a critic's scores near zero (Karras 2018)."""

    weight: float = 1e-3
    every: int = 1
    player: Literal["discriminator"] = "discriminator"
    allow_batch_norm: bool = True

    def __call__(self, network: nn.Module, turn: Turn) -> Tensor:
        score = network(turn.real, turn.labels) if turn.real_score is None else turn.real_score
        return self.weight * score.square().mean()

"""What the generator's latents do to its images: the Jacobian, its singular values and directions."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from gantool.errors import GantoolError, first_line

Generate = Callable[[Tensor], Tensor]  # (n, dim) -> (n, C, H, W), each image from its own row alone
ROUNDING = 1e-6  # relative; smaller singular values of a float32 Jacobian are noise


def jacobian(generate: Generate, z: Tensor, *, at_once: int = 64) -> Tensor:
    """(dim, C, H, W): row i is how the image of `z` (dim,) changes with its i-th number.

    Forward-mode derivatives, `at_once` directions as one batch. Raises GantoolError for a network that has none.
    """
    rows = []
    for directions in torch.eye(len(z), device=z.device, dtype=z.dtype).split(at_once):
        with warnings.catch_warnings(), torch.no_grad():  # no_grad: nothing is differentiated backwards
            warnings.simplefilter("ignore", FutureWarning)  # torch's about itself
            try:
                rows.append(torch.func.jvp(generate, (z.repeat(len(directions), 1),), (directions,))[1])
            except (NotImplementedError, RuntimeError) as error:
                reason = first_line(error)[:120]
                raise GantoolError(f"the generator cannot be differentiated forwards: {reason}") from error
    return torch.cat(rows)


@dataclass(frozen=True)
class Sensitivity:
    """The Jacobian's singular value decomposition, as far as the latent's side goes; largest first, on the CPU."""

    values: Tensor  # (dim,) float64: change of the image (Euclidean, pixels in [-1, 1]) for a unit step
    directions: Tensor  # (dim, dim) float64: unit rows in latent space

    @property
    def condition(self) -> float:
        """Largest over smallest singular value (Odena 2018); infinite where the smallest is rounding."""
        largest, smallest = float(self.values[0]), float(self.values[-1])
        return largest / smallest if smallest > ROUNDING * largest else float("inf")

    @property
    def effective_rank(self) -> float:
        """exp of the entropy of the singular values as shares of their sum (Roy & Vetterli 2007): how many directions
        matter, from 1 to dim."""
        shares = self.values / self.values.sum()
        return float(torch.special.entr(shares).sum().exp())

    def directions_for(self, share: float) -> int:
        """The fewest directions that hold `share` of the sum of squares."""
        energy = self.values.square().cumsum(0)
        return int((energy < share * energy[-1]).sum()) + 1


def decompose(change: Tensor) -> Sensitivity:
    """From a Jacobian (dim, C, H, W), by the eigenvectors of its Gram matrix in float64."""
    rows = change.flatten(1).cpu().double()
    squares, vectors = torch.linalg.eigh(rows @ rows.T)
    return Sensitivity(squares.flip(0).clamp(min=0).sqrt(), with_fixed_signs(vectors.flip(1).T))


def walk(z: Tensor, direction: Tensor, span: float, steps: int) -> Tensor:
    """(steps, dim): from `span` before `z` (dim,) to `span` behind it."""
    return z + torch.linspace(-span, span, steps, device=z.device, dtype=z.dtype)[:, None] * direction.to(z)


def strength(change: Tensor, direction: Tensor) -> Tensor:
    """(H, W): how much each pixel changes for a unit step, over all channels, from a Jacobian (dim, C, H, W)."""
    return torch.einsum("dchw,d->chw", change, direction.to(change)).norm(dim=0)


def with_fixed_signs(vectors: Tensor) -> Tensor:
    """The rows, each turned so that its largest component by size is positive."""
    largest = vectors.gather(1, vectors.abs().argmax(1, keepdim=True))
    return vectors * torch.where(largest < 0, -1, 1)

"""Where the generator's input comes from."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from gantool.errors import GantoolError
from gantool.game import Batch


@dataclass(frozen=True)
class Normal:
    """Standard normal in `dim` dimensions."""

    dim: int

    def sample(self, batch: Batch) -> Tensor:
        """(N, dim); with `batch.truncation` t, normal on condition of |z| <= t in each dimension (Brock 2019)."""
        if batch.truncation is None:
            return batch.randn(self.dim)
        inside = math.erf(batch.truncation / math.sqrt(2))  # of the mass
        return math.sqrt(2) * torch.erfinv((2 * batch.rand(self.dim) - 1) * inside)

    def traversals(self, batch: Batch) -> dict[str, tuple[Tensor, int]]:
        """{}: no direction has a meaning of its own."""
        return {}


@dataclass(frozen=True)
class Uniform:
    """Uniform in [-1, 1] in `dim` dimensions (Goodfellow 2014, Radford 2016)."""

    dim: int

    def sample(self, batch: Batch) -> Tensor:
        """(N, dim)."""
        if batch.truncation is not None:
            raise GantoolError("truncation is for normal latents (model/latent=normal): a uniform one has no tails")
        return batch.rand(self.dim) * 2 - 1

    def traversals(self, batch: Batch) -> dict[str, tuple[Tensor, int]]:
        """{}: no direction has a meaning of its own."""
        return {}

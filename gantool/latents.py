"""Where the generator's input comes from."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from gantool.batch import Draws
from gantool.errors import GantoolError, check_choice


class Latent(Protocol):
    """Draws the generator's input. What a class of one's own inherits from here it need not say."""

    dim: int
    normal: int = 0  # how many of them, from the first, are normal: only between these does a great circle make sense

    def sample(self, draws: Draws, truncation: float | None = None) -> Tensor:
        """(N, dim); with a `truncation`, within so many standard deviations."""
        ...

    def traversals(self, draws: Draws) -> dict[str, tuple[Tensor, int]]:
        """Latents that show what each code means, by name: (N, dim) and the columns of their grid; {} without codes."""
        return {}


@dataclass(frozen=True)
class Normal(Latent):
    """Standard normal in `dim` dimensions."""

    dim: int

    @property
    def normal(self) -> int:
        """All of it."""
        return self.dim

    def sample(self, draws: Draws, truncation: float | None = None) -> Tensor:
        """(N, dim); with a `truncation` t, normal, truncated to |z| <= t in each dimension (Brock 2019)."""
        if truncation is None:
            return draws.randn(self.dim)
        inside = math.erf(truncation / math.sqrt(2))  # the probability that |z| <= truncation
        z = math.sqrt(2) * torch.erfinv((2 * draws.rand(self.dim) - 1) * inside)
        furthest = min(truncation, 6.0)  # `inside` is 1 in float32 from 5.4 on, and erfinv(-1) has no bound
        return z.clamp(-furthest, furthest)


@dataclass(frozen=True)
class Uniform(Latent):
    """Uniform in [-1, 1] in `dim` dimensions (Goodfellow 2014, Radford 2016)."""

    dim: int

    def sample(self, draws: Draws, truncation: float | None = None) -> Tensor:
        """(N, dim). Raises GantoolError for a truncation."""
        if truncation is not None:
            raise GantoolError("truncation is for normal latents (model/latent=normal): a uniform one has no tails")
        return draws.rand(self.dim) * 2 - 1


_NOISE = {"normal": Normal, "uniform": Uniform}


class Structured(Latent):
    """InfoGAN's latent (Chen 2016): noise, one-hot codes of `categories` values each, and `continuous` codes uniform in
    [-1, 1]; `dim` numbers in all, in this order.

    `noise`: normal, or uniform in [-1, 1], times `noise_std`; at 0.1 the codes outweigh it and come to stand for the
    clusters of the data (ClusterGAN, Mukherjee 2019). Raises GantoolError where the codes leave no room for noise.
    """

    def __init__(
        self,
        dim: int = 74,
        categories: Sequence[int] = (10,),
        continuous: int = 2,
        noise_std: float = 1.0,
        noise: str = "normal",
    ) -> None:
        check_choice("model.latent.noise", noise, _NOISE)
        self.dim, self.categories, self.continuous, self.noise_std = dim, list(categories), continuous, noise_std
        self.noise = _NOISE[noise](dim - sum(self.categories) - continuous)
        self.normal = self.noise.normal
        if min(self.categories, default=2) < 2 or continuous < 0:
            raise GantoolError(
                f"model.latent: categories={self.categories} should have at least 2 values each, and "
                f"continuous={continuous} should be 0 or more"
            )
        if self.noise.dim < 1:
            raise GantoolError(
                f"model.latent.dim={dim} is noise and codes together: the codes take {dim - self.noise.dim} of it, so "
                "make it larger"
            )

    def sample(self, draws: Draws, truncation: float | None = None) -> Tensor:
        """(N, dim); a `truncation` is of the noise."""
        codes = [F.one_hot(draws.randint(size), size).float() for size in self.categories]
        noise = self.noise_std * self.noise.sample(draws, truncation)
        return torch.cat([noise, *codes, draws.rand(self.continuous) * 2 - 1], 1)

    def split(self, z: Tensor) -> list[Tensor]:
        """The noise, each categorical code, and the continuous codes."""
        return list(z.split([self.noise.dim, *self.categories, self.continuous], 1))

    def traversals(self, draws: Draws) -> dict[str, tuple[Tensor, int]]:
        """'category0': a row for each of its values, over ten latents else alike; 'code0': a row for each of ten
        latents, the code going from -2 to 2."""
        some = self.sample(draws)[:10]
        start, views = self.noise.dim, {}
        for index, size in enumerate(self.categories):
            z = some.repeat(size, 1)
            z[:, start : start + size] = torch.eye(size, device=z.device).repeat_interleave(len(some), 0)
            views[f"category{index}"] = (z, len(some))
            start += size
        for index in range(self.continuous):
            z = some.repeat_interleave(10, 0)
            z[:, start + index] = torch.linspace(-2, 2, 10, device=z.device).repeat(len(some))
            views[f"code{index}"] = (z, 10)
        return views

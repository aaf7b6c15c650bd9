"""A latent of one's own."""

from torch import Tensor
from torch.nn import functional as F

from gantool.batch import Draws
from gantool.latents import Latent


class Sphere(Latent):
    """Uniform on the unit sphere (White 2016)."""

    def __init__(self, dim: int) -> None:
        self.dim = dim

    def sample(self, draws: Draws, truncation: float | None = None) -> Tensor:
        """(N, dim); `draws` gives random numbers for a whole batch and keeps the rows that are asked for."""
        return F.normalize(draws.randn(self.dim))

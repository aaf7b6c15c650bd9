"""Where the generator's input comes from."""

from dataclasses import dataclass

from torch import Tensor

from gantool.game import Batch


@dataclass(frozen=True)
class Normal:
    """Standard normal in `dim` dimensions."""

    dim: int

    def sample(self, batch: Batch) -> Tensor:
        """(N, dim)."""
        return batch.randn(self.dim)

    def traversals(self, batch: Batch) -> dict[str, tuple[Tensor, int]]:
        """{}: no direction has a meaning of its own."""
        return {}


@dataclass(frozen=True)
class Uniform:
    """Uniform in [-1, 1] in `dim` dimensions (Goodfellow 2014, Radford 2016)."""

    dim: int

    def sample(self, batch: Batch) -> Tensor:
        """(N, dim)."""
        return batch.rand(self.dim) * 2 - 1

    def traversals(self, batch: Batch) -> dict[str, tuple[Tensor, int]]:
        """{}: no direction has a meaning of its own."""
        return {}

"""Batches of real images, requests for made ones, the random numbers of either, and both before an augmentation."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Draws:
    """Random numbers for a whole batch over all ranks, of which each part gets its own rows.

    So a batch that is cut into micro-batches or spread over ranks sees the same numbers as one that is whole.
    """

    count: int  # rows of this part
    device: torch.device
    offset: int = 0  # index of this part's first row in the whole batch
    total: int = 0  # rows of the whole batch; 0: this part is all of it

    def randn(self, *shape: int) -> Tensor:
        """(N, *shape) standard normal."""
        return self._rows(torch.randn(self.total or self.count, *shape, device=self.device))

    def rand(self, *shape: int) -> Tensor:
        """(N, *shape) uniform in [0, 1)."""
        return self._rows(torch.rand(self.total or self.count, *shape, device=self.device))

    def randint(self, high: int, *shape: int) -> Tensor:
        """(N, *shape) int64 uniform in 0 .. high - 1."""
        return self._rows(torch.randint(high, (self.total or self.count, *shape), device=self.device))

    def _rows(self, whole: Tensor) -> Tensor:
        return whole[self.offset : self.offset + self.count]


@dataclass(frozen=True)
class Request:
    """Images that a game is asked to make: how many, of which classes, from which sources."""

    draws: Draws  # how many, where, and the random numbers of their latents
    labels: Tensor | None = None  # (N,) int64 class indices, or vectors (N, K) float32
    source: Tensor | None = None  # (N, C, H, W) images to translate
    truncation: float | None = None  # latents are to stay within this many standard deviations; None: as they fall

    def __len__(self) -> int:
        return self.draws.count

    def split(self, size: int) -> "list[Request]":
        """Parts of at most `size` images that draw their own rows of the same numbers."""
        whole, parts = self.draws, []
        for start in range(0, len(self), size):
            labels, source = (None if t is None else t[start : start + size] for t in (self.labels, self.source))
            count = min(size, len(self) - start)
            draws = Draws(count, whole.device, whole.offset + start, whole.total or whole.count)
            parts.append(Request(draws, labels, source, self.truncation))
        return parts


@dataclass
class Batch:
    """Real images and their place in the run."""

    images: Tensor  # (N, C, H, W) float32 in [-1, 1]
    labels: Tensor | None = None  # (N,) int64 class indices, or vectors (N, K) float32
    source: Tensor | None = None  # (N, C, H, W) images to translate
    position: int = 0  # nimg at the first image of the whole batch
    offset: int = 0  # index of this part's first image in the whole batch
    total: int = 0  # images in the whole batch over all ranks; 0: this part is all of it

    def __post_init__(self) -> None:
        self.total = self.total or len(self.images)

    def __len__(self) -> int:
        return len(self.images)

    @property
    def tensors(self) -> tuple[Tensor | None, ...]:
        """The images, labels and sources."""
        return self.images, self.labels, self.source

    def clone(self) -> "Batch":
        """The same rows in memory of their own."""
        images, labels, source = (None if rows is None else rows.clone() for rows in self.tensors)
        assert images is not None
        return replace(self, images=images, labels=labels, source=source)

    def fill(self, other: "Batch") -> None:
        """Takes over the rows of a batch of the same shape, in place."""
        for rows, others in zip(self.tensors, other.tensors, strict=True):
            if rows is not None and others is not None:
                rows.copy_(others)

    @property
    def step(self) -> int:
        """How many batches of this size came before it in the run."""
        return self.position // self.total

    @property
    def draws(self) -> Draws:
        """The random numbers that go with these images."""
        return Draws(len(self.images), self.images.device, self.offset, self.total)

    @property
    def request(self) -> Request:
        """As many images as these, of the same classes, or made of their sources."""
        return Request(self.draws, self.labels, self.source)

    def split(self, size: int) -> "list[Batch]":
        """Parts of at most `size` images that remember their offset."""
        parts = []
        for start in range(0, len(self), size):
            images, labels, source = (None if rows is None else rows[start : start + size] for rows in self.tensors)
            assert images is not None
            parts.append(Batch(images, labels, source, self.position, self.offset + start, self.total))
        return parts


@dataclass(frozen=True)
class Before:
    """The images of a turn before their augmentation."""

    real: Tensor  # (N, C, H, W) in [-1, 1]
    fake: Tensor  # (N, C, H, W) in [-1, 1]
    see: Callable[[Tensor], Tensor]  # augments (N, C, H, W) images, by new random numbers at each call

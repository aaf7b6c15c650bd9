"""A prepared data set."""

import hashlib
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from gantool.randomness import shuffled

KEPT = 1000  # label vectors that a run remembers
_NOTHING = torch.empty(0, 2, dtype=torch.int64)


@dataclass(frozen=True)
class ImageSet:
    """All images of a data set at their final resolution."""

    images: Tensor  # (N, C, H, W) uint8, or of 16 bits int16 (images.py), memory-mapped
    labels: Tensor | None  # (N,) int64, or vectors (N, num_classes) float32; None: unlabelled
    class_names: list[str]  # or what the numbers of a vector are
    fingerprint: str  # of the files and settings that gave these images
    name: str
    split: str = "all"  # the part of the published set that these are
    num_skipped: int = 0  # damaged images left out
    source: Tensor | None = None  # (M, C, H, W) uint8 to be translated into such images; None: nothing is translated
    paired: bool = False  # source i belongs to image i
    test: "ImageSet | None" = None  # of the same kind, for grids and scores alone
    rows: Tensor = _NOTHING  # (M, 2) int64 of the whole set: hashes of the pixels, labels (or their hashes, or sides)
    span: tuple[float, float] | None = None  # the values of black and white, where dataset.range=auto found them

    @property
    def num_classes(self) -> int:
        """Classes, or numbers in a label that is a vector; 0 for an unlabelled set."""
        return len(self.class_names)

    @property
    def vectors(self) -> Tensor | None:
        """Its labels where they are vectors."""
        return None if self.labels is None or self.labels.ndim == 1 else self.labels

    @property
    def kept_vectors(self) -> Tensor | None:
        """(at most 1,000, num_classes) of its labels where they are vectors, drawn at random, always the same ones."""
        if self.vectors is None:
            return None
        return self.vectors[shuffled(len(self.vectors), 0)[:KEPT]]

    @property
    def classes(self) -> Tensor | None:
        """Its labels where they are classes."""
        return None if self.labels is None or self.labels.ndim > 1 else self.labels

    @property
    def pixels_hash(self) -> str:
        """8 hex digits, of the pixels of the whole set in any order: the same wherever its files lie and whatever they
        are called, and another where the sides of an unpaired set have changed places."""
        pixels, label = self.rows.unbind(1)
        told = pixels if self.source is None else 2 * pixels + label  # of a set with two sides it is the side
        content = told.sort().values.numpy().tobytes() if len(told) else self.fingerprint.encode()
        return hashlib.sha256(content).hexdigest()[:8]

    def at(self, rows: Tensor) -> "ImageSet":
        """Some of its images, in memory."""
        return replace(self, images=self.images[rows], labels=None if self.labels is None else self.labels[rows])

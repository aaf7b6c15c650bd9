"""A feature space and images for tests of scores and classifiers."""

from collections.abc import Iterator

import torch
from torch import Tensor

from gantool.data.image_set import ImageSet
from gantool.logging.progress import Block
from gantool.metrics.features import Features


class Rows(Features):
    """Eight features: the mean brightness of each row. Counts the images it has seen."""

    name, num_features = "rows", 8
    weights_hash, resize = "00000000", "none"

    def __init__(self) -> None:
        super().__init__()
        self.seen = 0

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        self.seen += len(images)
        features = images.float().mean((1, 3)) / 64
        return features, 3 * features


def noise(count: int, seed: int, top: int = 256) -> Tensor:
    """Images (count, 1, 8, 4), uint8."""
    return torch.randint(0, top, (count, 1, 8, 4), generator=torch.Generator().manual_seed(seed)).to(torch.uint8)


def reals(count: int = 300, fingerprint: str = "fingerprint") -> ImageSet:
    """An unlabelled set of noise, sorted by brightness as files may be sorted by class."""
    images = noise(count, 0)
    images = images[images.float().mean((1, 2, 3)).argsort()]
    return ImageSet(images, None, [], fingerprint, "noise")


def stripes(count: int, seed: int) -> ImageSet:
    """Images (count, 1, 16, 16) of vertical or horizontal stripes under noise, and which."""
    generator = torch.Generator().manual_seed(seed)
    kinds = torch.randint(0, 2, (count,), generator=generator)
    wave = (torch.arange(16) % 4 < 2).float() * 120
    clean = torch.where(kinds[:, None, None] == 0, wave, wave[:, None])[:, None]
    noisy = (clean + 80 * torch.rand(count, 1, 16, 16, generator=generator)).to(torch.uint8)
    return ImageSet(noisy, kinds, ["across", "down"], f"stripes-{seed}", "stripes")


def blocks(images: Tensor) -> Iterator[Block]:
    """Without labels, in parts."""
    return ((part, None) for part in images.split(30))

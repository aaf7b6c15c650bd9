"""What a score needs of a network: fixed features and class logits of images."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gantool.images import colours
from gantool.metrics.weights import Published

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))  # means and standard deviations of its colours


class Features(nn.Module, ABC):
    """A frozen feature extractor; its name tells its numbers from those of other extractors."""

    name: str
    num_features: int
    weights_hash: str  # first 8 hex digits of the sha256 of the weights file
    resize: str  # what happens to images of other sizes, in words
    published: Published | None = None  # its weights, where they do not come along
    class_names: Sequence[str] = ()  # what the classes of the logits are called, where they have names
    has_classes: bool = True  # False: logits are (N, 0), and scores that need classes are refused
    details: Mapping[str, object] = {}  # what else the protocol is to say of it, such as a classifier's accuracy

    @abstractmethod
    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 (N, C, H, W) to float32 features (N, num_features) and logits (N, classes); where C is neither 1 nor 3
        images.colours helps."""

    def prepare(self) -> None:
        """What takes minutes, or looks at a data set's images: called once all that can be refused before was."""

    @classmethod
    def why_not(cls, weights: object = None, **others: object) -> str | None:
        """Why it cannot be had here with these arguments, in words; None where it can. What has to be fetched is."""
        return None if weights or cls.published is None else cls.published.why_not()

    def score_name(self, kind: str) -> str:
        """What the score of `kind`, such as fd, is, kd or precision, is called in these features."""
        return f"{kind}_{self.name}"


def resized(images: Tensor, size: int) -> Tensor:
    """uint8 (N, C, H, W) to float32 (N, 3, size, size) in [0, 255], as PIL's bicubic does of floats (Parmar 2022); grey
    is repeated, of other channels see images.colours."""
    made = F.interpolate(colours(images).float(), (size, size), mode="bicubic", antialias=True)
    return made.clamp(0, 255).expand(-1, 3, -1, -1)


def standardised(images: Tensor, colours: tuple[tuple[float, ...], tuple[float, ...]] = IMAGENET) -> Tensor:
    """(N, 3, H, W) in [0, 255] to [0, 1] without the mean and in units of the standard deviation of each colour."""
    mean, std = (torch.tensor(side, device=images.device).view(3, 1, 1) for side in colours)
    return (images / 255 - mean) / std

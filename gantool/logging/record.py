"""What is written at one point of a run: numbers, pictures, histograms and how they were measured."""

from dataclasses import dataclass, field

from torch import Tensor


@dataclass
class Record:
    """Values by tag ('loss/generator/total'); tags are the same in TensorBoard, metrics.jsonl and samples/, but for a _
    before TensorBoard's of images."""

    scalars: dict[str, float] = field(default_factory=dict)
    images: dict[str, Tensor] = field(default_factory=dict)  # (C, H, W) uint8, C 1 or 3
    rows: dict[str, list[str]] = field(default_factory=dict)  # what the rows of some images are, from the top
    histograms: dict[str, Tensor] = field(default_factory=dict)  # any shape, float
    protocol: dict[str, object] = field(default_factory=dict)  # how the scores were measured; JSON-able

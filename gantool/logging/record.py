"""What is written at one point of a run: numbers, pictures, histograms and how they were measured."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

# Of a protocol: not how a score is measured.
_NOT_HOW = ("metrics", "higher_is_better", "floor", "warning", "scores", "margin_parts")


@dataclass
class Record:
    """Values by tag ('loss/generator/total'); tags are the same in TensorBoard, metrics.jsonl and samples/, but for a _
    before TensorBoard's of images."""

    scalars: dict[str, float] = field(default_factory=dict)
    images: dict[str, Tensor] = field(default_factory=dict)  # (C, H, W) uint8, C 1 or 3
    rows: dict[str, list[str]] = field(default_factory=dict)  # what the rows of some images are, from the top
    histograms: dict[str, Tensor] = field(default_factory=dict)  # any shape, float
    protocol: dict[str, object] = field(default_factory=dict)  # how the scores were measured; JSON-able


def how(protocol: Mapping[str, object] | None, metric: str) -> str:
    """How the score was measured, as JSON; 'null' where that is not known."""
    if protocol is None:
        return "null"
    told = {key: value for key, value in protocol.items() if value is not None and key not in _NOT_HOW}
    scores = protocol.get("scores")
    own = scores.get(metric) if isinstance(scores, Mapping) else None
    return json.dumps(told | ({"score": own} if own else {}), sort_keys=True, default=str)


def way(protocol: Mapping[str, object], metric: str) -> str:
    """The same in 16 hex digits: numbers of another way are none to compare with."""
    return hashlib.sha256(how(protocol, metric).encode()).hexdigest()[:16]

"""Images as a network sees them: features and logits, those of real images kept on disk."""

import hashlib
import json
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeVar

import torch
from torch import Tensor

from gantool.data.image_set import ImageSet
from gantool.errors import GantoolError
from gantool.images import to_uint8
from gantool.logging.progress import Block
from gantool.metrics.features import Features
from gantool.metrics.neighbours import nearest
from gantool.metrics.tensors import load_tensors, save_tensors
from gantool.paths import cache_dir
from gantool.ranks import from_first, in_turn, mine, rank

T = TypeVar("T")
CPU = torch.device("cpu")
NEIGHBOURS = 8  # looked up at least, so that scores which ask for 3 and for 5 share one search


@dataclass(frozen=True, eq=False)
class Embedding:
    """Of N images, on the CPU; `device` is where a score may do long work. What scores share is computed once."""

    features: Tensor  # (N, F) float32
    logits: Tensor  # (N, classes) float32
    images: Tensor | None = None  # (N, C, H, W) uint8; only where a score needs them
    labels: Tensor | None = None  # (N,) int64; with the images, where there are any
    device: torch.device = CPU
    left_of: "tuple[Embedding, Embedding] | None" = field(default=None, repr=False)  # a whole, and the part it lacks
    _made: dict[Hashable, Any] = field(default_factory=dict, init=False, repr=False)

    def __len__(self) -> int:
        return len(self.features)

    def __getitem__(self, rows: Tensor) -> "Embedding":
        images, labels = (None if side is None else side[rows] for side in (self.images, self.labels))
        return Embedding(self.features[rows], self.logits[rows], images, labels, self.device)

    def without(self, rows: Tensor) -> "Embedding":
        """All but those at `rows`."""
        kept = torch.ones(len(self), dtype=torch.bool)
        kept[rows] = False
        return replace(self[kept.nonzero()[:, 0]], left_of=(self, self[rows]))

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """What `make` gave when `key` was first asked for."""
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    @cached_property
    def moments(self) -> tuple[Tensor, Tensor]:
        """Sum (F,) and sum of outer products (F, F) of the features, float64."""
        if self.left_of is not None:
            (total, outer), (less, outer_less) = (side.moments for side in self.left_of)
            return total - less, outer - outer_less
        return moments(self.features)

    @property
    def normal(self) -> tuple[Tensor, Tensor]:
        """Mean (F,) and covariance (F, F), float64."""
        total, outer = self.moments
        mean = total / len(self)
        return mean, (outer - len(self) * mean.outer(mean)) / (len(self) - 1)

    def points(self) -> Tensor:
        """The features in float64 on `device`, or on the CPU where that has none; made anew, as they are large."""
        return self.features.to("cpu" if self.device.type == "mps" else self.device, torch.float64)

    def radii(self, k: int) -> Tensor:
        """(N,) squared distances from each image to its k-th nearest other one, float64 on `device`."""
        num = max(k, min(NEIGHBOURS, len(self) - 1))
        return self.once(("nearest", num), lambda: nearest(self.points(), num))[:, k - 1]


def moments(features: Tensor, rows: int = 4096) -> tuple[Tensor, Tensor]:
    """Sum (F,) and sum of outer products (F, F) of (N, F), in float64, `rows` at a time: float32 is 3 % off."""
    outer = torch.zeros(features.shape[1], features.shape[1], dtype=torch.float64, device=features.device)
    for part in features.split(rows):
        outer += part.double().T @ part.double()
    return features.sum(0, dtype=torch.float64), outer


@torch.no_grad()
def embed(features: Features, blocks: Iterable[Block], device: torch.device, *, keep_images: bool = False) -> Embedding:
    """Of the images in `blocks`; on the first rank of all ranks' (see gantool.ranks.mine). Raises GantoolError for an
    extractor that does not give what it says."""
    made: list[list[Tensor]] = []
    kept: list[Block] = []
    for images, labels in blocks:
        with torch.autocast(device.type, enabled=False):
            seen = features(to_uint8(images.to(device)))
        _check(features, seen, len(images))
        made.append([tensor.float().cpu() for tensor in seen])
        if keep_images:
            kept.append((images, labels))
    made, kept = in_turn(made), in_turn(kept)
    if not made:  # another rank, which had none
        made = [[torch.empty(0, features.num_features), torch.empty(0, 0)]]
    sides = [torch.cat(side) for side in zip(*made, strict=True)]
    labels = [labels for _, labels in kept if labels is not None]
    return Embedding(
        *sides,
        images=torch.cat([images for images, _ in kept]) if kept else None,
        labels=torch.cat(labels) if labels and len(labels) == len(kept) else None,
        device=device,
    )


def _check(features: Features, made: object, num_images: int) -> None:
    parts = made if isinstance(made, tuple | list) else [made]
    found = [tuple(part.shape) if isinstance(part, Tensor) else type(part).__name__ for part in parts]
    match found:
        case [(num, width), (num_again, _)] if num == num_again == num_images and width == features.num_features:
            return
    raise GantoolError(
        f"features: {type(features).__qualname__} gives {' and '.join(map(str, found))} for {num_images} images, "
        f"not features ({num_images}, {features.num_features}) and logits ({num_images}, classes)"
    )


def embed_reals(
    features: Features,
    image_set: ImageSet,
    rows: Tensor,
    batch_size: int,
    device: torch.device,
    follow: Callable[[Iterator[Block], int], Iterator[Block]],
    *,
    keep_images: bool = False,
) -> Embedding:
    """Of the real images at `rows`, sorted; from the cache where they were embedded before. On the first rank: the
    others help to embed.

    `follow(blocks, total)` passes blocks on and tells the user how far it is.
    """
    identity = {
        "images": image_set.fingerprint,
        "rows": hashlib.sha256(rows.numpy().tobytes()).hexdigest(),
        "extractor": [type(features).__module__, type(features).__qualname__, features.name],
        "weights": features.weights_hash,
        "resize": features.resize,
    }
    key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
    path = cache_dir() / "embeddings" / f"{key}.safetensors"
    known = load_tensors(path) if rank() == 0 else None
    if from_first(lambda: known is None or not _is_whole(known, (len(rows), features.num_features))):
        blocks = ((image_set.images[part], None) for part in mine(rows.split(batch_size)))
        made = embed(features, follow(blocks, len(rows)), device)
        known = {"features": made.features, "logits": made.logits}
        if rank() == 0:
            save_tensors(known, path)
    images, labels = image_set.images, image_set.labels
    if not keep_images:
        images = labels = None
    elif len(rows) < len(image_set.images):  # all of them stay in their memory-mapped file
        images, labels = image_set.images[rows], None if labels is None else labels[rows]
    known = known or dict.fromkeys(("features", "logits"), torch.empty(0, 0))
    return Embedding(known["features"], known["logits"], images, labels, device)


def _is_whole(known: dict[str, Tensor], shape: tuple[int, int]) -> bool:
    if known.keys() != {"features", "logits"}:
        return False
    return known["features"].shape == shape and len(known["logits"]) == shape[0]

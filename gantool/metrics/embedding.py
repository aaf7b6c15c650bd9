"""Images as a network sees them: features and logits, those of real images kept on disk."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from gantool.data.image_set import ImageSet
from gantool.errors import GantoolError
from gantool.logging.progress import Block
from gantool.metrics.features import Features
from gantool.metrics.statistics import load_statistics, save_statistics
from gantool.paths import cache_dir


@dataclass(frozen=True)
class Embedding:
    """Of N images, on the CPU."""

    features: Tensor  # (N, F) float32
    logits: Tensor  # (N, classes) float32

    def __len__(self) -> int:
        return len(self.features)

    def __getitem__(self, rows: Tensor) -> "Embedding":
        return Embedding(self.features[rows], self.logits[rows])


@torch.no_grad()
def embed(features: Features, blocks: Iterable[Block], device: torch.device) -> Embedding:
    """Of the images in `blocks`; raises GantoolError for an extractor that does not give what it says."""
    parts = []
    for images, _ in blocks:
        with torch.autocast(device.type, enabled=False):
            made = features(images.to(device))
        _check(features, made, len(images))
        parts.append([tensor.float().cpu() for tensor in made])
    return Embedding(*(torch.cat(side) for side in zip(*parts, strict=True)))


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
    told: Callable[[Iterator[Block], int], Iterator[Block]],
) -> Embedding:
    """Of the real images at `rows`, sorted; from the cache where they were embedded before.

    `told(blocks, total)` passes blocks on and tells the user how far it is.
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
    known = load_statistics(path)
    if known is not None:
        return Embedding(**known)
    blocks = ((image_set.images[part], None) for part in rows.split(batch_size))
    made = embed(features, told(blocks, len(rows)), device)
    save_statistics(asdict(made), path)
    return made

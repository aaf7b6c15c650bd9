"""CIFAR-10's training images against its test images: the one FID that is published for real images."""

from typing import Any

from torch import Tensor

from gantool.data.cache import prepare
from gantool.data.cifar10 import Cifar10
from gantool.data.image_set import ImageSet
from gantool.errors import GantoolError
from gantool.logging.progress import follow_images
from gantool.metrics.embedding import embed_reals
from gantool.metrics.inception import InceptionFeatures
from gantool.metrics.scores import FrechetDistance
from gantool.randomness import shuffled
from gantool.runs.features import build_features
from gantool.runs.trained import without_prefix
from gantool.training.hardware import choose_device, exact_float32


def calibrate(
    node: dict[str, Any], *, root: str, download: bool, num: int | None, batch_size: int, device: str
) -> tuple[float, str, str]:
    """The Frechet distance between CIFAR-10's training and test images in the features that `node` describes, what it
    is in words, and why it is not comparable with the published one; '' where it is.

    Raises GantoolError where features or images are not at hand.
    """
    where = choose_device(device)
    exact_float32()
    try:
        features = build_features(node, {"device": str(where)}).to(where)
    except GantoolError as error:
        raise GantoolError(f"no calibration, as the features are not at hand: {error}") from error
    with without_prefix("dataset."):
        sides = [prepare(Cifar10(root, split=split, download=download)) for split in ("train", "test")]
    embedded = [embed_reals(features, s, rows(s, num), batch_size, where, follow_images) for s in sides]
    distance = FrechetDistance()(*embedded, seed=0)
    counts = " against ".join(f"{len(e):,} {side.split}" for e, side in zip(embedded, sides, strict=True))
    text = f"{features.score_name('fd')} of CIFAR-10, {counts} images: {distance:.3f}"
    whole = [len(side) for side in embedded] == [len(side.images) for side in sides]
    found = features.name, features.score_name("fd"), features.weights_hash
    if found != ("inception", "fid", InceptionFeatures.published.sha256):
        return distance, text, "another extractor, other weights or another resize"
    return distance, text, "" if whole else "fewer images"


def rows(image_set: ImageSet, num: int | None) -> Tensor:
    """Of at most `num` images drawn from the set, sorted."""
    order = shuffled(len(image_set.images), 0)
    return order[:num].sort().values

"""gantool calibrate: does FID come out here as published? CIFAR-10's training images against its test images."""

import logging
from typing import Annotated, Any

import torch
from hydra.errors import InstantiationException
from omegaconf import DictConfig
from pydantic import BaseModel, ConfigDict, Field, PositiveInt
from torch import Tensor

from gantool.config.wording import in_one_line
from gantool.runs.features import make_features
from gantool.runs.trained import read_options, without_prefix
from gantool.data import ImageSet, prepare
from gantool.data.cifar10 import Cifar10
from gantool.errors import GantoolError
from gantool.logging.progress import told
from gantool.metrics.distances import frechet_distance
from gantool.metrics.embedding import embed_reals
from gantool.metrics.inception import SHA256_PREFIX
from gantool.training.hardware import choose_device

log = logging.getLogger(__name__)

PUBLISHED, TOLERANCE = 3.15, 0.02  # rounded to two digits, and decoders and libraries differ a little


class Options(BaseModel):
    """The keys of conf/calibrate.yaml."""

    model_config = ConfigDict(strict=True, extra="forbid")

    features: dict[str, Any]
    root: str
    download: bool
    num: Annotated[int, Field(ge=2)] | None
    batch_size: PositiveInt
    device: str


def calibrate(cfg: DictConfig) -> None:
    """Prints the distance and how it compares with the published FID.

    Raises GantoolError where the weights are not at hand, and where they are but the distance is another one.
    """
    options = read_options(cfg, Options)
    device = choose_device(options.device)
    try:
        features = make_features(options.features, {"device": str(device)}).to(device)
    except (GantoolError, InstantiationException) as error:
        reason = in_one_line(error, in_job=True)
        raise GantoolError(f"no calibration, as the features are not at hand: {reason}") from error
    with without_prefix("dataset."):
        sides = [prepare(Cifar10(options.root, split=split, download=options.download)) for split in ("train", "test")]
    embedded = [embed_reals(features, s, rows(s, options.num), options.batch_size, device, told) for s in sides]
    distance = frechet_distance(*(side.features for side in embedded))
    counts = " against ".join(f"{len(e):,} {side.split}" for e, side in zip(embedded, sides, strict=True))
    found = f"{features.score_name('fd')} of CIFAR-10, {counts} images: {distance:.3f}"
    whole = [len(side) for side in embedded] == [len(side.images) for side in sides]
    published = (features.name, features.score_name("fd"), features.weights_hash) == ("inception", "fid", SHA256_PREFIX)
    if not (whole and published):
        why = "fewer images" if published else "another extractor, other weights or another resize"
        log.info("%s; not comparable with the published %.2f: %s", found, PUBLISHED, why)
    elif abs(distance - PUBLISHED) > TOLERANCE:
        raise GantoolError(f"{found}, but {PUBLISHED} is published: FID on this machine is not comparable with papers")
    else:
        log.info("%s; published: %.2f", found, PUBLISHED)


def rows(image_set: ImageSet, num: int | None) -> Tensor:
    """Of at most `num` images drawn from the set, sorted."""
    order = torch.randperm(len(image_set.images), generator=torch.Generator().manual_seed(0))
    return order[:num].sort().values

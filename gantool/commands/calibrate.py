"""gantool calibrate: does FID come out here as published? CIFAR-10's training images against its test images."""

import logging
from typing import Annotated, Any, ClassVar

from pydantic import Field, PositiveInt

from gantool.config.options import OnDevice, group, key
from gantool.errors import GantoolError

log = logging.getLogger(__name__)

PUBLISHED, TOLERANCE = 3.15, 0.02  # rounded to two digits, and decoders and libraries differ a little


class Options(OnDevice):
    """Measures the FID of CIFAR-10's training images against its test images, published as 3.15.

    Fails if the distance is not the published one; says so if the weights are not available. The features of the
    images are cached: a second run takes seconds.
    """

    usage: ClassVar[str] = "[features.weights=FILE] [key=value]"

    features: dict[str, Any] = group("inception", "feature extractor")
    root: str = key("${oc.env:GANTOOL_DATA,data}", "folder with cifar-10-batches-py; by default GANTOOL_DATA, or data")
    download: bool = key(True, "fetch CIFAR-10 if it is not there")
    num: Annotated[int, Field(ge=2)] | None = key(
        None, "images of each side; null: all 50,000 and 10,000, hours on a CPU; fewer are not comparable"
    )
    batch_size: PositiveInt = key(100, "images at once")


def calibrate(options: Options) -> None:
    """Raises GantoolError where the weights are not at hand, and where they are but the distance is another one."""
    from gantool.runs import calibration

    distance, text, why_not = calibration.calibrate(options.features, **options.model_dump(exclude={"features"}))
    if why_not:
        log.info("%s; not comparable with the published %.2f: %s", text, PUBLISHED, why_not)
    elif abs(distance - PUBLISHED) > TOLERANCE:
        raise GantoolError(f"{text}, but {PUBLISHED} was published: FID on this machine is not comparable with papers")
    else:
        log.info("%s; published: %.2f", text, PUBLISHED)

"""Says how far long work on images is."""

import logging
import time
from collections.abc import Iterator

from torch import Tensor

log = logging.getLogger(__name__)

Block = tuple[Tensor, Tensor | None]  # (n, C, H, W) images, (n,) labels or None


def told(blocks: Iterator[Block], num: int) -> Iterator[Block]:
    """The blocks, with a line on progress at most every five seconds, and more rarely as the work goes on."""
    started = last = time.monotonic()
    done = 0
    for images, labels in blocks:
        yield images, labels
        done += len(images)
        now = time.monotonic()
        if now - last > max(5, (now - started) / 20):
            rate = done / (now - started)
            log.info("%d of %d images, %.0f images/s, %.0f s left", done, num, rate, (num - done) / rate)
            last = now

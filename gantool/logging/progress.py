"""Says how far long work is."""

import logging
import time
from collections.abc import Iterator, Sequence
from typing import TypeVar

from torch import Tensor

log = logging.getLogger(__name__)

Block = tuple[Tensor, Tensor | None]  # (n, C, H, W) images, (n,) labels or None
T = TypeVar("T")


def follow_images(blocks: Iterator[Block], num: int) -> Iterator[Block]:
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


def follow_steps(steps: Sequence[T]) -> Iterator[T]:
    """The steps of long work, with a line on how far it is at most every five seconds."""
    started = last = time.monotonic()
    for done, step in enumerate(steps, 1):
        yield step
        if (now := time.monotonic()) - last > 5:
            log.info("%d of %d, %.0f s left", done, len(steps), (now - started) * (len(steps) - done) / done)
            last = now

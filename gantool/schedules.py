"""Durations with units, and learning-rate factors as functions of the images seen."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass

from gantool.errors import GantoolError

Schedule = Callable[[int, int], float]  # (nimg, total) -> factor on the learning rate

_UNITS = ("img", "kimg", "Mimg", "ep", "it")


def parse_duration(text: str, *, key: str, images_per_epoch: int, images_per_round: int) -> int:
    """Images in '300kimg', '20ep' (epochs) or '5000it' (rounds: generator updates).

    Raises GantoolError naming `key` for anything that is not a positive number with a unit.
    """
    match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+(?:e\d+)?)\s*([A-Za-z]+)\s*", str(text))
    if not match or match[2] not in _UNITS or float(match[1]) <= 0:
        units = ", ".join(_UNITS)
        raise GantoolError(f"{key}={text} is no duration: write a positive number and a unit ({units}), e.g. 150kimg")
    images = {"img": 1, "kimg": 1000, "Mimg": 1_000_000, "ep": images_per_epoch, "it": images_per_round}[match[2]]
    return max(1, round(float(match[1]) * images))


@dataclass(frozen=True)
class Constant:
    """The learning rate as it is."""

    def __call__(self, nimg: int, total: int) -> float:
        return 1.0


@dataclass(frozen=True)
class Linear:
    """Constant until `start` (a fraction of the run), then straight down to `end` (CycleGAN: start 0.5, end 0)."""

    start: float = 0.5
    end: float = 0.0

    def __call__(self, nimg: int, total: int) -> float:
        done = min(max((nimg / total - self.start) / max(1 - self.start, 1e-9), 0), 1)
        return 1 + (self.end - 1) * done


@dataclass(frozen=True)
class Cosine:
    """Half a cosine from 1 at `start` (a fraction of the run) down to `end` (Loshchilov & Hutter 2017)."""

    start: float = 0.0
    end: float = 0.0

    def __call__(self, nimg: int, total: int) -> float:
        done = min(max((nimg / total - self.start) / max(1 - self.start, 1e-9), 0), 1)
        return self.end + (1 - self.end) * (1 + math.cos(math.pi * done)) / 2


@dataclass(frozen=True)
class Step:
    """Times `factor` after every `interval` (a fraction of the run)."""

    interval: float = 0.25
    factor: float = 0.5

    def __post_init__(self) -> None:
        if self.interval <= 0 or self.factor <= 0:
            raise GantoolError("optimizer.schedule: interval and factor of a step schedule are positive numbers")

    def __call__(self, nimg: int, total: int) -> float:
        return self.factor ** int(nimg / total / self.interval + 1e-9)

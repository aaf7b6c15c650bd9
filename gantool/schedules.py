"""Durations with units, and numbers as functions of the images seen: rates, gammas, betas, half-lives."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass

from gantool.errors import GantoolError

Schedule = Callable[[int, int], float]  # (nimg, total) -> the number, or the factor on a learning rate

_UNITS = ("img", "kimg", "Mimg", "ep", "it")


def parse_duration(text: str, *, key: str, images_per_epoch: int, images_per_round: int) -> int:
    """Images in '300kimg', '20ep' (epochs) or '5000it' (rounds: generator updates).

    Raises GantoolError naming `key` for anything that is not a positive number with a unit.
    """
    match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+(?:e\d+)?)\s*([A-Za-z]+)\s*", str(text))
    if not match or match[2] not in _UNITS or float(match[1]) <= 0:
        units = ", ".join(_UNITS)
        raise GantoolError(f"{key}={text} is not a duration: write a positive number and a unit ({units}): 150kimg")
    images = {"img": 1, "kimg": 1000, "Mimg": 1_000_000, "ep": images_per_epoch, "it": images_per_round}[match[2]]
    return max(1, round(float(match[1]) * images))


def parse_seconds(text: str, *, key: str) -> float:
    """Seconds in '2h', '90min', '30s' or '1d'; raises GantoolError naming `key` for anything else."""
    units = {"s": 1, "min": 60, "h": 3600, "d": 86400}
    match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+(?:e-?\d+)?)\s*(s|min|h|d)\s*", text)
    if not match or float(match[1]) <= 0:
        raise GantoolError(f"{key}={text}: write a positive number and a unit ({', '.join(units)}), such as 2h")
    return float(match[1]) * units[match[2]]


def parse_images(value: float | str, *, key: str) -> float:
    """A number as it is, or the images in '300kimg'; raises GantoolError naming `key` for another unit."""
    if not isinstance(value, str):
        return value
    if not value.endswith("img"):
        raise GantoolError(f"{key}={value}: write images here, such as 500kimg or 20Mimg")
    return parse_duration(value, key=key, images_per_epoch=1, images_per_round=1)


def check_schedule(value: object, path: str) -> None:
    """Raises GantoolError that names `path` for what is not a schedule."""
    try:
        number = value(0, 1) if callable(value) else None
    except Exception:
        number = None
    if not isinstance(number, int | float):
        own = type(value)
        raise GantoolError(
            f"{path}: {own.__module__}.{own.__qualname__} is not a schedule: it should give a number for (nimg, total)"
        )


def at(value: float | Schedule, nimg: int, total: int) -> float:
    """The value of a number that may be a schedule; before it is known how long the run is, `total` is 0."""
    return value(nimg, max(total, 1)) if callable(value) else value


def _span(value: float | str, key: str) -> tuple[float, bool]:
    """A number of images, or a fraction of the run; and whether it is a fraction. Raises GantoolError for neither."""
    span, is_fraction = parse_images(value, key=key), not isinstance(value, str)
    if span <= 0 or (is_fraction and span > 1):
        raise GantoolError(f"{key}={value}: a fraction of the run, above 0 and at most 1, or images such as 20Mimg")
    return span, is_fraction


def _check_start(start: float) -> None:
    if not 0 <= start <= 1:
        raise GantoolError(f"start={start}: a fraction of the run, from 0 to 1")


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

    def __post_init__(self) -> None:
        _check_start(self.start)

    def __call__(self, nimg: int, total: int) -> float:
        done = min(max((nimg / total - self.start) / max(1 - self.start, 1e-9), 0), 1)
        return 1 + (self.end - 1) * done


@dataclass(frozen=True)
class Cosine:
    """Half a cosine from 1 at `start` (a fraction of the run) down to `end` (Loshchilov & Hutter 2017)."""

    start: float = 0.0
    end: float = 0.0

    def __post_init__(self) -> None:
        _check_start(self.start)

    def __call__(self, nimg: int, total: int) -> float:
        done = min(max((nimg / total - self.start) / max(1 - self.start, 1e-9), 0), 1)
        return self.end + (1 - self.end) * (1 + math.cos(math.pi * done)) / 2


@dataclass(frozen=True)
class Step:
    """Times `factor` after every `interval` (a fraction of the run)."""

    interval: float = 0.25
    factor: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.interval <= 1 or self.factor <= 0:
            raise GantoolError(
                f"interval={self.interval}, factor={self.factor}: a step schedule takes positive numbers, interval at "
                "most 1, as a fraction of the run"
            )

    def __call__(self, nimg: int, total: int) -> float:
        return self.factor ** int(nimg / total / self.interval + 1e-9)


class Decay:
    """From 1 on times `factor` after every `interval`, a fraction of the run or images, but no lower than `end`."""

    def __init__(self, factor: float = 0.99, interval: float | str = "50kimg", end: float = 0.0) -> None:
        self.factor, self.end = factor, end
        self.interval, self.is_fraction = _span(interval, "interval")
        if not 0 < factor <= 1 or not 0 <= end <= 1:
            raise GantoolError(f"factor={factor}, end={end}: factor should be above 0 and at most 1, end from 0 to 1")

    def __call__(self, nimg: int, total: int) -> float:
        interval = self.interval * (max(total, 1) if self.is_fraction else 1)
        return max(self.factor ** (nimg // interval), self.end)


class Delayed:
    """0 until `start`, then `value` (BigGAN's average, which begins after 1000 updates). Both are numbers, or images:
    200kimg."""

    def __init__(self, value: float | str, start: float | str) -> None:
        self.value, self.start = parse_images(value, key="value"), parse_images(start, key="start")

    def __call__(self, nimg: int, total: int) -> float:
        return self.value if nimg >= self.start else 0.0


class Ramp:
    """Half a cosine from `start` to `end` while the first images are seen, then `end` (R3GAN's burn-in, Huang 2024).

    `until` is a fraction of the run, or images: 20Mimg. Images may also be what ramps: from 0 to 5Mimg.
    """

    def __init__(self, start: float | str, end: float | str, until: float | str = 1.0) -> None:
        self.start, self.end = parse_images(start, key="start"), parse_images(end, key="end")
        self.until, self.is_fraction = _span(until, "until")

    def __call__(self, nimg: int, total: int) -> float:
        done = min(nimg / (self.until * max(total, 1) if self.is_fraction else self.until), 1.0)
        return self.end + (self.start - self.end) * (1 + math.cos(math.pi * done)) / 2

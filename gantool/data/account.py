"""What went into a prepared set: a short account, what looks wrong in it, and what cannot be meant."""

import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TypedDict

import numpy as np

from gantool.data.source import Damaged, Decoded, Seen

DARK = 0.066  # of the range: 12 bits in 16 reach 0.0625
HALF = 0.51  # 15 bits in 16
KEPT = 0.5  # of a typical picture's area


class Told(TypedDict):
    """In words, as it lies beside the images."""

    summary: str  # one line
    lines: list[str]  # the rest of the account
    warnings: list[str]
    refusal: str  # '' where the set can be meant


class Account:
    """Counts the images that pass through it."""

    def __init__(self, class_names: Sequence[str]) -> None:
        self.class_names = class_names
        self.labels: Counter[int] = Counter()
        self.kinds: Counter[tuple[str, str, int]] = Counter()
        self.peaks: dict[int, list[tuple[float, str]]] = {}  # by bits; with the path
        self.sizes: list[tuple[int, int]] = []
        self.remarks: Counter[str] = Counter()
        self.num = self.damaged = self.grey = self.plain = self.enlarged = self.turned_grey = 0

    def watch(self, items: Iterable[Decoded | Damaged]) -> Iterator[Decoded | Damaged]:
        """The items as they come, counted."""
        for item in items:
            if isinstance(item, Damaged):
                self.damaged += 1
            else:
                self._add(item)
            yield item

    def _add(self, item: Decoded) -> None:
        pixels = item.pixels
        self.num += 1
        self.labels[item.label] += 1
        self.plain += bool((pixels == pixels[:, :1, :1]).all())
        self.grey += len(pixels) == 3 and bool((pixels == pixels[:1]).all())
        for seen in item.seen:
            self._see(seen, pixels)

    def _see(self, seen: Seen, pixels: np.ndarray) -> None:
        self.kinds[seen.kind, seen.mode, seen.bits] += 1
        self.peaks.setdefault(seen.bits, []).append((seen.peak, seen.path))
        self.sizes.append(seen.size)
        self.remarks.update(seen.remarks)
        self.enlarged += min(seen.size) < pixels.shape[-1]
        self.turned_grey += len(pixels) == 1 and seen.mode not in ("L", "1", "LA", "I", "I;16", "I;16B")

    def told(self) -> Told:
        """All of it, once everything has passed."""
        return {
            "summary": f"{_many(self.num, 'image')}{self._classes()}{self._kinds()}",
            "lines": [*self._lines()],
            "warnings": [*self._warnings()],
            "refusal": next(self._refusals(), ""),
        }

    def _classes(self) -> str:
        if not self.class_names:
            return ""
        counts = sorted(self.labels[label] for label in range(len(self.class_names)))
        spread = f"{counts[0]:,}" if counts[0] == counts[-1] else f"{counts[0]:,} to {counts[-1]:,}"
        return f" in {len(counts)} classes of {spread}"

    def _kinds(self) -> str:
        kinds = [f"{num:,} {kind} {mode} {bits}-bit" for (kind, mode, bits), num in self.kinds.most_common(6)]
        rest = len(self.kinds) - len(kinds)
        return f": {', '.join(kinds)}{f' and {rest} kinds more' if rest else ''}" if kinds else ""

    def _lines(self) -> Iterator[str]:
        if self.sizes:
            small, typical, large = _spread(self.sizes)
            yield f"sizes {small}" if small == large else f"sizes {small} to {large}, typically {typical}"
        if cropped := [kept for kept in map(_kept, self.sizes) if kept < 1]:
            share = f"{100 * statistics.median(cropped):.0f} % of a typical one"
            yield f"cropped to the centre square: {len(cropped):,}, which keeps {share}"
        if self.enlarged:
            yield f"smaller than dataset.resolution and so enlarged: {self.enlarged:,}"
        if self.turned_grey:
            yield f"colours turned to grey: {self.turned_grey:,}"
        for remark, num in self.remarks.most_common():
            yield f"{remark}: {num:,}"
        if self.damaged:
            yield f"damaged: {self.damaged:,}"

    def _warnings(self) -> Iterator[str]:
        for label, name in enumerate(self.class_names):
            if self.labels[label] < 2:
                yield f"class {name} has {'one image' if self.labels[label] else 'no image'}: add some or remove it"
        if self.sizes and (kept := statistics.median(map(_kept, self.sizes))) < KEPT:
            _, typical, _ = _spread(self.sizes)
            lost = f"the centre square of a typical picture ({typical}) is {100 * kept:.0f} % of it"
            yield f"{lost}, the rest is lost: cut the pictures into squares first"
        if self.enlarged > self.num / 2:
            yield f"{self.enlarged:,} of {self.num:,} images are enlarged: choose a lower dataset.resolution"
        if 0 < self.grey < self.num:
            yield f"{self.grey:,} of {self.num:,} images are grey, the others have colours"
        elif self.grey:
            yield "no image has colours: dataset.channels=1 trains on a third of the numbers"
        if self.plain:
            yield f"{self.plain:,} of {self.num:,} images are of one colour throughout"
        for bits, peaks in self.peaks.items():
            dark, brightest = [path for peak, path in peaks if peak < DARK], max(peaks)[0]
            if 0 < brightest < DARK:
                continue  # it is refused
            if dark and (bits > 8 or len(dark) > len(peaks) / 10):
                yield f"{len(dark):,} of {len(peaks):,} {bits}-bit images are nearly black, such as {dark[0]}"
            if bits > 1 and brightest < (HALF if bits > 8 else HALF / 2):
                yield f"no {bits}-bit image is bright: {_scale(bits, brightest)}"

    def _refusals(self) -> Iterator[str]:
        for bits, peaks in self.peaks.items():
            brightest, path = max(peaks)
            if 0 < brightest < DARK:
                dark = f"{_many(len(peaks), f'{bits}-bit image')} would be nearly black, such as {path}"
                yield f"{dark}: {_scale(bits, brightest)}"


def _scale(bits: int, peak: float) -> str:
    top = 2**bits - 1
    value = round(peak * top)
    used = value.bit_length()
    if not value:
        return "every value is 0"
    factor = 2 ** (bits - used) if bits > 8 else top // value
    return f"the largest value uses {used} of {bits} bits; save them with their values multiplied by {factor}"


def _kept(size: tuple[int, int]) -> float:
    return min(size) / max(size)


def _spread(sizes: list[tuple[int, int]]) -> tuple[str, str, str]:
    ordered = sorted(sizes, key=lambda size: size[0] * size[1])
    small, typical, large = (f"{w}x{h}" for w, h in (ordered[0], ordered[len(ordered) // 2], ordered[-1]))
    return small, typical, large


def _many(num: int, what: str) -> str:
    return f"{num:,} {what}{'s' * (num != 1)}"

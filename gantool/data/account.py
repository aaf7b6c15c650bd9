"""What went into a prepared set: a short account, what looks wrong in it, and what cannot be meant."""

import statistics
from bisect import bisect
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any, NamedTuple, TypedDict

import numpy as np

from gantool.data.fitting import PLAIN, Fitting
from gantool.data.source import Damaged, Decoded, Seen
from gantool.shapes import Resolution, sides

DARK = 0.066  # of the range: 12 bits in 16 reach 0.0625
HALF = 0.51  # 15 bits in 16
KEPT = 0.5  # of a typical picture's area


_COUNTERS = ("labels", "kinds", "sizes", "remarks")
_NUMBERS = ("num", "damaged", "grey", "plain", "enlarged", "turned_grey")


# The part of the range that an image reaches and its path; where it was read as numbers also the greatest of these, and
# those of black and white.
Brightest = tuple[float, str, *tuple[float, ...]]


class Peaks(NamedTuple):
    """The brightness of images of so many bits."""

    num: int = 0
    dark: int = 0
    first_dark: str = ""
    brightest: Brightest = (-1.0, "")


class Told(TypedDict):
    """In words, as it lies beside the images."""

    summary: str  # one line
    lines: list[str]  # the rest of the account
    warnings: list[str]
    refusal: str  # '' where the set can be meant
    span: tuple[float, float] | None  # the values of black and white, where they were to be found


class Account:
    """Counts the images that pass through it."""

    def __init__(self, class_names: Sequence[str], fitting: Fitting = PLAIN, resolution: Resolution = 1) -> None:
        self.class_names, self.fitting, self.resolution = class_names, fitting, resolution
        self.labels: Counter[object] = Counter()
        self.kinds: Counter[tuple[str, str, int]] = Counter()
        self.peaks: dict[int, Peaks] = {}  # by bits
        self.sizes: Counter[tuple[int, int]] = Counter()
        self.remarks: Counter[str] = Counter()
        self.spans: list[tuple[float, float]] = []  # of the values, and of those that are black and white
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
        if self.class_names:
            self.labels[item.label] += 1
        self.plain += bool((pixels == pixels[:, :1, :1]).all())
        self.grey += len(pixels) == 3 and bool((pixels == pixels[:1]).all())
        for seen in item.seen:
            self._see(seen, pixels)

    def _see(self, seen: Seen, pixels: np.ndarray) -> None:
        self.kinds[seen.kind, seen.mode, seen.bits] += 1
        before = self.peaks.get(seen.bits, Peaks())
        is_dark = seen.peak < DARK
        brightest: Brightest = (seen.peak, seen.path)
        if seen.values is not None and seen.span is not None:
            brightest = (*brightest, seen.values[1], *seen.span)
        self.peaks[seen.bits] = Peaks(
            before.num + 1,
            before.dark + is_dark,
            before.first_dark or (seen.path if is_dark else ""),
            max(before.brightest, brightest),
        )
        self.sizes[seen.size] += 1
        self.remarks.update(seen.remarks)
        if seen.values is not None and seen.span is not None:
            now = [seen.values, seen.span]
            both = zip(self.spans or now, now, strict=True)
            self.spans = [(min(a[0], b[0]), max(a[1], b[1])) for a, b in both]
        self.enlarged += self.fitting.enlarges(seen.size, pixels.shape[1:])
        self.turned_grey += (
            len(pixels) == 1 and seen.values is None and seen.mode not in ("L", "1", "LA", "I", "I;16", "I;16B")
        )

    def state(self) -> dict[str, Any]:
        """All that was counted, as JSON."""
        counted = {name: [*vars(self)[name].items()] for name in _COUNTERS}
        peaks = [[bits, *peaks] for bits, peaks in self.peaks.items()]
        return {**counted, "peaks": peaks, "spans": self.spans, **{name: vars(self)[name] for name in _NUMBERS}}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on from what `state` gave."""
        for name in _COUNTERS:
            pairs = [(tuple(key) if isinstance(key, list) else key, num) for key, num in state[name]]
            setattr(self, name, Counter(dict(pairs)))
        self.peaks = {bits: Peaks(num, dark, path, tuple(top)) for bits, num, dark, path, top in state["peaks"]}
        self.spans = [(low, high) for low, high in state["spans"]]
        for name in _NUMBERS:
            setattr(self, name, state[name])

    def told(self) -> Told:
        """All of it, once everything has passed."""
        return {
            "summary": f"{_many(self.num, 'image')}{self._classes()}{self._kinds()}",
            "lines": [*self._lines()],
            "warnings": [*self._warnings()],
            "refusal": next(self._refusals(), ""),
            "span": self.spans[1] if self.spans and self.fitting.range == "auto" else None,
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
        if not self._loses_most() and (cropped := [kept for kept in self._all_kept() if kept < 0.999]):
            share = f"{100 * statistics.median(cropped):.0f} % of a typical one"
            yield f"cropped to the centre{self._square}: {len(cropped):,}, which keeps {share}"
        if self.spans:
            held, taken = (f"{low:g} to {high:g}" for low, high in self.spans)
            yield f"values range from {held}; black to white is {taken} (dataset.range)"
        if 0 < self.enlarged <= self.num / 2:  # of more a note tells
            what = "smaller" if self.fitting.crop is None else "with dataset.crop smaller"
            yield f"{what} than dataset.resolution and so enlarged: {self.enlarged:,}"
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
        if self._loses_most():
            (_, typical, _), kept = _spread(self.sizes), statistics.median(self._all_kept())
            lost = f"the centre{self._square} of a typical picture ({typical}) is {100 * kept:.0f} % of it"
            yield f"{lost}, the rest is lost: crop the pictures yourself, or set dataset.fit=pad"
        if self.enlarged > self.num / 2:
            yield f"{self.enlarged:,} of {self.num:,} images are enlarged: choose a lower dataset.resolution"
        if 0 < self.grey < self.num:
            yield f"{self.grey:,} of {self.num:,} images are grey, the others have colours"
        elif self.grey:
            yield "all images are grey: dataset.channels=1 trains on a third of the data"
        if self.plain:
            yield f"{self.plain:,} of {self.num:,} images are a single flat colour"
        for bits, peaks in self.peaks.items():
            brightest = peaks.brightest[0]
            if 0 < brightest < DARK:
                continue  # it is refused
            if peaks.dark and (bits > 8 or peaks.dark > peaks.num / 10):
                which = f"such as {peaks.first_dark}"
                yield f"{peaks.dark:,} of {peaks.num:,} {bits}-bit images are nearly black, {which}"
            if bits > 1 and brightest < (HALF if bits > 8 else HALF / 2):
                yield f"no {bits}-bit image is bright: {_scale(bits, peaks.brightest)}"

    def _loses_most(self) -> bool:
        """Whether so much of a typical picture is cut away, and nobody asked for it, that a note tells."""
        return bool(self.sizes) and self.fitting.crop is None and statistics.median(self._all_kept()) < KEPT

    def _all_kept(self) -> list[float]:
        """The part of each picture that is not cut away."""
        kept = ((self.fitting.kept(size, self.resolution), num) for size, num in self.sizes.items())
        return [part for part, num in kept for _ in range(num)]

    @property
    def _square(self) -> str:
        height, width = sides(self.resolution)
        return " square" if height == width else ""

    def _refusals(self) -> Iterator[str]:
        for bits, peaks in self.peaks.items():
            if 0 < peaks.brightest[0] < DARK:
                dark = f"{_many(peaks.num, f'{bits}-bit image')} would be nearly black, such as {peaks.brightest[1]}"
                yield f"{dark}: {_scale(bits, peaks.brightest, refused=True)}"


def _scale(bits: int, brightest: Brightest, *, refused: bool = False) -> str:
    """How little of the range is used, and what to do about it."""
    top = 2**bits - 1
    peak, _, *held = brightest
    if held and held[1:] != [0, top]:  # of a range that was set, of floats, or of a format that has its own
        value, black, white = held
        if value <= black:
            return f"no value is above {black:g}, which is black"
        reached = f"the largest value is {value:g} where {black:g} is black and {white:g} white"
        return f"{reached}: set dataset.range=[{black:g},{value:g}]"
    value = round(peak * top)
    used = value.bit_length()
    if not value:
        return "every value is 0"
    factor = 2 ** (bits - used) if bits > 8 else top // value
    saved = f"the largest value uses {used} of {bits} bits; save them with their values multiplied by {factor}"
    return f"{saved}, or set dataset.range=[0,{2**used - 1}]" if refused else saved


def _spread(sizes: Counter[tuple[int, int]]) -> tuple[str, str, str]:
    ordered = sorted(sizes, key=lambda size: size[0] * size[1])
    middle = bisect(list(accumulate(sizes[size] for size in ordered)), sizes.total() // 2)
    small, typical, large = (f"{w}x{h}" for w, h in (ordered[0], ordered[middle], ordered[-1]))
    return small, typical, large


def _many(num: int, what: str) -> str:
    return f"{num:,} {what}{'s' * (num != 1)}"

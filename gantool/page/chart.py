"""Curves as SVG: a few lines over one axis of images, read at a glance and on paper."""

import math
from collections.abc import Mapping, Sequence
from html import escape
from itertools import pairwise

Points = Sequence[tuple[float, float]]  # (kimg, value), in order

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#a4508b", "#8a6d00", "#4d4d4d")  # Okabe & Ito's, darkened for white paper
_WIDTH, _HEIGHT = 480.0, 256.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 54.0, 12.0, 12.0, 40.0
_MOST = 240  # points of a line: more would not be seen
_TICKS = 5
_LOG_FROM = 50.0  # largest value over smallest from which positive values stand on a logarithmic axis


def chart(
    series: Mapping[str, Points],
    *,
    levels: Mapping[str, float] | None = None,
    log: bool | None = None,
    palette: Mapping[str, str] | None = None,
) -> str:
    """An SVG of the lines by name, with dashed horizontal `levels`; "" where no line has two points.

    `log` None: a logarithmic axis where all values are positive and span more than 50 times the smallest.
    """
    lines = {name: thinned([p for p in points if math.isfinite(p[1])]) for name, points in series.items()}
    lines = {name: points for name, points in lines.items() if points}
    if all(len(points) < 2 for points in lines.values()):  # a table tells one number better
        return ""
    levels = {name: value for name, value in (levels or {}).items() if math.isfinite(value)}
    values = [y for points in lines.values() for _, y in points] + list(levels.values())
    if log is None:
        log = min(values) > 0 and max(values) / min(values) > _LOG_FROM
    ticks_y = log_ticks(min(values), max(values)) if log else ticks(min(values), max(values))
    end = max(x for points in lines.values() for x, _ in points)
    ticks_x = ticks(0.0, end or 1.0)
    low, high = (math.log10(ticks_y[0]), math.log10(ticks_y[-1])) if log else (ticks_y[0], ticks_y[-1])

    def place_x(x: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * x / (end or 1.0)

    def place_y(y: float) -> float:
        share = ((math.log10(y) if log else y) - low) / (high - low)
        return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * share

    parts = [
        f'<svg class="chart" viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" role="img" aria-label="{escape(", ".join(lines))}">'
    ]
    for y, label in zip(ticks_y, labels(ticks_y), strict=True):
        at = place_y(y)
        parts.append(f'<line class="rule" x1="{_LEFT:g}" x2="{_WIDTH - _RIGHT:g}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(f'<text class="tick end" x="{_LEFT - 7:g}" y="{at + 4:.1f}">{label}</text>')
    for x, label in zip(ticks_x, labels(ticks_x), strict=True):
        if x <= end:
            parts.append(f'<text class="tick mid" x="{place_x(x):.1f}" y="{_HEIGHT - 22:g}">{label}</text>')
    parts.append(f'<text class="tick end" x="{_WIDTH - _RIGHT:g}" y="{_HEIGHT - 6:g}">kimg</text>')
    for name, value in levels.items():
        at = place_y(value)
        parts.append(f'<line class="level" x1="{_LEFT:g}" x2="{_WIDTH - _RIGHT:g}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(f'<text class="tick end" x="{_WIDTH - _RIGHT:g}" y="{at - 4:.1f}">{escape(name)}</text>')
    palette = palette or colours(lines)
    for name, points in lines.items():
        parts += _line(name, points, palette[name], place_x, place_y)
    return "".join([*parts, "</svg>"])


def _line(name: str, points: Points, colour: str, place_x, place_y) -> list[str]:
    places = [f"{place_x(x):.1f},{place_y(y):.1f}" for x, y in points]
    title = f"<title>{escape(name)}: {number(points[-1][1])} at {number(points[-1][0])} kimg</title>"
    drawn = [f'<polyline class="line" stroke="{colour}" points="{" ".join(places)}">{title}</polyline>']
    if len(points) <= 24:  # each is a measurement of its own
        for (x, y), place in zip(points, places, strict=True):
            at_x, at_y = place.split(",")
            title = f"<title>{escape(name)}: {number(y)} at {number(x)} kimg</title>"
            drawn.append(f'<circle fill="{colour}" cx="{at_x}" cy="{at_y}" r="3">{title}</circle>')
    return drawn


def colours(names: Sequence[str] | Mapping[str, object]) -> dict[str, str]:
    """A colour for each name; the same for a player and its side of the scores in every chart."""
    fixed = {"discriminator": COLOURS[0], "real": COLOURS[0], "generator": COLOURS[1], "fake": COLOURS[1]}
    free = [colour for colour in COLOURS if colour not in [fixed.get(name) for name in names]] or list(COLOURS)
    others = [name for name in names if name not in fixed]
    return {name: fixed.get(name) or free[others.index(name) % len(free)] for name in names}


def thinned(points: Points) -> list[tuple[float, float]]:
    """At most 240 points: the means of runs of equal length, the last point as it is."""
    if len(points) <= _MOST:
        return list(points)
    length = math.ceil(len(points) / _MOST)
    runs = [points[start : start + length] for start in range(0, len(points), length)]
    means = [(sum(x for x, _ in run) / len(run), sum(y for _, y in run) / len(run)) for run in runs]
    return [*means[:-1], points[-1]]


def ticks(low: float, high: float) -> list[float]:
    """Round numbers at equal steps that enclose [low, high]: 0, 0.5, 1, 1.5."""
    if high - low <= 1e-9 * max(abs(low), abs(high)):
        low, high = low - abs(low) / 10 - 1e-9, high + abs(high) / 10 + 1e-9
    raw = (high - low) / _TICKS
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(times * power for times in (1, 2, 2.5, 5, 10) if times * power >= raw * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [index * step for index in range(first, last + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten that enclose [low, high], at most six of them."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    last = max(last, first + 1)
    stride = math.ceil((last - first) / _TICKS)
    return [10.0**power for power in range(first, last + stride, stride)]


def labels(places: Sequence[float]) -> list[str]:
    """Ticks as text, each as exact as the distance to the next asks for, so that no two are the same."""
    allowed = min(b - a for a, b in pairwise(places)) / 100
    for digits in range(3, 18):
        texts = [number(place, digits) for place in places]
        if all(abs(float(t.replace(",", "")) - place) <= allowed for t, place in zip(texts, places, strict=True)):
            return texts
    return [repr(place) for place in places]


def number(value: float, digits: int = 3) -> str:
    """At least so many significant digits, as people write them: 12.5, 0.003, 2e-5, 40,000."""
    if not math.isfinite(value):
        return str(value)
    if value and not 1e-3 <= abs(value) < 1e6:
        mantissa, _, power = f"{value:.{digits - 1}e}".partition("e")
        return f"{mantissa.rstrip('0').rstrip('.')}e{int(power)}"
    places = max(0, digits - 1 - math.floor(math.log10(abs(value)))) if value else 0
    text = f"{value:,.{places}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text

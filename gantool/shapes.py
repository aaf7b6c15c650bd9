"""Sizes of images: a number for a square, or height and width."""

from collections.abc import Sequence
from itertools import product

from gantool.errors import GantoolError

Resolution = int | Sequence[int]


def sides(resolution: Resolution) -> tuple[int, int]:
    """Height and width."""
    if isinstance(resolution, int):
        return resolution, resolution
    height, width = resolution
    return int(height), int(width)


def size_text(resolution: Resolution) -> str:
    """As a user types it: 64, or [96,160]."""
    height, width = sides(resolution)
    return str(height) if height == width else f"[{height},{width}]"


def first_map(resolution: Resolution, model: str, levels: range) -> tuple[int, tuple[int, int]]:
    """How often networks that halve and double go from the smallest map to an image, and that map: (4, 4) for a square
    of 4 times a power of two, and for a rectangle one whose shorter side has 4 to 7 pixels, or more at the last level.

    Raises GantoolError for other sizes, with the nearest possible ones.
    """
    found = _first_map(sides(resolution), levels)
    if found is None:
        squares = [4 << level for level in levels]
        listed = f"{squares[0]}, {squares[1]}, {squares[2]}, ..." if len(squares) > 3 else "32, 64 or 128"
        near = " or ".join(size_text(size) for size in _nearest(sides(resolution), levels))
        raise GantoolError(
            f"dataset.resolution={size_text(resolution)}: model={model} makes {listed} pixels, or rectangles; "
            f"the nearest: {near}"
        )
    return found


def _first_map(size: tuple[int, int], levels: range) -> tuple[int, tuple[int, int]] | None:
    short = min(size)
    level = min((short // 4).bit_length() - 1, max(levels))
    fits = level in levels and not any(side % (1 << level) for side in size)
    if not fits or (size[0] == size[1] and short != 4 << level):
        return None
    return level, (size[0] >> level, size[1] >> level)


def _nearest(size: tuple[int, int], levels: range) -> list[tuple[int, int]]:
    """The two possible sizes that differ least; of a square, squares."""
    candidates: set[tuple[int, int]] = set()
    for level in levels:
        step = 1 << level
        high, wide = ({max(side // step + more, 4) * step for more in (0, 1)} for side in size)
        candidates |= {pair for pair in product(high, wide) if _first_map(pair, levels) is not None}
    if size[0] == size[1]:
        candidates = {(4 << level, 4 << level) for level in levels}
    return sorted(candidates, key=lambda pair: (sum(abs(a - b) for a, b in zip(pair, size, strict=True)), pair))[:2]


def multiples(resolution: Resolution, of: int, what: str, least: int = 1) -> tuple[int, int]:
    """Height and width; raises GantoolError, with the nearest possible size, unless both are multiples of `of` and at
    least `least`."""
    size = sides(resolution)
    if any(side % of or side < least for side in size):
        near = [max(round(side / of) * of, least, of) for side in size]
        raise GantoolError(f"dataset.resolution={size_text(resolution)}: {what}; the nearest: {size_text(near)}")
    return size

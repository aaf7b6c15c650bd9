"""Many files decoded in order, on all cores."""

import ctypes
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from multiprocessing import get_all_start_methods, get_context
from pathlib import Path
from typing import BinaryIO, TypeVar

import numpy as np

from gantool.data.archive import Archive
from gantool.data.fitting import PLAIN, Fitting, extremes
from gantool.data.labels import Label
from gantool.data.pixels import Piece, decode, numbers
from gantool.data.source import Damaged, Decoded, Seen
from gantool.errors import GantoolError
from gantool.shapes import Resolution

S = TypeVar("S")
T = TypeVar("T")
R = TypeVar("R")
Work = Callable[[Piece], tuple[np.ndarray, tuple[Seen, ...]]]
MANY, CHUNK = 20_000, 500  # images from which on processes decode, and so many at a time


def decode_files(
    root: Path | Archive,
    pieces: Sequence[Piece] | Sequence[str],
    labels: Sequence[Label],
    resolution: Resolution,
    channels: int,
    fitting: Fitting = PLAIN,
    first: int = 0,
) -> Iterator[Decoded | Damaged]:
    """Decode each of `pieces`, or files by name, in `root`, in order, from the `first` on; for fitting.range auto all
    are read before. Many are decoded by processes, where these can be forked."""
    pieces = [Piece(piece) if isinstance(piece, str) else piece for piece in pieces]

    found = None
    if fitting.range == "auto":
        spans = [span for span in on_all_cores(pieces, partial(_used, root, channels)) if span is not None]
        found = (min(low for low, _ in spans), max(high for _, high in spans)) if spans else (0.0, 1.0)
    pieces, labels = pieces[first:], labels[first:]
    work = partial(_read, root, resolution, channels, fitting, found)
    if len(pieces) < MANY or "fork" not in get_all_start_methods():
        return decode_each(pieces, labels, work)
    return _by_processes(work, pieces, labels)


def _read(
    root: Path | Archive,
    resolution: Resolution,
    channels: int,
    fitting: Fitting,
    found: tuple[float, float] | None,
    piece: Piece,
) -> tuple[np.ndarray, tuple[Seen, ...]]:
    place, name = opened(root, piece.name)
    return decode(place, resolution, channels, fitting, name=name, page=piece.page, found=found)


def _chunk(work: Work, pieces: Sequence[Piece], labels: Sequence[Label]) -> list[Decoded | Damaged]:
    return [_decoded(piece, label, work) for piece, label in zip(pieces, labels, strict=True)]


def _by_processes(work: Work, pieces: Sequence[Piece], labels: Sequence[Label]) -> Iterator[Decoded | Damaged]:
    """As threads would do it: of small images most of the time goes into Python, where threads wait for each other."""
    count = os.cpu_count() or 1
    with ProcessPoolExecutor(count, get_context("fork"), _end_with_parent) as pool:
        waiting: deque[Future[list[Decoded | Damaged]]] = deque()
        try:
            for start in range(0, len(pieces), CHUNK):
                waiting.append(pool.submit(_chunk, work, pieces[start : start + CHUNK], labels[start : start + CHUNK]))
                if len(waiting) > 2 * count:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _end_with_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it too
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: nobody waits for a parent that was killed


def opened(root: Path | Archive, name: str) -> tuple[Path | BinaryIO, str]:
    """A file in a folder or zip, and what to call it."""
    if isinstance(root, Archive):
        return root.open(name), f"{root.path}/{root.top}{name}"
    return root / name, str(root / name)


def _used(root: Path | Archive, channels: int, piece: Piece) -> tuple[float, float] | None:
    """The least and greatest number in an image, as far as it shows; None for one that is damaged or wholly
    transparent, of which reading it will tell."""
    try:
        read = numbers(*opened(root, piece.name), piece.page)
        seen = read.alpha and channels in (1, 3)
        return extremes(read.values[..., :-1][read.values[..., -1] > 0] if seen else read.values)
    except (GantoolError, OSError):
        raise
    except Exception:
        return None


def decode_each(
    items: Sequence[T], labels: Sequence[Label], pixels: Callable[[T], tuple[np.ndarray, tuple[Seen, ...]]]
) -> Iterator[Decoded | Damaged]:
    """The `pixels` of every item, in order, on all cores (PIL leaves the interpreter lock while it works)."""

    return on_all_cores(range(len(items)), lambda place: _decoded(items[place], labels[place], pixels))


def _decoded(item: T, label: Label, pixels: Callable[[T], tuple[np.ndarray, tuple[Seen, ...]]]) -> Decoded | Damaged:
    try:
        made, seen = pixels(item)
        return Decoded(made, label, seen)
    except GantoolError:
        raise
    except Exception as error:  # PIL's plugins raise OSError, SyntaxError, ValueError, struct.error, ...
        if isinstance(error, OSError) and error.errno:  # the disk's fault or a missing file, not the image's
            raise GantoolError(f"cannot read {error.filename or item}: {error.strerror}") from error
        return Damaged(str(item), str(error) or type(error).__name__)


def on_all_cores(items: Sequence[S], work: Callable[[S], R]) -> Iterator[R]:
    """What `work` makes of each, in order."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(items), 1024):  # bounds what is made ahead
            yield from pool.map(work, items[start : start + 1024])

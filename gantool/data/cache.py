"""Prepares a data set once: every image decoded and resized into one memory-mapped file in the user's cache."""

import hashlib
import json
import math
import shutil
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gantool.data import stored
from gantool.data.account import Account
from gantool.data.arrays import forget
from gantool.data.files import few
from gantool.data.fitting import PLAIN
from gantool.data.image_set import ImageSet
from gantool.data.source import Damaged, Decoded, Source
from gantool.data.two_sided import TwoSided
from gantool.errors import GantoolError, check_choice
from gantool.lock import locked
from gantool.paths import cache_dir
from gantool.screen import shown
from gantool.shapes import sides

VERSION = 5  # counts up when the same source and settings come to give other pixels, or lie otherwise on the disk

Tell = Callable[[str], None]


def prepare(source: Source | TwoSided, *, on_bad_image: str = "stop", progress: bool = True) -> ImageSet:
    """The images of `source` from the cache, put there first if need be. With `progress`, a bar, an account of what was
    found (in one line where it came from the cache) and what looks wrong are told on the standard error.

    Several processes may ask at once: one prepares, the others wait. What a killed one leaves is never taken for a
    prepared set; a damaged one is prepared again, and so is one whose source files have other content than they had.
    `on_bad_image`: 'stop' raises for damaged images and names them, 'skip' leaves them out.
    Raises GantoolError if files cannot be fetched or read, no image is sound, the images cannot be meant, or the cache
    cannot be written.
    """
    check_choice("dataset.on_bad_image", on_bad_image, ("stop", "skip"))
    tell = _tell if progress else lambda text: None
    if isinstance(source, TwoSided):
        parts = {
            name: _prepared(part, f"{source.name} {name}", on_bad_image, tell) for name, part in source.parts.items()
        }
        return source.join(parts)
    return _prepared(source, source.name, on_bad_image, tell)


def _prepared(source: Source, title: str, on_bad_image: str, tell: Tell) -> ImageSet:
    key = _hash(source)
    folder = cache_dir() / "datasets" / f"{source.name}-{key[:16]}"
    try:
        meta, _ = _sound(folder, key, source)
        fresh = meta is None
        if meta is None:
            with locked(folder.with_suffix(".lock"), lambda: tell(f"waiting: another process prepares {source.name}")):
                meta, trouble = _sound(folder, key, source)
                if meta is None:
                    if trouble:
                        tell(f"{title}: {trouble}; preparing it again")
                    meta = _write(source, folder, key, tell)
    except OSError as error:
        raise GantoolError(
            f"cannot write the image cache {folder} ({error.strerror or error}): make room or set GANTOOL_CACHE=FOLDER"
        ) from error
    finally:
        forget()  # also what was looked at to find out what is in the cache
    _report(source, title, meta, stop=on_bad_image == "stop" or not meta["shape"][0], tell=tell, fresh=fresh)
    name, dtype = stored.PIXELS[source.bits]
    pixels = np.memmap(folder / name, dtype, mode="r", shape=tuple(meta["shape"]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch would have it writable, but then all of it counts as memory in use
        images = torch.from_numpy(pixels)
    rows = torch.from_numpy(np.load(folder / "rows.npy", allow_pickle=False))
    labels = rows[:, 1].clone() if source.num_classes else None
    if source.vectors:
        labels = torch.from_numpy(np.load(folder / "vectors.npy", allow_pickle=False))
    # Of the pixels themselves, so that statistics of other ones are never taken for theirs.
    fingerprint = hashlib.sha256((key + json.dumps(meta["sums"], sort_keys=True)).encode()).hexdigest()
    names, skipped, span = list(source.class_names), len(meta["damaged"]), meta["account"].get("span")
    span = (span[0], span[1]) if span else None
    return ImageSet(images, labels, names, fingerprint, source.name, source.split, skipped, rows=rows, span=span)


def _hash(source: Source) -> str:
    height, width = sides(source.resolution)
    resolution = height if height == width else source.resolution
    shape = [source.name, resolution, source.channels, source.num_classes, VERSION]
    if source.fitting != PLAIN:
        shape.append(asdict(source.fitting))
    return hashlib.sha256(json.dumps([shape, source.fingerprint()], sort_keys=True).encode()).hexdigest()


def _sound(folder: Path, key: str, source: Source) -> tuple[dict[str, Any] | None, str]:
    """What lies beside the images, or why they cannot be used ('' where there are none)."""
    try:
        return stored.check(folder, key, source.files()), ""
    except stored.Stale as trouble:
        return None, str(trouble)


def _report(source: Source, title: str, meta: dict[str, Any], *, stop: bool, tell: Tell, fresh: bool) -> None:
    """Tells of what was found; raises GantoolError where it stops the run."""
    account, damaged = meta["account"], meta["damaged"]
    if fresh or source.files():  # what is published is always the same
        tell(f"{title}: {account['summary']}")
    for line in account["lines"] if fresh else ():
        tell(f"  {line}")
    for line in [*account["warnings"], *source.notice.splitlines()]:
        tell(f"{title}: note: {line}")
    if damaged:
        reasons: dict[str, list[str]] = {}
        for path, reason in damaged:
            reasons.setdefault(reason, []).append(path)
        names = few([f"{few(paths)} ({reason})" for reason, paths in reasons.items()])
        found = f"{title}: {len(damaged)} damaged image{'s' * (len(damaged) > 1)}: {names}"
        if stop:
            raise GantoolError(f"{found}; mend or remove them, or leave them out with dataset.on_bad_image=skip")
        tell(f"{found}; left out")
    if account["refusal"]:
        raise GantoolError(f"{title}: {account['refusal']}")


def _write(source: Source, folder: Path, key: str, tell: Tell) -> dict[str, Any]:
    source.fetch()
    shape = [source.channels, *sides(source.resolution)]
    _require_space(source, folder.parent)
    account = Account([] if source.vectors else source.class_names, source.fitting, source.resolution)
    name, _ = stored.PIXELS[source.bits]

    def read(first: int) -> Iterator[Decoded | Damaged]:
        if first:
            tell(f"{source.name}: going on with a preparation that was stopped after {first:,} images")
        return account.watch(_tracked(source, tell, first))

    return stored.write(folder, key, read, source.files(), shape, account, name)


def _require_space(source: Source, folder: Path) -> None:
    needed, free = (
        len(source) * source.channels * math.prod(sides(source.resolution)) * source.bits // 8,
        shutil.disk_usage(folder).free,
    )
    if needed > free:
        raise GantoolError(
            f"{source.name} takes {needed / 1e9:.1f} GB in the cache {folder} and {free / 1e9:.1f} GB are free: "
            "make room or set GANTOOL_CACHE=FOLDER"
        )


def _tracked(source: Source, tell: Tell, first: int) -> Iterator[Decoded | Damaged]:
    """The images from the `first` on, with a progress bar on a terminal, elsewhere a plain line at most every ten
    seconds."""
    height, width = sides(source.resolution)
    what = f"preparing {shown(source.name)} at {width}x{height}"
    items = source.read_from(first) if first else source.read()
    if tell is _tell and sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

        text = TextColumn("{task.description}", markup=False)  # a folder may be called :car: or [red]
        left = TimeRemainingColumn(elapsed_when_finished=True)
        with Progress(text, BarColumn(), TaskProgressColumn(), left, console=Console(stderr=True)) as progress:
            yield from progress.track(items, total=len(source), completed=first, description=what)
        return
    logged = 0.0
    for done, item in enumerate(items, first):
        if time.monotonic() - logged > 10:
            tell(f"{what}: {done:,} of {len(source):,} images")
            logged = time.monotonic()
        yield item


def _tell(text: str) -> None:
    print(shown(text), file=sys.stderr, flush=True)

"""Prepares a data set once: every image decoded and resized into one memory-mapped file in the user's cache."""

import hashlib
import json
import math
import os
import shutil
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gantool.data.image_set import ImageSet
from gantool.data.source import Damaged, Decoded, Source
from gantool.data.two_sided import TwoSided
from gantool.errors import GantoolError, check_choice
from gantool.files import sync, write_whole
from gantool.lock import locked
from gantool.paths import cache_dir

VERSION = 1  # counts up when the same source and settings come to give other pixels


def prepare(source: Source | TwoSided, *, on_bad_image: str = "stop", progress: bool = True) -> ImageSet:
    """The images of `source` from the cache, put there first if need be, with a progress bar on the standard error.

    Several processes may ask at once: one prepares, the others wait. What a killed one leaves is never taken for a
    prepared set. `on_bad_image`: 'stop' raises for damaged images and names them, 'skip' leaves them out.
    Raises GantoolError if files cannot be fetched or read, no image is sound, or the cache cannot be written.
    """
    check_choice("dataset.on_bad_image", on_bad_image, ("stop", "skip"))
    if isinstance(source, TwoSided):
        parts = source.parts.items()
        return source.join({n: prepare(part, on_bad_image=on_bad_image, progress=progress) for n, part in parts})
    fingerprint = _hash(source)
    folder = cache_dir() / "datasets" / f"{source.name}-{fingerprint[:16]}"
    tell = _tell if progress else lambda text: None
    try:
        if not _is_whole(folder):
            with locked(folder.with_suffix(".lock"), lambda: tell(f"waiting: another process prepares {source.name}")):
                if not _is_whole(folder):
                    _write(source, folder, progress)
    except OSError as error:
        raise GantoolError(
            f"cannot write the image cache {folder} ({error.strerror or error}): make room or set GANTOOL_CACHE=FOLDER"
        ) from error
    if source.notice:
        tell(source.notice)
    meta = _meta(folder)
    _report(source.name, meta["damaged"], stop=on_bad_image == "stop" or not meta["shape"][0], tell=tell)
    pixels = np.memmap(folder / "images.u8", np.uint8, mode="r", shape=tuple(meta["shape"]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch would have it writable, but then all of it counts as memory in use
        images = torch.from_numpy(pixels)
    labels = torch.from_numpy(np.load(folder / "labels.npy")) if source.num_classes else None
    return ImageSet(images, labels, list(source.class_names), fingerprint, source.name, source.split)


def _hash(source: Source) -> str:
    shape = [source.name, source.resolution, source.channels, source.num_classes, VERSION]
    return hashlib.sha256(json.dumps([shape, source.fingerprint()], sort_keys=True).encode()).hexdigest()


def _meta(folder: Path) -> dict[str, Any]:
    """`shape` of all images; `damaged`: path and reason of each image that is not among them."""
    return json.loads((folder / "meta.json").read_text())


def _is_whole(folder: Path) -> bool:
    try:
        return (folder / "images.u8").stat().st_size == math.prod(_meta(folder)["shape"])
    except (FileNotFoundError, ValueError):
        return False


def _report(name: str, damaged: list[str], *, stop: bool, tell: Callable[[str], None]) -> None:
    if not damaged:
        return
    names = ", ".join(damaged[:5]) + (f" and {len(damaged) - 5} more" if len(damaged) > 5 else "")
    found = f"{name}: {len(damaged)} damaged image{'s' * (len(damaged) > 1)}: {names}"
    if stop:
        raise GantoolError(f"{found}; mend or remove them, or leave them out with dataset.on_bad_image=skip")
    tell(f"{found}; left out")


def _write(source: Source, folder: Path, progress: bool) -> None:
    """Fill a folder of another name and rename it when all is on the disk; called under the lock of `folder`."""
    source.fetch()
    partial = folder.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)  # what a killed preparation left; the lock says that it is dead
    partial.mkdir(parents=True)
    try:
        _require_space(source, partial)
        labels, damaged = [], []
        with (partial / "images.u8").open("wb") as file:
            for item in _tracked(source, progress):
                if isinstance(item, Decoded):
                    # A full disk raises here; through a mapping it would kill the process.
                    file.write(item.pixels.tobytes())
                    labels.append(item.label)
                else:
                    damaged.append(f"{item.path} ({item.reason})")
            file.flush()
            os.fsync(file.fileno())
        shape = [len(labels), source.channels, source.resolution, source.resolution]
        np.save(partial / "labels.npy", np.array(labels, np.int64))
        sync(partial / "labels.npy")
        write_whole(partial / "meta.json", json.dumps({"shape": shape, "damaged": damaged}))
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
        sync(folder.parent)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _require_space(source: Source, folder: Path) -> None:
    needed, free = len(source) * source.channels * source.resolution**2, shutil.disk_usage(folder).free
    if needed > free:
        raise GantoolError(
            f"{source.name} takes {needed / 1e9:.1f} GB in the cache {folder.parent} and {free / 1e9:.1f} GB are free: "
            "make room or set GANTOOL_CACHE=FOLDER"
        )


def _tracked(source: Source, progress: bool) -> Iterator[Decoded | Damaged]:
    """source.read() with a progress bar on a terminal, elsewhere a plain line at most every ten seconds."""
    what = f"preparing {source.name} at {source.resolution}x{source.resolution}"
    if progress and sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import track

        yield from track(source.read(), what, total=len(source), console=Console(stderr=True))
        return
    logged = 0.0
    for done, item in enumerate(source.read()):
        if progress and time.monotonic() - logged > 10:
            _tell(f"{what}: {done:,} of {len(source):,} images")
            logged = time.monotonic()
        yield item


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)

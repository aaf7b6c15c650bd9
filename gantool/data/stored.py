"""A prepared data set on disk: written under another name and renamed, and checked by content before it is used."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from gantool.data.files import Files
from gantool.data.source import Damaged, Decoded
from gantool.errors import GantoolError
from gantool.files import sync, write_whole

PIECE = 2**24  # bytes of a file that are hashed at once, beside other pieces of it
NEWEST, SPREAD, BUDGET = 1000, 200, 2**28  # source files read again at a start: the last changed, others; bytes


class Stale(Exception):
    """A folder in the cache that cannot be used; its text says why, and is empty where there is no such folder."""


def write(
    folder: Path,
    key: str,
    items: Iterable[Decoded | Damaged],
    files: Files,
    shape: list[int],
    account: Callable[[], Mapping[str, Any]],
) -> dict[str, Any]:
    """Fills `folder` with the images of `items`, each of `shape`, and returns `meta`; `account` is asked at the end.

    Files: images.u8 (N, *shape); rows.npy (N, 2) int64, a hash of each image's pixels and its label; files.json, a hash
    of every source file; meta.json, the rest, with checksums of the others. Raises OSError where the disk refuses.
    """
    partial = folder.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)  # what a killed preparation left; the caller's lock says that it is dead
    partial.mkdir(parents=True)
    try:
        rows, damaged = [], []
        with (partial / "images.u8").open("wb") as file:
            for item in items:
                if isinstance(item, Damaged):
                    damaged.append((item.path, item.reason))
                    continue
                pixels = item.pixels.tobytes()
                file.write(pixels)  # a full disk raises here; through a mapping it would kill the process
                rows.append((int.from_bytes(_short(pixels), "big", signed=True), item.label))
        np.save(partial / "rows.npy", np.array(rows, np.int64).reshape(-1, 2))
        (partial / "files.json").write_text(json.dumps(hashes(files)))
        sums = {name: checksum(partial / name) for name in ("images.u8", "rows.npy", "files.json")}
        for name in sums:
            sync(partial / name)
        meta = {"key": key, "shape": [len(rows), *shape], "damaged": damaged, "account": account(), "sums": sums}
        write_whole(partial / "meta.json", json.dumps({"meta": meta, "sum": _sum(meta)}))
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
        sync(folder.parent)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return meta


def check(folder: Path, key: str, files: Files) -> dict[str, Any]:
    """`meta` of a folder that `write` filled; every byte of it is read, and the source files most likely to differ.

    Raises Stale where anything is not as it was written, or a source file has other content.
    """
    if not folder.is_dir():
        raise Stale("")
    try:
        content = json.loads((folder / "meta.json").read_bytes())
        meta = content["meta"]
        sound = content["sum"] == _sum(meta) and meta["key"] == key
        damaged = [name for name, value in meta["sums"].items() if checksum(folder / name) != value] if sound else [""]
        known = {} if damaged else json.loads((folder / "files.json").read_bytes())
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise Stale(f"its cache is damaged ({type(error).__name__})") from error
    if damaged:
        raise Stale(f"its cache is damaged ({damaged[0] or 'meta.json'})")
    now = hashes({name: files[name] for name in suspects(files)})
    if other := [name for name, value in now.items() if known.get(name) != value]:
        more = f" and {len(other) - 1} more" if len(other) > 1 else ""
        raise Stale(f"{other[0]}{more} changed, though not in size and time")
    return meta


def suspects(files: Files) -> list[str]:
    """The names whose content is worth another look: those last touched in any way, and some of all, up to a budget."""
    newest = sorted(files, key=lambda name: files[name].status.st_ctime_ns, reverse=True)[:NEWEST]
    chosen, size = [], 0
    for name in dict.fromkeys([*newest, *list(files)[:: len(files) // SPREAD + 1]]):
        chosen.append(name)
        if (size := size + files[name].status.st_size) > BUDGET:
            break
    return chosen


def hashes(files: Files) -> dict[str, str]:
    """A hash of the content of each; raises GantoolError for one that cannot be read."""

    def one(name: str) -> str:
        try:
            with open(files[name].path, "rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()[:16]
        except OSError as error:
            raise GantoolError(f"cannot read {files[name].path}: {error.strerror}") from error

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return dict(zip(files, pool.map(one, files), strict=True))


def checksum(path: Path) -> str:
    """Of a file, as fast as the disk and all cores go."""

    def piece(start: int) -> bytes:
        with path.open("rb") as file:
            file.seek(start)
            return hashlib.sha256(file.read(PIECE)).digest()

    size = path.stat().st_size
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return hashlib.sha256(size.to_bytes(8) + b"".join(pool.map(piece, range(0, size, PIECE)))).hexdigest()


def _sum(meta: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(meta, sort_keys=True).encode()).hexdigest()


def _short(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=8).digest()

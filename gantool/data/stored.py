"""A prepared data set on disk: written under another name and renamed, and checked by content before it is used."""

import hashlib
import heapq
import json
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from random import SystemRandom
from typing import Any

import numpy as np

from gantool.data.account import Account
from gantool.data.decoding import on_all_cores
from gantool.data.files import Files
from gantool.data.source import Damaged, Decoded
from gantool.errors import GantoolError
from gantool.files import sync, write_whole

PIXELS = {8: ("images.u8", np.uint8), 16: ("images.i16", np.int16)}  # by bits
KEPT, LEFT = 10_000, "left.json"  # so many images are lost at most when a preparation is killed
PIECE = 2**24  # bytes of a file that are hashed at once, beside other pieces of it
SAMPLE = 64  # pieces of a larger file that are read at a start, other ones each time: a second's work; 1 GiB
TOGETHER = 200  # source files that are hashed together: of small ones most of the time goes into taking turns
NEWEST, SPREAD, BUDGET = 1000, 200, 2**28  # source files read again at a start: the last changed, others; bytes


class Stale(Exception):
    """A folder in the cache that cannot be used; its text says why, and is empty where there is no such folder."""


def write(
    folder: Path,
    key: str,
    read: Callable[[int], Iterable[Decoded | Damaged]],
    files: Files,
    shape: list[int],
    account: Account,
    name: str = "images.u8",
) -> dict[str, Any]:
    """Fills `folder` with images, each of `shape`, and returns `meta`. `read(n)` gives them from the n-th on: what a
    killed preparation left, with the same key, is gone on with.

    Files: the pixels, under a name of PIXELS, (N, *shape); rows.npy (N, 2) int64, a hash of each image's pixels and its
    label; files.json, a hash of every source file; meta.json, the rest, with checksums of the others; of labels that
    are vectors vectors.npy (N, K) float32, whose hash then is the label in rows.npy. Raises OSError where the disk
    refuses.
    """
    partial = folder.with_suffix(".partial")  # the caller's lock says that whoever wrote there is dead
    done, damaged = _left(partial, key, account)
    if not done:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
    parts = [partial / part for part in (name, "rows.raw", "vectors.raw")]
    try:
        with ExitStack() as stack:
            pixels, rows, vectors = (stack.enter_context(part.open("ab")) for part in parts)
            for item in read(done):
                done += 1
                if isinstance(item, Damaged):
                    damaged.append((item.path, item.reason))
                else:
                    content, label = item.pixels.tobytes(), item.label
                    pixels.write(content)  # a full disk raises here; through a mapping it would kill the process
                    if isinstance(label, tuple):
                        vector = np.array(label, np.float32).tobytes()
                        vectors.write(vector)
                        label = _number(vector)
                    rows.write(np.array([_number(content), label], np.int64).tobytes())
                if done % KEPT == 0:
                    for file in (pixels, rows, vectors):
                        file.flush()
                        os.fsync(file.fileno())
                    sizes = [part.stat().st_size for part in parts]
                    left = {"key": key, "done": done, "damaged": damaged, "sizes": sizes, "account": account.state()}
                    write_whole(partial / LEFT, json.dumps(left))
        listed = np.fromfile(parts[1], np.int64).reshape(-1, 2)
        np.save(partial / "rows.npy", listed)
        if parts[2].stat().st_size:
            np.save(partial / "vectors.npy", np.fromfile(parts[2], np.float32).reshape(len(listed), -1))
        for part in (parts[1], parts[2], partial / LEFT):
            part.unlink(missing_ok=True)
        (partial / "files.json").write_text(json.dumps(hashes(files)))
        pieces = {path.name: digests(path) for path in sorted(partial.iterdir())}
        sums = {part: _whole(partial / part, found) for part, found in pieces.items()}
        for part in sums:
            sync(partial / part)
        told = account.told()
        meta = {"key": key, "shape": [len(listed), *shape], "damaged": damaged, "account": told, "sums": sums}
        meta["pieces"] = {part: found for part, found in pieces.items() if len(found) > SAMPLE}
        write_whole(partial / "meta.json", json.dumps({"meta": meta, "sum": _sum(meta)}))
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
        sync(folder.parent)
    except KeyboardInterrupt:
        raise
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return meta


def _left(partial: Path, key: str, account: Account) -> tuple[int, list[tuple[str, str]]]:
    """How many images a killed preparation has dealt with, and those that were damaged; `account` has counted them, and
    what it wrote after that is cut off."""
    try:
        left = json.loads((partial / LEFT).read_bytes())
        parts = [*(partial / name for name in ("rows.raw", "vectors.raw"))]
        pixels = next(partial / name for name, _ in PIXELS.values() if (partial / name).is_file())
        if left["key"] != key or any(
            p.stat().st_size < n for p, n in zip([pixels, *parts], left["sizes"], strict=True)
        ):
            return 0, []
        for part, size in zip([pixels, *parts], left["sizes"], strict=True):
            os.truncate(part, size)
        account.restore(left["account"])
        return left["done"], [(path, reason) for path, reason in left["damaged"]]
    except (OSError, ValueError, LookupError, TypeError, StopIteration):
        return 0, []


def check(folder: Path, key: str, files: Files) -> dict[str, Any]:
    """`meta` of a folder that `write` filled; all of it is read, of a file of many pieces a sample, which is another
    one each time, and the source files most likely to differ.

    Raises Stale where anything is not as it was written, or a source file has other content.
    """
    if not folder.is_dir():
        raise Stale("")
    try:
        content = json.loads((folder / "meta.json").read_bytes())
        meta = content["meta"]
        sound = content["sum"] == _sum(meta) and meta["key"] == key
        pieces = meta.get("pieces", {})  # an older one has none
        named = meta["sums"].items() if sound else ()
        damaged = [name for name, value in named if not _as_written(folder / name, value, pieces.get(name))]
        damaged = damaged if sound else [""]
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
    newest = heapq.nlargest(NEWEST, files, key=lambda name: files[name].status.st_ctime_ns)
    chosen, size = [], 0
    for name in dict.fromkeys([*newest, *list(files)[:: len(files) // SPREAD + 1]]):
        chosen.append(name)
        if (size := size + files[name].status.st_size) > BUDGET:
            break
    return chosen


def hashes(files: Files) -> dict[str, str]:
    """A hash of the content of each; raises GantoolError for one that cannot be read."""

    def some(names: Sequence[str]) -> list[str]:
        try:
            return [_digest(files[name].path)[:16] for name in names]
        except OSError as error:
            raise GantoolError(f"cannot read {error.filename}: {error.strerror}") from error

    names = list(files)
    parts = [names[start : start + TOGETHER] for start in range(0, len(names), TOGETHER)]
    return dict(zip(names, chain.from_iterable(on_all_cores(parts, some)), strict=True))


def _digest(path: str) -> str:
    found = hashlib.sha256()
    with open(path, "rb", buffering=0) as file:
        while part := file.read(2**20):
            found.update(part)
    return found.hexdigest()


def digests(path: Path, places: Iterable[int] | None = None) -> list[str]:
    """Of the pieces of a file, or of those at `places`, as fast as the disk and all cores go."""

    def piece(place: int) -> str:
        with path.open("rb") as file:
            file.seek(place * PIECE)
            return hashlib.sha256(file.read(PIECE)).hexdigest()

    return list(on_all_cores(list(range(-(-path.stat().st_size // PIECE)) if places is None else places), piece))


def _whole(path: Path, pieces: Sequence[str]) -> str:
    """The checksum of a file, of its size and those of its pieces."""
    return hashlib.sha256(path.stat().st_size.to_bytes(8) + bytes.fromhex("".join(pieces))).hexdigest()


def _as_written(path: Path, checksum: str, pieces: Sequence[str] | None) -> bool:
    """Whether a file is what it was; of one whose `pieces` are known a sample of them is read."""
    if pieces is None:
        return _whole(path, digests(path)) == checksum
    places = SystemRandom().sample(range(len(pieces)), min(SAMPLE, len(pieces)))
    return _whole(path, pieces) == checksum and digests(path, places) == [pieces[place] for place in places]


def _sum(meta: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(meta, sort_keys=True).encode()).hexdigest()


def _number(content: bytes) -> int:
    """A hash of 64 bits."""
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "big", signed=True)

"""gantool cache [clean]: what is kept prepared (data sets, features, weights), how large it is, and its removal."""

import math
import re
import shutil
import time
from argparse import ArgumentParser
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path

from gantool.errors import GantoolError
from gantool.lock import is_held
from gantool.paths import cache_dir
from gantool.runs.housekeeping import confirmed, files_in, in_bytes, in_time, size_of
from gantool.schedules import parse_seconds
from gantool.screen import shown

# The folders of the cache, and what things are called in them. (downloads has nothing but locks.)
_MADE = {
    "classifiers": r"[0-9a-f]{16}\.safetensors",
    "datasets": r".+-[0-9a-f]{16}(\.partial)?",
    "embeddings": r"[0-9a-f]{16}\.safetensors",
    "weights": r"(weights-inception|vgg16|dinov2|ViT)[-_].+\.pth?(\.[0-9a-f]+\.partial)?",
}


def cache(words: Sequence[str]) -> None:
    """Prints each thing that is kept, with its size and when it was last read, or removes those that are named.

    Raises GantoolError where there is nothing of a name, SystemExit after --help.
    """
    about = "Removed entries are made or downloaded again when needed. GANTOOL_CACHE=FOLDER moves the cache."
    parser = ArgumentParser("gantool cache", allow_abbrev=False, epilog=about)
    parser.add_argument("verb", nargs="?", choices=["list", "clean"], default="list")
    parser.add_argument("names", nargs="*", metavar="NAME", help="which, such as 'datasets/cifar10*'; default: all")
    parser.add_argument("--older", metavar="TIME", help="only what was not used for this long, such as 30d")
    parser.add_argument("--yes", action="store_true", help="with clean: do not ask")
    given = parser.parse_intermixed_args(words)
    if given.yes and given.verb != "clean":
        raise GantoolError("--yes goes with gantool cache clean: leave it out")
    root, now = cache_dir(), time.time()
    seconds = parse_seconds(given.older, key="--older") if given.older else -math.inf  # also what is used just now
    entries = [path for path in _entries(root) if now - _used(path) >= seconds]
    if given.names:
        named = {name: [path for path in entries if fnmatch(_name(path, root), name)] for name in given.names}
        if missing := [name for name, paths in named.items() if not paths]:
            raise GantoolError(f"{missing[0]}: nothing of this name in {root}; gantool cache lists what there is")
        entries = [path for path in entries if any(path in paths for paths in named.values())]
    width = max((len(_name(path, root)) for path in entries), default=0)
    for path in entries:
        name = shown(_name(path, root))
        print(f"{name:<{width}}  {in_bytes(size_of(path)):>8}  used {in_time(now - _used(path))} ago")
    print(f"{root}: {len(entries)} entries, {in_bytes(sum(map(size_of, entries)))}")
    if given.verb == "clean" and entries:
        _clean(entries, root, given.yes)


def _entries(root: Path) -> list[Path]:
    """What gantool has made there: the folder may be one that the user keeps other things in."""
    found = [path for kind in sorted(_MADE) if (root / kind).is_dir() for path in sorted((root / kind).iterdir())]
    return [path for path in found if re.fullmatch(_MADE[path.parent.name], path.name)]


def _name(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()


def _used(path: Path) -> float:
    """When its files were last read or written, as far as the file system notes it; Unix seconds. A folder's own time
    is that of the last look into it."""
    return max((max(file.st_atime, file.st_mtime) for file in files_in(path)), default=time.time())


def _in_making(path: Path, root: Path) -> bool:
    """Whether a process holds its lock; what is not whole may also be a download, whose lock lies elsewhere."""
    fetched = path.suffix == ".partial" and any(map(is_held, root.glob("downloads/*.lock")))
    return fetched or is_held(path.with_suffix(".lock"))


def _clean(entries: list[Path], root: Path, yes: bool) -> None:
    if not (yes or confirmed(f"Delete {len(entries)} entries? [y/N] ")):
        print("nothing is deleted")
        return
    for path in entries:
        if _in_making(path, root):
            print(f"{shown(_name(path, root))} is being made by another process; not deleted")
            continue
        try:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        except OSError as error:
            raise GantoolError(f"{path}: cannot be deleted ({error.strerror})") from error
    print("deleted")

"""The runs below a folder, as a table shows them, and how they are removed. No torch: it is to answer at once."""

import os
import re
import shutil
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gantool.config.composed import choices
from gantool.files import read_plain
from gantool.folder import in_use
from gantool.logging.status import read_status

STATES = ("running", "killed", "stopped", "failed", "finished", "pruned", "empty")
_KEPT = (".git", ".hydra", "checkpoints", "samples")  # folders that hold no runs


@dataclass(frozen=True)
class Entry:
    """One run, as far as its folder tells without looking into checkpoints."""

    folder: Path
    state: str  # one of STATES
    age: float  # seconds since it was last written to
    model: str
    data: str
    kimg: float
    score: str  # 'fd_digits 2.31', the best of the first score; '' where there is none
    size: int  # bytes on the disk

    @classmethod
    def read(cls, folder: Path, now: float, others: Collection[Path] = ()) -> "Entry":
        """The run in `folder`, without those of `others` that lie in it."""
        status, chosen = read_status(folder), choices(folder)
        files = files_in(folder, others)
        written = max((file.st_mtime for file in files), default=now)
        state = str(status.get("state") or "empty")
        if state == "running" and not in_use(folder):
            state = "killed"
        best, metrics = status.get("best") or {}, status.get("metrics") or {}
        name, value = best.get("metric"), best.get("value")
        if not isinstance(value, int | float):
            name, value = next(((name, value) for name, value in metrics.items() if value is not None), (None, None))
        score = "" if value is None else f"{name} {value:.4g}"
        kimg = (status.get("progress") or {}).get("nimg", 0) / 1000
        model, data = chosen.get("model", "?"), chosen.get("dataset", "?")
        return cls(folder, state, now - written, model, data, kimg, score, sum(file.st_size for file in files))


def find_runs(root: Path) -> list[Path]:
    """Every run folder in `root` or below it, in order of their names. Links are not followed."""
    return sorted(_found(root))


def _found(root: Path) -> Iterator[Path]:
    for place, folders, _ in os.walk(root):
        if _is_run(Path(place)):
            yield Path(place)
        folders[:] = [name for name in folders if name not in _KEPT]


def _is_run(folder: Path) -> bool:
    """Whether gantool has written the configuration in `folder`, of whatever version: other programs of Hydra keep
    theirs there too, some with a model and a trainer."""
    try:
        text = read_plain(folder / ".hydra" / "config.yaml").decode(errors="replace")
    except OSError:
        return False
    return {"model", "loss", "dataset", "trainer"} <= set(re.findall(r"^(\w+):", text, re.MULTILINE))


def holds_another(folder: Path) -> Path | None:
    """A run that lies in the folder of this one, or what another program that uses Hydra has left there."""
    others = (path.parents[1] for path in folder.rglob(".hydra/config.yaml"))
    return next((other for other in others if other != folder), None)


def read_runs(root: Path) -> list[Entry]:
    """What the runs in `root` are."""
    now, found = time.time(), find_runs(root)
    others = frozenset(found)
    return [Entry.read(folder, now, others) for folder in found]


def remove(folder: Path, root: Path) -> None:
    """Removes a run with all that is in it, and the folders between it and `root` in which nothing else is left.

    Raises OSError where the disk refuses.
    """
    shutil.rmtree(folder)
    for above in folder.parents:
        if above == root or root not in above.parents or {path.name for path in above.iterdir()} - {"multirun.yaml"}:
            return
        shutil.rmtree(above)


def confirmed(question: str) -> bool:
    """Whether the user answers yes; no where nobody can answer."""
    try:
        return input(question).strip().lower() in ("y", "yes")
    except EOFError:
        print()
        return False


def files_in(path: Path, but: Collection[Path] = ()) -> list[os.stat_result]:
    """What the disk tells of a file, or of all files in a folder `but` for those of some folders in it; without those
    that go meanwhile, as the partial ones of a run that trains do."""
    files = [] if path.is_dir() else [path]
    for place, folders, names in os.walk(path):
        folders[:] = [name for name in folders if Path(place, name) not in but]
        files += [Path(place, name) for name in names]
    found = []
    for file in files:
        with suppress(FileNotFoundError):
            found.append(file.lstat())
    return found


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    return sum(file.st_size for file in files_in(path))


def in_bytes(size: float) -> str:
    """'1.2 GB'."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"


def in_time(seconds: float) -> str:
    """'3 h': the largest unit of which there is at least one."""
    for name, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {name}"
    return f"{max(seconds, 0):.0f} s"

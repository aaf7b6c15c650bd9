"""Where a command puts what it makes: out=, or RUN/<kind>/<name>; and what is said when the disk refuses."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import NoReturn

from gantool.errors import GantoolError, InUse
from gantool.files import MARK, check_writable
from gantool.folder import LOCK, in_use, way_on
from gantool.lock import locked
from gantool.paths import expanded
from gantool.ranks import rank


@contextmanager
def output(run_folder: Path, kind: str, name: str, out: str | None) -> Iterator[Path]:
    """The folder to write into, made: `out` where the user names one. An OSError inside becomes a GantoolError."""
    folder = expanded(out) if out else run_folder / kind / name
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        if out:
            (folder / MARK).touch()
        yield folder


@contextmanager
def writing(place: Path, fix: str | Callable[[], str] = "make room or choose out=FOLDER") -> Iterator[None]:
    """An OSError while `place` is written becomes a GantoolError that names the `fix`, or calls it then."""
    try:
        yield
    except OSError as error:
        told = fix if isinstance(fix, str) else fix()
        raise GantoolError(f"cannot write {place} ({error.strerror or error}): {told}") from error


@contextmanager
def sole_user(run_dir: Path) -> Iterator[None]:
    """Holds the run folder against other processes; a disk that refuses to write becomes a GantoolError."""
    lock = locked(run_dir / LOCK, lambda: _refuse(run_dir)) if rank() == 0 else nullcontext()
    with writing(run_dir, lambda: f"make room and {way_on(run_dir)}"), lock:
        yield


def check_free(run_dir: Path) -> None:
    """Raises GantoolError where nobody can train in `run_dir`, and InUse where somebody does."""
    if in_use(run_dir):
        _refuse(run_dir)
    check_writable(run_dir, "choose another hydra.run.dir")


def _refuse(run_dir: Path) -> NoReturn:
    """Raises InUse."""
    raise InUse(f"{run_dir} is in use by another process: wait for it, or choose another hydra.run.dir")


def stamp(nimg: int, seed: int, *more: str) -> str:
    """The name of what was made at one point of a run: 000100.000-seed0-..., which sorts by images seen."""
    return "-".join([f"{nimg / 1000:010.3f}", f"seed{seed}", *more])

"""Where a command puts what it makes: out=, or RUN/<kind>/<name>; and what is said when the disk refuses."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from gantool.errors import GantoolError
from gantool.files import MARK
from gantool.paths import expanded


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


def stamp(nimg: int, seed: int, *more: str) -> str:
    """The name of what was made at one point of a run: 000100.000-seed0-..., which sorts by images seen."""
    return "-".join([f"{nimg / 1000:010.3f}", f"seed{seed}", *more])

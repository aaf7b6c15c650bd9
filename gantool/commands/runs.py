"""gantool runs [FOLDER] [COLUMN=VALUE]: the runs below a folder as a table; --delete removes those that are listed."""

from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from fnmatch import fnmatch
from pathlib import Path

from gantool.errors import GantoolError, did_you_mean
from gantool.folder import in_use
from gantool.paths import expanded, outputs_dir
from gantool.runs.housekeeping import STATES, Entry, confirmed, holds_another, in_bytes, in_time, read_runs, remove
from gantool.schedules import parse_seconds
from gantool.screen import screen, shown

_ABOUT = """Filters: state=, model=, data=, score= and run= take one or more patterns (state=failed,killed model='r3*'),
older= and newer= a time since the last change of the run (older=7d), below= thousands of images seen (below=10)."""
_TEXTS: dict[str, Callable[[Entry], str]] = {
    "run": lambda run: run.folder.as_posix(),
    "state": lambda run: run.state,
    "model": lambda run: run.model,
    "data": lambda run: run.data,
    "score": lambda run: run.score.partition(" ")[0] or "none",
}
_FILTERS = (*_TEXTS, "older", "newer", "below")


def runs(words: Sequence[str]) -> None:
    """Prints the runs of a folder, by default that which runs go to, and removes them where `--delete` asks for it and
    the question is answered with yes; a run that is being trained stays.

    Raises GantoolError for a folder that is not there and for filters that cannot be read, SystemExit after --help.
    """
    parser = ArgumentParser("gantool runs", allow_abbrev=False, epilog=_ABOUT)
    default = "default: all runs in outputs, or in the folder that GANTOOL_OUTPUTS names"
    parser.add_argument("words", nargs="*", metavar="FOLDER or FILTER=VALUE", help=default)
    parser.add_argument("--delete", action="store_true", help="remove the listed runs, after asking")
    parser.add_argument("--yes", action="store_true", help="with --delete: do not ask")
    given = parser.parse_intermixed_args(words)
    if given.yes and not given.delete:
        raise GantoolError("--yes goes with --delete: leave it out")
    filters = [word for word in given.words if "=" in word and not expanded(word).is_dir()]
    places = [word for word in given.words if word not in filters]
    if len(places) > 1:
        raise GantoolError(f"{' '.join(places)}: name one folder")
    root, checks = expanded(places[0]) if places else outputs_dir(), [_check(word) for word in filters]
    if not root.is_dir():
        raise GantoolError(f"{root}: no such folder")
    found = [run for run in read_runs(root) if all(check(run) for check in checks)]
    if not found:
        print(f"no runs in {root}" + (f" with {' '.join(filters)}" if filters else ""))
        return
    _print(found)
    if given.delete:
        _delete([run for run in found if run.state != "running"], root, given.yes)


def _check(word: str) -> Callable[[Entry], bool]:
    key, _, value = word.partition("=")
    if key in _TEXTS:
        patterns = value.split(",")
        if key == "state" and (wrong := [one for one in patterns if not any(fnmatch(name, one) for name in STATES)]):
            raise GantoolError(f"{word}: no state {wrong[0]!r}{did_you_mean(wrong[0], STATES)}; {', '.join(STATES)}")
        return lambda run: any(fnmatch(_TEXTS[key](run), pattern) for pattern in patterns)
    if key in ("older", "newer"):
        seconds, sign = parse_seconds(value, key=key), 1 if key == "older" else -1
        return lambda run: sign * run.age > sign * seconds
    if key == "below":
        try:
            kimg = float(value)
        except ValueError:
            raise GantoolError(f"{word}: write a number of thousand images, such as below=10") from None
        return lambda run: run.kimg < kimg
    raise GantoolError(f"{word}: no filter {key!r}{did_you_mean(key, _FILTERS)}; filters: {', '.join(_FILTERS)}")


def _print(found: list[Entry]) -> None:
    from rich.table import Column, Table

    columns = (Column("run", overflow="fold"), "state", Column("age", justify="right"), "model", "data")
    table = Table(*columns, Column("kimg", justify="right"), "best score", Column("size", justify="right"), box=None)
    for run in found:
        kimg, size = f"{run.kimg:g}", in_bytes(run.size)
        name = shown(run.folder.as_posix())  # before its width is measured
        table.add_row(name, run.state, in_time(run.age), run.model, run.data, kimg, run.score, size)
    console = screen()
    if not console.is_terminal:
        console.width = 240  # one line a run, for grep
    console.print(table)
    print(f"{len(found)} run{'s' * (len(found) > 1)}, {in_bytes(sum(run.size for run in found))}")


def _delete(found: list[Entry], root: Path, yes: bool) -> None:
    if not found:
        print("nothing is deleted: all of them are being trained")
        return
    question = f"Delete {len(found)} run{'s' * (len(found) > 1)} with all that is in the folders? [y/N] "
    if not (yes or confirmed(question)):
        print("nothing is deleted")
        return
    removed = 0
    for run in sorted(found, key=lambda run: len(run.folder.parts), reverse=True):  # first those that lie in others
        if in_use(run.folder):  # since it was listed
            print(shown(f"{run.folder} is being trained; not deleted"))
            continue
        if other := holds_another(run.folder):
            print(shown(f"{run.folder} holds {other}; not deleted: move or remove that first"))
            continue
        try:
            remove(run.folder, root)
        except OSError as error:
            raise GantoolError(f"{error.filename or run.folder}: cannot be deleted ({error.strerror})") from error
        removed += 1
    print(f"deleted {removed} run{'s' * (removed > 1)}" if removed else "nothing is deleted")

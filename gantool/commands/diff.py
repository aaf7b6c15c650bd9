"""gantool diff A B: the settings in which two runs differ, and their scores side by side."""

from argparse import ArgumentParser
from collections.abc import Sequence

from gantool.config.composed import find_run, settings
from gantool.config.messages import as_typed


def diff(words: Sequence[str]) -> None:
    """Prints both tables. Raises GantoolError for a folder that is no run, SystemExit after --help."""
    parser = ArgumentParser("gantool diff", allow_abbrev=False)
    parser.add_argument("runs", nargs=2, metavar="RUN_FOLDER")
    a, b = (find_run(folder, "run") for folder in parser.parse_args(words).runs)

    from gantool.screen import screen
    from gantool.sweeps.ranking import ranking
    from gantool.sweeps.results import Result

    console = screen()
    if not console.is_terminal:
        console.width = 240
    before, after = settings(a), settings(b)
    changed = [key for key in {**before, **after} if before.get(key) != after.get(key)]
    names = (a.name, b.name) if a.name != b.name else (a.as_posix(), b.as_posix())
    rows = [[key, *(as_typed(side[key]) if key in side else "-" for side in (before, after))] for key in changed]
    console.print(_table("setting", names, rows) if rows else "no setting differs")
    results = [Result.read(folder) for folder in (a, b)]
    scores = [["kimg", *(f"{one.nimg / 1000:g}" for one in results)], ["state", *(one.state for one in results)]]
    for name in dict.fromkeys(name for one in results for name in one.metrics):
        scores.append([name, *(one.cell(name) for one in results)])
    console.print()
    console.print(_table("score", names, scores))
    ranked = ranking(results, None)
    for line in [*ranked.compared(), *ranked.notes] if all(one.metrics for one in results) else ():
        console.print(line)


def _table(title: str, names: tuple[str, str], rows: Sequence[Sequence[str]]) -> object:
    from rich.table import Column, Table

    table = Table(title, *(Column(name, overflow="fold") for name in names), box=None)
    for row in rows:
        table.add_row(*row)
    return table

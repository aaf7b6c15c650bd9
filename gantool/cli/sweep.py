"""What a sweep tells at its end: its jobs ranked by a score, on the screen and as files."""

from contextlib import suppress

from gantool.cli.folders import Sweep
from gantool.screen import screen
from gantool.sweeps.best import tell_best
from gantool.sweeps.ranking import ranking
from gantool.sweeps.results import read_results
from gantool.sweeps.tables import print_seeds, save_ranking


def report(sweep: Sweep) -> int:
    """Prints the table of the sweep, and says how many jobs failed; returns their number."""
    from rich.table import Column, Table

    folder = sweep.folder
    ranked = ranking(read_results(folder), sweep.metric)
    metric, results = ranked.metric, ranked.results
    if not results:
        return 0
    best: list[str] = []
    with suppress(OSError):  # the screen has it too
        save_ranking(folder, ranked)
        best = tell_best(folder, ranked, sweep.words, sweep.sources)
    names = ranked.columns
    heads = (f"{name} (ranked)" if name == metric else name for name in names)
    table = Table("rank", Column("job", overflow="fold"), *heads, "kimg", "state", box=None)
    failed = [result for result in results if result.state == "failed"]
    for place, result in zip(ranked.places, results, strict=True):
        scores = map(result.cell, names)
        table.add_row(place, result.name, *scores, f"{result.nimg / 1000:.10g}", result.state)
    console = screen(soft_wrap=True)
    console.width = console.width if console.is_terminal else 200
    jobs = "1 job" if len(results) == 1 else f"{len(results)} jobs"
    console.print(f"\nSweep of {jobs} in {folder} (also results.csv, results.json)")
    console.print(table)
    print_seeds(console, ranked)
    for line in best:
        console.print(line)
    if failed:
        console.print(f"{len(failed)} of {jobs} failed:")
    for result in failed:
        for line in (result.error or "no reason given").splitlines():
            console.print(f"  {result.name}: {line}")
    return len(failed)

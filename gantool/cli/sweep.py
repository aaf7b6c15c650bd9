"""The table at the end of a sweep: its jobs ranked by a score, and every failure named."""

from pathlib import Path

from gantool.runs.results import rank, read_results


def report(folder: Path, metric: str | None) -> int:
    """Prints the table of the sweep in `folder`, and says how many jobs failed; returns their number."""
    from rich.console import Console
    from rich.table import Column, Table
    from rich.text import Text

    metric, results = rank(read_results(folder), metric)
    if not results:
        return 0
    names = dict.fromkeys(name for result in results for name in result.metrics)
    names = [metric, *(n for n in names if n != metric)] if metric else []
    heads = (f"{name} (ranked)" if name == metric else name for name in names)
    table = Table("rank", Column("job", overflow="fold"), *heads, "kimg", "state", box=None)
    failed = [result for result in results if result.state == "failed"]
    for place, result in enumerate(results, 1):
        scores = [f"{result.metrics[name]:.4g}" if name in result.metrics else "-" for name in names]
        number = "-" if result in failed or metric not in result.metrics else str(place)
        cells = (number, result.name, *scores, f"{result.nimg / 1000:.4g}", result.state)
        table.add_row(*(Text(cell) for cell in cells))
    console = Console(highlight=False, soft_wrap=True)
    console.width = console.width if console.is_terminal else 200
    console.print(f"\nSweep of {len(results)} jobs in {folder}", markup=False)
    console.print(table)
    if failed:
        console.print(f"{len(failed)} of {len(results)} jobs failed:")
    for result in failed:
        for line in (result.error or "no reason given").splitlines():
            console.print(f"  {result.name}: {line}", markup=False)
    return len(failed)

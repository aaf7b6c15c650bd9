"""The table at the end of a sweep: its jobs ranked by a score, and every failure named."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HIGHER_IS_BETTER = ("is_", "inception_score", "precision", "recall", "density", "coverage", "cas")


@dataclass(frozen=True)
class Result:
    """What one job left."""

    name: str
    state: str  # finished, stopped, failed
    error: str | None
    nimg: int
    metrics: dict[str, float]

    @classmethod
    def read(cls, folder: Path) -> "Result":
        """The job in `folder`; one that says it is running was killed, for its sweep has ended."""
        try:
            status: dict[str, Any] = json.loads((folder / "status.json").read_text())
        except (OSError, ValueError):
            status = {"state": "failed", "error": "it left no status.json"}
        state, error = str(status.get("state")), status.get("error")
        if state == "running":
            state, error = "failed", "its process was killed"
        metrics = {name: float(v) for name, v in (status.get("metrics") or {}).items() if isinstance(v, int | float)}
        return cls(folder.name, state, error, int((status.get("progress") or {}).get("nimg", 0)), metrics)


def read_results(folder: Path) -> list[Result]:
    """Every job in the sweep's folder, in order of their numbers."""
    jobs = [path for path in folder.iterdir() if path.is_dir() and path.name.partition("-")[0].isdigit()]
    return [Result.read(path) for path in sorted(jobs, key=lambda path: int(path.name.partition("-")[0]))]


def rank(results: list[Result], metric: str | None) -> tuple[str | None, list[Result]]:
    """The metric that ranks (the first one found where None is asked for) and the results, best first.

    Jobs without that score come after the ones with it, failures last.
    """
    metric = metric or next((name for result in results for name in result.metrics), None)

    def place(result: Result) -> tuple[bool, float]:
        score = result.metrics.get(metric or "", math.nan)
        higher = (metric or "").startswith(HIGHER_IS_BETTER)
        return result.state == "failed", math.inf if math.isnan(score) else (-score if higher else score)

    return metric, sorted(results, key=place)


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

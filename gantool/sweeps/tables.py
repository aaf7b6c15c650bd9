"""A ranked table as files, and what stands below it on the screen: seeds together, and what was not measured alike."""

import math
from pathlib import Path
from typing import TYPE_CHECKING

from gantool.files import write_csv, write_json
from gantool.sweeps.ranking import Ranking

if TYPE_CHECKING:
    from rich.console import Console


def print_seeds(console: "Console", ranked: Ranking) -> None:
    """A table of settings, mean ± standard deviation over their seeds, where there are such; then the notes."""
    from rich.table import Column, Table

    if ranked.groups:
        names = [name for name in ranked.groups[0].scores if "/" not in name or name == ranked.metric]
        table = Table("rank", Column("settings", overflow="fold"), "seeds", *names, box=None)
        for one in ranked.groups:
            cells = [str(one.scores[name]) if name in one.scores else "-" for name in names]
            table.add_row(one.place, one.name, str(one.num), *cells)
        console.print("\nRuns that differ in their seed alone, mean ± standard deviation over seeds:")
        console.print(table)
    for line in ranked.notes:
        console.print(line)


def save_ranking(folder: Path, ranked: Ranking) -> None:
    """Writes results.csv, a line for each job, seeds.csv, one for each setting with the mean and the standard deviation
    over its seeds, and results.json, which has both. Numbers that are not finite are left out."""
    names = list(dict.fromkeys(name for one in ranked.results for name in one.metrics))
    jobs = [
        {
            "rank": place,
            "job": one.name,
            "state": one.state,
            "kimg": one.nimg / 1000,
            "seconds": round(one.seconds, 1),
            **{name: value for name, value in one.metrics.items() if math.isfinite(value)},
            **{
                f"{name}_margin": value for name, value in one.margins.items() if name in names and math.isfinite(value)
            },
            "words": " ".join(one.words),
            "error": one.error,
        }
        for place, one in zip(ranked.places, ranked.results, strict=True)
    ]
    settings = [
        {"rank": one.place, "settings": one.name, "seeds": one.num}
        | {name: score.value for name, score in one.scores.items()}
        | {f"{name}_std": score.spread for name, score in one.scores.items()}
        for one in ranked.groups
    ]
    content = {"ranked_by": ranked.metric, "jobs": jobs, "settings": settings, "notes": ranked.notes}
    write_json(content, folder / "results.json")
    scores = [*names, *(f"{name}_margin" for name in names)]
    _table(["rank", "job", "state", "kimg", "seconds", *scores, "words", "error"], jobs, folder / "results.csv")
    if settings:
        both = [key for name in names for key in (name, f"{name}_std")]
        _table(["rank", "settings", "seeds", *both], settings, folder / "seeds.csv")


def _table(header: list[str], rows: list[dict], path: Path) -> None:
    write_csv(header, ([row.get(key) for key in header] for row in rows), path)

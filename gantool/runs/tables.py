"""What stands below a ranked table on the screen: seeds taken together, and what was not measured alike."""

from typing import TYPE_CHECKING

from gantool.runs.ranking import Ranking

if TYPE_CHECKING:
    from rich.console import Console


def print_seeds(console: "Console", ranked: Ranking) -> None:
    """A table of settings, mean ± standard deviation over their seeds, where there are such; then the notes."""
    from rich.table import Column, Table
    from rich.text import Text

    if ranked.groups:
        names = [name for name in ranked.groups[0].scores if "/" not in name or name == ranked.metric]
        table = Table("rank", Column("settings", overflow="fold"), "seeds", *names, box=None)
        for one in ranked.groups:
            cells = [str(one.scores[name]) if name in one.scores else "-" for name in names]
            table.add_row(*(Text(cell) for cell in (one.place, one.name, str(one.num), *cells)))
        console.print("\nRuns that differ in their seed alone, mean ± standard deviation over seeds:")
        console.print(table)
    for line in ranked.notes:
        console.print(line, markup=False)

"""Where evaluations are kept, RUN/evaluated/<features>-<protocol>/ (JSON, CSV, TensorBoard), and their ranked table."""

import csv
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gantool.runs import results as sweep
from gantool.errors import GantoolError


@dataclass(frozen=True)
class Result:
    """The scores of one checkpoint."""

    run: Path
    nimg: int
    scores: dict[str, float]
    floor: dict[str, float]  # the same scores of real images
    protocol: dict[str, object]  # results of equal protocols are comparable

    @property
    def folder(self) -> Path:
        """Shared by the checkpoints of a run under one protocol, so that their scores make a curve."""
        digest = hashlib.sha256(json.dumps(self.protocol, sort_keys=True).encode()).hexdigest()[:8]
        return self.run / "evaluated" / f"{self.protocol.get('extractor', 'cas')}-{digest}"

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {**asdict(self), "run": str(self.run)}


def save(result: Result) -> None:
    """Writes <kimg>.json and, of all checkpoints judged by its protocol, scores.csv and TensorBoard's curves."""
    try:
        result.folder.mkdir(parents=True, exist_ok=True)
        path = result.folder / f"{result.nimg / 1000:010.3f}.json"
        path.write_text(json.dumps(result.as_dict(), indent=2))
        known = [json.loads(path.read_text()) for path in sorted(result.folder.glob("*.json"))]
        write_csv(known, result.folder / "scores.csv")
        _write_events(known, result.folder)
    except OSError as error:
        raise GantoolError(f"cannot write {result.folder} ({error.strerror or error}): make room") from error


def save_table(results: Sequence[Result], out: str) -> None:
    """Writes results.json and results.csv, in the order given, into the folder `out`."""
    folder, known = Path(out).expanduser(), [result.as_dict() for result in results]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "results.json").write_text(json.dumps(known, indent=2))
        write_csv(known, folder / "results.csv")
    except OSError as error:
        raise GantoolError(f"cannot write {folder} ({error.strerror or error}): choose out=FOLDER") from error


def write_csv(known: Sequence[dict[str, Any]], path: Path) -> None:
    """A line for each result, and the floor as the last."""
    names = list(known[0]["scores"])
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["run", "nimg", *names])
        writer.writerows([result["run"], result["nimg"], *(result["scores"][n] for n in names)] for result in known)
        writer.writerow(["real images", "", *(known[0]["floor"].get(name, "") for name in names)])


def _write_events(known: Sequence[dict[str, Any]], folder: Path) -> None:
    """Scalars evaluate/<score> at the images seen, in a file of their own that is written anew each time."""
    from torch.utils.tensorboard import SummaryWriter

    for old in folder.glob("events.out.tfevents.*"):
        old.unlink()
    with SummaryWriter(str(folder)) as writer:
        for result in sorted(known, key=lambda result: result["nimg"]):
            for name, value in result["scores"].items():
                writer.add_scalar(f"evaluate/{name}", value, result["nimg"])


def ranked(results: Sequence[Result], metric: str) -> list[Result]:
    """Best first."""
    jobs = [
        sweep.Result(str(place), "finished", None, result.nimg, result.scores) for place, result in enumerate(results)
    ]
    return [results[int(job.name)] for job in sweep.rank(jobs, metric)[1]]


def print_table(results: Sequence[Result], metric: str) -> None:
    """Ranked results, and what real images score."""
    from rich.console import Console
    from rich.table import Column, Table
    from rich.text import Text

    names = list(results[0].scores)
    heads = (f"{name} (ranked)" if name == metric and len(results) > 1 else name for name in names)
    table = Table("rank", Column("run", overflow="fold"), "kimg", *heads, box=None)
    for place, result in enumerate(results, 1):
        cells = [str(place), str(result.run), f"{result.nimg / 1000:.4g}"]
        table.add_row(*(Text(cell) for cell in [*cells, *(f"{result.scores[name]:.4g}" for name in names)]))
    floor = results[0].floor
    table.add_row("-", "real images", "-", *(f"{floor[name]:.4g}" if name in floor else "-" for name in names))
    console = Console(highlight=False, soft_wrap=True)
    console.width = console.width if console.is_terminal else 200
    console.print(table)

"""scalars.csv: a line for each point of a run, a column for each tag."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path

from gantool.files import write_whole
from gantool.game import Progress
from gantool.logging.record import Record
from gantool.logging.tracker import Tracker

NAME = "scalars.csv"


class CsvFile(Tracker):
    """Writes `run_dir`/scalars.csv, whole at every flush; lines of an earlier session at `first` or later are left out.
    What is not measured at a point is empty there."""

    def __init__(self, run_dir: Path, *, first: int, hparams: Mapping[str, object], config_text: str) -> None:
        self.path = run_dir / NAME
        self.rows: dict[int, dict[str, str]] = {}
        if first and self.path.exists():
            with self.path.open(newline="", encoding="utf-8") as file:
                rows = {int(row["nimg"]): row for row in csv.DictReader(file)}
            self.rows = {nimg: {k: v for k, v in row.items() if v} for nimg, row in rows.items() if nimg < first}

    def write(self, record: Record, progress: Progress) -> None:
        if record.scalars:
            row = self.rows.setdefault(progress.nimg, {"nimg": str(progress.nimg), "rounds": str(progress.rounds)})
            row |= {tag: repr(float(value)) for tag, value in record.scalars.items()}

    def flush(self) -> None:
        columns = dict.fromkeys(["nimg", "rounds", *(tag for row in self.rows.values() for tag in row)])
        text = io.StringIO(newline="")
        lines = csv.DictWriter(text, list(columns), restval="", lineterminator="\n")
        lines.writeheader()
        lines.writerows(self.rows.values())
        write_whole(self.path, text.getvalue())

    def close(self) -> None:
        self.flush()

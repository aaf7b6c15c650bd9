"""metrics.jsonl: the scalars of a run, one JSON object a line."""

import json
import math
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gantool.files import finite_parts, read_json, read_plain

if TYPE_CHECKING:  # they bring torch, and whoever reads what was written needs none
    from gantool.game import Progress
    from gantool.logging.record import Record

NAME = "metrics.jsonl"


class JsonLines:
    """Appends to `run_dir`/metrics.jsonl; lines an earlier session left at `first` images or later are cut off.

    A line holds nimg, kimg, rounds, time (Unix seconds), every scalar under its tag (null where it is not finite) and,
    with scores, `protocol`.
    """

    def __init__(self, run_dir: Path, *, first: int) -> None:
        path = run_dir / NAME
        if path.exists():
            os.truncate(path, _length_before(path, first))
        self.file = path.open("a", encoding="utf-8", buffering=1)

    def write(self, record: "Record", progress: "Progress") -> None:
        """One line, unless the record holds pictures and histograms only."""
        if not record.scalars:
            return
        line: dict[str, object] = {
            "nimg": progress.nimg,
            "kimg": progress.nimg / 1000,
            "rounds": progress.rounds,
            "time": round(time.time(), 3),
        }
        line |= {tag: finite(value) for tag, value in record.scalars.items()}
        if record.protocol:
            line["protocol"] = finite_parts(record.protocol)
        self.file.write(json.dumps(line, default=str) + "\n")

    def flush(self) -> None:
        """Every line is on the disk."""
        self.file.flush()
        os.fsync(self.file.fileno())

    def close(self) -> None:
        """Close the file."""
        self.file.close()


def read_metrics(run_dir: Path) -> list[dict]:
    """The whole lines of a run's metrics.jsonl, oldest first; empty where there is none. Damaged lines are left out."""
    try:
        lines = read_plain(run_dir / NAME).splitlines(keepends=True)
    except OSError:
        return []
    found = [_read(line) for line in lines if line.endswith(b"\n")]
    return [line for line in found if line is not None]


def seconds(lines: Sequence[Mapping[str, Any]]) -> float:
    """The time that the rounds of a run took, from the rates that its lines hold; pauses between sessions are none."""
    found = [(line["nimg"], line.get("speed/images_per_second")) for line in lines]
    rates = [(nimg, float(rate)) for nimg, rate in found if isinstance(rate, int | float) and 0 < rate < math.inf]
    before = [0, *(nimg for nimg, _ in rates)]
    return sum((nimg - since) / rate for (nimg, rate), since in zip(rates, before, strict=False))


def _read(line: bytes) -> dict | None:
    """What a line holds; None where it is none of ours."""
    try:
        match read_json(line):
            case {"nimg": int(nimg), "kimg": int() | float()} as found if 0 <= nimg < 2**63:
                return {**found, "kimg": nimg / 1000}
    except ValueError:
        pass
    return None


def finite(value: float) -> float | None:
    """A number as JSON has it: no infinity and no NaN."""
    value = float(value)
    return value if math.isfinite(value) else None


def _length_before(path: Path, first: int) -> int:
    """Bytes before the first line with nimg >= `first`, or before one that a kill cut in half. A damaged line stays."""
    length = 0
    with path.open("rb") as file:
        for line in file:
            if not line.endswith(b"\n") or ((found := _read(line)) and found["nimg"] >= first):
                break
            length += len(line)
    return length

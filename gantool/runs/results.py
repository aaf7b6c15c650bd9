"""What runs have scored, read from their folders, and their ranking."""

import json
import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from omegaconf import OmegaConf

from gantool.config.composed import read_saved, typed_words
from gantool.errors import GantoolError
from gantool.logging.status import read_status


@dataclass(frozen=True)
class Result:
    """What a run, or one job of a sweep, has scored."""

    name: str
    state: str  # finished, stopped, failed, not started
    error: str | None
    nimg: int
    metrics: dict[str, float]
    higher_is_better: tuple[str, ...] = ()  # those of the metrics for which it is so
    margins: Mapping[str, float] = field(default_factory=dict)  # half of the metrics' 95 % intervals, as far as known
    protocol: Mapping[str, object] | None = None  # of the metrics; None: not known
    settings: str | None = None  # all but the seed: equal for runs that differ in that alone; None: not known
    words: tuple[str, ...] = ()  # what was typed

    @classmethod
    def read(cls, folder: Path) -> "Result":
        """The job in `folder`; one that says it is running was killed, for its sweep has ended."""
        from gantool.logging.jsonl import read_metrics  # brings torch, which waits until there are results

        status = read_status(folder) or {"state": "not started"}
        state, error = str(status.get("state")), status.get("error")
        if state == "running":
            state, error = "failed", "its process was killed"
        metrics, margins = (
            {name: float(v) for name, v in (status.get(key) or {}).items() if isinstance(v, int | float)}
            for key in ("metrics", "margins")
        )
        nimg = int((status.get("progress") or {}).get("nimg", 0))
        higher = tuple(status.get("higher_is_better") or ())
        told = [p for line in read_metrics(folder) if isinstance(p := line.get("protocol"), dict) and "metrics" in p]
        own = (told[-1] if told else None, settings_of(folder), tuple(typed_words(folder)))
        return cls(folder.name, state, error, nimg, metrics, higher, margins, *own)


def settings_of(folder: Path) -> str | None:
    """The configuration of a run without its seed, as text; None where it cannot be read."""
    with suppress(GantoolError, OSError):
        config = OmegaConf.to_container(read_saved(folder))
        if isinstance(config, dict) and isinstance(trainer := config.get("trainer"), dict):
            return json.dumps({**config, "trainer": {**trainer, "seed": None}}, sort_keys=True, default=str)
    return None


def read_results(folder: Path) -> list[Result]:
    """Every job in the sweep's folder, in order of their numbers."""
    return [Result.read(path) for path in _jobs(folder)]


def jobs_of_sweep(folder: Path) -> list[Path]:
    """The folders of the jobs that have a status, in order of their numbers; [] where `folder` is no sweep's."""
    if not folder.is_dir() or (folder / ".hydra").is_dir():
        return []
    return [job for job in _jobs(folder) if (job / "status.json").is_file()]


def _jobs(folder: Path) -> list[Path]:
    jobs = [path for path in folder.iterdir() if path.is_dir() and path.name.partition("-")[0].isdigit()]
    return sorted(jobs, key=lambda path: int(path.name.partition("-")[0]))


def rank(results: list[Result], metric: str | None) -> tuple[str | None, list[Result]]:
    """The metric that ranks (the first one found where None is asked for) and the results, best first.

    Jobs without that score come after the ones with it, failures last.
    """
    metric = metric or next((name for result in results for name in result.metrics), None)

    def place(result: Result) -> tuple[bool, float]:
        score = result.metrics.get(metric or "", math.nan)
        higher = metric in result.higher_is_better
        return result.state == "failed", math.inf if math.isnan(score) else (-score if higher else score)

    return metric, sorted(results, key=place)

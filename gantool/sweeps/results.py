"""What runs have scored, read from their folders."""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from omegaconf import OmegaConf

from gantool.config.composed import read_saved, typed_words
from gantool.errors import GantoolError
from gantool.folder import in_use
from gantool.logging.jsonl import read_metrics, seconds
from gantool.logging.status import NAME, read_status
from gantool.margins import PARTS, Estimate, written
from gantool.sweeps.jobs import ELSEWHERE, number_of, read_jobs


@dataclass(frozen=True)
class Result:
    """What a run, or one job of a sweep, has scored."""

    name: str
    state: str  # finished, stopped, pruned, failed, running elsewhere, not started
    error: str | None
    nimg: int
    metrics: dict[str, float]
    higher_is_better: tuple[str, ...] = ()  # those of the metrics for which it is so
    margins: Mapping[str, float] = field(default_factory=dict)  # half of the metrics' 95 % intervals, as far as known
    protocol: Mapping[str, object] | None = None  # of the metrics; None: not known
    settings: str | None = None  # all but the seed: equal for runs that differ in that alone; None: not known
    words: tuple[str, ...] = ()  # what was typed
    seconds: float = 0.0  # that its rounds took
    seed: int | None = None  # of its training; None: not known

    def estimate(self, metric: str) -> Estimate:
        """A score that it has, with its margin; of a version that does not tell the parts, as most have them."""
        parts = (self.protocol or {}).get("margin_parts")
        own = parts.get(metric) if isinstance(parts, Mapping) else None
        known = own if isinstance(own, int) and own > 1 else PARTS
        return Estimate.of_one(self.metrics[metric], self.margins.get(metric), known)

    def cell(self, metric: str) -> str:
        """A score with its margin, for a table; '-' where it has none."""
        return written(self.metrics[metric], self.margins.get(metric)) if metric in self.metrics else "-"

    @classmethod
    def read(cls, folder: Path) -> "Result":
        """The job in `folder`; one that says it is running and that no process holds was killed."""
        status = read_status(folder) or {"state": "not started"}
        state, error = str(status.get("state")), status.get("error")
        if state == "running":
            held = in_use(folder)
            state, error = (ELSEWHERE, None) if held else ("failed", "its process was killed")
        metrics, margins = (
            {name: float(v) for name, v in (status.get(key) or {}).items() if isinstance(v, int | float)}
            for key in ("metrics", "margins")
        )
        nimg = int((status.get("progress") or {}).get("nimg", 0))
        higher = tuple(status.get("higher_is_better") or ())
        lines = read_metrics(folder)
        told = [p for line in lines if isinstance(p := line.get("protocol"), dict) and "metrics" in p]
        settings, seed = settings_of(folder)
        own = (told[-1] if told else None, settings, tuple(typed_words(folder)), seconds(lines), seed)
        return cls(folder.name, state, error, nimg, metrics, higher, margins, *own)


def settings_of(folder: Path) -> tuple[str | None, int | None]:
    """The configuration of a run without its seed, as text, and the seed; None where they cannot be read."""
    with suppress(GantoolError, OSError):
        config = OmegaConf.to_container(read_saved(folder))
        if isinstance(config, dict) and isinstance(trainer := config.get("trainer"), dict):
            config.pop("study", None)
            seed = trainer.get("seed")
            text = json.dumps({**config, "trainer": {**trainer, "seed": None}}, sort_keys=True, default=str)
            return text, seed if isinstance(seed, int) else None
    return None, None


def read_results(folder: Path) -> list[Result]:
    """Every job of the sweep in `folder`, in order of their numbers."""
    return [Result.read(path) for path in jobs_of_sweep(folder)]


def jobs_of_sweep(folder: Path) -> list[Path]:
    """The folders of a sweep's jobs, in order of their numbers, some not made yet; [] where `folder` is no sweep's."""
    if not folder.is_dir() or (folder / ".hydra").is_dir():
        return []
    known = {job.name for job in read_jobs(folder)}
    known |= {path.parent.name for path in folder.glob(f"*/{NAME}") if number_of(path.parent.name) >= 0}
    return [folder / name for name in sorted(known, key=lambda name: (number_of(name), name))]

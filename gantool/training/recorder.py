"""Keeps a run on disk and on the screen: records, progress, status and checkpoints. Only the first rank has one."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from gantool import __version__
from gantool.logging.console import Console
from gantool.logging.jsonl import finite
from gantool.logging.log import Log
from gantool.logging.record import Record
from gantool.logging.status import write_status
from gantool.training.checkpoint import Checkpoints
from gantool.training.ending import Ending
from gantool.training.hardware import name_of
from gantool.training.state import State

Status = Literal["running", "finished", "stopped", "pruned"]  # beside "failed", which the command line writes


class Pruned(Exception):
    """Raised by a judge of the scores: the run is not worth going on with."""


class Recorder:
    """Writes what the loop hands it into `run_dir`; with `run_dir` None (other ranks) writes nothing.

    `best_metric` names the score that decides which checkpoint is kept as the best; `ending` knows which scores are
    better than others, and when the run is over. `judge` is told scores and images seen once all looks at this point
    are written, and may raise Pruned.
    """

    def __init__(
        self,
        run_dir: Path | None,
        log: Log,
        console: Console,
        checkpoints: Checkpoints | None,
        *,
        checkpoint_seconds: float,
        best_metric: str | None = None,
        ending: Ending | None = None,
        judge: Callable[[dict[str, float], int], None] = lambda scores, nimg: None,
    ) -> None:
        self.run_dir, self.log, self.console, self.checkpoints = run_dir, log, console, checkpoints
        self.checkpoint_seconds, self.best_metric = checkpoint_seconds, best_metric
        self.ending, self.judge = ending or Ending(), judge
        self.scored: dict[str, float] = {}  # by looks that have not ended
        self.saved = time.monotonic()

    def write(self, record: Record, state: State) -> None:
        """Logs and shows a record, and takes in its scores."""
        self.log.write(record, state.progress)
        self.console.update(state.progress, record.scalars)
        scores, margins = (
            {tag.removeprefix(kind): value for tag, value in record.scalars.items() if tag.startswith(kind)}
            for kind in ("metrics/", "margin/")
        )
        state.metrics |= scores
        state.margins = {name: value for name, value in state.margins.items() if name not in scores} | margins
        self.ending.note(scores, state.ending)
        self.scored |= scores

    def end_looks(self, state: State) -> None:
        """Once all that look at this point have, and none found trouble: keeps a new best state, and asks the judge. A
        run that is killed may go on from it, and takes none of these looks again."""
        scores, self.scored = self.scored, {}
        name, nimg = self.best_metric or "", state.progress.nimg
        if name in scores and self.ending.is_better(name, scores[name], state.best.get("value")):
            state.best = {"metric": name, "value": scores[name], "nimg": nimg}
            self.keep("best", state)
        if scores and not state.progress.done:
            self.judge(scores, nimg)

    def keep(self, kind: Literal["best", "good"], state: State) -> None:
        """Writes a checkpoint of its own kind; what was logged before is on disk first."""
        saved = state.state_dict()  # by all ranks, as they may share it
        if self.checkpoints is not None:
            self.log.flush()
            self.checkpoints.save_as(kind, saved, state.progress.nimg)

    def is_over(self, state: State) -> bool:
        """Whether the scores, which all ranks have, end the run."""
        return self.ending.reason(state.ending, state.metrics) is not None

    def is_due(self) -> bool:
        """Whether it is time for a checkpoint, by the clock; only the first rank has one to write."""
        return self.checkpoints is not None and time.monotonic() - self.saved >= self.checkpoint_seconds

    def end_round(self, state: State, *, saving: bool, stopping: bool) -> None:
        """Shows progress; checkpoints with `saving`, at the end of the run, or of this process (`stopping`)."""
        self.console.update(state.progress)
        done = state.progress.done
        if done or stopping or saving:
            self.checkpoint(state, "finished" if done else "stopped" if stopping else "running")

    def checkpoint(self, state: State, status: Status) -> None:
        """Writes a checkpoint and the status; what was logged before is on disk first."""
        saved = state.state_dict()
        if self.run_dir is None or self.checkpoints is None:
            return
        self.log.flush()
        self.checkpoints.save(saved, state.progress.nimg)
        self.status(state, status)
        self.saved = time.monotonic()

    def status(self, state: State, status: Status) -> None:
        """Writes status.json."""
        if self.run_dir is not None:
            record_status(self.run_dir, state, status, self.ending)

    def close(self) -> None:
        """Closes the log and gives the terminal back."""
        self.console.close()
        self.log.close()


def record_status(run_dir: Path, state: State, status: Status, ending: Ending) -> None:
    """Writes status.json: in what state the run is, how far it has come, and its scores."""
    progress = state.progress
    write_status(
        run_dir,
        state=status,
        error=None,
        progress={"nimg": progress.nimg, "rounds": progress.rounds, "total": progress.total},
        metrics={name: finite(value) for name, value in state.metrics.items()},
        margins={name: finite(value) for name, value in state.margins.items()},
        higher_is_better=list(ending.higher_is_better),
        best=state.best,
        machine={"gantool": __version__} | state.numerics() | {"device": name_of(state.precision.device)},
        parameters=state.parameters,
        watchdog={key: state.watch[key] for key in ("noticed", "rollbacks") if key in state.watch},
    )

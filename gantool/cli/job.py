"""What Hydra runs, once or for every job of a sweep: a command's function, with its failures told and recorded."""

import importlib
import logging
import shlex
import sys
import traceback
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from gantool import beside
from gantool.cli import folders
from gantool.config.options import CommandOptions, read_options
from gantool.config.wording import in_one_line
from gantool.errors import InUse, RankLost, out_of_memory
from gantool.folder import checkpoints_in, in_use
from gantool.launch import first_failure, is_first_rank
from gantool.logging.jsonl import read_metrics
from gantool.logging.status import NAME, read_status, write_status
from gantool.screen import shown
from gantool.sweeps.jobs import ELSEWHERE, digest, standing, told_place

_MOST = 20  # lines of one error
SHARED = ("train", "evaluate", "sample")  # commands whose work the ranks share; the others are the first one's
_SAME, _LOST = 1.0, 3.0  # seconds for another rank to tell of the same mistake, or of why it ended
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """A command's function as Hydra's task.

    Hydra never sees its exceptions: it would end a sweep at the first, and print more than the user needs. A single
    run that failed leaves with SystemExit(1); a job of a sweep returns NaN, so that the other jobs run. A SystemExit
    with 128 + signal ends the whole sweep.
    """

    command: str
    target: str  # module:function
    options: type[CommandOptions] | None  # what the function is given; None: the configuration as composed
    full_error: bool  # the user asked for tracebacks (HYDRA_FULL_ERROR=1)
    beside: str | None  # where the user's own classes lie: a launcher may run the job in another process

    def __call__(self, cfg: DictConfig) -> float | None:
        beside.look_in(self.beside)
        hydra = HydraConfig.get()
        in_sweep = hydra.mode == RunMode.MULTIRUN
        folder = Path(hydra.runtime.output_dir)
        before, tells, lost = status_time(folder), is_first_rank(), False
        job = f" {told_place(folder)[0] or folder.name}" if in_sweep else ""
        logging.raiseExceptions = False  # a line that cannot be printed is no reason for a traceback
        if in_sweep and self.command == "train":
            if state := standing(folder, digest(cfg)):  # by now
                log.info("%s: %s", folder.name, state)
                return next(iter(read_status(folder).get("metrics", {}).values()), None)
            if any(told := told_place(folder)) and is_first_rank():
                log.info("\n%s: %s", ", ".join(filter(None, told)), folder.name)
        try:
            module, name = self.target.split(":")
            argument = cfg if self.options is None else read_options(cfg, self.options)
            return getattr(importlib.import_module(module), name)(argument)
        except Exception as error:
            if in_sweep and isinstance(error, InUse):
                log.info("%s: %s", folder.name, ELSEWHERE)
                return None
            text, mine = self._tell(error, job, folder)
            tells, lost = (tells or mine) and not isinstance(error, InUse), isinstance(error, RankLost)
            if not in_sweep and out_of_memory(error) and not _got_anywhere(folder):
                folders.discard(folder)  # it never will
                raise SystemExit(1) from None
        except KeyboardInterrupt:
            record_interrupt(folder)
            raise
        except SystemExit as stop:
            if (isinstance(stop.code, int) and stop.code > 128) or _requeued(stop):
                if isinstance(error := stop.__cause__, Exception):  # it failed before the signal could end it
                    text, mine = self._tell(error, job, folder)
                    if mine:
                        record_failure(folder, text)
                    if in_sweep and "submitit" in str(hydra.launcher.get("_target_")):
                        return float("nan")  # the signal was for this job alone
                self._tell_stopped(folder)
                raise
            text = f"a part called exit({stop.code})"
            tell(self.command, text)
        came = in_sweep or status_time(folder) != before or lost  # not where a run that is there was refused
        if tells and came and not _is_anothers(folder):
            record_failure(folder, text)
        if in_sweep and not lost:
            return float("nan")
        raise SystemExit(1)

    def _tell_stopped(self, folder: Path) -> None:
        """After a signal: where the run is, and how to go on."""
        status = read_status(folder)
        if status.get("state") == "stopped" and is_first_rank():
            kimg = status["progress"]["nimg"] / 1000
            again = f"gantool {self.command} {shlex.quote(f'resume={folder}')}"
            with suppress(OSError):
                print(f"stopped at {kimg:g} kimg, checkpoint saved; go on: {again}", file=sys.stderr, flush=True)

    def _tell(self, error: Exception, job: str, folder: Path) -> tuple[str, bool]:
        line = None if self.full_error else in_one_line(error, in_job=True)
        text = line or f"{type(error).__name__}: {error}"
        # One rank tells: of a mistake that all make the first; of a rank that is lost what it said itself, if anything.
        patience = _LOST if isinstance(error, RankLost) else 0 if is_first_rank() else _SAME
        mine, first = first_failure(str(folder), text, patience=patience)
        if mine and line is None:
            frames = error.__traceback__
            traceback.print_exception(type(error), error, frames.tb_next if frames else None)  # ours, not Hydra's
        elif mine:
            tell(self.command + job, first)
        return first, mine


def _is_anothers(folder: Path) -> bool:
    """Whether another process trains in `folder`, so that what its status says is that one's to say. The first rank
    has let go of the folder by now; of the others it is who holds it."""
    return is_first_rank() and in_use(folder)


def _requeued(stop: SystemExit) -> bool:
    """Whether submitit's handler of signals raised it, before the run had its own or after."""
    frames = [frame for frame, _ in traceback.walk_tb(stop.__traceback__)]
    return str(frames[-1].f_globals.get("__name__")).partition(".")[0] == "submitit"


def tell(who: str, text: str) -> None:
    """Prints a user's mistakes, each on a line of its own."""
    lines = text.splitlines()
    more = [f"and {len(lines) - _MOST} more of this kind"] if len(lines) > _MOST else []
    for line in [*lines[:_MOST], *more]:
        print(f"gantool {who}: error: {shown(line)}", file=sys.stderr, flush=True)


def record_failure(folder: Path, error: str) -> None:
    """Notes a failure in `folder`/status.json, as far as the disk allows."""
    with suppress(OSError):
        write_status(folder, **{**read_status(folder), "state": "failed", "error": error})


def record_interrupt(folder: Path) -> None:
    """Notes in `folder`/status.json that it was stopped, before the first round: later the loop does."""
    if read_status(folder).get("state") == "running" and not _is_anothers(folder):
        write_status(folder, **{**read_status(folder), "state": "stopped"})


def _got_anywhere(folder: Path) -> bool:
    """Whether a run has something to show; its status.json is as old as its newest checkpoint by the clock."""
    if read_status(folder).get("progress", {}).get("nimg", 1) or checkpoints_in(folder):
        return True
    return any(line.get("nimg") for line in read_metrics(folder))


def status_time(folder: Path) -> int:
    """When the status in `folder` was written; 0 where there is none."""
    path = folder / NAME
    return path.stat().st_mtime_ns if path.exists() else 0

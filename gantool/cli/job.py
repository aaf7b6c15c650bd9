"""What Hydra runs, once or for every job of a sweep: a command's function, with its failures told and recorded."""

import importlib
import json
import os
import sys
import traceback
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from gantool.config.options import CommandOptions, read_options
from gantool.config.resolvers import register_resolvers
from gantool.config.wording import in_one_line
from gantool.files import write_whole
from gantool.launch import is_first_rank

register_resolvers()  # a sweep's other processes import no more of the command line than this


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

    def __call__(self, cfg: DictConfig) -> float | None:
        hydra = HydraConfig.get()
        in_sweep = hydra.mode == RunMode.MULTIRUN
        folder = Path(hydra.runtime.output_dir)
        before = _written(folder)
        try:
            module, name = self.target.split(":")
            argument = cfg if self.options is None else read_options(cfg, self.options)
            return getattr(importlib.import_module(module), name)(argument)
        except Exception as error:
            text = self._tell(error, f" job {hydra.job.num}" if in_sweep else "")
        except SystemExit as stop:
            if not in_sweep or not stop.code or (isinstance(stop.code, int) and stop.code > 128):
                raise
            text = f"left with exit code {stop.code}"
        if in_sweep or _written(folder) != before:  # not where a run that is there was refused to go on
            record_failure(folder, text)
        if in_sweep:
            return float("nan")
        raise SystemExit(1)

    def _tell(self, error: Exception, job: str) -> str:
        rank = "" if is_first_rank() else f" rank {os.environ['RANK']}"
        line = None if self.full_error else in_one_line(error, in_job=True)
        if line is None:
            frames = error.__traceback__
            traceback.print_exception(type(error), error, frames.tb_next if frames else None)  # ours, not Hydra's
        else:
            tell(self.command + job + rank, line)
        return line or f"{type(error).__name__}: {error}"


def tell(who: str, text: str) -> None:
    """Prints a user's mistakes, each on a line of its own."""
    for line in text.splitlines():
        print(f"gantool {who}: error: {line}", file=sys.stderr, flush=True)


def record_failure(folder: Path, error: str) -> None:
    """Notes a failure in `folder`/status.json, as far as the disk allows."""
    if not is_first_rank():
        return
    path = folder / "status.json"
    try:
        status = {**json.loads(path.read_text())}
    except (OSError, ValueError, TypeError, RecursionError):  # not there, or damaged
        status = {"progress": None, "metrics": {}, "best": None}
    with suppress(OSError):
        write_whole(path, json.dumps({**status, "state": "failed", "error": error}, indent=2))


def _written(folder: Path) -> int:
    """When the status in `folder` was written; 0 where there is none."""
    path = folder / "status.json"
    return path.stat().st_mtime_ns if path.exists() else 0

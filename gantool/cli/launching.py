"""What a sweeper does through Hydra: compose the configuration of a job, look for mistakes in it, and launch jobs."""

import logging
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict, read_write

from gantool import beside
from gantool.cli import folders
from gantool.config.trust import check_links
from gantool.errors import GantoolError
from gantool.launch import processes
from gantool.sweeps.jobs import is_sweep

if TYPE_CHECKING:
    from gantool.metrics.score import Score

_PATIENCE = 60.0  # seconds


class Launching:
    """`config`: what Hydra composed for the sweep as a whole. Raises GantoolError where what is written would
    follow a link that may be somebody else's."""

    def __init__(self, config: DictConfig, context: HydraContext, task: TaskFunction) -> None:
        self.config, self.context, self.task = config, context, task
        self.folder = Path(config.hydra.sweep.dir).absolute()
        folders.tell_begun(False)
        try:
            check_links(self.folder, "choose another hydra.sweep.dir", begun=is_sweep(self.folder))
        except GantoolError:
            folders.forget()  # no table of its jobs is written there either
            raise

    def parse(self, words: Sequence[str]) -> list[Override]:
        """The overrides with their values."""
        return OverridesParser.create(config_loader=self.context.config_loader).parse_overrides(list(words))

    def compose(self, words: Sequence[str]) -> DictConfig:
        """The configuration of a job, Hydra's own under `hydra`; raises what Hydra does."""
        whole = self.context.config_loader.load_sweep_config(self.config, list(words))
        HydraConfig.instance().set_config(whole)  # what ${hydra:...} looks into
        return whole

    def folder_name(self, whole: DictConfig, number: int) -> str:
        """What hydra.sweep.subdir calls the job with this number."""
        with read_write(whole.hydra), open_dict(whole.hydra):
            whole.hydra.job.num, whole.hydra.job.id = number, str(number)
        return str(whole.hydra.sweep.subdir)

    def launch(self, jobs: Sequence[Sequence[str]]) -> None:
        """Runs jobs, each by its overrides, and returns when all have ended."""
        config = self.config
        if isinstance(most := config.hydra.launcher.get("n_jobs"), int):  # joblib divides the cores by it
            cores = _cores()
            config = config.copy()
            with read_write(config.hydra):
                config.hydra.launcher.n_jobs = min(most if most > 0 else cores, len(jobs))
        folders.tell_begun(True)
        launcher = Plugins.instance().instantiate_launcher(self.context, self.task, config)
        with beside.kept_out():
            for job in launcher.launch(jobs, initial_job_idx=0):
                _ = job.return_value  # raises what the launcher met with

    def check(self, overrides: Sequence[Override], until: str = "ready") -> "Mapping[str, Score]":
        """The scores of a run with the first of all values, by name, as far as `look` comes. Raises GantoolError
        for what is wrong with every job, so that it is told once: the mistakes of that one that are there also without
        what varies."""
        mistakes, scores = self._look_at([first_of(one) for one in overrides], until)
        if mistakes:
            fixed = [str(one.input_line) for one in overrides if not one.is_sweep_override()]
            alone, scores = self._look_at(fixed, until)
            if both := [line for line in mistakes if line in alone]:
                raise GantoolError("\n".join(both))
        return scores

    def check_each(self, jobs: Mapping[str, DictConfig]) -> None:
        """Raises GantoolError with a line for each job, given by what varies and by what it composed, that its own
        settings rule out, before the first one is trained: of as many as are looked at in a minute.

        Jobs that are submitted find other devices and memory: only what needs neither is looked at.
        """
        if processes() > 1:  # each would look at another number of them
            return
        away, began, lines = "submitit" in str(self.config.hydra.launcher.get("_target_")), time.monotonic(), []
        for name, whole in jobs.items():
            if time.monotonic() - began > _PATIENCE:
                break
            HydraConfig.instance().set_config(whole)
            mistakes, _ = self.look(whole, until="read" if away else "foreseen")
            lines += [line if line.startswith(name) else f"{name}: {line}" for line in mistakes[:1]]
        if lines:
            fix = "leave these values out, or list valid combinations in several commands with one hydra.sweep.dir"
            first = f"nothing is trained, as {len(lines)} of {len(jobs)} jobs fail: {fix}"
            raise GantoolError("\n".join([first, *lines]))

    def _look_at(self, words: Sequence[str], until: str) -> "tuple[list[str], Mapping[str, Score]]":
        """What `look` tells of a run with these overrides."""
        try:
            return self.look(self.compose(words), until)
        except HydraException as error:
            return str(error).splitlines(), {}

    def look(self, whole: DictConfig, until: str) -> "tuple[list[str], Mapping[str, Score]]":
        """Lines about a run that composed `whole`, as far as they show before its first round; and its scores by name.
        `until`: once its settings are "read", all that shows before images are read is "foreseen", or it is "ready"."""
        from gantool.config import Written, drop_inherited, read
        from gantool.config.composed import without_hydra
        from gantool.runs.build import set_up
        from gantool.runs.fitting import assume_batch
        from gantool.runs.monitors import scorer_of
        from gantool.runs.ready import foresee, get_ready, settled
        from gantool.runs.transfer import check_source

        logging.disable()  # the job will tell
        try:
            cfg = without_hydra(whole)
            written = Written.of(whole.hydra)
            assume_batch(cfg)
            if until == "read":
                drop_inherited(cfg, written)
                read(cfg, written)
                return [], {}
            setup = settled(set_up(cfg, written), self.folder)
            check_source(setup, self.folder)
            if processes() > 1:
                return [], {}
            foreseen = foresee(setup, written, in_sweep=True)
            if until == "foreseen":
                return [], foreseen.measured or {}
            scorer = scorer_of(get_ready(setup, foreseen, written, time.monotonic(), in_sweep=True)[2])
            return [], scorer.scores if scorer else {}
        except (GantoolError, HydraException) as error:
            return str(error).splitlines(), {}
        finally:
            logging.disable(logging.NOTSET)


def _cores() -> int:
    """That this process may use; where the system does not say, all of the machine."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS, Windows
        return os.cpu_count() or 1


def first_of(override: Override) -> str:
    """The override with the first of its values."""
    if not override.is_sweep_override():
        return str(override.input_line)
    value = override.value()
    first = value.start if isinstance(value, IntervalSweep) else next(iter(override.sweep_string_iterator()))
    return f"{override.get_key_element()}={first}"

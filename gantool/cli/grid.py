"""hydra/sweeper=grid: every combination of the values, but for the jobs that are finished or that others are at."""

import logging
import time
from collections.abc import Sequence

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

from gantool.cli.launching import Launching
from gantool.errors import GantoolError
from gantool.files import check_writable
from gantool.runs.output import writing
from gantool.sweeps.jobs import check_varied, digest, enrol, find_job, place, standing

log = logging.getLogger(__name__)


def run_grid(launching: Launching, arguments: Sequence[str]) -> None:
    """Trains what is missing of all combinations, in their order, and goes on with what was killed.

    Raises GantoolError for what is wrong with every job, for what shows in the settings of one, and what Hydra raises
    for one that does not compose.
    """
    overrides = launching.parse(arguments)
    check_varied(overrides)
    if ranges := [str(one.input_line).lstrip("+") for one in overrides if one.is_interval_sweep()]:
        raise GantoolError(f"{ranges[0]}: a grid needs values; hydra/sweeper=study searches an interval")
    [combinations] = BasicSweeper.split_arguments(overrides, None)
    folder, done, jobs = launching.folder, [], {}
    wanted = [(words, whole, digest(whole)) for words in combinations for whole in [launching.compose(words)]]
    for words, whole, composed in wanted:
        known = find_job(folder, words, composed)
        if known and (state := standing(folder / known.name, composed)):
            done.append(f"{known.name}: {state}, kept")
        else:
            jobs[composed] = (words, whole)
    if jobs:
        check_writable(folder, "choose hydra.sweep.dir=FOLDER")
        launching.check(overrides, until="foreseen")
        varied = tuple(f"{one.get_key_element()}=" for one in overrides if one.is_sweep_override())
        names = (" ".join(word.lstrip("+") for word in words if word.startswith(varied)) for words, _ in jobs.values())
        launching.check_each(dict(zip(names, (whole for _, whole in jobs.values()), strict=True)))
        launching.check(overrides)
    with writing(folder, "make room or choose hydra.sweep.dir=FOLDER"):
        names = {
            composed: enrol(folder, words, composed, lambda number, whole=whole: launching.folder_name(whole, number))
            for composed, (words, whole) in jobs.items()
        }
    for line in done:
        log.info("%s", line)
    began = time.time()
    launching.launch(
        [
            [*words, f"hydra.sweep.subdir='{names[composed].name}'", place(number, len(jobs), began)]
            for number, (composed, (words, _)) in enumerate(jobs.items(), 1)
        ]
    )

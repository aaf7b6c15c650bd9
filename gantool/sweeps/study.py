"""A search among settings by Optuna: its journal in the sweep's folder, what its trials are told, and how they end.

Trials are shared by every process that is started on the same folder. A trial belongs to a process as long as that
holds the lock CLAIM in its folder, so that one whose process was killed is free for another.
"""

import logging
import math
import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from gantool.config.schema import StudyConfig
from gantool.errors import GantoolError, first_line, require
from gantool.files import write_whole
from gantool.folder import in_use
from gantool.lock import is_held
from gantool.monitors.scores import Scores
from gantool.sweeps.results import Result
from gantool.sweeps.space import ANOTHER, is_within
from gantool.sweeps.storage import JOURNAL, reached, refused, storage_of
from gantool.training.loop import Every
from gantool.training.recorder import Pruned

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

log = logging.getLogger(__name__)
CLAIM = ".claim"
SECONDS = "seconds"  # an objective that is no score
_STARTUP = 10  # trials that are drawn at random before the sampler learns
_told: set[str] = set()  # trials that are left alone, by this process


def open_study(
    folder: Path, url: str | None = None, objectives: Mapping[str, bool] | None = None, *, look: bool = False
) -> "optuna.Study":
    """The study of the sweep in `folder`, which lies in its journal or in the data base at `url`; made where there is
    none, with `objectives` (whether higher is better, by name). `look`: nothing is to be changed in it. Raises
    GantoolError where it cannot be had."""
    require("study", "optuna", what="hydra/sweeper=study")
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    try:
        with reached(folder, url):
            storage = storage_of(folder, url, look=look)
            # A journal has one study, whatever its folder is called by now.
            known = optuna.get_all_study_names(storage) if url is None else []
            name = known[0] if len(known) == 1 else folder.name
            if objectives is None:
                return optuna.load_study(study_name=name, storage=storage)
            kinds = optuna.study.StudyDirection
            directions = [kinds.MAXIMIZE if higher else kinds.MINIMIZE for higher in objectives.values()]
            study = optuna.create_study(study_name=name, storage=storage, directions=directions, load_if_exists=True)
            study.set_user_attr("objectives", list(objectives))
            return study
    except (ImportError, OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise refused(folder, url, error) from error


def exists(folder: Path, url: str | None) -> bool:
    """Whether the study has been made."""
    if url is None and not (folder / JOURNAL).exists():
        return False
    try:
        open_study(folder, url)
    except GantoolError as error:
        if isinstance(error.__cause__, KeyError):
            return False
        raise
    return True


def enqueue(study: "optuna.Study", combinations: Iterable[dict[str, Any]]) -> None:
    """Lets the trials that are next have these values, but for those that a trial has or had which did not fail."""
    sound = [trial for trial in study.get_trials(deepcopy=False) if trial.state.name != "FAIL"]
    there = [trial.params or trial.system_attrs.get("fixed_params") for trial in sound]
    for one in combinations:
        if one not in there:
            study.enqueue_trial(one)


def ask(folder: Path, config: StudyConfig, space: "dict[str, BaseDistribution]") -> "optuna.trial.Trial | None":
    """A new trial; None where there are as many as asked for (of a grid, those that failed are not counted: their
    combinations are queued again). One that is as a trial before it is told its end at once, and one that is as a trial
    that still runs is told that one's end, once it has ended.

    The sampler's random numbers are a function of study.seed and the number of trials begun.
    """
    import optuna
    from optuna.trial import TrialState

    from gantool.sweeps.cmaes import CmaEs

    study = open_study(folder, config.storage)
    trials = study.get_trials(deepcopy=False)
    for one in trials:
        if one.state == TrialState.RUNNING and "as" in one.user_attrs:
            like = next((other for other in trials if other.number == one.user_attrs["as"]), None)
            if like is not None and like.state.is_finished():
                study.tell(one.number, like.values if like.state == TrialState.COMPLETE else None, state=like.state)
    while True:
        before = study.get_trials(deepcopy=False)
        waiting = [trial for trial in before if trial.state == TrialState.WAITING]
        failed = sum(trial.state == TrialState.FAIL for trial in before) if config.sampler == "grid" else 0
        begun = len(before) - len(waiting) - failed
        if begun >= config.trials or (config.sampler == "grid" and not waiting):
            return None
        seed = hash((config.seed, begun)) % 2**32
        samplers: dict[str, Callable[[], optuna.samplers.BaseSampler]] = {
            "tpe": lambda seed=seed: optuna.samplers.TPESampler(seed=seed),
            "cmaes": lambda seed=seed: CmaEs(seed=seed, n_startup_trials=_STARTUP),
            "random": lambda seed=seed: optuna.samplers.RandomSampler(seed=seed),
        }
        study.sampler = samplers["random" if config.sampler == "grid" else config.sampler]()
        try:
            trial = study.ask(space)
        except (ValueError, TypeError) as error:  # of values that were queued by hand or by whoever made the folder
            raise GantoolError(f"the study in {folder} gives no next trial ({first_line(error)}): {ANOTHER}") from error
        if not is_within(trial.params, space):  # queued too: Optuna takes them as they are
            log.warning("trial %d is skipped: its values are not in the current search space", trial.number)
            study.tell(trial, state=TrialState.FAIL)
            continue
        trial.set_user_attr("sweep", _name_of(folder))
        same = {one.state: one for one in before if one.params == trial.params and "as" not in one.user_attrs}
        if (ended := same.get(TrialState.COMPLETE)) is not None:
            study.tell(trial, ended.values)
        elif TrialState.PRUNED in same:
            study.tell(trial, state=TrialState.PRUNED)
        elif (running := same.get(TrialState.RUNNING)) is not None:
            trial.set_user_attr("as", running.number)
        else:
            return trial


def left_behind(folder: Path, study: "optuna.Study", space: "dict[str, BaseDistribution]") -> "list[FrozenTrial]":
    """Trials of this folder that are told to run and that no process holds. Whoever made the folder may have written
    anything into the journal, and what a trial tells becomes the user's own words: one with other values than the
    `space` has, or with another name than a job's, is told of once and left alone."""
    from optuna.trial import TrialState

    def is_left(trial: "FrozenTrial") -> bool:
        job = folder / str(trial.user_attrs["job"])
        return not (is_held(job / CLAIM) or in_use(job))

    running = study.get_trials(deepcopy=False, states=[TrialState.RUNNING])
    own = [trial for trial in running if trial.user_attrs.get("sweep") == _name_of(folder)]
    begun = [trial for trial in own if "job" in trial.user_attrs]
    left = [trial for trial in begun if not _names_a_job(trial) or is_left(trial)]
    sound = [trial for trial in left if _names_a_job(trial) and is_within(trial.params, space)]
    for number in sorted({trial.number for trial in left} - {trial.number for trial in sound}):
        if (told := f"{folder} {number}") not in _told:
            _told.add(told)
            log.warning("trial %d is skipped: its values or its folder do not belong to this search", number)
    return sound


def _names_a_job(trial: "FrozenTrial") -> bool:
    """Whether its folder is called as cli.study calls them: it lies in the sweep's, and Hydra reads it as it is."""
    job = trial.user_attrs["job"]
    return isinstance(job, str) and re.fullmatch(rf"{trial.number}-[\w.+-]+", job) is not None


def _name_of(folder: Path) -> str:
    """What tells this folder from that of another machine, whose trials cannot be seen here."""
    path = folder / ".study.id"
    if not path.exists():
        write_whole(path, uuid4().hex)
    return path.read_text()


def objectives_of(study: "optuna.Study") -> list[str]:
    """The scores that the study looks at; raises GantoolError where its journal does not tell them."""
    names = study.user_attrs.get("objectives")
    if not isinstance(names, list) or len(names) != len(study.directions) or not all(isinstance(n, str) for n in names):
        raise GantoolError(f"the study {study.study_name} does not record its objectives: {ANOTHER}")
    return names


def tell(study: "optuna.Study", number: int, job: Path) -> None:
    """How the trial in the folder `job` has ended; one that was stopped goes on another time."""
    from optuna.trial import TrialState

    result = Result.read(job)
    if result.state in ("pruned", "failed", "not started"):
        study.tell(number, state=TrialState.PRUNED if result.state == "pruned" else TrialState.FAIL)
    elif result.state == "finished":
        seen = {**result.metrics, SECONDS: result.seconds}
        values = [seen.get(name, math.nan) for name in objectives_of(study)]
        sound = all(map(math.isfinite, values))
        study.tell(number, values if sound else None, state=None if sound else TrialState.FAIL)


def judge_of(
    config: StudyConfig | None, run_dir: Path, monitors: Sequence[Every], total: int
) -> Callable[[dict[str, float], int], None] | None:
    """What ends the run in `run_dir`, a trial, where its scores fall behind those of others; None where nothing does.

    The scores are compared by their number, so that trials of other batch sizes are alike.
    """
    interval = next((every.interval for every in monitors if isinstance(every.monitor, Scores)), 0)
    if config is None or config.trial is None or config.pruner == "none" or not interval:
        return None
    import optuna

    study, number = open_study(run_dir.parent, config.storage), config.trial
    names = objectives_of(study)
    if len(names) > 1 or names[0] == SECONDS:
        return None
    most = max(1, total // interval)
    pruners: dict[str, Callable[[], Any]] = {
        "median": lambda: optuna.pruners.MedianPruner(n_startup_trials=4),
        "hyperband": lambda: optuna.pruners.HyperbandPruner(min_resource=1, max_resource=most, reduction_factor=3),
    }
    study.pruner = pruners[config.pruner]()
    told = next(trial for trial in study.get_trials(deepcopy=False) if trial.number == number)
    trial = optuna.trial.Trial(study, told._trial_id)

    def judge(scores: dict[str, float], nimg: int) -> None:
        value, step = scores.get(names[0]), nimg // interval
        if value is None:
            return
        try:
            with reached(run_dir.parent, config.storage):
                if step not in told.intermediate_values:  # a trial that goes on scores once more what it had scored
                    trial.report(value, step)
                behind = trial.should_prune()
        except GantoolError as error:  # hours of training are not lost for it
            log.warning("%s; this trial goes on without pruning", error)
            return
        if behind:
            raise Pruned(f"{names[0]} {value:.4g} at {nimg / 1000:g} kimg is behind the other trials at that point")

    return judge


def draw(folder: Path, study: "optuna.Study") -> list[Path]:
    """Pictures of what the study has found so far, in `folder`."""
    from gantool.analysis.draw_study import draw_study

    return draw_study(study, objectives_of(study), folder)

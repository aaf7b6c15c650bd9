"""hydra/sweeper=study: the trials of a search, launched as jobs of a sweep by one process or by several."""

import logging
import math
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.types import Override

from gantool.cli import folders
from gantool.cli.launching import Launching, first_of
from gantool.config import Written, read
from gantool.config.composed import without_hydra
from gantool.config.resolvers import file_name
from gantool.config.schema import StudyConfig
from gantool.errors import GantoolError, did_you_mean, require
from gantool.launch import processes
from gantool.lock import locked
from gantool.runs.output import writing
from gantool.schedules import parse_seconds
from gantool.sweeps.jobs import Enrolled, check_varied, digest, enrol_as, place, spelled
from gantool.sweeps.space import ANOTHER, as_begun, combinations, space_of
from gantool.sweeps.storage import alone, reached

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Trial:
    """One that this process has claimed."""

    number: int
    params: dict[str, Any]
    job: Path  # its folder


@dataclass(frozen=True)
class Search:
    """What the user asked for."""

    launching: Launching
    config: StudyConfig
    space: "dict[str, BaseDistribution]"
    fixed: list[str]  # overrides of every trial
    plus: dict[str, str]  # by key of the space, how it is typed: ++optimizer.lr
    began: float  # Unix seconds

    @property
    def folder(self) -> Path:
        """The sweep's."""
        return self.launching.folder


def run_study(launching: Launching, arguments: Sequence[str]) -> None:
    """Launches trials until there are study.trials of them, those of other processes among them, and draws what was
    found. Raises GantoolError for what is wrong with every trial, before the first."""
    if processes() > 1:
        raise GantoolError("hydra/sweeper=study trains each trial in one process: leave torchrun out, start it twice")
    overrides = launching.parse(arguments)
    varied = [one for one in overrides if one.is_sweep_override()]
    if not varied:
        raise GantoolError("hydra/sweeper=study has nothing to search: give several values or an interval")
    check_varied(overrides)
    fixed = [str(one.input_line) for one in overrides if not one.is_sweep_override()]
    whole = launching.compose([first_of(one) for one in overrides])
    cfg = without_hydra(whole)
    from gantool.runs.fitting import assume_batch  # torch waits until it is known what is asked

    assume_batch(cfg)  # each trial finds its own
    config = read(cfg, Written.of(whole.hydra)).study
    assert config is not None, "the sweeper's file brings it"
    _check_idle(config, {one.key_or_group for one in overrides})
    if cfg.trainer.dry_run:
        raise GantoolError("trainer.dry_run=true trains nothing, so there is nothing to search by: leave -m out")
    if cfg.trainer.time_limit:  # it stops one, which the search then goes on with, for ever
        fix = "take study.time_limit for the search, trainer.duration for a trial"
        raise GantoolError(f"trainer.time_limit={cfg.trainer.time_limit} stops a trial but does not end it: {fix}")
    from gantool.sweeps.study import draw, objectives_of, tell

    drawn = ("matplotlib", "sklearn")  # at the end
    require("study", "optuna", *drawn, *(["cmaes"] if config.sampler == "cmaes" else []), what="hydra/sweeper=study")
    plus = {one.get_key_element().lstrip("+"): one.get_key_element() for one in varied}
    search = Search(launching, config, space_of(varied), fixed, plus, time.time())
    with (
        writing(search.folder, "make room or choose hydra.sweep.dir=FOLDER"),
        reached(search.folder, config.storage),
    ):
        study, search = _opened(search, overrides)
        names = objectives_of(study)
        folders.rank_by(names[0])
        limit = parse_seconds(config.time_limit, key="study.time_limit") if config.time_limit else math.inf
        while time.time() - search.began < limit:
            with _claimed(search) as trials:
                if not trials:
                    break
                launching.launch([_words(search, trial) for trial in trials])
                for trial in trials:
                    tell(study, trial.number, trial.job)
        counted = Counter(trial.state.name.lower() for trial in study.get_trials(deepcopy=False))
        trials = "1 trial" if counted.total() == 1 else f"{counted.total()} trials"
        log.info("\n%s: %s", trials, ", ".join(f"{num} {state}" for state, num in counted.items()))
        if (failed := counted["fail"]) and config.sampler != "grid":
            log.info("trials that failed are not tried again: study.trials=%d adds as many", config.trials + failed)
        if len(names) > 1:
            for trial in study.best_trials:
                values = ", ".join(f"{name} {value:.4g}" for name, value in zip(names, trial.values, strict=True))
                log.info("Pareto front: trial %d, %s", trial.number, values)
        for path in draw(search.folder, study):
            log.info("%s", path)


def _opened(search: Search, overrides: Sequence[Override]) -> "tuple[optuna.Study, Search]":
    """The study, made where there is none, and the search with its values in the order in which it began; raises
    GantoolError where it is another study than is asked for now."""
    from gantool.sweeps.study import enqueue, exists, objectives_of, open_study

    folder, config, common = search.folder, search.config, list(spelled(search.fixed))
    asked = [config.objective] if isinstance(config.objective, str) else config.objective
    queued = combinations(search.space) if config.sampler == "grid" else ()
    study = open_study(folder, config.storage) if exists(folder, config.storage) else None
    if study is None or _left(study, config) > 0:
        for until in ("foreseen", "ready"):  # what can be told before images are read comes first
            measured = search.launching.check(overrides, until)
            known = {**{name: score.higher_is_better for name, score in measured.items()}, "seconds": False}
            if measured or until == "ready":
                _check_objective(asked, known)
        if study is None:
            folder.mkdir(parents=True, exist_ok=True)
            with alone(folder, config.storage):
                study = open_study(
                    folder, config.storage, objectives={name: known[name] for name in asked or list(measured)[:1]}
                )
                study.set_user_attr("fixed", common)
    space = as_begun(study, search.space)
    with alone(folder, config.storage):
        enqueue(study, islice(queued, config.trials))
    if asked and asked != objectives_of(study):
        raise GantoolError(
            f"study.objective: the study in {folder} optimises {', '.join(objectives_of(study))}; {ANOTHER}"
        )
    fixed = study.user_attrs.get("fixed")
    if differs := sorted({*map(str, fixed if isinstance(fixed, list) else [])} ^ set(common)):
        raise GantoolError(f"the trials of the study in {folder} have other settings ({', '.join(differs)}): {ANOTHER}")
    return study, replace(search, space=space)


def _check_objective(asked: Sequence[str] | None, known: Mapping[str, bool]) -> None:
    """Raises GantoolError where a run cannot be judged by what is `asked`; `known`: what it can be judged by."""
    for name in asked or ():
        if name not in known:
            near = did_you_mean(name, known)
            raise GantoolError(f"study.objective={name}{near}: this run can be judged by {', '.join(known)}")
    if not asked and len(known) == 1:
        raise GantoolError("study.objective: there is no score to go by; add score=fd, or say study.objective=seconds")


def _check_idle(config: StudyConfig, typed: set[str]) -> None:
    """Raises GantoolError for keys that change nothing of this search."""
    asked = [config.objective] if isinstance(config.objective, str) else config.objective or []
    if "study.pruner" in typed and config.pruner != "none" and (len(asked) > 1 or asked == ["seconds"]):
        why = f"study.objective={asked[0]} is no score" if len(asked) == 1 else "there are several objectives"
        raise GantoolError(f"study.pruner={config.pruner} has nothing to go by, as {why}: leave it out")
    if "study.seed" in typed and config.sampler == "grid":
        raise GantoolError(f"study.seed={config.seed}: study.sampler=grid draws nothing at random: leave it out")


def _left(study: "optuna.Study", config: StudyConfig) -> int:
    """Trials that are not begun, or not ended."""
    states = [trial.state.name for trial in study.get_trials(deepcopy=False)]
    return config.trials - len([state for state in states if state not in ("WAITING", "RUNNING")])


@contextmanager
def _claimed(search: Search) -> Iterator[list[Trial]]:
    """At most study.at_once trials that are this process's until the block ends: those that others have left, or else
    new ones. [] where there is nothing left to do."""
    from gantool.sweeps.study import CLAIM, ask, left_behind, open_study

    folder, config = search.folder, search.config
    with ExitStack() as claims:
        with alone(folder, config.storage):
            study = open_study(folder, config.storage)
            found = left_behind(folder, study, search.space)[: config.at_once]
            for number in [trial.number for trial in found]:
                log.info("the process of trial %d is gone: continuing the trial", number)
            trials = [Trial(one.number, one.params, folder / one.user_attrs["job"]) for one in found]
            while not found and len(trials) < config.at_once:
                if (asked := ask(folder, config, search.space)) is None:
                    break
                name = f"{asked.number}-{file_name(','.join(_short(*param) for param in sorted(asked.params.items())))}"
                asked.set_user_attr("job", name)
                trials.append(Trial(asked.number, asked.params, folder / name))
            for trial in trials:
                claims.enter_context(locked(trial.job / CLAIM))
        yield trials


def _short(key: str, value: object) -> str:
    return f"{key}={value:.4g}" if isinstance(value, float) else f"{key}={value}"


def _words(search: Search, trial: Trial) -> list[str]:
    """The overrides of a trial, which is enrolled as a job of the sweep."""
    words = [
        *search.fixed,
        *(f"{search.plus[key]}={value}" for key, value in trial.params.items()),
        f"study.trial={trial.number}",
    ]
    job = Enrolled(trial.job.name, spelled(words), digest(search.launching.compose(words)))
    enrol_as(search.folder, job)
    return [
        *words,
        f"hydra.sweep.subdir='{trial.job.name}'",
        # A grid retries what failed, beyond study.trials.
        place(trial.number + 1, max(trial.number + 1, search.config.trials), search.began),
    ]

"""What a run needs before its first round, from a configuration that was set up."""

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from gantool.config import Written
from gantool.data.cache import prepare
from gantool.data.stream import Stream
from gantool.errors import GantoolError, did_you_mean
from gantool.metrics.features import Features
from gantool.metrics.score import Score
from gantool.ranks import from_first, rank
from gantool.runs.build import Setup, build_state, build_stream, check_batches
from gantool.runs.features import build_scores
from gantool.runs.monitors import (
    build_ending,
    build_monitors,
    build_trackers,
    features_for_scores,
    foresee_monitors,
    scorer_of,
    settle_features,
)
from gantool.runs.resuming import check_changes, record_of
from gantool.training.ending import Ending
from gantool.training.loop import Every
from gantool.training.state import State

log = logging.getLogger(__name__)


def settled(setup: Setup, run_dir: Path) -> Setup:
    """The same with its features chosen, by the first rank for all; raises GantoolError for what the run that is in
    `run_dir` cannot follow."""
    setup = settle_features(setup, run_dir)
    from_first(lambda: check_changes(setup.cfg, run_dir))
    return setup


@dataclass(frozen=True)
class Foreseen:
    """What is built of a run before its images are read, which of a large data set takes hours."""

    features: Features | None  # not prepared yet
    scores: dict[str, Score]  # by kind, for whichever monitor measures them
    measured: dict[str, Score] | None  # by name; None: a monitor of the user's decides


def foresee(setup: Setup, written: Written, *, in_sweep: bool) -> Foreseen:
    """Raises GantoolError for all mistakes that show without images."""
    build_trackers(setup)  # for its mistakes
    check_batches(setup)
    features = features_for_scores(setup)
    scores = {} if features is None else build_scores(setup.config.score)
    measured = foresee_monitors(setup, features, scores, written)
    if measured is not None:
        check_names(setup, measured, written, in_sweep=in_sweep)
    return Foreseen(features, scores, measured)


def get_ready(
    setup: Setup, foreseen: Foreseen, written: Written, started: float, *, in_sweep: bool
) -> tuple[State, Stream, list[Every], Ending]:
    """State, images, monitors, and what ends the run; `started` as for build_ending.

    Raises GantoolError for the mistakes that show now; nothing is written but what is prepared of the data.
    """
    image_set = prepare(setup.source, on_bad_image=setup.config.dataset.on_bad_image, progress=rank() == 0)
    if foreseen.features is not None:
        foreseen.features.prepare()
    data = build_stream(setup, image_set)
    state = build_state(setup, len(image_set.images))
    state.data = record_of(image_set)
    asked = rank() == 0 and written.has("trainer.ema_half_life")
    if asked and not state.ema.reaches_half_life(state.progress.total):
        log.warning(
            "trainer.ema_half_life=%s is not reached: it ramps up with the images seen, to %g kimg at the end; a "
            "schedule, such as {_target_: gantool.schedules.Delayed, value: 10kimg, start: 0}, has no ramp",
            setup.config.trainer.ema_half_life,
            state.progress.total / 20_000,
        )
    monitors = build_monitors(setup, data, image_set, foreseen.features, foreseen.scores, written)
    scorer = scorer_of(monitors)
    measured = scorer.scores if scorer else {}
    if foreseen.measured is None:
        check_names(setup, measured, written, in_sweep=in_sweep)
    return state, data, monitors, build_ending(setup, measured, started)


def check_names(setup: Setup, measured: Mapping[str, Score], written: Written, *, in_sweep: bool) -> None:
    """Raises GantoolError for a score that the run is to end or be ranked by, and that is not measured."""
    build_ending(setup, measured, 0)
    if in_sweep or "sweep_metric" in written.typed:
        check_sweep_metric(setup.config.sweep_metric, measured, in_sweep=in_sweep)


def check_sweep_metric(metric: str | None, scores: Collection[str], *, in_sweep: bool) -> None:
    """Raises GantoolError where there is no sweep to rank, or no such score."""
    if metric is None:
        return
    if not in_sweep:
        raise GantoolError(f"sweep_metric={metric} ranks the jobs of a sweep: add -m, or leave it out")
    if metric not in scores:
        listed = ", ".join(scores) or "none"
        raise GantoolError(f"sweep_metric={metric}{did_you_mean(metric, scores)}: the scores of this run are {listed}")

"""What looks at a run while it trains, built from the groups monitor=, score= and features=."""

import inspect
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from omegaconf import open_dict

from gantool.config import Written, build
from gantool.config.composed import target_of
from gantool.config.parts import find, parameters
from gantool.data.fixed import fixed_images
from gantool.data.image_set import ImageSet
from gantool.data.stream import Stream
from gantool.errors import DoesNotApply, GantoolError, did_you_mean, require
from gantool.logging.record import Record
from gantool.logging.tracker import Tracker
from gantool.metrics.features import Features
from gantool.metrics.score import Score
from gantool.metrics.scorer import Scorer
from gantool.monitors.scores import NUM, Scores, foreseen
from gantool.ranks import from_first, rank
from gantool.runs.build import Setup
from gantool.runs.features import build_features, build_scores, choose
from gantool.sampling import check_standing
from gantool.schedules import parse_seconds
from gantool.training.ending import Ending
from gantool.training.loop import Every
from gantool.training.measurements import Measurements
from gantool.training.recorder import Recorder
from gantool.training.rescue import Rescue
from gantool.training.state import State
from gantool.training.watchdog import Watchdog

_IMAGES = frozenset({"fixed", "image_set"})  # what monitors are handed that is only there once images are read


def settle_features(setup: Setup, run_dir: Path) -> Setup:
    """With features=auto decided, if there is a score, in both configurations: all that is done with the run keeps to
    it. A run that goes on keeps what it began with."""
    if not _looks(setup):
        return setup
    chosen = from_first(lambda: dict(choose(setup.config.features, target_of(run_dir, "features"))))
    with open_dict(setup.cfg):
        setup.cfg.features = chosen
    return replace(setup, config=setup.config.model_copy(update={"features": chosen}))


def _looks(setup: Setup) -> bool:
    return bool(setup.config.score and setup.config.monitor)


def features_for_scores(setup: Setup) -> Features | None:
    """What scores look with; None where there is no score. Raises GantoolError where it cannot be had."""
    if not _looks(setup):
        return None
    build_scores(setup.config.score)  # for its mistakes, before a classifier is trained
    return build_features(setup.config.features, {"source": setup.source, "device": str(setup.device)})


def scores_to_come(setup: Setup, features: Features | None) -> dict[str, Score]:
    """The scores that are measured while the run trains, by their names. Raises GantoolError for what is wrong with
    them, as far as it shows before images are read."""
    if features is None:
        return {}
    scores, found = build_scores(setup.config.score), {}
    for name, monitor in setup.config.monitor.items():
        kind = find(monitor.target, f"monitor.{name}")
        if inspect.isclass(kind) and issubclass(kind, Scores):
            check_standing(setup.game, monitor.rest.get("standing_statistics", 0))
            num = monitor.rest.get("num", NUM)
            found = foreseen(features, scores, setup.source, num, setup.config.num_classes)
    return found


@dataclass(frozen=True)
class Monitors:
    """The chosen monitors, by name: those that look at no images of the data set first, so that what is wrong with them
    shows before images are read.

    They are handed, by the names of their parameters: fixed (`fixed(count)` real images, always the same; with
    `classes=n` so many of each), image_set, source, num_classes, class_names, game, device, and where there is a score
    features and scores. One that has nothing to do in this run is left out; where the user chose it, GantoolError.
    """

    setup: Setup
    features: Features | None
    written: Written
    built: dict[str, Callable[..., Record]] = field(default_factory=dict)

    def build(self, **images: object) -> None:
        """Adds those that can be built with these images, handed by name."""
        setup = self.setup
        handed: dict[str, object] = {
            "source": setup.source,
            "num_classes": setup.config.num_classes,
            "class_names": list(setup.source.class_names),
            "game": setup.game,
            "device": setup.device,
            **images,
        }
        if self.features is not None:
            handed |= {"features": self.features, "scores": build_scores(setup.config.score)}
        for name, monitor in setup.config.monitor.items():
            path = f"monitor.{name}"
            lacking = parameters(find(monitor.target, path)).keys() & {"features", "scores", *_IMAGES} - handed.keys()
            if name in self.built:
                continue
            try:
                if lacking - _IMAGES:
                    text = f"monitor.{name} looks at scores, and there is none: add score=fd, or leave it out"
                    raise DoesNotApply(text)
                if lacking:
                    continue
                self.built[name] = build(monitor.rest, path, handed, kind=Callable[..., Record])
            except DoesNotApply:
                if "monitor" in self.written.typed or any(key.startswith(f"{path}.") for key in self.written.typed):
                    raise

    def all(self, data: Stream, image_set: ImageSet) -> list[Every]:
        """Every one, in the order of the configuration; on other ranks than the first those that all ranks share the
        work of: the scores."""
        self.build(fixed=data.fixed, image_set=image_set.test or image_set)
        found = []
        for name, monitor in self.setup.config.monitor.items():
            if name in self.built and (not rank() or isinstance(self.built[name], Scores)):
                interval = self.setup.images(monitor.every, f"monitor.{name}.every", images_per_epoch=data.num_images)
                found.append(Every(interval, self.built[name], monitor.at_start))
        return found


def scores_of(monitors: Sequence[Every]) -> Scores | None:
    """The monitor of the scores, if they were chosen."""
    return next((every.monitor for every in monitors if isinstance(every.monitor, Scores)), None)


def scorer_of(monitors: Sequence[Every]) -> Scorer | None:
    """What measures them."""
    scores = scores_of(monitors)
    return scores.scorer if scores else None


def build_trackers(setup: Setup, scores: Iterable[str] = ()) -> dict[str, Callable[..., Tracker]]:
    """What makes the chosen trackers, by name, handed the tags of the scores as `metrics` where their signature has it;
    raises GantoolError where a package is missing or one is no tracker."""
    handed = {"metrics": [f"metrics/{name}" for name in scores]}
    made: dict[str, Callable[..., Tracker]] = {}
    for name, node in setup.config.logger.items():
        target = find(node["_target_"], f"logger.{name}")
        if not (inspect.isclass(target) and issubclass(target, Tracker)):
            raise GantoolError(
                f"logger.{name}: {node['_target_']} does not derive from gantool.logging.tracker.Tracker"
            )
        if given := sorted({"run_dir", "first", "hparams", "config_text", "metrics"} & node.keys()):
            raise GantoolError(f"logger.{name}.{given[0]} is set by gantool: leave it out")
        if target.needs:
            require(target.needs, target.needs, what=f"logger={name}")
        made[name] = build({**node, "_partial_": True}, f"logger.{name}", handed)
    return made


def build_measurements(setup: Setup, state: State, num_images: int) -> Measurements:
    """What the loop measures of itself."""
    every = setup.images(setup.config.trainer.log_every, "trainer.log_every", images_per_epoch=num_images)
    return Measurements(
        state.optimizers, every, state.measured, nimg=state.progress.nimg, scaler=state.precision.scaler
    )


def build_watchdog(
    setup: Setup, rescue: Rescue, data: Stream, measurements: Measurements, recorder: Recorder
) -> list[Every]:
    """What tells that the run goes wrong; it remembers in the state. Empty where it is off."""
    settings = setup.config.trainer.watchdog
    if settings.action == "off":
        return []
    watchdog = Watchdog(
        fixed_images(data.fixed, setup.config.shown_classes),
        measurements,
        rescue.state.watch,
        by_class=setup.config.shown_classes > 0,
        **settings.model_dump(include={"patience", "diversity", "explosion"}),
        act=rescue.act,
        keep=partial(rescue.keep, recorder),
    )
    every = setup.images(settings.every, "trainer.watchdog.every", images_per_epoch=data.num_images)
    return [Every(every, watchdog, end_look=watchdog.end_look)]


def build_ending(setup: Setup, scores: Mapping[str, Score], started: float) -> Ending:
    """What ends the run early, by its scores among others; `started` is when its process began with it, by
    time.monotonic().

    Raises GantoolError for one that is not measured.
    """
    trainer, names = setup.config.trainer, list(scores)
    stop, target = trainer.stop, trainer.target or {}
    asked = {f"trainer.target.{name}": name for name in target}
    if stop is not None:
        asked |= {"trainer.stop": "score"} if stop.metric is None else {"trainer.stop.metric": stop.metric}
    for key, name in asked.items():
        if name not in names and (key != "trainer.stop" or not names):
            known = f"its scores are {', '.join(names)}" if names else "this run is not scored: add score=fd"
            raise GantoolError(f"{key}: no score {name!r}{did_you_mean(name, names)}; {known}")
    limit = parse_seconds(trainer.time_limit, key="trainer.time_limit") if trainer.time_limit else math.inf
    return Ending(
        metric=(stop.metric or next(iter(names), None)) if stop else None,
        patience=stop.patience if stop else None,
        target=target,
        higher_is_better=[name for name, score in scores.items() if score.higher_is_better],
        deadline=started + limit,
    )

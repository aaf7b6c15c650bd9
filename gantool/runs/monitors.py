"""What looks at a run while it trains, built from the groups monitor=, score= and features=."""

import inspect
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
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
from gantool.monitors.codes import CodeAgreement, LabelAgreement, check_code_agreement, check_label_agreement
from gantool.monitors.scores import NUM, Scores, foreseen
from gantool.ranks import from_first, rank
from gantool.runs.build import Setup
from gantool.runs.features import build_features, choose
from gantool.sampling import check_standing
from gantool.schedules import parse_seconds
from gantool.training.ending import Ending
from gantool.training.loop import Every
from gantool.training.measurements import Measurements
from gantool.training.recorder import Recorder
from gantool.training.rescue import Rescue
from gantool.training.state import State
from gantool.training.watchdog import Watchdog


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
    """What scores look with, not prepared yet; None without scores. Raises GantoolError where it cannot be had."""
    if not _looks(setup):
        return None
    handed = {"source": setup.source, "device": str(setup.device)}
    return build_features(setup.config.features, handed, prepared=False)


def foresee_monitors(
    setup: Setup, features: Features | None, scores: Mapping[str, Score], written: Written
) -> dict[str, Score] | None:
    """The scores that will be measured, of those by kind, by name; None where a monitor of the user's decides that.
    Raises GantoolError for what is wrong with gantool's own monitors, as far as it shows before images are read."""
    found: dict[str, Score] = {}
    own = True
    for name, monitor in setup.config.monitor.items():
        kind = find(monitor.target, f"monitor.{name}")
        takes = parameters(kind).keys() & {"features", "scores"}
        with _applies(name, written):
            if takes and features is None:
                raise DoesNotApply(f"monitor.{name} looks at scores, and there is none: add score=fd, or leave it out")
            elif features is None:
                continue
            elif kind is Scores:
                check_standing(setup.game, monitor.rest.get("standing_statistics", 0))
                num = monitor.rest.get("num", NUM)
                found = foreseen(features, scores, setup.source, num, setup.config.num_classes)
            elif kind is LabelAgreement:
                check_label_agreement(features, setup.source, setup.config.num_classes)
            elif kind is CodeAgreement:
                check_code_agreement(features, setup.source, setup.game, setup.config.num_classes)
            elif takes or not inspect.isclass(kind):
                own = False
    return found if own else None


@contextmanager
def _applies(name: str, written: Written) -> Iterator[None]:
    """Leaves a monitor out that has nothing to do in this run; where the user chose it, GantoolError."""
    try:
        yield
    except DoesNotApply:
        if "monitor" in written.typed or any(key.startswith(f"monitor.{name}.") for key in written.typed):
            raise


def build_monitors(
    setup: Setup,
    data: Stream,
    image_set: ImageSet,
    features: Features | None,
    scores: Mapping[str, Score],
    written: Written,
) -> list[Every]:
    """The chosen monitors; on other ranks than the first those that all ranks share the work of: the scores.

    They are handed, by the names of their parameters: fixed (`fixed(count)` real images, always the same; with
    `classes=n` so many of each), image_set, num_classes, class_names, game, device, and where there is a score features
    and scores. One that has nothing to do in this run is left out; where the user chose it, GantoolError.
    """
    handed: dict[str, object] = {
        "fixed": data.fixed,
        "image_set": image_set.test or image_set,
        "num_classes": setup.config.num_classes,
        "class_names": image_set.class_names,
        "game": setup.game,
        "device": setup.device,
    }
    if features is not None:
        handed |= {"features": features, "scores": scores}
    built: list[Every] = []
    for name, monitor in setup.config.monitor.items():
        path = f"monitor.{name}"
        if features is None and parameters(find(monitor.target, path)).keys() & {"features", "scores"}:
            continue  # foresee_monitors told it
        with _applies(name, written):
            part = build(monitor.rest, path, handed, kind=Callable[..., Record])
            if rank() and not isinstance(part, Scores):
                continue
            interval = setup.images(monitor.every, f"{path}.every", images_per_epoch=data.num_images)
            built.append(Every(interval, part, monitor.at_start))
    return built


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
    """What ends the run early, its scores among others; `started` is when its process began with it, by
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

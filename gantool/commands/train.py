"""gantool train: builds what the configuration says, trains it, and leaves a run folder."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from gantool.cli.arguments import is_first_rank
from gantool.commands.build import (
    Setup,
    compile_networks,
    make,
    make_measurements,
    make_monitors,
    make_rescue,
    make_state,
    make_stream,
    make_watchdog,
    set_up,
)
from gantool.config import changes, choices, save_composed
from gantool.data.cache import prepare
from gantool.data.image_set import ImageSet
from gantool.data.stream import Stream
from gantool.errors import GantoolError
from gantool.lock import locked
from gantool.logging.console import Console
from gantool.logging.log import Log
from gantool.metrics.features import Features
from gantool.metrics.scorer import Scorer
from gantool.monitors.codes import CodeAgreement, LabelAgreement
from gantool.monitors.monitor import Monitor
from gantool.monitors.scores import Scores
from gantool.monitors.summary import summary
from gantool.training.checkpoint import Checkpoints
from gantool.training.loop import Settings
from gantool.training.loop import train as play
from gantool.training.measurements import Breakdown
from gantool.training.ranks import process_group, rank, world
from gantool.training.recorder import Recorder
from gantool.training.state import State

log = logging.getLogger(__name__)

# A checkpoint holds the tensors of exactly these; everything else may change when a run goes on.
FIXED = ("model._target_", "model.conditional", "model.latent", "model.generator", "model.discriminator")
FIXED += (
    "model.auxiliaries",
    "augment._target_",
    "model.pool_size",
    "dataset.direction",
    "dataset.resolution",
    "dataset.channels",
    "dataset.num_classes",
)
FIXED += ("optimizer.generator._target_", "optimizer.discriminator._target_")


def train(cfg: DictConfig) -> float | None:
    """Trains a GAN and returns its last score, for sweeps.

    Raises GantoolError for the user's mistakes, before anything is written wherever they can be seen that early, and
    SystemExit(128 + signal) when a signal stopped the run after a checkpoint.
    """
    run_dir = Path(HydraConfig.get().runtime.output_dir)
    setup = set_up(cfg)
    check_changes(setup.cfg, run_dir)
    metrics = setup.plain["metrics"]
    scored = metrics["features"] and metrics["every"] and is_first_rank()
    features = make(metrics["features"]) if scored else None
    with process_group(setup.device):
        image_set = prepare(setup.source, on_bad_image=setup.plain["dataset"]["on_bad_image"], progress=rank() == 0)
        data = make_stream(setup, image_set)
        state = make_state(setup, len(image_set.images))
        scorer = None
        if features is not None:
            scorer = make_scorer(setup, features, image_set)
        with _sole_user(run_dir):
            _run(setup, run_dir, state, data, scorer)
    return next(iter(state.metrics.values()), None)


def make_scorer(setup: Setup, features: Features, image_set: ImageSet) -> Scorer:
    """What scores samples against the images that are trained on; of a game that translates, translations of the test
    part's sources against its images, where there is a test part."""
    metrics, seed = setup.plain["metrics"], setup.plain["trainer"]["seed"]
    shown, num_samples = image_set.test or image_set, metrics["num_samples"]
    if shown.source is not None:
        num_samples = min(num_samples, len(shown.source))
    counts = {"num_samples": num_samples, "batch_size": metrics["batch_size"]}
    return Scorer(features, shown, **counts, seed=seed, device=setup.device)


def check_changes(cfg: DictConfig, run_dir: Path) -> None:
    """Tells what `cfg` changes in a run that goes on; raises GantoolError for what its networks cannot follow."""
    if not any((run_dir / "checkpoints").glob("*.pt")):
        return
    changed = changes(cfg, run_dir)
    if refused := [key for key in changed if key.startswith(FIXED)]:
        raise GantoolError(
            f"{run_dir} was trained with other networks: {', '.join(map(str, refused))} cannot change; "
            "leave them out, or start a new run in another hydra.run.dir"
        )
    for key, (before, now) in changed.items():
        log.info("changed: %s %s -> %s", key, before, now)


def _run(setup: Setup, run_dir: Path, state: State, data: Stream, scorer: Scorer | None) -> None:
    """Resumes where there is a checkpoint, trains, and says where to look."""
    trainer, first = setup.plain["trainer"], rank() == 0
    checkpoints = Checkpoints(run_dir, trainer["keep_checkpoints"])
    saved = checkpoints.load_newest()
    best_metric = scorer.features.score_names[0] if scorer else None
    if saved is not None:
        state.load_state_dict(saved)
        _tell_numerics(saved["numerics"], state.numerics())
        if state.best.get("metric") != best_metric:
            state.best, state.metrics = {}, {}
    progress = state.progress
    if progress.done:
        log.info("%s is finished: trainer.duration=... above %g kimg goes on", run_dir, progress.nimg / 1000)
        return
    grid, histograms = make_monitors(setup, data)
    chosen: dict[str, str] = {}
    if first:
        save_composed(setup.cfg, run_dir)
        chosen = choices(run_dir)
        log.info("%s", _headline(setup, run_dir, data.num_images, progress.nimg))
        if saved is None:
            log.info("\n%s\n", summary(state.game, data.fixed(2), loss_name=chosen.get("loss", "")))
    if trainer["compile"]:
        compile_networks(state.game)
    monitors: list[Monitor] = [grid, histograms] if first else []
    if scorer is not None:
        every = setup.duration("metrics.every", images_per_epoch=data.num_images)
        monitors.append(Scores(scorer, every))
        if scorer.features.name == "digits" and not state.game.translates:
            monitors.append(CodeAgreement(scorer, every))
            if setup.plain["model"].get("conditional") and scorer.image_set.name in ("mnist", "mnist-5k"):
                monitors.append(LabelAgreement(scorer, every))
    settings = Settings(seed=trainer["seed"], batch_size=trainer["batch_size"], microbatch=trainer["microbatch"])
    rescue = make_rescue(setup, state, checkpoints)
    text = {"hparams": _hparams(setup, chosen), "config_text": OmegaConf.to_yaml(setup.cfg, resolve=True)}
    goes_on, well = saved is not None, False
    rescue.begin()
    while not well:
        progress = state.progress
        run_log = Log(run_dir if first else None, resume_from=progress if goes_on else None, **text)
        if not goes_on:
            run_log.write(grid(state.game, state.ema.generators, progress), progress)
        recorder = Recorder(
            run_dir if first else None,
            run_log,
            Console(progress.total, progress.nimg, quiet=not first),
            checkpoints if first else None,
            checkpoint_seconds=trainer["checkpoint_seconds"],
            best_metric=best_metric,
        )
        recorder.status(state, "running")
        measurements = make_measurements(setup, state, data.num_images)
        watchdog = [] if rescue.action == "off" else [make_watchdog(setup, rescue, grid, measurements, data.num_images)]
        try:
            play(state, data, measurements, [*monitors, *watchdog], recorder, settings)
            well = True
        except Breakdown as trouble:
            rescue.after(trouble)
            goes_on = True
        finally:
            recorder.close()
    if first:
        log.info("%s", _farewell(run_dir, state, scorer))


@contextmanager
def _sole_user(run_dir: Path) -> Iterator[None]:
    """Holds the run folder against other processes; a disk that refuses to write becomes a GantoolError."""

    def refuse() -> None:
        raise GantoolError(f"{run_dir} is in use by another process: wait for it, or choose another hydra.run.dir")

    try:
        with locked(run_dir / ".lock", refuse) if rank() == 0 else nullcontext():
            yield
    except OSError as error:
        raise GantoolError(
            f"cannot write into {run_dir} ({error.strerror or error}): make room and go on with resume={run_dir}"
        ) from error


def _hparams(setup: Setup, choices: dict[str, str]) -> dict[str, object]:
    """What distinguishes one run from another, by the keys that a user types, for TensorBoard's table of runs (it sorts
    them and shows the first five: augment, dataset, loss, loss.n_critic, model)."""
    plain = setup.plain
    chosen = {group: choices.get(group) for group in ("model", "loss", "dataset", "optimizer", "augment")}
    rates = {f"optimizer.{player}.lr": plain["optimizer"][player]["lr"] for player in setup.game.players}
    settings = {f"trainer.{key}": plain["trainer"][key] for key in ("duration", "batch_size", "seed")}
    others = {"model.conditional": plain["model"].get("conditional", False), "loss.n_critic": plain["loss"]["n_critic"]}
    return {**chosen, **others, **rates, **settings}


def _tell_numerics(before: dict, now: dict) -> None:
    for key, value in now.items():
        if before.get(key) != value and rank() == 0:
            log.warning("%s was %s and is %s: the run goes on, but not bit for bit", key, before.get(key), value)


def _headline(setup: Setup, run_dir: Path, num_images: int, nimg: int) -> str:
    source, precision = setup.source, setup.precision
    shape = f"{source.channels}x{source.resolution}x{source.resolution}"
    where = f"{setup.device}, {precision.name}" + (f", {world()} ranks" if world() > 1 else "")
    goes_on = f"going on at {nimg / 1000:g} kimg, " if nimg else ""
    return f"{goes_on}{num_images:,} images of {source.name}, {shape}, on {where}, into {run_dir}"


def _farewell(run_dir: Path, state: State, scorer: Scorer | None) -> str:
    lines = []
    if scorer is not None and state.best:
        scores = ", ".join(f"{name} {value:.2f}" for name, value in state.metrics.items())
        floor = ", ".join(f"{name} {value:.2f}" for name, value in scorer.floor.items())
        best = state.best
        lines.append(f"scores: {scores} (best {best['metric']} {best['value']:.2f} at {best['nimg'] / 1000:g} kimg)")
        lines.append(f"        real images against real images: {floor}")
    lines += [
        f"samples:  {run_dir / 'samples'}",
        f"curves:   tensorboard --logdir {run_dir}",
        f"go on:    gantool train resume={run_dir} trainer.duration={2 * state.progress.total / 1000:g}kimg",
    ]
    return "\n".join(lines)

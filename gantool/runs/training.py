"""A training run from its configuration to its folder: what gantool train and gantool.train do."""

import logging
import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from hydra.conf import HydraConf
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from gantool.config import Written, choices, save_composed
from gantool.data.stream import Stream
from gantool.errors import InUse, out_of_memory
from gantool.lock import locked
from gantool.logging.console import Console
from gantool.logging.log import Log
from gantool.logging.status import read_status, write_status
from gantool.monitors.summary import summary
from gantool.ranks import from_first, process_group, rank
from gantool.runs.build import Setup, set_up
from gantool.runs.compiling import compile_game
from gantool.runs.fitting import settle_batch, what_fits
from gantool.runs.lines import farewell, headline, how_finished
from gantool.runs.monitors import (
    build_measurements,
    build_trackers,
    build_watchdog,
    scorer_of,
)
from gantool.runs.output import writing
from gantool.runs.parallel import check_parallel
from gantool.runs.ready import get_ready, settled
from gantool.runs.rehearsal import rehearse
from gantool.runs.resuming import check_data, tell_jumps
from gantool.runs.study import judge_of
from gantool.runs.sweeps import told_place
from gantool.runs.transfer import begin_from
from gantool.training.checkpoint import Checkpoints
from gantool.training.ending import Ending
from gantool.training.loop import Every, Settings
from gantool.training.loop import train as play
from gantool.training.measurements import Breakdown
from gantool.training.recorder import Pruned, Recorder
from gantool.training.rescue import Rescue
from gantool.training.state import State
from gantool.training.synchronised import synchronise

log = logging.getLogger(__name__)

_told: set[str] = set()  # tables of networks, by this process


def train_run(cfg: DictConfig, run_dir: Path, hydra: HydraConf | DictConfig) -> State:
    """Trains what `cfg` composes into `run_dir`, from its newest checkpoint where there is one; `hydra` is Hydra's own
    configuration. Returns the state at the end.

    Raises GantoolError for the user's mistakes, before anything is written wherever they can be seen that early, and
    SystemExit(128 + signal) when a signal stopped the run after a checkpoint.
    """
    started, written = time.monotonic(), Written.of(hydra)
    settle_batch(cfg, written, run_dir)
    setup = set_up(cfg, written)
    with process_group():
        check_parallel(setup)
        setup = settled(setup, run_dir)
        in_sweep = hydra.mode == RunMode.MULTIRUN
        state, data, monitors, ending = get_ready(setup, written, started, in_sweep=in_sweep)
        if setup.config.trainer.dry_run:
            rehearse(setup, run_dir, state, data, monitors)
            return state
        with sole_user(run_dir):
            try:
                _run(setup, run_dir, state, data, monitors, ending, hydra)
                return state
            except Exception as error:
                if (text := out_of_memory(error)) is None:
                    raise
            raise what_fits(setup, state, data, text)  # here, where the error no longer holds on to what it was made of


def _run(
    setup: Setup,
    run_dir: Path,
    state: State,
    data: Stream,
    monitors: list[Every],
    ending: Ending,
    hydra: HydraConf | DictConfig,
) -> None:
    """Resumes where there is a checkpoint, trains, and says where to look."""
    trainer, first = setup.config.trainer, rank() == 0
    scorer = scorer_of(monitors)
    trackers = build_trackers(setup, scorer) if first else {}
    judge = judge_of(setup, run_dir, monitors, state.progress.total) if hydra.mode == RunMode.MULTIRUN else None
    checkpoints = Checkpoints(run_dir, trainer.keep_checkpoints, state.check)
    saved = from_first(checkpoints.load_newest)
    best_metric = scorer.names[0] if scorer else None
    if saved is not None:
        check_data(setup, run_dir, saved.get("data", {}), state.data)
        tell_jumps(setup, saved, state.progress.total, data.num_images)
        state.load_state_dict(saved)
        _tell_numerics(saved["numerics"], state.numerics())
        if state.best.get("metric") != best_metric:
            state.best, state.metrics, state.margins = {}, {}, {}
    elif setup.config.init is not None:
        table = begin_from(setup.config.init, state, setup.config)
        log.info("%s", table)
    if scorer is not None and scorer.warning:
        log.warning("note on the scores: %s", scorer.warning)
    progress = state.progress
    if finished := how_finished(state, ending):
        log.info("%s is finished: %s", run_dir, finished)
        if first and (status := read_status(run_dir)).get("state") == "running":  # killed after its last checkpoint
            write_status(run_dir, **{**status, "state": "finished"})
        return
    chosen: dict[str, str] = {}
    if first:
        checkpoints.set_aside()
        save_composed(setup.cfg, run_dir, hydra)
        chosen = choices(run_dir)
        log.info("%s", headline(setup, run_dir, data.num_images, progress.nimg))
        if saved is None:
            tables, loss_line = summary(state.game, data.fixed(2), loss_name=chosen.get("loss", ""))
            new = hydra.mode != RunMode.MULTIRUN or tables not in _told  # a sweep tells the same networks once
            log.info("\n%s\n", f"{tables}\n\n{loss_line}" if new else loss_line)
            _told.add(tables)
    if trainer.sync_batch_norm:
        synchronise(state.game)
    begin = compile_game(state.game, trainer.compile)
    settings = Settings(trainer.seed, trainer.batch_size, trainer.microbatch, begin)
    plan = trainer.watchdog.model_dump(include={"action", "max_rollbacks", "rate_factor"})
    rescue = Rescue(state, checkpoints, **plan)
    text = {"hparams": _hparams(setup, chosen), "config_text": OmegaConf.to_yaml(setup.cfg, resolve=True)}
    resumed, finished = saved is not None, False
    rescue.begin()
    if trainer.parallel == "sharded":
        state.share()
    while not finished:
        progress = state.progress
        run_log = Log(run_dir if first else None, resume_from=progress if resumed else None, trackers=trackers, **text)
        with state.whole():
            for every in monitors if not resumed else ():
                if every.at_start:
                    run_log.write(every.look(state), progress)
        recorder = Recorder(
            run_dir if first else None,
            run_log,
            Console(progress.total, progress.nimg, quiet=not first, title=told_place(run_dir)[0]),
            checkpoints if first else None,
            checkpoint_seconds=trainer.checkpoint_seconds,
            best_metric=best_metric,
            ending=ending,
            **({"judge": judge} if judge else {}),
        )
        recorder.status(state, "running")
        measurements = build_measurements(setup, state, data.num_images)
        watchdog = build_watchdog(setup, rescue, data, measurements)
        try:
            play(state, data, measurements, [*monitors, *watchdog], recorder, settings)
            finished = True
        except Breakdown as trouble:
            rescue.after(trouble)
            resumed = True
        except Pruned as reason:
            recorder.checkpoint(state, "pruned")
            log.info("pruned: %s", reason)
            return
        finally:
            recorder.close()
    if first:
        log.info("%s", farewell(setup, run_dir, state, scorer, ending))


@contextmanager
def sole_user(run_dir: Path) -> Iterator[None]:
    """Holds the run folder against other processes; a disk that refuses to write becomes a GantoolError."""

    def refuse() -> None:
        raise InUse(f"{run_dir} is in use by another process: wait for it, or choose another hydra.run.dir")

    lock = locked(run_dir / ".lock", refuse) if rank() == 0 else nullcontext()
    with writing(run_dir, f"make room and go on with {shlex.quote(f'resume={run_dir}')}"), lock:
        yield


def _hparams(setup: Setup, choices: dict[str, str]) -> dict[str, object]:
    """What distinguishes one run from another, by the keys that a user types, for TensorBoard's table of runs, which
    shows the first five."""
    config, trainer = setup.config, setup.config.trainer
    return {
        "trainer.seed": trainer.seed,
        **{f"optimizer.{player}.lr": config.optimizer.of(player)["lr"] for player in setup.game.players},
        "model": choices.get("model"),
        "loss": choices.get("loss"),
        **{group: choices.get(group) for group in ("dataset", "optimizer", "augment")},
        "model.conditional": config.model.conditional,
        "loss.n_critic": config.loss.n_critic,
        "trainer.duration": trainer.duration,
        "trainer.batch_size": trainer.batch_size,
    }


def _tell_numerics(before: dict, now: dict) -> None:
    for key, value in now.items():
        if before.get(key) != value and rank() == 0:
            log.warning(
                "%s was %s and is %s: results will not be bit-identical",
                key,
                before.get(key),
                value,
            )

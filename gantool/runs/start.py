"""A training run from its configuration to its folder: what gantool train and gantool.train do."""

import logging
import os
import shlex
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.conf import HydraConf
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from gantool import collector
from gantool.config import Written, choices, save_composed
from gantool.config.trust import check_links
from gantool.data.stream import Stream
from gantool.errors import out_of_memory
from gantool.folder import checkpoints_in
from gantool.logging.console import Console
from gantool.logging.log import Log
from gantool.logging.status import read_status
from gantool.monitors.summary import summary
from gantool.ranks import from_first, process_group, rank
from gantool.runs.build import Setup, set_up
from gantool.runs.fitting import settle_batch, what_fits
from gantool.runs.lines import farewell, headline, how_finished, inherited
from gantool.runs.monitors import build_measurements, build_trackers, build_watchdog, scorer_of, scores_of
from gantool.runs.output import check_free, sole_user
from gantool.runs.parallel import arrange, check_parallel, settings_of
from gantool.runs.ready import Foreseen, foresee, get_ready, settled
from gantool.runs.rehearsal import rehearse
from gantool.runs.resuming import check_data, forget_other_scores, tell_jumps
from gantool.runs.transfer import begin_from, check_source
from gantool.sweeps.jobs import told_place
from gantool.sweeps.study import judge_of
from gantool.training.checkpoint import Checkpoints
from gantool.training.ending import Ending
from gantool.training.loop import Every, train
from gantool.training.measurements import Breakdown
from gantool.training.recorder import Pruned, Recorder, record_status
from gantool.training.rescue import Rescue
from gantool.training.state import State
from gantool.training.stop import StopSignal

log = logging.getLogger(__name__)

_told: set[str] = set()  # tables of networks and notes, by this process


def train_run(cfg: DictConfig, run_dir: Path, hydra: HydraConf | DictConfig) -> State:
    """Trains what `cfg` composes into `run_dir`, from its newest checkpoint where there is one; `hydra` is Hydra's own
    configuration. Returns the state at the end.

    Raises GantoolError for the user's mistakes, before anything is written wherever they can be seen that early, and
    SystemExit(128 + signal) when a signal stopped the run after a checkpoint.
    """
    started, written = time.monotonic(), Written.of(hydra)
    if hydra.job.config_name != "resume":  # which has looked, or was told to trust
        is_run, states = os.path.lexists(run_dir / ".hydra" / "config.yaml"), checkpoints_in(run_dir)
        can_resume = is_run and states
        trusting = f"; {shlex.quote(f'resume={run_dir}')} trust=true writes to what it leads to" if can_resume else ""
        check_links(run_dir, f"choose another folder{trusting}", begun=is_run or bool(states))
    in_sweep = hydra.mode == RunMode.MULTIRUN

    def look(setup: Setup) -> tuple[Setup, Foreseen]:
        check_parallel(setup)
        setup = settled(setup, run_dir)
        check_source(setup, run_dir)
        if not setup.config.trainer.dry_run:
            from_first(lambda: check_free(run_dir))
        return setup, foresee(setup, written, in_sweep=in_sweep)

    settle_batch(cfg, written, run_dir, look)
    setup = set_up(cfg, written)
    with process_group():
        setup, foreseen = look(setup)
        run = _Run(setup, run_dir, hydra, *get_ready(setup, foreseen, written, started, in_sweep=in_sweep))
        if setup.config.trainer.dry_run:
            rehearse(setup, run_dir, run.state, run.data, run.monitors)
            return run.state
        with sole_user(run_dir):
            try:
                run.train()
                return run.state
            except Exception as error:
                if (text := out_of_memory(error)) is None:
                    raise
            # Here, where the error no longer holds on to what it was made of.
            raise what_fits(setup, run.state, run.data, text)


@dataclass(frozen=True)
class _Run:
    """What a run is made of, and how it goes from its start, or its newest checkpoint, to its end."""

    setup: Setup
    run_dir: Path
    hydra: HydraConf | DictConfig
    state: State
    data: Stream
    monitors: list[Every]
    ending: Ending

    def train(self) -> None:
        """Resumes where there is a checkpoint, trains, and says where to look."""
        setup, state, trainer, first = self.setup, self.state, self.setup.config.trainer, rank() == 0
        scorer, is_job = scorer_of(self.monitors), self.hydra.mode == RunMode.MULTIRUN
        best_metric, trackers = (
            scorer.names[0] if scorer else None,
            build_trackers(setup, scorer.names if scorer else ()) if first else {},
        )
        judge = judge_of(setup.config.study, self.run_dir, self.monitors, state.progress.total) if is_job else None
        checkpoints = Checkpoints(self.run_dir, trainer.keep_checkpoints, state.check)
        resumed = self.resume(checkpoints)
        forget_other_scores(state, scores_of(self.monitors))
        if scorer is not None and scorer.warning:
            log.warning("note on the scores: %s", scorer.warning)
        if finished := how_finished(state, self.ending):
            log.info("%s is finished: %s", self.run_dir, finished)
            if first and read_status(self.run_dir).get("state") not in ("finished", "pruned"):  # killed at its end
                record_status(self.run_dir, state, "finished", self.ending)
            return
        chosen = self.begin_folder(checkpoints, is_new=not resumed) if first else {}
        arrange(setup, state)
        rescue = Rescue(
            state, checkpoints, **trainer.watchdog.model_dump(include={"action", "max_rollbacks", "rate_factor"})
        )
        title = told_place(self.run_dir)[0]
        text = {"hparams": _hparams(setup, chosen), "config_text": OmegaConf.to_yaml(setup.cfg, resolve=True)}
        stop = StopSignal(self.ending.is_late)
        try:
            while True:
                recorder = Recorder(
                    self.run_dir if first else None,
                    self.open_log(is_new=not resumed, trackers=trackers, **text),
                    Console(state.progress.total, state.progress.nimg, quiet=not first, title=title),
                    checkpoints if first else None,
                    checkpoint_seconds=trainer.checkpoint_seconds,
                    best_metric=best_metric,
                    ending=self.ending,
                    **({"judge": judge} if judge else {}),
                )
                try:
                    with stop:  # nothing but rounds, and the way back from one, holds a signal back
                        try:
                            self.play(recorder, rescue, stop)
                            break
                        except Breakdown as trouble:
                            rescue.after(trouble)
                            recorder.log.rewind(state.progress)
                            resumed = True
                except Pruned as reason:
                    recorder.checkpoint(state, "pruned")
                    log.info("pruned: %s", reason)
                    return stop.leave(stop.number)
                finally:
                    recorder.close()
        except Exception as error:  # which ends a job alone, and a signal the sweep too
            stop.leave(stop.number, error)
            raise
        if first:
            log.info("%s", farewell(setup, self.run_dir, state, scorer, self.ending))
        stop.leave(stop.number)  # one that came in the last looks

    def resume(self, checkpoints: Checkpoints) -> bool:
        """Takes up the newest checkpoint, else the weights to begin from; whether there was a checkpoint."""
        setup, state, saved = self.setup, self.state, from_first(checkpoints.load_newest)
        if saved is None:
            if setup.config.init is not None:
                log.info("%s", begin_from(setup.config.init, state, setup.config))
            return False
        check_data(setup, self.run_dir, saved.get("data", {}), state.data)
        tell_jumps(setup, saved, state.progress.total, self.data.num_images)
        state.load_state_dict(saved)
        _tell_numerics(saved["numerics"], state.numerics())
        return True

    def begin_folder(self, checkpoints: Checkpoints, *, is_new: bool) -> dict[str, str]:
        """Writes the configuration and tells what is trained, and with which networks; returns the chosen files."""
        setup, state = self.setup, self.state
        checkpoints.set_aside()
        checkpoints.keep_best(state.best.get("nimg"))
        save_composed(setup.cfg, self.run_dir, self.hydra)
        chosen = choices(self.run_dir)
        log.info("%s", headline(setup, self.run_dir, self.data.num_images, state.progress.nimg))
        if is_new:
            notes = [*inherited(setup.cfg, Written.of(self.hydra), self.hydra.runtime.choices)]
            for line in notes:
                if line not in _told:
                    log.info("%s", line)
            _told.update(notes)
            tables, loss_line = summary(state.game, self.data.fixed(2), loss_name=chosen.get("loss", ""))
            told = self.hydra.mode == RunMode.MULTIRUN and tables in _told  # a sweep tells the same networks once
            log.info("\n%s\n", loss_line if told else f"{tables}\n\n{loss_line}")
            _told.add(tables)
        return chosen

    def open_log(self, *, is_new: bool, **how: Any) -> Log:
        """The log from where the state is; of a new run with what monitors see before the first round."""
        state = self.state
        run_log = Log(self.run_dir if rank() == 0 else None, resume_from=None if is_new else state.progress, **how)
        with state.whole():
            for every in self.monitors if is_new else ():
                if every.at_start:
                    run_log.write(every.look(state), state.progress)
        return run_log

    def play(self, recorder: Recorder, rescue: Rescue, stop: StopSignal) -> None:
        """Plays the rounds that are left."""
        collector.release()
        setup, state, data = self.setup, self.state, self.data
        recorder.status(state, "running")
        rescue.begin(recorder)  # after the first looks, which a run that has a state to go on from does not take
        measurements = build_measurements(setup, state, data.num_images)
        watchdog = build_watchdog(setup, rescue, data, measurements, recorder)
        train(state, data, measurements, [*self.monitors, *watchdog], recorder, settings_of(setup), stop)


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
            log.warning("%s was %s and is %s: results will not be bit-identical", key, before.get(key), value)

"""The training loop: every game, one screen. What is played the game says; all that is mechanical happens here."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import nn

from gantool.data.stream import Stream
from gantool.game import Game, Progress
from gantool.logging.record import Record
from gantool.randomness import seed_everything
from gantool.training.measurements import Measurements
from gantool.training.ranks import any_rank, average_buffers
from gantool.training.recorder import Recorder
from gantool.training.state import State
from gantool.training.stop import StopSignal
from gantool.training.update import update


@dataclass(frozen=True)
class Settings:
    """How rounds are played."""

    seed: int
    batch_size: int  # over all ranks
    microbatch: int | None = None  # images that a rank puts through the networks at once; None: all


class Monitor(Protocol):
    """Looks at the game and changes nothing: called under no_grad and outside autocast.

    It leaves weights, buffers, modes and random generators as they were: no forward of a live network in training mode
    (batch norm and spectral norm would move), and random numbers only inside `torch.random.fork_rng`.
    """

    def __call__(self, game: Game, generators: nn.ModuleDict, progress: Progress) -> Record:
        """What is to be written at `progress`; `generators` are the averaged ones, in eval mode."""
        ...


@dataclass(frozen=True)
class Every:
    """A monitor that is called every `interval` images, and at the end; `at_start`: before the first round too."""

    interval: int
    monitor: Monitor
    at_start: bool = False

    def look(self, state: State) -> Record:
        """What the monitor sees now."""
        with torch.no_grad():
            return self.monitor(state.game, state.ema.generators, state.progress)


def play_round(state: State, data: Stream, measurements: Measurements, settings: Settings) -> None:
    """Every player's updates, on new batches; then the averages and the progress follow.

    A loss or gradient that is not finite raises GantoolError before any checkpoint could take it in.
    """
    game, progress = state.game, state.progress
    seed_everything(settings.seed, progress.nimg)
    game.begin_round(progress)
    size = game.batch_size(settings.batch_size)
    for name, batches in data.deal(progress.nimg, game.players, size=size).items():
        state.optimizers[name].begin_round(progress, state.rate_factor)
        for turn, batch in enumerate(batches):
            seed = (settings.seed, progress.nimg, name, turn)
            measurements.add(name, *update(state, name, batch, microbatch=settings.microbatch, seed=seed))
    measurements.end_round(progress)
    average_buffers(game)
    state.progress = progress.advance(game.batches_per_round * size)
    state.ema.update(game.generators, state.progress)


def watch(state: State, monitors: Sequence[Every], recorder: Recorder) -> None:
    """Records what the monitors see whose time has come."""
    for every in monitors:
        if state.progress.crossed(every.interval) or state.progress.done:
            recorder.write(every.look(state), state)


def train(
    state: State,
    data: Stream,
    measurements: Measurements,
    monitors: Sequence[Every],
    recorder: Recorder,
    settings: Settings,
) -> None:
    """Plays rounds until the run has seen all its images.

    A signal ends it after the round with a checkpoint and SystemExit(128 + signal).
    """
    with StopSignal() as stop:
        while not state.progress.done:
            play_round(state, data, measurements, settings)
            watch(state, [Every(measurements.interval, measurements), *monitors], recorder)
            signal_number = any_rank(stop.number, state.precision.device)
            recorder.end_round(state, stopping=bool(signal_number))
            if signal_number:
                stop.leave(signal_number)

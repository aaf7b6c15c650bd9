"""The training loop: every game, one screen. What is played the game says; all that is mechanical happens here."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from gantool.data.stream import Stream
from gantool.monitors.monitor import Monitor
from gantool.training.measurements import Measurements
from gantool.training.randomness import seed_everything
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


def train(
    state: State,
    data: Stream,
    measurements: Measurements,
    monitors: Sequence[Monitor],
    recorder: Recorder,
    settings: Settings,
) -> None:
    """Plays rounds until the run has seen all its images.

    A signal ends it after the round with a checkpoint and SystemExit(128 + signal). A loss or gradient that is not
    finite raises GantoolError before any checkpoint could take it in.
    """
    game, ema = state.game, state.ema
    with StopSignal() as stop:
        while not state.progress.done:
            progress = state.progress
            seed_everything(settings.seed, progress.nimg)
            game.begin_round(progress)
            size = game.batch_size(settings.batch_size)
            batches = data.take(progress.nimg, count=game.batches_per_round, size=size)
            for name, player in game.players.items():
                state.optimizers[name].set_rate(progress)
                for turn, batch in enumerate(batches[-player.updates :]):
                    seed = (settings.seed, progress.nimg, name, turn)
                    measurements.add(name, update(state, name, batch, microbatch=settings.microbatch, seed=seed))
            measurements.check_finite(progress)
            average_buffers(game)

            state.progress = progress.advance(len(batches) * size)
            ema.update(game.generators, state.progress)
            for monitor in (measurements, *monitors):
                if state.progress.crossed(monitor.interval) or state.progress.done:
                    with torch.no_grad():
                        recorder.write(monitor(game, ema.generators, state.progress), state)
            signal_number = any_rank(stop.number, state.precision.device)
            recorder.end_round(state, stopping=bool(signal_number))
            if signal_number:
                stop.leave(signal_number)

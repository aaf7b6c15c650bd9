"""The training loop: every game, one screen. What is played the game says; all that is mechanical happens here."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import nn

from gantool.data.stream import Stream
from gantool.game import Game, Progress
from gantool.logging.record import Record
from gantool.randomness import seed_everything
from gantool.ranks import agree, average_buffers
from gantool.training.graphs import Graphs, Repeating
from gantool.training.hardware import exactly
from gantool.training.measurements import CHECKED, Measurements
from gantool.training.recorder import Recorder
from gantool.training.state import State
from gantool.training.stop import StopSignal
from gantool.training.update import Passes, differentiate, update


@dataclass(frozen=True)
class Settings:
    """How rounds are played."""

    seed: int
    batch_size: int  # over all ranks
    microbatch: int | None = None  # images that a rank puts through the networks at once; None: all
    graphs: Graphs | None = None  # what plays the passes of the updates; None: they are played as they are

    def passes(self, game: Game, step: int) -> Passes:
        """What plays the passes of the round that begins, before which there were `step` batches of its size."""
        if self.graphs is None:
            return differentiate
        assert isinstance(game, Repeating), "trainer.compile=graphs is refused for others"
        return self.graphs.begin_round(game.kind(step))


class Monitor(Protocol):
    """Looks at the game and changes nothing: called under no_grad and outside autocast.

    It leaves weights, buffers, modes and random generators as they were: no forward of a live network in training mode
    (batch norm and spectral norm would move), and random numbers only inside `gantool.randomness.forked`.
    """

    def __call__(self, game: Game, generators: nn.ModuleDict, progress: Progress) -> Record:
        """What is to be written at `progress`; `generators` are the averaged ones, in eval mode."""
        ...


@dataclass(frozen=True)
class Every:
    """A monitor that is called every `interval` images, and at the end; `at_start`: before the first round too.
    `end_look` is called once all that look at this point have, and what they saw was written."""

    interval: int
    monitor: Monitor
    at_start: bool = False
    end_look: Callable[[], None] = lambda: None

    def look(self, state: State) -> Record:
        """What the monitor sees now."""
        with torch.no_grad(), exactly():
            return self.monitor(state.game, state.ema.generators, state.progress)


def play_round(state: State, data: Stream, measurements: Measurements, settings: Settings) -> None:
    """Every player's updates, on new batches; then the averages and the progress follow. It waits for no device: what
    was measured is looked at later (see `follow`)."""
    game, progress = state.game, state.progress
    seed_everything(settings.seed, progress.nimg)
    game.begin_round(progress)
    size = game.batch_size(settings.batch_size)
    passes = settings.passes(game, progress.nimg // size)
    for name, batches in data.deal(progress.nimg, game.players, size=size).items():
        state.optimizers[name].begin_round(progress, state.rate_factor)
        for turn, batch in enumerate(batches):
            seed = (settings.seed, progress.nimg, name, turn)
            measured = update(state, name, batch, microbatch=settings.microbatch, seed=seed, passes=passes)
            measurements.add(name, *measured)
    measurements.end_round(progress)
    average_buffers(game)
    state.progress = progress.advance(game.batches_per_round * size)
    state.ema.update(game.generators, state.progress)


def follow(
    state: State, measurements: Measurements, monitors: Sequence[Every], recorder: Recorder, stop: StopSignal
) -> int:
    """What a round is followed by: monitors whose time has come, records, a checkpoint. Returns what ends the run
    (StopSignal.number), 0 where it goes on.

    Raises Breakdown where a loss, gradient or weight is not finite: before any of these sees the state, else within
    CHECKED rounds.
    """
    progress, device = state.progress, state.precision.device
    watching = [Every(measurements.interval, measurements), *monitors]
    due = [every for every in watching if progress.crossed(every.interval) or progress.done]
    rest = [every for every in watching if not (progress.crossed(every.interval) or progress.done)]
    # One message a round: only the first rank has every monitor and a clock, and all must come to the same end.
    is_looked_at, is_saved, signal_number = agree([bool(due), recorder.is_due(), stop.number], device)
    if is_looked_at or is_saved or signal_number or progress.rounds % CHECKED == 0:
        with state.whole(averages=False):
            measurements.check(state.game)
    if is_looked_at:
        with state.whole():  # on all ranks, whoever has monitors
            for every in due:
                recorder.write(every.look(state), state)
            signal_number, ended = agree([stop.number, recorder.is_over(state)], device)  # one may have come since
            for every in rest if ended else ():
                recorder.write(every.look(state), state)
            if ended:
                state.progress = replace(progress, total=progress.nimg)
                recorder.write(Record(), state)  # trackers are told by it that the run is done
            recorder.end_looks(state)
            for every in watching if ended else due:
                every.end_look()
    recorder.end_round(state, saving=bool(is_saved), stopping=bool(signal_number))
    return signal_number


def train(
    state: State,
    data: Stream,
    measurements: Measurements,
    monitors: Sequence[Every],
    recorder: Recorder,
    settings: Settings,
    stop: StopSignal,
) -> None:
    """Plays rounds until the run has seen all its images, its scores end it, or its time is over.

    A signal ends it after the round with a checkpoint and SystemExit(128 + signal). `stop` is the run's: it remembers
    one that came in a round which broke down.
    """
    while not state.progress.done:
        with state.whole(averages=False):
            play_round(state, data, measurements, settings)
        if signal_number := follow(state, measurements, monitors, recorder, stop):
            return stop.leave(signal_number)

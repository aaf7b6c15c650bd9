"""The composed training step against a plain PyTorch loop of the same networks, and against PyTorch's own DCGAN example
at its 64 pixels, in one process.

All sides alternate, so that a machine whose speed drifts is fair to all.
"""

import logging
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import torch
from omegaconf import DictConfig
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from gantool import beside
from gantool.bench.dcgan_example import BATCH, RESOLUTION, Example
from gantool.bench.operations import Operations
from gantool.bench.plain_loop import PlainLoop, copied
from gantool.config import Written
from gantool.data.cache import prepare
from gantool.data.image_set import ImageSet
from gantool.data.stream import Stream
from gantool.logging.console import Console
from gantool.logging.log import Log
from gantool.runs.build import Setup, build_state, build_stream, check_batches, set_up
from gantool.runs.monitors import build_measurements, build_monitors
from gantool.runs.parallel import arrange, check_parallel, period_of, settings_of
from gantool.shapes import size_text
from gantool.training.checkpoint import Checkpoints
from gantool.training.hardware import keep_freed_pages, peak_memory
from gantool.training.loop import follow, play_round
from gantool.training.recorder import Recorder
from gantool.training.stop import StopSignal
from gantool.training.update import update

log = logging.getLogger(__name__)

ALTERNATIONS = 5
SECONDS = 6.0  # of each side in each alternation, at the least one round
WARM_UP = 3  # rounds
CONVOLUTIONS = 20  # the fastest of them is the peak
MEMORY_ROUNDS = 6


def compare(cfg: DictConfig, written: Written) -> float:
    """Prints medians, ratio, images/s, share of the convolution peak, operations, loss of the whole loop, and memory.

    Returns the ratio: how many times as fast as the plain loop the composed step is.
    """
    setup = set_up(cfg, written)
    check_parallel(setup)
    check_batches(setup)
    image_set = prepare(setup.source, on_bad_image=setup.config.dataset.on_bad_image)
    data = build_stream(setup, image_set)
    with tempfile.TemporaryDirectory() as folder:
        plain = PlainLoop(setup, image_set)
        ours = BareStep(setup, data)
        whole = WholeLoop(setup, data, image_set, Path(folder))
        log.info("counting the operations of a round, and building the loops to compare with")
        period = period_of(setup)
        flops = _flops(ours, period)
        sides: dict[str, Callable[[], None]] = {"plain": plain.play, "step": ours.play, "whole loop": whole.play}
        sides["example"] = Example(image_set, setup.device).play
        seconds = _alternate(sides, setup.device, period)
        with Operations() as counted:
            for _ in range(period):
                whole.play_round()
        whole.recorder.close()
    images = setup.game.batch_size(setup.config.trainer.batch_size) * setup.game.batches_per_round
    rates = {side: images / value for side, value in seconds.items()}
    rates["example"] = BATCH / seconds["example"]
    for side, value in seconds.items():
        log.info("%-10s  %8.1f ms a round  %8.0f images/s", side, 1000 * value, rates[side])
    size = size_text(image_set.images.shape[2:])
    times = rates["whole loop"] / rates["example"]
    log.info("whole loop at %s pixels against PyTorch's DCGAN example at its %d pixels: %.2f times its images/s "
             "(it has widths of 64, float32, batches of 64)", size, RESOLUTION, times)  # fmt: skip
    ratio = seconds["plain"] / seconds["step"]
    loss = seconds["whole loop"] / seconds["step"] - 1
    waiting = 1000 * statistics.median(plain.loading)
    log.info("%-10s  %8.1f ms of a round spent waiting for the DataLoader", "plain", waiting)
    log.info("step against plain loop: %.2f times as fast (%s)", ratio, setup.precision.name)
    log.info("whole loop (data, logging, monitors, checkpoints) against step: %+.1f %%", 100 * loss)
    log.info("measuring the convolution peak and, in processes of their own, the peak memory of both sides")
    peak, rate = _convolution_peak(setup), flops / seconds["step"]
    log.info("work: %.1f GFLOP a round; %.0f GFLOP/s, %.0f %% of the convolution peak of %.0f",
             flops / 1e9, rate / 1e9, 100 * rate / peak, peak / 1e9)  # fmt: skip
    parts = {part: round(count / period) for part, count in counted.parts.items()}
    log.info("operations of torch a round: %d (%s)", sum(parts.values()),
             ", ".join(f"{part} {count}" for part, count in parts.items()))  # fmt: skip
    memory = {side: _peak_memory(setup.cfg, side) for side in ("plain", "step")}
    log.info("peak memory: plain %.0f MB, step %.0f MB", memory["plain"] / 1e6, memory["step"] / 1e6)
    return ratio


class BareStep:
    """One round's updates, as the loop does them, on batches made beforehand.

    Rounds are counted, as penalties that are not taken in every update go by them; images are not: schedules and growth
    stay where they begin.
    """

    def __init__(self, setup: Setup, data: Stream) -> None:
        self.state = build_state(copied(setup), data.num_images)
        self.settings = settings_of(setup)
        arrange(setup, self.state)
        size = self.state.game.batch_size(self.settings.batch_size)
        self.batches = data.deal(0, self.state.game.players, size=size)

    def play(self) -> None:
        """One round."""
        keep_freed_pages()
        state, game, rounds = self.state, self.state.game, self.state.progress.rounds
        game.begin_round(state.progress)
        passes = self.settings.passes(game, rounds * game.batches_per_round)
        for name, batches in self.batches.items():
            state.optimizers[name].begin_round(state.progress)
            own = game.players[name].own_batch is not None
            before = rounds * (len(batches) if own else game.batches_per_round)  # batches of this size
            for turn, batch in enumerate(batches):
                placed = replace(batch, position=batch.position + before * batch.total)
                seed = (0, name, turn)
                update(state, name, placed, microbatch=self.settings.microbatch, seed=seed, passes=passes)
        state.progress = replace(state.progress, rounds=rounds + 1)


class WholeLoop:
    """gantool's own loop with its data, log, grids, histograms and checkpoints (not its scores), a round at a time."""

    def __init__(self, setup: Setup, data: Stream, image_set: ImageSet, folder: Path) -> None:
        step = BareStep(setup, data)
        self.state, self.data, self.settings = step.state, data, step.settings
        self.measurements = build_measurements(setup, self.state, data.num_images)
        self.monitors = build_monitors(setup, data, image_set, None, {}, Written())
        console, checkpoints = Console(self.state.progress.total, quiet=True), Checkpoints(folder)
        seconds = 3 * setup.config.trainer.checkpoint_seconds  # it plays for a third of the time
        self.recorder = Recorder(folder, Log(folder), console, checkpoints, checkpoint_seconds=seconds)

    def play(self) -> None:
        """One round, and what follows it."""
        keep_freed_pages()
        self.play_round()
        follow(self.state, self.measurements, self.monitors, self.recorder, StopSignal())

    def play_round(self) -> None:
        """The round alone."""
        play_round(self.state, self.data, self.measurements, self.settings)


def _alternate(sides: dict[str, Callable[[], None]], device: torch.device, period: int) -> dict[str, float]:
    """Median over the alternations of each side's mean seconds a round, over whole periods of so many rounds."""
    times: dict[str, list[float]] = {side: [] for side in sides}
    for side, play in sides.items():
        log.info("first round of %s", side)
        play()  # it allocates, and compiles where that is asked for
    for number in range(1, ALTERNATIONS + 1):
        for side, play in sides.items():
            log.info("timing %d of %d: %s, %g s", number, ALTERNATIONS, side, SECONDS)
            for _ in range(WARM_UP):  # until the allocator is this side's: its first rounds ask the system for pages
                play()
            start, rounds = _now(device), 0
            while (elapsed := _now(device) - start) < SECONDS or not rounds or rounds % period:
                play()
                rounds += 1
            times[side].append(elapsed / rounds)
    return {side: statistics.median(values) for side, values in times.items()}


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
    return time.perf_counter()


def _flops(step: "BareStep", period: int) -> float:
    """Of a round's convolutions and matrix products, forwards and backwards: the mean over a period."""
    settings, step.settings = step.settings, replace(step.settings, graphs=None)  # of graphs nothing is seen
    with FlopCounterMode(display=False) as counter:
        for _ in range(period):
            step.play()
    step.settings = settings
    return counter.get_total_flops() / period


def _convolution_peak(setup: Setup) -> float:
    """FLOP/s of a large 3x3 convolution in the run's precision on this machine."""
    device, dtype = setup.device, setup.precision.dtype
    images = torch.randn(64, 128, 32, 32, device=device, dtype=dtype).to(memory_format=torch.channels_last)
    layer = nn.Conv2d(128, 128, 3, padding=1, device=device, dtype=dtype)
    times = []
    with torch.no_grad():
        for _ in range(CONVOLUTIONS):
            start = _now(device)
            layer(images)
            times.append(_now(device) - start)
    return 2 * 64 * 128 * 128 * 9 * 32 * 32 / min(times)


def _peak_memory(cfg: DictConfig, side: str) -> int:
    """Bytes that a process of its own needs at most for a few rounds of one side."""
    with beside.kept_out(), ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_play_alone, cfg, side).result()


def _play_alone(cfg: DictConfig, side: str) -> int:
    setup = set_up(cfg, Written())
    image_set = prepare(setup.source, on_bad_image="skip", progress=False)
    data = build_stream(setup, image_set)
    play = PlainLoop(setup, image_set).play if side == "plain" else BareStep(setup, data).play
    for _ in range(MEMORY_ROUNDS):
        play()
    return peak_memory(setup.device)

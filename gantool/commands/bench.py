"""gantool bench: the composed training step against a plain PyTorch loop of the same networks, in one process.

The plain loop is what single-file scripts do: float32, contiguous tensors, gradients for every network in every turn, a
DataLoader without workers over torchvision's transforms, torch's default Adam, `.item()` for the log. Both sides
alternate, so that a machine whose speed drifts is fair to both.
"""

import copy
import logging
import multiprocessing
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from itertools import chain, repeat
from pathlib import Path
from typing import Any, cast

import torch
from omegaconf import DictConfig
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import FlopCounterMode

from gantool.commands.build import Setup, make_state, make_stream, set_up
from gantool.config.resolvers import register_resolvers
from gantool.data.cache import prepare
from gantool.data.stream import Stream
from gantool.game import Batch
from gantool.logging.console import Console
from gantool.logging.log import Log
from gantool.logging.record import Record
from gantool.monitors.histograms import Histograms
from gantool.monitors.samples import SampleGrid
from gantool.training.checkpoint import Checkpoints
from gantool.training.hardware import default_allocator, keep_freed_pages
from gantool.training.loop import Settings, train
from gantool.training.measurements import Measurements
from gantool.training.recorder import Recorder
from gantool.training.state import State
from gantool.training.update import update

log = logging.getLogger(__name__)

ALTERNATIONS = 5
SECONDS = 6.0  # of each side in each alternation, at the least one round
MEMORY_ROUNDS = 6


def bench(cfg: DictConfig) -> float:
    """Prints medians, ratio, images/s, share of the convolution peak, loss of the whole loop, and memory.

    Returns the ratio: how many times as fast as the plain loop the composed step is.
    """
    setup = set_up(cfg)
    image_set = prepare(setup.source, on_bad_image=setup.plain["dataset"]["on_bad_image"])
    data = make_stream(setup, image_set)
    with tempfile.TemporaryDirectory() as folder:
        plain = PlainLoop(setup, image_set.images, image_set.labels)
        ours = BareStep(setup, data)
        whole = WholeLoop(setup, data, Path(folder))
        flops = _flops(ours)
        sides: dict[str, Callable[[], None]] = {"plain": plain.play, "step": ours.play, "whole loop": whole.play}
        seconds = _alternate(sides, setup.device)
        whole.recorder.close()
    images = setup.plain["trainer"]["batch_size"] * setup.game.batches_per_round
    for side, value in seconds.items():
        log.info("%-10s  %8.1f ms a round  %8.0f images/s", side, 1000 * value, images / value)
    ratio = seconds["plain"] / seconds["step"]
    loss = seconds["whole loop"] / seconds["step"] - 1
    log.info("%-10s  %8.1f ms of it wait for the DataLoader", "plain", 1000 * plain.loading)
    log.info("step against plain loop: %.2f times as fast (%s)", ratio, setup.precision.name)
    log.info("whole loop (data, logging, monitors, checkpoints) against step: %+.1f %%", 100 * loss)
    peak, rate = _convolution_peak(setup), flops / seconds["step"]
    log.info("work: %.1f GFLOP a round; %.0f GFLOP/s, %.0f %% of the convolution peak of %.0f",
             flops / 1e9, rate / 1e9, 100 * rate / peak, peak / 1e9)  # fmt: skip
    memory = {side: _peak_memory(cfg, side) for side in ("plain", "step")}
    log.info("peak memory: plain %.0f MB, step %.0f MB", memory["plain"] / 1e6, memory["step"] / 1e6)
    return ratio


class PlainLoop:
    """One round as a single-file script plays it, of a copy of the composed game."""

    def __init__(self, setup: Setup, images: torch.Tensor, labels: torch.Tensor | None) -> None:
        self.device, size = setup.device, setup.plain["trainer"]["batch_size"]
        setup = _copied(setup)
        self.game = setup.game
        self.game.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        for player in self.game.players:
            for kernel in ("fused", "foreach"):  # torch's default
                setup.plain["optimizer"][player].pop(kernel, None)
        optimizers = make_state(setup, len(images)).optimizers
        self.optimizers = {name: o.optimizer for name, o in optimizers.items()}
        self.loader = DataLoader(Items(images, labels), batch_size=size, shuffle=True, drop_last=len(images) > size)
        self.batches: Iterator[Any] = chain.from_iterable(repeat(self.loader))
        self.loading = 0.0  # seconds spent waiting for batches

    def play(self) -> None:
        """One round."""
        default_allocator()
        start = time.perf_counter()
        batches = [self._next() for _ in range(self.game.batches_per_round)]
        self.loading = time.perf_counter() - start
        for name, player in self.game.players.items():
            for batch in batches[-player.updates :]:
                self.optimizers[name].zero_grad()
                terms = player.loss(batch).terms
                loss = torch.stack(list(terms.values())).sum()
                loss.backward()
                self.optimizers[name].step()
                player.after_update()
                loss.item()

    def _next(self) -> Batch:
        images, labels = next(self.batches)
        return Batch(images.to(self.device), labels.to(self.device))


class Items(Dataset):
    """Images one by one through PIL, ToTensor and Normalize, as torchvision's data sets give them."""

    def __init__(self, images: torch.Tensor, labels: torch.Tensor | None) -> None:
        from torchvision.transforms import Compose, Normalize, ToTensor

        self.images = images.permute(0, 2, 3, 1).squeeze(3)
        self.labels = torch.zeros(len(images), dtype=torch.int64) if labels is None else labels
        self.transform = Compose([ToTensor(), Normalize(0.5, 0.5)])

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Any, torch.Tensor]:
        return self.transform(Image.fromarray(self.images[index].numpy())), self.labels[index]


class BareStep:
    """One round's updates, as the loop does them, on batches made beforehand."""

    def __init__(self, setup: Setup, data: Stream) -> None:
        self.state = make_state(_copied(setup), data.num_images)
        game = self.state.game
        self.size, self.microbatch = setup.plain["trainer"]["batch_size"], setup.plain["trainer"]["microbatch"]
        if setup.plain["trainer"]["compile"]:
            for player in game.players.values():
                for network in player.networks:
                    network.compile()
        self.batches = data.take(0, count=game.batches_per_round, size=self.size)

    def play(self) -> None:
        """One round."""
        keep_freed_pages()
        state = self.state
        for name, player in state.game.players.items():
            state.optimizers[name].set_rate(state.progress)
            for turn, batch in enumerate(self.batches[-player.updates :]):
                update(state, name, batch, microbatch=self.microbatch, seed=(0, name, turn))


class WholeLoop:
    """gantool's own loop with its data, log, grids, histograms and checkpoints (not its scores), a round at a time."""

    def __init__(self, setup: Setup, data: Stream, folder: Path) -> None:
        step = BareStep(setup, data)
        self.state, self.data = step.state, data
        trainer = setup.plain["trainer"]
        self.settings = Settings(seed=0, batch_size=trainer["batch_size"], microbatch=trainer["microbatch"])

        def images(key: str) -> int:
            return setup.duration(key, images_per_epoch=data.num_images)

        self.measurements = Measurements(self.state.optimizers, images("trainer.log_every"))
        classes = setup.source.num_classes if setup.plain["model"].get("conditional") else 0
        self.monitors = [
            SampleGrid(data.fixed, interval=images("trainer.sample_every"), num_classes=classes),
            Histograms(interval=images("trainer.histogram_every")),
        ]
        console, checkpoints = Console(self.state.progress.total, quiet=True), Checkpoints(folder)
        seconds = 3 * trainer["checkpoint_seconds"]  # it plays for a third of the time
        self.recorder = Recorder(folder, Log(folder), console, checkpoints, checkpoint_seconds=seconds)

    def play(self) -> None:
        """One round."""
        keep_freed_pages()
        recorder = cast(Recorder, OneRound(self.recorder))
        try:
            train(self.state, self.data, self.measurements, self.monitors, recorder, self.settings)
        except RoundDoneError:
            return


class RoundDoneError(Exception):
    """Ends the loop after one round."""


@dataclass(frozen=True)
class OneRound:
    """Stands before a recorder: hands everything on, then ends the loop."""

    recorder: Recorder

    def write(self, record: Record, state: State) -> None:
        """As the recorder does."""
        self.recorder.write(record, state)

    def end_round(self, state: State, *, stopping: bool) -> None:
        """Raises RoundDoneError once the round is recorded."""
        self.recorder.end_round(state, stopping=stopping)
        raise RoundDoneError


def _copied(setup: Setup) -> Setup:
    """The same with networks of its own, which its players refer to."""
    return replace(setup, game=copy.deepcopy(setup.game), plain=copy.deepcopy(setup.plain))


def _alternate(sides: dict[str, Callable[[], None]], device: torch.device) -> dict[str, float]:
    """Median over the alternations of each side's mean seconds a round."""
    times: dict[str, list[float]] = {side: [] for side in sides}
    for play in sides.values():
        play()  # the first round allocates, and compiles where that is asked for
    for _ in range(ALTERNATIONS):
        for side, play in sides.items():
            play()  # caches are warm and the allocator is this side's
            start, rounds = _now(device), 0
            while (elapsed := _now(device) - start) < SECONDS or not rounds:
                play()
                rounds += 1
            times[side].append(elapsed / rounds)
    return {side: statistics.median(values) for side, values in times.items()}


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _flops(step: "BareStep") -> float:
    """Of one round's convolutions and matrix products, forwards and backwards."""
    with FlopCounterMode(display=False) as counter:
        step.play()
    return counter.get_total_flops()


def _convolution_peak(setup: Setup) -> float:
    """FLOP/s of a large 3x3 convolution in the run's precision on this machine."""
    device, dtype = setup.device, setup.precision.dtype
    images = torch.randn(64, 128, 32, 32, device=device, dtype=dtype).to(memory_format=torch.channels_last)
    layer = nn.Conv2d(128, 128, 3, padding=1, device=device, dtype=dtype)
    times = []
    with torch.no_grad():
        for _ in range(20):
            start = _now(device)
            layer(images)
            times.append(_now(device) - start)
    return 2 * 64 * 128 * 128 * 9 * 32 * 32 / min(times)


def _peak_memory(cfg: DictConfig, side: str) -> int:
    """Bytes that a process of its own needs at most for a few rounds of one side."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_play_alone, cfg, side).result()


def _play_alone(cfg: DictConfig, side: str) -> int:
    register_resolvers()
    setup = set_up(cfg)
    image_set = prepare(setup.source, on_bad_image="skip", progress=False)
    data = make_stream(setup, image_set)
    play = PlainLoop(setup, image_set.images, image_set.labels).play if side == "plain" else BareStep(setup, data).play
    for _ in range(MEMORY_ROUNDS):
        play()
    if setup.device.type == "cuda":
        return torch.cuda.max_memory_allocated(setup.device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

"""What fits into memory: the batch or the micro-batch that rounds of every kind were played with."""

import gc
import logging
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from omegaconf import DictConfig, OmegaConf
from torch import nn

from gantool.config import Written
from gantool.config.composed import settings, typed_words
from gantool.config.leaves import leaves
from gantool.data.cache import prepare
from gantool.data.stream import Stream
from gantool.errors import GantoolError, out_of_memory
from gantool.folder import is_run
from gantool.game import Progress
from gantool.games.gan import GAN
from gantool.launch import processes
from gantool.ranks import agree, world
from gantool.runs.build import Setup, build_state, build_stream, check_batches, set_up
from gantool.runs.compiling import forget_compiled
from gantool.runs.monitors import build_measurements
from gantool.runs.parallel import arrange, check_parallel, period_of, settings_of
from gantool.training.loop import play_round
from gantool.training.state import State

log = logging.getLogger(__name__)

_AUTO = ("auto", "auto-micro")
_WORTH = 1.05  # a batch twice as large is taken if it makes training so many times as fast
_ROUNDS, _SECONDS = 16, 2.0  # timed at each place, and after which no more are begun


@dataclass(frozen=True)
class Attempt:
    """Plays rounds of a run to see whether they fit and how long they take, of a state that was arranged for them. It
    is then that of a run under way, but of no use for one."""

    setup: Setup
    state: State
    data: Stream

    def play(self, batch_size: int, microbatch: int | None) -> float | None:
        """Seconds an image takes in the mean over the run; None where memory does not hold it."""
        forget_compiled(self.setup.config.trainer.compile)  # for another size
        for optimizer in self.state.optimizers.values():
            optimizer.optimizer.state.clear()  # of an attempt that may have ended amid a step
            for parameter in optimizer.parameters:
                parameter.grad = None  # which may lie in the memory of the last attempt's graphs
        self.state.precision.renew_scaler()  # likewise
        try:
            paces = [self._pace(start, batch_size, microbatch) for start in self._places(batch_size)]
            return sum(paces) / len(paces)
        except Exception as error:
            if out_of_memory(error) is None:
                raise
        gc.collect()
        if self.state.precision.device.type == "cuda":
            torch.cuda.empty_cache()
        return None

    def _places(self, batch_size: int) -> Iterator[Progress]:
        """Where the rounds are played: at the start, where every lazy term is due; of a growing network, at five places
        up to the end, where it is whole."""
        game, total = self.state.game, self.state.progress.total
        grows = isinstance(game, GAN) and game.growth is not None
        for part in (0.0, 0.25, 0.5, 0.75, 1.0) if grows else (0.0,):
            size = game.batch_size(batch_size) * game.batches_per_round
            nimg = int(part * total) // size * size
            yield Progress(nimg, nimg // size, nimg, total)

    def _pace(self, start: Progress, batch_size: int, microbatch: int | None) -> float:
        state, device = self.state, self.state.precision.device
        state.progress = start
        how = replace(settings_of(self.setup), batch_size=batch_size, microbatch=microbatch)
        measurements = build_measurements(self.setup, state, self.data.num_images)

        def play() -> None:
            with state.whole(averages=False):
                play_round(state, self.data, measurements, how)

        def wait() -> None:
            with state.whole(averages=False):
                measurements.check(state.game)

        for _ in range(1 if how.graphs is None else 2 * period_of(self.setup) + 1):  # which allocates, and captures
            play()
        wait()
        began, first = time.perf_counter(), state.progress.nimg
        for _ in range(_ROUNDS):
            play()
            if any(agree([time.perf_counter() - began > _SECONDS], device)):  # one message a round, as in a run
                break
        wait()  # for the device
        return (time.perf_counter() - began) / (state.progress.nimg - first)

    def microbatch(self, batch_size: int) -> int | None:
        """The largest micro-batch that fits, `batch_size` halved as often as need be; None where none does."""
        least = 2 if any(isinstance(m, nn.BatchNorm1d) for m in self.state.game.modules()) else 1
        size = batch_size
        while size >= least:
            if self.play(batch_size, size) is not None:
                return size
            size //= 2
        return None


def what_fits(setup: Setup, state: State, data: Stream, text: str) -> GantoolError:
    """The error for a run that was out of memory, as `text` of gantool.errors.out_of_memory says; the state is of no
    use afterwards."""
    if world() > 1:
        return GantoolError(text)
    trainer, what = setup.config.trainer, text.partition(":")[0]
    trial = Attempt(setup, state, data)
    now = min(trainer.microbatch or trainer.batch_size, trainer.batch_size)
    if trial.play(trainer.batch_size, now) is not None:
        return GantoolError(
            f"{what}: training fits, its monitors do not: choose a smaller monitor.scores.batch_size or "
            "monitor.scores.num, or leave a monitor out"
        )
    if (fits := trial.microbatch(now // 2)) is None:
        return GantoolError(f"{what}: no trainer.microbatch fits: choose a smaller network or dataset.resolution")
    return GantoolError(f"{what}: trainer.microbatch={fits} fits (the batch stays {trainer.batch_size} images)")


def assume_batch(cfg: DictConfig) -> str | None:
    """Lets trainer.batch_size in `cfg` follow the recipe where it is auto or auto-micro; returns which it was, None
    where it is a number."""
    asked = OmegaConf.select(cfg, "trainer.batch_size", throw_on_resolution_failure=False)
    if asked not in _AUTO:
        return None
    cfg.trainer.batch_size = "${recipe.batch_size}"
    return asked


def settle_batch(
    cfg: DictConfig, written: Written, run_dir: Path, look: Callable[[Setup], object] = check_parallel
) -> None:
    """Writes the numbers that fit into `cfg` where it says trainer.batch_size=auto: the largest batch, the recipe's
    doubled as long as it fits and training gets faster; or auto-micro: the largest micro-batch for the recipe's batch.
    A run that is there keeps what it began with. `look` is called before images are read: it may refuse the run.

    Raises GantoolError where none fits, under torchrun, and as set_up does.
    """
    if (asked := assume_batch(cfg)) is None:
        return
    if is_run(run_dir):
        before, begun = settings(run_dir), typed_words(run_dir)
        raw = leaves(OmegaConf.to_container(cfg))  # with its ${...}, as words are kept
        for key in ("trainer.batch_size", "trainer.microbatch", "recipe.batch_size"):
            value = asked if key == "trainer.batch_size" else OmegaConf.select(cfg, key)
            if written.has(key) and not {f"{key}={value}", f"{key}={raw.get(key)}"} & {*begun}:
                raise GantoolError(
                    f"{key}={value}: an existing run keeps what trainer.batch_size=auto found, or its first batch "
                    f"({before['trainer.batch_size']} images, trainer.microbatch={before['trainer.microbatch']}): name "
                    "numbers for both, or start a new run in another hydra.run.dir"
                )
        cfg.recipe.batch_size, cfg.trainer.microbatch = before["trainer.batch_size"], before["trainer.microbatch"]
        return
    if processes() > 1:
        raise GantoolError(f"trainer.batch_size={asked} is for one process: give torchrun's processes a number")
    if asked == "auto-micro" and cfg.trainer.microbatch is not None:
        raise GantoolError("trainer.batch_size=auto-micro chooses trainer.microbatch: leave one of them out")
    setup = set_up(deepcopy(cfg), written)
    look(setup)
    check_batches(setup)
    image_set = prepare(setup.source, on_bad_image=setup.config.dataset.on_bad_image)
    trainer, num_images = setup.config.trainer, len(image_set.images)
    trial = Attempt(setup, build_state(setup, num_images), build_stream(setup, image_set))
    arrange(setup, trial.state)
    if asked == "auto-micro":
        fits = trial.microbatch(trainer.batch_size)
        cfg.trainer.microbatch = None if fits == trainer.batch_size else fits
        log.info("trainer.batch_size=auto-micro: batches of %d, trainer.microbatch=%s", trainer.batch_size, fits)
    else:
        fits, why = _fastest(trial, trainer.batch_size, trainer.microbatch, num_images)
        cfg.recipe.batch_size = fits or trainer.batch_size
        log.info("trainer.batch_size=auto: %s (%s); learning rates stay as they are", fits, why)
    forget_compiled(trainer.compile)
    if fits is None:
        raise GantoolError("out of memory: no batch fits: choose a smaller network or dataset.resolution")


def _fastest(trial: Attempt, size: int, microbatch: int | None, num_images: int) -> tuple[int | None, str]:
    """The batch, None where none fits, and why it is not larger."""
    best, no_room = trial.play(size, microbatch), "twice as many images do not fit"
    while best is None and size > 1:
        size //= 2
        if (best := trial.play(size, microbatch)) is not None:
            return size, no_room
    if best is None:
        return None, no_room
    while 2 * size <= num_images:
        if (pace := trial.play(2 * size, microbatch)) is None:
            return size, no_room
        if pace * _WORTH > best:
            return size, f"batches of {2 * size} train no faster"
        size, best = 2 * size, pace
    return size, f"twice as many are more than the {num_images:,} images there are"

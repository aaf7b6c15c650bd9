"""A dry run: rounds of every kind, a look of every monitor and a checkpoint, timed and measured; nothing is kept."""

import io
import logging
import shutil
import time
from collections.abc import Sequence
from datetime import timedelta
from itertools import islice
from pathlib import Path

import torch

from gantool.data.stream import Stream
from gantool.errors import GantoolError, out_of_memory
from gantool.metrics.embedding import embed
from gantool.monitors.scores import Scores, made
from gantool.runs.build import Setup
from gantool.runs.fitting import Attempt, what_fits
from gantool.runs.housekeeping import in_bytes
from gantool.training.hardware import peak_memory, total_memory
from gantool.training.loop import Every
from gantool.training.state import State

log = logging.getLogger(__name__)

_LINES = ("parameters", "memory", "pace", "whole run", "looks", "disk")


def rehearse(setup: Setup, run_dir: Path, state: State, data: Stream, monitors: Sequence[Every]) -> None:
    """Tells parameters, memory, images a second, time of the whole run and of each look, and disk for checkpoints.

    Plays rounds of every kind and lets every monitor look once, scores at two batches of their images. Raises
    GantoolError where memory does not hold one of them.
    """
    device, total = setup.device, state.progress.total
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    trainer = setup.config.trainer
    trial = Attempt(setup, state, data)
    pace = trial.play(trainer.batch_size, trainer.microbatch)
    if pace is None:
        raise what_fits(setup, state, data, "out of memory: a round does not fit")
    try:
        looks = [(every, _time(every, state)) for every in monitors]
    except Exception as error:
        if out_of_memory(error) is None:
            raise
        looks = None
    if looks is None:
        raise what_fits(setup, state, data, "out of memory: a look at the run does not fit")
    seconds = sum(-(-total // every.interval) * (seconds * times) for every, (_, seconds, times) in looks)
    told = ", ".join(f"{name} {_in_words(one * times)}" for _, (name, one, times) in looks) or "none"
    size = _size(state)
    best = 1 if any(isinstance(every.monitor, Scores) for every in monitors) else 0
    kept = trainer.keep_checkpoints + best + (trainer.watchdog.action in ("stop", "rollback"))
    parameters = (
        f"{name} {sum(p.numel() for p in player.parameters()):,}" for name, player in setup.game.players.items()
    )
    values = (
        ", ".join(parameters),
        f"{in_bytes(peak_memory(device))} at most, of {in_bytes(total_memory(device))}",
        f"{1 / pace:.0f} images/s in batches of {trainer.batch_size}",
        f"{_in_words(pace * total + seconds)} for {total / 1000:g} kimg, {_in_words(seconds)} of it for looks",
        told,
        f"{kept} checkpoints of {in_bytes(size)}, and {in_bytes(_free(run_dir))} are free",
    )
    width = max(map(len, _LINES))
    lines = [f"{name:<{width}}  {value}" for name, value in zip(_LINES, values, strict=True)]
    log.info("%s", "\n".join(["dry run, nothing is kept:", *lines]))
    if kept * size > _free(run_dir):
        raise GantoolError(f"{run_dir}: no room for the checkpoints: make some, or choose another hydra.run.dir")


def _time(every: Every, state: State) -> tuple[str, float, float]:
    """The monitor's name, the seconds of what was done, and how many times as much a look is."""
    monitor, began, times = every.monitor, time.perf_counter(), 1.0
    if isinstance(monitor, Scores):
        scorer, seen = monitor.scorer, 0
        with torch.no_grad():
            for block in islice(made(state.game, state.ema.generators, scorer), 2):
                began = began if seen else time.perf_counter()  # the first one allocates
                embed(scorer.features, [block], scorer.device)
                seen += len(block[0])
        times = scorer.num / seen
    else:
        every.look(state)
    return type(monitor).__name__.lower(), time.perf_counter() - began, times


def _size(state: State) -> int:
    """Bytes of a checkpoint."""
    buffer = io.BytesIO()
    torch.save(state.state_dict(), buffer)
    return buffer.tell()


def _free(folder: Path) -> int:
    """Bytes that are free where `folder` is, or will be."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free


def _in_words(seconds: float) -> str:
    return f"{seconds:.2g} s" if seconds < 60 else str(timedelta(seconds=round(seconds)))

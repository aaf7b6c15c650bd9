"""A dry run: rounds of every kind, a look of every monitor and a checkpoint, timed and measured; nothing is kept."""

import io
import logging
import shutil
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import torch

from gantool.data.stream import Stream
from gantool.errors import GantoolError, out_of_memory
from gantool.logging.progress import Block
from gantool.metrics.embedding import embed
from gantool.metrics.scorer import Scorer
from gantool.monitors.scores import Scores, made
from gantool.ranks import rank, world
from gantool.runs.build import Setup
from gantool.runs.fitting import Attempt, what_fits
from gantool.runs.housekeeping import in_bytes
from gantool.runs.parallel import arrange
from gantool.training.hardware import peak_memory, total_memory
from gantool.training.loop import Every
from gantool.training.state import State

log = logging.getLogger(__name__)


def rehearse(setup: Setup, run_dir: Path, state: State, data: Stream, monitors: Sequence[Every]) -> None:
    """Tells parameters, memory, images a second, time of the whole run and of each look, and disk for checkpoints.

    Plays rounds of every kind and lets every monitor look once, scores at two batches of their images; the state is of
    no use afterwards. Raises GantoolError where memory does not hold one of them, or the disk the checkpoints.
    """
    device, total, trainer = setup.device, state.progress.total, setup.config.trainer
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    arrange(setup, state)
    pace = Attempt(setup, state, data).play(trainer.batch_size, trainer.microbatch)
    looks = None if pace is None else _looks(monitors, state)
    if pace is None or looks is None:
        raise what_fits(setup, state, data, "out of memory: choose a smaller trainer.batch_size or network")
    seconds = sum(-(-total // every.interval) * one for every, (_, one) in zip(monitors, looks, strict=True))
    best = any(isinstance(every.monitor, Scores) for every in monitors)
    kept = trainer.keep_checkpoints + best + (trainer.watchdog.action in ("stop", "rollback"))
    size, free, whole = _size(state), _free(run_dir), _in_words(pace * total + seconds)
    told = {
        "parameters": ", ".join(f"{name} {count:,}" for name, count in state.parameters.items()),
        "memory": f"{in_bytes(peak_memory(device))} at most, of {in_bytes(total_memory(device))}",
        "pace": f"{1 / pace:.0f} images/s in batches of {trainer.batch_size}",
        "whole run": f"{whole} for {total / 1000:g} kimg, {_in_words(seconds)} of it for monitors",
        "monitors": ", ".join(f"{name} {_in_words(one)}" for name, one in looks) or "none",
        "disk": f"{kept} checkpoints of {in_bytes(size)}, and {in_bytes(free)} are free",
    }
    width = max(map(len, told))
    log.info("%s", "\n".join(["dry run, nothing is kept:", *(f"{name:<{width}}  {told[name]}" for name in told)]))
    if rank() == 0 and (kept + 1) * size > free:  # the new one is whole before an old one goes
        raise GantoolError(f"{run_dir}: no room for the checkpoints: make room, or choose another hydra.run.dir")


def _looks(monitors: Sequence[Every], state: State) -> list[tuple[str, float]] | None:
    """Every monitor's name and the seconds of a look; None where memory does not hold one."""
    try:
        with state.whole():
            return [_time(every, state) for every in monitors]
    except Exception as error:
        if out_of_memory(error) is None:
            raise
    return None


def _time(every: Every, state: State) -> tuple[str, float]:
    monitor, began, seen = every.monitor, time.perf_counter(), 0

    def blocks(scorer: Scorer) -> Iterator[Block]:
        nonlocal began, seen
        for block in islice(made(state.game, state.ema.generators, scorer), 2):
            began = began if seen else time.perf_counter()  # the first one allocates
            seen += len(block[0])
            yield block

    if isinstance(monitor, Scores):
        with torch.no_grad():
            embed(monitor.scorer.features, blocks(monitor.scorer), monitor.scorer.device)  # once, by all ranks
    else:
        every.look(state)
    times = monitor.scorer.num / (seen * world()) if isinstance(monitor, Scores) and seen else 1.0
    return type(monitor).__name__.lower(), times * (time.perf_counter() - began)


def _size(state: State) -> int:
    """Bytes of a checkpoint: of a run under way, once rounds were played."""
    buffer = io.BytesIO()
    torch.save(state.state_dict(), buffer)
    return buffer.tell()


def _free(folder: Path) -> int:
    """Bytes that are free where `folder` is, or will be."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free


def _in_words(seconds: float) -> str:
    """'17 s', '6 min 13 s', '2 h 5 min', '3 d 4 h'."""
    if seconds < 59.5:
        return f"{seconds:.2g} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours < 24 else f"{hours // 24} d {hours % 24} h"

"""What gantool train says of a run, at its start and at its end."""

import math
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from gantool.config import Train, Written, resolve
from gantool.config.composed import common
from gantool.config.messages import as_typed
from gantool.config.parts import nodes
from gantool.config.schema import owned
from gantool.config.trust import foreign
from gantool.margins import written
from gantool.metrics.scorer import Scorer
from gantool.paths import conf_dir
from gantool.ranks import world
from gantool.runs.build import Setup
from gantool.shapes import sides
from gantool.training.checkpoint import Checkpoints
from gantool.training.ending import Ending
from gantool.training.state import State

_TUNED = ("loss", "dataset", "model", "model.generator", "model.discriminator")  # parts that the recipe is for


def headline(setup: Setup, run_dir: Path, num_images: int, nimg: int) -> str:
    """What is trained on how much, where, and into which folder."""
    source, precision = setup.source, setup.precision
    shape = "x".join(map(str, (source.channels, *sides(source.resolution))))
    where = f"{setup.device}, {precision.name}" + (f", {world()} ranks" if world() > 1 else "")
    resumed = f"going on at {nimg / 1000:g} kimg, " if nimg else ""
    told = f"{resumed}{num_images:,} images of {source.name}, {shape}, on {where}, into {run_dir}"
    if source.num_classes and not setup.config.model.conditional:
        what = "labels" if source.vectors else f"{source.num_classes} classes"
        told += f"\n{source.name} has {what} that this model does not use: model.conditional=true uses them"
    return "\n".join([told, *limits(setup.config)])


def limits(config: Train) -> Iterator[str]:
    """A line for each setting that does less than it says beside another one."""
    if config.trainer.compile is True and config.auxiliary:
        heads = ",".join(config.auxiliary)
        yield f"trainer.compile=true leaves the discriminator as it is, as auxiliary={heads} reads its features"
    histograms = any(part.target == "gantool.monitors.histograms.Histograms" for part in config.monitor.values())
    if config.trainer.parallel == "sharded" and histograms:
        yield "trainer.parallel=sharded shares the gradients: monitor=histograms shows those of the weights alone"


def inherited(cfg: DictConfig, written: Written, chosen: Mapping[Any, Any]) -> Iterator[str]:
    """A line for each class that was typed over the one of a choice, and goes on with values that came with that;
    `chosen`: the choice in each group."""
    found, always = dict(nodes(resolve(cfg))), common()
    for path in sorted(key.removesuffix("._target_") for key in written.typed if key.endswith("._target_")):
        group, deep = path.partition(".")[0], path.replace(".", "/")
        key = next((one for one in (f"{deep}@{path}", deep, group) if isinstance(chosen.get(one), str)), None)
        if key is None or path not in found:
            continue
        strange = {name for name in found[path] if str(name).startswith("_") or name in owned(path)}
        came = {
            name: value
            for name, value in found[path].items()
            if not (name in strange or value is None or written.has(f"{path}.{name}"))
            and not (isinstance(value, dict) and written.has(f"{path}.{name}._target_"))
            and always.get(path, {}).get(name) != value
        }
        label, whole = f"{key.partition('@')[0]}={chosen[key]}", f"{group}={chosen.get(group)}"
        told = [f"{', '.join(f'{name}={_briefly(value)}' for name, value in came.items())} came with {label}"]
        told = told if came else []
        file = conf_dir() / group / f"{chosen.get(group)}.yaml"
        if path in _TUNED and file.is_file() and "recipe:" in file.read_text(encoding="utf-8"):
            told.append(f"the suggested values (recipe) are those of {whole}")
        if told:
            yield f"note: {path}._target_ is yours; {', and '.join(told)}"


def _briefly(value: object) -> str:
    """A value as it is typed, of a group of keys its class or its names."""
    return str(value.get("_target_") or as_typed([*value])) if isinstance(value, dict) else as_typed(value)


def how_finished(state: State, ending: Ending) -> str | None:
    """Why there is nothing left to train, and what goes on; None where there is something."""
    if reason := ending.reason(state.ending, state.metrics):
        return f"{reason}; to continue, set {_without(reason)}"
    if state.progress.done:
        kimg = f"{state.progress.nimg / 1000:g}"
        return f"it has {kimg} kimg already; to continue, set trainer.duration above {kimg}kimg"
    return None


def _without(reason: str) -> str:
    return f"{reason.partition(':')[0]}=null"


def farewell(setup: Setup, run_dir: Path, state: State, scorer: Scorer | None, ending: Ending) -> str:
    """Why it ended where that was early, what it scored, where its files are and how to go on."""
    reason, nimg = ending.reason(state.ending, state.metrics), state.progress.nimg
    stopped = not state.progress.done  # by the clock: a signal says so elsewhere
    early = f"trainer.time_limit={setup.config.trainer.time_limit}: a checkpoint is saved" if stopped else reason
    lines = [f"ended:    at {nimg / 1000:g} kimg, {early}"] if early else []
    if scorer is not None and state.best:
        scores = ", ".join(f"{name} {written(value, state.margins.get(name))}" for name, value in state.metrics.items())
        floor = ", ".join(f"{name} {written(value)}" for name, value in scorer.floor.items())
        best = state.best
        lines.append(f"scores:   {scores}")
        lines += [f"          real images against real images: {floor}"] if floor else []
        lines.append(f"best:     {best['metric']} {best['value']:.4g} at {best['nimg'] / 1000:g} kimg{_place(run_dir)}")
    trust = " trust=true" if any(foreign(OmegaConf.to_container(setup.cfg))) else ""
    more = "" if stopped else f" {_without(reason)}" if reason else f" trainer.duration={_twice(state)}kimg"
    lines += [
        f"samples:  {run_dir / 'samples'}",
        f"curves:   tensorboard --logdir {shlex.quote(str(run_dir))}",
        f"go on:    gantool train {shlex.quote(f'resume={run_dir}')}{trust}{more}",
    ]
    return "\n".join(lines)


def _twice(state: State) -> int:
    """A plain number of thousand images, about twice what the run was asked for and more than it has seen."""
    return max(math.ceil(2 * state.progress.total / 1000), state.progress.nimg // 1000 + 1)


def _place(run_dir: Path) -> str:
    path = Checkpoints(run_dir).best
    return f": {path} (checkpoint=best uses it)" if path else ""

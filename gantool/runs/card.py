"""The model card beside a snapshot: what it was trained on and how, what it scores and how that was measured."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import torch

from gantool import __version__
from gantool.config.composed import choices
from gantool.errors import GantoolError
from gantool.files import write_whole
from gantool.images import normalise
from gantool.logging.grid import enlarged, grid, save_grid, save_png, with_column_names
from gantool.logging.jsonl import read_metrics
from gantool.margins import written
from gantool.runs.sampling import column_names, columns_for
from gantool.runs.snapshot import shown_vectors
from gantool.runs.trained import TrainedRun
from gantool.runs.translation import choose_direction, list_sources
from gantool.screen import shown as printable
from gantool.sweeps.results import Result

NAME, GRID = "README.md", "samples.png"
_SAMPLES = 64
_FEW = 10  # classes that are named
_PROTOCOL = ("extractor", "weights_sha256", "resize", "split", "shape", "pixels_sha256", "num_fake", "num_real", "seed")
_PROTOCOL += ("ema", "standing_statistics", "floor", "warning")


def write_card(folder: Path, run: TrainedRun, license: str | None) -> None:
    """Writes README.md and, where samples can be made, samples.png into `folder`; `license` is a Hub's name of one,
    such as cc-by-4.0. No path of this machine is in them."""
    shown = _draw(folder / GRID, run)
    write_whole(folder / NAME, "\n".join(_lines(run, license, shown=shown)) + "\n")


@torch.no_grad()
def _draw(path: Path, run: TrainedRun) -> bool:
    if not run.game.translates:
        columns = columns_for(_SAMPLES, run.num_classes)
        names = column_names(run, run.labelled.in_turn(_SAMPLES), columns)
        save_png(with_column_names(enlarged(grid(run.sample(_SAMPLES), columns)), names), path)
        return True
    try:
        direction, network = choose_direction(run, None)
        images = torch.stack([image for image, _ in zip(list_sources(run, None, direction)[1], range(8), strict=False)])
    except GantoolError:  # its images are not here
        return False
    before = normalise(images.to(run.device))
    save_grid(grid(torch.stack([before, network(before)], 1).flatten(0, 1), 8), path)
    return True


def _lines(run: TrainedRun, license: str | None, *, shown: bool) -> Iterator[str]:
    chosen, config, result = choices(run.folder), run.config, Result.read(run.folder)
    model, data = chosen.get("model", "GAN"), chosen.get("dataset", "images")
    task = "" if run.labelled.num else "pipeline_tag: unconditional-image-generation"  # the Hub has none by class
    task = "pipeline_tag: image-to-image" if run.game.translates else task
    channels, height, width = run.shape
    yield from ("---", "library_name: gantool", *filter(None, [task]), f"license: {license or 'unknown'}")
    yield from ("tags:", "- gan", f"- {model}", "---", "", f"# {model} trained on {data}", "")
    if shown:
        yield from (f"![samples]({GRID})", "")
    call = f"generator.sample(64, seed=0{_labels(run)})"
    if run.game.translates:
        call = "generator(images)  # (N, C, H, W) in [-1, 1]"
    names = list(run.generators)
    name = "" if len(names) == 1 else f', "{names[0]}"'
    yield from ("## Use", "", "```python", "import gantool", "")
    yield from (f'generator = gantool.load("USER/MODEL"{name})  # or this folder', f"images = {call}", "```", "")
    classes = f", {run.num_classes} classes{_named(run)}" if run.num_classes else ""
    yield from ("## Data", "", f"{data}: {channels}x{height}x{width} pixels{classes}.", "")
    if (vectors := shown_vectors(run.labelled)) is not None:
        yield from (f"The snapshot holds the labels of {len(vectors)} training images, to sample labels from.", "")
    rates = {player: config.optimizer.of(player)["lr"] for player in run.game.players}
    trainer = config.trainer
    half_life = trainer.ema_half_life if isinstance(trainer.ema_half_life, str) else "on a schedule"
    settings = {
        "model": model,
        "loss": chosen.get("loss", "?"),
        "optimizer": f"{chosen.get('optimizer', '?')}, "
        + ", ".join(f"{name} {rate:g}" for name, rate in rates.items()),
        "augmentation": chosen.get("augment", "none"),
        "batch": trainer.batch_size,
        "images seen": f"{run.nimg:,}",
        "precision": trainer.precision,
        "seed": trainer.seed,
        "weights": f"averaged, half-life {half_life}" if run.ema else "as trained",
        "gantool, torch": f"{__version__}, {torch.__version__}",
    }
    yield from (
        "## Settings",
        "",
        "| | |",
        "|---|---|",
        *(f"| {key} | {value} |" for key, value in settings.items()),
        "",
    )
    yield from ("## Scores", "", *_scores(result, _scored_at(run), run.nimg), "")
    yield from ("## Licence", "", _licence(license))


def _labels(run: TrainedRun) -> str:
    """How images of one class are asked for: by its name where it has one."""
    if not run.num_classes:
        return ""
    name = run.labelled.names[-1] if run.labelled.names else run.num_classes - 1
    return f", labels={json.dumps(printable(name), ensure_ascii=False) if isinstance(name, str) else name}"


def _named(run: TrainedRun) -> str:
    """The first few names of classes, no character of which is a mark of Markdown's."""
    words = (" ".join(printable(name).split()) for name in run.labelled.names[:_FEW])
    names = [re.sub(r"([\\`*_{}\[\]<>()#!|~$])", r"\\\1", word) for word in words]
    return f": {', '.join(names)}{', ...' if run.num_classes > _FEW else ''}" if names else ""


def _scored_at(run: TrainedRun) -> int:
    """Images seen by the weights that were scored last."""
    scored = [line for line in read_metrics(run.folder) if any(tag.startswith("metrics/") for tag in line)]
    return scored[-1]["nimg"] if scored else run.nimg


def _scores(result: Result, scored: int, nimg: int) -> Iterator[str]:
    if not result.metrics:
        yield "Not scored."
        return
    yield from ("| score | value |", "|---|---|")
    for name, value in result.metrics.items():
        better = "higher" if name in result.higher_is_better else "lower"
        yield f"| {name} ({better} is better) | {written(value, result.margins.get(name))} |"
    protocol = result.protocol or {}
    yield from ("", f"Measured at {scored / 1000:g} kimg; these weights have seen {nimg / 1000:g}. Protocol:", "")
    yield from (f"- {key}: {protocol[key]}" for key in _PROTOCOL if protocol.get(key) is not None)


def _licence(license: str | None) -> str:
    own = (
        f"The weights: {license}." if license else "Not stated: the weights may be used as far as their author allows."
    )
    return f"{own} The data has its own terms."

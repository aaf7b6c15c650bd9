"""gantool truncation: scores a trained run at several truncations of its latents (Brock 2019, section 3.1), which
trade variety for fidelity, and draws the curve."""

import csv
import json
import logging
from pathlib import Path
from typing import Annotated, Literal

import torch
from omegaconf import DictConfig
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt
from torch import Tensor

from gantool.commands.build import make
from gantool.runs.trained import TrainedRun, load_run, read_options
from gantool.data.cache import prepare
from gantool.errors import GantoolError
from gantool.game import Batch, Progress
from gantool.games.gan import GAN
from gantool.logging.grid import grid, save_png
from gantool.metrics.scorer import Scorer
from gantool.monitors.scores import Scores
from gantool.training.randomness import seed_torch

log = logging.getLogger(__name__)

_COLUMNS = 10  # images of each threshold in the grid


class Options(BaseModel):
    """The keys of conf/truncation.yaml."""

    model_config = ConfigDict(strict=True, extra="forbid")

    run: str | None
    thresholds: Annotated[list[PositiveFloat | None], Field(min_length=1)]
    num: Annotated[int, Field(ge=2)]
    seed: Annotated[int, Field(ge=0)]
    ema: bool
    checkpoint: Literal["newest", "best"]
    batch_size: PositiveInt
    device: str
    plot: bool
    out: str | None


@torch.no_grad()
def truncation(cfg: DictConfig) -> None:
    """Writes truncation.csv and .json, curve.png and samples.png (a row for each threshold). Batch norm uses the
    statistics that it kept in training, of whole latents. Raises GantoolError for the user's mistakes."""
    options = read_options(cfg, Options)
    if options.plot:
        check_matplotlib()
    run = load_run(options.run, ema=options.ema, device=options.device, checkpoint=options.checkpoint)
    if not isinstance(run.game, GAN):
        raise GantoolError(f"{run.folder} translates images: it has no latent to truncate")
    thresholds = sorted(set(options.thresholds), key=lambda threshold: threshold or float("inf"))
    samples = torch.cat([row(run, threshold, options.seed) for threshold in thresholds])
    scorer = make_scorer(run, options)
    rows: list[dict[str, float | None]] = []
    for threshold in thresholds:
        record = Scores(scorer, 0, truncation=threshold)(run.game, run.generators, Progress())
        scores = {name.removeprefix("metrics/"): value for name, value in record.scalars.items()}
        rows.append({"threshold": threshold, **scores})
        told = ", ".join(f"{name} {value:.2f}" for name, value in scores.items())
        log.info("%s: %s", words(threshold), told)
    name = f"{run.nimg / 1000:010.3f}-seed{options.seed}"
    out = Path(options.out).expanduser() if options.out else run.folder / "truncation" / name
    protocol = {**scorer.protocol(), "ema": options.ema, "nimg": run.nimg}
    try:
        out.mkdir(parents=True, exist_ok=True)
        with (out / "truncation.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
        (out / "truncation.json").write_text(json.dumps({"protocol": protocol, "scores": rows}, indent=2) + "\n")
        save_png(grid(samples, _COLUMNS), out / "samples.png")
        if options.plot:
            draw(rows, out / "curve.png")
    except OSError as error:
        raise GantoolError(f"cannot write {out} ({error.strerror or error}): make room or choose out=FOLDER") from error
    log.info("%d thresholds of %s at %g kimg: %s", len(rows), run.folder, run.nimg / 1000, out)


def words(threshold: float | None) -> str:
    """How a threshold is told: '0.5', or 'whole' for none."""
    return "whole" if threshold is None else f"{threshold:g}"


def check_matplotlib() -> None:
    """Raises GantoolError where it is not installed."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise GantoolError("the curve needs matplotlib: pip install 'gantool[analysis]', or plot=false") from error


def make_scorer(run: TrainedRun, options: Options) -> Scorer:
    """The run's own features against its own data set; those of the data set where it trained without scores."""
    dataset = run.plain["dataset"]
    features = run.plain["metrics"]["features"] or dataset["features"]
    image_set = prepare(make(dataset["source"]), on_bad_image=dataset["on_bad_image"])
    counts = {"num_samples": options.num, "batch_size": options.batch_size}
    return Scorer(make(features), image_set, **counts, seed=options.seed, device=run.device)


def row(run: TrainedRun, threshold: float | None, seed: int) -> Tensor:
    """(10, C, H, W) images; the truncated latents of every threshold come from the same random numbers."""
    labels = torch.arange(_COLUMNS, device=run.device) % run.num_classes if run.num_classes else None
    seed_torch("truncation", seed)
    batch = Batch(torch.zeros(_COLUMNS, *run.shape, device=run.device), labels, truncation=threshold)
    return run.game.sample(batch, run.generators)


def draw(rows: list[dict[str, float | None]], path: Path) -> None:
    """The second score over the first, a point for each threshold."""
    from matplotlib.figure import Figure

    _, distance, inception = rows[0]
    figure = Figure(figsize=(5, 4), layout="constrained")
    axes = figure.subplots()
    points = [(r[inception], r[distance]) for r in rows]
    axes.plot(*zip(*points, strict=True), marker="o", linewidth=1)
    for place, r in zip(points, rows, strict=True):
        axes.annotate(words(r["threshold"]), place, xytext=(4, 4), textcoords="offset points")
    axes.set(xlabel=f"{inception} (higher is better)", ylabel=f"{distance} (lower is better)")
    axes.margins(0.12)  # room for what stands beside a point
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=150)

"""What a run scores at several truncations of its latents (Brock 2019, section 3.1), which trade variety for
fidelity."""

from pathlib import Path

import torch
from torch import Tensor, nn

from gantool.batch import Draws, Request
from gantool.files import whole
from gantool.randomness import seed_torch
from gantool.runs.trained import TrainedRun

COLUMNS = 10  # images of each threshold in the grid


def words(threshold: float | None) -> str:
    """How a threshold is told: '0.5', or 'whole' for none."""
    return "whole" if threshold is None else f"{threshold:g}"


@torch.no_grad()
def row(run: TrainedRun, generators: nn.ModuleDict, threshold: float | None, seed: int) -> Tensor:
    """(10, C, H, W) images; the truncated latents of every threshold come from the same random numbers."""
    labels = run.labelled.in_turn(COLUMNS)
    labels = None if labels is None else labels.to(run.device)
    seed_torch("truncation", seed)
    return run.game.sample(Request(Draws(COLUMNS, run.device), labels, truncation=threshold), generators)


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
    with whole(path) as partial:
        figure.savefig(partial, dpi=150)

"""What a run scores at several truncations of its latents (Brock 2019, section 3.1), which trade variety for
fidelity."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from gantool.batch import Draws, Request
from gantool.randomness import seed_torch
from gantool.runs.trained import TrainedRun

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = 10  # images of each threshold in the grid


def words(threshold: float | None) -> str:
    """How a threshold is told: '0.5', or 'whole' for none."""
    return "whole" if threshold is None else f"{threshold:g}"


@torch.no_grad()
def row(run: TrainedRun, generators: nn.ModuleDict, threshold: float | None, seed: int) -> Tensor:
    """(10, C, H, W) images; the latents of every threshold come from the same random numbers, whole ones too."""
    labels = run.labelled.in_turn(COLUMNS)
    labels = None if labels is None else labels.to(run.device)
    seed_torch("truncation", seed)
    widest = math.inf if threshold is None else threshold  # without any, a latent draws in another way
    return run.game.sample(Request(Draws(COLUMNS, run.device), labels, truncation=widest), generators)


def draw(rows: Sequence[dict[str, float | None]]) -> "Figure":
    """The second score over the first, a point for each threshold, named beside the axes: points may lie together."""
    import matplotlib
    import numpy as np
    from matplotlib.figure import Figure

    _, distance, fidelity = rows[0]
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    points = np.array([[r[fidelity], r[distance]] for r in rows], float)
    axes.plot(*points.T, color="0.7", linewidth=1, zorder=1)
    colours = matplotlib.colormaps["viridis"].resampled(len(rows))
    for place, point in enumerate(points):
        axes.scatter(*point, color=colours(place), label=words(rows[place]["threshold"]), zorder=2)
    axes.legend(title="truncation", loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    axes.set(xlabel=f"{fidelity} (higher is better)", ylabel=f"{distance} (lower is better)")
    axes.grid(alpha=0.3)
    return figure

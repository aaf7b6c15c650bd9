"""Figures of `gantool explain`: the generator's singular values and directions, the discriminator's attributions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from gantool.analysis.attribution import METHODS, Attribution
from gantool.analysis.figures import common_scale, heat_colours, new_figure, overlay, rgb, show, tiled
from gantool.analysis.sensitivity import Sensitivity

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_TILE = 0.62  # inches


def draw_spectrum(sensitivities: Sequence[Sensitivity], title: str) -> "Figure":
    """The singular values at every latent and their geometric mean, and the share of change they hold together."""
    figure = new_figure(10, 4.2, title)
    left, right = figure.subplots(1, 2)
    values = torch.stack([sensitivity.values for sensitivity in sensitivities])
    index = np.arange(1, values.shape[1] + 1)
    floor = float(values.max()) * 1e-7
    for row in values:
        left.plot(index, row.clamp(min=floor), color="tab:blue", alpha=0.3, linewidth=0.8)
        right.plot(index, row.square().cumsum(0) / row.square().sum(), color="tab:blue", alpha=0.3, linewidth=0.8)
    left.plot([], [], color="tab:blue", alpha=0.5, linewidth=0.8, label=f"each of {len(values)} latents")
    left.plot(index, values.clamp(min=floor).log().mean(0).exp(), color="black", label="geometric mean")
    left.set_yscale("log")
    left.set_ylabel("change of the image for a unit step")
    right.set_ylabel("share of the squared change")
    right.set_ylim(0, 1.02)
    rank = float(np.median([sensitivity.effective_rank for sensitivity in sensitivities]))
    enough = float(np.median([sensitivity.directions_for(0.9) for sensitivity in sensitivities]))
    red = {"color": "tab:red", "linestyle": "--", "linewidth": 1}
    left.axvline(rank, **red, label=f"effective rank {rank:.1f} (median)")
    right.axvline(enough, **red, label=f"{enough:g} directions hold 90 % (median)")
    for axes in (left, right):
        axes.legend(fontsize=8)
        axes.set_xlabel("singular direction of the latent")
        axes.grid(alpha=0.3)
    return figure


@dataclass(frozen=True)
class Walks:
    """From one latent along its first k singular directions."""

    name: str
    images: Tensor  # (k, steps, C, H, W) in [-1, 1]; the latent's own image is in the middle
    heat: Tensor  # (k, H, W) how much each pixel changes for a unit step
    values: Tensor  # (k,) singular values


def draw_directions(walks: Sequence[Walks], span: float, title: str) -> "Figure":
    """A block for each latent: a row for each direction, columns from -span to span, and where the image changes: from
    the pixel of a row that changes least to that which changes most, as otherwise all of most rows is red."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    k, steps, _, height, width = walks[0].images.shape
    columns = min(2, len(walks))
    rows = -(-len(walks) // columns)
    figure = new_figure(columns * (_TILE * (steps + 1.2) + 0.7), rows * (_TILE * k * 1.05 + 0.55) + 0.6, title)
    blocks = figure.subplots(rows, columns, squeeze=False).flatten()
    gap = max(width // 16, 1)
    for axes, walk in zip(blocks, walks, strict=False):
        still = walk.images[:, steps // 2]
        tiles = [
            np.concatenate([rgb(images), overlay(image, heat - heat.min(), float(heat.max() - heat.min()))[None]])
            for images, image, heat in zip(walk.images, still, walk.heat, strict=True)
        ]
        show(axes, tiled(np.concatenate(tiles), steps + 1, gap))
        middles = [column * (width + gap) + width / 2 for column in range(steps + 1)]
        places = [f"{place:+.2g}" if place else "0" for place in torch.linspace(-span, span, steps).tolist()]
        axes.set_xticks(middles, [*places, "where"], fontsize=7)
        axes.set_yticks(
            [row * (height + gap) + height / 2 for row in range(k)],
            [f"{number}: {value:.3g}" for number, value in enumerate(walk.values.tolist(), 1)],
            fontsize=7,
        )
        axes.tick_params(length=0)
        axes.set_title(walk.name, fontsize=9)
        axes.set_xlabel("steps along the direction", fontsize=7)
    for axes in blocks[len(walks) :]:
        axes.set_visible(False)
    colours = ScalarMappable(Normalize(0, 1), heat_colours(signed=False))
    bar = figure.colorbar(colours, ax=list(blocks), orientation="horizontal", fraction=0.03, aspect=30, shrink=0.5)
    bar.set_ticks([0, 1], labels=["least", "most"], fontsize=7)
    bar.set_label("where: change of a pixel, relative to its row", fontsize=7)
    return figure


@dataclass(frozen=True)
class Judged:
    """An image and where its score comes from."""

    name: str
    image: Tensor  # (C, H, W) in [-1, 1]
    attribution: Attribution


def draw_attributions(sides: dict[str, list[Judged]], title: str) -> "Figure":
    """A column of figures for each side ('real', 'generated'): the image with its score and, in brackets, the
    baseline's, and the three methods' maps.

    The maps of a method have one scale, the same for every image and symmetrical about 0.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    everything = [judged for side in sides.values() for judged in side]
    scales = {name: common_scale([judged.attribution.maps[name] for judged in everything]) for name in METHODS}
    rows, columns = max(len(side) for side in sides.values()), 1 + len(METHODS)
    figure = new_figure(1.15 * columns * len(sides), 1.35 * rows + 1.1, title)
    colours_of = heat_colours(signed=True)
    halves = figure.subfigures(1, len(sides), squeeze=False)[0]
    for half, (side, judged) in zip(halves, sides.items(), strict=True):
        half.suptitle(side, fontsize=9)
        grid = half.subplots(rows + 1, columns, squeeze=False, height_ratios=[1] * rows + [0.05])
        for axes in (*grid[len(judged) : rows].flat, grid[-1, 0]):
            axes.set_visible(False)
        for cells, one in zip(grid, judged, strict=False):
            show(cells[0], rgb(one.image))
            scores = f"{one.attribution.score:+.2f} ({one.attribution.baseline_score:+.2f})"
            cells[0].set_title(f"{one.name}\n{scores}".strip(), fontsize=7)
            for axes, name in zip(cells[1:], METHODS, strict=True):
                show(axes, overlay(one.image, one.attribution.maps[name], scales[name]))
        for column, name in enumerate(METHODS, 1):
            grid[0, column].set_title(name.replace(" ", "\n"), fontsize=7)
            colours = ScalarMappable(Normalize(-scales[name], scales[name]), colours_of)
            bar = half.colorbar(colours, cax=grid[-1, column], orientation="horizontal")
            bar.ax.tick_params(labelsize=5)
            bar.set_ticks([-scales[name], 0, scales[name]], labels=[f"{-scales[name]:.2g}", "0", f"{scales[name]:.2g}"])
    return figure

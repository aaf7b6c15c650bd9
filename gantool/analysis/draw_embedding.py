"""Figures of `gantool embed`: the two maps in two colourings, and samples beside their nearest training images."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from gantool.analysis.figures import new_figure, rgb, show, tiled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SOURCES = {"real": "tab:blue", "generated": "tab:orange"}
_LEGEND = 20  # classes that a legend names
_PALE = "0.8"
_TILE = 0.62  # inches


@dataclass(frozen=True)
class Points:
    """What is known of N embedded images."""

    real: np.ndarray  # (N,) bool
    labels: np.ndarray  # (N,) int64, -1: unknown
    class_names: Sequence[str]

    @property
    def sources(self) -> list[str]:
        """'real' or 'generated' for each."""
        return ["real" if real else "generated" for real in self.real]


def draw_maps(maps: dict[str, Tensor], points: Points, title: str) -> "Figure":
    """A row for each map (N, 2) by its name; coloured by source and, where any is known, by class."""
    columns = 2 if (points.labels >= 0).any() else 1
    figure = new_figure(6 * columns + 1.2, 5.2 * len(maps), title)
    grid = figure.subplots(len(maps), columns, squeeze=False)
    for row, (name, places) in zip(grid, maps.items(), strict=True):
        xy = places.numpy()
        by_source(row[0], xy, points)
        row[0].set_title(f"{name}, by source", fontsize=10)
        if columns == 2:
            by_class(row[1], xy, points)
            row[1].set_title(f"{name}, by class", fontsize=10)
        for axes in row:
            axes.set(xticks=[], yticks=[])
            axes.margins(0.02)
    return figure


def by_source(axes: "Axes", xy: np.ndarray, points: Points) -> None:
    """Both sources in turn, shuffled into each other so that neither covers the other."""
    order = np.random.default_rng(0).permutation(len(xy))
    colours = np.array([SOURCES[source] for source in points.sources])
    axes.scatter(*xy[order].T, c=colours[order], s=7, alpha=0.55, linewidths=0)
    for source, colour in SOURCES.items():
        axes.scatter([], [], c=colour, s=24, linewidths=0, label=f"{source} ({points.sources.count(source):,})")
    axes.legend(loc="upper right", fontsize=8, framealpha=0.8)


def by_class(axes: "Axes", xy: np.ndarray, points: Points) -> None:
    """A colour a class; real images as dots, generated ones as crosses, of unknown class in pale grey."""
    import matplotlib

    count = int(points.labels.max()) + 1
    cmap = matplotlib.colormaps["tab10" if count <= 10 else "tab20" if count <= 20 else "turbo"]
    colours = [cmap(label if count <= 20 else label / count) for label in range(count)]
    for real, style in ((True, {"marker": "o", "s": 7, "linewidths": 0}), (False, {"marker": "x", "s": 9})):
        for label in (-1, *range(count)):
            chosen = (points.real == real) & (points.labels == label)
            if chosen.any():
                colour = _PALE if label < 0 else colours[label]
                axes.scatter(*xy[chosen].T, color=colour, alpha=0.6, **({"linewidths": 0.7} | style))
    unknown = "" if (points.labels[~points.real] >= 0).any() else ", class unknown"
    axes.scatter([], [], color="0.3", marker="o", s=16, linewidths=0, label="real")
    axes.scatter([], [], color="0.3", marker="x", s=16, linewidths=1, label=f"generated{unknown}")
    for label in np.unique(points.labels[points.labels >= 0]) if count <= _LEGEND else ():
        axes.scatter([], [], color=colours[label], s=24, linewidths=0, label=points.class_names[label])
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8, frameon=False)


@dataclass(frozen=True)
class NearestImages:
    """Samples with the training images nearest to them in one space."""

    space: str  # what is above its columns
    images: Tensor  # (M, k, C, H, W) uint8
    distances: Tensor  # (M, k)


def draw_neighbours(samples: Tensor, names: Sequence[str], columns: Sequence[NearestImages], title: str) -> "Figure":
    """A row for each of the samples (M, C, H, W), its name in front: the sample, then its nearest in each space."""
    num, k = columns[0].distances.shape
    height, width = samples.shape[-2:]
    gap, top = max(width // 16, 1), max(height // 3, 2)
    across, down = _TILE * (1 + gap / width), _TILE * (1 + (top + gap) / height)  # inches from tile to tile
    figure = new_figure(across * (1 + k * len(columns)) + 1.8, down * num + 0.7, title)
    axes = figure.subplots(1, 1 + len(columns), width_ratios=[1, *[k] * len(columns)])
    show(axes[0], tiled(rgb(samples), 1, gap, top))
    axes[0].set_title("sample", fontsize=9)
    middle = [row * (height + top + gap) + top + height / 2 for row in range(num)]
    axes[0].set_yticks(middle, names, fontsize=8)
    axes[0].tick_params(length=0)
    for place, company in zip(axes[1:], columns, strict=True):
        show(place, tiled(rgb(company.images.flatten(0, 1)), k, gap, top))
        place.set_title(company.space, fontsize=9)
        for index, distance in enumerate(company.distances.flatten().tolist()):
            x, y = index % k * (width + gap), index // k * (height + top + gap)
            place.text(x + width / 2, y + top * 0.9, f"{distance:.3g}", fontsize=6, ha="center", va="bottom")
    return figure

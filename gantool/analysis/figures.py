"""What the figures share: pictures as matplotlib takes them, heat over them, and files of them."""

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from gantool.images import to_uint8

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import ListedColormap
    from matplotlib.figure import Figure

DPI = 130
RAISES, LOWERS = (0.75, 0.0, 0.15), (0.0, 0.2, 0.75)  # red and blue, far from every grey of an overlay
_LEVELS = 255  # of a colour bar
SCALE_QUANTILE = 0.995  # what is beyond it has the colour map's last colour, so that one pixel does not dim all others


def new_figure(width: float, height: float, title: str) -> "Figure":
    """In inches; without pyplot, which keeps figures and looks for a display."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    figure.suptitle(title, fontsize=10)
    return figure


def show(axes: "Axes", pixels: np.ndarray) -> None:
    """An image, its pixels as squares and without ticks."""
    axes.imshow(pixels, interpolation="nearest", cmap="gray", vmin=0, vmax=255)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def rgb(images: Tensor) -> np.ndarray:
    """(..., H, W, 3) uint8 from (..., C, H, W), float in [-1, 1] or stored: of two channels the first, of more than
    three the first three."""
    channels = images.shape[-3]
    images = images.narrow(-3, 0, 1 if channels == 2 else min(channels, 3))
    pixels = to_uint8(images).cpu().movedim(-3, -1).numpy()
    return np.repeat(pixels, 3, -1) if pixels.shape[-1] == 1 else pixels


def heat_colours(*, signed: bool) -> "ListedColormap":
    """What `overlay` makes of -scale to scale, or of 0 to scale, on a grey that is neither light nor dark."""
    from matplotlib.colors import ListedColormap

    heat = torch.linspace(-1 if signed else 0, 1, _LEVELS)[None]
    return ListedColormap(overlay(torch.zeros(1, 1, _LEVELS), heat, 1.0)[0] / 255)


def overlay(image: Tensor, heat: Tensor, scale: float) -> np.ndarray:
    """(H, W, 3) uint8: `heat` (H, W) from -scale to scale as blue and red over a pale grey (C, H, W) image, the more
    opaque the stronger it is: as well seen on white as on black."""
    strength = (heat.double() / max(scale, 1e-300)).clamp(-1, 1).cpu().numpy()[..., None]
    grey = 0.55 + 0.4 * rgb(image).mean(-1, keepdims=True) / 255
    opacity = np.abs(strength) ** 0.5  # the weak is still seen
    return (255 * (opacity * np.where(strength > 0, RAISES, LOWERS) + (1 - opacity) * grey)).round().astype(np.uint8)


def common_scale(maps: list[Tensor]) -> float:
    """Of all maps together."""
    values = np.abs(np.concatenate([heat.flatten().double().numpy() for heat in maps]))
    return float(np.quantile(values, SCALE_QUANTILE)) or float(values.max())


def tiled(pixels: np.ndarray, columns: int, gap: int, top: int = 0) -> np.ndarray:
    """A white sheet (H', W', 3) of tiles (N, H, W, 3) uint8, row by row: `gap` between them and `top` above each."""
    num, height, width, _ = pixels.shape
    rows = -(-num // columns)
    sheet = np.full((rows * (height + top + gap) - gap, columns * (width + gap) - gap, 3), 255, np.uint8)
    for index, tile in enumerate(pixels):
        y, x = index // columns * (height + top + gap) + top, index % columns * (width + gap)
        sheet[y : y + height, x : x + width] = tile
    return sheet

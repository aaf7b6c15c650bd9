"""Where an analysis leaves what it found, beside its pictures: JSON, CSV and TensorBoard."""

import csv
import json
import math
import shutil
from collections.abc import Iterable, Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from gantool.files import whole, write_whole
from gantool.images import colours, to_uint8

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_THUMBNAIL = 64  # pixels of a side
_SPRITE = 8192  # pixels of a side that a browser takes


def write_json(content: object, path: Path) -> None:
    """Numbers that are not finite become null, as JSON has none."""
    write_whole(path, json.dumps(_finite(content), indent=2, default=str) + "\n")


def _finite(value: object) -> object:
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_csv(header: Sequence[str], rows: Iterable[Sequence[object]], path: Path) -> None:
    """One line of names, then the rows."""
    text = StringIO(newline="")
    csv.writer(text).writerows([header, *rows])
    write_whole(path, text.getvalue())


class Board:
    """TensorBoard's files in `folder`, which is made anew; `step` is the run's nimg."""

    def __init__(self, folder: Path, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        shutil.rmtree(folder, ignore_errors=True)
        self.writer, self.step = SummaryWriter(str(folder)), step

    def figure(self, tag: str, figure: "Figure", path: Path) -> None:
        """Written as a PNG file too."""
        with whole(path) as partial:
            figure.savefig(partial)
        with Image.open(path) as image:
            self.writer.add_image(tag, np.asarray(image.convert("RGB")), self.step, dataformats="HWC")

    def projector(
        self, tag: str, points: Tensor, images: Tensor, header: list[str], rows: Sequence[tuple[object, ...]]
    ) -> None:
        """Points (N, F) with a thumbnail (N, C, H, W) and a row of metadata each."""
        side = min(_THUMBNAIL, min(images.shape[-2:]), int(_SPRITE / math.ceil(len(images) ** 0.5)))
        thumbnails = to_uint8(colours(images)).float() / 255
        if side < max(images.shape[-2:]):
            thumbnails = F.interpolate(thumbnails, (side, side), mode="bilinear", antialias=True).clamp(0, 1)
        with redirect_stdout(StringIO()):  # it prints what it does
            self.writer.add_embedding(points, rows, thumbnails, self.step, tag, header)

    def close(self) -> None:
        """All is on the disk."""
        self.writer.close()

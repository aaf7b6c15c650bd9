"""Images that a trained run makes from noise, as a grid, as PNG files, or as one .npz."""

import zipfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from gantool.errors import GantoolError
from gantool.logging.grid import grid, save_png
from gantool.logging.progress import Block
from gantool.runs.trained import TrainedRun
from gantool.sampling import BLOCK
from gantool.sampling import sampled as blocks_of


@dataclass(frozen=True)
class Sampling:
    """Which images, and how many at once."""

    num: int
    seed: int
    truncation: float | None
    batch_size: int


def chosen_classes(run: TrainedRun, asked: list[int] | int | None) -> list[int]:
    """The labels that images take in turn, [] for an unconditional run; raises GantoolError for an unknown one."""
    if not run.num_classes:
        if asked is not None:
            raise GantoolError(f"classes={asked}: {run.folder} is unconditional; train with model.conditional=true")
        return []
    classes = [asked] if isinstance(asked, int) else asked or list(range(run.num_classes))
    for label in classes:
        if label >= run.num_classes:
            raise GantoolError(f"classes={label}: {run.folder} knows classes 0 to {run.num_classes - 1}")
    return classes


def sampled(run: TrainedRun, options: Sampling, classes: list[int]) -> Iterator[Block]:
    """(n, C, H, W) uint8 on the CPU and (n,) labels or None, until `options.num` were made."""
    labels = None
    if classes:
        labels = torch.tensor([classes[i % len(classes)] for i in range(options.num + BLOCK)])
    return blocks_of(run.game, run.generators, run.device, labels=labels, **asdict(options))


class Writer(Protocol):
    """Takes images as they are made."""

    def add(self, images: Tensor, labels: Tensor | None) -> None:
        """(n, C, H, W) uint8 and (n,) labels."""
        ...


class PngFiles:
    """000000.png, 000001.png, ...; with labels in a folder for each class, as dataset=folder reads them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.written = folder, 0

    def add(self, images: Tensor, labels: Tensor | None) -> None:
        for index, image in enumerate(images):
            folder = self.folder if labels is None else self.folder / f"class{int(labels[index]):03d}"
            folder.mkdir(exist_ok=True)
            save_png(image, folder / f"{self.written:06d}.png")
            self.written += 1


@contextmanager
def png_files(out: Path, num: int, run: TrainedRun) -> Iterator[PngFiles]:
    """One file an image."""
    yield PngFiles(out)


class Kept:
    """All images, in memory."""

    def __init__(self) -> None:
        self.images: list[Tensor] = []

    def add(self, images: Tensor, labels: Tensor | None) -> None:
        self.images.append(images)


@contextmanager
def one_grid(out: Path, num: int, run: TrainedRun) -> Iterator[Kept]:
    """grid.png, of about as many rows as columns; a column per class where labels come in turn."""
    kept = Kept()
    yield kept
    save_png(grid(torch.cat(kept.images), run.num_classes or round(num**0.5) or 1), out / "grid.png")


class Npz:
    """Images written one after another into the array of an archive, labels held back until its end."""

    def __init__(self, file) -> None:  # a writable entry of a ZipFile
        self.file = file
        self.labels: list[Tensor] = []

    def add(self, images: Tensor, labels: Tensor | None) -> None:
        self.file.write(images.permute(0, 2, 3, 1).contiguous().numpy().tobytes())
        self.labels += [] if labels is None else [labels]


@contextmanager
def one_npz(out: Path, num: int, run: TrainedRun) -> Iterator[Npz]:
    """samples.npz with arr_0 (N, H, W, C) uint8 and, of a conditional run, arr_1 (N,) int64: as evaluators read it."""
    partial, (channels, height, width) = out / ".samples.partial", run.shape
    header = {"descr": "|u1", "fortran_order": False, "shape": (num, height, width, channels)}
    try:
        with zipfile.ZipFile(partial, "w") as archive:
            with archive.open("arr_0.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array_header_1_0(entry, header)
                npz = Npz(entry)
                yield npz
            if npz.labels:
                with archive.open("arr_1.npy", "w") as entry:
                    np.lib.format.write_array(entry, torch.cat(npz.labels).numpy())
        partial.replace(out / "samples.npz")
    finally:
        partial.unlink(missing_ok=True)


class OpenWriter(Protocol):
    """Opens a writer for `num` images of `run` in the folder `out`."""

    def __call__(self, out: Path, num: int, run: TrainedRun) -> AbstractContextManager[Writer]: ...


WRITERS: dict[str, OpenWriter] = {"grid": one_grid, "png": png_files, "npz": one_npz}

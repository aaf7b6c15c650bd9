"""Images that a trained run makes from noise, as a grid, as PNG files, or as one .npz."""

import zipfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from gantool.config.options import BLOCK
from gantool.errors import GantoolError
from gantool.game import Batch
from gantool.logging.grid import grid, save_png, to_uint8
from gantool.runs.trained import TrainedRun
from gantool.training.randomness import seed_torch


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


@torch.no_grad()
def sampled(run: TrainedRun, options: Sampling, classes: list[int]) -> Iterator[tuple[Tensor, Tensor | None]]:
    """(n, C, H, W) uint8 on the CPU and (n,) labels or None, until `options.num` were made."""
    for first in range(0, options.num, BLOCK):
        count = min(BLOCK, options.num - first)
        labels = torch.tensor([classes[i % len(classes)] for i in range(first, first + BLOCK)]) if classes else None
        images = torch.zeros(BLOCK, *run.shape, device=run.device)
        block = Batch(images, None if labels is None else labels.to(run.device), truncation=options.truncation)
        made = []
        for part in block.split(options.batch_size):
            if part.offset < count:
                seed_torch("sample", options.seed, first)  # each part takes its own rows of the same draws
                made.append(to_uint8(run.game.sample(part, run.generators)).cpu())
        yield torch.cat(made)[:count], None if labels is None else labels[:count]


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

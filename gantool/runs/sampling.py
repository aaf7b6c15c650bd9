"""Images that a trained run makes from noise, as a grid, as PNG files, or as one .npz."""

import zipfile
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gantool.errors import GantoolError
from gantool.files import whole
from gantool.logging.grid import grid, save_grid, save_png
from gantool.logging.progress import Block
from gantool.ranks import mine, streamed
from gantool.runs.trained import TrainedRun
from gantool.sampling import BLOCK, filled
from gantool.sampling import sampled as blocks_of

_WRITERS = 8  # threads that write PNG files


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


def sampled(
    run: TrainedRun,
    num: int,
    classes: list[int],
    *,
    seed: int,
    truncation: float | None,
    standing_statistics: int | None,
    batch_size: int,
) -> Iterator[Block]:
    """(n, C, H, W) uint8 on the CPU and (n,) labels or None, until `num` were made: by all ranks, a block each in turn,
    for the first one. Seeds torch."""
    labels = filled(torch.tensor(classes), num) if classes else None
    generators = run.standing(standing_statistics, seed, truncation)
    firsts = range(0, num, BLOCK)
    how: dict[str, Any] = {"seed": seed, "truncation": truncation, "batch_size": batch_size, "firsts": mine(firsts)}
    return streamed(blocks_of(run.game, generators, run.device, num=num, labels=labels, **how), len(firsts))


def write_grid(out: Path, blocks: Iterator[Block], num: int, run: TrainedRun) -> None:
    """grid.png, of about as many rows as columns; a column per class where labels come in turn."""
    images = torch.cat([images for images, _ in blocks])
    save_grid(grid(images, run.num_classes or round(num**0.5) or 1), out / "grid.png")


def write_png(out: Path, blocks: Iterator[Block], num: int, run: TrainedRun) -> None:
    """000000.png, 000001.png, ...; with labels in a folder for each class, as dataset=folder reads them."""
    number = count()
    before: list[Future[None]] = []
    with ThreadPoolExecutor(_WRITERS) as pool:  # a file waits for the disk twice; meanwhile the next block is made
        for images, labels in blocks:
            folders = [out] * len(images) if labels is None else [out / f"class{int(label):03d}" for label in labels]
            for folder in set(folders):
                folder.mkdir(exist_ok=True)
            now = [
                pool.submit(save_png, image, folder / f"{next(number):06d}.png")
                for image, folder in zip(images, folders, strict=True)
            ]
            for written in before:
                written.result()
            before = now
        for written in before:
            written.result()


def write_npz(out: Path, blocks: Iterator[Block], num: int, run: TrainedRun) -> None:
    """samples.npz with arr_0 (N, H, W, C) uint8, written as it is made, and of a conditional run arr_1 (N,) int64: as
    evaluators read it."""
    channels, height, width = run.shape
    header = {"descr": "|u1", "fortran_order": False, "shape": (num, height, width, channels)}
    found: list[Tensor] = []
    with whole(out / "samples.npz") as partial, zipfile.ZipFile(partial, "w") as archive:
        with archive.open("arr_0.npy", "w", force_zip64=True) as entry:
            np.lib.format.write_array_header_1_0(entry, header)
            for images, labels in blocks:
                entry.write(images.permute(0, 2, 3, 1).contiguous().numpy().tobytes())
                found += [] if labels is None else [labels]
        if found:
            with archive.open("arr_1.npy", "w") as entry:
                np.lib.format.write_array(entry, torch.cat(found).numpy())


WRITERS = {"grid": write_grid, "png": write_png, "npz": write_npz}

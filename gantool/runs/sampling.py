"""Images that a trained run makes from noise, as a grid, as PNG files, or as one .npz."""

import re
import zipfile
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gantool.config.resolvers import file_name
from gantool.files import whole, write_whole
from gantool.logging.grid import enlarged, grid, save_png, with_column_names
from gantool.logging.progress import Block
from gantool.ranks import mine, streamed
from gantool.runs.labelled import Asked
from gantool.runs.trained import TrainedRun
from gantool.sampling import BLOCK, filled
from gantool.sampling import sampled as blocks_of

_IN_COLUMNS = 20  # labels, at most
_WRITERS = 8  # threads that write PNG files


def chosen_labels(run: TrainedRun, asked: Asked) -> Tensor | None:
    """The classes (n,) or vectors (n, K) that images take in turn, None for an unconditional run; raises GantoolError
    for an unknown one."""
    chosen = run.labelled.asked(asked, run.folder)
    return run.labelled.vectors if chosen is None else chosen


def sampled(
    run: TrainedRun,
    num: int,
    labels: Tensor | None,
    *,
    seed: int,
    truncation: float | None,
    standing_statistics: int | None,
    batch_size: int,
    bits: int = 8,
) -> Iterator[Block]:
    """(n, C, H, W) of 8 or 16 bits on the CPU and their labels or None, until `num` were made, of `labels` in turn: by
    all ranks, a block each in turn, for the first one. Seeds torch."""
    labels = None if labels is None else filled(labels, num)
    generators = run.standing(standing_statistics, seed, truncation)
    firsts = range(0, num, BLOCK)
    how: dict[str, Any] = {"seed": seed, "truncation": truncation, "batch_size": batch_size, "bits": bits}
    made = blocks_of(run.game, generators, run.device, num=num, labels=labels, firsts=mine(firsts), **how)
    return streamed(made, len(firsts))


def columns_for(num: int, labels: int) -> int:
    """The columns of a grid of `num` images that take so many labels in turn: about as many as rows, and, unless there
    are too many labels, so that each has columns of its own."""
    side = round(num**0.5) or 1
    return labels * max(1, round(side / labels)) if 0 < labels <= _IN_COLUMNS else side


def write_grid(out: Path, blocks: Iterator[Block], num: int, run: TrainedRun, columns: int) -> None:
    """grid.png, of so many columns."""
    made = list(blocks)
    image = enlarged(grid(torch.cat([images for images, _ in made]), columns))
    labels = torch.cat([labels for _, labels in made if labels is not None]) if made[0][1] is not None else None
    save_png(with_column_names(image, column_names(run, labels, columns)), out / "grid.png")


def column_names(run: TrainedRun, labels: Tensor | None, columns: int) -> list[str]:
    """The class that each column shows; [] where they have none of their own, or all the same."""
    if labels is None or labels.ndim > 1:
        return []
    first, names = labels[:columns], class_names(run)
    alike = torch.equal(labels, filled(first, len(labels)))
    return [names[label] for label in first.tolist()] if alike and len(set(first.tolist())) > 1 else []


def class_names(run: TrainedRun) -> list[str]:
    """Of a run with classes; their numbers where nobody knows names."""
    return run.labelled.names or [str(number) for number in range(run.num_classes)]


def class_folders(run: TrainedRun) -> list[str]:
    """A folder's name for each class, unlike the others whatever the disk thinks of capitals: horse, or class007
    where a class has no name that can be written."""
    found: list[str] = []
    taken: set[str] = set()
    for number in range(run.num_classes):
        name = run.labelled.names[number] if run.labelled.names else ""
        folder = file_name(name) if re.search(r"[^\W_]", name) else f"class{number:03d}"
        while folder.casefold() in taken:
            folder += f"-{number}"
        taken.add(folder.casefold())
        found.append(folder)
    return found


def write_png(out: Path, blocks: Iterator[Block], num: int, run: TrainedRun, columns: int) -> None:
    """000000.png, 000001.png, ...; with labels in a folder for each class, by its name, or where they are vectors with
    labels.csv beside them, as dataset=folder reads them."""
    rows, of_class = [",".join(["file", *run.labelled.names])], class_folders(run)
    number = count()
    before: list[Future[None]] = []
    with ThreadPoolExecutor(_WRITERS) as pool:  # a file waits for the disk twice; meanwhile the next block is made
        for images, labels in blocks:
            vectors = labels is not None and labels.ndim == 2
            folders = (
                [out] * len(images) if labels is None or vectors else [out / of_class[int(label)] for label in labels]
            )
            if labels is not None and vectors:
                for values in labels.tolist():
                    rows.append(",".join([f"{len(rows) - 1:06d}.png", *(f"{value:g}" for value in values)]))
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
    if len(rows) > 1:
        write_whole(out / "labels.csv", "\n".join(rows) + "\n")


def write_npz(out: Path, blocks: Iterator[Block], num: int, run: TrainedRun, columns: int) -> None:
    """samples.npz with arr_0 (N, H, W, C) of the run's bits, written as it is made, and of a conditional run its labels
    as arr_1, (N,) int64 or vectors: as evaluators read it."""
    channels, height, width = run.shape
    kind = "<u2" if run.bits == 16 else "|u1"
    header = {"descr": kind, "fortran_order": False, "shape": (num, height, width, channels)}
    found: list[Tensor] = []
    with whole(out / "samples.npz") as partial, zipfile.ZipFile(partial, "w") as archive:
        with archive.open("arr_0.npy", "w", force_zip64=True) as entry:
            np.lib.format.write_array_header_1_0(entry, header)
            for images, labels in blocks:
                entry.write(numbers(images.permute(0, 2, 3, 1)).tobytes())
                found += [] if labels is None else [labels]
        if found:
            with archive.open("arr_1.npy", "w") as entry:
                np.lib.format.write_array(entry, torch.cat(found).numpy())


def numbers(images: Tensor) -> np.ndarray:
    """uint8, or of 16 bits little-endian uint16."""
    stored = images.contiguous().numpy()
    return stored if stored.dtype == np.uint8 else (stored.astype(np.int32) + 32768).astype("<u2")


WRITERS = {"grid": write_grid, "png": write_png, "npz": write_npz}

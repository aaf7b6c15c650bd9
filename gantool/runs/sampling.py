"""gantool sample: images of a trained run, or its translations, as a grid, as PNG files, or as one .npz."""

import logging
import zipfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated, Literal, Protocol

import numpy as np
import torch
from omegaconf import DictConfig
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt
from torch import Tensor

from gantool.runs.trained import TrainedRun, load_run, read_options
from gantool.runs.translation import choose_direction, list_sources, translated
from gantool.runs.translation import write as write_translations
from gantool.errors import GantoolError
from gantool.game import Batch
from gantool.logging.grid import grid, save_png, to_uint8
from gantool.logging.progress import told
from gantool.training.randomness import seed_torch

log = logging.getLogger(__name__)

BLOCK = 100  # images that share a seed: an image depends on its number, not on the batch it was made in
_NUM = 64
_LARGEST_GRID = 1024


class Options(BaseModel):
    """The keys of conf/sample.yaml."""

    model_config = ConfigDict(strict=True, extra="forbid")

    run: str | None
    format: Literal["grid", "png", "npz"]
    num: PositiveInt | None
    source: str | None
    direction: Literal["a2b", "b2a"] | None
    seed: Annotated[int, Field(ge=0)]
    classes: list[Annotated[int, Field(ge=0)]] | Annotated[int, Field(ge=0)] | None
    truncation: PositiveFloat | None
    ema: bool
    checkpoint: Literal["newest", "best"]
    batch_size: Annotated[int, Field(ge=1, le=BLOCK)]
    device: str
    out: str | None


@dataclass(frozen=True)
class Sampling:
    """Which images, and how many at once."""

    num: int
    seed: int
    truncation: float | None
    batch_size: int


def sample(cfg: DictConfig) -> None:
    """Makes `num` images, or translates those of a folder, and says where they are. Raises GantoolError for the user's
    mistakes."""
    options = read_options(cfg, Options)
    run = load_run(options.run, ema=options.ema, device=options.device, checkpoint=options.checkpoint)
    if run.game.translates:
        _translate(run, options)
        return
    for key in ("source", "direction"):
        if (value := getattr(options, key)) is not None:
            raise GantoolError(f"{key}={value}: {run.folder} makes images from noise and translates none; leave it out")
    classes, num = chosen_classes(run, options.classes), options.num or _NUM
    _check_grid(options, num)
    sampling = Sampling(num, options.seed, options.truncation, options.batch_size)
    with _folder(run, options, "") as out, WRITERS[options.format](out, num, run) as writer:
        for images, labels in told(sampled(run, sampling, classes), num):
            writer.add(images, labels)
    log.info("%d images of %s at %g kimg: %s", num, run.folder, run.nimg / 1000, out)


def _translate(run: TrainedRun, options: Options) -> None:
    for key in ("classes", "truncation"):
        if (value := getattr(options, key)) is not None:
            raise GantoolError(f"{key}={value}: {run.folder} translates images and draws nothing; leave it out")
    direction = choose_direction(run, options.direction)
    names, images = list_sources(run, options.source, direction)
    names = names[: options.num]
    _check_grid(options, 2 * len(names))
    batches = translated(run, islice(images, len(names)), direction, seed=options.seed, batch_size=options.batch_size)
    of = Path(options.source).expanduser().resolve().name if options.source else "test"
    with _folder(run, options, f"-{direction}-{of}") as out:
        write_translations(out, names, batches, options.format)
    log.info("%d images translated %s by %s at %g kimg: %s", len(names), direction, run.folder, run.nimg / 1000, out)


def _check_grid(options: Options, num: int) -> None:
    if options.format == "grid" and num > _LARGEST_GRID:
        raise GantoolError(f"num={num}: a grid shows at most {_LARGEST_GRID} images; format=png or npz for more")


@contextmanager
def _folder(run: TrainedRun, options: Options, what: str) -> Iterator[Path]:
    """The folder to write into, made."""
    name = f"{run.nimg / 1000:010.3f}-seed{options.seed}{what}-{options.format}"
    out = Path(options.out).expanduser() if options.out else run.folder / "sampled" / name
    try:
        out.mkdir(parents=True, exist_ok=True)
        yield out
    except OSError as error:
        raise GantoolError(f"cannot write {out} ({error.strerror or error}): make room or choose out=FOLDER") from error


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

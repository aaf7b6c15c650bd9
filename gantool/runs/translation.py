"""Images of a folder as a trained run translates them."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from gantool.data.account import Account
from gantool.data.decoding import decode_files
from gantool.data.fitting import Fitting
from gantool.data.folder import images_in
from gantool.data.pieces import pieces_of
from gantool.data.pixels import Piece
from gantool.data.source import Damaged
from gantool.data.two_sided import DIRECTIONS
from gantool.errors import GantoolError
from gantool.files import whole
from gantool.logging.grid import grid, save_grid, save_png
from gantool.paths import expanded
from gantool.runs.sampling import numbers
from gantool.runs.trained import TrainedRun

log = logging.getLogger(__name__)

_COLUMNS = 8  # of a grid: each source has its translation on its right


def choose_direction(run: TrainedRun, asked: str | None) -> tuple[str, nn.Module]:
    """The direction that is asked for, by default the run's first, and its generator; raises GantoolError where the run
    has it not."""
    if len(run.generators) > 1:
        direction = asked or next(iter(run.generators))
        return direction, run.generators[direction]
    own = run.config.dataset.rest.get("direction", DIRECTIONS[0])
    if asked not in (None, own):
        raise GantoolError(f"direction={asked}: {run.folder} was trained to translate {own}; leave direction out")
    return own, next(iter(run.generators.values()))


def list_sources(run: TrainedRun, source: str | None, direction: str) -> tuple[list[Piece], Iterable[Tensor]]:
    """Names and (C, H, W) images, as they are stored, at the run's resolution: of the folder `source`, or of the run's
    own test part.

    Raises GantoolError for a folder without images, and on the way for a damaged one.
    """
    if source is None:
        try:
            prepared = run.images(on_bad_image="skip")
        except GantoolError as error:
            raise GantoolError(f"{error}; or say which images to translate: source=FOLDER") from error
        shown = prepared.test or prepared
        backwards = len(run.generators) > 1 and direction == DIRECTIONS[1]
        images = shown.images if backwards or shown.source is None else shown.source
        return [Piece(f"{index:06d}") for index in range(len(images))], images
    return read_folder(run, source, "source")


def read_folder(run: TrainedRun, source: str, key: str) -> tuple[list[Piece], Iterable[Tensor]]:
    """Names and (C, H, W) images of a folder, as they are stored, at the run's resolution; `key` names it in messages.

    Raises GantoolError for a folder without images, and on the way for a damaged one.
    """
    channels, dataset = run.shape[0], run.config.dataset
    fitting = Fitting(dataset.fit, dataset.crop, run.span or dataset.range, run.bits)
    folder = expanded(source)
    if not folder.is_dir():
        raise GantoolError(f"{key}={source} is not a folder: name the folder of the images")
    stacked = channels if dataset.rest.get("stacks", True) else None
    pieces = pieces_of(folder, list(images_in(key, folder).images), stacked)

    def decoded() -> Iterator[Tensor]:
        account = Account([])
        items = decode_files(folder, pieces, [0] * len(pieces), dataset.resolution, channels, fitting)
        for item in account.watch(items):
            if isinstance(item, Damaged):
                raise GantoolError(f"{key}={source}: {item.path} is damaged ({item.reason}): mend or remove it")
            yield torch.tensor(item.pixels)
        told = account.told()
        for line in filter(None, [*told["warnings"], told["refusal"]]):
            log.warning("%s=%s: %s", key, source, line)

    return pieces, decoded()


def file_names(names: Sequence[Piece]) -> list[Path]:
    """The sources' own, as PNG."""
    files = [Path(name.name).with_suffix(".png") for name in names]
    return files if len(set(files)) == len(files) else [Path(f"{name}.png") for name in names]  # a.jpg beside a.png


def write(out: Path, names: list[Piece], batches: Iterator[tuple[Tensor, Tensor]], kind: str) -> None:
    """Files named as the sources (png), source and translation side by side (grid), or one archive (npz)."""
    if kind == "png":
        for file, image in zip(file_names(names), (image for _, made in batches for image in made), strict=True):
            (out / file).parent.mkdir(parents=True, exist_ok=True)
            save_png(image, out / file)
        return
    sources, made = (torch.cat(parts) for parts in zip(*batches, strict=True))
    if kind == "grid":
        save_grid(grid(torch.stack([sources, made], 1).flatten(0, 1), min(_COLUMNS, 2 * len(made))), out / "grid.png")
    else:
        with whole(out / "samples.npz") as partial:
            np.savez(partial, numbers(made.permute(0, 2, 3, 1)))

"""Images translated at their own sizes: padded to what the network takes, and in tiles where memory asks for it."""

import gc
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gantool.data.fitting import Fitting
from gantool.data.pieces import first_of
from gantool.data.pixels import Piece, decode
from gantool.errors import GantoolError, out_of_memory, said
from gantool.images import normalise, to_stored
from gantool.logging.grid import save_png
from gantool.networks.translators import ResNet
from gantool.randomness import seed_torch
from gantool.runs.trained import TrainedRun

_OVERLAP = 4  # of a tile's side, the part in which it fades into the next one: 1 / _OVERLAP


def translate_file(
    run: TrainedRun,
    network: nn.Module,
    folder: Path,
    source: Piece,
    target: Path,
    *,
    seed: tuple[int, int],
    tile: int | None,
) -> None:
    """Translates one image in `folder` by a generator of `run` into a PNG of its size and depth, 16 bits where it has
    more than 8. `tile`: the side of the tiles, in pixels; None: as large as memory allows. Seeds torch.

    Raises GantoolError that names the file for one that is damaged.
    """
    _, *size = run.shape
    image, bits = _read(folder, source, run)
    seed_torch("translate", *seed)
    step, least = (4, 16) if isinstance(network, ResNet) else 2 * (min(side & -side for side in size),)
    made = translate(network, normalise(image.to(run.device)), step=step, least=least, tile=tile)
    target.parent.mkdir(parents=True, exist_ok=True)
    save_png(to_stored(made, bits), target)


def translate(network: nn.Module, image: Tensor, *, step: int, least: int, tile: int | None = None) -> Tensor:
    """(C, H, W) in [-1, 1] for an image of any size, by a network that takes multiples of `step` from `least` on: in
    tiles of `tile` pixels, or where memory does not hold the whole, of half its side, a quarter, and so on.

    Tiles fade into each other; a network with instance norm sees each of them alone, so that contrasts may differ from
    one to the next. Raises GantoolError where not even tiles of `least` pixels fit.
    """
    height, width = image.shape[1:]
    padded = _pad(image, *(max(-side % step, least - side) for side in (height, width)))
    side = max(padded.shape[1:]) if tile is None else -(-tile // step) * step
    if tile is not None and side < least:
        raise GantoolError(f"tile={tile}: this network takes tiles of {least} pixels or more")
    while side >= least:
        if (made := _in_tiles(network, padded, side, step)) is not None:
            return made[:, :height, :width]
        side = side // 2 // step * step
    raise GantoolError("out of memory: not even the smallest tiles fit")


def _pad(image: Tensor, below: int, right: int) -> Tensor:
    """Reflected, again and again where the image is smaller than what is added."""
    while below or right:
        height, width = image.shape[1:]
        rows, columns = min(below, height - 1), min(right, width - 1)
        how = "reflect" if rows or columns else "replicate"  # of one pixel there is nothing to reflect
        rows, columns = (rows, columns) if rows or columns else (below, right)
        image = F.pad(image[None], (0, columns, 0, rows), mode=how)[0]
        below, right = below - rows, right - columns
    return image


@torch.no_grad()
def _in_tiles(network: nn.Module, image: Tensor, side: int, step: int) -> Tensor | None:
    """None where memory does not hold a tile."""
    height, width = (min(side, length) for length in image.shape[1:])
    rows, columns = _starts(image.shape[1], height, step), _starts(image.shape[2], width, step)
    try:
        if len(rows) == len(columns) == 1:
            return network(image[None])[0]
        total, weights = torch.zeros_like(image), torch.zeros_like(image[:1])
        weight = _ramp(height, image)[:, None] * _ramp(width, image)[None]
        for top in rows:
            for left in columns:
                place = (slice(None), slice(top, top + height), slice(left, left + width))
                total[place] += network(image[place][None])[0] * weight
                weights[place] += weight
        return total / weights
    except Exception as error:
        if out_of_memory(error) is None:
            raise
    gc.collect()
    return None


def _starts(length: int, side: int, step: int) -> list[int]:
    """Where tiles begin so that they overlap and the last one ends with the image."""
    stride = max(step, (side - side // _OVERLAP) // step * step)
    return [*range(0, max(length - side, 0), stride), length - side]


def _ramp(side: int, like: Tensor) -> Tensor:
    """(side,) weights that rise from a tile's border to 1 where it no longer overlaps."""
    places = torch.arange(1, side + 1, device=like.device, dtype=like.dtype)
    return torch.minimum(places, places.flip(0)).clamp(max=max(1, side // _OVERLAP)) / max(1, side // _OVERLAP)


def _read(folder: Path, piece: Piece, run: TrainedRun) -> tuple[Tensor, int]:
    """(C, H, W) as it is stored, and its bits: 16 where the file has more than 8."""
    path, (_, bits) = folder / piece.name, first_of(folder, piece)
    try:
        fitting = Fitting(range=run.config.dataset.range, bits=bits)
        return torch.tensor(decode(path, None, run.shape[0], fitting, page=piece.page)[0]), bits
    except GantoolError:
        raise
    except Exception as error:  # PIL raises a dozen kinds for bytes that are no image
        raise GantoolError(f"{folder / str(piece)} is damaged ({said(error, 100)}): mend or remove it") from error

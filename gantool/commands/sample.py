"""gantool sample: images of a trained run, or its translations, as a grid, as PNG files, or as one .npz."""

import hashlib
import logging
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import PositiveInt

from gantool.config.messages import as_typed
from gantool.config.options import IN_BLOCKS, InBlocks, OfClasses, OneRun, key
from gantool.config.resolvers import file_name
from gantool.errors import GantoolError
from gantool.launch import is_first_rank
from gantool.paths import expanded

if TYPE_CHECKING:
    from gantool.runs.trained import TrainedRun

log = logging.getLogger(__name__)

_NUM = 64
_LARGEST_GRID = 1024
_NAMED = ("num", "classes", "truncation", "standing_statistics", "ema", "size", "tile", "batch_size")
_LONGEST = 80  # of a part of a name


class Options(OneRun, OfClasses, InBlocks):
    """Makes images of a trained run, or translates those of a folder.

    Results go to a folder RUN_FOLDER/sampled/KIMG-seed0-FORMAT (with other settings in between) unless out=FOLDER says
    otherwise; with format=png, a conditional run gets a folder for each class.
    """

    format: Literal["grid", "png", "npz"] = key(
        "grid", "grid (one PNG), png (one file per image), npz (one archive: arr_0 (N, H, W, C), arr_1 labels)"
    )
    num: PositiveInt | None = key(None, "images; null: 64, or all that are to be translated")
    source: str | None = key(None, "for cyclegan, pix2pix runs: folder of images to translate; null: its test images")
    size: Literal["own", "run"] = key(
        "own",
        "with source= and format=png: own (each image's size, padded, in tiles if memory is short), run (the run's)",
    )
    tile: PositiveInt | None = key(None, "side of the tiles of size=own, in pixels; null: as large as memory allows")
    direction: Literal["a2b", "b2a"] | None = key(None, "a2b, b2a; null: the run's own, or a2b")


def sample(options: Options) -> None:
    """Raises GantoolError for the user's mistakes."""
    from gantool.ranks import process_group
    from gantool.runs.trained import opened

    if options.format == "png" and options.out is not None:
        _check_empty(options.out)
    with process_group():
        run = opened(options, options.device)
        if run.game.translates and not is_first_rank():
            return  # a translation is short work
        what, where = _translate(run, options) if run.game.translates else _draw(run, options)
    log.info("%s at %g kimg: %s", what, run.nimg / 1000, where)


def _draw(run: "TrainedRun", options: Options) -> tuple[str, Path]:
    from gantool.logging.progress import follow_images
    from gantool.runs.output import output, stamp
    from gantool.runs.sampling import WRITERS, chosen_labels, columns_for, sampled

    for name in ("source", "direction", "tile", "size"):
        if (value := getattr(options, name)) != Options.model_fields[name].default:
            raise GantoolError(
                f"{name}={value}: {run.folder} makes images from noise and does not translate; leave it out"
            )
    labels, num = chosen_labels(run, options.classes), options.num or _NUM
    _check_grid(options, num)
    blocks = sampled(run, num, labels, bits=run.bits, **options.model_dump(include=IN_BLOCKS))
    if not is_first_rank():  # it makes its share, which the first one writes
        return f"{len(list(blocks))} images", run.folder
    name = stamp(run.nimg, options.seed, *_settings(options), options.format)
    with output(run.folder, "sampled", name, options.out) as out:
        columns = columns_for(num, 0 if labels is None else len(labels))
        WRITERS[options.format](out, follow_images(blocks, num), num, run, columns)
    return f"{num} images of {run.folder}", out


def _translate(run: "TrainedRun", options: Options) -> tuple[str, Path]:
    from gantool.logging.progress import follow_steps
    from gantool.runs.output import output, stamp
    from gantool.runs.own_size import translate_file
    from gantool.runs.translation import choose_direction, file_names, list_sources, write
    from gantool.sampling import translated

    for name in ("classes", "truncation", "standing_statistics"):
        if (value := getattr(options, name)) is not None:
            raise GantoolError(f"{name}={value}: {run.folder} is a CycleGAN or pix2pix run; leave it out")
    direction, network = choose_direction(run, options.direction)
    names, images = list_sources(run, options.source, direction)
    names = names[: options.num]
    own = options.source is not None and options.format == "png" and options.size == "own"
    if options.tile is not None and not own:
        raise GantoolError(f"tile={options.tile} is for source=FOLDER format=png size=own: leave it out")
    _check_grid(options, 2 * len(names))
    how = {**options.model_dump(include={"seed", "batch_size"}), "bits": run.bits}
    batches = translated(network, islice(images, len(names)), run.device, **how)
    of = "test"
    if options.source is not None:
        place = expanded(options.source).resolve()
        of = f"{place.name}-{_digest(str(place))}"  # many a folder is called testA
    name = stamp(run.nimg, options.seed, direction, of, *_settings(options), options.format)
    with output(run.folder, "sampled", name, options.out) as out:
        if own:
            folder = expanded(str(options.source))
            for number, (piece, file) in enumerate(follow_steps(list(zip(names, file_names(names), strict=True)))):
                how = {"seed": (options.seed, number), "tile": options.tile}
                translate_file(run, network, folder, piece, out / file, **how)
        else:
            write(out, names, batches, options.format)
    return f"{len(names)} images translated {direction} by {run.folder}", out


def _settings(options: Options) -> list[str]:
    """What is not the default, as a part of a name: ["num-100_truncation-0.5"], or []. So images of other settings come
    neither among those of before nor in their place."""
    values = {name: getattr(options, name) for name in _NAMED}
    differ = {name: value for name, value in values.items() if value != Options.model_fields[name].default}
    text = ",".join(f"{name}={as_typed(value).strip('[]')}" for name, value in differ.items())
    if len(text) > _LONGEST:
        return [f"{file_name(text[:_LONGEST])}-{_digest(text)}"]
    return [file_name(text)] if text else []


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:6]


def _check_empty(out: str) -> None:
    """Raises GantoolError where files of images would come among others."""
    if any(path.name != "grid.png" for path in expanded(out).rglob("*.png")):
        raise GantoolError(f"out={out}: has images already: choose out=FOLDER, a new one, or empty it")


def _check_grid(options: Options, num: int) -> None:
    if options.format == "grid" and num > _LARGEST_GRID:
        raise GantoolError(f"num={num}: a grid shows at most {_LARGEST_GRID} images; format=png or npz for more")

"""gantool interpolate: paths between latents, or classes, of a trained run, as a grid and an animation."""

import logging
from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from gantool.config.options import OfClasses, OneRun, key
from gantool.errors import GantoolError
from gantool.paths import expanded

log = logging.getLogger(__name__)

_LARGEST = 4096  # images


class Options(OneRun, OfClasses):
    """Shows what a trained run makes on the way from one latent, or class, to the next.

    Writes path.png (a row for each pair), path.gif (there and back) and, for a latent with codes, a traversal of each,
    to RUN_FOLDER/interpolated/KIMG-seed0-spherical (or -linear, -classes).
    """

    over: Literal["latents", "classes"] = key(
        "latents",
        "latents, or for conditional runs classes (or label vectors): from each to the next, one latent per row",
    )
    path: Literal["spherical", "linear"] | None = key(
        None, "between latents: spherical (for their normal part), linear; null: spherical where possible"
    )
    latents: str | None = key(
        None, "the folder that gantool project wrote: rows go from each of its images to the next; null: random latents"
    )
    rows: PositiveInt = key(8, "pairs of latents, a row each")
    steps: Annotated[int, Field(ge=2)] = key(10, "images from one to the other")


def interpolate(options: Options) -> None:
    """Raises GantoolError for the user's mistakes."""
    if options.rows * options.steps > _LARGEST:
        raise GantoolError(f"rows={options.rows} steps={options.steps}: at most {_LARGEST} images in all")

    import torch

    from gantool.logging.grid import enlarged, grid, save_grid, save_png, with_row_names
    from gantool.runs.interpolation import between, latents, row_names, save_gif, traversals
    from gantool.runs.output import output, stamp
    from gantool.runs.projection import load_latents
    from gantool.runs.sampling import chosen_labels
    from gantool.runs.trained import opened
    from gantool.sampling import filled

    run = opened(options, options.device)
    run, game, rows, steps = run.as_scored(), run.gan("interpolate"), options.rows, options.steps
    chosen = chosen_labels(run, options.classes)
    if options.over == "classes" and (chosen is None or len(chosen) < 2):
        none = f"{run.folder} is unconditional; train with model.conditional=true"
        fix = none if chosen is None else "only one is chosen: add another to classes="
        raise GantoolError(f"over=classes goes from class to class, and {fix}")
    if options.over == "classes" and options.path is not None:
        raise GantoolError(f"path={options.path} is for over=latents: class embeddings are interpolated linearly")
    labels, towards = None if chosen is None else filled(chosen.to(run.device), rows), None
    way = options.path or ("spherical" if game.latent.normal else "linear")
    if options.path == "spherical" and not game.latent.normal:
        raise GantoolError("path=spherical is for normal latents: this run's are not; leave it out, or path=linear")
    if options.latents is not None:
        if options.over == "classes" or options.classes is not None:
            raise GantoolError("latents= brings its own classes: leave over and classes out")
        z, found = load_latents(expanded(options.latents), run, game.latent.dim)
        if len(z) < rows != Options.model_fields["rows"].default:
            raise GantoolError(
                f"rows={rows}: latents={options.latents} has {len(z)} images, a row each: leave rows out"
            )
        rows = min(rows, len(z))
        ends = (z[:rows], z.roll(-1, 0)[:rows])
        labels, towards = (None, None) if found is None else (found[:rows], found.roll(-1, 0)[:rows])
    else:
        ends = latents(game, run, rows, options.seed)
    if options.over == "classes" and chosen is not None:
        ends, way, towards = (ends[0], ends[0]), "classes", filled(chosen.roll(-1, 0).to(run.device), rows)
    pairs = labels if labels is None or towards is None else (labels, towards)
    columns = between(game, run, ends, pairs, path=way, steps=steps)
    with output(run.folder, "interpolated", stamp(run.nimg, options.seed, way), options.out) as out:
        image = enlarged(grid(torch.stack(columns, 1).flatten(0, 1), steps))
        save_png(with_row_names(image, row_names(run, pairs)), out / "path.png")
        save_gif([grid(column, round(rows**0.5) or 1) for column in columns], out / "path.gif")
        for code, (images, width) in traversals(game, run, labels, options.seed).items():
            save_grid(grid(images, width), out / f"{code.replace('/', '-')}.png")
    log.info("%d paths of %s at %g kimg: %s", rows, run.folder, run.nimg / 1000, out)

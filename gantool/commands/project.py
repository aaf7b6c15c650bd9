"""gantool project: the latents behind images of one's own, as a grid and as files for gantool interpolate."""

import logging
import shlex
from itertools import islice
from typing import Annotated

from pydantic import Field, PositiveFloat, PositiveInt

from gantool.config.messages import as_typed
from gantool.config.options import OfClasses, OneRun, key
from gantool.errors import GantoolError
from gantool.paths import expanded

log = logging.getLogger(__name__)

_ALIKE = ("checkpoint", "ema", "trust")  # latents are of these weights


class Options(OneRun, OfClasses):
    """Finds the latents of a trained run whose images come closest to those of a folder.

    Writes grid.png (each image with what was found on its right), latents.npz, latents.safetensors and errors.json to
    RUN_FOLDER/projected/KIMG-seed0-IMAGES; gantool interpolate run=RUN_FOLDER latents=THAT_FOLDER goes from one image
    to the next, as the last line says, to be pasted.
    Of a conditional run, each image gets the class, or vector, of the random latent that comes closest to it.
    """

    images: str | None = key(None, "folder of the images, which are resized to the run's resolution")
    num: PositiveInt = key(16, "images at most, the first ones by name")
    steps: Annotated[int, Field(ge=1)] = key(300, "of the search")
    starts: PositiveInt = key(256, "random latents that are tried; the search starts from the best")
    lr: PositiveFloat = key(0.05, "learning rate of the search")
    feature_weight: Annotated[float, Field(ge=0)] = key(0.5, "of the discriminator's features; 0: pixels only")


def project(options: Options) -> None:
    """Raises GantoolError for the user's mistakes."""
    import torch

    from gantool.files import write_json
    from gantool.images import normalise
    from gantool.logging.grid import grid, save_grid
    from gantool.runs import projection
    from gantool.runs.output import output, stamp
    from gantool.runs.sampling import chosen_labels
    from gantool.runs.trained import opened
    from gantool.runs.translation import read_folder

    run = opened(options, options.device).as_scored()
    if options.images is None:
        raise GantoolError("which images? images=FOLDER names a folder of them")
    game = run.gan("project")
    labels = chosen_labels(run, options.classes)
    names, images = read_folder(run, options.images, "images")
    names = names[: options.num]
    stored = torch.stack(list(islice(images, len(names))))
    wanted = normalise(stored.to(run.device))
    how = options.model_dump(include={"seed", "steps", "starts", "lr", "feature_weight"})
    found = projection.project(game, run, wanted, labels=labels, **how)
    of = expanded(options.images).resolve().name
    with output(run.folder, "projected", stamp(run.nimg, options.seed, of), options.out) as out:
        found.save(out, run)
        pairs = torch.stack([wanted.cpu(), found.images.cpu()], 1).flatten(0, 1)
        save_grid(grid(pairs, min(8, len(pairs))), out / "grid.png")
        errors = {str(name): round(float(error), 4) for name, error in zip(names, found.errors, strict=True)}
        write_json(errors, out / "errors.json")
    mean = float(found.errors.mean())
    log.info("%d images projected, RMS pixel error %.3f (pixels range from -1 to 1): %s", len(names), mean, out)
    own = {key: getattr(options, key) for key in _ALIKE}
    asked = [f"{key}={as_typed(value)}" for key, value in own.items() if value != Options.model_fields[key].default]
    words = [f"run={options.run}", *asked, f"latents={out}"]
    log.info("go on: %s", shlex.join(["gantool", "interpolate", *words]))

"""gantool explain: what latents change, and which pixels the discriminator's scores come from."""

import logging
from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt, field_validator

from gantool.config.options import OfClasses, OneRun, key
from gantool.errors import GantoolError, require

log = logging.getLogger(__name__)


class Options(OneRun, OfClasses):
    """Shows what the generator's latents change, and which pixels the discriminator's scores come from.

    Writes spectrum.png and singular_values.csv (of the generator's Jacobian), directions.png (walks along its strongest
    directions), attributions.png (integrated gradients, saliency by SmoothGrad and occlusion of the discriminator's
    score) and explain.json to RUN_FOLDER/explained/KIMG-seed0, and the pictures for tensorboard --logdir RUN_FOLDER.
    A discriminator with batch norm uses the statistics of 500 real, or 500 generated, images: in training, too, it sees
    real and generated images in separate batches.
    Needs pip install 'gantool[analysis]'.
    """

    latents: PositiveInt = key(16, "number of latents at which the generator's Jacobian is measured")
    shown: Annotated[int, Field(ge=1, le=16)] = key(4, "how many of them have their directions shown as pictures")
    directions: Annotated[int, Field(ge=1, le=20)] = key(5, "strongest directions shown for each latent, a row each")
    steps: Annotated[int, Field(ge=3, le=21)] = key(7, "images along a direction, an odd number")
    span: Annotated[PositiveFloat, Field(strict=False)] = key(3.0, "how far the images go along a direction, both ways")
    images: Annotated[int, Field(ge=1, le=64)] = key(
        6, "real images, and as many generated ones, whose scores are attributed to pixels"
    )
    baseline: Literal["black", "mean"] = key(
        "black", "baseline image of the attributions: black, mean (of a thousand real images)"
    )
    integral_steps: Annotated[int, Field(ge=2)] = key(64, "steps of integrated gradients")

    @field_validator("steps")
    @classmethod
    def _has_a_middle(cls, steps: int) -> int:
        if steps % 2 == 0:
            raise ValueError("should be odd, so that the latent itself is in the middle")
        return steps


def explain(options: Options) -> None:
    """Writes spectra, directions and attributions. Raises GantoolError for the user's mistakes."""
    import torch

    from gantool.analysis.board import Board
    from gantool.analysis.draw_explanation import draw_attributions, draw_directions, draw_spectrum
    from gantool.files import write_csv, write_json
    from gantool.logging.tensorboard import beside
    from gantool.runs.explanation import judged, sensitivity, summary
    from gantool.runs.output import output, stamp
    from gantool.runs.subject import open_subject
    from gantool.runs.trained import opened

    require("analysis", "matplotlib", "sklearn", "captum")
    if options.latents < options.shown != Options.model_fields["shown"].default:
        raise GantoolError(f"shown={options.shown}: there are latents={options.latents}; raise it, or leave shown out")
    run = opened(options, options.device)
    subject, seed = open_subject(run.as_scored(), options.classes, "explain"), options.seed
    dim = subject.game.latent.dim
    if options.directions > dim:
        raise GantoolError(f"directions={options.directions}: the latent of {run.folder} has {dim} dimensions")
    how = options.model_dump(include={"shown", "directions", "steps", "span", "seed"})
    with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):  # TF32 drowns small changes
        sensitivities, walks = sensitivity(subject, num=options.latents, **how)
        how = options.model_dump(include={"baseline", "integral_steps", "seed"})
        sides, judging = judged(subject, num=options.images, **how)
    generator = summary(sensitivities)
    known = {
        "run": str(run.folder),
        "nimg": run.nimg,
        **options.model_dump(exclude={"run", "trust", "device", "out"}),
        "generator": generator,
        "discriminator": judging,
    }
    name = stamp(run.nimg, seed)
    with output(run.folder, "explained", name, options.out) as out:
        place = out if options.out else run.folder
        with beside(place, f"explained-{name}") as writer:
            board = Board(writer, place, run.nimg)
            title = f"{subject.headline}: singular values of the generator's Jacobian"
            board.figure("explained/spectrum", draw_spectrum(sensitivities, title), out / "spectrum.png")
            change = "how far the image goes for one step (Euclidean, pixels from -1 to 1)"
            title = f"{subject.headline}: along each latent's strongest singular directions\nat each {change}"
            board.figure("explained/directions", draw_directions(walks, options.span, title), out / "directions.png")
            above = f"above each image its score, in brackets the {options.baseline} image's"
            title = f"{subject.headline}: the pixels that scores come from ({above})"
            board.figure("explained/attributions", draw_attributions(sides, title), out / "attributions.png")
        rows = zip(*(one.values.tolist() for one in sensitivities), strict=True)
        header = ["direction", *(f"latent {number}" for number in range(options.latents))]
        write_csv(header, ([index, *row] for index, row in enumerate(rows, 1)), out / "singular_values.csv")
        write_json(known, out / "explain.json")
    log.info(
        "generator: effective rank %.1f of %d, %g directions hold 90 %% of the change, condition %.3g (medians)",
        *(generator["effective_rank"], dim, generator["directions_for_90_percent"], generator["condition"]),
    )
    error = max(abs(one["completeness_error"]) for one in judging["images"])
    log.info("discriminator: integrated gradients add up to the scores within %.2g", error)
    log.info("explanation of %s: %s", run.folder, out)

"""gantool explain: what the generator's latents change, and which pixels the discriminator's scores come from."""

import logging
import statistics
from typing import Annotated, Any, Literal, cast

import torch
from omegaconf import DictConfig
from pydantic import Field, PositiveFloat, PositiveInt, field_validator
from torch import Tensor

from gantool.analysis.attribution import METHODS, attribute, each_alone
from gantool.analysis.draw_explanation import Judged, Walks, draw_attributions, draw_directions, draw_spectrum
from gantool.analysis.extra import require_extra
from gantool.analysis.figures import save
from gantool.analysis.report import Board, write_csv, write_json
from gantool.analysis.sensitivity import Generate, Sensitivity, decompose, jacobian, strength, walk
from gantool.runs.subject import Analysed, RunKeys, open_run, progress, results
from gantool.runs.trained import read_options
from gantool.errors import GantoolError
from gantool.game import Batch
from gantool.training.randomness import seed_torch

log = logging.getLogger(__name__)

_MEAN_OF = 1000  # real images


class Options(RunKeys):
    """The keys of conf/explain.yaml."""

    latents: PositiveInt
    shown: Annotated[int, Field(ge=1, le=16)]
    directions: Annotated[int, Field(ge=1, le=20)]
    steps: Annotated[int, Field(ge=3, le=21)]
    span: Annotated[PositiveFloat, Field(strict=False)]
    images: Annotated[int, Field(ge=1, le=64)]
    baseline: Literal["black", "mean"]
    integral_steps: Annotated[int, Field(ge=2)]

    @field_validator("steps")
    @classmethod
    def _has_a_middle(cls, steps: int) -> int:
        if steps % 2 == 0:
            raise ValueError("should be odd, so that the latent itself is in the middle")
        return steps


def explain(cfg: DictConfig) -> None:
    """Writes spectra, directions and attributions. Raises GantoolError for the user's mistakes."""
    options = read_options(cfg, Options)
    require_extra()
    analysed = open_run(options, "explain")
    run, dim = analysed.run, analysed.game.latent.dim
    if options.directions > dim:
        raise GantoolError(f"directions={options.directions}: the latent of {run.folder} has {dim} numbers")
    with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):  # TF32 drowns small changes
        sensitivities, walks = sensitivity(analysed, options)
        sides, judging = judged(analysed, options)
    known = {
        "run": str(run.folder),
        "nimg": run.nimg,
        **options.model_dump(exclude={"run", "device", "out"}),
        "generator": summary(sensitivities),
        "discriminator": judging,
    }
    with results(analysed, options, "explained") as out:
        board = Board(out / "tensorboard", run.nimg)
        title = f"{analysed.headline}: singular values of the generator's Jacobian"
        board.picture("explained/spectrum", save(draw_spectrum(sensitivities, title), out / "spectrum.png"))
        title = f"{analysed.headline}: along the strongest singular directions of each latent (with singular values)"
        figure = draw_directions(walks, options.span, title)
        board.picture("explained/directions", save(figure, out / "directions.png"))
        title = f"{analysed.headline}: the pixels that scores come from (in brackets: the {options.baseline} image's)"
        board.picture("explained/attributions", save(draw_attributions(sides, title), out / "attributions.png"))
        board.close()
        rows = zip(*(sensitivity.values.tolist() for sensitivity in sensitivities), strict=True)
        header = ["direction", *(f"latent {number}" for number in range(options.latents))]
        write_csv(header, ([index, *row] for index, row in enumerate(rows, 1)), out / "singular_values.csv")
        write_json(known, out / "explain.json")
    generator = cast(dict[str, float], known["generator"])
    log.info(
        "generator: effective rank %.1f of %d, %g directions hold 90 %% of the change, condition %.3g (medians)",
        *(generator["effective_rank"], dim, generator["directions_for_90_percent"], generator["condition"]),
    )
    error = max(abs(one["completeness_error"]) for one in cast(list[dict[str, Any]], judging["images"]))
    log.info("discriminator: integrated gradients add up to the scores within %.2g", error)
    log.info("explanation of %s: %s", run.folder, out)


def labels_in_turn(analysed: Analysed, count: int) -> Tensor | None:
    """(count,) on the device, None for an unconditional run."""
    classes = analysed.classes
    if not classes:
        return None
    return torch.tensor([classes[i % len(classes)] for i in range(count)], device=analysed.run.device)


def latents(analysed: Analysed, count: int, *position: object) -> Tensor:
    """(count, dim)."""
    seed_torch(*position)
    return analysed.game.latent.sample(Batch(torch.zeros(count, *analysed.run.shape, device=analysed.run.device)))


def sensitivity(analysed: Analysed, options: Options) -> tuple[list[Sensitivity], list[Walks]]:
    """At every latent, and the pictures of those that are shown."""
    z, labels = latents(analysed, options.latents, "explain", options.seed), labels_in_turn(analysed, options.latents)
    log.info("Jacobians of the generator at %d latents of %d numbers", *z.shape)
    found, walks = [], []
    for place in progress(range(len(z))):
        label = None if labels is None else labels[place]
        generate = generator_for(analysed, label)
        change = jacobian(generate, z[place])
        found.append(decompose(change))
        if place < options.shown:
            name = f"latent {place}" + ("" if label is None else f", class {class_name(analysed, label)}")
            walks.append(walked(generate, z[place], change, found[-1], name, options))
    return found, walks


def class_name(analysed: Analysed, label: Tensor) -> str:
    """As the data set has it."""
    return analysed.image_set.class_names[int(label)]


def generator_for(analysed: Analysed, label: Tensor | None) -> Generate:
    """Latents (n, dim) to images of one class."""

    def generate(z: Tensor) -> Tensor:
        labels = None if label is None else label.expand(len(z))
        return analysed.game.generate(z, labels, analysed.run.generators)

    return generate


@torch.no_grad()
def walked(generate: Generate, z: Tensor, change: Tensor, found: Sensitivity, name: str, options: Options) -> Walks:
    """Along the strongest directions from `z`, whose Jacobian is `change`."""
    strongest = found.directions[: options.directions]
    images = torch.stack([generate(walk(z, direction, options.span, options.steps)) for direction in strongest])
    heat = torch.stack([strength(change, direction) for direction in strongest])
    return Walks(name, images, heat, found.values[: options.directions])


def summary(sensitivities: list[Sensitivity]) -> dict[str, object]:
    """Medians over latents, and every latent's own."""
    each = {
        "effective_rank": [one.effective_rank for one in sensitivities],
        "directions_for_90_percent": [one.directions_for(0.9) for one in sensitivities],
        "condition": [one.condition for one in sensitivities],
        "largest": [float(one.values[0]) for one in sensitivities],
        "smallest": [float(one.values[-1]) for one in sensitivities],
    }
    medians = {name: statistics.median(values) for name, values in each.items()}
    return {**medians, "by_latent": each}


@torch.no_grad()
def shown_images(analysed: Analysed, options: Options) -> dict[str, tuple[Tensor, Tensor | None]]:
    """Real and generated images as the discriminator sees them, and the labels that it is told."""
    z, labels = latents(analysed, options.images, "attribute", options.seed), labels_in_turn(analysed, options.images)
    made = analysed.run.generators["generator"](z, labels)
    if labels is None:
        rows = chosen(analysed.pool([]), options.images, options.seed)
    else:  # of the same classes as the generated ones
        pools = [analysed.pool([label]) for label in analysed.classes]
        picks = [chosen(pool, options.images, options.seed) for pool in pools]
        rows = torch.stack([picks[i % len(picks)][i // len(picks)] for i in range(options.images)])
    return {"real": (seen(analysed, rows), labels), "generated": (made, labels)}


def chosen(pool: Tensor, count: int, seed: int) -> Tensor:
    """(count,) of the rows in `pool`, each once as far as they go. Raises GantoolError for an empty one."""
    if not len(pool):
        raise GantoolError("the data set has no image of one of these classes: choose others with classes=")
    order = torch.randperm(len(pool), generator=torch.Generator().manual_seed(seed))
    return pool[order[torch.arange(count) % len(pool)]]


def seen(analysed: Analysed, rows: Tensor) -> Tensor:
    """(n, C, H, W) training images in [-1, 1], at the resolution that a growing discriminator has reached."""
    images = analysed.image_set.images[rows].to(analysed.run.device).float() / 127.5 - 1
    growth = analysed.game.growth
    return images if growth is None else growth.shrink(images, float(cast(Any, analysed.game.discriminator).stage))


def judged(analysed: Analysed, options: Options) -> tuple[dict[str, list[Judged]], dict[str, object]]:
    """Real and generated images with their attributions, and the numbers of these."""
    images = shown_images(analysed, options)
    baseline = torch.full_like(images["real"][0][0], -1)
    if options.baseline == "mean":
        baseline = seen(analysed, chosen(analysed.pool([]), _MEAN_OF, options.seed)).mean(0)
    score, mixes = each_alone(analysed.game.discriminator, *images["generated"])
    log.info("attributions of the discriminator's scores of %d images", 2 * options.images)
    sides: dict[str, list[Judged]] = {side: [] for side in images}
    numbers: list[dict[str, object]] = []
    todo = [(side, place) for side in images for place in range(options.images)]
    for side, place in progress(todo):
        pictures, labels = images[side]
        label = None if labels is None else labels[place]
        found = attribute(score, pictures[place], label, baseline, options.integral_steps)
        name = None if label is None else class_name(analysed, label)
        sides[side].append(Judged(f"class {name}" if name else "", pictures[place], found))
        scores = {"score": found.score, "baseline_score": found.baseline_score}
        numbers.append({"side": side, "class": name, **scores, "completeness_error": found.completeness_error})
    known = {"methods": list(METHODS), "resolution": baseline.shape[-1], "batch_mixes_images": mixes}
    return sides, {**known, "images": numbers}

"""What the generator's latents change, and which pixels the discriminator's scores come from."""

import logging
import statistics

import torch
from torch import Tensor

from gantool.analysis.attribution import METHODS, attribute, each_alone
from gantool.analysis.draw_explanation import Judged, Walks
from gantool.analysis.sensitivity import Generate, Sensitivity, decompose, jacobian, strength, walk
from gantool.batch import Draws
from gantool.errors import GantoolError
from gantool.games.gan import stage_of
from gantool.logging.progress import follow_steps
from gantool.randomness import seed_torch
from gantool.runs.subject import Subject

log = logging.getLogger(__name__)

_MEAN_OF = 1000  # real images


def labels_in_turn(subject: Subject, count: int) -> Tensor | None:
    """(count,) on the device, None for an unconditional run."""
    classes = subject.classes
    if not classes:
        return None
    return torch.tensor([classes[i % len(classes)] for i in range(count)], device=subject.run.device)


def latents(subject: Subject, count: int, *position: object) -> Tensor:
    """(count, dim)."""
    seed_torch(*position)
    return subject.game.latent.sample(Draws(count, subject.run.device))


def sensitivity(
    subject: Subject, *, num: int, shown: int, directions: int, span: float, steps: int, seed: int
) -> tuple[list[Sensitivity], list[Walks]]:
    """At every latent, and the pictures of those that are shown."""
    z, labels = latents(subject, num, "explain", seed), labels_in_turn(subject, num)
    log.info("Jacobians of the generator at %d latents of %d numbers", *z.shape)
    found, walks = [], []
    for place in follow_steps(range(len(z))):
        label = None if labels is None else labels[place]
        generate = generator_for(subject, label)
        change = jacobian(generate, z[place])
        found.append(decompose(change))
        if place < shown:
            name = f"latent {place}" + ("" if label is None else f", class {class_name(subject, label)}")
            how_far = {"directions": directions, "steps": steps}
            walks.append(walked(generate, z[place], change, found[-1], name, span=span, **how_far))
    return found, walks


def class_name(subject: Subject, label: Tensor) -> str:
    """As the data set has it."""
    return subject.image_set.class_names[int(label)]


def generator_for(subject: Subject, label: Tensor | None) -> Generate:
    """Latents (n, dim) to images of one class."""

    def generate(z: Tensor) -> Tensor:
        labels = None if label is None else label.expand(len(z))
        return subject.game.generate(z, labels, subject.run.generators)

    return generate


@torch.no_grad()
def walked(
    generate: Generate,
    z: Tensor,
    change: Tensor,
    found: Sensitivity,
    name: str,
    *,
    directions: int,
    span: float,
    steps: int,
) -> Walks:
    """Along the strongest directions from `z`, whose Jacobian is `change`."""
    strongest = found.directions[:directions]
    images = torch.stack([generate(walk(z, direction, span, steps)) for direction in strongest])
    heat = torch.stack([strength(change, direction) for direction in strongest])
    return Walks(name, images, heat, found.values[:directions])


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
def shown_images(subject: Subject, num: int, seed: int) -> dict[str, tuple[Tensor, Tensor | None]]:
    """Real and generated images as the discriminator sees them, and the labels that it is told."""
    z, labels = latents(subject, num, "attribute", seed), labels_in_turn(subject, num)
    made = subject.run.generators["generator"](z, labels)
    if labels is None:
        rows = chosen(subject.pool([]), num, seed)
    else:  # of the same classes as the generated ones
        pools = [subject.pool([label]) for label in subject.classes]
        picks = [chosen(pool, num, seed) for pool in pools]
        rows = torch.stack([picks[i % len(picks)][i // len(picks)] for i in range(num)])
    return {"real": (seen(subject, rows), labels), "generated": (made, labels)}


def chosen(pool: Tensor, count: int, seed: int) -> Tensor:
    """(count,) of the rows in `pool`, each once as far as they go. Raises GantoolError for an empty one."""
    if not len(pool):
        raise GantoolError("the data set has no image of one of these classes: choose others with classes=")
    order = torch.randperm(len(pool), generator=torch.Generator().manual_seed(seed))
    return pool[order[torch.arange(count) % len(pool)]]


def seen(subject: Subject, rows: Tensor) -> Tensor:
    """(n, C, H, W) training images in [-1, 1], at the resolution that a growing discriminator has reached."""
    images = subject.image_set.images[rows].to(subject.run.device).float() / 127.5 - 1
    growth = subject.game.growth
    return images if growth is None else growth.shrink(images, float(stage_of(subject.game.discriminator)))


def judged(
    subject: Subject, *, num: int, baseline_name: str, integral_steps: int, seed: int
) -> tuple[dict[str, list[Judged]], dict[str, object]]:
    """Real and generated images with their attributions, and the numbers of these."""
    images = shown_images(subject, num, seed)
    baseline = torch.full_like(images["real"][0][0], -1)
    if baseline_name == "mean":
        baseline = seen(subject, chosen(subject.pool([]), _MEAN_OF, seed)).mean(0)
    score, mixes = each_alone(subject.game.discriminator, *images["generated"])
    log.info("attributions of the discriminator's scores of %d images", 2 * num)
    sides: dict[str, list[Judged]] = {side: [] for side in images}
    numbers: list[dict[str, object]] = []
    todo = [(side, place) for side in images for place in range(num)]
    for side, place in follow_steps(todo):
        pictures, labels = images[side]
        label = None if labels is None else labels[place]
        found = attribute(score, pictures[place], label, baseline, integral_steps)
        name = None if label is None else class_name(subject, label)
        sides[side].append(Judged(f"class {name}" if name else "", pictures[place], found))
        scores = {"score": found.score, "baseline_score": found.baseline_score}
        numbers.append({"side": side, "class": name, **scores, "completeness_error": found.completeness_error})
    known = {"methods": list(METHODS), "resolution": baseline.shape[-1], "batch_mixes_images": mixes}
    return sides, {**known, "images": numbers}

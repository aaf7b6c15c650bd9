"""What the generator's latents change, and which pixels the discriminator's scores come from."""

import logging
import statistics
from typing import Any

import torch
from torch import Tensor, nn

from gantool.analysis.attribution import METHODS, attribute, each_alone
from gantool.analysis.draw_explanation import Judged, Walks
from gantool.analysis.sensitivity import Generate, Sensitivity, decompose, jacobian, strength, walk
from gantool.batch import Draws
from gantool.errors import GantoolError
from gantool.images import normalise
from gantool.logging.progress import follow_steps
from gantool.randomness import seed_torch, shuffled
from gantool.runs.subject import Subject
from gantool.sampling import batch_norms, filled, gathering

log = logging.getLogger(__name__)

_MEAN_OF = 1000  # real images
_STATISTICS_OF, _BATCH = 500, 100  # images of each side that give batch norm its mean and variance, so many at once


def drawn(subject: Subject, count: int, *position: object) -> tuple[Tensor, Tensor | None]:
    """Latents (count, dim), and of a conditional run its labels in turn, (count,) or (count, K)."""
    seed_torch(*position)
    device = subject.run.device
    labels = None if subject.labels is None else filled(subject.labels.to(device), count)
    return subject.game.latent.sample(Draws(count, device)), labels


def sensitivity(
    subject: Subject, *, num: int, shown: int, directions: int, span: float, steps: int, seed: int
) -> tuple[list[Sensitivity], list[Walks]]:
    """At every latent, and the pictures of those that are shown."""
    z, labels = drawn(subject, num, "explain", seed)
    log.info("Jacobians of the generator at %d latents of %d dimensions", *z.shape)
    found, walks = [], []
    for place in follow_steps(range(len(z))):
        label = None if labels is None else labels[place]
        generate = generator_for(subject, label)
        change = jacobian(generate, z[place])
        found.append(decompose(change))
        if place < shown:
            name = ", ".join([f"latent {place}", *(f"class {name}" for name in subject.names(label))])
            strongest = found[-1].directions[:directions]
            with torch.no_grad():
                images = torch.stack([generate(walk(z[place], direction, span, steps)) for direction in strongest])
            heat = torch.stack([strength(change, direction) for direction in strongest])
            walks.append(Walks(name, images, heat, found[-1].values[:directions]))
    return found, walks


def generator_for(subject: Subject, label: Tensor | None) -> Generate:
    """Latents (n, dim) to images of one class."""

    def generate(z: Tensor) -> Tensor:
        labels = None if label is None else label.expand(len(z), *label.shape)
        return subject.game.generate(z, labels, subject.run.generators)

    return generate


def summary(sensitivities: list[Sensitivity]) -> dict[str, Any]:
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
    z, labels = drawn(subject, num, "attribute", seed)
    made = subject.run.generators["generator"](z, labels)
    told = labels
    if not subject.classes:
        rows = chosen(subject.pool([]), num, seed)
        vectors = subject.image_set.vectors
        told = None if labels is None or vectors is None else vectors[rows].to(labels.device)
    else:  # of the same classes as the generated ones
        pools = [subject.pool([label]) for label in subject.classes]
        picks = [chosen(pool, num, seed) for pool in pools]
        rows = torch.stack([picks[i % len(picks)][i // len(picks)] for i in range(num)])
    return {"real": (seen(subject, rows), told), "generated": (made, labels)}


def chosen(pool: Tensor, count: int, seed: int) -> Tensor:
    """(count,) of the rows in `pool`, each once as far as they go. Raises GantoolError for an empty one."""
    if not len(pool):
        raise GantoolError("the data set has no image of one of these classes: choose others with classes=")
    order = shuffled(len(pool), seed)
    return pool[order[torch.arange(count) % len(pool)]]


def seen(subject: Subject, rows: Tensor) -> Tensor:
    """(n, C, H, W) training images in [-1, 1], at the resolution that a growing discriminator has reached."""
    return subject.game.shrunk(normalise(subject.image_set.images[rows].to(subject.run.device)))


@torch.no_grad()
def judges(subject: Subject, seed: int) -> dict[str, nn.Module]:
    """The discriminator as it judges real and generated images. Where it has batch norm, each side goes by statistics
    of its own, as in training: running ones are of both sides together, and scores by them are other scores."""
    network = subject.game.discriminator
    if not batch_norms(network):
        return {"real": network, "generated": network}
    rows, kept = chosen(subject.pool([]), _STATISTICS_OF, seed), subject.image_set.labels
    labels = None if subject.labels is None or kept is None else kept[rows].to(subject.run.device)
    z, _ = drawn(subject, len(rows), "statistics", seed)
    found: dict[str, nn.Module] = {side: gathering(network) for side in ("real", "generated")}
    for part in torch.arange(len(rows)).split(_BATCH):
        told = None if labels is None else labels[part]
        found["real"](seen(subject, rows[part]), told)
        found["generated"](subject.run.generators["generator"](z[part], told), told)
    return {side: network.eval() for side, network in found.items()}


def judged(
    subject: Subject, *, num: int, baseline: str, integral_steps: int, seed: int
) -> tuple[dict[str, list[Judged]], dict[str, Any]]:
    """Real and generated images with their attributions, and the numbers of these."""
    images = shown_images(subject, num, seed)
    against = torch.full_like(images["real"][0][0], -1)
    if baseline == "mean":
        against = seen(subject, chosen(subject.pool([]), _MEAN_OF, seed)).mean(0)
    scores = {side: each_alone(network, *images[side]) for side, network in judges(subject, seed).items()}
    log.info("attributions of the discriminator's scores of %d images", 2 * num)
    sides: dict[str, list[Judged]] = {side: [] for side in images}
    numbers: list[dict[str, object]] = []
    todo = [(side, place) for side in images for place in range(num)]
    for side, place in follow_steps(todo):
        pictures, labels = images[side]
        label = None if labels is None else labels[place]
        seed_torch("attribute", seed, side, place)
        found = attribute(scores[side][0], pictures[place], label, against, integral_steps)
        name = next(iter(subject.names(label)), None)
        sides[side].append(Judged(f"class {name}" if name else "", pictures[place], found))
        numbers.append(
            {
                "side": side,
                "class": name,
                "score": found.score,
                "baseline_score": found.baseline_score,
                "completeness_error": found.completeness_error,
            }
        )
    height, width = against.shape[-2:]
    known = {
        "methods": list(METHODS),
        "resolution": width if height == width else [height, width],
        "batch_mixes_images": scores["generated"][1],
        "batch_norm_statistics_of": _STATISTICS_OF if batch_norms(subject.game.discriminator) else 0,
    }
    return sides, {**known, "images": numbers}

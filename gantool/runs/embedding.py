"""Where the images of a run lie among the real ones, and whether it has memorised them."""

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gantool.analysis.board import Board
from gantool.analysis.draw_embedding import NearestImages, Points, draw_maps, draw_neighbours
from gantool.analysis.embedding import predicted_classes
from gantool.analysis.neighbours import Closeness, Neighbours, closeness, nearest
from gantool.files import write_csv
from gantool.images import to_uint8
from gantool.logging.progress import follow_images
from gantool.metrics.embedding import Embedding, embed, embed_reals
from gantool.metrics.features import Features
from gantool.randomness import shuffled
from gantool.runs.sampling import sampled
from gantool.runs.subject import Subject

log = logging.getLogger(__name__)

_FEWEST = 1000  # training images that show what is usual
MEMORISED = 0.05  # share of samples as near to a training image as the nearest 1 % of real ones: five times what is due


@dataclass(frozen=True)
class Side:
    """Real or generated images, uint8."""

    images: Tensor  # (N, C, H, W)
    rows: Tensor  # (N,) of a real image in the data set, of a generated one in the order of gantool sample
    labels: Tensor  # (N,) int64; -1: unknown
    seen: Embedding

    def __getitem__(self, rows: Tensor) -> "Side":
        return Side(self.images[rows], self.rows[rows], self.labels[rows], self.seen[rows])


@dataclass(frozen=True)
class Near:
    """The generated images' neighbours in one space, and how near they are."""

    neighbours: Neighbours
    closeness: Closeness
    crowding: Tensor  # (M,) distance to the nearest over that one's own distance to its nearest


def rows_searched(subject: Subject, only: list[int], *, among: int | None, seed: int) -> Tensor:
    """(n,) training images that neighbours are looked for among, of the classes in `only`, in an order that the seed
    gives; the first ones are the real images that are shown."""
    pool = subject.pool(only)
    order = shuffled(len(pool), seed)
    return pool[order[:among]]


def training_side(subject: Subject, features: Features, rows: Tensor, batch_size: int) -> Side:
    """The training images at `rows`."""
    log.info("computing the %s features of %d training images", features.name, len(rows))
    image_set, device = subject.image_set, subject.run.device
    ordered, places = rows.sort()
    seen = embed_reals(features, image_set, ordered, batch_size, device, follow_images)[places.argsort()]
    labels = torch.full((len(rows),), -1) if image_set.classes is None else image_set.classes[rows]
    return Side(to_uint8(image_set.images[rows]), rows, labels, seen)


def made_side(subject: Subject, features: Features, num: int, **how: Any) -> Side:
    """The images that gantool sample makes; labelled as they were asked for."""
    log.info("computing the %s features of %d generated images", features.name, num)
    blocks = list(follow_images(sampled(subject.run, num, subject.labels, **how), num))
    seen = embed(features, follow_images(iter(blocks), num), subject.run.device)
    made = torch.cat([images for images, _ in blocks])
    asked = [labels for _, labels in blocks if labels is not None and labels.ndim == 1]
    labels = torch.cat(asked) if asked else torch.full((len(made),), -1)
    return Side(made, torch.arange(len(made)), labels, seen)


def labelled(subject: Subject, made: Side, training: Side) -> tuple[Side, str]:
    """`made` with classes, and how they are known: asked for, predicted, unknown."""
    if subject.classes:
        return made, "asked for"
    num = 0 if subject.image_set.classes is None else subject.image_set.num_classes
    labels = predicted_classes(made.seen, training.seen, training.labels, num)
    return (made, "unknown") if labels is None else (replace(made, labels=labels), "predicted")


def compare(made: Tensor, training: Tensor, neighbours: int, scale: float = 1.0) -> Near:
    """Points (M, ...) of generated images with those of training images (N, ...); distances times `scale`. As many of
    the training images themselves, but at least a thousand, show what is usual."""
    num = min(max(len(made), _FEWEST), len(training))
    found = nearest(made, training, neighbours)
    others = nearest(training[:num], training, 1, own=torch.arange(num)).distances[:, 0]
    first = found.rows[:, 0]
    around = nearest(training[first], training, 1, own=first).distances[:, 0]
    near = closeness(found.distances[:, 0] * scale, others * scale)
    crowding = found.distances[:, 0] / around.clamp(min=1e-12)  # copies of one image have nothing between them
    return Near(replace(found, distances=found.distances * scale), near, crowding)


def verdict(space: str, near: Closeness, num: int) -> str:
    """What the distances say, in words. Of few samples more than MEMORISED may be so near by chance."""
    from scipy.stats import binom

    share = f"{space}: {near.share:.1%} of {num} samples lie as near to training images as the nearest 1 % of real ones"
    if near.share <= max(MEMORISED, binom.ppf(0.999, num, 0.01) / num):
        return f"{share}; 1 % is expected of new images, so there is no sign of memorisation"
    return f"{share}; 1 % is expected of new images: memorised, or simpler than the data; see neighbours.png"


def protocol(subject: Subject, features: Features, searched: int) -> dict[str, object]:
    """What has to be known, beside the command's keys, to make the same again."""
    image_set = subject.image_set
    return {
        "data": {"name": image_set.name, "split": image_set.split, "fingerprint": image_set.fingerprint},
        "features": {"name": features.name, "weights_hash": features.weights_hash, "resize": features.resize},
        "searched": searched,
        "distances": "Euclidean; of pixels the root mean square difference, of 255",
    }


def write_maps(
    out: Path,
    board: Board,
    subject: Subject,
    features: Features,
    real: Side,
    made: Side,
    maps: dict[str, Tensor],
) -> None:
    """embed.png, embed.csv, and TensorBoard's projector."""
    is_real = [True] * len(real.rows) + [False] * len(made.rows)
    labels = torch.cat([real.labels, made.labels])
    points = Points(np.array(is_real), labels.numpy(), subject.image_set.class_names)
    what = f"{len(real.rows):,} real and {len(made.rows):,} generated images"
    space = f"in the {features.num_features} features of {features.name} ({features.weights_hash})"
    figure = draw_maps(maps, points, f"{subject.headline}: {what} {space}")
    board.figure("embedded/maps", figure, out / "embed.png")
    names = [subject.image_set.class_names[label] if label >= 0 else "unknown" for label in labels.tolist()]
    rows = list(zip(points.sources, torch.cat([real.rows, made.rows]).tolist(), names, strict=True))
    places = torch.cat(list(maps.values()), 1).tolist()
    header = ["source", "number", "class"]
    table = ([*row, *place] for row, place in zip(rows, places, strict=True))
    write_csv([*header, "pca_x", "pca_y", "tsne_x", "tsne_y"], table, out / "embed.csv")
    seen = torch.cat([real.seen.features, made.seen.features])
    board.projector(features.name, seen, torch.cat([real.images, made.images]), header, rows, out)


def write_neighbours(
    out: Path, board: Board, subject: Subject, training: Side, made: Side, near: dict[str, Near], rows: int
) -> None:
    """neighbours.png: the first samples, and below them those that are nearest to a training image in the features,
    for how near that one's own neighbours are: in absolute distance they would all be of the plainest class."""
    crowding = next(iter(near.values())).crowding
    rows = min(rows, len(crowding))
    shown = torch.cat([torch.arange(rows), crowding.argsort(stable=True)[:rows]])
    names = [f"{'' if place < rows else 'closest: '}sample {row}" for place, row in enumerate(shown.tolist())]
    units = {"pixels": "root mean square difference, of 255"}
    columns = []
    for space, found in near.items():
        neighbours = found.neighbours
        images, unit = training.images[neighbours.rows[shown]], units.get(space, "Euclidean distance")
        columns.append(NearestImages(f"nearest in {space}\nabove each: {unit}", images, neighbours.distances[shown]))
    title = f"{subject.headline}: the first samples, and those closest to one of {len(training.rows):,} training images"
    figure = draw_neighbours(made.images[shown], names, columns, title)
    board.figure("embedded/neighbours", figure, out / "neighbours.png")

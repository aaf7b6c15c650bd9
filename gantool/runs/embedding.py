"""gantool embed: where the images of a run lie among the real ones, and whether it has memorised them."""

import logging
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from omegaconf import DictConfig
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor

from gantool.analysis.draw_embedding import Company, Points, draw_maps, draw_neighbours
from gantool.analysis.embedding import predicted_classes, principal_components, tsne
from gantool.analysis.extra import require_extra
from gantool.analysis.figures import save
from gantool.analysis.neighbours import Closeness, Neighbours, closeness, nearest
from gantool.analysis.report import Board, write_csv, write_json
from gantool.runs.subject import Analysed, RunKeys, open_run, results
from gantool.runs.features import make_features
from gantool.runs.trained import TrainedRun, read_options
from gantool.runs.sampling import BLOCK, Sampling, sampled
from gantool.errors import GantoolError
from gantool.logging.progress import told
from gantool.metrics.embedding import Embedding, embed_reals
from gantool.metrics.embedding import embed as look
from gantool.metrics.features import Features

log = logging.getLogger(__name__)

MEMORISED = 0.05  # share of samples nearer to a training image than 99 % of real images: five times what is due


class Options(RunKeys):
    """The keys of conf/embed.yaml."""

    num: Annotated[int, Field(ge=2)]
    perplexity: Annotated[float, Field(ge=1, strict=False)]
    neighbours: PositiveInt
    rows: PositiveInt
    among: PositiveInt | None
    truncation: PositiveFloat | None
    batch_size: Annotated[int, Field(ge=1, le=BLOCK)]
    features: dict[str, Any]


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


def embed(cfg: DictConfig) -> None:
    """Writes the maps, the neighbours and their numbers. Raises GantoolError for the user's mistakes."""
    options = read_options(cfg, Options)
    require_extra()
    analysed = open_run(options, "embed")
    rows = rows_searched(analysed, options)
    features = extractor(analysed.run, options)
    training, made = training_side(analysed, features, rows, options), made_side(analysed, features, options)
    classes = "asked for"
    if not analysed.classes:
        labels = predicted_classes(made.seen, training.seen, training.labels, analysed.image_set.num_classes)
        made = made if labels is None else replace(made, labels=labels)
        classes = "unknown" if labels is None else "predicted"
    log.info("neighbours of %d images among %d, and t-SNE of %d", options.num, len(rows), 2 * options.num)
    near = {
        features.name: compare(made.seen.features, training.seen.features, options),
        "pixels": compare(made.images, training.images, options, scale=training.images[0].numel() ** -0.5),
    }
    points = torch.cat([training.seen.features[: options.num], made.seen.features])
    components, shares = principal_components(points, 2)
    maps = {
        f"PCA ({sum(shares):.0%} of the variance)": components,
        "t-SNE": tsne(points, perplexity=options.perplexity, seed=options.seed),
    }
    known = {
        **protocol(analysed, features, options, len(rows)),
        "generated_classes": classes,
        "explained_variance": shares,
        "nearest": {space: asdict(found.closeness) for space, found in near.items()},
    }
    with results(analysed, options, "embedded") as out:
        board = Board(out / "tensorboard", analysed.run.nimg)
        write_maps(out, board, analysed, features, training[torch.arange(options.num)], made, maps)
        write_neighbours(out, board, analysed, training, made, near, options.rows)
        board.close()
        write_json(known, out / "embed.json")
    for space, found in near.items():
        log.info("%s", verdict(space, found.closeness, options.num))
    log.info("%d real and %d generated images of %s: %s", options.num, options.num, analysed.run.folder, out)


def rows_searched(analysed: Analysed, options: Options) -> Tensor:
    """(n,) training images that neighbours are looked for among, in an order that the seed gives; the first
    `options.num` are the real images that are shown. Raises GantoolError where there are too few."""
    pool = analysed.pool(analysed.classes if options.classes is not None else [])
    order = torch.randperm(len(pool), generator=torch.Generator().manual_seed(options.seed))
    rows = pool[order[: options.among]]
    if options.num > len(rows):
        fix = f"among={options.among}" if len(rows) < len(pool) else f"{analysed.image_set.name} has no more"
        raise GantoolError(f"num={options.num}: only {len(rows)} training images are looked at ({fix})")
    if options.neighbours >= len(rows):
        raise GantoolError(f"neighbours={options.neighbours}: only {len(rows)} training images are looked at")
    if options.perplexity >= 2 * options.num:
        raise GantoolError(f"perplexity={options.perplexity:g}: it has to be below the {2 * options.num} images shown")
    return rows


def extractor(run: TrainedRun, options: Options) -> Features:
    """What the run's data set is scored with, unless the user names another."""
    dataset = run.plain["dataset"]
    defaults = {"source": dataset["source"], "device": str(run.device)}
    return make_features(options.features or dataset["features"], defaults).to(run.device)


def training_side(analysed: Analysed, features: Features, rows: Tensor, options: Options) -> Side:
    """The training images at `rows`."""
    log.info("%s looks at %d training images", features.name, len(rows))
    image_set, device = analysed.image_set, analysed.run.device
    ordered, places = rows.sort()
    seen = embed_reals(features, image_set, ordered, options.batch_size, device, told)[places.argsort()]
    labels = torch.full((len(rows),), -1) if image_set.labels is None else image_set.labels[rows]
    return Side(image_set.images[rows], rows, labels, seen)


def made_side(analysed: Analysed, features: Features, options: Options) -> Side:
    """The images that gantool sample makes with this seed; labelled as they were asked for."""
    log.info("%s looks at %d generated images", features.name, options.num)
    sampling = Sampling(options.num, options.seed, options.truncation, options.batch_size)
    blocks = list(told(sampled(analysed.run, sampling, analysed.classes), options.num))
    seen = look(features, told(iter(blocks), options.num), analysed.run.device)
    made = torch.cat([images for images, _ in blocks])
    asked = [labels for _, labels in blocks if labels is not None]
    labels = torch.cat(asked) if asked else torch.full((len(made),), -1)
    return Side(made, torch.arange(len(made)), labels, seen)


def compare(made: Tensor, training: Tensor, options: Options, scale: float = 1.0) -> Near:
    """Points (M, ...) of generated images with those of training images (N, ...); distances times `scale`."""
    found = nearest(made, training, options.neighbours)
    others = nearest(training[: options.num], training, 1, own=torch.arange(options.num)).distances[:, 0]
    first = found.rows[:, 0]
    around = nearest(training[first], training, 1, own=first).distances[:, 0]
    near = closeness(found.distances[:, 0] * scale, others * scale)
    crowding = found.distances[:, 0] / around.clamp(min=1e-12)  # copies of one image have nothing between them
    return Near(replace(found, distances=found.distances * scale), near, crowding)


def verdict(space: str, near: Closeness, num: int) -> str:
    """What the distances say, in words."""
    share = f"{space}: {near.share:.1%} of {num} samples are nearer to a training image than 99 % of real images are"
    if near.share <= MEMORISED:
        return f"{share}; new images would be 1 %, so there is no sign of memorising"
    return f"{share}; new images would be 1 %: memorised, or plainer than the data, as neighbours.png shows"


def protocol(analysed: Analysed, features: Features, options: Options, searched: int) -> dict[str, object]:
    """What has to be known to make the same again."""
    run, image_set = analysed.run, analysed.image_set
    return {
        "run": str(run.folder),
        "nimg": run.nimg,
        **options.model_dump(include={"num", "seed", "classes", "perplexity", "truncation", "ema", "checkpoint"}),
        "data": {"name": image_set.name, "split": image_set.split, "fingerprint": image_set.fingerprint},
        "features": {"name": features.name, "weights_hash": features.weights_hash, "resize": features.resize},
        "searched": searched,
        "distances": "Euclidean; of pixels the root mean square difference, of 255",
    }


def write_maps(
    out: Path,
    board: Board,
    analysed: Analysed,
    features: Features,
    real: Side,
    made: Side,
    maps: dict[str, Tensor],
) -> None:
    """embed.png, embed.csv, and TensorBoard's projector."""
    is_real = [True] * len(real.rows) + [False] * len(made.rows)
    labels = torch.cat([real.labels, made.labels])
    points = Points(np.array(is_real), labels.numpy(), analysed.image_set.class_names)
    what = f"{len(real.rows):,} real and {len(made.rows):,} generated images"
    space = f"in the {features.num_features} features of {features.name} ({features.weights_hash})"
    figure = draw_maps(maps, points, f"{analysed.headline}: {what} {space}")
    board.picture("embedded/maps", save(figure, out / "embed.png"))
    names = [analysed.image_set.class_names[label] if label >= 0 else "unknown" for label in labels.tolist()]
    rows = list(zip(points.sources, torch.cat([real.rows, made.rows]).tolist(), names, strict=True))
    places = torch.cat(list(maps.values()), 1).tolist()
    header = ["source", "number", "class"]
    table = ([*row, *place] for row, place in zip(rows, places, strict=True))
    write_csv([*header, "pca_x", "pca_y", "tsne_x", "tsne_y"], table, out / "embed.csv")
    seen = torch.cat([real.seen.features, made.seen.features])
    board.projector(features.name, seen, torch.cat([real.images, made.images]), header, rows)


def write_neighbours(
    out: Path, board: Board, analysed: Analysed, training: Side, made: Side, near: dict[str, Near], rows: int
) -> None:
    """neighbours.png: the first samples, and below them those that are nearest to a training image in the features,
    for how near that one's own neighbours are: in absolute distance they would all be of the plainest class."""
    crowding = next(iter(near.values())).crowding
    rows = min(rows, len(crowding))
    shown = torch.cat([torch.arange(rows), crowding.argsort(stable=True)[:rows]])
    names = [f"sample {row}" if place < rows else f"closest: {row}" for place, row in enumerate(shown.tolist())]
    companies = []
    for space, found in near.items():
        neighbours = found.neighbours
        images = training.images[neighbours.rows[shown]]
        companies.append(Company(f"nearest in {space}", images, neighbours.distances[shown]))
    title = f"{analysed.headline}: samples and their nearest of {len(training.rows):,} training images"
    figure = draw_neighbours(made.images[shown], names, companies, title)
    board.picture("embedded/neighbours", save(figure, out / "neighbours.png"))

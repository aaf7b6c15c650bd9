"""gantool embed: where the images of a run lie among the real ones, and whether it has memorised them."""

import logging
from dataclasses import asdict
from typing import Annotated, Any, ClassVar

from pydantic import Field, PositiveInt

from gantool.config.options import IN_BLOCKS, InBlocks, OfClasses, OneRun, group, key
from gantool.errors import GantoolError, require

log = logging.getLogger(__name__)


class Options(OneRun, OfClasses, InBlocks):
    """Shows real and generated images as points of a plane, and the samples' nearest training images.

    Writes embed.png (PCA and t-SNE in the features that the run is scored with), neighbours.png (samples beside their
    nearest training images, in features and in pixels), embed.csv and embed.json to
    RUN_FOLDER/embedded/KIMG-seed0, and for tensorboard --logdir RUN_FOLDER the projector with a thumbnail for each
    image.
    Needs pip install 'gantool[analysis]'.
    """

    usage: ClassVar[str] = "run=RUN_FOLDER [features=choice] [key=value]"

    features: dict[str, Any] = group(None, "feature extractor; null: the one the run was scored with")
    num: Annotated[int, Field(ge=2)] = key(1000, "real images, and as many generated ones")
    perplexity: Annotated[float, Field(ge=1, strict=False)] = key(
        30, "of t-SNE: effective number of neighbours of a point"
    )
    neighbours: PositiveInt = key(5, "nearest training images beside a sample")
    rows: PositiveInt = key(6, "samples shown with neighbours, and as many of those nearest to a training image")
    among: PositiveInt | None = key(10_000, "random training images to search for neighbours; null: all")


def embed(options: Options) -> None:
    """Writes the maps, the neighbours and their numbers. Raises GantoolError for the user's mistakes."""
    import torch

    from gantool.analysis.board import Board
    from gantool.analysis.embedding import principal_components, tsne
    from gantool.files import write_json
    from gantool.logging.tensorboard import beside
    from gantool.runs import embedding
    from gantool.runs.output import output, stamp
    from gantool.runs.subject import open_subject
    from gantool.runs.trained import opened
    from gantool.sampling import check_truncation

    require("analysis", "matplotlib", "sklearn", "captum")
    run = opened(options, options.device)
    check_truncation(run.game, options.truncation)
    subject, num = open_subject(run, options.classes, "embed"), options.num
    only = subject.classes if options.classes is not None else []
    rows = embedding.rows_searched(subject, only, among=options.among, seed=options.seed)
    _check_counts(options, len(rows), len(subject.pool(only)), subject.image_set.name)
    features = run.features(options.features)
    training = embedding.training_side(subject, features, rows, options.batch_size)
    how = options.model_dump(include=IN_BLOCKS)
    made, classes = embedding.labelled(subject, embedding.made_side(subject, features, num, **how), training)
    log.info("neighbours of %d images among %d, and t-SNE of %d", num, len(rows), 2 * num)
    scale = training.images[0].numel() ** -0.5
    near = {
        features.name: embedding.compare(made.seen.features, training.seen.features, options.neighbours),
        "pixels": embedding.compare(made.images, training.images, options.neighbours, scale),
    }
    points = torch.cat([training.seen.features[:num], made.seen.features])
    components, shares = principal_components(points, 2)
    maps = {
        f"PCA ({sum(shares):.0%} of the variance)": components,
        "t-SNE": tsne(points, perplexity=options.perplexity, seed=options.seed),
    }
    known = {
        "run": str(run.folder),
        "nimg": run.nimg,
        **options.model_dump(include={"num", "seed", "classes", "perplexity", "truncation", "ema", "checkpoint"}),
        **embedding.protocol(subject, features, len(rows)),
        "generated_classes": classes,
        "explained_variance": shares,
        "nearest": {space: asdict(found.closeness) for space, found in near.items()},
    }
    name = stamp(run.nimg, options.seed)
    with output(run.folder, "embedded", name, options.out) as out:
        place = out if options.out else run.folder
        with beside(place, f"embedded-{name}") as writer:
            board = Board(writer, place, run.nimg)
            embedding.write_maps(out, board, subject, features, training[torch.arange(num)], made, maps)
            embedding.write_neighbours(out, board, subject, training, made, near, options.rows)
        write_json(known, out / "embed.json")
    for space, found in near.items():
        log.info("%s", embedding.verdict(space, found.closeness, num))
    log.info("%d real and %d generated images of %s: %s", num, num, run.folder, out)


def _check_counts(options: Options, searched: int, there: int, data: str) -> None:
    """Raises GantoolError where there are too few images for what is asked."""
    if options.num > searched:
        fix = f"among={options.among}" if searched < there else f"{data} has no more"
        raise GantoolError(f"num={options.num}: only {searched} training images are searched ({fix})")
    if options.neighbours >= searched:
        raise GantoolError(f"neighbours={options.neighbours}: only {searched} training images are searched")
    if options.perplexity >= 2 * options.num:
        raise GantoolError(
            f"perplexity={options.perplexity:g}: should be below {2 * options.num}, the number of images shown"
        )

"""gantool truncation: scores a trained run at several truncations of its latents, and draws the curve."""

import logging
from typing import Annotated

from pydantic import Field, PositiveFloat

from gantool.config.options import BLOCK, BatchSize, Drawing, OneRun, Standing, key
from gantool.errors import require

log = logging.getLogger(__name__)


class Options(OneRun, Drawing, Standing):
    """Shows what a trained run trades between fidelity and variety by truncating its normal latents (Brock 2019).

    Results go to RUN_FOLDER/truncation/KIMG-seed0 unless out=FOLDER says otherwise: scores with margins as .csv and
    .json, curve and samples (a row for each threshold) as .png.
    """

    thresholds: Annotated[list[PositiveFloat | None], Field(min_length=1)] = key(
        [0.2, 0.5, 0.8, 1.1, 1.4, 1.7, 2.0, None], "standard deviations that latents stay within; null: no truncation"
    )
    num: Annotated[int, Field(ge=10)] = key(5000, "images scored at each threshold")
    batch_size: BatchSize = key(100, f"images at once, 1 to {BLOCK}")
    plot: bool = key(True, "draw the curve; needs matplotlib: pip install 'gantool[analysis]'")


def truncation(options: Options) -> None:
    """Raises GantoolError for the user's mistakes."""
    import torch

    from gantool.files import whole, write_csv, write_json
    from gantool.logging.grid import grid, save_grid
    from gantool.margins import written
    from gantool.metrics.scorer import Scorer
    from gantool.metrics.scores import FrechetDistance, InceptionScore, Precision
    from gantool.monitors.scores import made
    from gantool.runs.output import output, stamp
    from gantool.runs.trained import opened
    from gantool.runs.truncation import COLUMNS, draw, row, words
    from gantool.sampling import check_standing, check_truncation

    if options.plot:
        require("analysis", "matplotlib", what="the curve, which plot=false leaves out,")
    run = opened(options, options.device)
    game = run.gan("truncation")
    thresholds = sorted(set(options.thresholds), key=lambda threshold: threshold or float("inf"))
    passes = run.passes if options.standing_statistics is None else options.standing_statistics
    check_standing(game, passes)
    check_truncation(game, thresholds[0])
    how = options.model_dump(include={"num", "batch_size", "seed"})
    features = run.features({})
    fidelity = {"is": InceptionScore()} if features.has_classes else {"precision": Precision()}
    scorer = Scorer(features, {"fd": FrechetDistance(), **fidelity}, run.images(), device=run.device, **how)
    if scorer.warning:
        log.warning("note on the scores: %s", scorer.warning)
    rows: list[dict[str, float | None]] = []
    known: list[dict[str, float]] = []  # margins
    samples = []
    for threshold in thresholds:  # without passes batch norm keeps the statistics of training, of whole latents
        generators = run.standing(passes, options.seed, threshold)
        samples.append(row(run, generators, threshold, options.seed))
        scores, margins = scorer.score_with_margins(made(game, generators, scorer, threshold))
        rows.append({"threshold": threshold, **scores})
        known.append(margins)
        told = (f"{name} {written(value, margins.get(name))}" for name, value in scores.items())
        log.info("%s: %s", words(threshold), ", ".join(told))
    protocol = scorer.protocol(ema=options.ema, standing_statistics=passes, nimg=run.nimg)
    with output(run.folder, "truncation", stamp(run.nimg, options.seed), options.out) as out:
        lines = [
            [*one.values(), *(margins.get(name, "") for name in scorer.names)]
            for one, margins in zip(rows, known, strict=True)
        ]
        write_csv([*rows[0], *(f"{name}_margin" for name in scorer.names)], lines, out / "truncation.csv")
        write_json({"protocol": protocol, "scores": rows, "margins": known}, out / "truncation.json")
        save_grid(grid(torch.cat(samples), COLUMNS), out / "samples.png", [words(one) for one in thresholds])
        if options.plot:
            with whole(out / "curve.png") as partial:
                draw(rows).savefig(partial, dpi=150)
    log.info("%d thresholds of %s at %g kimg: %s", len(rows), run.folder, run.nimg / 1000, out)

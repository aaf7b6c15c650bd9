"""gantool evaluate: every score of trained runs in one feature space, with their protocol and floor, ranked."""

import logging
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field, PositiveInt

from gantool.config.options import BLOCK, BatchSize, Latents, Out, Seed, Weights, group, key
from gantool.errors import GantoolError, did_you_mean
from gantool.files import check_writable
from gantool.folder import checkpoints_in
from gantool.launch import is_first_rank
from gantool.paths import expanded

log = logging.getLogger(__name__)

Target = tuple[str | None, str]  # folder and checkpoint


class Options(Weights, Latents):
    """Scores trained runs, with the protocol and the scores of real images, and ranks them.

    Without further keys, a run gets the scores that its training logged, with the same images, counts and features,
    and fd, kd, is, precision, recall, density and coverage. The last line of the table is what held-out real images
    score. Results go to RUN_FOLDER/evaluated unless out=FOLDER says otherwise: protocol and scores as JSON, CSV,
    TensorBoard events.
    """

    usage: ClassVar[str] = "run=RUN_OR_SWEEP_FOLDER [features=choice] [score=[choices]] [key=value]"

    run: str | Annotated[list[str], Field(min_length=1)] | None = key(
        None, "a run folder, a sweep folder (all its trained runs), or several: run=[A,B]"
    )
    checkpoint: str | Annotated[list[str], Field(min_length=1)] = key(
        "newest", "newest, best, all, or a list of these and of files in RUN/checkpoints"
    )
    features: dict[str, Any] = group(None, "feature extractor; null: the one the run was scored with")
    score: dict[str, dict[str, Any]] = group(
        None,
        "what is measured; null: what training logged, and all but cas, fd_infinity; cas: conditional runs only",
    )
    per_class: bool = key(
        False, "for conditional runs, also the Fréchet distance of each class or attribute; needs fd in score="
    )
    num: PositiveInt | None = key(None, "generated images; null: as many as in training")
    seed: Seed | None = key(None, "of the generated images; null: as in training")
    batch_size: BatchSize | None = key(None, f"images at once, 1 to {BLOCK}; null: as in training")
    num_real: PositiveInt | None = key(None, "real images they are scored against; null: all")
    split: str | None = key(None, "of the real images: train, test, ...; null: what the run was trained on")
    root: str | None = key(None, "where the data set is now; null: where it was in training")
    rank_by: str | None = key(None, "a score; null: the first")
    out: Out | None = key(None, "folder to write into, new or empty, with a table of all runs; null: each run's own")


def evaluate(options: Options) -> None:
    """Raises GantoolError for the user's mistakes: before the long work, as far as they can be seen then."""
    from gantool.config.composed import settings
    from gantool.ranks import process_group
    from gantool.runs.evaluations import Evaluation, print_table, ranked, save, save_table
    from gantool.runs.panel import Panel
    from gantool.runs.trained import TrainedRun, load_run

    def load(target: Target) -> TrainedRun:
        return load_run(target[0], ema=options.ema, device=options.device, checkpoint=target[1], trust=options.trust)

    if "score" in options.model_fields_set and not options.score:
        raise GantoolError("score=none measures nothing: choose at least one, such as score=fd, or leave it out")
    targets = find_targets(options)
    judging = options.model_dump(exclude={"run", "trust", "checkpoint", "ema", "device", "rank_by", "out"})
    evaluations: list[Evaluation] = []
    places: list[Path] = []
    runs = [expanded(str(run)) for run, _ in targets]
    places_of = _places(runs, options.out)
    for run in runs if options.out is None else ():
        if run.is_dir():
            check_writable(run, "choose out=FOLDER")
    with process_group():
        first = load(targets[0])
        conditional = all(settings(run).get("model.conditional", True) for run in runs)
        panel = Panel(first, **judging, conditional=conditional)
        names = panel.scorer.names
        if options.rank_by not in (None, *names):
            near = did_you_mean(str(options.rank_by), names)
            raise GantoolError(f"rank_by={options.rank_by}{near}: the scores are {', '.join(names)}")
        states = {(panel.run.folder.resolve(), panel.run.nimg): targets[0]}  # the best may be the newest too
        for target in targets[1:]:
            run = load(target)
            panel.check_comparable(run)
            states.setdefault((run.folder.resolve(), run.nimg), target)
        for target in states.values():
            evaluations.append(panel.judge(load(target)))
            if is_first_rank():
                run = evaluations[-1].run
                places.append(save(evaluations[-1], places_of[run], None if options.out else run))
    if not is_first_rank():
        return
    metric = options.rank_by or names[0]
    evaluations, order = ranked(evaluations, metric)
    print_table(evaluations, metric, order)
    if options.out:
        save_table(evaluations, options.out)
        places.append(Path(options.out))
    log.info("protocol, JSON and CSV: %s", ", ".join(dict.fromkeys(map(str, places))))


def _places(runs: list[Path], out: str | None) -> dict[Path, Path]:
    """Where the results of each run go: into its folder, or all below `out`."""
    if out is None:
        return {run: run / "evaluated" for run in runs}
    names = [run.resolve().name for run in dict.fromkeys(runs)]
    return {
        run: expanded(out) / (name if names.count(name) == 1 else f"{place}-{name}")
        for place, (run, name) in enumerate(zip(dict.fromkeys(runs), names, strict=True))
    }


def _trained(name: str | None) -> list[str | None]:
    """The runs with a checkpoint of the sweep that is called so, or `name` itself where it is none."""
    from gantool.sweeps.results import jobs_of_sweep

    jobs = jobs_of_sweep(expanded(name)) if name else []
    trained = [str(job) for job in jobs if checkpoints_in(job)]
    if jobs and not trained:
        raise GantoolError(f"run={name}: no job of this sweep has a checkpoint yet")
    return [*trained] or [name]


def find_targets(options: Options) -> list[Target]:
    """Every checkpoint that is asked for; raises GantoolError for one that is not there."""
    from gantool.training.checkpoint import nimg_of

    found: list[Target] = []
    named = options.run if isinstance(options.run, list) else [options.run]
    for run in [one for name in named for one in _trained(name)]:
        paths = sorted(checkpoints_in(expanded(run or "")))
        files = [path.name for path in paths]
        kept = {nimg: path.name for path in paths if (nimg := nimg_of(path)) is not None}
        asked = [options.checkpoint] if isinstance(options.checkpoint, str) else options.checkpoint
        for name in asked:
            if name == "all":  # the best is often one of the others
                found += [(run, file) for file in kept.values()] or [(run, "newest")]
            elif name in ("newest", "best", *files):
                found.append((run, name))
            else:
                known = ["newest", "best", "all", *files]
                raise GantoolError(f"checkpoint={name}{did_you_mean(name, known)}: choose from {', '.join(known)}")
        if not files:
            found.append((run, "newest"))  # load_run says what is wrong with it
    return list(dict.fromkeys(found))

"""gantool evaluate: every score of trained runs in one feature space, with their protocol and floor, ranked."""

import logging
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from omegaconf import DictConfig
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt

from gantool.commands.build import make
from gantool.runs.evaluations import Result, print_table, ranked, save, save_table
from gantool.runs.features import make_features
from gantool.runs.trained import TrainedRun, load_run, read_options, without_prefix
from gantool.runs.sampling import BLOCK, Sampling, sampled
from gantool.data import ImageSet, prepare
from gantool.errors import GantoolError, did_you_mean
from gantool.games.gan import GAN
from gantool.logging.progress import told
from gantool.metrics.accuracy import ClassificationAccuracy
from gantool.metrics.judge import Judge, Settings

log = logging.getLogger(__name__)

MOST = 5000  # images generated where `num` does not say


class Options(BaseModel):
    """The keys of conf/evaluate.yaml."""

    model_config = ConfigDict(strict=True, extra="forbid")

    run: str | Annotated[list[str], Field(min_length=1)] | None
    checkpoint: str | Annotated[list[str], Field(min_length=1)]
    features: dict[str, Any]
    scores: Annotated[
        list[Literal["fd", "kd", "is", "precision", "recall", "density", "coverage", "cas"]], Field(min_length=1)
    ]
    num: PositiveInt | None
    num_real: PositiveInt | None
    split: str | None
    root: str | None
    neighbours: PositiveInt
    coverage_neighbours: PositiveInt
    cas_images: PositiveInt
    seed: Annotated[int, Field(ge=0)]
    truncation: PositiveFloat | None
    ema: bool
    batch_size: Annotated[int, Field(ge=1, le=BLOCK)]
    device: str
    rank_by: str | None
    out: str | None


def evaluate(cfg: DictConfig) -> None:
    """Scores every checkpoint of every run, writes the results into the runs' folders and prints a ranked table.

    Raises GantoolError for the user's mistakes: before the long work, as far as they can be seen then.
    """
    options = read_options(cfg, Options)
    targets = find_targets(options)
    panel = Panel(load(targets[0], options), options)
    for target in targets[1:]:
        panel.check_comparable(load(target, options))
    panel.prepare()
    results: list[Result] = []
    for target in targets:
        results.append(panel.judge(load(target, options)))
        save(results[-1])
    metric = options.rank_by or panel.names[0]
    results = ranked(results, metric)
    print_table(results, metric)
    if warning := panel.protocol.get("warning"):
        log.warning("note: %s", warning)
    if options.out:
        save_table(results, options.out)
    places = dict.fromkeys([str(result.folder) for result in results] + ([options.out] if options.out else []))
    log.info("protocol, JSON and CSV: %s", ", ".join(places))


Target = tuple[str | None, str]  # folder and checkpoint


def find_targets(options: Options) -> list[Target]:
    """Every checkpoint that is asked for; raises GantoolError for one that is not there."""
    found: list[Target] = []
    for run in options.run if isinstance(options.run, list) else [options.run]:
        files = sorted(path.name for path in (Path(run or "").expanduser() / "checkpoints").glob("*.pt"))
        asked = [options.checkpoint] if isinstance(options.checkpoint, str) else options.checkpoint
        for name in asked:
            if name == "all":  # the best is often one of the others
                found += [(run, file) for file in {file.split("-")[-2]: file for file in files}.values()]
            elif name in ("newest", "best", *files):
                found.append((run, name))
            else:
                known = ["newest", "best", "all", *files]
                raise GantoolError(f"checkpoint={name}{did_you_mean(name, known)}: choose of {', '.join(known)}")
        if not files:
            found.append((run, "newest"))  # load_run says what is wrong with it
    return list(dict.fromkeys(found))


def load(target: Target, options: Options) -> TrainedRun:
    """The run as the checkpoint has it."""
    return load_run(target[0], ema=options.ema, device=options.device, checkpoint=target[1])


class Panel:
    """All that judges: the scores of one feature space, and what samples teach a classifier.

    `run`: whose data set the real images are, and whose features are used where none are chosen.
    """

    def __init__(self, run: TrainedRun, options: Options) -> None:
        self.options, self.run = options, run
        self.data = self._images(run, options.split)
        self.num = options.num or min(MOST, max(len(self.data.images) // 2, 1))
        kinds = [kind for kind in options.scores if kind != "cas"]
        self.scores: Judge | None = None
        self.accuracy: ClassificationAccuracy | None = None
        if kinds:
            settings = Settings(
                kinds, self.num, options.num_real, options.neighbours, options.coverage_neighbours, options.seed
            )
            defaults = {"source": self._node(run, None), "device": str(run.device)}
            features = make_features(options.features or run.plain["dataset"]["features"], defaults)
            self.scores = Judge(features, self.data, settings, run.device)
        if "cas" in options.scores:
            self._check_conditional(run)
            self.accuracy = self._accuracy()
        self.names = [*(self.scores.names if self.scores else ()), *(["cas"] if self.accuracy else ())]
        if options.rank_by not in (None, *self.names):
            near = did_you_mean(str(options.rank_by), self.names)
            raise GantoolError(f"rank_by={options.rank_by}{near}: the scores are {', '.join(self.names)}")

    def _node(self, run: TrainedRun, split: str | None) -> dict[str, Any]:
        """The run's data set as its configuration describes it, but for `root` and `split` where they are given."""
        node = run.plain["dataset"]["source"]
        if split is not None and "split" not in node:
            raise GantoolError(f"split={split}: the data set of {run.folder} has no splits; leave split out")
        changed = {"root": self.options.root, "split": split}
        return {**node, **{key: value for key, value in changed.items() if value is not None}}

    def _images(self, run: TrainedRun, split: str | None) -> ImageSet:
        if not isinstance(run.game, GAN):
            raise GantoolError(f"{run.folder} translates images: evaluate takes runs that make them from noise")
        with without_prefix("dataset."):
            return prepare(make(self._node(run, split)), on_bad_image=run.plain["dataset"]["on_bad_image"])

    def _accuracy(self) -> ClassificationAccuracy:
        own, trained_on = self._images(self.run, None), self.run.plain["dataset"]["source"].get("split")
        test = None if trained_on in (None, "test", "all") else self._images(self.run, "test")
        options = self.options
        return ClassificationAccuracy(
            own, test, num=self.num, num_images=options.cas_images, seed=options.seed, device=self.run.device
        )

    def _check_conditional(self, run: TrainedRun) -> None:
        if not run.num_classes:
            raise GantoolError(f"cas needs a conditional generator, and {run.folder} is not: leave cas out of scores=")

    def check_comparable(self, run: TrainedRun) -> None:
        """Raises GantoolError where `run` was trained on other images, or cannot have one of the scores."""
        if self._images(run, self.options.split).fingerprint != self.data.fingerprint:
            raise GantoolError(
                f"{run.folder} and {self.run.folder} were trained on other images or at another resolution: "
                "evaluate them one by one"
            )
        if self.accuracy:
            self._check_conditional(run)

    def prepare(self) -> None:
        """Measures the floor and writes the protocol."""
        options = self.options
        self.floor: dict[str, float] = {}
        self.protocol: dict[str, object] = {}
        if self.scores:
            self.scores.prepare(options.batch_size, told)
            self.floor, self.protocol = dict(self.scores.floor), self.scores.protocol()
        if self.accuracy:
            log.info("cas: training on %d real images", self.accuracy.protocol["cas_real_images"])
            self.floor["cas"] = self.accuracy.floor()
            self.protocol |= {"num_fake": self.num, "seed": options.seed, **self.accuracy.protocol}
        self.protocol |= {"ema": options.ema, "truncation": options.truncation}

    def judge(self, run: TrainedRun) -> Result:
        """Samples as many images as the protocol says and scores them."""
        options = self.options
        log.info("scoring %d images of %s at %g kimg", self.num, run.folder, run.nimg / 1000)
        sampling = Sampling(self.num, options.seed, options.truncation, options.batch_size)
        blocks = told(sampled(run, sampling, self._labels(run)), self.num)
        if self.accuracy:
            blocks = list(blocks)  # they are looked at twice
        scores = self.scores.score(blocks) if self.scores else {}
        if self.accuracy:
            log.info("cas: training on the generated images")
            images, labels = (torch.cat(side) for side in zip(*blocks, strict=True))
            scores["cas"] = self.accuracy.score(images, labels)
        return Result(run.folder, run.nimg, scores, self.floor, self.protocol)

    def _labels(self, run: TrainedRun) -> list[int]:
        """What images take in turn: the labels of the real ones, so that classes are as frequent as there."""
        if not run.num_classes:
            return []
        assert self.data.labels is not None
        order = torch.randperm(len(self.data.labels), generator=torch.Generator().manual_seed(self.options.seed))
        return self.data.labels[order].tolist()

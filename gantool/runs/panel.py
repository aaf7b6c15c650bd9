"""What judges runs: every score of one feature space, and what samples teach a classifier, under one protocol."""

import logging
from collections.abc import Sequence
from typing import Any

import torch

from gantool.commands.build import make
from gantool.data import ImageSet, prepare
from gantool.errors import GantoolError
from gantool.games.gan import GAN
from gantool.logging.progress import follow_images
from gantool.metrics.accuracy import ClassificationAccuracy
from gantool.metrics.judge import Judge, Settings
from gantool.runs.evaluations import Evaluation
from gantool.runs.features import make_features
from gantool.runs.sampling import Sampling, sampled
from gantool.runs.trained import TrainedRun, without_prefix

log = logging.getLogger(__name__)

MOST = 5000  # images generated where `num` does not say


class Panel:
    """All that judges: the scores of one feature space, and what samples teach a classifier.

    `run`: whose data set the real images are, and whose features are used where `features` is {}. `kinds` of scores,
    "cas" among them or not; `num`, `num_real`, `neighbours`, `coverage_neighbours` and `seed` as in Settings.
    """

    def __init__(
        self,
        run: TrainedRun,
        *,
        kinds: Sequence[str],
        features: dict[str, Any],
        num: int | None,
        num_real: int | None,
        split: str | None,
        root: str | None,
        neighbours: int,
        coverage_neighbours: int,
        cas_images: int,
        seed: int,
        truncation: float | None,
        batch_size: int,
    ) -> None:
        self.run, self.split, self.root = run, split, root
        self.data = self._images(run, split)
        self.num = num or min(MOST, max(len(self.data.images) // 2, 1))
        self.sampling = Sampling(self.num, seed, truncation, batch_size)
        kinds, with_cas = [kind for kind in kinds if kind != "cas"], "cas" in kinds
        self.scores: Judge | None = None
        self.accuracy: ClassificationAccuracy | None = None
        if kinds:
            settings = Settings(kinds, self.num, num_real, neighbours, coverage_neighbours, seed)
            defaults = {"source": self._node(run, None), "device": str(run.device)}
            self.scores = Judge(
                make_features(features or run.plain["dataset"]["features"], defaults), self.data, settings, run.device
            )
        if with_cas:
            self._check_conditional(run)
            self.accuracy = self._accuracy(cas_images)
        self.names = [*(self.scores.names if self.scores else ()), *(["cas"] if self.accuracy else ())]

    def _node(self, run: TrainedRun, split: str | None) -> dict[str, Any]:
        """The run's data set as its configuration describes it, but for `root` and `split` where they are given."""
        node = run.plain["dataset"]["source"]
        if split is not None and "split" not in node:
            raise GantoolError(f"split={split}: the data set of {run.folder} has no splits; leave split out")
        changed = {"root": self.root, "split": split}
        return {**node, **{key: value for key, value in changed.items() if value is not None}}

    def _images(self, run: TrainedRun, split: str | None) -> ImageSet:
        if not isinstance(run.game, GAN):
            raise GantoolError(f"{run.folder} translates images: evaluate takes runs that make them from noise")
        with without_prefix("dataset."):
            return prepare(make(self._node(run, split)), on_bad_image=run.plain["dataset"]["on_bad_image"])

    def _accuracy(self, num_images: int) -> ClassificationAccuracy:
        own, trained_on = self._images(self.run, None), self.run.plain["dataset"]["source"].get("split")
        test = None if trained_on in (None, "test", "all") else self._images(self.run, "test")
        seed, device = self.sampling.seed, self.run.device
        return ClassificationAccuracy(own, test, num=self.num, num_images=num_images, seed=seed, device=device)

    def _check_conditional(self, run: TrainedRun) -> None:
        if not run.num_classes:
            raise GantoolError(f"cas needs a conditional generator, and {run.folder} is not: leave cas out of scores=")

    def check_comparable(self, run: TrainedRun) -> None:
        """Raises GantoolError where `run` was trained on other images, or cannot have one of the scores."""
        if self._images(run, self.split).fingerprint != self.data.fingerprint:
            raise GantoolError(
                f"{run.folder} and {self.run.folder} were trained on other images or at another resolution: "
                "evaluate them one by one"
            )
        if self.accuracy:
            self._check_conditional(run)

    def prepare(self) -> None:
        """Measures the floor and writes the protocol."""
        self.floor: dict[str, float] = {}
        self.protocol: dict[str, object] = {}
        if self.scores:
            self.scores.prepare(self.sampling.batch_size, follow_images)
            self.floor, self.protocol = dict(self.scores.floor), self.scores.protocol()
        if self.accuracy:
            log.info("cas: training on %d real images", self.accuracy.protocol["cas_real_images"])
            self.floor["cas"] = self.accuracy.floor()
            self.protocol |= {"num_fake": self.num, "seed": self.sampling.seed, **self.accuracy.protocol}
        self.protocol |= {"ema": self.run.ema, "truncation": self.sampling.truncation}

    def judge(self, run: TrainedRun) -> Evaluation:
        """Samples as many images as the protocol says and scores them."""
        log.info("scoring %d images of %s at %g kimg", self.num, run.folder, run.nimg / 1000)
        blocks = follow_images(sampled(run, self.sampling, self._labels(run)), self.num)
        if self.accuracy:
            blocks = list(blocks)  # they are looked at twice
        scores = self.scores.score(blocks) if self.scores else {}
        if self.accuracy:
            log.info("cas: training on the generated images")
            images, labels = (torch.cat(side) for side in zip(*blocks, strict=True))
            scores["cas"] = self.accuracy.score(images, labels)
        return Evaluation(run.folder, run.nimg, scores, self.floor, self.protocol)

    def _labels(self, run: TrainedRun) -> list[int]:
        """What images take in turn: the labels of the real ones, so that classes are as frequent as there."""
        if not run.num_classes:
            return []
        assert self.data.labels is not None
        order = torch.randperm(len(self.data.labels), generator=torch.Generator().manual_seed(self.sampling.seed))
        return self.data.labels[order].tolist()

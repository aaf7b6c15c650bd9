"""What judges trained runs: the chosen scores in one feature space against one part of a data set."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gantool.data.image_set import ImageSet
from gantool.errors import GantoolError
from gantool.logging.progress import follow_images
from gantool.metrics.per_class import OfClass
from gantool.metrics.scorer import Scorer
from gantool.monitors.scores import NUM, made
from gantool.ranks import world
from gantool.runs.evaluations import Evaluation
from gantool.runs.features import as_trained, asked_of, build_scores
from gantool.runs.trained import TrainedRun
from gantool.sampling import BLOCK, check_standing, check_truncation

log = logging.getLogger(__name__)


class Panel:
    """Judges runs as their training did (monitors.scores), unless told otherwise: the same numbers come out.

    `run`: whose data set the real images are, and whose features are used where `features` is {}. `score`: nodes by
    kind, {}: those of its training, and the usual ones, as far as the features can have them and, where not all runs
    are `conditional`, runs without labels; `per_class`: beside fd that of each class, as fd/<class>. `split` and `root`
    as in TrainedRun.images; `num`, `num_real`, `seed` and `batch_size` as in Scorer.
    """

    def __init__(
        self,
        run: TrainedRun,
        *,
        score: Mapping[str, Any],
        features: dict[str, Any],
        num: int | None,
        num_real: int | None,
        seed: int | None,
        batch_size: int | None,
        split: str | None,
        root: str | None,
        truncation: float | None,
        standing_statistics: int | None,
        per_class: bool = False,
        conditional: bool = True,
    ) -> None:
        if run.game.translates and truncation is not None:
            raise GantoolError(f"truncation={truncation}: {run.folder} is a CycleGAN or pix2pix run; leave it out")
        self.run, self.split, self.root, self.truncation = run, split, root, truncation
        self._told: set[Path] = set()  # folders of which was said how they are scored
        self.passes = run.passes if standing_statistics is None else standing_statistics
        self._check_generators(run)
        self.images = self._images(run)
        shown = self.images.test or self.images
        asked = {"num": num, "seed": seed, "batch_size": batch_size}
        training = _training(run)
        how: dict[str, Any] = {key: training[key] if value is None else value for key, value in asked.items()}
        told = {"num": num, "seed": seed, "standing_statistics": standing_statistics, "features": features or None}
        told["score"] = score or None
        self.taken = {key: training[key] for key, value in told.items() if value is None}  # from the first run
        if shown.source is not None:
            how["num"] = min(how["num"], len(shown.source))
        extractor = run.features(features, root=root)
        scores = build_scores(asked_of(score, training["score"]))
        if not any("_target_" in node for node in score.values()):  # none was chosen
            if not extractor.has_classes:
                scores = {kind: one for kind, one in scores.items() if not one.needs_classes}
            if not conditional:
                scores = {kind: one for kind, one in scores.items() if not one.needs_labels}
        if per_class:
            if "fd" not in scores:
                raise GantoolError("per_class=true measures the Fréchet distance of each class: add fd to score=")
            if not run.labelled.num or shown.labels is None:
                raise GantoolError(f"per_class=true: {run.folder} is not conditional; leave it out")
            labels = range(shown.num_classes)
            if (vectors := shown.vectors) is not None:
                labels = [
                    label for label in labels if bool(((vectors[:, label] == 0) | (vectors[:, label] == 1)).all())
                ]
            if not labels:
                raise GantoolError(f"per_class=true: no label of {run.folder} is a yes-or-no attribute; "
                                   "leave it out")  # fmt: skip
            scores |= {f"fd/{shown.class_names[label]}": OfClass(scores["fd"], label) for label in labels}
        self.scorer = Scorer(extractor, scores, shown, num_real=num_real, device=run.device, **how)
        self._check_labels(run)

    def _check_generators(self, run: TrainedRun) -> None:
        check_standing(run.game, self.passes)
        check_truncation(run.game, self.truncation)

    def _images(self, run: TrainedRun) -> ImageSet:
        """Those that it was trained on, or of the asked split; where it has a test set, that is scored against."""
        return run.images(split=self.split, root=self.root)

    def _check_labels(self, run: TrainedRun) -> None:
        if (names := self.scorer.needs_labels) and not run.labelled.num:
            raise GantoolError(f"{', '.join(names)} of {run.folder}: its images have no labels; leave it out of score=")

    def check_comparable(self, run: TrainedRun) -> None:
        """Raises GantoolError where `run` was trained on other images, or cannot have one of the scores; tells what is
        done as the first run's training did and not as its own."""
        self._check_generators(run)
        images, both = self._images(run), f"{run.folder} and {self.run.folder}"
        if not _are_the_same(images, self.images):
            raise GantoolError(
                f"{both} were trained on other images or at another resolution: evaluate them one by one"
            )
        if run.labelled.num and not _have_the_same_labels(images, self.images):
            raise GantoolError(f"{both} were told other labels of the same images: evaluate them one by one")
        self._check_labels(run)
        own = _training(run)
        others = [key for key, value in self.taken.items() if own[key] != value]
        if run.config.score and others and run.folder not in self._told:
            self._told.add(run.folder)
            here, there = (", ".join(_words(key, side[key]) for key in others) for side in (self.taken, own))
            log.info("%s is scored with %s as %s was, and not with %s", run.folder, here, self.run.folder, there)

    def protocol(self) -> dict[str, object]:
        """Everything that another would need to measure the same; measures the floor."""
        more = {"ema": self.run.ema, "truncation": self.truncation, "standing_statistics": self.passes}
        return self.scorer.protocol(**more)

    def judge(self, run: TrainedRun) -> Evaluation:
        """Makes as many images as the protocol says and scores them."""
        num, protocol = self.scorer.num, self.protocol()
        log.info("scoring %d images of %s at %g kimg", num, run.folder, run.nimg / 1000)
        generators = run.standing(self.passes, self.scorer.seed, self.truncation)
        blocks = made(run.game, generators, self.scorer, self.truncation)
        scores, margins = self.scorer.score_with_margins(follow_images(blocks, num // world()))
        return Evaluation(run.folder, run.nimg, scores, self.scorer.floor, protocol, margins)


def _are_the_same(one: ImageSet, other: ImageSet) -> bool:
    """Whether the pixels are, whatever their files are called and how they are labelled."""
    alone = one.source is None and one.test is None  # of two sides, their order and the test images count too
    return one.fingerprint == other.fingerprint or (alone and one.pixels_hash == other.pixels_hash)


def _have_the_same_labels(one: ImageSet, other: ImageSet) -> bool:
    """Whether each of the same images has, in sets that may be in another order."""
    if one.fingerprint == other.fingerprint:
        return True
    pairs = [list(zip(each.rows[:, 0].tolist(), _told(each), strict=True)) for each in (one, other)]
    return one.class_names == other.class_names and sorted(pairs[0]) == sorted(pairs[1])


def _told(images: ImageSet) -> list[int]:
    """The labels, as a run is told them, or their hashes where they are vectors."""
    return (images.rows[:, 1] if images.classes is None else images.classes).tolist()


def _training(run: TrainedRun) -> dict[str, Any]:
    """How a run was scored while it trained."""
    scores = run.config.monitor.get("scores")
    how = {"num": NUM, "seed": 0, "batch_size": BLOCK, **(scores.rest if scores else {})}
    score = as_trained(run.config.score)
    return {**how, "standing_statistics": run.passes, "features": run.config.features, "score": score}


def _words(key: str, value: Any) -> str:
    if key == "score":
        kept = {kind: {name: v for name, v in node.items() if name != "_target_"} for kind, node in value.items()}
        return f"score {', '.join(f'{kind} {own}' if own else kind for kind, own in kept.items())}"
    return f"{key} {value.get('_target_', 'auto').rpartition('.')[2] if key == 'features' else value}"

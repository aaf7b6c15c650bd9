"""What a score is: one class, which says how far generated images are from real ones, or how near."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping

from gantool.errors import GantoolError
from gantool.margins import PARTS, margin
from gantool.metrics.embedding import Embedding
from gantool.metrics.features import Features
from gantool.randomness import shuffled


class Score(ABC):
    """A number for generated images, given real ones. Only `__call__` must be written; say the rest where it differs.

    A score of one's own is such a class and a file conf/score/KIND.yaml: `KIND: {_target_: module.Class}`. The real
    images' floor is the same call with held-out real images as the generated ones.
    """

    higher_is_better: bool = False
    of_features: bool = True  # False: measured of the images alone, so that its name is KIND whatever the features
    needs_images: bool = False  # embeddings carry images too, and labels where there are any
    needs_labels: bool = False  # refused for unlabelled data, before any network runs
    needs_classes: bool = False  # refused for features without logits
    needs_covariance: bool = False  # warned of where there are fewer images than features
    share_drawn: float = 1.0  # share of the generated images that its smallest covariance is of
    fewest: int = 2  # images needed on each side
    of_class: int | None = None  # looks at the images with this label alone, and needs so many of them
    parts: int = PARTS  # of the generated images, whose scores give the margin; 0: none is given
    leaves_out: bool = False  # the margin is from all images but a part, exact near the floor too, not from the part

    @abstractmethod
    def __call__(self, fake: Embedding, real: Embedding, seed: int) -> float:
        """Of generated images against real ones; `seed` is for what is drawn, and so is torch's random state."""

    def margin(self, fake: Embedding, real: Embedding, seed: int, parts: int) -> float | None:
        """Half of the 95 % interval of the score; None where there are too few images.

        It says what other images of the same generators would score, not what other seeds of training would. Each of
        `parts` random parts is scored against the same real images; the bias of fewer images is common to all. From
        all images but a part it is the jackknife (Tukey 1958), which is about right (1.0 to 1.5 times as wide as need
        be) where the score is near the floor too; from the parts alone it is up to three times as wide there.
        """
        if not self.divides(len(fake), parts):
            return None
        rows = shuffled(len(fake), seed).tensor_split(parts)
        times = parts - 1 if self.leaves_out else 1
        # Parts together are as large as the whole, and scores share what is computed of them; the others are not kept.
        split = (
            map(fake.without, rows) if self.leaves_out else fake.once((seed, parts), lambda: [fake[r] for r in rows])
        )
        found = margin([times * float(self(side, real, seed)) for side in split])
        return found if math.isfinite(found) else None

    def divides(self, num: int, parts: int) -> bool:
        """True where there are enough of `num` images for a margin of so many parts."""
        least = 1 if self.leaves_out else max(self.fewest, 2)
        return 2 <= parts <= num // least and not (self.leaves_out and num - num // parts - 1 < self.fewest)

    @property
    def details(self) -> Mapping[str, object]:
        """Settings that the protocol tells: numbers, words and None that the score keeps under names of its own."""
        own = {name: value for name, value in vars(self).items() if name not in vars(Score) and name[0] != "_"}
        return {name: value for name, value in own.items() if isinstance(value, bool | int | float | str | None)}


def told(score: Score) -> dict[str, object]:
    """What the protocol says of a score."""
    return {"class": f"{type(score).__module__}.{type(score).__qualname__}", **score.details}


def by_name(features: Features, scores: Mapping[str, Score]) -> dict[str, Score]:
    """Scores by their names in these features, fd_digits/three for the kind fd/three; raises GantoolError where one
    wants classes and the features have none."""
    found = {}
    for kind, score in scores.items():
        kind, slash, of_class = kind.partition("/")
        name = (features.score_name(kind) if score.of_features else kind) + slash + of_class
        if score.needs_classes and not features.has_classes:
            raise GantoolError(f"{name} needs classes and features={features.name} has none: choose score=fd")
        found[name] = score
    return found


def check_labels(name: str, score: Score, of: str, *, labels: bool, classes: bool) -> None:
    """Raises GantoolError where a score needs labels and the images `of` a data set have none, or no classes."""
    if score.needs_labels and not labels:
        raise GantoolError(f"{name} needs labels and {of} has none: leave it out, or use labelled data")
    if score.needs_labels and score.of_class is None and not classes:
        raise GantoolError(
            f"{name} needs classes and the labels of {of} are vectors: leave it out, or train on one column of words, "
            "dataset.columns=NAME"
        )


def too_few(
    scores: Mapping[str, Score], counts: Callable[[Score], tuple[int, int, int]], num_features: int
) -> list[str]:
    """A warning for each kind of score with a covariance of fewer images than it has features; `counts` gives those
    that a score looks at: generated ones, and real ones on the two sides of the floor."""
    found: dict[str, tuple[int, str]] = {}
    for name, score in scores.items():
        fake, held_out, others = counts(score)
        num = min(round(score.share_drawn * min(fake, held_out)), others)
        if not score.needs_covariance or num > num_features:
            continue
        by_class = score.of_class is not None
        count, what, fix = num, f"images are drawn for {name}", "take more"
        if score.share_drawn == 1:
            generated = fake <= 1.25 * min(held_out, others)  # of a class not quite as many as real ones
            count = fake if generated else others if others < held_out else held_out + others
            what = f"{'generated' if generated else 'real'} images{' of a class' if by_class else ''}"
            fix = fix if generated else "compare runs on these images with each other only"
        of = "its distance" if by_class else name
        text = f"{what}: {of} is unreliable ({num_features:,} features need several times as many); {fix}"
        found[of] = min((count, text), found.get(of, (count, text)))
    return [f"only {count:,} {text}" for count, text in found.values()]

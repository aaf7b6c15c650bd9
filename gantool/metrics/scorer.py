"""Scores generated images in one feature space, beside real images that were held out: the floor of every score."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar

import torch
from torch import Tensor

from gantool.data.image_set import ImageSet
from gantool.errors import GantoolError
from gantool.logging.progress import Block, follow_images
from gantool.metrics.embedding import Embedding, embed, embed_reals
from gantool.metrics.features import Features
from gantool.metrics.per_class import are
from gantool.metrics.score import Score, by_name, check_labels, told, too_few
from gantool.randomness import forked, shuffled
from gantool.ranks import from_first, world

log = logging.getLogger(__name__)

T = TypeVar("T")
WIDE, FEWER = 1000, 5  # from how many features on margins are of fewer parts: a distance then takes seconds
UNEQUAL = 1.1  # the bias of most scores goes with 1/num + 1/num_real: by this factor it tells


class Scorer:
    """Measures `num` generated images against all real ones of a data set, or `num_real` of them.

    The floor is the same scores of `num` real images, held out, against the others; of half of them where they are few.
    The real images are embedded once and cached on disk; the same images and seed always give the same numbers.
    Raises GantoolError, before any network runs, where there are fewer images than a score needs, or no labels.
    """

    def __init__(
        self,
        features: Features,
        scores: Mapping[str, Score],
        image_set: ImageSet,
        *,
        num: int = 5000,
        num_real: int | None = None,
        batch_size: int = 100,
        seed: int = 0,
        device: torch.device | str = "cpu",
    ) -> None:
        self.device = torch.device(device)
        self.features = features.to(self.device).requires_grad_(False).eval()
        self.image_set, self.num, self.batch_size, self.seed = image_set, num, batch_size, seed
        self.scores = by_name(features, scores)
        self.floor: dict[str, float] = {}
        self._real: Embedding | None = None  # what generated images are scored against
        total = len(image_set.images)
        if not scores:
            raise GantoolError("score: choose at least one, such as score=fd")
        if num_real is not None and not 0 < num_real <= total:
            raise GantoolError(f"num_real={num_real}: {self._split} has {total} images")
        order = shuffled(total, 0)  # files are often sorted by class
        first = total - (num_real or total)
        num_floor = min(num, total // 2)
        self._rows, self._held_out, self._others = order[first:], order[:num_floor], order[max(num_floor, first) :]
        for name, score in self.scores.items():
            self._check(name, score)

    def _check(self, name: str, score: Score) -> None:
        labels, classes = self.image_set.labels is not None, self.image_set.classes is not None
        check_labels(name, score, self._split, labels=labels, classes=classes)
        fake, held_out, others = counts = self._counts(score)
        if (least := min(counts)) < max(score.fewest, 1):
            raise GantoolError(
                f"num={self.num}: {name} needs at least {score.fewest} images a side, {least} are too few; there are "
                f"{fake} generated ones, and of {self._split} {held_out} real ones for the floor, "
                f"against {others}: take more, or leave the score out"
            )

    def _counts(self, score: Score) -> tuple[int, int, int]:
        """Images that it looks at: generated ones, and real ones on the two sides of the floor."""
        labels, made = self.image_set.labels, self.labels(self.num)
        if score.of_class is None or labels is None or made is None:
            return self.num, len(self._held_out), len(self._others)
        fake, held_out, others = (
            int(are(score.of_class, side).sum()) for side in (made, labels[self._held_out], labels[self._others])
        )
        return fake, held_out, others

    @property
    def names(self) -> list[str]:
        """Of the scores, in order."""
        return list(self.scores)

    @property
    def higher_is_better(self) -> list[str]:
        """The names of the scores for which it is so."""
        return [name for name, score in self.scores.items() if score.higher_is_better]

    @property
    def needs_labels(self) -> list[str]:
        """The names of the scores that generated images must have labels for."""
        return [name for name, score in self.scores.items() if score.needs_labels]

    def labels(self, num: int) -> Tensor | None:
        """`num` labels as frequent as among the real images, for a generator to make; None where there are none."""
        labels = self.image_set.labels
        if labels is None:
            return None
        order = shuffled(len(labels), self.seed)
        return labels[order[torch.arange(num) % len(labels)]]

    def prepare(self) -> None:
        """Embeds the real images and measures the floor; the first score does it if nobody has."""
        if self.floor:
            return
        rows = torch.cat([self._rows, self._held_out, self._others]).unique()  # sorted, as the memory-mapped file is
        found = embed_reals(
            self.features,
            self.image_set,
            rows,
            self.batch_size,
            self.device,
            self._followed,
            keep_images=self._keep,
        )
        self.floor = from_first(lambda: self._take(found, rows))

    def _take(self, found: Embedding, rows: Tensor) -> dict[str, float]:
        """Takes in the real images at `rows`, as they were embedded; returns the floor."""
        parts = (self._rows, self._held_out, self._others)
        real, held_out, others = (
            found if len(part) == len(rows) else found[torch.searchsorted(rows, part)] for part in parts
        )
        # Where the floor leaves the reference whole, what is computed of it is computed once.
        others = real if torch.equal(self._others, self._rows) else others
        self._real = real
        return self._measured(held_out, others)

    def score(self, blocks: Iterable[Block]) -> dict[str, float]:
        """By name, of `num` generated images: blocks of uint8 (n, C, H, W), and labels (n,) or None, on the CPU. Each
        rank gives its share of the blocks (see gantool.ranks.mine), and all get the scores."""
        fake = self._embedded(blocks)
        return from_first(lambda: self._measured(*self._sides(fake)))

    def score_with_margins(self, blocks: Iterable[Block]) -> tuple[dict[str, float], dict[str, float]]:
        """As `score`, and the margins of those scores that have one (see Score.margin)."""
        fake = self._embedded(blocks)
        return from_first(lambda: self._with_margins(*self._sides(fake)))

    def _with_margins(self, fake: Embedding, real: Embedding) -> tuple[dict[str, float], dict[str, float]]:
        scores = self._measured(fake, real)
        found = {
            name: self._calmly(score.margin, fake, real, self._parts(score)) for name, score in self.scores.items()
        }
        return scores, {name: value for name, value in found.items() if value is not None}

    def _parts(self, score: Score) -> int:
        """Of the images, that its margin comes of."""
        return min(score.parts, FEWER) if self.features.num_features > WIDE else score.parts

    def _embedded(self, blocks: Iterable[Block]) -> Embedding:
        """On the first rank all images; the others have their own blocks."""
        self.prepare()
        return embed(self.features, self._announced(iter(blocks), self.num), self.device, keep_images=self._keep)

    def _sides(self, fake: Embedding) -> tuple[Embedding, Embedding]:
        assert self._real is not None, "the first rank has prepared it"
        if len(fake) != self.num:
            raise ValueError(f"{len(fake)} images were given, not {self.num}")
        return fake, self._real

    @property
    def _keep(self) -> bool:
        return any(score.needs_images for score in self.scores.values())

    def _measured(self, fake: Embedding, real: Embedding) -> dict[str, float]:
        return {name: float(self._calmly(score, fake, real)) for name, score in self.scores.items()}

    def _calmly(self, measure: Callable[..., T], fake: Embedding, real: Embedding, *more: int) -> T:
        """What `measure` finds, whatever surrounds it."""
        with forked(self.device), torch.autocast(self.device.type, enabled=False):
            torch.manual_seed(self.seed)
            return measure(fake, real, self.seed, *more)

    def protocol(self, **more: object) -> dict[str, object]:
        """Everything that another would need to measure the same, and the floor (JSON-able); `more` of whoever asks."""
        self.prepare()
        # Rounded, as another machine's last digits would make another protocol of the same one.
        return {**self.how(), "floor": {name: float(f"{value:.6g}") for name, value in self.floor.items()}, **more}

    def how(self) -> dict[str, object]:
        """The protocol but for the floor; known before any network runs."""
        features = self.features
        return {
            "metrics": self.names,
            "higher_is_better": self.higher_is_better,
            "extractor": features.name,
            "weights_sha256": features.weights_hash,
            "resize": features.resize,
            **features.details,
            "split": self._split,
            "shape": "x".join(map(str, self.image_set.images.shape[1:])),
            "pixels_sha256": self.image_set.pixels_hash,
            "num_fake": self.num,
            "num_real": len(self._rows),
            "num_floor": [len(self._held_out), len(self._others)],
            "seed": self.seed,
            "scores": {name: told(score) for name, score in self.scores.items()},
            "margin_parts": {name: self._parts(score) for name, score in self.scores.items()},
            "warning": self.warning,
        }

    @property
    def _split(self) -> str:
        return f"{self.image_set.name} {self.image_set.split}"

    @property
    def warning(self) -> str | None:
        """What makes the scores less sound than they look; known before any network runs."""
        held_out, others, num_real = len(self._held_out), len(self._others), len(self._rows)
        found = too_few(self.scores, self._counts, self.features.num_features)
        if 1 / held_out + 1 / others > UNEQUAL * (1 / self.num + 1 / num_real):
            halves = abs(held_out - others) <= 1 and held_out + others == len(self.image_set.images)
            counts = f"two halves of {held_out:,}" if halves else f"{held_out:,} real images with {others:,}"
            found.append(f"the floor compares {counts}, the scores {self.num:,} images with {num_real:,}")
        return "; ".join(found) or None

    def _followed(self, blocks: Iterator[Block], total: int) -> Iterator[Block]:
        return follow_images(self._announced(blocks, total), total // world())

    def _announced(self, blocks: Iterator[Block], total: int) -> Iterator[Block]:
        """The blocks; when the first is done, how long they will take is told if it is long."""
        start = time.perf_counter()
        for count, (images, labels) in enumerate(blocks):
            yield images, labels
            if count == 0 and (seconds := (time.perf_counter() - start) / len(images) * total / world()) > 60:
                text = "scoring %d images through %s takes about %.0f min (fewer: num, num_real)"
                log.info(text, total, self.features.name, seconds / 60)

"""Judges generated images by every score of one feature space, beside real images judged at the same counts."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch

from gantool.data.image_set import ImageSet
from gantool.errors import GantoolError
from gantool.logging.progress import Block
from gantool.metrics.distances import SUBSET_SIZE, SUBSETS, frechet_distance, kernel_distance
from gantool.metrics.embedding import Embedding, embed, embed_reals
from gantool.metrics.features import Features
from gantool.metrics.neighbours import Neighbours
from gantool.metrics.scorer import INCEPTION_SPLITS, inception_score

OF_NEIGHBOURS = ("precision", "recall", "density", "coverage")
KINDS = ("fd", "kd", "is", *OF_NEIGHBOURS)


@dataclass(frozen=True)
class Settings:
    """What is scored, on how many images, and how."""

    kinds: Sequence[str] = KINDS
    num: int = 5000  # generated images
    num_real: int | None = None  # None: all that the floor leaves
    neighbours: int = 3  # of precision and recall
    coverage_neighbours: int = 5  # of density and coverage
    seed: int = 0

    def fewest(self, kind: str) -> int:
        """Images that a score of `kind` needs on each side."""
        neighbours = {"precision": self.neighbours, "recall": self.neighbours}
        neighbours |= {"density": self.coverage_neighbours, "coverage": self.coverage_neighbours}
        return {"fd": 2, "kd": 2, "is": INCEPTION_SPLITS}[kind] if kind not in neighbours else neighbours[kind] + 1


class Reference:
    """Real images that others are scored against."""

    def __init__(self, real: Embedding, settings: Settings, device: torch.device) -> None:
        self.real, self.settings, self.neighbours = real, settings, None
        if set(settings.kinds) & set(OF_NEIGHBOURS):
            k, coverage_k = settings.neighbours, settings.coverage_neighbours
            self.neighbours = Neighbours(real.features, k=k, coverage_k=coverage_k, device=device)

    def score(self, images: Embedding) -> dict[str, float]:
        """By kind, in the order of `settings.kinds`."""
        kinds, seed = self.settings.kinds, self.settings.seed
        found: dict[str, float] = {}
        if "fd" in kinds:
            found["fd"] = frechet_distance(images.features, self.real.features)
        if "kd" in kinds:
            found["kd"] = kernel_distance(images.features, self.real.features, seed)
        if "is" in kinds:
            found["is"] = inception_score(images.logits.double(), seed)
        if self.neighbours is not None:
            found |= self.neighbours(images.features)
        return {kind: found[kind] for kind in kinds}


class Judge:
    """Scores generated images against one part of the real ones, the reference.

    The floor is the scores of as many other real images against the same reference. Where there are too few images for
    that, all of them are the reference, the floor is measured between two halves, and the protocol warns.
    Raises GantoolError, before any network runs, where there are fewer images than a score needs.
    """

    def __init__(self, features: Features, image_set: ImageSet, settings: Settings, device: torch.device) -> None:
        self.features = features.to(device).requires_grad_(False).eval()
        self.image_set, self.settings, self.device = image_set, settings, device
        total, num = len(image_set.images), settings.num
        num_floor = min(num, total // 2)
        num_real = settings.num_real or (total - num if 2 * num <= total else total)
        if num_real > total:
            raise GantoolError(f"num_real={num_real}: {image_set.name} {image_set.split} has {total} images")
        order = torch.randperm(total, generator=torch.Generator().manual_seed(0))  # files are often sorted by class
        self.rows = order[total - num_real :]  # of the reference
        self.floor_rows = order[:num_floor], order[max(num_floor, total - num_real) :]
        least = min(num, *map(len, self.floor_rows))
        for kind in settings.kinds:
            if least < settings.fewest(kind):
                name, needed = features.score_name(kind), settings.fewest(kind)
                raise GantoolError(
                    f"{name} needs at least {needed} images a side, {least} are too few: num={num} generated ones "
                    f"and two parts of {total} real ones"
                )

    @property
    def names(self) -> list[str]:
        """Of the scores."""
        return [self.features.score_name(kind) for kind in self.settings.kinds]

    def prepare(self, batch_size: int, told: Callable[[Iterator[Block], int], Iterator[Block]]) -> None:
        """Embeds the real images, or takes them from the cache, and measures the floor.

        `told(blocks, total)` passes images on and tells the user how far it is.
        """
        needed = torch.cat([self.rows, *self.floor_rows]).unique()
        embedded = embed_reals(self.features, self.image_set, needed, batch_size, self.device, told)
        held_out, others = (embedded[torch.searchsorted(needed, rows)] for rows in self.floor_rows)
        self.reference = Reference(others, self.settings, self.device)
        self.floor = self._named(self.reference.score(held_out))
        if len(self.rows) != len(others):
            reals = embedded[torch.searchsorted(needed, self.rows)]
            self.reference = Reference(reals, self.settings, self.device)

    def score(self, blocks: Iterable[Block]) -> dict[str, float]:
        """Of generated images, by the names that scores have in these features."""
        return self._named(self.reference.score(embed(self.features, blocks, self.device)))

    def protocol(self) -> dict[str, object]:
        """Everything that another would need to measure the same (JSON-able), without results."""
        settings, features, (held_out, others) = self.settings, self.features, self.floor_rows
        of_kinds = {
            ("kd",): {"kernel_distance_subsets": f"{SUBSETS} of {SUBSET_SIZE}"},
            ("is",): {"inception_score_splits": INCEPTION_SPLITS},
            ("precision", "recall"): {"neighbours": settings.neighbours},
            ("density", "coverage"): {"coverage_neighbours": settings.coverage_neighbours},
        }
        card: dict[str, object] = {
            "metrics": self.names,
            "extractor": features.name,
            "weights_sha256": features.weights_hash,
            "resize": features.resize,
            **features.details,
            "split": f"{self.image_set.name} {self.image_set.split}",
            "num_fake": settings.num,
            "num_real": len(self.rows),
            "num_floor": [len(held_out), len(others)],
            "seed": settings.seed,
        }
        for kinds, card_of_kinds in of_kinds.items():
            card |= card_of_kinds if set(kinds) & set(settings.kinds) else {}
        return {**card, "warning": self._warning()}

    def _warning(self) -> str | None:
        held_out, others = self.floor_rows
        found, fewest = [], min(self.settings.num, len(held_out), len(others))
        if "fd" in self.settings.kinds and fewest <= self.features.num_features:
            found.append(f"{fewest} images are too few for a sound covariance of {self.features.num_features} features")
        if (len(held_out), len(others)) != (self.settings.num, len(self.rows)):
            counts = f"{len(held_out)} real images against {len(others)}"
            found.append(f"the floor is of {counts}, as there are no more: the scores are of other counts")
        return "; ".join(found) or None

    def _named(self, scores: dict[str, float]) -> dict[str, float]:
        return {self.features.score_name(kind): value for kind, value in scores.items()}

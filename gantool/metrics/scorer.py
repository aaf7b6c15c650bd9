"""Scores generated images against real ones: Fréchet distance (Heusel 2017) and Inception score (Salimans 2016)."""

import hashlib
import json
import logging
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from gantool.data.image_set import ImageSet
from gantool.errors import GantoolError
from gantool.logging.grid import to_uint8
from gantool.metrics.features import Features
from gantool.metrics.statistics import load_statistics, save_statistics
from gantool.paths import cache_dir

if TYPE_CHECKING:
    from torchmetrics.image.fid import FrechetInceptionDistance

log = logging.getLogger(__name__)

INCEPTION_SPLITS = 10


class Scorer:
    """Measures `num_samples` generated images against all images of a data set in one feature space.

    The real side is measured once and cached on disk; from then on torchmetrics, slow to import, waits for a score.
    Raises GantoolError where there are fewer than two images on either side.
    """

    def __init__(
        self,
        features: Features,
        image_set: ImageSet,
        *,
        num_samples: int = 5000,
        batch_size: int = 250,
        seed: int = 0,
        device: torch.device | str = "cpu",
    ) -> None:
        if num_samples < 2:
            raise GantoolError(f"metrics.num_samples={num_samples}: a score needs at least 2 (or metrics=none)")
        if len(image_set.images) < 2:
            raise GantoolError(f"{image_set.name} has fewer than 2 images, none to score against: use metrics=none")
        self.device = torch.device(device)
        self.features = features.to(self.device).requires_grad_(False).eval()
        self.image_set = image_set
        self.num_samples, self.batch_size, self.seed = num_samples, batch_size, seed
        # Reals that are scored against all other reals, as many as are generated: the floor of the score.
        self.num_floor = min(num_samples, len(image_set.images) // 2)
        self.real: dict[str, Tensor] | None = None  # the statistics of all reals
        self.floor: dict[str, float] = {}

    def prepare(self) -> None:
        """Measures the real images, or takes their statistics from the cache; the first score does it if nobody has."""
        if self.real is not None:
            return
        path = self._statistics_path()
        self.real = load_statistics(path)
        if self.real is None:
            self.real = self._measure_reals()
            save_statistics(self.real, path)
        values = zip(self.features.score_names, self.real["floor"].tolist(), strict=True)
        self.floor = {name: value for name, value in values if value == value}

    def score(self, sample: Callable[[int], Tensor]) -> tuple[dict[str, float], dict[str, object]]:
        """Scores by name, and the protocol by which they were measured (JSON-able).

        `sample(n)` returns n images (n, C, H, W) float in [-1, 1]; it is called until there are `num_samples`.
        """
        self.prepare()
        assert self.real is not None
        distance = self._distance()
        distance.real_features_sum = self.real["sum"]
        distance.real_features_cov_sum = self.real["outer"]
        distance.real_features_num_samples = self.real["count"]
        counts = [self.batch_size] * (self.num_samples // self.batch_size)
        counts += [self.num_samples % self.batch_size] if self.num_samples % self.batch_size else []
        fakes = (to_uint8(sample(count)) for count in counts)
        logits = self._measure(distance, fakes, real=False, total=self.num_samples)
        scores = float(distance.compute()), inception_score(logits, self.seed)
        return dict(zip(self.features.score_names, scores, strict=True)), self.protocol()

    def protocol(self) -> dict[str, object]:
        """Everything that another would need to measure the same."""
        num_real = len(self.image_set.images)
        fewest, num_features = min(num_real, self.num_samples), self.features.num_features
        too_few = f"{fewest} images are too few for a sound covariance of {num_features} features"
        return {
            "metrics": list(self.features.score_names),
            "extractor": self.features.name,
            "weights_sha256": self.features.weights_hash,
            "num_real": num_real,
            "num_fake": self.num_samples,
            "split": f"{self.image_set.name} {self.image_set.split}",
            "resize": self.features.resize,
            "inception_score_splits": INCEPTION_SPLITS,
            "seed": self.seed,
            "floor": {**self.floor, "num_held_out": self.num_floor, "num_real": num_real - self.num_floor},
            "warning": too_few if fewest <= num_features else None,
        }

    def _distance(self) -> "FrechetInceptionDistance":
        from torchmetrics.image.fid import FrechetInceptionDistance

        # Ranks must not meet in it: only the first one scores.
        return FrechetInceptionDistance(Given(self.features.num_features), sync_on_compute=False)

    def _measure_reals(self) -> dict[str, Tensor]:
        total = len(self.image_set.images)
        order = torch.randperm(total, generator=torch.Generator().manual_seed(0))  # files are often sorted by class
        distance = self._distance()
        self._measure(distance, self._reals(order[self.num_floor :]), real=True, total=total)
        logits = self._measure(distance, self._reals(order[: self.num_floor]), real=False, total=self.num_floor)
        floor = (float("nan"), float("nan"))
        if self.num_floor >= 2:
            floor = float(distance.compute()), inception_score(logits, self.seed)
        return {
            "sum": distance.real_features_sum + distance.fake_features_sum,
            "outer": distance.real_features_cov_sum + distance.fake_features_cov_sum,
            "count": distance.real_features_num_samples + distance.fake_features_num_samples,
            "floor": torch.tensor(floor, dtype=torch.float64),
        }

    def _reals(self, rows: Tensor) -> Iterator[Tensor]:
        rows = rows.sort().values  # in the order of the memory-mapped file
        for start in range(0, len(rows), self.batch_size):
            yield self.image_set.images[rows[start : start + self.batch_size]]

    @torch.no_grad()
    def _measure(
        self, distance: "FrechetInceptionDistance", batches: Iterator[Tensor], *, real: bool, total: int
    ) -> Tensor:
        """Adds uint8 batches to one side of the distance; returns their logits (N, classes) float64."""
        logits = []
        start = time.perf_counter()
        for images in batches:
            with torch.autocast(self.device.type, enabled=False):
                features, scores = self.features(images.to(self.device))
            # Double on the way in: torchmetrics gives the result in the dtype of the features.
            distance.update(features.double().cpu(), real=real)
            logits.append(scores.double().cpu())
            if len(logits) == 1:
                self._announce((time.perf_counter() - start) / len(images) * total, total)
        return torch.cat(logits)

    def _announce(self, seconds: float, num_images: int) -> None:
        if seconds > 60:
            text = "scoring %d images through %s takes about %.0f min (metrics.num_samples, metrics.every)"
            log.info(text, num_images, self.features.name, seconds / 60)

    def _statistics_path(self) -> Path:
        identity = {
            "images": self.image_set.fingerprint,
            "num_real": len(self.image_set.images),
            "num_floor": self.num_floor,
            "extractor": self.features.name,
            "weights": self.features.weights_hash,
            "resize": self.features.resize,
        }
        key = hashlib.sha256(json.dumps(identity, sort_keys=True, default=str).encode()).hexdigest()[:16]
        return cache_dir() / "statistics" / f"{key}.safetensors"


def inception_score(logits: Tensor, seed: int) -> float:
    """Of logits (N, classes) in float64: the mean over `INCEPTION_SPLITS` parts."""
    from torchmetrics.image.inception import InceptionScore

    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):  # it splits the images at random
        warnings.simplefilter("ignore", UserWarning)  # of its memory, and of no spread where there is one split
        torch.manual_seed(seed)
        metric = InceptionScore(Given(logits.shape[1]), splits=INCEPTION_SPLITS, sync_on_compute=False)
        metric.update(logits)
        mean, _ = metric.compute()
    return float(mean)


class Given(nn.Module):
    """Stands for the network inside a metric: what the metric is handed are features already.

    So one forward serves both scores, and torchmetrics has no network to put into training mode.
    """

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        """The same (N, num_features)."""
        return features

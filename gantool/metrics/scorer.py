"""Scores generated images against real ones: Fréchet distance (Heusel 2017) and Inception score (Salimans 2016)."""

import hashlib
import json
import logging
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gantool.data.image_set import ImageSet
from gantool.errors import GantoolError
from gantool.metrics.features import Features
from gantool.metrics.statistics import load_statistics, save_statistics
from gantool.paths import cache_dir

log = logging.getLogger(__name__)

INCEPTION_SPLITS = 10


class Scorer:
    """Measures `num_samples` generated images against all images of a data set in one feature space.

    The real side is measured once and cached on disk. Imports torchmetrics at the first use, not at construction.
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
        self.distance: Any = None  # torchmetrics' FrechetInceptionDistance that holds the real side
        self.floor: dict[str, float] = {}

    def prepare(self) -> None:
        """Measures the real images, or takes their statistics from the cache; the first score does it if nobody has."""
        if self.distance is not None:
            return
        from torchmetrics.image.fid import FrechetInceptionDistance

        # Ranks must not meet here: only the first one scores.
        self.distance = FrechetInceptionDistance(
            Given(self.features.num_features), reset_real_features=False, sync_on_compute=False
        )
        path = self._statistics_path()
        statistics = load_statistics(path)
        if statistics is None:
            statistics = self._measure_reals()
            save_statistics(statistics, path)
        self.distance.real_features_sum = statistics["sum"]
        self.distance.real_features_cov_sum = statistics["outer"]
        self.distance.real_features_num_samples = statistics["count"]
        values = zip(self.features.score_names, statistics["floor"].tolist(), strict=True)
        self.floor = {name: value for name, value in values if value == value}

    def score(self, sample: Callable[[int], Tensor]) -> tuple[dict[str, float], dict[str, object]]:
        """Scores by name, and the protocol by which they were measured (JSON-able).

        `sample(n)` returns n images (n, C, H, W) float in [-1, 1]; it is called until there are `num_samples`.
        """
        self.prepare()
        self.distance.reset()
        counts = [self.batch_size] * (self.num_samples // self.batch_size)
        counts += [self.num_samples % self.batch_size] if self.num_samples % self.batch_size else []
        fakes = (to_uint8(sample(count)) for count in counts)
        logits = self._measure(fakes, real=False, total=self.num_samples, what="generated")
        scores = dict(zip(self.features.score_names, self._scores(logits), strict=True))
        return scores, self.protocol()

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
            "split": f"{self.image_set.name} train",
            "resize": self.features.resize,
            "inception_score_splits": INCEPTION_SPLITS,
            "seed": self.seed,
            "floor": {**self.floor, "num_held_out": self.num_floor, "num_real": num_real - self.num_floor},
            "warning": too_few if fewest <= num_features else None,
        }

    def _measure_reals(self) -> dict[str, Tensor]:
        total = len(self.image_set.images)
        order = torch.randperm(total, generator=torch.Generator().manual_seed(0))  # files are often sorted by class
        held_out, others = order[: self.num_floor], order[self.num_floor :]
        self._measure(self._reals(others), real=True, total=total, what="real")
        logits = self._measure(self._reals(held_out), real=False, total=self.num_floor, what="real")
        floor = self._scores(logits) if self.num_floor >= 2 else (float("nan"), float("nan"))
        distance = self.distance
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
    def _measure(self, batches: Iterator[Tensor], *, real: bool, total: int, what: str) -> Tensor:
        """Adds uint8 batches to one side of the distance; returns their logits (N, classes) float64."""
        logits = []
        start = time.perf_counter()
        for images in batches:
            with torch.autocast(self.device.type, enabled=False):
                features, scores = self.features(images.to(self.device))
            # Double on the way in: torchmetrics gives the result in the dtype of the features.
            self.distance.update(features.double().cpu(), real=real)
            logits.append(scores.double().cpu())
            minutes = (time.perf_counter() - start) / len(images) * total / 60
            if len(logits) == 1 and minutes > 1:
                often = "once" if what == "real" else "at each score (metrics.num_samples, metrics.every)"
                name = self.features.name
                log.info("%d %s images through %s will take about %.0f min, %s", total, what, name, minutes, often)
        return torch.cat(logits) if logits else torch.empty(0)

    def _scores(self, logits: Tensor) -> tuple[float, float]:
        from torchmetrics.image.inception import InceptionScore

        with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):  # it splits the images at random
            warnings.simplefilter("ignore", UserWarning)  # of its memory, and of no spread where there is one split
            torch.manual_seed(self.seed)
            inception = InceptionScore(Given(logits.shape[1]), splits=INCEPTION_SPLITS, sync_on_compute=False)
            inception.update(logits)
            mean, _ = inception.compute()
        return float(self.distance.compute()), float(mean)

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


def to_uint8(images: Tensor) -> Tensor:
    """[-1, 1] to 0 .. 255, rounded."""
    return (images * 127.5 + 127.5).round().clamp(0, 255).to(torch.uint8)

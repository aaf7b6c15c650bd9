"""Every published score against an independent computation, and what the scores share."""

import numpy as np
import pytest
import torch
from scipy import linalg

from gantool.errors import GantoolError
from gantool.metrics import embedding, scores
from gantool.metrics.embedding import Embedding
from gantool.metrics.score import Score
from gantool.metrics.scores import (
    ClassificationAccuracy,
    Coverage,
    Density,
    FrechetDistance,
    InceptionScore,
    KernelDistance,
    Precision,
    Recall,
)
from rows import stripes


def points(count: int, seed: int, scale: float = 1.0, shift: float = 0.0, dim: int = 20) -> Embedding:
    """Correlated, skewed (count, dim), all positive as a network's are after its last ReLU; logits of their own."""
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(dim, dim, generator=torch.Generator().manual_seed(99))
    features = (torch.randn(count, dim, generator=generator) @ mix * scale + shift).relu()
    return Embedding(features, 2 * torch.randn(count, 7, generator=generator))


def test_frechet_distance_agrees_with_scipy_and_torch_fidelity() -> None:
    from torch_fidelity.metric_fid import fid_statistics_to_metric

    a, b = points(500, 0), points(400, 1, scale=1.3, shift=0.3)
    arrays = [x.features.double().numpy() for x in (a, b)]
    means, covariances = [x.mean(0) for x in arrays], [np.cov(x, rowvar=False) for x in arrays]
    root = np.trace(linalg.sqrtm(covariances[0] @ covariances[1])).real
    expected = ((means[0] - means[1]) ** 2).sum() + sum(np.trace(c) for c in covariances) - 2 * root
    found = FrechetDistance()(a, b, seed=0)
    assert found == pytest.approx(expected, rel=1e-9) and found == pytest.approx(FrechetDistance()(b, a, 0), rel=1e-9)
    statistics = [{"mu": m, "sigma": c} for m, c in zip(means, covariances, strict=True)]
    theirs = fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    assert found == pytest.approx(theirs, rel=1e-3)
    assert abs(FrechetDistance()(a, a, 0)) < 1e-6


def test_kernel_distance_is_that_of_its_subsets() -> None:
    a, b = points(300, 0), points(400, 1, scale=1.1)

    def brute_force(x: np.ndarray, y: np.ndarray) -> float:
        k = [(u @ v.T / u.shape[1] + 1) ** 3 for u, v in ((x, x), (y, y), (x, y))]
        within = [m[~np.eye(len(m), dtype=bool)].mean() for m in k[:2]]
        return sum(within) - 2 * k[2].mean()

    sides = [side.features.double().numpy() for side in (a, b)]
    generator = torch.Generator().manual_seed(3)
    subsets = [[torch.randperm(len(side), generator=generator)[:50] for side in (a, b)] for _ in range(4)]
    expected = np.mean([brute_force(*(x[rows] for x, rows in zip(sides, two, strict=True))) for two in subsets])
    state, kept = torch.get_rng_state(), KernelDistance(subsets=4, subset_size=50)(a, b, seed=3)
    assert kept == pytest.approx(expected, rel=1e-9) and torch.equal(torch.get_rng_state(), state)
    whole = brute_force(sides[0], sides[1][:300])
    assert KernelDistance()(a, b[torch.arange(300)], seed=3) == pytest.approx(whole, rel=1e-9)


@pytest.mark.parametrize(("num", "splits"), [(101, 10), (15, 10), (7, 3), (5, 5)])
def test_inception_score_is_the_mean_over_random_parts(num: int, splits: int) -> None:
    fake = points(num, 0)
    order = torch.randperm(num, generator=torch.Generator().manual_seed(5))
    expected = []
    for part in fake.logits.double()[order].tensor_split(splits):
        p = part.softmax(1)
        expected.append((p * (p / p.mean(0)).log()).sum(1).mean().exp())
    state = torch.get_rng_state()
    assert len(expected) == splits
    assert InceptionScore(splits)(fake, fake, seed=5) == pytest.approx(float(torch.stack(expected).mean()), rel=1e-9)
    assert torch.equal(torch.get_rng_state(), state)


def brute_force(real: np.ndarray, fake: np.ndarray, k: int) -> dict[type[Score], float]:
    """The definitions, one pair of points after another."""

    def distance(x: np.ndarray, y: np.ndarray) -> float:
        return float(np.sqrt(np.sum((x - y) ** 2)))

    def radius(point: int, of: np.ndarray) -> float:
        return sorted(distance(of[point], of[other]) for other in range(len(of)) if other != point)[k - 1]

    real_radii, fake_radii = ([radius(i, side) for i in range(len(side))] for side in (real, fake))
    held = [[distance(r, f) < real_radii[i] for f in fake] for i, r in enumerate(real)]
    return {
        Precision: float(np.mean([any(distance(f, r) <= real_radii[i] for i, r in enumerate(real)) for f in fake])),
        Recall: float(np.mean([any(distance(r, f) <= fake_radii[i] for i, f in enumerate(fake)) for r in real])),
        Density: float(np.sum(held) / (k * len(fake))),
        Coverage: float(np.mean(np.any(held, axis=1))),
    }


@pytest.mark.parametrize("k", [1, 3, 5])
def test_neighbour_scores_agree_with_brute_force(k: int) -> None:
    real, fake = points(60, 0, dim=6), points(45, 1, shift=0.8, dim=6)
    expected = brute_force(real.features.double().numpy(), fake.features.double().numpy(), k)
    found = {kind: kind(k)(fake, real, 0) for kind in (Precision, Recall, Density, Coverage)}
    assert found == pytest.approx(expected, abs=1e-12) and len(set(found.values())) == 4


def test_scores_share_what_they_compute(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    for module, name in ((embedding, "moments"), (embedding, "nearest"), (scores, "overlap")):
        real_one = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *a, name=name, f=real_one: asked.append(name) or f(*a))
    real, kinds = points(60, 0), (FrechetDistance(), Precision(), Recall(), Density(), Coverage())
    for seed in (1, 2):
        fake = points(50, seed)
        for score in kinds:
            score(fake, real, 0)
    assert asked.count("moments") == 3 and asked.count("nearest") == 3, "the real side once, each fake one once"
    assert asked.count("overlap") == 4, "for k=3 and for k=5"
    assert [tuple(real.radii(k).shape) for k in (1, 12)] == [(60,), (60,)]
    far = torch.cdist(real.points(), real.points()).sort().values[:, 12].square()
    assert torch.allclose(real.radii(12), far)


def test_settings_are_told_in_the_protocol() -> None:
    class Mine(Score):
        def __init__(self) -> None:
            self.power, self.words, self.table, self._hidden, self.fewest = 2, "a", torch.zeros(2), 3, 9

        def __call__(self, fake: Embedding, real: Embedding, seed: int) -> float:
            return 0.0

    assert Mine().details == {"power": 2, "words": "a"}
    assert Precision(4).details == {"k": 4} and Precision(4).fewest == 5
    assert KernelDistance().details == {"subsets": 100, "subset_size": 1000}
    assert InceptionScore().details == {"splits": 10} and InceptionScore().fewest == 10
    assert ClassificationAccuracy().details == {"num_images": 100_000}
    assert FrechetDistance().details == {}


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        (Precision, {"k": 0}, "k=0"),
        (InceptionScore, {"splits": 0}, "splits=0"),
        (KernelDistance, {"subset_size": 1}, "subset_size=1: choose at least 2"),
        (ClassificationAccuracy, {"num_images": 0}, "num_images=0: choose at least 1"),
    ],
)
def test_settings_that_cannot_be_are_one_line(kind, settings: dict, message: str) -> None:
    with pytest.raises(GantoolError, match=message):
        kind(**settings)


def with_labels(count: int, seed: int) -> Embedding:
    """Images of two classes that are easily told apart."""
    images = stripes(count, seed)
    return Embedding(torch.zeros(count, 1), torch.zeros(count, 1), images.images, images.labels)


def test_accuracy_tells_good_lessons_from_wrong_ones() -> None:
    lessons, test = with_labels(200, 0), with_labels(200, 1)
    assert lessons.labels is not None
    score = ClassificationAccuracy(num_images=2000)
    with torch.no_grad():  # as monitors call it
        good = score(lessons, test, seed=0)
    assert good > 0.95 and score(lessons, test, seed=0) == good
    wrong = Embedding(lessons.features, lessons.logits, lessons.images, 1 - lessons.labels)
    assert score(wrong, test, seed=0) < 0.05
    with pytest.raises(GantoolError, match="score=cas needs images with labels"):
        score(Embedding(lessons.features, lessons.logits, lessons.images), test, seed=0)

"""The Fréchet distance extrapolated to infinitely many images (Chong & Forsyth 2020), where the true one is known."""

import numpy as np
import pytest
import torch
from scipy import linalg

from gantool.metrics.embedding import Embedding
from gantool.metrics.inception import InceptionFeatures
from gantool.metrics.scores import FrechetDistance, FrechetDistanceInfinity

DIM, NUM = 16, 1000


def drawn(num: int, seed: int, scale: float, shift: float) -> Embedding:
    generator = torch.Generator().manual_seed(seed)
    return Embedding(torch.randn(num, DIM, generator=generator) * scale + shift, torch.zeros(num, 0))


@pytest.mark.parametrize(("scale", "shift"), [(1.0, 0.0), (1.1, 0.1)])
def test_it_is_nearer_to_the_truth_than_the_distance_of_all_images(scale: float, shift: float) -> None:
    """Between N(0, 1) and N(shift, scale^2) in each of 16 dimensions: 16 (shift^2 + (scale - 1)^2)."""
    truth = DIM * (shift**2 + (scale - 1) ** 2)
    real, fakes = drawn(60_000, 0, 1.0, 0.0), [drawn(NUM, seed, scale, shift) for seed in range(1, 13)]
    plain = np.mean([FrechetDistance()(fake, real, 0) for fake in fakes])
    infinity = np.array([FrechetDistanceInfinity()(fake, real, 0) for fake in fakes])
    error = infinity.std(ddof=1) / np.sqrt(len(infinity))
    assert plain - truth > 0.05, "control: a bias of about 0.08"
    assert abs(infinity.mean() - truth) < max(3 * error, 0.01) and error < 0.02


def test_it_is_what_independent_code_finds() -> None:
    """numpy's fit of scipy's distances, of the same draws."""
    fake, real = drawn(300, 1, 1.2, 0.2), drawn(400, 2, 1.0, 0.0)
    generator, over, found = torch.Generator().manual_seed(5), [], []
    b = real.features.double().numpy()
    for count in np.linspace(30, 300, 4).round().astype(int):
        a = fake.features[torch.randperm(300, generator=generator)[:count]].double().numpy()
        covariances = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
        root = np.real(np.asarray(linalg.sqrtm(covariances[0] @ covariances[1])))
        found.append(((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(sum(covariances) - 2 * root))
        over.append(1 / count)
    expected = np.polyfit(over, found, 1)[1]
    assert FrechetDistanceInfinity(points=4)(fake, real, 5) == pytest.approx(expected, rel=1e-6)


def test_its_name_in_inceptions_features() -> None:
    features = InceptionFeatures.__new__(InceptionFeatures)
    torch.nn.Module.__init__(features)
    features.suffix = ""
    assert features.score_name("fd_infinity") == "fid_infinity"

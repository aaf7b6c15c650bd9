"""Fréchet and kernel distances against other implementations and closed forms."""

import numpy as np
import pytest
import torch
from scipy import linalg
from torch import Tensor

from gantool.metrics import distances
from gantool.metrics.distances import frechet_distance, kernel_distance, moments


def features(count: int, seed: int, scale: float = 1.0, shift: float = 0.0) -> Tensor:
    """Correlated, skewed (count, 20), all positive as a network's are after its last ReLU."""
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(20, 20, generator=torch.Generator().manual_seed(99))
    return (torch.randn(count, 20, generator=generator) @ mix * scale + shift).relu()


def test_frechet_distance_agrees_with_scipy_and_torch_fidelity() -> None:
    from torch_fidelity.metric_fid import fid_statistics_to_metric

    a, b = features(500, 0), features(400, 1, scale=1.3, shift=0.3)
    means = [x.double().numpy().mean(0) for x in (a, b)]
    covariances = [np.cov(x.double().numpy(), rowvar=False) for x in (a, b)]
    root = np.trace(linalg.sqrtm(covariances[0] @ covariances[1])).real
    expected = ((means[0] - means[1]) ** 2).sum() + sum(np.trace(c) for c in covariances) - 2 * root
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-9)
    statistics = [{"mu": m, "sigma": c} for m, c in zip(means, covariances, strict=True)]
    theirs = fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    assert frechet_distance(a, b) == pytest.approx(theirs, rel=1e-3)
    assert abs(frechet_distance(a, a)) < 1e-6


def test_moments_in_parts() -> None:
    a = features(100, 0)
    mean, covariance = moments(a, rows=7)
    assert torch.allclose(mean, a.double().mean(0)) and torch.allclose(covariance, a.double().T.cov())


def test_kernel_distance_agrees_with_torch_fidelity() -> None:
    from torch_fidelity.metric_kid import kid_features_to_metric

    a, b = features(300, 0), features(300, 1, scale=1.1)
    theirs = kid_features_to_metric(a.double(), b.double(), kid_subset_size=300, kid_subsets=1, verbose=False)
    assert kernel_distance(a, b) == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-3)


def test_kernel_distance_of_subsets(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = features(300, 0), features(400, 1, scale=1.1)
    monkeypatch.setattr(distances, "SUBSET_SIZE", 100)
    state = torch.get_rng_state()
    mean = kernel_distance(a, b, seed=3)
    assert torch.equal(torch.get_rng_state(), state)
    assert kernel_distance(a, b, seed=3) == mean != kernel_distance(a, b, seed=4)
    assert mean == pytest.approx(distances.discrepancy(a, b), rel=0.2)


def test_kernel_distance_is_unbiased() -> None:
    """Zero on average between samples of one distribution, however few."""
    values = torch.tensor([distances.discrepancy(features(10, 2 * i), features(12, 2 * i + 1)) for i in range(300)])
    assert abs(values.mean()) < 3 * values.std() / 300**0.5
    assert (values < 0).any()

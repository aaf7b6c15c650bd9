"""Moments and kernel distance against other implementations and closed forms."""

import pytest
import torch
from torch import Tensor

from gantool.metrics.embedding import Embedding, moments
from gantool.metrics.scores import KernelDistance


def features(count: int, seed: int, scale: float = 1.0) -> Tensor:
    """Correlated, skewed (count, 20), all positive as a network's are after its last ReLU."""
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(20, 20, generator=torch.Generator().manual_seed(99))
    return (torch.randn(count, 20, generator=generator) @ mix * scale).relu()


def kernel_distance(fake: Tensor, real: Tensor, seed: int = 0, subset_size: int = 1000) -> float:
    return KernelDistance(subset_size=subset_size)(Embedding(fake, fake), Embedding(real, real), seed)


def test_moments_in_parts() -> None:
    a = features(100, 0)
    total, outer = moments(a, rows=7)
    mean = total / 100
    assert total.dtype == outer.dtype == torch.float64
    assert torch.allclose((outer - 100 * mean[:, None] * mean) / 99, a.double().T.cov(), rtol=1e-12)


def test_kernel_distance_agrees_with_torch_fidelity() -> None:
    from torch_fidelity.metric_kid import kid_features_to_metric

    a, b = features(300, 0), features(300, 1, scale=1.1)
    theirs = kid_features_to_metric(a.double(), b.double(), kid_subset_size=300, kid_subsets=1, verbose=False)
    assert kernel_distance(a, b) == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-3)


def test_kernel_distance_is_unbiased() -> None:
    """Zero on average between samples of one distribution, however few."""
    values = torch.tensor([kernel_distance(features(10, 2 * i), features(10, 2 * i + 1)) for i in range(300)])
    assert abs(values.mean()) < 3 * values.std() / 300**0.5
    assert (values < 0).any()

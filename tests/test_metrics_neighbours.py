"""Precision, recall, density and coverage against brute force, other implementations' formulas and known answers."""

import numpy as np
import pytest
import torch
from torch import Tensor

from gantool.metrics import neighbours
from gantool.metrics.neighbours import Neighbours, nearest


def points(count: int, seed: int, dim: int = 6, shift: float = 0.0) -> Tensor:
    """Standard normal (count, dim) around `shift`."""
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(seed)) + shift


def brute_force(real: np.ndarray, fake: np.ndarray, k: int, coverage_k: int) -> dict[str, float]:
    """The definitions, one pair of points after another."""

    def distance(x: np.ndarray, y: np.ndarray) -> float:
        return float(np.sqrt(np.sum((x - y) ** 2)))

    def radius(point: int, of: np.ndarray, k: int) -> float:
        return sorted(distance(of[point], of[other]) for other in range(len(of)) if other != point)[k - 1]

    narrow, wide = ([radius(i, real, each) for i in range(len(real))] for each in (k, coverage_k))
    made = [radius(i, fake, k) for i in range(len(fake))]
    precise = [any(distance(f, r) <= narrow[i] for i, r in enumerate(real)) for f in fake]
    recalled = [any(distance(r, f) <= made[i] for i, f in enumerate(fake)) for r in real]
    held = [[distance(r, f) < wide[i] for f in fake] for i, r in enumerate(real)]
    return {
        "precision": float(np.mean(precise)),
        "recall": float(np.mean(recalled)),
        "density": float(np.sum(held) / (coverage_k * len(fake))),
        "coverage": float(np.mean(np.any(held, axis=1))),
    }


@pytest.mark.parametrize("shift", [0.0, 0.8])
def test_agrees_with_brute_force_whatever_the_blocks(shift: float, monkeypatch: pytest.MonkeyPatch) -> None:
    real, fake = points(60, 0), points(45, 1, shift=shift)
    expected = brute_force(real.double().numpy(), fake.double().numpy(), 3, 5)
    assert Neighbours(real)(fake) == pytest.approx(expected, abs=1e-12)
    monkeypatch.setattr(neighbours, "BLOCK_BYTES", 8 * 60 * 7)
    assert Neighbours(real)(fake) == pytest.approx(expected, abs=1e-12)
    assert Neighbours(real, k=1, coverage_k=2)(fake) == pytest.approx(
        brute_force(real.double().numpy(), fake.double().numpy(), 1, 2), abs=1e-12
    )


def test_agrees_with_torch_fidelity() -> None:
    from torch_fidelity.metric_prc import calculate_precision_recall_full

    real, fake = points(700, 0), points(600, 1, shift=0.5) * 0.8
    precision, recall = calculate_precision_recall_full(fake.double(), real.double(), 3)
    found = Neighbours(real, k=3)(fake)
    assert (found["precision"], found["recall"]) == pytest.approx((precision, recall), rel=1e-3)
    assert 0.1 < found["recall"] < found["precision"] < 0.99


def test_the_same_set_and_sets_far_apart() -> None:
    real = points(200, 0)
    assert Neighbours(real)(real) == {"precision": 1, "recall": 1, "density": 1, "coverage": 1}
    assert Neighbours(real)(real + 100) == {"precision": 0, "recall": 0, "density": 0, "coverage": 0}


def test_one_image_over_and_over_is_precise_and_covers_nothing() -> None:
    real = points(200, 0, dim=128) * 1000  # where the rounding of squares is largest
    found = Neighbours(real)(real[:1].expand(100, -1))
    assert found["precision"] == 1 and found["recall"] == 1 / 200 and found["coverage"] < 0.2
    assert nearest(real[:1].expand(100, -1).double(), 3).max() == 0


def test_expected_values_under_equal_distributions() -> None:
    """Naeem 2020: density 1; coverage 1 - (N-1)...(N-k) / (M+N-1)...(M+N-k), whatever the distribution."""
    num_real, num_fake, k = 200, 100, 5
    found = [Neighbours(points(num_real, 2 * seed))(points(num_fake, 2 * seed + 1)) for seed in range(40)]
    missed = np.prod([(num_real - i) / (num_real + num_fake - i) for i in range(1, k + 1)])
    assert np.mean([f["coverage"] for f in found]) == pytest.approx(1 - missed, abs=0.015)
    assert np.mean([f["density"] for f in found]) == pytest.approx(1, abs=0.03)

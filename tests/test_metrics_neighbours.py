"""Precision, recall, density and coverage in blocks, against another implementation and known answers."""

from dataclasses import asdict

import numpy as np
import pytest
import torch
from torch import Tensor

from gantool.metrics import neighbours
from gantool.metrics.neighbours import nearest, overlap


def points(count: int, seed: int, dim: int = 6, shift: float = 0.0) -> Tensor:
    """Standard normal (count, dim) around `shift`, float64."""
    return (torch.randn(count, dim, generator=torch.Generator().manual_seed(seed)) + shift).double()


def compared(real: Tensor, fake: Tensor, k: int = 5) -> dict[str, float]:
    return asdict(overlap(fake, real, nearest(fake, k)[:, -1], nearest(real, k)[:, -1], k))


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    real, fake = points(60, 0), points(45, 1, shift=0.8)
    expected = compared(real, fake)
    monkeypatch.setattr(neighbours, "BLOCK_BYTES", 8 * 60 * 7)
    assert len(neighbours.blocks(60, 60)) > 1 and compared(real, fake) == expected
    assert 0 < expected["coverage"] < 1 and 0 < expected["precision"] < 1


def test_agrees_with_torch_fidelity() -> None:
    from torch_fidelity.metric_prc import calculate_precision_recall_full

    real, fake = points(700, 0), points(600, 1, shift=0.5) * 0.8
    precision, recall = calculate_precision_recall_full(fake, real, 3)
    found = compared(real, fake, k=3)
    assert (found["precision"], found["recall"]) == pytest.approx((precision, recall), rel=1e-3)
    assert 0.1 < found["recall"] < found["precision"] < 0.99


def test_the_same_set_and_sets_far_apart() -> None:
    real = points(200, 0)
    assert compared(real, real) == {"precision": 1, "recall": 1, "density": 1, "coverage": 1}
    assert compared(real, real + 100) == {"precision": 0, "recall": 0, "density": 0, "coverage": 0}


def test_one_image_over_and_over_is_precise_and_covers_nothing() -> None:
    real = points(200, 0, dim=128) * 1000  # where the rounding of squares is largest
    copies = real[:1].expand(100, -1)
    found = compared(real, copies, k=3)
    assert found["precision"] == 1 and found["recall"] == 1 / 200 and found["coverage"] < 0.2
    assert nearest(copies, 3).max() == 0


def test_expected_values_under_equal_distributions() -> None:
    """Naeem 2020: density 1; coverage 1 - (N-1)...(N-k) / (M+N-1)...(M+N-k), whatever the distribution."""
    num_real, num_fake, k = 200, 100, 5
    found = [compared(points(num_real, 2 * seed), points(num_fake, 2 * seed + 1), k) for seed in range(40)]
    missed = np.prod([(num_real - i) / (num_real + num_fake - i) for i in range(1, k + 1)])
    assert np.mean([f["coverage"] for f in found]) == pytest.approx(1 - missed, abs=0.015)
    assert np.mean([f["density"] for f in found]) == pytest.approx(1, abs=0.03)

"""Distances between two sets of features: Fréchet (Heusel 2017) and kernel (Bińkowski 2018)."""

import torch
from torch import Tensor

SUBSETS, SUBSET_SIZE = 100, 1000  # of the kernel distance, as published


def frechet_distance(a: Tensor, b: Tensor) -> float:
    """|mean a - mean b|^2 + tr(A + B - 2 sqrt(A B)) with the covariances A and B of (N, F) and (M, F)."""
    (mean_a, cov_a), (mean_b, cov_b) = moments(a), moments(b)
    root = torch.linalg.eigvals(cov_a @ cov_b).sqrt().real.sum()  # the trace of the product's square root
    return float((mean_a - mean_b).square().sum() + cov_a.trace() + cov_b.trace() - 2 * root)


def moments(features: Tensor, rows: int = 4096) -> tuple[Tensor, Tensor]:
    """Mean (F,) and covariance (F, F) in float64, `rows` features at a time: float32 is 3 % off."""
    mean = features.mean(0, dtype=torch.float64)
    outer = torch.zeros(len(mean), len(mean), dtype=torch.float64, device=features.device)
    for part in features.split(rows):
        centred = part.double() - mean
        outer += centred.T @ centred
    return mean, outer / (len(features) - 1)


def kernel_distance(a: Tensor, b: Tensor, seed: int = 0) -> float:
    """The squared maximum mean discrepancy under the kernel (x.y / F + 1)^3, unbiased: mean over `SUBSETS` random pairs
    of `SUBSET_SIZE` features; one pair, of all, where no side has more."""
    size = min(SUBSET_SIZE, len(a), len(b))
    if size == len(a) == len(b):
        return discrepancy(a, b)
    generator = torch.Generator().manual_seed(seed)
    draws = [[torch.randperm(len(side), generator=generator)[:size] for side in (a, b)] for _ in range(SUBSETS)]
    return sum(discrepancy(a[rows], b[others]) for rows, others in draws) / SUBSETS


def discrepancy(a: Tensor, b: Tensor) -> float:
    """Of (N, F) and (M, F); below zero by chance."""
    a, b = a.double(), b.double()
    within = sum((k.sum() - k.trace()) / (len(k) * (len(k) - 1)) for k in (kernel(a, a), kernel(b, b)))
    return float(within - 2 * kernel(a, b).mean())


def kernel(a: Tensor, b: Tensor) -> Tensor:
    """(N, M)."""
    return (a @ b.T / a.shape[1] + 1) ** 3

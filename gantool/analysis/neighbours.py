"""Nearest training images of generated ones, and whether they are nearer than new images would be."""

from dataclasses import dataclass

import torch
from torch import Tensor

_BLOCK = 1000  # points compared with all queries at once
_SPARE = 8  # candidates kept beyond the k nearest, as the quick distances are rounded


@dataclass(frozen=True)
class Neighbours:
    """Of M queries among N points, nearest first."""

    rows: Tensor  # (M, k) int64, of the points
    distances: Tensor  # (M, k) float64, Euclidean


def nearest(queries: Tensor, points: Tensor, k: int, *, own: Tensor | None = None) -> Neighbours:
    """The `k` of `points` (N, ...) nearest to each of `queries` (M, ...), uint8 or float; a copy is at distance 0.

    `own` (M,): the row of each query among the points, which is no neighbour of its.
    """
    queries = queries.flatten(1)
    kept = min(k + _SPARE, len(points) - (own is not None))
    found = queries.new_full((len(queries), 0), torch.inf, dtype=torch.float32)
    rows = torch.empty(len(queries), 0, dtype=torch.int64, device=queries.device)
    for start in range(0, len(points), _BLOCK):
        block = points[start : start + _BLOCK].flatten(1).float()
        distances = torch.cdist(queries.float(), block)
        numbers = torch.arange(start, start + len(block), device=rows.device).expand(len(queries), -1)
        if own is not None:
            distances = distances.masked_fill(numbers == own[:, None], torch.inf)
        found, rows = torch.cat([found, distances], 1), torch.cat([rows, numbers], 1)
        found, order = found.topk(min(kept, found.shape[1]), largest=False)
        rows = rows.gather(1, order)
    exact = torch.stack(
        [
            (points[near].flatten(1).double() - query.double()).norm(dim=1)
            for query, near in zip(queries, rows, strict=True)
        ]
    )
    exact, order = exact.sort(dim=1, stable=True)
    return Neighbours(rows.gather(1, order)[:, :k], exact[:, :k])


@dataclass(frozen=True)
class Closeness:
    """Distances to the nearest training image: those of generated images against those of real ones to the others."""

    threshold: float  # 99 % of the real images are farther from all others
    share: float  # of the generated images that are nearer than that; 0.01 if they were new images of the same kind
    median_generated: float
    median_real: float


def closeness(generated: Tensor, real: Tensor) -> Closeness:
    """From the distances (M,) and (R,) to the nearest training image, a real one not counting itself."""
    threshold = real.quantile(0.01)
    share = (generated < threshold).double().mean()
    return Closeness(float(threshold), float(share), float(generated.median()), float(real.median()))

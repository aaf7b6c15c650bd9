"""Nearest training images of generated ones, and whether they are nearer than new images would be."""

from dataclasses import dataclass

import torch
from torch import Tensor

from gantool.metrics.neighbours import squared_distances

_BLOCK = 1000  # points compared with all queries at once


@dataclass(frozen=True)
class Neighbours:
    """Of M queries among N points, nearest first."""

    rows: Tensor  # (M, k) int64, of the points
    distances: Tensor  # (M, k) float64, Euclidean


def nearest(queries: Tensor, points: Tensor, k: int, *, own: Tensor | None = None) -> Neighbours:
    """The `k` of `points` (N, ...) nearest to each of `queries` (M, ...), uint8 or float; a copy is at distance 0.

    `own` (M,): the row of each query among the points, which is no neighbour of its.
    """
    queries = queries.flatten(1).double()
    found, rows = queries.new_empty(len(queries), 0), torch.empty(len(queries), 0, dtype=torch.int64)
    for start in range(0, len(points), _BLOCK):
        distances = squared_distances(queries, points[start : start + _BLOCK].flatten(1).double())
        numbers = torch.arange(start, start + distances.shape[1]).expand_as(distances)
        if own is not None:
            distances = distances.masked_fill(numbers == own[:, None], torch.inf)
        found, rows = torch.cat([found, distances], 1), torch.cat([rows, numbers], 1)
        found, order = found.topk(min(k, found.shape[1]), largest=False)
        rows = rows.gather(1, order)
    return Neighbours(rows, found.sqrt())


@dataclass(frozen=True)
class Closeness:
    """Distances to the nearest training image: those of generated images against those of real ones to the others."""

    threshold: float  # the nearest 1 % of the real images are at most so far from another; 0 where as many are repeated
    share: float  # of the generated images that are at most so far; 0.01 if they were new images of the same kind
    median_generated: float
    median_real: float


def closeness(generated: Tensor, real: Tensor) -> Closeness:
    """From the distances (M,) and (R,) to the nearest training image, a real one not counting itself."""
    threshold = real.quantile(0.01)
    share = (generated <= threshold).double().mean()
    return Closeness(float(threshold), float(share), float(generated.median()), float(real.median()))

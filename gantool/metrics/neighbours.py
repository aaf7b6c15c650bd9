"""Precision and recall (Kynkäänniemi 2019), density and coverage (Naeem 2020), from distances to nearest neighbours."""

from dataclasses import dataclass

import torch
from torch import Tensor

BLOCK_BYTES = 2**27  # of the distances that are held at once
ROUNDING = 1e-9  # relative; what differs by less lies on the border


@dataclass(frozen=True)
class Overlap:
    """How far generated and real points lie in each other's neighbourhoods."""

    precision: float  # share of generated points in the ball of some real point
    recall: float  # share of real points in the ball of some generated one
    density: float  # real balls that hold a generated point, on average, in units of k
    coverage: float  # share of real balls that hold a generated point


def overlap(fake: Tensor, real: Tensor, fake_radii: Tensor, real_radii: Tensor, k: int) -> Overlap:
    """Of float64 points (N, F) and (M, F), whose balls reach to their k-th nearest neighbour of the same side.

    `fake_radii` (N,) and `real_radii` (M,) are squared. As in the authors' codes precision and recall count a point on
    the border of a ball, density and coverage do not.
    """
    num_precise, num_held = 0, 0
    recalled, covered = (torch.zeros(len(real), dtype=torch.bool, device=real.device) for _ in range(2))
    for rows in blocks(len(fake), len(real)):
        distances = squared_distances(fake[rows], real)
        num_precise += int((distances <= real_radii * (1 + ROUNDING)).any(1).sum())
        recalled |= (distances <= fake_radii[rows, None] * (1 + ROUNDING)).any(0)
        inside = distances < real_radii * (1 - ROUNDING)
        num_held += int(inside.sum())
        covered |= inside.any(0)
    return Overlap(
        precision=num_precise / len(fake),
        recall=float(recalled.double().mean()),
        density=num_held / (k * len(fake)),
        coverage=float(covered.double().mean()),
    )


def nearest(points: Tensor, k: int) -> Tensor:
    """(N, k) squared distances from each point (N, F) float64 to its nearest others, in order; needs N above k."""
    found = []
    for rows in blocks(len(points), len(points)):
        distances = squared_distances(points[rows], points)
        distances[torch.arange(len(distances)), torch.arange(rows.start, rows.start + len(distances))] = torch.inf
        found.append(distances.topk(k, largest=False).values)
    return torch.cat(found)


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """(len(a), len(b)) float64. What rounding cannot tell from zero is zero: copies of an image must not lie apart."""
    lengths = a.square().sum(1)[:, None] + b.square().sum(1)
    distances = torch.addmm(lengths, a, b.T, alpha=-2)
    return distances.masked_fill_(distances < 1e-13 * lengths, 0)


def blocks(num_rows: int, num_columns: int) -> list[slice]:
    """Rows in parts whose distances to all columns take at most `BLOCK_BYTES`."""
    size = max(BLOCK_BYTES // (8 * num_columns), 1)
    return [slice(start, start + size) for start in range(0, num_rows, size)]

"""Precision and recall (Kynkäänniemi 2019), density and coverage (Naeem 2020), from distances to nearest neighbours."""

import torch
from torch import Tensor

BLOCK_BYTES = 2**27  # of the distances that are held at once
ROUNDING = 1e-9  # relative; what differs by less lies on the border


class Neighbours:
    """Compares generated features (N, F) with one set of real ones, whose neighbourhoods are measured once.

    Precision is the share of generated points that lie in the ball around some real point, up to its k-th nearest real
    neighbour; recall is the same with the sides exchanged, both with `k`. With `coverage_k`, density is the mean number
    of real balls that hold a generated point, in units of k, and coverage the share of real balls that hold one. As in
    the authors' codes the first two count a point on the border, the others do not. Needs more points than neighbours.
    """

    def __init__(self, real: Tensor, *, k: int = 3, coverage_k: int = 5, device: torch.device | str = "cpu") -> None:
        self.real = real.to(device, torch.float64)
        self.k, self.coverage_k = k, coverage_k
        self.radii = nearest(self.real, max(k, coverage_k))

    def __call__(self, fake: Tensor) -> dict[str, float]:
        """precision, recall, density and coverage of features (N, F)."""
        real, fake = self.real, fake.to(self.real)
        narrow = self.radii[:, self.k - 1] * (1 + ROUNDING)
        wide = self.radii[:, self.coverage_k - 1] * (1 - ROUNDING)
        fake_radii = nearest(fake, self.k)[:, -1:] * (1 + ROUNDING)
        num_precise, num_held = 0, 0
        recalled, covered = (torch.zeros(len(real), dtype=torch.bool, device=real.device) for _ in range(2))
        for rows in blocks(len(fake), len(real)):
            distances = squared_distances(fake[rows], real)
            num_precise += int((distances <= narrow).any(1).sum())
            recalled |= (distances <= fake_radii[rows]).any(0)
            inside = distances < wide
            num_held += int(inside.sum())
            covered |= inside.any(0)
        return {
            "precision": num_precise / len(fake),
            "recall": float(recalled.double().mean()),
            "density": num_held / (self.coverage_k * len(fake)),
            "coverage": float(covered.double().mean()),
        }


def nearest(points: Tensor, k: int) -> Tensor:
    """(N, k) squared distances from each point to its nearest others, in order."""
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

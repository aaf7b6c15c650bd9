"""Real images that are always the same ones: what grids show, and what samples are compared with."""

from typing import Protocol

import torch
from torch import Tensor

from gantool.batch import Batch

COLUMNS = 8  # unconditional: 8 rows of 8
CLASS_COLUMNS = 10  # conditional: a row per class
_MAX_CLASSES = 20


class Fixed(Protocol):
    """Always the same real images (Stream.fixed)."""

    def __call__(self, count: int, *, classes: int = 0) -> Batch:
        """`count` images, or so many of each of the first `classes` in turn."""
        ...


def fixed_images(fixed: Fixed, num_classes: int = 0) -> Batch:
    """64 real images, or with `num_classes` ten of each class in turn."""
    return fixed(CLASS_COLUMNS, classes=min(num_classes, _MAX_CLASSES)) if num_classes else fixed(COLUMNS**2)


def rows_by_class(labels: Tensor, order: Tensor, classes: int, count: int) -> Tensor:
    """(classes * count,) of the rows in `order`: the first `count` of each class in turn. A class with fewer repeats
    them; of one without any they are -1."""
    told = labels[order]
    found = [order[(told == label).nonzero()[:count, 0]] for label in range(classes)]
    none = order.new_full((count,), -1)
    return torch.cat([rows[torch.arange(count) % len(rows)] if len(rows) else none for rows in found])

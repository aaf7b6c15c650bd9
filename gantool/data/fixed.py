"""Real images that are always the same ones: what grids show, and what samples are compared with."""

from collections.abc import Callable

import torch
from torch import Tensor

from gantool.batch import Batch

COLUMNS = 8  # unconditional: 8 rows of 8
CLASS_COLUMNS = 10  # conditional: a row per class
_MAX_CLASSES = 20
_SEARCHED = 32  # images looked at per class to fill its row, and no more than 1024 in all


def fixed_images(fixed: Callable[[int], Batch], num_classes: int = 0) -> Batch:
    """64 real images, or with `num_classes` ten of each class in turn; `fixed(count)` gives them (Stream.fixed)."""
    if not num_classes:
        return fixed(COLUMNS**2)
    return rows_by_class(fixed(min(_SEARCHED * num_classes, 1024)), num_classes)


def rows_by_class(batch: Batch, num_classes: int, columns: int = CLASS_COLUMNS) -> Batch:
    """`columns` images of each class in turn; a class with fewer repeats them, one without any has black images."""
    labels = batch.labels
    assert labels is not None, "a conditional game has labelled data"
    classes = range(min(num_classes, _MAX_CLASSES))
    images = [_first(batch.images[labels == label], columns, batch.images) for label in classes]
    rows = torch.arange(len(classes), device=labels.device).repeat_interleave(columns)
    return Batch(torch.cat(images), rows)


def _first(images: Tensor, count: int, like: Tensor) -> Tensor:
    if len(images) == 0:
        return like.new_full((count, *like.shape[1:]), -1)
    return images[torch.arange(count, device=images.device) % len(images)]

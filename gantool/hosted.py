"""Buffers that stay with the host: numbers that it asks for in every round, which on a GPU would have it wait."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def staying(module: nn.Module, name: str) -> Iterator[None]:
    """Inside, what moves or converts `module` leaves its buffer `name` alone: to be put round its `_apply`, through
    which torch does either."""
    kept = {name: module._buffers.pop(name)} if name in module._buffers else {}  # a copy to be traced has a number
    try:
        yield
    finally:
        module._buffers |= kept

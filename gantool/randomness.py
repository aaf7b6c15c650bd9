"""Position determines randomness: every random number of a run is a function of its seed and the images seen."""

import hashlib
import random
from contextlib import AbstractContextManager

import numpy as np
import torch

_in_use: set[torch.device] = set()  # beside the CPU


def use(device: torch.device) -> None:
    """From now on the random numbers of `device` are seeded too: others of the machine are left alone."""
    if device.type != "cpu":
        _in_use.add(device)


def seed_everything(*position: object) -> None:
    """Seeds Python, NumPy and torch (the CPU and what is in use) with a hash of `position`."""
    seed = _hash(position)
    random.seed(seed)
    np.random.seed(seed % 2**32)
    seed_torch(*position)


def seed_torch(*position: object) -> None:
    """Seeds torch alone: between the updates of a round.

    Not by torch.manual_seed, which formats the call stack for every backend not in use, a millisecond each time.
    """
    seed = _hash(position)
    torch.default_generator.manual_seed(seed)
    for device in _in_use:
        if device.type == "mps":
            torch.mps.manual_seed(seed)
        elif torch.cuda.is_initialized():
            torch.cuda.default_generators[device.index or 0].manual_seed(seed)


def forked(device: torch.device, *, enabled: bool = True) -> AbstractContextManager[None]:
    """A context after which torch's random numbers, of the CPU and of `device`, go on as if nothing had been drawn in
    it."""
    devices = [] if device.type == "cpu" else [device]
    return torch.random.fork_rng(devices, enabled, device_type=device.type)


def shuffled(count: int, seed: int) -> torch.Tensor:
    """(count,) the numbers below `count` in an order that `seed` alone decides."""
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed))


def _hash(position: tuple[object, ...]) -> int:
    return int.from_bytes(hashlib.blake2b(repr(position).encode(), digest_size=8).digest(), "little")

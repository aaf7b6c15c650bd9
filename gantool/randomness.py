"""Position determines randomness: every random number of a run is a function of its seed and the images seen."""

import hashlib
import random

import numpy as np
import torch


def seed_everything(*position: object) -> None:
    """Seeds Python, NumPy and torch (all devices) with a hash of `position`."""
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
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(seed)


def _hash(position: tuple[object, ...]) -> int:
    return int.from_bytes(hashlib.blake2b(repr(position).encode(), digest_size=8).digest(), "little")

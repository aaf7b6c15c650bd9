"""A monitor: looks at the game every so many images, hands back what it saw, and changes nothing."""

from typing import Protocol

from torch import nn

from gantool.game import Game, Progress
from gantool.logging.record import Record


class Monitor(Protocol):
    """Called by the loop under no_grad and outside autocast, with the averaged generators in eval mode.

    It leaves weights, buffers, modes and random generators as they were: no forward of a live network in training mode
    (batch norm and spectral norm would move), and random numbers only inside `torch.random.fork_rng`.
    """

    @property
    def name(self) -> str:
        """Names it in messages."""
        ...

    @property
    def interval(self) -> int:
        """Images between two calls."""
        ...

    def __call__(self, game: Game, generators: nn.ModuleDict, progress: Progress) -> Record:
        """What is to be written at `progress`."""
        ...

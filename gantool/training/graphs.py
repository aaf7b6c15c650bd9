"""CUDA graphs of whole updates: the kernels of an update's passes are launched as one, forwards, penalties, backwards.

A graph repeats kernels at the same places in memory and with the numbers that Python gave them. So it is made of rounds
of one kind (`Repeating`), which differ in nothing but their images, random numbers and weights: the first of a kind is
played as usual, the second is captured, all later ones are replays. Steps of optimizers, constraints and averages stay
outside, so that rates and moments change as ever.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Protocol, TypeVar, runtime_checkable

import torch
from torch import Tensor

from gantool.batch import Batch
from gantool.errors import GantoolError, out_of_memory, said
from gantool.game import Outcome
from gantool.training.state import State
from gantool.training.update import differentiate

T = TypeVar("T")


@runtime_checkable
class Repeating(Protocol):
    """A game whose rounds can be alike."""

    def kind(self, step: int) -> Hashable:
        """Of the round that was begun, before which there were `step` batches of its size. Rounds of one kind do the
        same with the same numbers, but for weights, images and random ones."""
        ...


class Capture(Protocol):
    """What makes graphs."""

    def warm_up(self, play: Callable[[], T]) -> T:
        """Plays as usual, where a capture of the same may follow."""
        ...

    def capture(self, play: Callable[[], T]) -> tuple[T, Callable[[], object]]:
        """What `play` makes, and a call that makes it anew in the same place; nothing is made before that."""
        ...


class CudaCapture:
    """Captures what a CUDA device is asked to do. All graphs share their memory, so those of a round are replayed in
    the order of their capture, and what they made is read before the next round."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.stream, self.pool = device, torch.cuda.Stream(device), torch.cuda.graph_pool_handle()

    def warm_up(self, play: Callable[[], T]) -> T:
        usual = torch.cuda.current_stream(self.device)
        self.stream.wait_stream(usual)
        with torch.cuda.stream(self.stream):
            made = play()
        usual.wait_stream(self.stream)
        return made

    def capture(self, play: Callable[[], T]) -> tuple[T, Callable[[], object]]:
        graph = torch.cuda.CUDAGraph()
        try:
            # thread_local: images are read ahead in another thread, which may ask for memory meanwhile.
            capturing = torch.cuda.graph(graph, self.pool, self.stream, capture_error_mode="thread_local")
            with torch.cuda.device(self.device), capturing:
                made = play()
        except RuntimeError as error:
            if out_of_memory(error) is not None:
                raise
            why = said(error.__context__ or error)
            raise GantoolError(
                f"trainer.compile=graphs cannot capture this ({why}): take trainer.compile=true"
            ) from error
        return made, graph.replay


@dataclass
class Captured:
    """The passes of one update on one part of its batch."""

    part: Batch  # read by each replay
    outcome: Outcome  # written by it
    gradients: list[Tensor | None]  # likewise; of a part that is not the first, added to those of the first
    replay: Callable[[], object]


class Graphs:
    """Plays the passes of a round's updates as `differentiate` does, by graphs where there are some."""

    def __init__(self, capture: Capture) -> None:
        self.capture = capture
        self.kinds: dict[Hashable, list[Captured]] = {}  # that were met, and what was captured of a round of each
        self.round: list[Captured] | None = None  # of this round's kind; None: it is the first of its kind
        self.number = 0  # of this round's passes so far

    def begin_round(self, kind: Hashable) -> "Graphs":
        """Called before each round, with its kind. Returns itself."""
        self.number, self.round = 0, self.kinds.get(kind)
        self.kinds.setdefault(kind, [])
        return self

    def __call__(self, state: State, name: str, part: Batch, share: float) -> Outcome:
        """As `differentiate`; what it returns is written over in the next round of this kind."""
        if self.round is None:
            return self.capture.warm_up(lambda: differentiate(state, name, part, share))
        if self.number == len(self.round):
            self.round.append(self._captured(state, name, part, share))
        captured = self.round[self.number]
        self.number += 1
        captured.part.fill(part)
        captured.replay()
        for parameter, gradient in zip(state.optimizers[name].parameters, captured.gradients, strict=True):
            parameter.grad = gradient
        return captured.outcome

    def _captured(self, state: State, name: str, part: Batch, share: float) -> Captured:
        own = part.clone()
        outcome, replay = self.capture.capture(lambda: differentiate(state, name, own, share))
        return Captured(own, outcome, [parameter.grad for parameter in state.optimizers[name].parameters], replay)

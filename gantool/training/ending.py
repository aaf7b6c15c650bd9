"""When a run ends before its length: a score that no longer improves, or scores that are good enough."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Ending:
    """What ends a run early; by default nothing does.

    `patience`: scorings in a row without a new best of `metric`; `target`: values that must all be reached, by score;
    `higher_is_better`: the scores for which it is so; `deadline`: of `time.monotonic()`, for this process. What it has
    seen is in `memory`, plain and part of the checkpoint: a run that was killed ends where one that was not does.
    """

    metric: str | None = None
    patience: int | None = None
    target: Mapping[str, float] = field(default_factory=dict)
    higher_is_better: Sequence[str] = ()
    deadline: float = math.inf

    def note(self, scores: Mapping[str, float], memory: dict[str, Any]) -> None:
        """Takes in the scores that were measured at one point of the run."""
        if self.metric is None or self.metric not in scores:
            return
        if memory.get("metric") != self.metric:
            memory |= {"metric": self.metric, "best": None, "since": 0}
        if self.is_better(self.metric, scores[self.metric], memory["best"]):
            memory |= {"best": scores[self.metric], "since": 0}
        else:
            memory["since"] += 1

    def reason(self, memory: Mapping[str, Any], scores: Mapping[str, float]) -> str | None:
        """Why the run whose last scores are these is over, the key before a colon; None where it is not."""
        if self.target and all(name in scores and self._reaches(name, scores[name]) for name in self.target):
            return f"trainer.target: {', '.join(f'{name} {scores[name]:.4g}' for name in self.target)}"
        if self.patience and memory.get("metric") == self.metric and memory.get("since", 0) >= self.patience:
            return f"trainer.stop: {self.metric} has not improved in {memory['since']} scorings"
        return None

    def is_better(self, name: str, score: float, best: float | None) -> bool:
        """Whether `score` improves on `best`, which is None before the first one; one that is NaN never does."""
        if best is None:
            return score == score
        return score > best if name in self.higher_is_better else score < best

    def is_late(self) -> bool:
        """Whether the time of this process is over."""
        return time.monotonic() >= self.deadline

    def _reaches(self, name: str, score: float) -> bool:
        return score == self.target[name] or self.is_better(name, score, self.target[name])

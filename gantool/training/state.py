"""All that a run is at one position: what a checkpoint holds, no more and no less."""

from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch

from gantool.game import Game, Progress
from gantool.training.ema import EMA
from gantool.training.hardware import MixedPrecision
from gantool.training.optimization import PlayerOptimizer
from gantool.training.ranks import world
from gantool.training.sound import FORMAT, Unsound, check_moments, check_sound


@dataclass
class State:
    """The moving parts of a run. Random generators and data order are no part of it: position determines them."""

    game: Game
    ema: EMA
    optimizers: dict[str, PlayerOptimizer]
    precision: MixedPrecision
    progress: Progress
    config: dict  # the composed configuration, plain
    metrics: dict[str, float] = field(default_factory=dict)  # the last scores
    margins: dict[str, float] = field(default_factory=dict)  # half of their 95 % intervals
    best: dict[str, Any] = field(default_factory=dict)  # "metric", "value" and "nimg" of the best score so far
    ending: dict[str, Any] = field(default_factory=dict)  # what it remembers that may end the run early
    data: dict[str, Any] = field(default_factory=dict)  # what the images were, to be compared when the run goes on
    watch: dict[str, Any] = field(default_factory=dict)  # what the watchdog remembers, and how often it rolled back
    measured: dict[str, Any] = field(default_factory=dict)  # what was measured since it was last logged
    rate_factor: float = 1.0  # of every learning rate: below 1 once the watchdog has lowered it

    def state_dict(self) -> dict:
        """Plain containers and the live tensors."""
        return {
            "format": FORMAT,
            "config": self.config,
            "data": self.data,
            "progress": asdict(self.progress),
            "metrics": self.metrics,
            "margins": self.margins,
            "best": self.best,
            "ending": self.ending,
            "watch": self.watch,
            "measured": self.measured,
            "rate_factor": self.rate_factor,
            "game": self.game.state_dict(),
            "ema": self.ema.generators.state_dict(),
            "optimizers": {name: o.optimizer.state_dict() for name, o in self.optimizers.items()},
            "scaler": self.precision.scaler.state_dict(),
            "numerics": self.numerics(),
        }

    def check(self, saved: Any) -> None:
        """Raises Unsound where `saved` is no state of this run, and nothing of it was taken over."""
        check_sound(saved, self.game)
        if saved["optimizers"].keys() != self.optimizers.keys():
            raise Unsound("it is of other players")
        for name, optimizer in self.optimizers.items():
            check_moments(saved["optimizers"][name], optimizer.optimizer, name)

    def load_state_dict(self, saved: dict) -> None:
        """Takes over a checkpoint that was checked; the length of the run stays as configured."""
        self.game.load_state_dict(saved["game"])
        self.ema.generators.load_state_dict(saved["ema"])
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(saved["optimizers"][name])
        if saved["scaler"]:  # empty unless it was trained in fp16
            self.precision.scaler.load_state_dict(saved["scaler"])
        self.progress = replace(Progress(**saved["progress"]), total=self.progress.total)
        self.metrics, self.best = saved["metrics"], saved["best"]
        self.margins, self.ending = saved.get("margins", {}), saved.get("ending", {})
        self.watch, self.rate_factor = saved.get("watch", {}), saved.get("rate_factor", 1.0)
        self.measured = saved.get("measured", {})

    def numerics(self) -> dict[str, str | int]:
        """What else the bits of a result depend on."""
        return {
            "device": self.precision.device.type,
            "precision": self.precision.name,
            "threads": torch.get_num_threads(),
            "ranks": world(),
            "torch": str(torch.__version__),
        }

"""All that a run is at one position: what a checkpoint holds, no more and no less."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch

from gantool.config.leaves import leaves
from gantool.errors import GantoolError
from gantool.game import Game, Progress
from gantool.ranks import rank, world
from gantool.training.ema import EMA
from gantool.training.hardware import MixedPrecision
from gantool.training.optimization import PlayerOptimizer
from gantool.training.shards import Shards
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
    ways: dict[str, str] = field(default_factory=dict)  # how each score is measured: gantool.logging.protocol.way
    data: dict[str, Any] = field(default_factory=dict)  # what the images were, to be compared when the run goes on
    watch: dict[str, Any] = field(default_factory=dict)  # what the watchdog remembers, and how often it rolled back
    measured: dict[str, Any] = field(default_factory=dict)  # what was measured since it was last logged
    rate_factor: float = 1.0  # of every learning rate: below 1 once the watchdog has lowered it
    parameters: dict[str, int] = field(init=False)  # of each network

    def __post_init__(self) -> None:
        networks = self.game.networks().items()  # counted while each rank has all of them
        self.parameters = {name: sum(p.numel() for p in network.parameters()) for name, network in networks}

    def share(self) -> None:
        """The ranks share weights, moments and averages (see gantool.training.shards): what they have is theirs to
        play with inside `whole` alone."""
        for optimizer in self.optimizers.values():
            optimizer.share()
        self.ema.share(self.game.generators, [o.shards for o in self.optimizers.values() if o.shards is not None])
        for shards in self._shards():
            shards.release()

    def unshare(self) -> bool:
        """All ranks have everything again, but for what optimizers remember: for a state to be loaded. Whether they
        shared it."""
        shared = bool(self._shards())
        for part in (self.ema, *self.optimizers.values()):
            part.unshare()
        return shared

    def _shards(self, *, averages: bool = True) -> list[Shards]:
        own = [o.shards for o in self.optimizers.values() if o.shards is not None]
        return own + [shards for shards, _ in self.ema.shards if averages]

    @contextmanager
    def whole(self, *, averages: bool = True) -> Iterator[None]:
        """Inside, this rank has all weights, and with `averages` the averaged ones. All ranks must enter together."""
        gathered = [shards for shards in self._shards(averages=averages) if shards.whole is None]
        for shards in gathered:
            shards.gather()
        try:
            yield
        finally:
            for shards in gathered:
                shards.release()

    def state_dict(self) -> dict:
        """Plain containers and tensors, the live ones unless the ranks share them: all must ask together then, and the
        first one gets it."""
        with self.whole():
            found = self._state_dict()
            if self._shards() and rank() == 0:
                found |= {part: {k: v.cpu().clone() for k, v in found[part].items()} for part in ("game", "ema")}
        return found

    def _state_dict(self) -> dict:
        return {
            "format": FORMAT,
            "config": self.config,
            "data": self.data,
            "progress": asdict(self.progress),
            "metrics": self.metrics,
            "margins": self.margins,
            "best": self.best,
            "ending": self.ending,
            "ways": self.ways,
            "watch": self.watch,
            "measured": self.measured,
            "rate_factor": self.rate_factor,
            "game": self.game.state_dict(),
            "ema": self.ema.generators.state_dict(),
            "optimizers": {name: o.state_dict() for name, o in self.optimizers.items()},
            "scaler": self.precision.scaler.state_dict(),
            "numerics": self.numerics(),
        }

    def check(self, saved: Any) -> None:
        """Raises Unsound where `saved` is no state of this run, and nothing of it was taken over; GantoolError where it
        is one, and a part with a state of its own came or went since."""
        try:
            check_sound(saved, self.game)
        except Unsound:
            self._check_parts(saved)
            raise
        if saved["optimizers"].keys() != self.optimizers.keys():
            raise Unsound("it belongs to other players")
        for name, optimizer in self.optimizers.items():
            check_moments(saved["optimizers"][name], optimizer, name)

    def _check_parts(self, saved: Any) -> None:
        if not isinstance(saved, dict) or not all(isinstance(saved.get(key), dict) for key in ("config", "game")):
            return
        before, now = (
            {key: value for key, value in leaves(config).items() if key.endswith("._target_")}
            for config in (saved["config"], self.config)
        )
        # A run keeps the classes of its model: with others it is a stray file.
        kept = {key for key in before.keys() & now if before[key] == now[key] or key.startswith("model.")}
        odd = [str(name).split(".") for name in saved["game"].keys() ^ self.game.state_dict().keys()]
        for key in sorted((before.keys() | now) - kept):
            part = key.removesuffix("._target_")
            if any(part.rpartition(".")[2] in name for name in odd):
                how, fix = ("with", "bring it back") if key in before else ("without", "leave it out")
                how += " another" if key in before and key in now else ""
                raise GantoolError(
                    f"it was trained {how} {part}, whose own state cannot be added or removed: {fix}, or "
                    "start a new run in another hydra.run.dir"
                )

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
        self.measured, self.ways = saved.get("measured", {}), saved.get("ways", {})

    def forget_other_scores(self, ways: dict[str, str]) -> list[str]:
        """From now on scores are measured in these `ways`, by their names; the first one tells the best state. Forgets
        all that came of scores that are measured no more, or were in another way: it is not to be compared. Returns the
        names of the latter. Where it is not known how one was measured, as of earlier versions, it is kept."""
        others = [name for name, way in ways.items() if self.ways.get(name, way) != way]
        kept = ways.keys() - others
        self.metrics = {name: value for name, value in self.metrics.items() if name in kept}
        self.margins = {name: value for name, value in self.margins.items() if name in kept}
        if self.best.get("metric") not in kept.intersection([*ways][:1]):
            self.best = {}
        if self.ending.get("metric") not in kept:
            self.ending = {}
        self.ways = ways
        return others

    def numerics(self) -> dict[str, str | int]:
        """What else the bits of a result depend on."""
        return {
            "device": self.precision.device.type,
            "precision": self.precision.name + (" tf32" if torch.backends.cudnn.allow_tf32 else ""),
            "threads": torch.get_num_threads(),
            "ranks": world(),
            "torch": str(torch.__version__),
        }

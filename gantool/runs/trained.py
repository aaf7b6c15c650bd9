"""A run's folder, read back: the game its configuration describes, with the weights of a checkpoint."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from hydra.errors import InstantiationException
from omegaconf import DictConfig, OmegaConf
from torch import nn

from gantool.commands.build import make
from gantool.config.schema import resolve
from gantool.config.wording import in_one_line
from gantool.errors import GantoolError, did_you_mean
from gantool.game import Game
from gantool.training.checkpoint import Checkpoints, load
from gantool.training.hardware import choose_device


@contextmanager
def without_prefix(prefix: str) -> Iterator[None]:
    """Errors name `dataset.root`, where a command that is not train has the key `root`."""
    try:
        yield
    except (GantoolError, InstantiationException) as error:
        line = in_one_line(error, in_job=True)
        if line is None:
            raise
        raise GantoolError(line.replace(prefix, "")) from error


@dataclass(frozen=True)
class TrainedRun:
    """A run as its checkpoint has it, in eval mode."""

    folder: Path
    plain: dict[str, Any]  # its configuration, resolved
    game: Game
    generators: nn.ModuleDict  # averaged, or as they were trained
    ema: bool  # which of the two
    nimg: int
    device: torch.device

    @property
    def num_classes(self) -> int:
        """Classes that the generator can be asked for; 0 for an unconditional run."""
        return self.plain["dataset"]["num_classes"] or 0 if self.plain["model"].get("conditional") else 0

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of its images."""
        dataset = self.plain["dataset"]
        return dataset["channels"], dataset["resolution"], dataset["resolution"]


def load_run(folder: str | None, *, ema: bool = True, device: str = "auto", checkpoint: str = "newest") -> TrainedRun:
    """The run in `folder`, finished or not, on `device`; `checkpoint` is newest, best or a file in its checkpoints.

    Raises GantoolError where the folder is no run, has no sound checkpoint, or its code cannot be found.
    """
    if folder is None:
        raise GantoolError("which run? run=FOLDER names it, such as run=outputs/2026-11-24/10-15-30-dcgan-mnist-5k")
    path = Path(folder).expanduser()
    if not path.is_dir():
        siblings = [sibling.name for sibling in path.parent.iterdir()] if path.parent.is_dir() else []
        raise GantoolError(f"run={folder}: no such folder{did_you_mean(path.name, siblings)}")
    config = path / ".hydra" / "config.yaml"
    if not config.is_file():
        raise GantoolError(f"run={folder} is no run folder: it has no .hydra/config.yaml")
    saved = _saved(path, checkpoint)
    plain = resolve(cast(DictConfig, OmegaConf.load(config)))
    where = choose_device(device)
    game: Game = make(plain["model"])
    game.load_state_dict(saved["game"])
    generators = copy.deepcopy(game.generators)
    if ema:
        generators.load_state_dict(saved["ema"])
    game.to(where).eval().requires_grad_(False)
    generators.to(where).eval().requires_grad_(False)
    return TrainedRun(path, plain, game, cast(nn.ModuleDict, generators), ema, saved["progress"]["nimg"], where)


def _saved(path: Path, checkpoint: str) -> dict:
    if checkpoint == "best":
        best = sorted((path / "checkpoints").glob("best-*.pt"))
        if not best:
            raise GantoolError(f"run={path} has no best checkpoint, as it was never scored: take checkpoint=newest")
        return load(best[-1])
    if checkpoint != "newest":
        return load(path / "checkpoints" / checkpoint)
    saved = Checkpoints(path).load_newest()
    if saved is None:
        raise GantoolError(f"run={path} has no checkpoint yet: train it first, or wait a minute")
    return saved

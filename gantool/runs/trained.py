"""A run's folder, read back: the game its configuration describes, with the weights of a checkpoint."""

import copy
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import torch
from omegaconf import DictConfig
from torch import Tensor, nn

from gantool.config import Train, read
from gantool.config.composed import find_run, load_composed
from gantool.config.options import OneRun
from gantool.config.schema import DatasetConfig
from gantool.data.cache import prepare
from gantool.data.image_set import ImageSet
from gantool.errors import GantoolError
from gantool.game import Game
from gantool.games.gan import GAN
from gantool.launch import local_processes, local_rank
from gantool.metrics.features import Features
from gantool.randomness import forked
from gantool.ranks import world
from gantool.runs.build import build_game
from gantool.runs.features import build_features
from gantool.runs.labelled import Asked, Labelled
from gantool.runs.sources import build_source
from gantool.sampling import sampled, standing
from gantool.shapes import sides
from gantool.training.checkpoint import Checkpoints
from gantool.training.hardware import choose_device, exact_float32, to_memory_format
from gantool.training.sound import check_sound


@contextmanager
def without_prefix(prefix: str, drop: str = "") -> Iterator[None]:
    """Errors name `dataset.root`, where a command that is not train has the key `root`; `drop` is advice that it has no
    key for."""
    try:
        yield
    except GantoolError as error:
        text = str(error).replace(drop, "")
        raise GantoolError(text.replace(prefix, "")) from error


@dataclass(frozen=True)
class TrainedRun:
    """A run as its checkpoint has it, in eval mode."""

    folder: Path
    config: Train = field(repr=False)
    game: Game = field(repr=False)
    generators: nn.ModuleDict = field(repr=False)  # averaged, or as they were trained
    ema: bool  # which of the two
    nimg: int
    device: torch.device
    labelled: Labelled = field(default_factory=lambda: Labelled(0))  # what the generator can be asked for
    span: tuple[float, float] | None = None  # the values of black and white, where dataset.range=auto found them
    scores: dict[str, float] = field(default_factory=dict)  # the last that its training had measured, by name

    @property
    def num_classes(self) -> int:
        """Classes that the generator can be asked for; 0 for an unconditional run, and where labels are vectors."""
        return self.labelled.num_classes

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of its images."""
        channels = self.config.dataset.channels
        assert channels is not None, "a run's configuration has what its data set decided"
        return channels, *sides(self.config.dataset.resolution)

    @property
    def bits(self) -> int:
        """Of a pixel of its images: 8, or 16 where those that it was trained on have more."""
        return self.config.dataset.bits or 8

    def gan(self, command: str) -> GAN:
        """Its game; raises GantoolError, which says that `command` asks for it, where it has no latent."""
        if not isinstance(self.game, GAN):
            own = f"of a custom game, {type(self.game).__name__}"
            kind = "a CycleGAN or pix2pix run" if self.game.translates else own
            raise GantoolError(f"{self.folder} is {kind}: gantool {command} needs a latent")
        return self.game

    def images(self, *, split: str | None = None, root: str | None = None, on_bad_image: str = "") -> ImageSet:
        """The images it was trained on, or those of another `split`, with labels as the generator is asked for them,
        and as black and as white as those that it was trained on; `root`: where the data set lies now.

        Raises GantoolError for a data set without splits, where it is not at hand, and for labels that the run has not.
        """
        dataset = self.config.dataset
        if split is not None and "split" not in dataset.rest:
            raise GantoolError(f"split={split}: the data set of {self.folder} has no splits; leave split out")

        def prepared(dataset: DatasetConfig) -> ImageSet:
            source = build_source(dataset, root=root, split=split)
            return prepare(source, on_bad_image=on_bad_image or dataset.on_bad_image)

        scaled = dataset.model_copy(update={"range": [*self.span]}) if self.span else dataset
        with without_prefix("dataset.", drop=", or set dataset.download=true"):
            image_set = prepared(dataset if split is None else scaled)  # the first lies in the cache
            if self.span and image_set.span not in (None, self.span):
                image_set = prepared(scaled)
        return self.labelled.told(image_set, self.folder)

    def standing(self, passes: int | None, seed: int = 0, truncation: float | None = None) -> nn.ModuleDict:
        """Its generators with the standing statistics of so many passes; None: of as many as its training scored with.
        Seeds torch; raises GantoolError where there is no batch norm."""
        passes = self.passes if passes is None else passes
        how: dict[str, Any] = {"seed": seed, "pool": self.labelled.pool, "truncation": truncation}
        return standing(self.game, self.generators, self.device, passes, **how)

    def as_scored(self) -> "TrainedRun":
        """The run with the standing statistics that its training scored with: for what calls its generators without
        `sample`. Seeds torch."""
        return replace(self, generators=self.standing(None))

    @property
    def passes(self) -> int:
        """In which its training gathered standing statistics for its scores; 0: it took those of training."""
        scores = self.config.monitor.get("scores")
        return scores.rest.get("standing_statistics", 0) if scores else 0

    def sample(
        self,
        num: int,
        *,
        seed: int = 0,
        classes: Asked = None,
        labels: Tensor | Asked = None,
        truncation: float | None = None,
    ) -> Tensor:
        """(num, C, H, W) uint8: the images of `gantool sample` with this seed. Of a conditional run, `classes`: names
        or numbers, taken in turn; or `labels`, (num,) int64, (num, K) floats where they are vectors; None: its classes
        in turn. Raises GantoolError for a run that translates."""
        if num < 1:
            raise GantoolError(f"num={num}: should be 1 or more")
        if self.game.translates:
            raise GantoolError(f"{self.folder} is a CycleGAN or pix2pix run: call one of run.generators")
        labels = self.labelled.given(labels, num, self.folder, classes)
        with forked(self.device):
            generators = self.standing(None, seed, truncation)
            blocks = sampled(
                self.game, generators, self.device, num=num, seed=seed, labels=labels, truncation=truncation
            )
            return torch.cat([images for images, _ in blocks])

    def features(self, chosen: dict[str, Any], *, root: str | None = None) -> Features:
        """The feature extractor `chosen`, on the device; where it is {}, the one that the run was scored with."""
        with without_prefix("dataset.", drop=", or set dataset.download=true"):
            source = build_source(self.config.dataset, root=root)
        handed = {"source": source, "device": str(self.device)}
        return build_features(chosen or self.config.features, handed).to(self.device)


def load_run(
    folder: str | Path | None,
    *,
    ema: bool = True,
    device: str = "auto",
    checkpoint: str = "newest",
    trust: bool = False,
) -> TrainedRun:
    """The run in `folder`, finished or not, on `device`; `checkpoint` is newest, best or a file in its checkpoints.

    The folder is only read. Of what its configuration names, parts of gantool and torch's optimizers are built;
    `trust=True` builds whatever else it names too, which is as good as running its author's program, and fetches its
    data set to where it says. Raises GantoolError where the folder is no run, names other code, or has no sound
    checkpoint.
    """
    if folder is None:
        raise GantoolError("which run? run=FOLDER names it, such as run=outputs/2026-11-24/10-15-30-dcgan-mnist-5k")
    path = find_run(folder)
    return open_run(path, load_composed(path, trusted=trust), ema=ema, device=device, checkpoint=checkpoint)


def opened(options: OneRun, device: str) -> TrainedRun:
    """The run that a command is told of; raises as load_run does."""
    return load_run(options.run, ema=options.ema, device=device, checkpoint=options.checkpoint, trust=options.trust)


def open_run(path: Path, cfg: DictConfig, *, ema: bool, device: str, checkpoint: str) -> TrainedRun:
    """As load_run, by a configuration that was checked or that the user has written."""
    config = read(cfg)
    where = choose_device(device, local_rank(), local_processes() if world() > 1 else 1)  # a command may be one rank's
    exact_float32()
    game = build_game(config)
    saved = _saved(path, checkpoint, game)
    game.load_state_dict(saved["game"])
    generators = copy.deepcopy(game.generators)
    if ema:
        generators.load_state_dict(saved["ema"])
    for module in (game, generators):
        module.to(where).eval().requires_grad_(False)
        to_memory_format(module, channels_last=config.trainer.channels_last)  # as in training: last digits follow it
    data, nimg = saved.get("data", {}), saved["progress"]["nimg"]
    asked, span = _labelled(config, data), _span(config, data)
    scores = {str(name): value for name, value in saved["metrics"].items()}
    return TrainedRun(path, config, game, cast(nn.ModuleDict, generators), ema, nimg, where, asked, span, scores)


def _labelled(config: Train, data: dict[str, Any]) -> Labelled:
    """What a checkpoint, which may be a stranger's, says of the labels that its generator is told."""
    num, names, vectors = config.num_classes, data.get("class_names"), data.get("vectors")
    known = isinstance(names, list) and len(names) == num and all(isinstance(name, str) for name in names)
    if config.dataset.vector_labels and num:
        sound = isinstance(vectors, Tensor) and vectors.ndim == 2 and vectors.shape[1] == num and len(vectors)
        vectors = vectors.float() if isinstance(vectors, Tensor) and sound else torch.zeros(1, num)
        return Labelled(num, names if known and names else [], vectors)
    return Labelled(num, names if known and names else [])


def _span(config: Train, data: dict[str, Any]) -> tuple[float, float] | None:
    """The values of black and white that a checkpoint, which may be a stranger's, says were found."""
    match data.get("span"):
        case (float(low), float(high)) if config.dataset.range == "auto" and -math.inf < low < high < math.inf:
            return low, high
    return None


def _saved(path: Path, checkpoint: str, game: Game) -> dict:
    checkpoints = Checkpoints(path, check=lambda saved: check_sound(saved, game))
    if checkpoint == "best":
        return checkpoints.load_best()
    if checkpoint != "newest":
        return checkpoints.load(path / "checkpoints" / checkpoint)
    saved = checkpoints.load_newest()
    if saved is None:
        raise GantoolError(f"run={path} has no checkpoint yet: train it first, or wait a minute")
    return saved

"""From a composed configuration to the parts of a run: what train, bench and the commands on runs build alike."""

import os
from dataclasses import dataclass
from typing import Any

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf, open_dict

from gantool.config import check
from gantool.data.source import Source
from gantool.data.stream import Stream
from gantool.errors import GantoolError
from gantool.game import Batch, Game, Progress
from gantool.schedules import parse_duration
from gantool.training.ema import EMA
from gantool.training.hardware import Precision, choose_device, keep_freed_pages, set_deterministic
from gantool.training.optimization import PlayerOptimizer
from gantool.training.randomness import seed_everything
from gantool.training.ranks import rank, world
from gantool.training.state import State


@dataclass(frozen=True)
class Setup:
    """A configuration that was checked, and what is cheap to build of it: all of a user's mistakes show here."""

    cfg: DictConfig  # as composed, the data set's channels and classes filled in
    plain: dict[str, Any]  # the same, resolved
    device: torch.device
    precision: Precision
    source: Source
    game: Game

    def duration(self, key: str, *, images_per_epoch: int) -> int:
        """Images in the duration at `key`, 0 for null."""
        node: Any = self.plain
        for part in key.split("."):
            node = node[part]
        per_round = self.plain["trainer"]["batch_size"] * self.game.batches_per_round
        if node is None:
            return 0
        return parse_duration(node, key=key, images_per_epoch=images_per_epoch, images_per_round=per_round)


def set_up(cfg: DictConfig) -> Setup:
    """Checks `cfg`, looks at the data set's files and builds the game with its first weights, on the device.

    Raises GantoolError for every mistake of the user's.
    """
    plain = check(cfg)
    trainer = plain["trainer"]
    device = choose_device(trainer["device"], int(os.environ.get("LOCAL_RANK", "0")))
    precision = Precision.choose(trainer["precision"], device)
    keep_freed_pages()
    set_deterministic(trainer["deterministic"])

    source: Source = make(plain["dataset"]["source"])
    fill_in(cfg, source)
    plain = check(cfg)
    if plain["model"].get("conditional") and not source.num_classes:
        raise GantoolError(
            f"model.conditional=true, but {source.name} has no labels: choose labels for it or another data set"
        )
    seed_everything(trainer["seed"], "weights")
    game: Game = make(plain["model"])
    game.to(device)
    if trainer["channels_last"]:
        game.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch has it, its stubs do not
    return Setup(cfg, plain, device, precision, source, game)


def make(node: dict[str, Any]) -> Any:
    """What a node with `_target_` describes, from plain containers to plain containers."""
    return instantiate(OmegaConf.create(node), _convert_="all")


def fill_in(cfg: DictConfig, source: Source) -> None:
    """Writes what the data set itself decides, its channels and number of classes, into the configuration."""
    classes = cfg.dataset.num_classes
    if classes is not None and classes != source.num_classes:
        raise GantoolError(f"dataset.num_classes={classes}, but {source.name} has {source.num_classes}: leave it out")
    with open_dict(cfg):
        cfg.dataset.channels, cfg.dataset.num_classes = source.channels, source.num_classes


def blank_batch(setup: Setup, count: int = 2) -> Batch:
    """Black images with labels, of the shape that the data will have."""
    source = setup.source
    images = torch.zeros(count, source.channels, source.resolution, source.resolution, device=setup.device)
    labels = torch.zeros(count, dtype=torch.int64, device=setup.device) if source.num_classes else None
    return Batch(images, labels)


def check_shapes(setup: Setup) -> None:
    """Plays the sampler once; raises GantoolError unless the generator makes images of the data's shape."""
    batch = blank_batch(setup)
    modes = {module: module.training for module in setup.game.modules()}
    with torch.no_grad():
        made = setup.game.eval().sample(batch, setup.game.generators).shape[1:]
    for module, training in modes.items():
        module.training = training
    if made != batch.images.shape[1:]:
        want, got = ("x".join(map(str, shape)) for shape in (batch.images.shape[1:], made))
        raise GantoolError(
            f"the generator makes {got} images, {setup.source.name} has {want}: leave model.*.channels and "
            "model.*.resolution to the data set, and choose dataset.resolution"
        )


def make_stream(setup: Setup, image_set: Any) -> Stream:
    """The training images, on this rank."""
    dataset, size = setup.plain["dataset"], setup.plain["trainer"]["batch_size"]
    if size % world():
        raise GantoolError(f"trainer.batch_size={size} cannot be shared by {world()} ranks: choose a multiple")
    return Stream(
        image_set,
        seed=setup.plain["trainer"]["seed"],
        device=setup.device,
        device_resident=dataset["device_resident"],
        flip=dataset["flip"],
        shift=dataset["shift"],
        rotation=dataset["rotation"],
        rank=rank(),
        world=world(),
    )


def make_state(setup: Setup, num_images: int) -> State:
    """The moving parts of a run before its first round. `num_images` in the data set: what an epoch is."""
    plain, game = setup.plain, setup.game
    warmup = setup.duration("optimizer.warmup", images_per_epoch=num_images)
    settings = plain["optimizer"]
    optimizers = {
        name: PlayerOptimizer(
            player.parameters(),
            make(settings[name]),
            make(settings["schedule"]),
            warmup,
            settings["clip_norm"],
            settings["clip_value"],
        )
        for name, player in game.players.items()
    }
    ema = EMA(game.generators, setup.duration("trainer.ema_half_life", images_per_epoch=num_images))
    total = setup.duration("trainer.duration", images_per_epoch=num_images)
    return State(game, ema, optimizers, setup.precision, Progress(total=total), plain)

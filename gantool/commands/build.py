"""From a composed configuration to the parts of a run: what train, bench and the commands on runs build alike."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf, open_dict

from gantool.cli.wording import in_one_line
from gantool.config import check
from gantool.data.source import Source
from gantool.data.stream import Stream
from gantool.data.two_sided import TwoSided, Unpaired
from gantool.errors import GantoolError
from gantool.game import Batch, Game, Progress
from gantool.monitors.histograms import Histograms
from gantool.monitors.samples import SampleGrid
from gantool.monitors.watchdog import Watchdog
from gantool.schedules import parse_duration
from gantool.training.checkpoint import Checkpoints
from gantool.training.ema import EMA
from gantool.training.hardware import Precision, choose_device, keep_freed_pages, set_deterministic
from gantool.training.measurements import Measurements
from gantool.training.optimization import PlayerOptimizer
from gantool.training.randomness import seed_everything
from gantool.training.ranks import rank, world
from gantool.training.rescue import Rescue
from gantool.training.state import State


@dataclass(frozen=True)
class Setup:
    """A configuration that was checked, and what is cheap to build of it: all of a user's mistakes show here."""

    cfg: DictConfig  # as composed, the data set's channels and classes filled in
    plain: dict[str, Any]  # the same, resolved
    device: torch.device
    precision: Precision
    source: Source | TwoSided
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

    Raises GantoolError with every mistake of the user's that can be seen without decoding an image.
    """
    trainer = check(cfg)["trainer"]
    keep_freed_pages()
    mistakes: list[str] = []
    source: Source | TwoSided | None = None
    with noting(mistakes):
        device = choose_device(trainer["device"], int(os.environ.get("LOCAL_RANK", "0")))
        precision = Precision.choose(trainer["precision"], device)
        set_deterministic(trainer["deterministic"])
    with noting(mistakes):
        source = make(check(cfg)["dataset"]["source"])
    if source is not None:
        with noting(mistakes):
            fill_in(cfg, source)
            seed_everything(trainer["seed"], "weights")
            game: Game = make(check(cfg)["model"])
            check_sides(game, source)
            check_shapes(game, source)
    if mistakes:
        raise GantoolError("\n".join(mistakes))
    assert source is not None
    game.to(device)
    if trainer["channels_last"]:
        game.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch has it, its stubs do not
    return Setup(cfg, check(cfg), device, precision, source, game)


@contextmanager
def noting(mistakes: list[str]) -> Iterator[None]:
    """Goes on after a mistake of the user's, with its lines in `mistakes`."""
    try:
        yield
    except (GantoolError, InstantiationException) as error:
        line = in_one_line(error, in_job=True)
        if line is None:
            raise
        mistakes.extend(line.splitlines())


def make(node: dict[str, Any]) -> Any:
    """What a node with `_target_` describes, from plain containers to plain containers."""
    return instantiate(OmegaConf.create(node), _convert_="all")


def make_number(value: Any) -> Any:
    """A number as it is, or the schedule that a node describes."""
    return make(value) if isinstance(value, dict) else value


def fill_in(cfg: DictConfig, source: Source | TwoSided) -> None:
    """Writes what the data set itself decides, its channels and number of classes, into the configuration."""
    classes = cfg.dataset.num_classes
    if classes is not None and classes != source.num_classes:
        raise GantoolError(f"dataset.num_classes={classes}, but {source.name} has {source.num_classes}: leave it out")
    if cfg.model.get("conditional") and not source.num_classes:
        raise GantoolError(
            f"model.conditional=true, but {source.name} has no labels: choose another data set or labels"
        )
    with open_dict(cfg):
        cfg.dataset.channels, cfg.dataset.num_classes = source.channels, source.num_classes


def check_sides(game: Game, source: Source | TwoSided) -> None:
    """Raises GantoolError where a game that translates has no two sides to do it between, or another game has them."""
    if game.translates and not isinstance(source, TwoSided):
        kind = "paired" if game.needs_pairs else "unpaired"
        raise GantoolError(f"this model translates images, and {source.name} has no two sides: use dataset={kind}")
    if isinstance(source, TwoSided) and not game.translates:
        raise GantoolError(
            f"dataset={source.name} has two sides, and this model makes images from noise: choose model=cyclegan or "
            "pix2pix, or dataset=folder dataset.root=FOLDER for one side"
        )
    if game.needs_pairs and isinstance(source, Unpaired):
        raise GantoolError("this model learns from pairs: choose dataset=paired, or model=cyclegan for unpaired images")


def check_shapes(game: Game, source: Source | TwoSided) -> None:
    """Plays the sampler and every turn on black images, in eval mode; raises GantoolError unless the networks fit the
    data and each other."""
    images = torch.zeros(2, source.channels, source.resolution, source.resolution)
    labels = torch.zeros(2, dtype=torch.int64) if source.num_classes else None
    batch = Batch(images, labels, images if game.translates else None)
    shape = "x".join(map(str, images.shape[1:]))
    state = torch.get_rng_state()
    game.eval()
    try:
        with torch.no_grad():
            made = game.sample(batch, game.generators).shape[1:]
        if made != images.shape[1:]:
            raise GantoolError(
                f"the generator makes {'x'.join(map(str, made))} images, {source.name} has {shape}: leave "
                "model.*.channels and model.*.resolution to the data set, and choose dataset.resolution"
            )
        for player in game.players.values():
            player.loss(batch)
    except (RuntimeError, IndexError) as error:
        reason = str(error).splitlines()[0]
        raise GantoolError(
            f"the networks do not fit {shape} images or each other ({reason}): leave channels, resolution and "
            "latent_dim of both as they are; dataset.resolution and model.latent.dim set them"
        ) from error
    finally:
        game.train()
        torch.set_rng_state(state)


def make_stream(setup: Setup, image_set: Any) -> Stream:
    """The training images, on this rank."""
    dataset, size = setup.plain["dataset"], setup.plain["trainer"]["batch_size"]
    if size % world():
        raise GantoolError(f"trainer.batch_size={size} cannot be shared by {world()} ranks: choose a multiple")
    share = size // world()
    part = min(setup.plain["trainer"]["microbatch"] or share, share)
    if 1 in (part, share % part) and any(isinstance(m, torch.nn.BatchNorm1d) for m in setup.game.modules()):
        raise GantoolError("batch norm needs two images at once: raise trainer.batch_size or change trainer.microbatch")
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
            make_number(settings.get("beta2")),
        )
        for name, player in game.players.items()
    }
    half_life = plain["trainer"]["ema_half_life"]
    if isinstance(half_life, str):
        half_life = setup.duration("trainer.ema_half_life", images_per_epoch=num_images)
    ema = EMA(game.generators, make_number(half_life))
    total = setup.duration("trainer.duration", images_per_epoch=num_images)
    return State(game, ema, optimizers, setup.precision, Progress(total=total), plain)


def make_monitors(setup: Setup, data: Stream) -> tuple[SampleGrid, Histograms]:
    """What looks at every run: grids, and histograms of weights and gradients."""
    classes = setup.source.num_classes if setup.plain["model"].get("conditional") else 0
    every = setup.duration("trainer.sample_every", images_per_epoch=data.num_images)
    grid = SampleGrid(data.fixed, interval=every, num_classes=classes)
    every = setup.duration("trainer.histogram_every", images_per_epoch=data.num_images)
    return grid, Histograms(interval=every)


def make_measurements(setup: Setup, state: State, num_images: int) -> Measurements:
    """What the loop measures of itself."""
    every = setup.duration("trainer.log_every", images_per_epoch=num_images)
    return Measurements(state.optimizers, every, nimg=state.progress.nimg, scaler=state.precision.scaler)


def make_rescue(setup: Setup, state: State, checkpoints: Checkpoints) -> Rescue:
    """What is done when the run goes wrong."""
    settings = setup.plain["trainer"]["watchdog"]
    chosen = {key: settings[key] for key in ("action", "max_rollbacks", "rate_factor")}
    return Rescue(state, checkpoints, **chosen)


def make_watchdog(
    setup: Setup, rescue: Rescue, grid: SampleGrid, measurements: Measurements, num_images: int
) -> Watchdog:
    """What tells that the run goes wrong; it remembers in the state."""
    settings = setup.plain["trainer"]["watchdog"]
    return Watchdog(
        grid.batch,
        measurements,
        rescue.state.watch,
        interval=setup.duration("trainer.watchdog.every", images_per_epoch=num_images),
        by_class=bool(setup.plain["model"].get("conditional")),
        **{key: settings[key] for key in ("patience", "diversity", "explosion")},
        act=rescue.act,
        keep=rescue.keep,
    )


def compile_networks(game: Game) -> None:
    """torch.compile in place: names of weights stay, and penalties use the uncompiled forward."""
    for player in game.players.values():
        for network in player.networks:
            network.compile()

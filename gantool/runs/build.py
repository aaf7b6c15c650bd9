"""From a composed configuration to the parts of a run, the same for every command: all wiring happens here."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from omegaconf import DictConfig

from gantool.config import Train, Written, build, drop_inherited, make_absolute, read
from gantool.config.messages import not_a_group
from gantool.config.parts import find, parameters
from gantool.data.source import Source
from gantool.data.stream import Stream, check_moves
from gantool.data.two_sided import TwoSided
from gantool.errors import GantoolError
from gantool.game import Augment, Auxiliary, Game, Loss, Progress, Regularizer
from gantool.launch import local_processes, local_rank, processes
from gantool.randomness import seed_everything
from gantool.ranks import rank, world
from gantool.runs.compatibility import blank, check_memory, check_shapes, check_sides
from gantool.runs.compiling import check_graphs
from gantool.runs.freezing import frozen_parameters
from gantool.runs.scheduled import check_schedules
from gantool.runs.sources import build_source, check_is_source, fill_in
from gantool.schedules import Schedule, parse_duration
from gantool.shapes import sides
from gantool.training.ema import EMA
from gantool.training.hardware import (
    MixedPrecision,
    allow_tf32,
    choose_device,
    exact_float32,
    keep_freed_pages,
    limit_memory,
    set_deterministic,
    to_memory_format,
    total_memory,
)
from gantool.training.optimization import PlayerOptimizer
from gantool.training.placement import place_generators
from gantool.training.state import State


@dataclass(frozen=True)
class Setup:
    """A configuration that was checked, and what is cheap to build of it: all of a user's mistakes show here."""

    cfg: DictConfig  # as composed, the data set's channels and classes filled in
    config: Train  # the same, resolved and typed
    device: torch.device
    precision: MixedPrecision
    source: Source | TwoSided
    game: Game
    frozen: frozenset[str] = frozenset()  # parameters of the game that are not trained

    def images(self, duration: str | None, key: str, *, images_per_epoch: int) -> int:
        """Images in a duration, 0 for none; `key` names it in messages."""
        if duration is None:
            return 0
        per_round = self.config.trainer.batch_size * self.game.batches_per_round
        return parse_duration(duration, key=key, images_per_epoch=images_per_epoch, images_per_round=per_round)


def set_up(cfg: DictConfig, written: Written) -> Setup:
    """Checks `cfg`, looks at the data set's files and builds the game with its first weights, on the device.

    Raises GantoolError with every mistake of the user's that can be seen without decoding an image.
    """
    drop_inherited(cfg, written)
    check_is_source(cfg)
    config = read(cfg, written)
    trainer = config.trainer
    keep_freed_pages()
    exact_float32()
    mistakes: list[str] = []
    device = torch.device("cpu")  # until the one asked for is found
    source: Source | TwoSided | None = None
    with collecting(mistakes):
        device = choose_device(trainer.device, local_rank(), local_processes())
        precision = MixedPrecision(device, trainer.precision)
        set_deterministic(trainer.deterministic)
        if trainer.tf32:
            allow_tf32(device)
        check_graphs(config, device)
        if device.type == "cpu":
            limit_memory()
    with collecting(mistakes):
        source = build_source(config.dataset)
        if config.dataset.channels not in (None, source.channels):
            raise GantoolError(f"dataset.channels={config.dataset.channels}: {source.name} has {source.channels}")
    if source is not None:
        with collecting(mistakes):
            fill_in(cfg, source)
            make_absolute(cfg)
            config = read(cfg, written)
            # Here an epoch and a round have one image; what is wrong at the end itself is told once it is known.
            length = parse_duration(trainer.duration, key="trainer.duration", images_per_epoch=1, images_per_round=1)
            known = len(mistakes)
            with collecting(mistakes):  # the game is built all the same, and tells its own
                check_schedules(config, length)
            seed_everything(trainer.seed, "weights")
            game = build_game(config)
            here = local_processes() if device.type == "cpu" else 1  # that share this memory
            check_memory(game, source, trainer.batch_size, here / processes(), total_memory(device))
            check_sides(game, source)
            check_moves(min(sides(source.resolution)), config.dataset.shift, config.dataset.zoom)
            if len(mistakes) == known:  # a round of numbers that are refused tells nothing of shapes
                check_shapes(game, source)
            frozen = frozen_parameters(game, trainer.freeze or {}, blank(game, source))
    if mistakes:
        raise GantoolError("\n".join(dict.fromkeys(mistakes)))  # a schedule that cannot be built is met twice
    assert source is not None
    game.to(device)
    to_memory_format(game, channels_last=trainer.channels_last)
    if trainer.parallel == "players":
        place_generators(game, device)
    setup = Setup(cfg, config, device, precision, source, game, frozen)
    for look in (build_optimizers, build_average):  # what is wrong with them is told before an image is decoded
        look(setup, num_images=1)
    return setup


@contextmanager
def collecting(mistakes: list[str]) -> Iterator[None]:
    """Goes on after a mistake of the user's, with its lines in `mistakes`."""
    try:
        yield
    except GantoolError as error:
        mistakes.extend(str(error).splitlines())


def build_game(config: Train) -> Game:
    """The game with new weights. Networks are handed latent_dim, resolution, channels and num_classes, the game its
    loss, regularizers, auxiliaries, augmentation, generator_batch and the data's bits, each as far as its signature has
    the name.

    Raises GantoolError for a choice that the game or a network has no parameter for.
    """
    model, dataset, own_batch = config.model, config.dataset, config.trainer.generator_batch
    takes = parameters(find(model.target, "model"))
    added = {
        name: build(part.node, f"regularizer.{name}", kind=Regularizer) for name, part in config.regularizer.items()
    }
    heads = {name: build(part.node, f"auxiliary.{name}", kind=Auxiliary) for name, part in config.auxiliary.items()}
    chosen = {
        "regularizers": (f"regularizer={','.join(added)}", added),
        "auxiliaries": (f"auxiliary={','.join(heads)}", heads),
        "augment": (
            f"augment={config.augment.get('_target_')}",
            build(config.augment, "augment", kind=Augment) if config.augment else None,
        ),
        "generator_batch": (f"trainer.generator_batch={own_batch}", own_batch),
    }
    for parameter, (words, part) in chosen.items():
        if part and parameter not in takes:
            raise GantoolError(f"{words}: {model.target} takes no {parameter}; leave it out")
    shape = {"resolution": dataset.resolution, "channels": dataset.channels, "num_classes": config.num_classes}
    if model.latent is not None:
        shape["latent_dim"] = model.latent.dim
    if model.conditional:
        _check_labels(config)
    parts = {parameter: part for parameter, (_, part) in chosen.items()}
    loss = build(config.loss.node, "loss", kind=Loss)
    game = build(model.node, "model", shape | parts | {"loss": loss, "bits": dataset.bits or 8}, kind=Game)
    game.losses = [loss]
    return game


def _check_labels(config: Train) -> None:
    """Raises GantoolError for a network that cannot be told the labels; a discriminator may leave them to an
    auxiliary."""
    for name in ("generator",) if config.auxiliary else ("generator", "discriminator"):
        node = config.model.node[name]
        if not isinstance(node, dict):
            raise GantoolError(not_a_group(f"model.{name}", node))
        target = node["_target_"]
        known = parameters(find(target, f"model.{name}"))
        if "num_classes" not in known and not any(p.kind is p.VAR_KEYWORD for p in known.values()):
            lacks = f"{target} takes no num_classes, so it cannot be conditioned on labels"
            raise GantoolError(f"model.conditional=true: {lacks}")


def check_batches(setup: Setup) -> None:
    """Raises GantoolError for batches that cannot be shared by the ranks, or are too small for batch norm."""
    trainer = setup.config.trainer
    smallest = setup.game.smallest_batch(trainer.batch_size)
    sizes = {player.batch_size(smallest) for player in setup.game.players.values()}
    if min(sizes) < world():
        few = f"batches of {min(sizes)} images cannot be shared by {world()} ranks"
        raise GantoolError(f"{few}: raise trainer.batch_size")
    shares = {share for size in sizes for share in (size // world(), -(-size // world()))}
    parts = {len(part) for rows in shares for part in torch.arange(rows).split(trainer.microbatch or rows)}
    if 1 in parts and any(isinstance(m, torch.nn.BatchNorm1d) for m in setup.game.modules()):
        raise GantoolError("batch norm needs two images at once: raise trainer.batch_size or change trainer.microbatch")


def build_stream(setup: Setup, image_set: Any) -> Stream:
    """The training images, on this rank."""
    dataset, trainer = setup.config.dataset, setup.config.trainer
    how = dataset.model_dump(include={"device_resident", "zoom", "flip", "shift", "rotation"})
    return Stream(image_set, seed=trainer.seed, device=setup.device, rank=rank(), world=world(), **how)


def build_state(setup: Setup, num_images: int) -> State:
    """The moving parts of a run before its first round. `num_images` in the data set: what an epoch is."""
    total = setup.images(setup.config.trainer.duration, "trainer.duration", images_per_epoch=num_images)
    check_schedules(setup.config, total)
    config = setup.config.model_dump(by_alias=True, exclude_unset=True)
    setup.game.requires_grad_(False)  # the update of a player frees its own
    average, optimizers = build_average(setup, num_images), build_optimizers(setup, num_images)
    return State(setup.game, average, optimizers, setup.precision, Progress(total=total), config)


def build_average(setup: Setup, num_images: int) -> EMA:
    """The averaged generators."""
    trainer = setup.config.trainer
    half_life = number(trainer.ema_half_life, "trainer.ema_half_life")
    if isinstance(half_life, str):
        half_life = setup.images(half_life, "trainer.ema_half_life", images_per_epoch=num_images)
    return EMA(setup.game.generators, half_life, average_buffers=trainer.ema_buffers == "average")


def build_optimizers(setup: Setup, num_images: int) -> dict[str, PlayerOptimizer]:
    """By player."""
    settings = setup.config.optimizer
    kept = {id(parameter) for name, parameter in setup.game.named_parameters() if name in setup.frozen}
    return {
        name: PlayerOptimizer(
            [parameter for parameter in player.parameters() if id(parameter) not in kept],
            build({**settings.of(name), "_partial_": True}, f"optimizer.{name}"),
            build(settings.schedule, "optimizer.schedule", kind=Schedule),
            setup.images(settings.warmup, "optimizer.warmup", images_per_epoch=num_images),
            settings.clip_norm,
            settings.clip_value,
            number(settings.beta2, "optimizer.beta2"),
            player.begins_anew,
        )
        for name, player in setup.game.players.items()
    }


def number(value: Any, key: str) -> Any:
    """A value as it is, or the schedule that a node describes."""
    return build(value, key, kind=Schedule) if isinstance(value, dict) else value

"""trainer.compile: what of a game torch compiles, or whether its updates can be CUDA graphs."""

from collections.abc import Iterator
from typing import Literal

import torch

from gantool.config import Train
from gantool.config.parts import find, nodes
from gantool.config.trust import is_part
from gantool.errors import GantoolError
from gantool.game import Game
from gantool.runs.scheduled import is_schedule

# The groups whose parts take part in the passes of an update; of them, the parts that count rounds in Python.
_PLAYING = ("model", "loss", "regularizer", "auxiliary", "augment")
_COUNTING = ("gantool.consistency.LeCam", "gantool.augment.InstanceNoise")
_OUTSIDE = ("optimizer.", "augment.probability")  # where schedules are asked before the passes


def check_graphs(config: Train, device: torch.device) -> None:
    """Raises GantoolError where trainer.compile=graphs cannot act: a graph repeats kernels with the same numbers, of
    fixed shapes, at fixed places in memory."""
    if config.trainer.compile == "graphs" and (reason := next(_against(config, device), None)):
        raise GantoolError(f"trainer.compile=graphs {reason}")


def _against(config: Train, device: torch.device) -> Iterator[str]:
    otherwise = "take trainer.compile=true"
    trainer, plain = config.trainer, config.model_dump(by_alias=True, exclude_unset=True)
    if device.type != "cuda":
        yield f"needs a CUDA device, not {device}: {otherwise}"
    if trainer.parallel != "data":
        yield f"does not go with trainer.parallel={trainer.parallel}: {otherwise}"
    if trainer.precision == "fp16":
        yield "does not go with trainer.precision=fp16, whose scale moves: take bf16, or trainer.compile=true"
    if trainer.sync_batch_norm:
        yield f"does not go with trainer.sync_batch_norm=true: {otherwise}"
    if config.model.node.get("growth"):
        yield f"does not go with a model that grows: {otherwise}"
    if config.model.target != "gantool.games.gan.GAN":
        yield f"does not go with {config.model.target}, whose updates remember others: {otherwise}"
    for path, node in nodes({group: plain.get(group) for group in (*_PLAYING, "optimizer")}):
        target = node["_target_"]
        if is_schedule(find(target, path)) and not path.startswith(_OUTSIDE):
            yield f"repeats the same numbers: set {path} to a number, or {otherwise}"
        if not is_part(target) or target in _COUNTING:
            yield f"repeats the same numbers, and {target} may have others in each round: leave it out, or {otherwise}"


def compile_game(game: Game) -> None:
    """Compiles networks and losses in place: names of weights stay, and penalties use the uncompiled forward, as a
    compiled one cannot be differentiated twice."""
    for network in game.networks().values():
        network.compile()
    for loss in game.losses:
        loss.discriminator = torch.compile(loss.discriminator)
        loss.generator = torch.compile(loss.generator)


def forget_compiled(how: Literal[False, True, "graphs"]) -> None:
    """Compiles anew from now on: else a second size of batches is compiled for all sizes, which are slower."""
    if how is True:
        torch.compiler.reset()

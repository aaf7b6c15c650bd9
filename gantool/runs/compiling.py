"""trainer.compile: what of a game torch compiles, and CUDA graphs of that."""

from typing import Literal

import torch

from gantool.config import Train
from gantool.errors import GantoolError
from gantool.game import Game


def check_graphs(config: Train, device: torch.device) -> None:
    """Raises GantoolError where trainer.compile=graphs cannot act: a graph repeats kernels of fixed shapes at fixed
    places in memory."""
    reasons = {
        f"needs a CUDA device, not {device}": device.type != "cuda",
        f"does not go with trainer.parallel={config.trainer.parallel}": config.trainer.parallel != "data",
        "does not go with a model that grows": bool(config.model.node.get("growth")),
    }
    for reason, found in reasons.items():
        if found and config.trainer.compile == "graphs":
            raise GantoolError(f"trainer.compile=graphs {reason}: take trainer.compile=true")


def compile_game(game: Game, how: Literal[False, True, "graphs"]) -> None:
    """Compiles networks and losses in place as `how` says: names of weights stay, and penalties use the uncompiled
    forward, as a compiled one cannot be differentiated twice.

    With 'graphs' each of their calls in a round, forwards and backwards, is a CUDA graph of its own. What a call made
    lies in the graphs' memory, and is overwritten in the next round.
    """
    options = {"mode": "reduce-overhead", "dynamic": False} if how == "graphs" else {}
    for network in game.networks().values() if how else ():
        network.compile(**options)
    for loss in game.losses if how else ():
        loss.discriminator = torch.compile(loss.discriminator, **options)
        loss.generator = torch.compile(loss.generator, **options)


def forget_compiled(how: Literal[False, True, "graphs"]) -> None:
    """Compiles anew from now on: else a second size of batches is compiled for all sizes, which are slower."""
    if how:
        torch.compiler.reset()

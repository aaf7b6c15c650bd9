"""trainer.parallel=players: the generators have a device of their own, and images cross the border.

What generators are given goes to their device and what they make comes back, by hooks that a copy of the network (the
averaged one) has too; losses, penalties and data stay with the discriminators.
"""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from gantool.errors import GantoolError
from gantool.game import Game
from gantool.randomness import use


def place_generators(game: Game, home: torch.device) -> None:
    """Moves the generators to the GPU after `home`, where the discriminators stay. Raises GantoolError where there is
    none."""
    count = torch.cuda.device_count() if home.type == "cuda" else 0
    if count < 2:
        found = "one GPU" if count else "no GPU" if home.type == "cuda" else f"device {home.type}"
        raise GantoolError(f"trainer.parallel=players needs two GPUs, and there is {found}: take trainer.parallel=data")
    for network in game.generators.values():
        place(network, torch.device("cuda", ((home.index or 0) + 1) % count), home)


def place(network: nn.Module, device: torch.device, home: torch.device) -> None:
    """Moves a network to `device`; who calls it on `home` sees nothing of it."""
    network.to(device)
    use(device)
    network.register_forward_pre_hook(partial(_enter, device), with_kwargs=True)
    network.register_forward_hook(partial(_leave, home))


def _enter(device: torch.device, network: nn.Module, args: Any, kwargs: Any) -> Any:
    return tree_map_only(Tensor, lambda tensor: tensor.to(device), (args, kwargs))


def _leave(home: torch.device, network: nn.Module, args: Any, made: Any) -> Any:
    return tree_map_only(Tensor, lambda tensor: tensor.to(home), made)

"""What is about to be trained: a table of every network's layers, and the composed loss in one line."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from gantool.batch import Batch
from gantool.game import Game, Outcome
from gantool.randomness import forked

_MAX_ROWS = 24  # a network of more layers is shown by its blocks


def summary(game: Game, batch: Batch, *, loss_name: str = "") -> tuple[str, str]:
    """Tables and line, as text for a terminal; `batch` is a few real images. Call it before the networks are compiled.

    Plays every player's turn once in eval mode, so any game can be shown; weights, buffers, gradients and random
    generators stay as they are. The game is left in training mode.
    """
    networks = game.networks()
    device = batch.images.device
    # Penalties differentiate by their input, so gradients are on; nothing calls backward.
    game.eval()
    with forked(device), torch.enable_grad(), _shapes(networks) as shapes:
        outcomes = {name: player.loss(batch) for name, player in game.players.items()}
    game.train()
    tables = [_table(name, network, shapes) for name, network in networks.items()]
    return "\n\n".join(tables), _loss_line(game, outcomes, loss_name)


@contextmanager
def _shapes(networks: dict[str, nn.Module]) -> Iterator[dict[nn.Module, tuple[torch.Size | None, torch.Size]]]:
    """Fills in, for each module at its first call, the shapes of its first input (if a tensor) and of its output."""
    shapes = {}

    def note(module: nn.Module, args: tuple, output: object) -> None:
        if isinstance(output, Tensor) and module not in shapes:
            before = args[0].shape if args and isinstance(args[0], Tensor) else None
            shapes[module] = (before, output.shape)

    hooks = [module.register_forward_hook(note) for network in networks.values() for module in network.modules()]
    try:
        yield shapes
    finally:
        for hook in hooks:
            hook.remove()


def _table(name: str, network: nn.Module, shapes: dict[nn.Module, tuple[torch.Size | None, torch.Size]]) -> str:
    def tells(module: nn.Module) -> bool:
        """Whether a layer holds weights or changes the shape: activations and dropout would only fill the table."""
        before, after = shapes[module]
        return before != after or next(module.parameters(), None) is not None

    called = {path: module for path, module in network.named_modules() if path and module in shapes}
    layers = {path: m for path, m in called.items() if (is_parametrized(m) or not list(m.children())) and tells(m)}
    if len(layers) > _MAX_ROWS:
        layers = {path: module for path, module in called.items() if "." not in path}
    rows = [(f"  {path}", _kind(m), "x".join(map(str, shapes[m][1][1:])), _count(m)) for path, m in layers.items()]
    rows = [(name, type(network).__name__, "output", "parameters"), *rows, ("  total", "", "", _count(network))]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c:>{widths[2]}}  {d:>{widths[3]}}" for a, b, c, d in rows)


def _kind(module: nn.Module) -> str:
    """The class as PyTorch names it, with what reparametrises its weights: 'Conv2d (SpectralNorm)'."""
    name = type(module).__name__
    if not is_parametrized(module):
        return name
    lists = module.get_submodule("parametrizations").children()
    parts = {type(part).__name__.strip("_") for parts in lists for part in parts.children()}
    return f"{name.removeprefix('Parametrized')} ({', '.join(sorted(parts))})"


def _count(module: nn.Module) -> str:
    return f"{sum(p.numel() for p in module.parameters()):,}"


def _loss_line(game: Game, outcomes: dict[str, Outcome], loss_name: str) -> str:
    """'loss wgan-gp: discriminator (5 updates a round) minimises adversarial + gradient_penalty; generator ...'."""
    sides = []
    for name, player in game.players.items():
        often = f" ({player.updates} updates a round)" if player.updates > 1 else ""
        sides.append(f"{name}{often} minimises {' + '.join(outcomes[name].terms)}")
    return f"loss {loss_name}".rstrip() + ": " + "; ".join(sides)

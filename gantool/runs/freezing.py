"""Which parameters keep their values: those of a network's first blocks (FreezeD, Mo 2020)."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import torch
from torch import nn

from gantool.batch import Batch
from gantool.errors import GantoolError, did_you_mean
from gantool.game import Game, Progress


def frozen_parameters(game: Game, freeze: Mapping[str, int], batch: Batch) -> frozenset[str]:
    """The names in `game` of the parameters of each network's first so many blocks; `batch` are images it can be played
    with. Raises GantoolError for a network that the game does not have, and where nothing would be left to train."""
    if not freeze:
        return frozenset()
    networks = game.networks()
    if unknown := [name for name in freeze if name not in networks]:
        near = did_you_mean(unknown[0], networks)
        raise GantoolError(f"trainer.freeze.{unknown[0]}: no such network{near}; there are {', '.join(networks)}")
    order = _order(game, batch)
    names = {id(parameter): name for name, parameter in game.named_parameters()}
    frozen: set[str] = set()
    for network, count in freeze.items():
        found = list(_blocks(networks[network], order))
        if count >= len(found):
            raise GantoolError(
                f"trainer.freeze.{network}={count}: it has {len(found)} blocks, and at least one should be trained"
            )
        frozen |= {names[id(p)] for block in found[:count] for module in block for p in module.parameters()}
    return frozenset(frozen)


def _order(game: Game, batch: Batch) -> list[nn.Module]:
    """The modules with parameters of their own, as they are first called when the game is played, of a growing one at
    its end."""
    called: dict[nn.Module, None] = {}
    hooks = [
        module.register_forward_hook(lambda module, *words: called.setdefault(module))
        for module in game.modules()
        if next(module.parameters(recurse=False), None) is not None
    ]
    before, state = game.progress, torch.get_rng_state()
    game.eval()
    game.begin_round(replace(Progress(), nimg=1, total=1))
    try:
        for player in game.players.values():
            player.loss(batch)
    finally:
        game.begin_round(before)
        game.train()
        torch.set_rng_state(state)
        for hook in hooks:
            hook.remove()
    return list(called)


def _blocks(network: nn.Module, order: list[nn.Module]) -> Iterator[list[nn.Module]]:
    """A network's blocks, the first one first: each layer with weights, or block of a list of them, and what follows it
    without any (a norm); embeddings of labels go with what follows them."""
    places = {id(module): place for place, module in enumerate(order)}
    entries: list[tuple[int, nn.Module]] = []
    for child in network.children():
        for entry in child.children() if isinstance(child, nn.Sequential | nn.ModuleList) else [child]:
            if seen := [places[id(module)] for module in entry.modules() if id(module) in places]:
                entries.append((min(seen), entry))
    block: list[nn.Module] = []
    for _, entry in sorted(entries, key=lambda one: one[0]):
        if _has_weights(entry) and any(map(_has_weights, block)):
            yield block
            block = []
        block = [*block, entry]
    yield block


def _has_weights(entry: nn.Module) -> bool:
    tables = [table for table in entry.modules() if isinstance(table, nn.Embedding)]
    inside = {id(weight) for table in tables for weight in table.parameters()}  # spectral norm keeps it in a child
    return any(parameter.dim() > 1 and id(parameter) not in inside for parameter in entry.parameters())

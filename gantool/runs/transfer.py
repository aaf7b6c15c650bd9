"""A new run that begins with trained networks: what fits by name and shape is taken over, and told."""

import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gantool.config import Train
from gantool.config.composed import find_run
from gantool.data.files import few
from gantool.errors import GantoolError
from gantool.folder import checkpoints_in
from gantool.game import Game
from gantool.paths import expanded
from gantool.runs.build import Setup
from gantool.runs.hub import NAME, find_snapshot, is_on_hub
from gantool.runs.snapshot import read_snapshot
from gantool.runs.spectral import TRANSPOSED, iterate_anew, left_vector, normalised, plain_names
from gantool.training.checkpoint import Checkpoints, load
from gantool.training.state import State

_LISTED = 4  # tensors of a network that are named one by one
_SIZES = ("channels", "num_classes", "latent_dim")

Weights = Mapping[str, Tensor]
Pairs = Mapping[tuple[int, int], str]  # what a size was and is, and which size it is


@dataclass(frozen=True)
class Origin:
    """Trained weights: those of the networks in training, and the averaged generators'."""

    name: str
    networks: Weights  # by the network's name: generator.layers.0.weight
    averaged: Weights
    sizes: Mapping[str, int]  # of _SIZES, as far as known


def check_source(setup: Setup, run_dir: Path) -> None:
    """Raises GantoolError where the run is to begin from what is no run, checkpoint or snapshot, or does not fit; one
    that is under way no longer asks."""
    if setup.config.init is not None and not checkpoints_in(run_dir):
        _take_all(setup.config.init, deepcopy(setup.game), setup.config)


def begin_from(source: str, state: State, config: Train) -> str:
    """Puts what fits of a run (its newest checkpoint), a checkpoint file or a snapshot into the networks and averages
    of `state`; returns a table of what was taken and what was not.

    Of a snapshot, that is the generators. Raises GantoolError where there is none of these, or next to nothing fits.
    """
    rows, origin, pairs = _take_all(source, state.game, config)
    for name, network in state.ema.generators.named_children():
        _take(_part(origin.averaged, name), network, pairs)
    return "\n".join(rows)


def _take_all(source: str, game: Game, config: Train) -> tuple[list[str], Origin, Pairs]:
    """Puts what fits into the networks of `game`; returns lines that say what, and what averages are taken by."""
    origin = _read(source)
    latent = config.model.latent
    sizes = {"channels": config.dataset.channels or 0, "num_classes": config.num_classes}
    sizes |= {"latent_dim": latent.dim} if latent else {}
    pairs = {(origin.sizes[key], sizes[key]): key for key in _SIZES if origin.sizes.get(key) and sizes.get(key)}
    rows, total = [f"init={source}: from {origin.name}"], 0
    for name, network in game.networks().items():
        taken, line = _take(_part(origin.networks, name), network, pairs)
        rows, total = [*rows, f"  {name:<14} {line}"], total + taken
    if 100 * total < sum(parameter.numel() for parameter in game.parameters()):  # a bias fits anything
        raise GantoolError(f"init={source}: its weights do not fit these networks in name and shape; leave it out")
    return rows, origin, pairs


def _read(source: str) -> Origin:
    path = expanded(source)
    if path.suffix == ".safetensors" or (path / NAME).is_file() or is_on_hub(source):
        weights, config, _ = read_snapshot(find_snapshot(source))
        sizes = {**config["shape"], **_whole_numbers({"latent_dim": config["parts"].get("latent", {}).get("dim")})}
        return Origin("a snapshot, which has no discriminator", weights, weights, sizes)
    if path.suffix == ".pt":
        saved = load(path)
    else:
        run = find_run(source, "init", "is neither a run folder nor a snapshot")
        saved = Checkpoints(run).load_newest()
        if saved is None:
            raise GantoolError(f"init={source} has no checkpoint yet: train it first")
    match saved:
        case {"game": dict(game), "ema": dict(averaged), "progress": {"nimg": int(nimg)}, "config": dict(config)}:
            networks = {name.removeprefix("generators."): value for name, value in game.items()}
            return Origin(f"the state at {nimg / 1000:g} kimg", networks, averaged, _sizes(config))
    raise GantoolError(f"init={source}: it is not the checkpoint of a run")


def _sizes(config: Mapping[str, Any]) -> dict[str, int]:
    match config:
        case {"dataset": dict(dataset), "model": dict(model)}:
            latent = model.get("latent")
            classes = dataset.get("num_classes") if model.get("conditional") else None
            dim = latent.get("dim") if isinstance(latent, dict) else None
            return _whole_numbers({"channels": dataset.get("channels"), "num_classes": classes, "latent_dim": dim})
    return {}


def _whole_numbers(values: Mapping[str, Any]) -> dict[str, int]:
    return {key: value for key, value in values.items() if isinstance(value, int)}


def _part(weights: Weights, name: str) -> dict[str, Tensor]:
    """The weights of one network, as its own state_dict names them."""
    own = {key.removeprefix(f"{name}."): value for key, value in weights.items() if key.startswith(f"{name}.")}
    return {key: value for key, value in own.items() if isinstance(value, Tensor)}


@torch.no_grad()
def _take(old: dict[str, Tensor], network: nn.Module, pairs: Pairs) -> tuple[int, str]:
    """Copies what fits into `network`; how many parameters came, and the line that says so."""
    own = plain_names({key: value for key, value in network.state_dict(keep_vars=True).items() if value.dim()})
    old = dict(_aligned(plain_names(old), own))
    came, new, adapted, divided, anew = 0, [], [], 0, []
    for key, value in own.items():
        given, how = old.get(key), ""
        if given is not None:
            spectral = left_vector(key) in old
            if spectral and left_vector(key) not in own:
                given, divided = normalised(key, old, network), divided + 1
            given, how = _fitting(given, value, pairs, _summed(key, value, network))
            if given is not None and left_vector(key) in own and (how or not spectral):
                anew.append(key)
        if given is not None:
            value.copy_(given)
        if not isinstance(value, nn.Parameter):
            continue
        came += 0 if given is None else value.numel()
        if how:
            adapted.append(f"{key} ({how})")
        if given is None:
            there = f" for {tuple(old[key].shape)}" if key in old else ""
            new.append(f"{key} {tuple(value.shape)}{there}")
    for key in anew:
        iterate_anew(key, network)
    total = sum(parameter.numel() for parameter in network.parameters())
    told = [f"{came:,} of {total:,} parameters taken"]
    told += [f"{divided} weights divided by their spectral norms"] if divided else []
    told += [f"{len(anew)} spectral norms recomputed"] if anew else []
    told += [f"{title}: {few(names, _LISTED)}" for title, names in (("adapted", adapted), ("new", new)) if names]
    return came, "; ".join(told)


def _aligned(old: dict[str, Tensor], own: Weights) -> Iterator[tuple[str, Tensor]]:
    """The old weights under the names that they have here: the layers of a network for another resolution are counted
    from its start or from its end, whichever lets more of them fit."""
    for container in {_place(key)[0] for key in old}:
        inside = {key: value for key, value in old.items() if _place(key)[0] == container}
        ends = [max((_place(key)[1] for key in keys if _place(key)[0] == container), default=0) for keys in (old, own)]
        shifts = {0, ends[1] - ends[0]} if container else {0}
        moved = [{_shifted(key, shift): value for key, value in inside.items()} for shift in sorted(shifts, key=abs)]
        yield from max(moved, key=lambda names: _fit(names, own)).items()


def _place(key: str) -> tuple[str, int]:
    """'layers.3.weight' lies in ('layers', 3); ('', 0) for what is in no list of layers."""
    found = re.match(r"(.*?)\.(\d+)\.", key)
    return (found[1], int(found[2])) if found else ("", 0)


def _shifted(key: str, shift: int) -> str:
    return re.sub(r"\.(\d+)\.", lambda found: f".{int(found[1]) + shift}.", key, count=1) if shift else key


def _fit(names: Weights, own: Weights) -> int:
    return sum(value.numel() for key, value in names.items() if key in own and own[key].shape == value.shape)


def _summed(key: str, weight: Tensor, network: nn.Module) -> int | None:
    """The dimension of a weight, given by its plain name, that its layer adds up over: that of its inputs."""
    if weight.dim() < 2:
        return None
    layer = dict(network.named_modules()).get(key.rpartition(".")[0])  # None: a part of another parametrization
    return 0 if isinstance(layer, TRANSPOSED) else 1


def _fitting(
    old: Tensor, own: Tensor, pairs: Mapping[tuple[int, int], str], summed: int | None
) -> tuple[Tensor | None, str]:
    """The old weights in the new shape, and how they were adapted; None where they do not fit. Other channels get the
    mean of the old ones, along the dimension that is `summed` so that the sum stays (a discriminator's first layer, and
    a translator's); of other classes and latents, the first ones that both have are taken."""
    if old.shape == own.shape:
        return old, ""
    differ = [dim for dim, (a, b) in enumerate(zip(old.shape, own.shape, strict=False)) if a != b]
    if old.dim() != own.dim() or len(differ) != 1:
        return None, ""
    [dim] = differ
    before, now = old.shape[dim], own.shape[dim]
    kind = pairs.get((before, now))
    if kind is None:
        return None, ""
    if kind == "channels":
        factor = before / now if dim == summed else 1.0
        return (old.float().mean(dim, keepdim=True) * factor).expand(own.shape), f"{before} to {now} channels"
    made = own.detach().clone()
    both = min(before, now)
    made.narrow(dim, 0, both).copy_(old.narrow(dim, 0, both))
    return made, f"the first {both} of {before} {kind.replace('num_', '').replace('latent_dim', 'latent numbers')}"

"""From a composed configuration to the typed one that the code uses; every mistake that can be seen is told at once."""

import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException
from pydantic import ValidationError

from gantool.config.leaves import leaves
from gantool.config.messages import NAMED, in_words
from gantool.config.parts import build, find, inherited, mistakes, nodes, parameters
from gantool.config.schema import RecipeConfig, Train, WatchdogConfig, owned
from gantool.config.written import Written
from gantool.errors import GantoolError, did_you_mean

log = logging.getLogger(__name__)

_ROLLBACK = ("max_rollbacks", "rate_factor")  # keys of the watchdog that a rollback alone reads
_BETAS = ("recipe.betas", "optimizer.betas", "optimizer.generator.betas", "optimizer.discriminator.betas")
_KEPT = "to keep what is its parent's, take **settings in its __init__ and hand them to super().__init__(**settings)"
_NORM = re.compile(r"\$\{norm:([^}]*)\}")  # see resolvers.norm


def resolve(cfg: DictConfig) -> dict[str, Any]:
    """The configuration as plain containers; raises GantoolError for a ${...} or ??? that has no value."""
    try:
        plain = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise GantoolError(f"{error.full_key}: {str(error).splitlines()[0]}") from error
    except RecursionError:
        raise GantoolError("a ${...} in the configuration refers to itself") from None
    assert isinstance(plain, dict)
    for path, value in leaves(plain).items():
        for number in value if isinstance(value, list) else [value]:
            if isinstance(number, int) and abs(number) > 2**53:
                raise GantoolError(f"{path}={number}: too large a number")
    return {str(key): value for key, value in plain.items()}


def read(cfg: DictConfig, written: Written | None = None) -> Train:
    """The typed configuration of a run; `written` are the keys that the user wrote.

    Raises GantoolError with a line for every mistake.
    """
    plain, written = resolve(cfg), written or Written()
    for group in NAMED:
        parts = plain.get(group)
        if target := isinstance(parts, dict) and parts.get("_target_"):
            raise GantoolError(f"{group}: its parts have names: put one before _target_, mine: {{_target_: {target}}}")
    config, lines = None, []
    try:
        config = Train.model_validate(plain)
    except ValidationError as wrong:
        lines = list(in_words(wrong.errors(), cfg, plain))
    idle = {} if config is None else _idle(cfg, config)
    lines += [*_unread(cfg, plain, written, idle), *_in_nodes(plain, written)]
    if config is not None:
        lines += _without_effect(config, written, idle)
    if lines or config is None:
        raise GantoolError("\n".join(dict.fromkeys(lines)))
    return config


def drop_inherited(cfg: DictConfig, written: Written) -> None:
    """Leaves out, of every node whose `_target_` the user wrote, the keys that came with another class and that this
    one does not take; says which. A key that the user wrote stays, and is a mistake if it is unknown."""
    for path, node in list(nodes(resolve(cfg))):
        if not written.has(f"{path}._target_"):
            continue
        try:
            known = parameters(target := find(node["_target_"], path))
        except GantoolError:
            continue  # read says so
        if any(p.kind is p.VAR_KEYWORD for p in known.values()):
            continue
        strange = [key for key in node if key not in known and not key.startswith("_") and key not in owned(path)]
        dropped = [key for key in strange if not written.has(f"{path}.{key}")]
        place = OmegaConf.select(cfg, path)
        with open_dict(cfg):
            for key in dropped:
                del place[key]
        if dropped:
            kept = f"; {', '.join(own)}: {_KEPT}" if (own := inherited(target, dropped)) else ""
            log.info("%s: %s takes no %s; left out%s", path, node["_target_"], ", ".join(dropped), kept)


def _read_keys(values: Mapping[str, Any], norm: object, idle: Iterable[str]) -> set[str]:
    """The keys that others among `values` (as composed) read as ${key}, directly or through keys of the recipe; what is
    `idle` reads none. `norm`: recipe.discriminator_norm, which is read where it is one of those that are taken."""
    waiting = [key for key in values if not _within(key, ["recipe", *idle])]
    read: set[str] = set()
    while waiting:
        text = str(values[waiting.pop()])
        found = set(re.findall(r"\$\{([\w.-]+)\}", text))
        found |= {"recipe.discriminator_norm" for names in _NORM.findall(text) if norm in names.split(",")}
        waiting += [key for group in found - read for key in values if _within(key, [group])]
        read |= found
    return read


def _within(key: str, groups: Iterable[str]) -> bool:
    """True where `key` is one of `groups` or lies in one of them."""
    return any(f"{key}.".startswith(f"{group}.") for group in groups)


def _unread(cfg: DictConfig, plain: dict[str, Any], written: Written, idle: Iterable[str]) -> Iterator[str]:
    """A line for each key of the recipe that was typed, or is none of gantool's, and that nothing chosen follows."""
    recipe = plain.get("recipe")
    if not isinstance(recipe, dict):
        return
    values = leaves(OmegaConf.to_container(cfg))
    read = _read_keys(values, recipe.get("discriminator_norm"), idle)
    for key in recipe:
        path, known = f"recipe.{key}", key in RecipeConfig.model_fields
        if path not in read and (not known or any(_within(typed, [path]) for typed in written.typed)):
            near = "" if known else did_you_mean(key, RecipeConfig.model_fields)
            why = "no chosen part reads it: set the key that it is for"
            for place, text in values.items() if key == "discriminator_norm" else ():
                if names := _NORM.search(str(text)):
                    why = f"{place} takes only {names[1]} from it: set {place}={recipe[key]}"
            yield f"{path} has no effect{near}, as {why}, or leave it out"


def _idle(cfg: DictConfig, config: Train) -> dict[str, str]:
    """The keys, and groups of keys, that other settings make idle, each with the reason and the fix."""
    values, action = leaves(OmegaConf.to_container(cfg)), config.trainer.watchdog.action
    silent = {"off": WatchdogConfig.model_fields.keys() - {"action"}, "rollback": ()}.get(action, _ROLLBACK)
    why = f"with trainer.watchdog.action={action}: leave it out, or set another action"
    found = {f"trainer.watchdog.{key}": why for key in silent}
    if not config.augment:
        places = [key for key in values if key.endswith(".before_augment")]
        found |= dict.fromkeys(places, "with augment=none: leave it out, or choose an augment")
    if config.trainer.generator_batch and config.model.node.get("reuse_fakes"):
        why = "with trainer.generator_batch, which draws new images: leave it out, or set trainer.generator_batch=null"
        found["model.reuse_fakes"] = why
    found |= _idle_batch_size(config)
    for name, part in config.auxiliary.items():
        if part.target == "gantool.auxiliaries.Information" and part.node.get("transform") is None:
            why = f"without auxiliary.{name}.transform: leave it out, or choose auxiliary=invariant-information"
            found[f"auxiliary.{name}.invariance_weight"] = why
    if not config.score:
        found |= dict.fromkeys(("features", "monitor.scores"), "with score=none: choose a score, or leave it out")
    for key in cfg.optimizer:
        own = [f"optimizer.{player}.{key}" for player in ("generator", "discriminator")]
        if all(name in values and f"${{optimizer.{key}}}" not in str(values[name]) for name in own):
            found[f"optimizer.{key}"] = f"where both players have one of their own: set {' and '.join(own)}"
    return found


def _idle_batch_size(config: Train) -> dict[str, str]:
    """What `_idle` says of trainer.batch_size where a growing model has a size of its own at every resolution."""
    growth = config.model.node.get("growth")
    if not isinstance(growth, dict) or growth.get("_target_") != "gantool.growth.Progressive":
        return {}
    try:
        follows = not build(growth, "model.growth", {"resolution": config.dataset.resolution}).smallest_batch(0)
    except GantoolError:  # the game says it
        return {}
    if follows:
        return {}
    last = f"model.growth.batch_sizes.{max(map(int, growth['batch_sizes']))}"
    return {"trainer.batch_size": f"where every resolution has its own batch size: leave it out, or set {last}=null"}


def _without_effect(config: Train, written: Written, idle: Mapping[str, str]) -> Iterator[str]:
    """A line for each setting that was typed and that another one makes idle."""
    for key in sorted(written.typed):
        yield from (f"{key} does nothing {why}" for group, why in idle.items() if _within(key, [group]))
        if (
            key in _BETAS
            and config.optimizer.beta2 is not None
            and not written.typed & {"recipe.beta2", "optimizer.beta2"}
        ):
            yield f"{key}: its second number does nothing with optimizer.beta2: set that too, or optimizer.beta2=null"


def _in_nodes(plain: dict[str, Any], written: Written) -> Iterator[str]:
    """A line for each mistake in a node, but once for a node that stands in several places."""
    seen = set()
    for path, node in [*nodes(plain), *_players(plain)]:
        for key, line in mistakes(path, node, owned(path)):
            about = (str(node["_target_"]), key, line.partition(": ")[2])
            if about not in seen:
                seen.add(about)
                yield line + _preset(path, key, written)


def _players(plain: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The arguments that one player's optimizer has of its own."""
    optimizer = plain.get("optimizer", {})
    for player in ("generator", "discriminator"):
        if isinstance(optimizer, dict) and isinstance(optimizer.get(player), dict) and "_target_" in optimizer:
            yield f"optimizer.{player}", {"_target_": optimizer["_target_"], **optimizer[player]}


def _preset(path: str, key: str, written: Written) -> str:
    """Where a key comes from that the user did not write."""
    if written.experiment is None or key == "_target_" or written.has(f"{path}.{key}"):
        return ""
    return (
        f"; experiment={written.experiment} sets it, for a part that another choice has replaced: leave one of them out"
    )

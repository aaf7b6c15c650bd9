"""From a composed configuration to the typed one that the code uses; every mistake that can be seen is told at once."""

import logging
import re
from collections.abc import Iterator
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException
from pydantic import ValidationError

from gantool.config.leaves import leaves
from gantool.config.messages import NAMED, in_words
from gantool.config.parts import find, mistakes, nodes, parameters
from gantool.config.schema import RecipeConfig, Train, owned
from gantool.config.written import Written
from gantool.errors import GantoolError, did_you_mean

log = logging.getLogger(__name__)

_ROLLBACK = ("trainer.watchdog.max_rollbacks", "trainer.watchdog.rate_factor")  # keys of a rollback alone


def resolve(cfg: DictConfig) -> dict[str, Any]:
    """The configuration as plain containers; raises GantoolError for a ${...} or ??? that has no value."""
    try:
        plain = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise GantoolError(f"{error.full_key}: {str(error).splitlines()[0]}") from error
    except RecursionError:
        raise GantoolError("a ${...} in the configuration leads back to itself") from None
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
        if target := (plain.get(group) or {}).get("_target_"):
            raise GantoolError(f"{group}: its parts have names: write a name before it, mine: {{_target_: {target}}}")
    config, lines = None, []
    try:
        config = Train.model_validate(plain)
    except ValidationError as wrong:
        lines = list(in_words(wrong.errors(), cfg, plain))
    lines += [*_unread(cfg, plain, written), *_in_nodes(plain, written)]
    if config is not None:
        lines += _without_effect(config, written)
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
            known = parameters(find(node["_target_"], path))
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
            log.info("%s: %s takes no %s; left out", path, node["_target_"], ", ".join(dropped))


def _references(cfg: DictConfig) -> set[str]:
    """The keys that other values read as ${key}."""
    text = str(OmegaConf.to_container(cfg))
    read = set(re.findall(r"\$\{([\w.-]+)\}", text))
    return read | ({"recipe.discriminator_norm"} if "${norm:" in text else set())


def _unread(cfg: DictConfig, plain: dict[str, Any], written: Written) -> Iterator[str]:
    """A line for each key of the recipe that was typed, or is none of gantool's, and that nothing chosen follows."""
    read = _references(cfg)
    recipe = plain.get("recipe")
    for key in recipe if isinstance(recipe, dict) else ():
        path = f"recipe.{key}"
        if path not in read and (key not in RecipeConfig.model_fields or path in written.typed):
            near = did_you_mean(key, RecipeConfig.model_fields) if key not in RecipeConfig.model_fields else ""
            yield f"{path} has no effect{near}, as no chosen part reads it: set the key that it is for, or leave it out"


def _without_effect(config: Train, written: Written) -> Iterator[str]:
    """A line for each setting that was typed and that another one makes idle."""
    action = config.trainer.watchdog.action
    for key in sorted(written.typed):
        idle = key.startswith("trainer.watchdog.") and action == "off" and key != "trainer.watchdog.action"
        if idle or (key in _ROLLBACK and action != "rollback"):
            yield f"{key} does nothing with trainer.watchdog.action={action}: leave it out, or set another action"
        if key.endswith(".before_augment") and not config.augment:
            yield f"{key} does nothing with augment=none: leave it out, or choose an augment"
    if {"optimizer.lr", "optimizer.generator.lr", "optimizer.discriminator.lr"} <= written.typed:
        yield "optimizer.lr does nothing where both players have a rate of their own: leave it out"
    if {"model.reuse_fakes", "trainer.generator_batch"} <= written.typed and config.model.node.get("reuse_fakes"):
        yield "model.reuse_fakes does nothing with trainer.generator_batch, whose images are others: leave one out"
    if not config.score and "features" in written.typed:
        yield "features has no effect with score=none: choose a score, or leave it out"


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

"""Pydantic's mistakes in the words of YAML and the command line."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf
from pydantic_core import ErrorDetails

from gantool.config.leaves import leaves
from gantool.errors import did_you_mean
from gantool.paths import conf_dir

NAMED = ("regularizer", "auxiliary", "score", "monitor", "logger")  # groups that hold parts by name


def in_words(mistakes: list[ErrorDetails], cfg: DictConfig, plain: Mapping[Any, Any]) -> Iterator[str]:
    """A line for each mistake, but once for a value that others refer to."""
    seen = set()
    for mistake in mistakes:
        path, what = _path(mistake), (str(mistake["input"]), mistake["msg"])
        if not (what in seen and _is_reference(cfg, path)):  # optimizer.generator.lr: ${optimizer.lr}
            seen.add(what)
            yield _line(mistake, plain)


def known_keys(node: Mapping[Any, Any]) -> set[str]:
    """The keys of a group and of those below it, as far as people set them."""
    keys = {*map(str, node), *leaves(node)}
    return {key for key in keys if not key.startswith(("recipe.", "hydra")) and not key.endswith("._target_")}


def _path(mistake: ErrorDetails) -> str:
    return ".".join(str(part) for part in mistake["loc"])


def _is_reference(cfg: DictConfig, path: str) -> bool:
    """True where the value at `path`, or a node above it, is written as ${...}."""
    node: Any = cfg
    for key in path.split("."):
        if not isinstance(node, DictConfig) or key not in node:
            return False
        if OmegaConf.is_interpolation(node, key):
            return True
        node = node[key]
    return False


def _line(mistake: ErrorDetails, plain: Mapping[Any, Any]) -> str:
    path = _path(mistake)
    if mistake["type"] == "missing":
        return f"{path} is missing{_fix_for_missing(path)}"
    if mistake["type"] == "extra_forbidden":
        *parents, last = mistake["loc"]
        node: Any = plain
        for part in parents:
            node = node[part]
        return f"unknown key '{path}'{did_you_mean(str(last), known_keys(node) - {str(last)})}"
    if mistake["type"] in ("model_type", "dict_type"):
        group, _, name = path.partition(".")
        if name and group in NAMED and mistake["input"] is None:
            others = [key.replace("_", "-") if group != "score" else key for key in plain[group] if key != name]
            return f"{path}=null: leave a part out by choosing the others: {group}=[{','.join(others)}]"
        return not_a_group(path, mistake["input"])
    return f"{path}={as_typed(mistake['input'])}: {plain_message(mistake)}"


def not_a_group(path: str, value: object) -> str:
    """What to tell of a value in the place of a group of keys: it may be a choice, which YAML makes among defaults."""
    group = path.replace(".", "/")
    choice = "none" if value is None and (conf_dir() / group / "none.yaml").is_file() else value
    is_choice = isinstance(choice, str) and (conf_dir() / group).is_dir()
    fix = f"; in YAML write defaults: [override /{group}: {choice}]" if is_choice else ""
    fix = "; leave the key out" if value is None and not is_choice else fix
    return f"{path}={as_typed(value)}: should be a group of keys, not a value{fix}"


def _fix_for_missing(path: str) -> str:
    """What brings a key of a part that was not chosen: regularizer.r1.gamma=3 without regularizer=r1."""
    group, _, rest = path.partition(".")
    name = rest.removesuffix("._target_")
    if group in NAMED and rest != name:
        return f": add {group}={name.replace('_', '-')}, or set it to a class"
    return ": it names a class" if path.endswith("._target_") else ""


def plain_message(mistake: ErrorDetails) -> str:
    """Pydantic's message in the words of YAML: 'should be a valid integer'."""
    message = mistake["msg"].replace("a valid boolean", "true or false").replace(" after validation", "")
    message = message.replace("True", "true").replace("False", "false")
    return re.sub(r"^(Value error, |Input |List |String )", "", message)


def as_typed(value: object) -> str:
    """`value` as it is written on the command line: null, true, [a,1]."""
    if isinstance(value, list | tuple):
        return f"[{','.join(map(as_typed, value))}]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{as_typed(part)}" for key, part in value.items()) + "}"
    if isinstance(value, str):
        return re.sub(r"(://[^:/@]*:).*(?=@)|([?&]password=)[^&]*", r"\1\2***", value)
    return str(value) if isinstance(value, float) else json.dumps(value, default=str)

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
_OTHER_TYPE = ("_type", "_parsing", "literal_error")  # how pydantic calls a value of another type than it should be


def in_words(mistakes: list[ErrorDetails], cfg: DictConfig, plain: Mapping[Any, Any]) -> Iterator[str]:
    """A line for each mistake, but once for a value that others refer to."""
    seen = set()
    for mistake in _of_one_type(mistakes, plain):
        what = mistake["msg"]
        if not (what in seen and _is_reference(cfg, _path(mistake))):  # optimizer.generator.lr: ${optimizer.lr}
            seen.add(what)
            yield _line(mistake, plain)


def _of_one_type(mistakes: list[ErrorDetails], plain: Mapping[Any, Any]) -> Iterator[ErrorDetails]:
    """The mistakes without the types that pydantic puts into the place of a value that may have several
    (dataset.crop.list[int].0): one for the value as a whole, or those of the type that it has."""
    alternatives: dict[Any, list[ErrorDetails]] = {}
    for number, mistake in enumerate(mistakes):
        mistake, place = _without_types(mistake, plain)
        alternatives.setdefault(place or number, []).append(mistake)
    for found in alternatives.values():
        depth = min(len(mistake["loc"]) for mistake in found)
        of_its_type = [m for m in found if len(m["loc"]) > depth or not m["type"].endswith(_OTHER_TYPE)]
        told = dict.fromkeys(plain_message(mistake).removeprefix("should be ") for mistake in found)
        if len(found) > 1 and not of_its_type:
            found[0]["msg"] = f"Input should be {' or '.join(told)}"
        yield from of_its_type or found[:1]


def _without_types(mistake: ErrorDetails, plain: Mapping[Any, Any]) -> tuple[ErrorDetails, tuple[Any, ...]]:
    """A copy whose place is one in `plain`, and the place of the value that may have several types, () where none."""
    node: Any = plain
    place: list[Any] = []
    found: tuple[Any, ...] = ()
    for part in mistake["loc"]:
        inside: Mapping[Any, Any] = dict(enumerate(node)) if isinstance(node, list) else node
        if isinstance(inside, Mapping) and part in inside:
            node = inside[part]
        elif mistake["type"] not in ("missing", "extra_forbidden"):
            found = found or tuple(place)
            continue
        place.append(part)
    mistake = mistake.copy()
    mistake["loc"] = tuple(place)
    return mistake, found


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
    is_choice = (conf_dir() / path.replace(".", "/") / f"{mistake['input']}.yaml").is_file()  # loss.top=decay
    fix = _among_defaults(path, mistake["input"]) if is_choice else ""
    return f"{path}={as_typed(mistake['input'])}: {plain_message(mistake)}{fix}"


def not_a_group(path: str, value: object) -> str:
    """What to tell of a value in the place of a group of keys: it may be a choice, which YAML makes among defaults."""
    group = path.replace(".", "/")
    choice = "none" if value is None and (conf_dir() / group / "none.yaml").is_file() else value
    is_choice = isinstance(choice, str) and (conf_dir() / group).is_dir()
    fix = _among_defaults(path, choice) if is_choice else ""
    fix = "; leave the key out" if value is None and not is_choice else fix
    return f"{path}={as_typed(value)}: should be a group of keys, not a value{fix}"


def _among_defaults(path: str, choice: object) -> str:
    """How a choice of the group at `path` is made; of a group inside another also on the command line."""
    group = path.replace(".", "/")
    typed = f"write {group}={choice}, in YAML" if "/" in group else "in YAML write"
    return f"; {typed} defaults: [override /{group}: {choice}]"


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

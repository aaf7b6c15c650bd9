"""Nodes with `_target_`: compares one with the signature of what it names, and builds it."""

import inspect
import pkgutil
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Literal, Union

from pydantic import ConfigDict, TypeAdapter, ValidationError

from gantool.config.messages import plain_message
from gantool.errors import GantoolError, did_you_mean

_PLAIN = (int, float, bool, str, type(None))
_SPECIAL = ("_target_", "_partial_")

# What the builder hands to every part of a model as far as its signature has it, and what sets it instead.
HANDED = {
    "latent_dim": "model.latent.dim",
    "resolution": "dataset.resolution",
    "channels": "dataset.channels",
    "num_classes": "model.conditional",
    "loss": "loss=",
    "regularizers": "regularizer=",
    "auxiliaries": "auxiliary=",
    "augment": "augment=",
}


def find(name: str, path: str) -> Callable[..., Any]:
    """The class or function called `name`; raises GantoolError that names `path` where there is none."""
    try:
        target = pkgutil.resolve_name(name)
        inspect.signature(target)
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise GantoolError(f"{path}._target_={name} cannot be used{_near(name)}: {error}") from error
    return target


def parameters(target: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """By name; where a class hands `**parts` on to its parent, the parent's are among them."""
    found = dict(inspect.signature(target).parameters)
    for parent in target.__mro__[1:-1] if inspect.isclass(target) else ():
        rest = [name for name, p in found.items() if p.kind is p.VAR_KEYWORD]
        if not rest or "__init__" not in vars(parent):
            continue
        del found[rest[0]]
        found = {**inspect.signature(parent).parameters, **found}
    return found


def build(node: Mapping[str, Any], path: str, handed: Mapping[str, object] | None = None, kind: type = object) -> Any:
    """What a node describes: its `_target_` called with its other keys, nested nodes built first.

    `handed` values go to every part below as far as its signature has their names and the node gives no value.
    With `_partial_: true` it is the call itself, to be made later. Raises GantoolError where a part refuses its
    arguments, or is not of a class that derives from `kind`.
    """
    target = find(node["_target_"], path)
    handed = handed or {}
    given = {key: value for key, value in handed.items() if key in parameters(target)}
    own = {key: _value(value, f"{path}.{key}", handed) for key, value in node.items() if key not in _SPECIAL}
    arguments = given | {key: value for key, value in own.items() if value is not None or key not in given}
    if node.get("_partial_"):
        return partial(target, **arguments)
    try:
        part = target(**arguments)
    except (TypeError, ValueError, RuntimeError, IndexError) as error:
        raise GantoolError(f"{path}: {error} (HYDRA_FULL_ERROR=1 shows where)") from error
    if not isinstance(part, kind):
        own = type(part)
        raise GantoolError(f"{path}: {own.__module__}.{own.__qualname__} is no {kind.__module__}.{kind.__qualname__}")
    return part


def _value(value: Any, path: str, handed: Mapping[str, object]) -> Any:
    if isinstance(value, Mapping):
        if "_target_" in value:
            return build(value, path, handed)
        return {key: _value(child, f"{path}.{key}", handed) for key, child in value.items()}
    if isinstance(value, list):
        return [_value(child, f"{path}.{index}", handed) for index, child in enumerate(value)]
    return value


def nodes(value: Any, path: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(path, node) of every node with `_target_` in plain containers, the outer ones first."""
    if isinstance(value, Mapping):
        if "_target_" in value:
            yield path, value
        for key, child in value.items():
            yield from nodes(child, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from nodes(child, f"{path}.{index}")


def mistakes(path: str, node: Mapping[str, Any], owned: frozenset[str] = frozenset()) -> Iterator[tuple[str, str]]:
    """(key, line) for a target that cannot be imported, every unknown argument, and every argument of a plain type
    (numbers, strings, booleans, literals) that has another; `owned` keys are gantool's, not the target's."""
    name = node["_target_"]
    try:
        target = find(name, path)
    except GantoolError as error:
        yield "_target_", str(error)
        return
    known = parameters(target)
    takes_all = any(p.kind is p.VAR_KEYWORD for p in known.values())
    hints = _plain_hints(target)
    for key, value in node.items():
        if key in _SPECIAL or key in owned:
            continue
        if path.partition(".")[0] == "model" and key in HANDED:
            yield key, f"{path}.{key} is handed in by gantool: {HANDED[key]} sets it"
        elif key not in known and not takes_all:
            own = [one for one in known if one not in HANDED]
            near = did_you_mean(key, own)
            takes = "" if near or not 0 < len(own) < 9 else f", but {', '.join(own)}"
            yield key, f"unknown key '{path}.{key}'{near}: {name} takes no such argument{takes}"
        elif key in hints and value is not None and (wrong := _wrong_type(hints[key], value)):
            yield key, f"{path}.{key}={value}: {wrong}"


def _near(name: str) -> str:
    """A hint where the module exists and has a similar name."""
    module, _, last = name.rpartition(".")
    try:
        names = dir(pkgutil.resolve_name(module))
    except (ImportError, AttributeError, ValueError):
        return ""
    return did_you_mean(last, names)


def _plain_hints(target: Any) -> dict[str, Any]:
    function = target.__init__ if inspect.isclass(target) else target
    try:
        return {key: hint for key, hint in typing.get_type_hints(function).items() if _is_plain(hint)}
    except (NameError, TypeError, AttributeError):  # annotations of others need not be resolvable
        return {}


def _is_plain(hint: Any) -> bool:
    origin = typing.get_origin(hint)
    if origin in (Union, types.UnionType):
        return all(_is_plain(part) for part in typing.get_args(hint))
    return hint in _PLAIN or origin is Literal


def _wrong_type(hint: Any, value: Any) -> str:
    try:
        TypeAdapter(hint, config=ConfigDict(strict=True)).validate_python(value)
    except ValidationError as error:
        return " or ".join(dict.fromkeys(plain_message(mistake) for mistake in error.errors()))
    return ""

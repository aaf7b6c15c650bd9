"""Checks every `_target_` against the signature of what it names, before anything is built."""

import inspect
import pkgutil
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any, Literal, Union

from pydantic import ConfigDict, TypeAdapter, ValidationError

from gantool.config.messages import plain_message
from gantool.errors import GantoolError, did_you_mean

_PLAIN = (int, float, bool, str, type(None))
_OF_HYDRA = ("_target_", "_partial_", "_recursive_", "_convert_", "_args_")


def check_targets(config: Mapping[str, Any]) -> None:
    """Imports what every `_target_` in the plain, resolved `config` names, and compares the node with its signature.

    Raises GantoolError with one line for every target that cannot be imported, every unknown argument, and every
    argument of a plain type (numbers, strings, booleans, literals) that has another. A null is let through: what the
    data set decides is null until its files have been looked at.
    """
    mistakes: dict[tuple[str, str], str] = {}  # the same node stands in several places: ${loss} in the model
    for path, node in _nodes(config):
        for about, mistake in _check(path, node):
            mistakes.setdefault((str(node["_target_"]), about), mistake)
    if mistakes:
        raise GantoolError("\n".join(mistakes.values()))


def _nodes(value: Any, path: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    if isinstance(value, Mapping):
        if "_target_" in value:
            yield path, value
        for key, child in value.items():
            yield from _nodes(child, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from _nodes(child, f"{path}.{index}")


def _check(path: str, node: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    name = node["_target_"]
    try:
        target = pkgutil.resolve_name(name)
        parameters = _parameters(target)
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        yield "", f"{path}._target_={name} cannot be used{_near(name)}: {error}"
        return
    arguments = {key: value for key, value in node.items() if key not in _OF_HYDRA}
    takes_all = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    hints = _plain_hints(target)
    for key, value in arguments.items():
        if key not in parameters and not takes_all:
            yield key, f"unknown key '{path}.{key}'{did_you_mean(key, parameters)}: {name} takes no such argument"
        elif key in hints and value is not None and (wrong := _wrong_type(hints[key], value)):
            yield key, f"{path}.{key}={value}: {wrong}"


def _parameters(target: Any) -> dict[str, inspect.Parameter]:
    """By name; where a class hands `**parts` on to its parent, the parent's are among them."""
    parameters = dict(inspect.signature(target).parameters)
    for parent in target.__mro__[1:-1] if inspect.isclass(target) else ():
        rest = [name for name, p in parameters.items() if p.kind is p.VAR_KEYWORD]
        if not rest or "__init__" not in vars(parent):
            continue
        del parameters[rest[0]]
        parameters = {**inspect.signature(parent).parameters, **parameters}
    return parameters


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

"""Nodes with `_target_`: compares one with the signature of what it names, and builds it."""

import inspect
import math
import pkgutil
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Literal, Union

from pydantic import ConfigDict, TypeAdapter, ValidationError

from gantool import beside
from gantool.config.messages import not_a_group, plain_message
from gantool.errors import GantoolError, check_members, did_you_mean, name_too_long, out_of_memory
from gantool.schedules import Schedule, check_schedule

_AT_LEAST_ONE = ("width", "hidden", "full_until")  # of a network; other whole numbers can be 0
_PLAIN = (int, float, bool, str, type(None))
_SPECIAL = ("_target_", "_partial_")
_BEGIN = "call super().__init__() first in its __init__"

# What the builder hands to every part of a model as far as its signature has it, and what sets it instead.
HANDED = {
    "latent_dim": "model.latent.dim",
    "resolution": "dataset.resolution",
    "channels": "dataset.channels",
    "bits": "dataset.bits",
    "num_classes": "model.conditional",
    "loss": "loss=",
    "regularizers": "regularizer=",
    "auxiliaries": "auxiliary=",
    "augment": "augment=",
    "generator_batch": "trainer.generator_batch=",
}


def find(name: str, path: str) -> Callable[..., Any]:
    """The class or function called `name`; raises GantoolError that names `path` where there is none."""
    if not isinstance(name, str):
        raise GantoolError(f"{path}._target_={name}: should be the name of a class, such as mine.Generator")
    try:
        beside.reach(name)
        target = pkgutil.resolve_name(name)
        inspect.signature(target)
    except (Exception, SystemExit) as error:  # importing a user's file runs it
        reason = error if isinstance(error, ImportError | AttributeError | TypeError | ValueError) else repr(error)
        told = f"{_near(name)}: {reason}{beside.hidden(name)}"
        if top := beside.missing(name):
            told = beside.no_module(top)
        raise GantoolError(f"{path}._target_={name} cannot be used{told}") from error
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


def inherited(target: Callable[..., Any], names: Sequence[str]) -> list[str]:
    """Those of `names` that a parent of a class takes, and the class itself does not hand on."""
    taken: set[str] = set()
    for parent in target.__mro__[1:-1] if inspect.isclass(target) else ():
        with suppress(ValueError):  # one that is written in C
            taken |= parameters(parent).keys() if "__init__" in vars(parent) else set()
    return [name for name in names if name in taken]


def build(node: Mapping[str, Any], path: str, handed: Mapping[str, object] | None = None, kind: Any = object) -> Any:
    """What a node describes: its `_target_` called with its other keys, nested nodes built first.

    `handed` values go to every part below as far as its signature has their names and the node gives no value.
    With `_partial_: true` it is the call itself, to be made later. Raises GantoolError where a part refuses its
    arguments, is not of the `kind`, a type hint, or not what the signature that it goes into asks for.
    """
    target = find(node["_target_"], path)
    handed = handed or {}
    given = {key: value for key, value in handed.items() if key in parameters(target)}
    own = {key: _value(value, f"{path}.{key}", handed) for key, value in node.items() if key not in _SPECIAL}
    arguments = given | {key: value for key, value in own.items() if value is not None or key not in given}
    hints = _hints(target)
    for key in own.keys() & hints.keys():
        if isinstance(node[key], Mapping) and "_target_" in node[key]:
            _check_kind(f"{path}.{key}", own[key], hints[key])
    if node.get("_partial_"):
        return partial(target, **arguments)
    try:
        part = target(**arguments)
    except GantoolError:
        raise
    except (Exception, SystemExit) as error:
        if "before Module.__init__() call" in str(error):
            raise GantoolError(f"{path}: {node['_target_']}: {error}: {_BEGIN}") from error
        plain = isinstance(error, TypeError | ValueError | RuntimeError) and str(error)
        reason = str(error) if plain else f"{node['_target_']} raised {error!r}"
        told = (
            out_of_memory(error) or name_too_long(error) or f"{reason.splitlines()[0]} (HYDRA_FULL_ERROR=1 shows where)"
        )
        raise GantoolError(f"{path}: {told}") from error
    is_module = any(kind.__module__ == "torch.nn.modules.module" for kind in type(part).__mro__)  # without torch
    if is_module and "_modules" not in vars(part):
        raise GantoolError(f"{path}: {node['_target_']} is a torch module and was not begun as one: {_BEGIN}")
    _check_kind(path, part, kind)
    return part


def _check_kind(path: str, part: object, hint: Any) -> None:
    """Raises GantoolError unless `part` is what a type hint asks for, as far as that can be told: of one of its
    classes, with the members of its protocol, or a schedule."""
    kinds = typing.get_args(hint) if typing.get_origin(hint) in (Union, types.UnionType) else (hint,)
    kinds = [kind for kind in kinds if kind not in _PLAIN]
    classes = [kind for kind in kinds if inspect.isclass(kind)]
    protocols = [kind for kind in classes if getattr(kind, "_is_protocol", False)]
    if isinstance(part, tuple(kind for kind in classes if kind not in protocols)):
        return
    if protocols:
        check_members(part, protocols[0], path)
    elif Schedule in kinds:
        check_schedule(part, path)
    elif len(classes) == len(kinds) or not (callable(part) or any(typing.get_origin(k) is not Callable for k in kinds)):
        own, wanted = type(part), " or ".join(f"{kind.__module__}.{kind.__qualname__}" for kind in classes)
        not_it = f"does not derive from {wanted}" if wanted else "is not a function"
        raise GantoolError(f"{path}: {own.__module__}.{own.__qualname__} {not_it}")


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
    hints = _hints(target)
    plain, parts = ({key: hint for key, hint in hints.items() if fits(hint)} for fits in (_is_plain, _is_part))
    for key, value in node.items():
        if key in _SPECIAL or key in owned:
            continue
        if path.partition(".")[0] == "model" and key in HANDED:
            yield key, f"{path}.{key} is set by gantool: use {HANDED[key]}"
        elif key not in known and not takes_all:
            own = [one for one in known if one not in HANDED]
            near = did_you_mean(key, own)
            takes = "no such argument" if near or not 0 < len(own) < 9 else f"only {', '.join(own)}"
            yield key, f"unknown key '{path}.{key}'{near}: {name} takes {takes}"
        elif isinstance(value, float) and not math.isfinite(value):
            yield key, f"{path}.{key}={value}: should be a finite number"
        elif value is None and key in (*HANDED, "device"):
            continue  # it is handed in
        elif key in plain and (wrong := _wrong_type(plain[key], value)):
            yield key, f"{path}.{key}={'null' if value is None else value}: {wrong}"
        elif key in parts and not (isinstance(value, dict) or _may_be_left_out(path, parts[key], value)):
            yield key, not_a_group(f"{path}.{key}", value)
        elif name.startswith("gantool.networks.") and (wrong := _too_few(key, value)):
            yield key, f"{path}.{key}={value}: {wrong}"


def _too_few(key: str, value: Any) -> str:
    """What is wrong with a number, or numbers, of channels, blocks or images that a network is made of."""
    least, numbers = int(key in _AT_LEAST_ONE), value if isinstance(value, list) else [value]
    if not numbers:
        return "should have at least one number"
    wrong = any(isinstance(number, int) and number < least for number in numbers)
    return f"should be {least} or more" if wrong else ""


def _near(name: str) -> str:
    """A hint where the module exists and has a similar name."""
    module, _, last = name.rpartition(".")
    try:
        names = dir(pkgutil.resolve_name(module))
    except (ImportError, AttributeError, ValueError):
        return ""
    return did_you_mean(last, names)


def _hints(target: Any) -> dict[str, Any]:
    """The types of the arguments, by name; {} where they cannot be had, as annotations of others need not be."""
    kinds = reversed(target.__mro__) if inspect.isclass(target) else ()
    functions = [vars(kind)["__init__"] for kind in kinds if "__init__" in vars(kind)] or [target]
    try:
        return {key: hint for function in functions for key, hint in typing.get_type_hints(function).items()}
    except (NameError, TypeError, AttributeError):
        return {}


def _is_plain(hint: Any) -> bool:
    origin = typing.get_origin(hint)
    if origin in (Union, types.UnionType):
        return all(_is_plain(part) for part in typing.get_args(hint))
    return hint in _PLAIN or origin is Literal


def _is_part(hint: Any) -> bool:
    """True for an argument that is a network or another part of gantool, or None."""
    kinds = typing.get_args(hint) if typing.get_origin(hint) in (Union, types.UnionType) else (hint,)
    own = [getattr(kind, "__module__", "") for kind in kinds if kind is not types.NoneType]
    return bool(own) and all(module.startswith(("torch.nn.", "gantool.")) for module in own)


def _may_be_left_out(path: str, hint: Any, value: Any) -> bool:
    """True for null where None will do, or where gantool hands in what it needs; a game's networks it does not."""
    return value is None and (path != "model" or types.NoneType in typing.get_args(hint))


def _wrong_type(hint: Any, value: Any) -> str:
    try:
        TypeAdapter(hint, config=ConfigDict(strict=True)).validate_python(value)
    except ValidationError as error:
        return " or ".join(dict.fromkeys(plain_message(mistake) for mistake in error.errors()))
    return ""

"""Tab completion: commands, groups and their choices, keys, run folders and other paths."""

import io
import json
import os
import re
from collections.abc import Callable, Collection, Iterator
from contextlib import redirect_stdout
from importlib import import_module
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Literal, Union, get_args, get_origin

from gantool.folder import is_run
from gantool.paths import KEYS, conf_dir, expanded, outputs_dir

if TYPE_CHECKING:
    from pydantic import BaseModel

_BASH = """_gantool() {
    local IFS=$'\\n'
    export COMP_LINE COMP_POINT COMP_WORDBREAKS
    COMPREPLY=($("$1" -sc query=bash))
}
complete -o nospace -F _gantool gantool"""
_OF_RUNS = ("run", "resume", "init")
_MOST = 40  # runs that are offered at once, the newest


def complete(
    words: list[str], commands: Collection[str], others: Collection[str], run: Callable[[str, list[str]], int]
) -> int:
    """Answers `gantool -sc query=bash` and `install=bash`; `run` hands a command to Hydra, which answers for keys, and
    for other shells."""
    asked = " ".join(words)
    if "install=bash" in asked:
        print(_BASH)
        return 0
    line = os.environ.get("COMP_LINE", "")
    if "query=" not in asked:
        return run("train", words)
    line = line[: int(os.environ.get("COMP_POINT") or len(line))]
    typed = line.split()
    word = "" if line.endswith(" ") or len(typed) < 2 else typed[-1]
    done = typed[1 : len(typed) - bool(word)]
    if not done:
        found = [f"{name} " for name in (*commands, *others)]
    elif done[0] in others:
        found = list(_plain(done[0], word))
    elif done[0] in commands:
        found = list(_special(done[0], word)) or _of_hydra(done[0], typed, line, words, run)
    else:
        return 0
    _print([one for one in found if one.startswith(word)], word, bash="query=bash" in asked)
    return 0


def _print(found: list[str], word: str, *, bash: bool) -> None:
    """In bash, readline replaces what follows the last character that it parts words at."""
    breaks = os.environ.get("COMP_WORDBREAKS", "") if bash else ""
    kept = max((word.rfind(character) + 1 for character in breaks if character.strip()), default=0)
    for one in sorted(set(found)):
        print(one[kept:] if bash else one.rstrip())


def _plain(command: str, word: str) -> Iterator[str]:
    """Of the commands that read their own words."""
    if command == "list":
        yield from (f"{path.name} " for path in conf_dir().iterdir() if path.is_dir() and path.name != "hydra")
    elif command == "cache":
        yield from ("list ", "clean ", "--older=", "--yes ")
    else:
        yield from _folders("", word)
    if command == "runs":
        from gantool.runs.housekeeping import STATES

        yield from (f"state={state} " for state in STATES) if word.startswith("state=") else ("state=",)
        yield from ("model=", "data=", "score=", "older=", "newer=", "below=", "--delete ", "--yes ")


def _special(command: str, word: str) -> Iterator[str]:
    """Folders where the key names one, choices where it is a group, and values where its type lists them; nothing where
    Hydra is to be asked."""
    key, equals, value = word.partition("=")
    if not equals:
        return
    before = key + equals + value[: max(value.rfind(","), value.rfind("[")) + 1]  # of run=[A,B
    rest = word.removeprefix(before)
    if key in (*_OF_RUNS, *KEYS, "--config-dir"):
        yield from _folders(before, rest, runs=key in _OF_RUNS)
    else:
        group = conf_dir() / key.lstrip("+")
        deep = "**/" if key == "experiment" else ""
        for path in group.glob(f"{deep}*.yaml") if group.is_dir() else ():
            end = "" if "[" in before else " "
            yield f"{before}{path.relative_to(group).with_suffix('').as_posix()}{end}"
        yield from (f"{before}{value} " for value in _values(_keys_of(command), key.lstrip("+")))


def _keys_of(command: str) -> "type[BaseModel]":
    """What declares the keys of a command."""
    from gantool.config.schema import Train  # not where a command or a folder is completed: a third of a second

    own = vars(import_module(f"gantool.commands.{command}")).get("Options")
    return own or Train


def _values(kind: "type[BaseModel]", path: str) -> list[str]:
    """What may be typed for the key at `path`, where its type lists it; else []."""
    from pydantic import BaseModel

    name, _, rest = path.partition(".")
    parts = list(_parts(kind.model_fields[name].annotation)) if name in kind.model_fields else []
    if rest:
        below = [part for part in parts if isinstance(part, type) and issubclass(part, BaseModel)]
        return [value for part in below for value in _values(part, rest)]
    listed = [value for part in parts for value in ((True, False) if part is bool else (part,))]
    listed = [value for value in listed if isinstance(value, str | int)]
    return [value if isinstance(value, str) else json.dumps(value) for value in listed]


def _parts(annotation: object) -> Iterator[object]:
    """The types that a union is of, and the values of a Literal."""
    if get_origin(annotation) in (Union, UnionType):
        for one in get_args(annotation):
            yield from _parts(one)
    elif get_origin(annotation) in (Annotated, Literal):
        listed = get_args(annotation)
        yield from listed if get_origin(annotation) is Literal else _parts(listed[0])
    else:
        yield annotation


def _folders(before: str, typed: str, *, runs: bool = False) -> Iterator[str]:
    """The folders that begin as `typed`; with `runs` those that are runs ended by a space, and as long as no folder is
    typed the newest of GANTOOL_OUTPUTS."""
    start, _, _ = typed.rpartition("/")
    place = expanded(start or ("/" if typed.startswith("/") else "."))
    for path in sorted(place.iterdir()) if place.is_dir() else ():
        if path.is_dir() and (not path.name.startswith(".") or typed.rpartition("/")[2].startswith(".")):
            name = f"{start}/{path.name}" if "/" in typed else path.name
            yield _offered(before, name, ends=runs and is_run(path))
    if runs and "/" not in typed and "GANTOOL_OUTPUTS" in os.environ:
        made = [path.parents[1] for path in expanded(outputs_dir()).glob("*/*/.hydra/config.yaml")]
        for path in sorted(made)[-_MOST:]:
            yield _offered(before, str(path), ends=True)


def _offered(before: str, name: str, *, ends: bool) -> str:
    end = "/" if not ends else "" if "[" in before else " "
    return before + re.sub(r"([\s'\"\\$&;|<>()])", r"\\\1", name) + end


def _of_hydra(
    command: str, typed: list[str], line: str, words: list[str], run: Callable[[str, list[str]], int]
) -> list[str]:
    """What Hydra offers, groups with the = that it leaves out where a group holds others too."""
    os.environ["COMP_LINE"] = typed[0] + (line.split(command, 1)[1] or " ")
    answer = io.StringIO()
    with redirect_stdout(answer):
        run(command, words)
    found = []
    for one in answer.getvalue().split():
        group = one.lstrip("+").rstrip("/")
        is_group = (conf_dir() / group).is_dir() and any((conf_dir() / group).rglob("*.yaml"))
        if is_group and "=" not in one:
            name = one.rstrip("/")
            found.append(f"{name}=")
            found += [f"{name}/"] if group != "experiment" and any((conf_dir() / group).glob("*/")) else []
        else:
            found.append(f"{one} " if "=" in one and not one.endswith("=") else one)
    keys = ("resume=", "trust=") if command == "train" else ()
    return [*found, *keys]

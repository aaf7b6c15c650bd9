"""The one exception that is a user's mistake: shown as one line that names the fix, without a traceback."""

import difflib
import errno
import os
import re
from collections.abc import Iterable
from importlib.util import find_spec


class GantoolError(Exception):
    """Something the user can put right; its text says what is wrong and names the fix in one line."""


class DoesNotApply(GantoolError):
    """A part has nothing to do in this run: left out where it came by default, an error where the user chose it."""


class RankLost(GantoolError):
    """Another process that trains with this one is gone."""


class InUse(GantoolError):
    """Another process has the run's folder."""


def check_members(part: object, kind: type, path: str) -> None:
    """Raises GantoolError that names what `part` lacks of the protocol `kind`, before anything is done with it."""
    wanted = [name for name in {**vars(kind).get("__annotations__", {}), **vars(kind)} if not name.startswith("_")]
    if lacks := [name for name in wanted if name not in dir(part)]:
        own, kind_name = type(part), f"{kind.__module__}.{kind.__qualname__}"
        raise GantoolError(f"{path}: {own.__module__}.{own.__qualname__} has no {', '.join(lacks)}; see {kind_name}")


def check_choice(key: str, value: str, choices: Iterable[str]) -> None:
    """Raises GantoolError that names `key` and its choices unless `value` is one of them."""
    if value not in (choices := list(choices)):
        raise GantoolError(f"{key}={value}: choose one of {', '.join(choices)}{did_you_mean(str(value), choices)}")


def require(extra: str, *modules: str, what: str = "this command") -> None:
    """Raises GantoolError where one of the modules that gantool[extra] brings is missing, and `what` needs it."""
    if missing := [module for module in modules if find_spec(module) is None]:
        packages = ", ".join(missing).replace("sklearn", "scikit-learn")
        raise GantoolError(f"{what} needs {packages}: pip install 'gantool[{extra}]'")


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """' (did you mean 'adam'?)' where a choice ends as the dotted `word` does, begins with it or is close to it, else
    ''; the shortest where several are."""
    choices = sorted(choices, key=len)
    near = [choice for choice in choices if choice.endswith(f".{word}")]
    near += [choice for choice in choices if len(word) > 2 and choice.startswith(word)]
    near += difflib.get_close_matches(word, choices, n=1)
    return f" (did you mean '{near[0]}'?)" if near else ""


def first_line(error: BaseException) -> str:
    """Of what an error says; its class's name where it says nothing."""
    return next(iter(str(error).splitlines()), "") or type(error).__name__


def said(error: BaseException, most: int = 200) -> str:
    """What an error says on one line, of at most so many characters; its class's name where it says nothing."""
    return " ".join(str(error).split())[:most] or type(error).__name__


def name_too_long(error: BaseException) -> str | None:
    """What to tell of a word that was to be the name of a file or folder and is too long for one; None for others."""
    if not isinstance(error, OSError) or error.errno != errno.ENAMETOOLONG:
        return None
    longest = max(os.fsdecode(error.filename or "").split(os.sep), key=len)
    return f"{longest[:30]}... ({len(longest)} characters) is too long for the name of a file or folder"


def out_of_memory(error: BaseException) -> str | None:
    """What to tell of an error that says that there is no memory left; None for others."""
    text = first_line(error)
    if not (isinstance(error, MemoryError) or "t allocate memory" in text or "out of memory" in text):
        return None
    asked = re.search(r"ried to allocate (\d+) bytes", text)
    at_once = f", {int(asked[1]) / 1e9:.3g} GB asked for at once" if asked else ""
    return f"out of memory{at_once}: choose a smaller trainer.batch_size, trainer.microbatch or network"

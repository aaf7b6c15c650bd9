"""The folder that gantool was started in: a user's own classes are imported from it, and nothing else is."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec

_place: list[str] = []  # one folder at most


def holds_gantool(folder: str) -> bool:
    """Whether gantool itself lies in a folder, as in a checkout."""
    return os.path.realpath(folder) == os.path.dirname(os.path.dirname(os.path.realpath(__file__)))


def look_in(folder: str | None) -> None:
    """Own files lie in `folder` from now on; None: only where Python looks anyway."""
    _place[:] = [folder] if folder else []


def place() -> str | None:
    """What look_in was told."""
    return _place[0] if _place else None


def reach(name: str) -> None:
    """Puts the folder at the end of Python's path where the module of a class, such as mine.Loss, lies there and
    nowhere on the path.

    Not before: a file omegaconf.py or wandb.py there would be run in the place of the package. From then on it stays:
    the user's files may import each other at any time, and processes that are started take the path over.
    """
    top = _top(name)
    if top not in sys.modules and _here(top) and find_spec(top) is None:
        sys.path.append(_place[0])


@contextmanager
def kept_out() -> Iterator[None]:
    """Pythons that are started meanwhile do not look into the working folder first, as they would to find joblib. Where
    gantool itself lies there they have to."""
    before = os.environ.get("PYTHONSAFEPATH")
    if before is None and not holds_gantool(os.getcwd()):
        os.environ["PYTHONSAFEPATH"] = "1"
    try:
        yield
    finally:
        if before is None:
            os.environ.pop("PYTHONSAFEPATH", None)


def hidden(name: str) -> str:
    """Words for a module of this name in the folder that another one was taken for; '' where there is none."""
    top = _top(name)
    own, module = _here(top), sys.modules.get(top)
    file = getattr(module, "__file__", None)
    taken = [file] if file else [*getattr(module, "__path__", ())]  # several folders without an __init__.py
    if own is None or not taken or top in ("gantool", "torch"):
        return ""
    if {own.origin, *(own.submodule_search_locations or ())} & {*taken}:
        return ""
    return f" ({top} was imported from {taken[0]}: rename yours)"


def missing(name: str) -> str:
    """The top module of a class, such as mine.Loss, that is neither on Python's path nor in the folder; else ''."""
    top = _top(name)
    if not top.isidentifier() or top in sys.modules or _here(top) or find_spec(top) is not None:
        return ""
    return top


def no_module(top: str) -> str:
    """What to tell of a module that is `missing`."""
    return f": No module named '{top}': start gantool in the folder that holds {top}.py, or install it"


def _top(name: str) -> str:
    return name.partition(".")[0].partition(":")[0]


def _here(top: str) -> ModuleSpec | None:
    return PathFinder.find_spec(top, _place) if top.isidentifier() else None

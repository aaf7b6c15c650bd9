"""The configuration of a run: checked, written into its folder, and read back from it."""

from gantool.config.composed import changes, choices, make_absolute, save_composed
from gantool.config.parts import build
from gantool.config.read import drop_inherited, read, resolve
from gantool.config.resolvers import register_resolvers
from gantool.config.schema import Train
from gantool.config.written import Written

__all__ = [
    "Train",
    "Written",
    "build",
    "changes",
    "choices",
    "drop_inherited",
    "make_absolute",
    "read",
    "resolve",
    "save_composed",
]

register_resolvers()  # for whoever reads a configuration; a command does it again with the time that its ranks agree on

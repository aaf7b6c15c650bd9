"""gantool: config-driven training of generative adversarial networks."""

from importlib import import_module
from typing import Any

from gantool.errors import GantoolError as GantoolError

__version__ = "0.2.0"

_HOMES = {"train": "gantool.api", "load_run": "gantool.runs.trained", "load": "gantool.runs.snapshot"}


def __getattr__(name: str) -> Any:
    """gantool.train, gantool.load_run and gantool.load, imported when they are asked for: torch is slow to import."""
    if name not in _HOMES:
        raise AttributeError(f"module 'gantool' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)

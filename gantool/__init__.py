"""gantool: config-driven training of generative adversarial networks.

import gantool

run = gantool.train(["model=mlp", "trainer.duration=20kimg"])  # the words of the command line
run = gantool.load_run("outputs/2026-11-26/09-30-00-mlp-mnist-5k")  # a run's folder; trust=True if it uses own code
images = run.sample(64, seed=1)  # (64, C, H, W) uint8
generator = gantool.load("snapshot.safetensors")  # what gantool export wrote
images = generator.sample(64)  # (64, C, H, W) float32 in [-1, 1]

help(gantool.train), help(gantool.load_run) and help(gantool.load) tell more.
"""

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


def __dir__() -> list[str]:
    """What there is, to be completed by an editor or a notebook."""
    return sorted({*globals(), *_HOMES})

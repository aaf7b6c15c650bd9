"""gantool: config-driven training of generative adversarial networks."""

from typing import Any

__version__ = "0.1.0"


def load(path: Any, name: str | None = None, *, trust: bool = False) -> Any:
    """The generator in a snapshot that `gantool export` wrote; see gantool.runs.snapshot.load."""
    from gantool.runs.snapshot import load  # torch waits until it is needed

    return load(path, name, trust=trust)

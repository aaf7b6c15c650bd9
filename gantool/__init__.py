"""gantool: config-driven training of generative adversarial networks."""

from typing import Any

from gantool.errors import GantoolError as GantoolError

__version__ = "0.2.0"


def train(overrides: Any = (), *, config_dir: Any = None) -> Any:
    """Trains as `gantool train` does and returns the finished run; see gantool.api.train."""
    from gantool.api import train  # torch waits until it is needed

    return train(overrides, config_dir=config_dir)


def load_run(folder: Any, **how: Any) -> Any:
    """The run in a folder, ready to make images; see gantool.runs.trained.load_run."""
    from gantool.runs.trained import load_run

    return load_run(folder, **how)


def load(path: Any, name: str | None = None, *, trust: bool = False) -> Any:
    """The generator in a snapshot that `gantool export` wrote; see gantool.runs.snapshot.load."""
    from gantool.runs.snapshot import load

    return load(path, name, trust=trust)

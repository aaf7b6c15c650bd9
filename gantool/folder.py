"""What lies in a run's folder, and where."""

import shlex
from pathlib import Path

from gantool.files import whole_files

LOCK = ".lock"


def is_run(folder: Path) -> bool:
    """Whether a run began there: its configuration is written last."""
    return (folder / ".hydra" / "config.yaml").is_file()


def checkpoints_in(folder: Path) -> list[Path]:
    """Those of the run in `folder`, of every kind, in no order."""
    return whole_files(folder / "checkpoints", "*.pt")


def way_on(folder: Path) -> str:
    """What to do with the run in `folder` once that which ended it is put right."""
    if checkpoints_in(folder):
        return f"go on with gantool train {shlex.quote(f'resume={folder}')}"
    return "give the same command again"


def in_use(folder: Path) -> bool:
    """Whether a process trains in `folder`."""
    from gantool.lock import is_held  # filelock takes long to import: tab completion does without

    return is_held(folder / LOCK)
